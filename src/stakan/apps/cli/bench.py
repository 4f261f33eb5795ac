"""`stakan bench`: judge parts of stakan on recorded data."""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from stakan.apps.cli.output import EXIT_FAILED, count_progress, out, reports_errors, write_json
from stakan.apps.judge.contenders import contenders
from stakan.apps.judge.episodes import JUDGED_TIER, TIERS
from stakan.apps.judge.intervals import Estimate, Rate, Share
from stakan.apps.judge.order_truth import OrderScore, score_orders
from stakan.apps.judge.rounds import Course, Kind, Round, Seen, instead, play_all, rounds
from stakan.apps.judge.sessions import cache_folder
from stakan.apps.judge.verdict import Bar, LeftOut, Row, Standing, Verdict, thresholds, verdict
from stakan.apps.processes import interrupt_on_signals
from stakan.core.domain.errors import ConfigError

bench_app = typer.Typer(help="Judge parts of stakan on recorded data.", no_args_is_help=True)


@bench_app.callback()
def _group() -> None:
    """A group, though it has one command so far."""


@bench_app.command("detect")
@reports_errors
def detect_command(
    *,
    data: Annotated[
        Path | None, typer.Option("--data", envvar="STAKAN_DATA", help="Folder of recorded sessions; or STAKAN_DATA.")
    ] = None,
    detectors: Annotated[
        str | None, typer.Option(help="Names, separated by commas; default: all that are named after a pattern.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides what is planted, and when.")] = 1,
    episodes: Annotated[
        int, typer.Option(min=1, help="About so many of each family and tier in the test parts.")
    ] = 100,
    tier: Annotated[
        int | None, typer.Option(min=min(TIERS), max=max(TIERS), help="Only this one; default: all.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes. Costs are measured best with one.")] = 1,
    lobster: Annotated[
        bool, typer.Option("--lobster/--no-lobster", help="Also score against a day of orders whose ids are known.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON on stdout.")] = False,
) -> None:
    """Plant manipulation-shaped episodes into recorded books and score what the detectors say, beside a naive rule.

    Thresholds are chosen on the calibration part and all figures are of the test part. Exit code 1 where a bar that
    must be reached on tier 2 is missed.
    """
    interrupt_on_signals()
    if data is None:
        raise ConfigError("no recorded data: name its folder with --data or STAKAN_DATA")
    names = [name.strip() for name in detectors.split(",") if name.strip()] if detectors else []
    judged = contenders(names)
    tiers = TIERS if tier is None else (tier,)
    course = Course(data.resolve(), cache_folder(), seed, tuple(judged))
    wanted = rounds(episodes, tiers)
    again = [one for one in wanted if one.kind is not Kind.CURVE]
    with count_progress("rounds", len(wanted) + len(again), quiet=as_json) as advance:
        seen = _played(course, wanted, jobs, advance)
        chosen = thresholds(seen, judged, tiers)
        # Not only filtered: what is not said is not remembered as said.
        at = course._replace(contenders=tuple(one.at(chosen[one.name][0]) for one in judged if one.is_judged))
        as_run = instead(seen, _played(at, again, jobs, advance))
    found = verdict(seen, as_run, judged, chosen, seed, tiers)
    lowest = {one.name: chosen[one.name][0] for one in judged if one.is_judged}
    orders = score_orders(course.data, judged, lowest, seed) if lobster else []
    if as_json:
        write_json({"verdict": found, "orders": orders})
    else:
        _show(found)
        _show_orders(orders)
    if not found.holds:
        raise typer.Exit(EXIT_FAILED)


def _played(course: Course, wanted: list[Round], jobs: int, advance: Callable[[int], None]) -> list[Seen]:
    """What came of the rounds, in their order."""
    seen = []
    with closing(play_all(course, wanted, jobs)) as coming:
        for one in coming:
            seen.append(one)
            advance(1)
    return sorted(seen, key=lambda one: wanted.index(one.round))


