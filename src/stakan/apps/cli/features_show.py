"""`stakan features show`: a feature vector with its values, ranges and distributions."""

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from stakan.adapters.whole_files import written_whole
from stakan.apps.cli.output import ns_text, out, parse_time, reports_errors, write_json
from stakan.apps.config import load_settings
from stakan.apps.feature_views import ShownFeature, ShownVector, of_bot, of_file, of_store
from stakan.apps.report.features import render_features
from stakan.core.domain.errors import ConfigError

_BARS = " ▁▂▃▄▅▆▇█"


@reports_errors
def show_command(
    what: Annotated[str, typer.Argument(help="Instrument, or a file of `stakan features build`.")],
    *,
    at: Annotated[str | None, typer.Option("--at", help="Moment, UTC: of recorded data, or in the file.")] = None,
    data: Annotated[Path, typer.Option("--data", "-d", help="Folder of the market-data store.")] = Path("data"),
    config: Annotated[Path | None, typer.Option("--config", "-c", help="TOML file of the bot or engine.")] = None,
    override: Annotated[list[str] | None, typer.Option("--set", help="One key, e.g. trade.state=state")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Draw a file's distributions to this page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")] = False,
) -> None:
    """A feature vector: of a running bot, of recorded data at a moment, or of a built file with its distributions.

    Of an instrument the bot that runs on the state folder (trade.state) is asked; with --at recorded data is read.
    """
    settings = load_settings(config, override or ())
    moment = None if at is None else parse_time(at)
    path = Path(what)
    if path.suffix == ".parquet" or path.is_file():
        vector = of_file(path, moment)
    elif html is not None:
        raise ConfigError("--html draws the distributions of a file: name one that `stakan features build` made")
    elif moment is not None:
        vector = of_store(data, what, moment, settings)
    else:
        vector = of_bot(settings, what)
    if html is not None:
        with written_whole(html) as place:
            place.write_text(render_features(vector), encoding="utf-8")
    if as_json:
        write_json(vector)
    else:
        out().print(_table(vector))
        if html is not None:
            out().print(f"{html} shows the distributions", soft_wrap=True, highlight=False)


def _table(vector: ShownVector) -> Table:
    title = f"{vector.instrument}  {ns_text(vector.ts_event)}  {vector.feature_set}\n{vector.source}"
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("#", "feature", "value", "warm"):
        table.add_column(name, justify="left" if name == "feature" else "right", no_wrap=True)
    if vector.rows:
        table.caption = f"ranges over the warm values of {vector.rows:,} vectors"
        for name in ("lowest", "median", "highest"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("distribution", no_wrap=True)
    channel = ""
    for one in vector.features:
        if channel and one.channel != channel:
            table.add_section()
        channel = one.channel
        table.add_row(*_cells(one), *(_ranges(one) if vector.rows else ()), style=None if one.is_warm else "dim")
    return table


def _cells(one: ShownFeature) -> list[str]:
    return [str(one.index + 1), one.name, f"{one.value:.6g}", "" if one.is_warm else "no"]


def _ranges(one: ShownFeature) -> list[str]:
    found = one.distribution
    if found is None:
        return ["", "", "", "never warm"]
    return [*(f"{value:.6g}" for value in (found.low, found.median, found.high)), bars(found.counts)]


def bars(counts: list[int]) -> str:
    """A histogram in one line; what is not nought can be seen."""
    most = max(counts)
    return "".join(_BARS[-(-count * (len(_BARS) - 1) // most)] for count in counts)
