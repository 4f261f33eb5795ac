"""Further sets of features: a part of the reference page, and of what `stakan features` lists."""

import inspect
from collections.abc import Mapping
from typing import Any

import msgspec

from stakan.apps.wiring import FEATURE_SETS
from stakan.core.features.catalogue import schema_hash
from stakan.core.features.definitions import Definition
from stakan.core.features.further import FeatureSet
from stakan.core.plugins import load, names


class DefinedFeature(msgspec.Struct, frozen=True, kw_only=True):
    """One feature for `--json`."""

    index: int
    name: str
    formula: str
    unit: str
    window: str
    neutral: float
    source: str


class FurtherSet(msgspec.Struct, frozen=True, kw_only=True):
    """One set for `--json`."""

    name: str
    """In the configuration."""
    version: str
    schema_hash: str
    description: str
    parameters: dict[str, Any]
    """With their defaults."""
    features: list[DefinedFeature]


def further_sets() -> list[FurtherSet]:
    """The sets that come with stakan, as they say of themselves."""
    return [_described(name, load(FEATURE_SETS, FeatureSet, name, {})) for name in names(FEATURE_SETS)]


def further_sets_markdown() -> str:
    """The sections of `docs/features.md` on them."""
    lines = [
        "",
        "## Further sets",
        "",
        "Off unless a `[[feature_sets]]` entry names them; each has a version of its own. A strategy reads them by name, and",
        "the record of every entry holds them as `set.name`. How to add one: [add features](how-to/add-a-feature.md).",
    ]
    for one in further_sets():
        lines += [
            "",
            f"### `{one.name}`",
            "",
            f"Version `{one.version}`, schema `{one.schema_hash}`. {one.description}",
            *(["", f"Parameters: {_told(one.parameters, '`')}."] if one.parameters else []),
            "",
            "| name | formula | unit | window | neutral | from |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| `{feature.name}` | {cell(feature.formula)} | {feature.unit} | {feature.window} | {feature.neutral:g} "
            f"| {feature.source} |"
            for feature in one.features
        ]
    return "\n".join(lines) + "\n"


def further_sets_lines() -> list[str]:
    """For each set what it is, and one line for each of its features."""
    lines = []
    for one in further_sets():
        lines += ["", f"{one.name}, version {one.version}, schema {one.schema_hash}: {one.description.splitlines()[0]}"]
        if one.parameters:
            lines.append(f"parameters: {_told(one.parameters)}")
        lines += [f"{f'{one.name}.{feature.name}':44} {feature.formula}" for feature in one.features]
    return lines


def cell(text: str) -> str:
    """Text of one cell of a Markdown table."""
    return text.replace("|", "\\|")


def _described(name: str, spec: FeatureSet) -> FurtherSet:
    return FurtherSet(
        name=name,
        version=spec.version,
        schema_hash=schema_hash(spec.definitions),
        description=inspect.getdoc(type(spec)) or "",
        parameters=msgspec.to_builtins(spec),
        features=_features(spec.definitions),
    )


def _features(definitions: Mapping[str, Definition]) -> list[DefinedFeature]:
    return [
        DefinedFeature(index=index, name=name, **definition._asdict())
        for index, (name, definition) in enumerate(definitions.items())
    ]


def _told(parameters: dict[str, Any], quote: str = "") -> str:
    return ", ".join(f"{quote}{name} = {value}{quote}" for name, value in parameters.items())
