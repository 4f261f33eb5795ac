"""Small journals: what goes into them, and how they are written."""

from decimal import Decimal

import msgspec
from tests.core.engine.builders import a_snapshot, an_instrument

from stakan.adapters.journal.disk import LOCAL
from stakan.adapters.journal.jobs import Inline
from stakan.adapters.journal.records import Header
from stakan.adapters.journal.writing import FileJournal, JournalLimits
from stakan.core.domain.events import TimerFired, encode_array
from stakan.core.domain.facts import EquityMarked
from stakan.core.domain.step import Step

encode = msgspec.msgpack.Encoder(enc_hook=encode_array).encode
SMALL = JournalLimits(block_bytes=200, ballast_bytes=0)


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


def a_step(number, ts=None, *, is_empty=False):
    facts = (EquityMarked(balance=Decimal(number), unrealised_pnl=Decimal(0), exposure=Decimal("0.10")),)
    return Step(number, number if ts is None else ts, () if is_empty else facts)


def a_timer(number, ts=None):
    ts = number if ts is None else ts
    return TimerFired(ts_event=ts, ts_recv=ts, key=f"key {number}")


MIXED = [a_timer(1), a_snapshot(), a_snapshot(), a_timer(2), a_snapshot(), a_timer(3)]


def a_journal(folder, *, header=None, limits=SMALL, disk=LOCAL, jobs=None, carried=None):
    return FileJournal(folder, header or a_header(), limits=limits, disk=disk, jobs=jobs or Inline(), carried=carried)


def write_step(journal, number, event):
    """A step that has facts unless its number is a multiple of three."""
    journal.event(number, event)
    journal.append(a_step(number, event.ts_recv, is_empty=number % 3 == 0))


def write(folder, events, **how):
    with a_journal(folder, **how) as journal:
        for number, event in enumerate(events, 1):
            write_step(journal, number, event)
    return folder
