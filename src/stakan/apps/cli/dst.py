"""`stakan dst`: the whole bot in virtual time, through thousands of disasters, each of which can be repeated."""

import os
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from stakan.apps.cli.output import EXIT_FAILED, EXIT_INTERRUPTED, errors, out, reports_errors, write_json
from stakan.apps.dst import kept
from stakan.apps.dst.campaign import Totals, outcomes, run, since
from stakan.apps.dst.outcome import Outcome
from stakan.apps.dst.plan import BASE_S
from stakan.apps.processes import interrupt_on_signals

_STORIES = 3
"""Failing seeds whose story is told; the others are named."""


@reports_errors
def dst_command(
    *,
    seeds: Annotated[int, typer.Option(min=1, help="How many.")] = 100,
    first_seed: Annotated[int, typer.Option(min=0, help="They are counted from this one.")] = 1,
    seconds: Annotated[float, typer.Option(min=BASE_S, help="Simulated bad weather of each seed.")] = BASE_S,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; default: as many as there are cores.")] = None,
    kept_plans: Annotated[
        Path, typer.Option("--kept", help="TOML of plans that failed before, run first where the file exists.")
    ] = kept.FILE,
    keep: Annotated[bool, typer.Option("--keep", help="Add failing plans, shrunk, to that file.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End with the first seed that fails.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Totals and failing plans as JSON.")] = False,
) -> None:
    """Run the whole bot against the local exchange in virtual time, one seed after the other, and check its invariants.

    A seed decides everything: market, delays, lost connections, what the exchange refuses, tells twice or lies about,
    when clocks jump. The same seed is the same run, to the last frame. A seed that breaks an invariant is made as
    small as possible and printed with its story; exit code 1.

        stakan dst --seeds 1000 --first-seed 5000

    Interrupted, it says what it has seen until then; exit code 130.
    """
    interrupt_on_signals()
    began = time.monotonic()
    is_interrupted = False
    totals = Totals()
    before = kept.read(kept_plans)
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors(),
        transient=True,
        disable=as_json,
    )
    with bar, suppress(KeyboardInterrupt):
        is_interrupted = True
        task = bar.add_task("seeds", total=len(before) + seeds)
        for one in before:
            totals.add(run(one.plan))
            bar.advance(task)
        numbers = range(first_seed, first_seed + seeds)
        with closing(outcomes(numbers, seconds, jobs or os.cpu_count() or 1)) as coming:
            for outcome in coming:
                totals.add(outcome)
                bar.update(task, advance=1, description=_progress(totals))
                if stop and totals.failed:
                    break
        is_interrupted = False
    totals.wall_s = round(since(began), 1)
    totals.failed.sort(key=lambda outcome: outcome.plan.seed)
    if keep:
        for outcome in totals.failed:
            kept.add(kept_plans, _kept(outcome))
    if as_json:
        write_json(totals)
    else:
        _show(totals)
    if totals.failed:
        raise typer.Exit(EXIT_FAILED)
    if is_interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


def _progress(totals: Totals) -> str:
    return "seeds" if not totals.failed else f"seeds, [red]{len(totals.failed)} failed[/]"


def _kept(outcome: Outcome) -> kept.KeptPlan:
    assert outcome.breach is not None
    return kept.KeptPlan(invariant=outcome.breach.invariant, what=outcome.breach.what, plan=outcome.plan)


def _show(totals: Totals) -> None:
    table = Table(title="Simulated", show_header=False, title_justify="left")
    table.add_row("Seeds", f"{totals.seeds:,}, {totals.passed:,} without a breach")
    hours, rest = divmod(int(totals.simulated_s), 3600)
    table.add_row("Time", f"{hours} h {rest // 60:02d} min {rest % 60:02d} s")
    table.add_row("Calls, frames, steps", f"{totals.calls:,}, {totals.frames:,}, {totals.steps:,}")
    table.add_row("Orders, executions", f"{totals.orders:,}, {totals.executions:,}")
    table.add_row("Faults", f"{totals.fault_count:,}")
    for name, count in sorted(totals.faults.items(), key=lambda item: -item[1]):
        table.add_row("", f"{count:,} {name}")
    table.add_row("Kills, restarts", f"{totals.kills:,}, {totals.restarts:,}")
    mended = ", ".join(f"{count:,} {name}" for name, count in totals.mended.items())
    table.add_row("In the bot's books", mended or "nothing to mend")
    table.add_row("Took", f"{totals.wall_s:,.1f} s, {totals.seeds / max(totals.wall_s, 0.1):.2f} seeds/s")
    out().print(table)
    for outcome in totals.failed[:_STORIES]:
        _tell(outcome)
    for outcome in totals.failed[_STORIES:]:
        out().print(_line(outcome), soft_wrap=True)


def _tell(outcome: Outcome) -> None:
    out().print()
    out().print(_line(outcome), soft_wrap=True)
    for line in outcome.story:
        out().print(f"  [dim]{escape(line)}[/]", soft_wrap=True)
    out().print(escape(kept.text(_kept(outcome))), soft_wrap=True)


def _line(outcome: Outcome) -> str:
    breach = outcome.breach
    assert breach is not None
    which = "shows too little" if breach.invariant < 0 else f"invariant {breach.invariant}"
    return f"[bold red]Seed {outcome.plan.seed}, {which}, after {breach.at_s:g} s:[/] {escape(breach.what)}"
