"""The journal on disk: what was written is read, what was damaged is named and never guessed around."""

import struct
import zlib
from contextlib import suppress
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.domain.samples import members, sample
from tests.core.engine.builders import a_snapshot, an_instrument

from stakan.adapters.journal.files import (
    DECISIONS,
    MARKET,
    FileJournal,
    is_complete,
    read_events,
    read_header,
    read_records,
    read_states,
    read_steps,
)
from stakan.adapters.journal.records import ENCODER, End, Header, Inbox, Market, Outcome, StateSnapshot
from stakan.core.domain.commands import AnyCommand, SetTimer
from stakan.core.domain.errors import DataError, StorageError
from stakan.core.domain.events import AnyEvent, MarketEvent, TimerFired, encode_array
from stakan.core.domain.facts import AnyFact, EquityMarked
from stakan.core.domain.step import Step

encode = msgspec.msgpack.Encoder(enc_hook=encode_array).encode


def a_header(**changes):
    values = {
        "stakan": "1",
        "account": "main",
        "run_epoch": "e",
        "config_hash": "h",
        "config": "text",
        "instruments": (an_instrument(),),
        "feature_set": "f",
    }
    return Header(**{**values, **changes})


def a_step(number, *, is_empty=False):
    facts = (EquityMarked(balance=Decimal(number), unrealised_pnl=Decimal(0), exposure=Decimal("0.10")),)
    return Step(number, number, () if is_empty else facts)


def a_timer(number):
    return TimerFired(ts_event=number, ts_recv=number, key="k")


def write(folder, events, *, with_market=True, header=None):
    with FileJournal(folder, header or a_header(), with_market=with_market) as journal:
        for number, event in enumerate(events, 1):
            journal.event(number, event)
            journal.append(a_step(number, is_empty=number % 3 == 0))
    return folder


MIXED = [a_timer(1), a_snapshot(), a_snapshot(), a_timer(2), a_snapshot(), a_timer(3)]
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
    assert list(read_steps(folder)) == [a_step(number) for number in (1, 2, 4, 5)]
    assert [type(record) for record in read_records(folder / DECISIONS)][-1] is End


def test_every_fact_and_command_comes_back(tmp_path):
    step = Step(
        1,
        2,
        tuple(sample(kind, fill=True) for kind in members(AnyFact)),
        tuple(sample(kind, fill=True) for kind in members(AnyCommand)),
    )
    with FileJournal(tmp_path, a_header()) as journal:
        journal.append(step)
    assert list(read_steps(tmp_path)) == [step]


def test_market_events_lie_apart_from_decisions(tmp_path):
    folder = write(tmp_path, MIXED)
    kinds = {type(record) for record in read_records(folder / DECISIONS)}
    assert kinds == {Header, Inbox, Outcome, End}
    assert [record.number for record in read_records(folder / MARKET)] == [2, 3, 5]
    assert all(isinstance(record.event, MarketEvent) for record in read_records(folder / MARKET))


def test_a_snapshot_of_state_stands_after_its_step(tmp_path):
    with FileJournal(tmp_path, a_header()) as journal:
        journal.append(a_step(1))
        journal.snapshot(1, b"\x00state\xff")
        journal.append(a_step(2))
    assert [type(record) for record in read_records(tmp_path / DECISIONS)] == [
        Header,
        Outcome,
        StateSnapshot,
        Outcome,
        End,
    ]
    assert list(read_states(tmp_path)) == [(1, b"\x00state\xff")]


def test_a_journal_without_an_end_is_read_up_to_the_tear(tmp_path):
    folder = write(tmp_path, MIXED)
    assert is_complete(folder)
    whole = [number for number, _ in read_events(folder)]
    for name in (DECISIONS, MARKET):
        file = folder / name
        file.write_bytes(file.read_bytes()[:-3])
    assert not is_complete(folder)
    torn = [number for number, _ in read_events(folder, torn=True)]
    assert torn == whole[: len(torn)]
    with pytest.raises(DataError):
        list(read_events(folder))


def test_what_is_synced_and_flushed_survives_the_process(tmp_path):
    journal = FileJournal(tmp_path, a_header())
    for number, event in enumerate(MIXED, 1):
        journal.event(number, event)
    journal.append(a_step(1))
    journal.sync()
    assert len(list(read_steps(tmp_path, torn=True))) == 1
    journal.flush()
    assert [number for number, _ in read_events(tmp_path, torn=True)] == list(range(1, len(MIXED) + 1))
    journal.abandon()


def test_an_order_without_facts_is_kept_too(tmp_path):
    step = Step(1, 1, (), (SetTimer(key="k", at=5),))
    with FileJournal(tmp_path, a_header()) as journal:
        journal.append(step)
        journal.append(Step(2, 2))
    assert list(read_steps(tmp_path)) == [step]


def test_without_market_events_the_first_missing_one_is_named(tmp_path):
    folder = write(tmp_path, MIXED, with_market=False)
    assert not (folder / MARKET).exists()
    assert read_header(folder) == a_header()
    with pytest.raises(DataError, match="event 2 is missing, next is 4; were market events kept"):
        list(read_events(folder))


