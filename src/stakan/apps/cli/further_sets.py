"""Further sets of features: a part of the reference page, and of what `stakan features` lists."""

import inspect
from collections.abc import Iterator

from stakan.apps.wiring import FEATURE_SETS
from stakan.core.features.further import FeatureSet
from stakan.core.plugins import load, names


def further_sets_markdown() -> str:
    """The sections of `docs/features.md` on the sets that come with stakan."""
    lines = [
        "",
        "## Further sets",
        "",
        "Off unless a `[[feature_sets]]` entry names them; each has a version of its own. A strategy reads them by name, and",
        "the record of every entry holds them as `set.name`. How to add one: [add features](how-to/add-a-feature.md).",
    ]
    for name, spec in _sets():
        lines += [
            "",
            f"### `{name}`",
            "",
            f"Version `{spec.version}`. {inspect.getdoc(type(spec))}",
            *_parameters(spec),
            "",
            "| name | formula | unit | window | neutral | from |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| `{key}` | {one.formula.replace('|', chr(92) + '|')} | {one.unit} | {one.window} | {one.neutral:g} | {one.source} |"
            for key, one in spec.definitions.items()
        ]
    return "\n".join(lines) + "\n"


def further_sets_lines() -> list[str]:
    """One line for each feature of every set."""
    return [f"{f'{name}.{key}':44} {one.formula}" for name, spec in _sets() for key, one in spec.definitions.items()]


def _sets() -> Iterator[tuple[str, FeatureSet]]:
    for name in names(FEATURE_SETS):
        yield name, load(FEATURE_SETS, FeatureSet, name, {})


def _parameters(spec: FeatureSet) -> list[str]:
    if not spec.__struct_fields__:
        return []
    told = ", ".join(f"`{field} = {getattr(spec, field)}`" for field in spec.__struct_fields__)
    return ["", f"Parameters: {told}."]
