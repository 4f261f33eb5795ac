"""A full disk: what waits, what fails, when it is over; and parts that come and go."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.apps.live.sockets import a_run, eagerly

from stakan.adapters.journal.reading import read_steps
from stakan.apps.live.durable import Durable
from stakan.apps.live.mode import Mode
from stakan.apps.live.parts import MOST_SKEW_NS, Parts, lack_of_room, wrong_clock
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.errors import DiskFull, StorageError
from stakan.core.domain.events import Impaired, Restored
from stakan.core.domain.facts import PartChanged, SignalRefused
from stakan.core.domain.reasons import Reason


class FakeJournal:
    """Counts what is written; there is room for so many blocks, and for one more with the ballast's."""

    def __init__(self, room):
        self.room = room
        self.ballast = 1
        self.waiting, self.written = 0, 0

    def event(self, number, event):
        self.waiting += 1
        self._write()

    def append(self, step):
        self.waiting += 1

    def snapshot(self, number, state):
        self._write()

    def flush(self):
        self._write()

    def sync(self):
        self._write()

    close = sync

    def abandon(self):
        pass

    def release_ballast(self):
        freed, self.ballast = self.ballast, 0
        self.room += freed
        return freed > 0

    def hold_ballast(self):
        if not self.room:
            raise DiskFull("no room for the ballast")
        self.room, self.ballast = self.room - 1, 1
        return True

    def _write(self):
        if self.waiting and not self.room:
            raise DiskFull("the disk is full")
        if self.waiting:
            self.room -= 1
            self.written, self.waiting = self.written + self.waiting, 0


def test_a_full_disk_is_told_once_and_what_was_given_waits():
    told = []
    journal = FakeJournal(room=0)
    durable = Durable(journal, told.append)
    durable.event(1, None)
    durable.flush()
    durable.event(2, None)
    assert told == ["the disk is full"]
    assert journal.written + journal.waiting == 2


def test_a_full_disk_is_not_asked_again_at_every_flush():
    journal = FakeJournal(room=0)
    durable = Durable(journal, lambda _: None)
    durable.append(None)
    durable.flush()
    for _ in range(3):
        durable.append(None)
        durable.flush()
    assert (journal.written, journal.room) == (0, 1)
    durable.sync()
    assert (journal.written, journal.waiting) == (4, 0)


def test_orders_leave_with_the_room_of_the_ballast_and_not_without_any():
    journal = FakeJournal(room=0)
    durable = Durable(journal, lambda _: None)
    durable.append(None)
    durable.sync()
    assert journal.written == 1
    durable.append(None)
    with pytest.raises(DiskFull):
        durable.sync()


@given(rooms=st.lists(st.integers(0, 2), max_size=20))
def test_it_is_over_when_all_that_waited_is_written_and_the_ballast_is_there_again(rooms):
    told = []
    journal = FakeJournal(room=0)
    durable = Durable(journal, told.append)
    for number, more in enumerate(rooms):
        durable.event(number, None)
        journal.room += more
        if durable.has_room():
            assert journal.waiting == 0
            assert journal.ballast == 1 or not told


def test_another_error_of_the_journal_is_not_swallowed():
    class Broken(FakeJournal):
        def flush(self):
            raise StorageError("permission denied")

    with pytest.raises(StorageError, match="permission"):
        Durable(Broken(1), lambda _: None).flush()


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([None, "x", "y"]))))
def test_parts_tell_of_changes_alone(reports):
    told = []
    parts = Parts(told.append, lambda: 1)
    for part, why in reports:
        parts.report(part, why)
    for part in "ab":
        kinds = [type(event) for event in told if event.part == part]
        assert kinds == [Impaired, Restored] * (len(kinds) // 2) + [Impaired] * (len(kinds) % 2)
        assert (part in parts.away) == (len(kinds) % 2 == 1)


def test_a_disk_counts_as_full_until_there_is_some_more_room_than_demanded(tmp_path):
    assert lack_of_room(tmp_path, 0, was_full=False) is None
    why = lack_of_room(tmp_path, 10**9, was_full=False)
    assert why is not None
    assert "trade.min_free_mb" in why


def test_a_clock_is_wrong_beyond_the_limit_on_either_side():
    assert wrong_clock(MOST_SKEW_NS) is None
    assert "+5.0 s off" in (wrong_clock(-MOST_SKEW_NS - 1) or "")
    assert "-5.0 s off" in (wrong_clock(MOST_SKEW_NS + 1) or "")


@pytest.mark.usefixtures("compiled", "keys")
def test_a_bot_whose_disk_is_nearly_full_opens_nothing_and_says_so(tmp_path):
    asyncio.run(a_run(Mode.TESTNET, tmp_path / "s", 6, *eagerly(), "trade.min_free_mb=1000000000"))
    (run,) = (tmp_path / "s" / "runs").iterdir()
    steps = list(read_steps(run / "journal"))
    facts = [fact for step in steps for fact in step.facts]
    assert any(isinstance(fact, PartChanged) and fact.part == "disk" for fact in facts)
    assert Reason.IMPAIRED in {fact.reason for fact in facts if isinstance(fact, SignalRefused)}
    assert not [one for step in steps for one in step.commands if isinstance(one, SubmitOrder)]
