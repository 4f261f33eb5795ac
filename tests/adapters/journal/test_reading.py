"""What was written is read: everything, from a step on, and as it grows."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.journal.builders import (
    MIXED,
    a_header,
    a_journal,
    a_step,
    a_timer,
    encode,
    write,
    write_step,
)
from tests.core.domain.samples import members, sample

from stakan.adapters.journal.reading import (
    Follower,
    is_complete,
    read_events,
    read_header,
    read_recorded,
    read_records,
    read_steps,
    records_after,
)
from stakan.adapters.journal.records import End, Header, Inbox, Market, Outcome, number_of
from stakan.core.domain.commands import AnyCommand
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import AnyEvent
from stakan.core.domain.facts import AnyFact
from stakan.core.domain.step import Step

every_event = st.lists(st.tuples(st.sampled_from(members(AnyEvent)), st.booleans()), max_size=25).map(
    lambda kinds: [sample(kind, fill) for kind, fill in kinds]
)


@settings(max_examples=40)
@given(every_event)
def test_every_event_comes_back_in_its_place(tmp_path_factory, events):
    folder = write(tmp_path_factory.mktemp("journal") / "run", events)
    read = list(read_events(folder))
    assert [number for number, _ in read] == list(range(1, len(events) + 1))
    assert [encode(event) for _, event in read] == [encode(event) for event in events]


def test_header_and_steps_come_back(tmp_path):
    folder = write(tmp_path, MIXED)
    assert read_header(folder) == a_header()
    assert list(read_steps(folder)) == [a_step(number, MIXED[number - 1].ts_recv) for number in (1, 2, 4, 5)]
    assert is_complete(folder)


def test_every_fact_and_command_comes_back(tmp_path):
    step = Step(
        1,
        2,
        tuple(sample(kind, fill=True) for kind in members(AnyFact)),
        tuple(sample(kind, fill=True) for kind in members(AnyCommand)),
    )
    with a_journal(tmp_path) as journal:
        journal.event(1, a_timer(1))
        journal.append(step)
    assert list(read_steps(tmp_path)) == [step]


def test_a_step_that_was_recorded_twice_is_named(tmp_path):
    with a_journal(tmp_path) as journal:
        journal.event(1, a_timer(1))
        journal.append(a_step(1, 1))
        journal.append(a_step(1, 1))
    with pytest.raises(DataError, match="step 1 was recorded without its event, or twice"):
        list(read_recorded(tmp_path))


def test_records_stand_in_their_total_order_and_market_data_can_be_left_out(tmp_path):
    folder = write(tmp_path, MIXED)
    kinds = [type(record) for record in read_records(folder)]
    assert kinds == [Header, Inbox, Outcome, Market, Outcome, Market, Inbox, Outcome, Market, Outcome, Inbox, End]
    assert [type(record) for record in read_records(folder, market=False)] == [
        one for one in kinds if one is not Market
    ]


@settings(max_examples=40)
@given(st.integers(0, 30), st.integers(0, 30), st.booleans())
def test_records_after_a_step_are_those_of_the_steps_behind_it(tmp_path_factory, count, after, market):
    folder = write(tmp_path_factory.mktemp("after") / "run", (MIXED * 5)[:count])
    whole = [one for one in read_records(folder, market=market) if number_of(one) > after or isinstance(one, End)]
    assert list(map(encode, records_after(folder, after, market=market))) == list(map(encode, whole))


@settings(max_examples=40)
@given(st.lists(st.integers(0, 7), min_size=1, max_size=12), st.booleans())
def test_who_follows_a_growing_journal_gets_every_record_once(tmp_path_factory, portions, ends):
    folder = tmp_path_factory.mktemp("growing") / "run"
    follower = Follower(folder, 0)
    assert list(follower.blocks()) == []
    journal = a_journal(folder)
    number, seen = 0, []
    for portion in portions:
        for _ in range(portion):
            number += 1
            write_step(journal, number, a_timer(number))
        journal.flush()
        seen += [record for records in follower.blocks() for record in records]
        assert follower.number == number
    (journal.close if ends else journal.abandon)()
    seen += [record for records in follower.blocks() for record in records]
    assert list(map(encode, seen)) == [encode(one) for one in read_records(folder) if not isinstance(one, Header)]
    assert follower.is_over == ends
    assert list(follower.blocks()) == []


def test_what_is_no_journal_is_named(tmp_path):
    for read in (read_header, lambda folder: list(read_events(folder))):
        with pytest.raises(DataError, match="holds no journal"):
            read(tmp_path / "nothing")
    (tmp_path / "000001.journal").write_bytes(b"text")
    with pytest.raises(DataError, match="there is no header"):
        read_header(tmp_path)


def test_a_journal_of_another_version_is_refused(tmp_path):
    folder = write(tmp_path, [], header=a_header(version=99))
    with pytest.raises(DataError, match="journal version 99, this release reads 2"):
        read_header(folder)
