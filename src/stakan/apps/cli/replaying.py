"""`stakan replay`, and what it shares with `stakan journal replay`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from stakan.adapters.journal.reading import read_span
from stakan.apps.cli.output import EXIT_DATA, count_progress, errors, out, reports_errors, write_json
from stakan.apps.recorded_run import journal_of
from stakan.apps.replay import JournalReplay, replay_journal, start_of

After = Annotated[
    int | None,
    typer.Option("--from", min=0, help="Begin with the newest state at or before this step, instead of the first."),
]
Jobs = Annotated[
    int | None, typer.Option(min=1, help="Processes; default: as many as there are cores, where there is enough to do.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]


@reports_errors
def replay_command(
    journal: Annotated[Path, typer.Argument(help="Folder of a journal, or of a run made with --journal.")],
    *,
    after: After = None,
    jobs: Jobs = None,
    as_json: AsJson = False,
) -> None:
    """Compute every step of a journal again and compare it with what was recorded. Exit code 3 where they differ.

    So are the states that were written on the way: the parts between them are computed side by side. Begins with the
    state that the run carried on from, or, where market data was distilled away, with the first state after which it is
    whole. A run without an orderly end is computed as far as it was written.
    """
    answer = replayed(journal_of(journal), after, jobs, quiet=as_json)
    if as_json:
        write_json(answer)
    if not answer.is_equal:
        raise typer.Exit(EXIT_DATA)


def replayed(journal: Path, after: int | None, jobs: int | None, *, quiet: bool) -> JournalReplay:
    """Compute one journal again with a bar, and print what came of it; neither where it is to be `quiet`."""
    count = read_span(journal).last - start_of(journal, after).number
    with count_progress(f"replaying {journal}", count, quiet=quiet) as advance:
        answer = replay_journal(journal, after, advance, jobs)
    if not quiet:
        _print(journal, answer)
    return answer


def _print(journal: Path, answer: JournalReplay) -> None:
    began = f" after step {answer.after:,}" if answer.after else ""
    what = f"{escape(str(journal))}: {answer.steps:,} steps{began} computed again"
    if answer.is_equal:
        states = f", with {answer.states:,} recorded states on the way" if answer.states else ""
        out().print(f"[green]{what}, all equal{states}[/]", soft_wrap=True)
    else:
        errors().print(f"[bold red]{what}, {', and '.join(_flaws(answer))}[/]", soft_wrap=True)
    if not answer.is_complete:
        out().print("[yellow]no orderly end: computed as far as it was written[/]")


def _flaws(answer: JournalReplay) -> Iterator[str]:
    if answer.differences:
        yield f"{answer.differences:,} differ, the first is {answer.first_difference:,}"
    if answer.first_other_state is not None:
        yield f"the state after step {answer.first_other_state:,} is another than the recorded one"