def test_events_that_are_missing_at_the_end_are_missed(tmp_path):
    folder = write(tmp_path, [a_timer(1), a_snapshot(), a_snapshot()], with_market=False)
    with pytest.raises(DataError, match="event 2 is missing"):
        list(read_events(folder))


def test_a_journal_that_stopped_without_an_end_is_read_as_far_as_it_goes(tmp_path):
    journal = FileJournal(tmp_path, a_header())
    journal.event(1, a_timer(1))
    journal.event(2, a_snapshot())
    journal.abandon()
    assert [number for number, _ in read_events(tmp_path)] == [1, 2]


def test_a_run_that_failed_leaves_a_journal_without_an_end(tmp_path):
    def fail():
        with FileJournal(tmp_path, a_header()) as journal:
            journal.event(1, a_timer(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [type(record) for record in read_records(tmp_path / DECISIONS)] == [Header, Inbox]


@pytest.mark.parametrize("name", [DECISIONS, MARKET])
def test_a_journal_is_never_written_over(tmp_path, name):
    (tmp_path / name).write_bytes(b"precious")
    with pytest.raises(StorageError, match="already holds a journal"):
        FileJournal(tmp_path, a_header())
    assert (tmp_path / name).read_bytes() == b"precious"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot write a journal into"):
        FileJournal(tmp_path / "file" / "journal", a_header())


# --- damage -----------------------------------------------------------------------------------------------------------


def frames(path):
    """Where each frame of an uncompressed file begins."""
    data = path.read_bytes()
    starts, position = [], 0
    while position < len(data):
        starts.append(position)
        position += 8 + struct.unpack_from("<I", data, position)[0]
    return [*starts, position]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = write(tmp_path_factory.mktemp("sound"), MIXED)
    return folder / DECISIONS


@settings(max_examples=60)
@given(data=st.data())
def test_a_torn_tail_is_named_with_its_byte(sound, tmp_path_factory, data):
    starts = frames(sound)
    length = data.draw(st.integers(0, starts[-1]))
    path = tmp_path_factory.mktemp("torn") / DECISIONS
    path.write_bytes(sound.read_bytes()[:length])
    whole = list(read_records(sound))[: sum(end <= length for end in starts[1:])]
    found = []
    if length in starts:
        assert [encode(r) for r in read_records(path)] == [encode(r) for r in whole]
        return
    with pytest.raises(DataError, match=f"torn frame at byte {max(s for s in starts if s < length)}"):
        found.extend(encode(record) for record in read_records(path))
    assert found == [encode(record) for record in whole]


@settings(max_examples=100)
@given(data=st.data())
def test_a_flipped_bit_is_named_with_the_byte_of_its_frame(sound, tmp_path_factory, data):
    starts = frames(sound)
    at = data.draw(st.integers(0, starts[-1] - 1))
    damaged = bytearray(sound.read_bytes())
    damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("flipped") / DECISIONS
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=rf"(torn|damaged) frame at byte {max(s for s in starts if s <= at)}\b"):
        list(read_records(path))


@settings(max_examples=60)
@given(data=st.data())
def test_damage_to_compressed_market_events_never_passes_for_other_events(tmp_path_factory, data):
    folder = write(tmp_path_factory.mktemp("market"), [a_snapshot(sequence=n) for n in range(1, 30)])
    whole = [encode(record) for record in read_records(folder / MARKET)]
    damaged = bytearray((folder / MARKET).read_bytes())
    at = data.draw(st.integers(0, len(damaged) - 1))
    if data.draw(st.booleans()):
        damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    else:
        damaged = damaged[:at]
    (folder / MARKET).write_bytes(damaged)
    found = []
    with suppress(DataError):
        found.extend(encode(record) for record in read_records(folder / MARKET))
    assert found == whole[: len(found)]
    if len(found) < len(whole):
        with pytest.raises(DataError, match=f"{MARKET}|event {len(found) + 1} is missing of 29"):
            list(read_events(folder))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=f"{DECISIONS} does not exist"):
        read_header(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        list(read_events(tmp_path))


@pytest.mark.parametrize("first", [None, End(0), Inbox(1, a_timer(1))])
def test_a_journal_begins_with_its_header(tmp_path, first):
    data = b"" if first is None else ENCODER.encode(first)
    framed = struct.pack("<II", len(data), zlib.crc32(data)) + data
    (tmp_path / DECISIONS).write_bytes(b"" if first is None else framed)
    with pytest.raises(DataError, match="does not begin with a header"):
        read_header(tmp_path)


def test_a_journal_of_another_version_is_refused(tmp_path):
    folder = write(tmp_path, [], header=a_header(version=99))
    with pytest.raises(DataError, match="journal version 99, this release reads 1"):
        read_header(folder)


def test_a_record_of_another_shape_is_named_with_its_byte(tmp_path):
    data = msgspec.msgpack.encode({"type": "Market", "number": "three"})
    framed = struct.pack("<II", len(data), zlib.crc32(data)) + data
    (tmp_path / DECISIONS).write_bytes(framed)
    with pytest.raises(DataError, match="record at byte 0 cannot be read"):
        list(read_records(tmp_path / DECISIONS))


def test_a_market_record_holds_a_market_event():
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(ENCODER.encode(Inbox(1, a_timer(1))), type=Market)
