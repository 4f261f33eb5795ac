"""`stakan features`: what a feature vector holds; files of vectors, what is in one, and scalers of them."""

from typing import Annotated

import msgspec
import typer

from stakan.apps.cli.features_build import build_command
from stakan.apps.cli.features_fit import fit_command
from stakan.apps.cli.features_show import show_command
from stakan.apps.cli.further_sets import (
    DefinedFeature,
    FurtherSet,
    cell,
    further_sets,
    further_sets_lines,
    further_sets_markdown,
)
from stakan.apps.cli.output import out, reports_errors, write_json
from stakan.core.features.catalogue import FEATURE_SET, SCHEMA_HASH, Feature
from stakan.core.features.definitions import DEFINITIONS, channel_of


class FeatureView(DefinedFeature, frozen=True, kw_only=True):
    """One of the 110."""

    channel: str


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` says."""

    feature_set: str
    schema_hash: str
    features: list[FeatureView]
    """The 110 in their order."""
    further_sets: list[FurtherSet]


def catalogue() -> list[FeatureView]:
    """The 110 in their order."""
    return [
        FeatureView(
            index=int(feature),
            name=feature.name.lower(),
            channel=channel_of(feature).value,
            **DEFINITIONS[feature]._asdict(),
        )
        for feature in Feature
    ]


def page() -> str:
    """The reference page `docs/features.md`."""
    lines = [
        "# Features",
        "",
        "Written by `stakan features --markdown`; a test compares it with the code.",
        "",
        f"Feature set `{FEATURE_SET}`, schema `{SCHEMA_HASH}`: names, order and meaning are a contract. Windows are in",
        "exchange time. A feature is never NaN: where history is too short or a denominator is zero it has its neutral value,",
        "and the vector's `warm` mask says what rests on too little. A crossed or one-sided book gives no vector.",
        "",
        "In the formulas `pb1 qb1 pa1 qa1` are price and size of the best bid and ask, `B5` and `A5` the sizes of five bids",
        "and asks; `o h l c v` are of the last closed candle, with `'` of the one before. A cluster is a run of neighbouring",
        "levels, each at least `features.cluster_multiple` times the median level of its side, that holds at least",
        "`features.min_cluster_volume` USDT; the reference notional is `features.reference_notional`. A significant level",
        "is one of support or resistance that two things or more speak for, with a half-life of two hours: swings and prices",
        "of high volume of closed candles, long-lived densities (where a configured strategy reads densities), and holds.",
        "",
        "Candle features and indicators change when a candle closes. With `features.include_open` the open candle is the last",
        "one, they change with every print, and the vector says so (`has_open_candle`). Indicators want 50 candles; `vwap`",
        "also wants those since midnight UTC, 19 in 20 of them without an interruption: a run that begins during a day has it",
        "from the next one on.",
        "",
        "| | name | formula | unit | window | neutral | from |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {one.index + 1} | `{one.name}` | {cell(one.formula)} | {one.unit} | {one.window} | {one.neutral:g} | {one.source} |"
        for one in catalogue()
    ]
    return "\n".join(lines) + "\n" + further_sets_markdown()


features_app = typer.Typer()
features_app.command("build")(build_command)
features_app.command("fit")(fit_command)
features_app.command("show")(show_command)


@features_app.callback(invoke_without_command=True)
@reports_errors
def features_command(
    context: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="As the reference page of the documentation.")] = False,
) -> None:
    """List every feature with its formula, unit, window and neutral value; build, show and scale vectors of them."""
    if context.invoked_subcommand is not None:
        return
    if as_json:
        found = Catalogue(
            feature_set=FEATURE_SET, schema_hash=SCHEMA_HASH, features=catalogue(), further_sets=further_sets()
        )
        write_json(found)
        return
    listed = [f"{one.index + 1:3} {one.name:28} {one.formula}" for one in catalogue()]
    text = page() if markdown else "\n".join([*listed, *further_sets_lines()])
    out().print(text, markup=False, highlight=False, soft_wrap=True, end="" if markdown else "\n")
