"""Retention beside a running bot: its limits hold whatever the database does, and nothing is lost by it."""

import errno
import fcntl
import itertools
import os
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.adapters.journal.builders import encode
from tests.adapters.sql.journals import a_header, number_of
from tests.apps.projected import RUN, Bot
from typer.testing import CliRunner

from stakan.adapters.journal.records import Market
from stakan.adapters.journal.report import verify
from stakan.adapters.journal.writing import FileJournal
from stakan.apps.cli.main import app
from stakan.apps.cli.output import EXIT_DATA
from stakan.apps.journal_pruning import EVERY_NS, FIRST_NS, NICENESS, Pruning, prune, pruned
from stakan.apps.live.state_folder import RUNS
from stakan.apps.projector import StateJournals, only_projector
from stakan.apps.recorded_run import JOURNAL_FOLDER
from stakan.core.domain.errors import StorageError
from stakan.core.domain.units import MINUTE

LATER = RUN.replace("221350", "231350")
FOREVER = 2**62


class Child:
    def __init__(self, code=None):
        self.code = code
        self.log = "pruning.log"
        self.stopped = []

    def stop(self, within):
        self.stopped.append(within)
        return 0


def begun_by(children, *, fails=()):
    """Makes children that end when a test says so; the named ones cannot be made."""

    def begin(_folder):
        if len(children) in fails:
            children.append(None)
            raise OSError("no room for a process")
        children.append(Child())
        return children[-1]

    return begin


def a_killed_run(state):
    """The first half is read, then the rest comes and a later run carries on; gives the bot and the reader."""
    bot = Bot(state, length=12)
    bot.live(20)
    tail = StateJournals(state)
    tail.runs()
    read = list(tail.after(RUN, 0))
    bot.live()
    bot.journal.abandon()
    header = msgspec.structs.replace(a_header(), carried_from=RUN)
    number = bot.steps[-1][1].number
    FileJournal(state / RUNS / LATER / JOURNAL_FOLDER, header, carried=(number, b"state")).close()
    return tail, read


def decisions(records):
    return encoded(record for record in records if not isinstance(record, Market))


def encoded(records):
    """Events are equal to nothing but themselves."""
    return [encode(record) for record in records]


def ended(process):
    while process.code is None:
        time.sleep(0.05)
    assert process.code == 0, process.tail()


# --- when -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 90), st.booleans(), st.sampled_from([0, 1])), max_size=60))
def test_one_at_a_time_and_one_an_hour(looks):
    now, children = 0, []
    pruning = Pruning("state", now, begun_by(children))
    began, problems, failed = [], [], 0
    for minutes, ends, code in looks:
        now += minutes * MINUTE
        running = [child for child in children if child.code is None]
        if ends and running:
            running[0].code = code
            failed += code
        count = len(children)
        is_free = not [child for child in children if child.code is None]
        problem = pruning.look(now)
        problems += [problem] if problem is not None else []
        if len(children) > count:
            began.append(now)
        else:
            assert not is_free or problem is not None or now < (began[-1] + EVERY_NS if began else FIRST_NS)
        assert len([child for child in children if child.code is None]) <= 1
    assert len(problems) == failed
    assert all(later - earlier >= EVERY_NS for earlier, later in itertools.pairwise(began))


def test_a_process_that_cannot_be_made_is_told_of_and_tried_again():
    children = []
    pruning = Pruning("state", 0, begun_by(children, fails=(0,)))
    assert pruning.look(FIRST_NS - 1) is None
    assert "no room for a process" in pruning.look(FIRST_NS)
    assert pruning.look(FIRST_NS + 1) is None
    assert pruning.look(FIRST_NS + EVERY_NS) is None
    assert children[1].code is None


def test_what_is_under_way_is_ended_with_the_bot():
    children = []
    pruning = Pruning("state", 0, begun_by(children))
    pruning.stop()
    pruning.look(FIRST_NS)
    pruning.stop()
    assert len(children[0].stopped) == 1


# --- what -----------------------------------------------------------------------------------------------------------


