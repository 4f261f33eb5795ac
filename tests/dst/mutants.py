"""Safeguards taken out by hand, one at a time: each must make the simulation fail within 200 seeds.

    python -m tests.dst.mutants
    python -m tests.dst.mutants --only stop --seeds 50

Each is taken out of a copy of the source tree, and `stakan dst` is run on the copy until its first failing seed. Exit
code 1 where one is not missed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

import stakan
from stakan.apps.dst.invariants import Breach
from stakan.apps.dst.outcome import Outcome
from stakan.apps.processes import STAKAN

SOURCE = Path(stakan.__file__).parent
SEEDS = 200


class Edit(NamedTuple):
    """A piece of a source file, and what stands there without the safeguard."""

    file: str
    old: str
    new: str


class Mutant(NamedTuple):
    """A safeguard that is not there."""

    name: str
    without: str
    edits: tuple[Edit, ...]


_LOOP = "apps/live/loop.py"
_OUTCOMES = "adapters/exchanges/bybit/outcomes.py"
_CARRY = "core/engine/carry.py"

MUTANTS = (
    Mutant(
        "sync",
        "write-ahead: the journal is not synced before orders leave",
        (Edit(_LOOP, "            self._sync()\n", ""),),
    ),
    Mutant(
        "sync-later",
        "write-ahead: orders leave first, then the journal is synced",
        (
            Edit(_LOOP, "            self._sync()\n", ""),
            Edit(
                _LOOP,
                "            self._counterparty.release()\n",
                "            self._counterparty.release()\n            self._sync()\n",
            ),
        ),
    ),
    Mutant(
        "datasync",
        "write-ahead: the journal is handed to the system, not to the disk",
        (
            Edit(
                "adapters/journal/writing.py",
                "        self._seal(fast=True)\n        self._segment.sync()\n\n    def flush",
                "        self._seal(fast=True)\n        self._write()\n\n    def flush",
            ),
        ),
    ),
    Mutant(
        "audit",
        "audit log: how an order went on is not written",
        (
            Edit(
                "adapters/sql/folding/orders.py",
                "    _audited(draft, fact, trace)\n    filled =",
                "    if fact.before is None:\n        _audited(draft, fact, trace)\n    filled =",
            ),
        ),
    ),
    Mutant(
        "look-up",
        "look-up: an order without an answer stays unknown",
        (
            Edit(
                _OUTCOMES,
                'outcome unknown: {why}")\n        self._look_up.begin(flight, why=why)\n',
                'outcome unknown: {why}")\n',
            ),
        ),
    ),
    Mutant(
        "given-up",
        "look-up: an order without an answer counts as one that never arrived",
        (
            Edit(
                _OUTCOMES,
                'outcome unknown: {why}")\n        self._look_up.begin(flight, why=why)\n',
                'outcome unknown: {why}")\n        self._flights.not_sent(flight, why)\n',
            ),
        ),
    ),
    Mutant(
        "stop",
        "stop: the entry's request does not carry it",
        (
            Edit(
                "adapters/exchanges/bybit/bodies.py",
                '        body["stopLoss"] = _text(rules.price(order.stop_loss))\n',
                '        body["tpslMode"] = "Full"\n',
            ),
        ),
    ),
    Mutant(
        "in-flight",
        "exposure: orders under way do not count",
        (
            Edit(
                "core/portfolio/portfolio.py",
                "        return max(abs(size), abs(size + flying.buys + more_buys), abs(size - flying.sells - more_sells))\n",
                "        return max(abs(size), abs(size + more_buys), abs(size - more_sells))\n",
            ),
        ),
    ),
    Mutant(
        "second-entry",
        "exposure: a second entry may leave while one is under way",
        (
            Edit(
                "core/engine/entries.py",
                "    if state.plan is not None or portfolio.position(state.rules.id) is not None:\n",
                "    position = portfolio.position(state.rules.id)\n    if position is not None and position.size:\n",
            ),
            Edit("core/engine/entries.py", "    if portfolio.orders.of(state.rules.id):\n", "    if False:\n"),
            Edit(
                "core/portfolio/portfolio.py",
                "        if order.purpose is Purpose.ENTRY and (reason := self.entry_refusal(order)) is not None:\n",
                "        if (reason := None) is not None:\n",
            ),
        ),
    ),
    Mutant(
        "halt",
        "latch: a halt does not outlive the process",
        (
            Edit(
                _CARRY,
                "    begun.halted_for, begun.halted_day, begun.paused = state.halted_for, state.halted_day, state.paused\n",
                "    begun.paused = state.paused\n",
            ),
        ),
    ),
    Mutant(
        "loss",
        "latch: a day's loss, and the halt for it, do not outlive the process",
        (
            Edit(
                _CARRY,
                "    begun.halted_for, begun.halted_day, begun.paused = state.halted_for, state.halted_day, state.paused\n",
                "    begun.paused = state.paused\n"
                "    if state.halted_for == 'daily_loss':\n"
                "        portfolio.ledger.acknowledge_loss()\n"
                "    else:\n"
                "        begun.halted_for, begun.halted_day = state.halted_for, state.halted_day\n",
            ),
        ),
    ),
    Mutant(
        "pause",
        "latch: a pause does not outlive the process",
        (
            Edit(
                _CARRY,
                "    begun.halted_for, begun.halted_day, begun.paused = state.halted_for, state.halted_day, state.paused\n",
                "    begun.halted_for, begun.halted_day = state.halted_for, state.halted_day\n",
            ),
        ),
    ),
)


class Found(NamedTuple):
    """What came of a mutant; no breach where it was not missed."""

    mutant: Mutant
    places: tuple[str, ...]
    """File and line of what was taken out."""
    seed: int
    breach: Breach | None


class NoMatch(Exception):
    """A safeguard does not stand where it should."""


def place(edit: Edit, source: Path = SOURCE) -> str:
    """File and line; raises NoMatch where its text is not there exactly once."""
    text = (source / edit.file).read_text()
    times = text.count(edit.old)
    if times != 1:
        raise NoMatch(f"{edit.file} has {edit.old!r} {times} times instead of once")
    line = text[: text.index(edit.old)].count("\n") + 1
    return f"{edit.file}:{line}"


def apply(mutant: Mutant, source: Path) -> None:
    """Take it out of a tree; raises NoMatch."""
    for edit in mutant.edits:
        place(edit, source)
        file = source / edit.file
        file.write_text(file.read_text().replace(edit.old, edit.new))


def hunt(mutant: Mutant, seeds: int = SEEDS, first_seed: int = 1) -> Found:
    """Take it out of a copy of the source, and run seeds on that until one fails.

    Raises NoMatch, and RuntimeError where nothing can be run or that seed fails with the safeguard in its place too.
    """
    places = tuple(place(edit) for edit in mutant.edits)
    with tempfile.TemporaryDirectory(prefix="stakan-mutant-") as folder:
        failed = simulated(copied(mutant, Path(folder)), seeds, first_seed).failed
    if not failed:
        return Found(mutant, places, first_seed + seeds - 1, None)
    (outcome,) = failed
    if simulated(SOURCE.parent, 1, outcome.plan.seed).failed:
        raise RuntimeError(f"seed {outcome.plan.seed} fails with every safeguard in its place: mend that first")
    return Found(mutant, places, outcome.plan.seed, outcome.breach)


def copied(mutant: Mutant, folder: Path) -> Path:
    """A copy of the source without the safeguard, in a folder; raises NoMatch."""
    # With what was compiled before, and the times of files by which that is known to be of them.
    shutil.copytree(SOURCE, folder / SOURCE.name)
    apply(mutant, folder / SOURCE.name)
    return folder


class Totals(msgspec.Struct):
    """What `stakan dst` says, as far as it matters here."""

    seeds: int
    failed: list[Outcome]


def simulated(folder: Path, seeds: int, first_seed: int) -> Totals:
    """Run seeds on the source in a folder until one fails; raises RuntimeError where it cannot be run."""
    words = [*STAKAN, "dst", "--jobs", "1", "--stop", "--json", "--kept", str(folder / "none.toml")]
    words += ["--seeds", str(seeds), "--first-seed", str(first_seed)]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(words, env=environment, capture_output=True, check=False)
    try:
        return msgspec.json.decode(done.stdout, type=Totals)
    except msgspec.DecodeError as error:
        raise RuntimeError(f"the simulation ended with {done.returncode}: {done.stderr.decode()[-2000:]}") from error


def main(words: Sequence[str] | None = None) -> int:
    """Print a table; 1 where a safeguard is not missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.dst.mutants", description=__doc__)
    parser.add_argument("--only", choices=[mutant.name for mutant in MUTANTS], help="one of them")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="at most (default %(default)s)")
    arguments = parser.parse_args(words)
    table = Table(title="Safeguards taken out", title_justify="left")
    for heading in ("name", "safeguard", "where", "seed", "breaks", "what"):
        table.add_column(heading, overflow="fold")
    survived = 0
    for mutant in MUTANTS:
        if arguments.only not in (None, mutant.name):
            continue
        found = hunt(mutant, arguments.seeds)
        survived += found.breach is None
        table.add_row(*_row(found))
        Console(stderr=True).print(*_row(found), sep=" | ", soft_wrap=True, markup=False)
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    return 1 if survived else 0


def _row(found: Found) -> tuple[str, ...]:
    places = "\n".join(found.places)
    if found.breach is None:
        return found.mutant.name, found.mutant.without, places, f"> {found.seed}", "nothing", "NOT MISSED"
    broken, what = str(found.breach.invariant), found.breach.what
    return found.mutant.name, found.mutant.without, places, str(found.seed), broken, what


if __name__ == "__main__":
    sys.exit(main())
