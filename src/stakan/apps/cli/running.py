"""`stakan backtest`, `stakan synthetic` and `stakan replay`: run the engine and show what came of it."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

from stakan.adapters.parquet.reader import BEGINNING, END
from stakan.adapters.synthetic.config import SyntheticConfig, demo_config
from stakan.adapters.synthetic.market import SyntheticMarket
from stakan.apps.backtest import Progress as Report
from stakan.apps.backtest import new_run_name, run_backtest, warm_up
from stakan.apps.cli.compiling import compiling
from stakan.apps.cli.data import DEFAULT_DATA
from stakan.apps.cli.importing import known_instruments
from stakan.apps.cli.output import errors, ns_text, out, parse_time, reports_errors, write_json
from stakan.apps.config import load_settings, overridden
from stakan.apps.logs import Logs, plan_of
from stakan.apps.results import RunResult
from stakan.apps.secrets import secrets_to_hide
from stakan.apps.settings import Settings
from stakan.apps.sources import Source, from_files, from_generator, from_run, from_store, recorded_settings
from stakan.apps.summary import print_summary
from stakan.core.domain.errors import ConfigError, StorageError
from stakan.core.domain.units import MINUTE, Nanos

RUNS = Path("runs")
TRUTH_FILE = "truth.jsonl"
"""What the generator planted: densities, manipulation-shaped episodes and their innocent look-alikes."""

ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="TOML file; `stakan config example` shows all keys.")
]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="One key, e.g. engine.candle_interval=1s")]
RunsFolder = Annotated[Path, typer.Option("--out", help="Folder that run folders go into.")]
AsJson = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout instead of tables.")]
WithJournal = Annotated[bool, typer.Option("--journal", help="Keep every event and step, for `stakan replay`.")]


@reports_errors
def backtest_command(  # noqa: PLR0913 - one argument per option
    *,
    data: Annotated[
        list[Path] | None, typer.Option("--data", "-d", help="Folder of a store, or the files of one recording.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            help="Folder of a run of `stakan trade`: the market as that bot received it. With its own configuration "
            "the run is computed again; --config and --set say what another would have done.",
        ),
    ] = None,
    config: ConfigFile = None,
    override: Overrides = None,
    instrument: Annotated[
        list[str] | None, typer.Option("--instrument", "-i", help="Only these; short names where unambiguous.")
    ] = None,
    rules: Annotated[Path | None, typer.Option("--instruments", help="TOML of tick and lot sizes, for files.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="First moment (UTC).")] = None,
    stop: Annotated[str | None, typer.Option("--to", help="End, not included.")] = None,
    timerange: Annotated[str | None, typer.Option(help="YYYYMMDD-YYYYMMDD, instead of --from and --to.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run's folder.")] = None,
    runs: RunsFolder = RUNS,
    journal: WithJournal = False,
    as_json: AsJson = False,
) -> None:
    """Run the engine over recorded market data through the simulated exchange.

    Prints a summary and writes a folder with the report (one HTML file that works offline), result.json, trades.csv
    and signals.csv. Equal data and configuration give equal fingerprints.

        stakan backtest --data data -i BTCUSDT --set engine.candle_interval=1s
    """
    if run is not None:
        if data or start or stop or timerange or rules:
            raise ConfigError("--run is a market of its own: leave --data, --instruments and times out")
        source = from_run(run, instrument or ())
        settings = load_settings(config) if config is not None else recorded_settings(source)
        settings = overridden(settings, override or ())
    else:
        settings = load_settings(config, override or ())
        source = _source(data or [DEFAULT_DATA], instrument or settings.instruments, rules, (start, stop, timerange))
    folder = runs / (name or new_run_name(settings))
    with Logs(plan_of(settings.logs, "backtest"), secrets_to_hide()):
        result = _run(source, settings, folder, journal=journal, quiet=as_json)
    _show(result, folder, as_json=as_json)


def _source(
    paths: list[Path], names: Sequence[str], rules: Path | None, span: tuple[str | None, str | None, str | None]
) -> Source:
    """A store, or files; `span` is --from, --to and --timerange."""
    if any(path.is_file() for path in paths):
        if any(span):
            raise ConfigError("--from, --to and --timerange need a store: import the files first")
        return from_files(paths, known_instruments(DEFAULT_DATA, rules), names)
    if len(paths) != 1:
        raise ConfigError("--data names one store folder, or files")
    first, last = _span(*span)
    return from_store(paths[0], names, start=first, stop=last)


@reports_errors
def synthetic_command(
    *,
    minutes: Annotated[float, typer.Option(min=0.1, max=1440, help="Length of the synthetic market.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same market.")] = 7,
    config: ConfigFile = None,
    override: Overrides = None,
    runs: RunsFolder = RUNS,
    as_json: AsJson = False,
) -> None:
    """Generate a synthetic market of three symbols and backtest the whole engine on it.

    No account, no keys, no network, no data needed. The market is synthetic and labelled so; nothing that happens in
    it says anything about profit.
    """
    settings = load_settings(config, [*(() if config else SYNTHETIC_SETTINGS), *(override or ())])
    market = demo_config(seed=seed, duration_ns=Nanos(int(minutes * MINUTE)))
    folder = runs / f"synthetic-{new_run_name(settings)}"
    if not as_json:
        out().print(f"[bold]stakan synthetic[/]: {minutes:g} minutes of a synthetic market, seed {seed}")
    result = _run(from_generator(market), settings, folder, journal=True, quiet=as_json)
    planted = _label(market, folder / TRUTH_FILE)
    _show(result, folder, as_json=as_json)
    if not as_json:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(planted.items()))
        out().print(f"Planted     {counts}: {folder / TRUTH_FILE}", soft_wrap=True)


def _label(market: SyntheticConfig, file: Path) -> Counter[str]:
    """Write what the generator planted into its market (one more pass over it); returns how many of each kind."""
    truth = SyntheticMarket(market).truth()
    try:
        with file.open("wb") as stream:
            truth.write(stream)
    except OSError as error:
        raise StorageError(f"cannot write {file}: {error.strerror}") from error
    return Counter(episode.kind.replace("_", " ") for episode in truth.episodes)


SYNTHETIC_SETTINGS = ("engine.candle_interval=1s", "densities.min_notional=50000")
"""Where no file says otherwise: ten minutes need short candles, and synthetic walls are worth less than real ones."""


def _run(source: Source, settings: Settings, folder: Path, *, journal: bool, quiet: bool) -> RunResult:
    with compiling(quiet=quiet):
        warm_up(settings)
    with _progress(source, quiet=quiet) as progress:
        return run_backtest(source, settings, folder, journal=journal, progress=progress)


def _show(result: RunResult, folder: Path, *, as_json: bool) -> None:
    if as_json:
        write_json(result)
        return
    print_summary(result, out(), folder)


def _span(start: str | None, stop: str | None, timerange: str | None) -> tuple[int, int]:
    if timerange is not None:
        if start or stop:
            raise ConfigError("--timerange stands for --from and --to: give one or the other")
        first, dash, last = timerange.partition("-")
        if not dash:
            raise ConfigError(f"--timerange {timerange!r} should be YYYYMMDD-YYYYMMDD; either side may be empty")
        start, stop = first or None, last or None
    return parse_time(start) if start else BEGINNING, parse_time(stop) if stop else END


@contextmanager
def _progress(source: Source, *, quiet: bool) -> Iterator[Report]:
    """A bar over market time with the rate of events and the time left."""
    known = source.last_ts > source.first_ts
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=errors(),
        transient=True,
        disable=quiet,
    )
    began = time.perf_counter()
    seen = 0
    with bar:
        task = bar.add_task("running", total=source.last_ts - source.first_ts if known else None, rate="")

        def report(ts: int, events: int) -> None:
            nonlocal seen
            seen += events
            spent = max(time.perf_counter() - began, 1e-9)
            rate = f"{ns_text(ts)[:19]}  {seen / spent:,.0f} events/s"
            bar.update(task, completed=ts - source.first_ts if known else None, rate=rate)

        yield report
