"""Raw Binance recordings: a session of files whose lines are receive time, space, exact JSON."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from stakan.adapters.exchanges.binance.decode import VENUE, BinanceDecoder
from stakan.adapters.importers.clock import ReceiveClock, UnitOfTime, at_line
from stakan.adapters.importers.text import lines
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import AnyMarketEvent
from stakan.core.domain.ids import InstrumentId, split_instrument_id
from stakan.core.domain.instrument import Category, Instrument

_SEARCH_LINES = 1_000


def events(
    files: Sequence[Path], instruments: Mapping[InstrumentId, Instrument], *, category: Category, shift: int = 0
) -> Iterator[AnyMarketEvent]:
    """Events of one session in order of arrival.

    The files are one list in order of time; only the first holds the REST snapshot, which belongs to the symbol of
    the streams around it. `shift` is the session's clock shift in nanoseconds. Raises DataError naming file and line
    where a line is not of that form, times mix units, or the files are not in order.
    """
    decoder = BinanceDecoder(instruments, category, snapshot_of=session_instrument(files, instruments, category))
    clock = ReceiveClock(shift)
    unit = UnitOfTime()
    last = 0
    for path in files:
        end_of_file_before = last
        for number, line in lines(path):
            time, _, frame = line.partition(b" ")
            try:
                recorded = unit.nanoseconds(time)
                last = max(last, _not_before(end_of_file_before, recorded))
                found = decoder.decode(frame, clock.stamp(recorded))
            except DataError as error:
                raise at_line(path, number, error) from error
            yield from found
    if decoder.waiting:
        raise DataError(
            f"{files[0]}: no depth snapshot of {', '.join(decoder.waiting)}: start with the file that has it"
        )


def _not_before(end_of_file_before: int, recorded: int) -> int:
    if recorded < end_of_file_before:
        raise DataError("earlier than the file before it: give files in order of time")
    return recorded


def session_category(files: Sequence[Path]) -> Category:
    """USD-M depth messages have a `pu`, spot's have none."""
    for _, line in islice(lines(files[0]), _SEARCH_LINES):
        if b'"depthUpdate"' in line:
            return Category.LINEAR if b'"pu":' in line else Category.SPOT
    raise DataError(f"{files[0]}: no depth message near its beginning: say the category, linear or spot")


def session_instrument(
    files: Sequence[Path], instruments: Mapping[InstrumentId, Instrument], category: Category
) -> InstrumentId | None:
    """The one instrument of a session, from the first stream name in it; None where none is among those given."""
    symbols = {split_instrument_id(known)[2].lower(): known for known in instruments if _is_of(known, category)}
    for _, line in islice(lines(files[0]), _SEARCH_LINES):
        _, found, rest = line.partition(b'"stream":"')
        if found:
            return symbols.get(rest.partition(b"@")[0].decode(errors="replace"))
    return None


def _is_of(known: InstrumentId, category: Category) -> bool:
    return split_instrument_id(known)[:2] == (VENUE, category)
