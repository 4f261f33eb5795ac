"""Recorded sessions through importer, store and reader: the books are those of a direct replay."""

import numpy as np
import pytest
from tests.adapters.parquet.builders import same

from stakan.adapters import instruments
from stakan.adapters.importers.recording import open_recording
from stakan.adapters.parquet.catalog import coverage, moment
from stakan.adapters.parquet.check import check
from stakan.adapters.parquet.reader import MarketStore
from stakan.adapters.parquet.schema import Source, StoredKind
from stakan.adapters.parquet.writer import Limits, MarketWriter
from stakan.core.domain.events import BookDelta, BookSnapshot
from stakan.core.domain.units import Side
from stakan.core.market.book import Book

SESSIONS = {
    "binance 2024": ("binance-l2/usdm_btcusdt_20240718.gz",),
    "bybit capture": ("bybit-v5-capture/BYBIT.jsonl.zst",),
}
BYTES_PER_LEVEL = 4.0
"""JSON lines with zstd are 4.9."""


@pytest.mark.recorded
@pytest.mark.parametrize("name", SESSIONS)
def test_a_recorded_session_is_read_back_as_it_was(name, recorded, tmp_path):
    session = open_recording([recorded / file for file in SESSIONS[name]], instruments.recorded())
    books: dict[str, Book] = {}
    count = 0
    with MarketWriter(tmp_path, Source(description=name), limits=Limits(row_group=20_000)) as writer:
        for event in session.events():
            writer.add(event)
            count += 1
            if isinstance(event, BookDelta | BookSnapshot):
                books.setdefault(event.instrument, Book(instrument=event.instrument)).apply(event)
    store = MarketStore(tmp_path)
    stored = (event for window in store.history().windows() for event in window.events())
    assert all(same(left, right) for left, right in zip(session.events(), stored, strict=True))
    for instrument, book in books.items():
        assert (book.gaps, book.crossings) == (0, 0)
        shown = moment(store, instrument, book.ts_recv).book
        for side in Side:
            assert np.array_equal(shown.depth(side), book.depth(side))
    assert list(check(tmp_path)) == []
    assert sum(one.rows for one in coverage(tmp_path)) == count


@pytest.mark.recorded
def test_a_level_costs_few_bytes(recorded, tmp_path):
    session = open_recording([recorded / file for file in SESSIONS["binance 2024"]], instruments.recorded())
    with MarketWriter(tmp_path, Source(description="size")) as writer:
        for event in session.events():
            writer.add(event)
    books = [one for one in coverage(tmp_path) if one.kind is StoredKind.BOOK]
    assert sum(one.bytes for one in books) / sum(one.levels for one in books) < BYTES_PER_LEVEL