def test_the_process_takes_market_data_of_more_than_a_day_ago(tmp_path):
    state = tmp_path / "state"
    tail, _ = a_killed_run(state)
    before = decisions(tail.after(RUN, 0))
    process = prune(state)
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == NICENESS
    ended(process)
    log = process.log.read_text()
    assert "segments pruned" in log
    ended(prune(state))
    assert process.log.read_text() == log, "a run that does nothing says nothing"
    assert all(one.is_distilled for one in verify(state / RUNS / RUN / JOURNAL_FOLDER).segments)
    assert encoded(StateJournals(state).after(RUN, 0)) == before


def test_what_a_projector_has_not_read_yet_keeps_its_decisions(tmp_path):
    """It was half way through a run of which nothing is needed any more but what has no row yet."""
    state = tmp_path / "state"
    tail, read = a_killed_run(state)
    reached = number_of(read[-1])
    unread = decisions(StateJournals(state).after(RUN, reached))
    assert unread
    assert all(one.segments for one in list(pruned(state, FOREVER, 0)))
    tail.runs()
    assert encoded(tail.after(RUN, reached)) == unread


def test_a_run_that_was_killed_before_it_began_keeps_nothing_from_being_pruned(tmp_path):
    state = tmp_path / "state"
    a_killed_run(state)
    nothing = state / RUNS / RUN.replace("221350", "225959") / JOURNAL_FOLDER
    nothing.mkdir(parents=True)
    (nothing / "000001.journal").touch()
    assert [len(one.segments) for one in pruned(state, FOREVER, 0)] == [1, 1]


def of_another_version(journal):
    for path in journal.iterdir():
        path.unlink()
    with FileJournal(journal, msgspec.structs.replace(a_header(), version=99)):
        pass


def damaged(journal):
    (path,) = journal.glob("*.journal")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    # What has a successor was on the disk as a whole.
    (journal / "000002.journal").touch()


@pytest.mark.parametrize("spoil", [of_another_version, damaged])
@pytest.mark.parametrize("spoiled", [RUN, LATER])
def test_one_journal_that_cannot_be_read_keeps_no_other_from_being_pruned(tmp_path, spoil, spoiled):
    state = tmp_path / "state"
    a_killed_run(state)
    journal, failed = state / RUNS / spoiled / JOURNAL_FOLDER, []
    spoil(journal)
    left = [path.read_bytes() for path in sorted(journal.iterdir())]
    done = list(pruned(state, FOREVER, 0, failed=failed.append))
    assert len(failed) == 1
    assert str(journal) in str(failed[0])
    assert [one.journal for one in done] == [
        str(state / RUNS / run / JOURNAL_FOLDER) for run in (LATER, RUN) if run != spoiled
    ]
    assert [path.read_bytes() for path in sorted(journal.iterdir())] == left


def test_a_damaged_journal_is_told_of_when_all_others_are_pruned(tmp_path):
    state = tmp_path / "state"
    a_killed_run(state)
    journal = state / RUNS / RUN / JOURNAL_FOLDER
    damaged(journal)
    done = CliRunner().invoke(app, ["journal", "prune", str(state), "--keep-size", "0B"])
    assert done.exit_code == EXIT_DATA
    assert f"{journal / '000001.journal'}: damaged block" in done.stderr
    assert all(one.is_distilled for one in verify(state / RUNS / LATER / JOURNAL_FOLDER).segments)


def test_only_a_lock_that_is_held_is_another_process(tmp_path, monkeypatch):
    state = tmp_path / "state"
    a_killed_run(state)

    def without_locks(_handle, _how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", without_locks)
    with pytest.raises(StorageError, match=r"cannot be locked: No locks available$"):
        list(pruned(state, FOREVER, 0))
    with pytest.raises(StorageError, match=r"cannot be locked: No locks available$"), only_projector(state):
        pass


def test_two_do_not_prune_one_journal_at_once(tmp_path):
    state = tmp_path / "state"
    a_killed_run(state)

    def meanwhile(_bytes):
        with pytest.raises(StorageError, match="by another process"):
            list(pruned(state, FOREVER, 0))
        met.append(True)

    met = []
    list(pruned(state, FOREVER, 0, lambda _journal: meanwhile))
    assert met
