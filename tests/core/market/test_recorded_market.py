"""The market's parts on a recorded Bybit session of four perpetuals."""

import json
from collections import Counter
from decimal import Decimal

import pyarrow as pa
import pytest
from tests.core.market.builders import a_delta, a_print, a_snapshot, an_instrument

from stakan.core.domain.ids import trade_id_number
from stakan.core.domain.units import SECOND, Side
from stakan.core.market.book import Book, BookState
from stakan.core.market.candles import CandleBuilder, Column
from stakan.core.market.densities import DensityKind, DensityParams, DensityTracker
from stakan.core.market.tape import Tape

PERPETUALS = [
    ("BTCUSDT", "0.1", "0.001"),
    ("ETHUSDT", "0.01", "0.01"),
    ("SOLUSDT", "0.01", "0.1"),
    ("DOGEUSDT", "0.00001", "1"),
]
LOOSE = DensityParams(min_notional=20_000.0, relative=4.0, share=0.02)


def frames(folder, symbol):
    """Decoded book and trade frames of a linear perpetual, in order of arrival."""
    path = folder / "bybit-v5-capture" / "BYBIT.jsonl.zst"
    lines = [json.loads(line) for line in pa.input_stream(path, compression="zstd").read().splitlines()]
    linear = {line["conn"] for line in lines if "/linear" in line.get("addr", "")}
    topics = {f"orderbook.200.{symbol}", f"publicTrade.{symbol}"}
    received = [json.loads(line["data"]) for line in lines if line["t"] == "recv" and line["conn"] in linear]
    return [frame for frame in received if frame.get("topic") in topics]


def ticks(text, unit):
    return int(Decimal(text) / Decimal(unit))


def events(frame, tick, lot):
    if frame["topic"].startswith("publicTrade"):
        for row in frame["data"]:
            side = Side.BUY if row["S"] == "Buy" else Side.SELL
            price, size = ticks(row["p"], tick), ticks(row["v"], lot)
            trade_id = trade_id_number(row["i"])
            yield a_print(row["T"] * 1_000_000, price, size, side, trade_id, is_rpi=row.get("RPI", False))
        return
    data = frame["data"]
    rows = [[(ticks(price, tick), ticks(size, lot)) for price, size in data[side]] for side in "ba"]
    make = a_snapshot if frame["type"] == "snapshot" else a_delta
    yield make(*rows, sequence=data["u"], ts=frame["cts"] * 1_000_000)


@pytest.mark.recorded
@pytest.mark.parametrize(("symbol", "tick", "lot"), PERPETUALS)
def test_a_recorded_session_keeps_every_law(recorded, symbol, tick, lot):
    instrument = an_instrument(tick, lot)
    book, tape, tracker = Book(instrument=instrument.id), Tape(), DensityTracker.start(instrument, LOOSE)
    candles = CandleBuilder.start(instrument, SECOND)
    prints, kinds = [], Counter()
    for frame in frames(recorded, symbol):
        for event in events(frame, tick, lot):
            if frame["topic"].startswith("publicTrade"):
                prints.append(event)
                tape.update(event)
                tracker.on_print(event)
                candles.update(event)
                continue
            assert book.apply(event) is None
            kinds.update(change.kind for change in tracker.update(book, event))
            candles.advance(event.ts_event)
            for side in Side:
                for density in tracker.on(side):
                    assert density.remaining == book.size_at(side, density.price)
                    assert density.peak - density.remaining == density.traded + density.cancelled
                    left = density.remaining + density.executed + density.withdrawn
                    assert density.first + density.added == left
    assert (book.state, book.gaps, book.crossings, book.stale) == (BookState.LIVE, 0, 0, 0)
    assert book.counts.tolist() == [200, 200]
    ends = sum(kinds[kind] for kind in (DensityKind.CONSUMED, DensityKind.CANCELLED, DensityKind.OUT_OF_SIGHT))
    assert kinds[DensityKind.APPEARED] == tracker.tracked + ends > 0
    total = sum(event.size for event in prints)
    assert candles.closed(Column.VOLUME).sum() + candles.volume + candles.late_volume == total
    now = tape.last_ts
    window = tape.window(now, 10 * SECOND)
    recent = [event for event in prints if event.ts_event > now - 10 * SECOND]
    assert (window.count + window.rpi_count, tape.duplicates) == (len(recent), 0)