def _show(found: Verdict) -> None:
    title = f"Detectors on planted episodes, test part, seed {found.seed}"
    out().print(_rows_table(title, found.rows))
    out().print(_standings_table(found.standings))
    out().print(
        f"{found.episodes:,} episodes and hard negatives in the test parts; at most {found.planted_share:.3%} of a "
        f"stretch's events planted. All detectors together cost {found.all_cost_us_p50:.1f} µs per book message "
        f"(p50), {found.all_cost_us_p99:.1f} µs (p99)."
    )
    if found.left_out:
        out().print(_left_out_table(found.left_out))
    out().print(_bars_table(found.bars))


def _show_orders(orders: Sequence[OrderScore]) -> None:
    if not orders:
        return
    title = f"Order-level truth, GOOG 2012-06-21: {orders[0].orders:,} spoof-shaped orders"
    names = ("threshold", "recall of orders", "precision of alarms", "AUC-PR", "by chance")
    table = _table(title, "detector", names)
    for one in orders:
        table.add_row(
            escape(one.detector),
            f"{one.threshold:.3f}",
            _share(one.recall),
            _share(one.precision),
            _estimate(one.auc_pr),
            f"{one.anomaly_share:.3f}",
        )
    out().print(table)


def _rows_table(title: str, rows: Sequence[Row]) -> Table:
    names = ("tier", "recall", "precision", "false, by the market", "on hard negatives", "AUC-PR at 5 %", "delay")
    table = _table(title, "detector", (*names, "before cancel", "aside"))
    for number, row in enumerate(rows):
        if number and row.detector != rows[number - 1].detector:
            table.add_section()
        table.add_row(
            escape(row.detector),
            str(row.tier),
            _share(row.recall),
            _share(row.precision),
            f"{row.false_alarms}, {row.market_alarms}",
            _share(row.hard_negative_rate),
            _estimate(row.auc_pr),
            "" if row.median_delay_s is None else f"{row.median_delay_s:.2f} s",
            _share(row.before_cancel),
            str(row.set_aside),
            style="bold" if row.tier == JUDGED_TIER else None,
        )
    return table


def _standings_table(standings: Iterable[Standing]) -> Table:
    names = ("threshold", "false alerts/h, quiet", "false alerts/h, liquid", "book p50, p99", "print p99")
    table = _table("Untouched recordings, test part; cost per message", "detector", names)
    for one in standings:
        table.add_row(
            escape(one.detector),
            f"{one.threshold:.3f}{'' if one.is_feasible else ' (misses a bar)'}",
            _rate(one.false_alerts_per_symbol_hour),
            _rate(one.liquid_alerts_per_symbol_hour),
            f"{one.cost_us_p50:.1f}, {one.cost_us_p99:.1f} µs",
            f"{one.print_cost_us_p99:.1f} µs",
        )
    return table


def _left_out_table(left_out: Iterable[LeftOut]) -> Table:
    table = _table(
        "Each family at the threshold that is best for the others", "family", ("threshold", "recall", "precision")
    )
    for one in left_out:
        table.add_row(one.family, f"{one.threshold:.3f}", _share(one.recall), _share(one.precision))
    return table


def _bars_table(bars: Iterable[Bar]) -> Table:
    table = _table(f"Must be reached, tier {JUDGED_TIER}", "detector", ("what", "must", "found", ""))
    for bar in bars:
        mark = "[green]✓[/]" if bar.holds else "[bold red]✗[/]"
        table.add_row(escape(bar.detector), bar.what, f"{bar.must:g}", f"{bar.found:.3g}", mark)
    return table


def _table(title: str, first: str, names: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    for name in names:
        table.add_column(name, justify="right")
    return table


def _share(one: Share) -> str:
    return f"{one.value:.0%} ({one.low:.0%} - {one.high:.0%}) of {one.of}" if one.of else "-"


def _rate(one: Rate) -> str:
    return f"{one.value:.2f} ({one.low:.2f} - {one.high:.2f})" if one.hours else "-"


def _estimate(one: Estimate) -> str:
    return "-" if math.isnan(one.value) else f"{one.value:.3f} ({one.low:.3f} - {one.high:.3f})"
