"""Raw Binance sessions of several files."""

import gzip
import json

import pytest

from stakan.adapters.importers import binance_raw
from stakan.adapters.importers.clock import clock_shift
from stakan.adapters.instruments import recorded
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import BookDelta, BookSnapshot, TradePrint
from stakan.core.domain.instrument import Category

START = 1_680_652_700_000_000


def trade(number, event_ms=1_680_652_700_005):
    data = {"e": "trade", "E": event_ms, "T": event_ms, "s": "BTCUSDT", "t": number, "p": "100.1", "q": "1", "m": False}
    return json.dumps({"stream": "btcusdt@trade", "data": data}, separators=(",", ":"))


def delta(first, last, previous):
    data = {"e": "depthUpdate", "E": 1, "T": 1, "s": "BTCUSDT", "U": first, "u": last, "pu": previous, "b": [], "a": []}
    return json.dumps({"stream": "btcusdt@depth@0ms", "data": data}, separators=(",", ":"))


SNAPSHOT = json.dumps({"lastUpdateId": 10, "E": 1, "T": 1, "bids": [["100.0", "1"]], "asks": [["100.1", "1"]]})


def written(folder, name, *rows):
    path = folder / name
    path.write_text("\n".join(rows))
    return path


def read(*files, shift=0):
    return list(binance_raw.events(files, recorded(), category=Category.LINEAR, shift=shift))


def test_only_the_first_file_of_a_session_needs_the_snapshot(tmp_path):
    first = written(tmp_path, "one", f"{START} {delta(5, 12, 4)}", f"{START + 1} {SNAPSHOT}")
    second = written(tmp_path, "two", f"{START + 2} {delta(13, 14, 12)}", f"{START + 3} {trade(1)}")
    events = read(first, second)
    assert [type(event) for event in events] == [BookSnapshot, BookDelta, BookDelta, TradePrint]
    assert [event.ts_recv for event in events] == [(START + after) * 1000 for after in (1, 1, 2, 3)]


def test_a_slow_clock_is_shifted_until_no_latency_is_negative(tmp_path):
    path = written(tmp_path, "one", f"{START} {trade(1)}", f"{START + 100} {trade(2)}")
    shift = clock_shift(read(path))
    assert shift == 5_000_000
    assert [event.ts_recv - event.ts_event for event in read(path, shift=shift)] == [0, 100_000]


def test_the_category_is_seen_in_the_depth_messages(tmp_path):
    futures = written(tmp_path, "one", f"{START} {trade(1)}", f"{START} {delta(1, 2, 0)}")
    without_pu = delta(1, 2, 0).replace('"pu":0,', "")
    spot = written(tmp_path, "two", f"{START} {without_pu}")
    assert binance_raw.session_category([futures]) is Category.LINEAR
    assert binance_raw.session_category([spot]) is Category.SPOT
    with pytest.raises(DataError, match="say the category"):
        binance_raw.session_category([written(tmp_path, "three", f"{START} {trade(1)}")])


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([f"{START} {trade(1)}", f"{START}000 {trade(2)}"], "bad, line 2: the session mixes units of time"),
        ([f"{START} {trade(1)}", f"soon {trade(2)}"], "bad, line 2: b'soon' is no time"),
        ([f"{START} {trade(1)}", f"{START} {{torn"], "bad, line 2: not a Binance frame"),
        ([f"{START} {trade(1)}", "garbage"], "bad, line 2: "),
        ([f"{START} {trade(1).replace('BTC', 'PEPE')}"], "bad, line 1: binance:linear:PEPEUSDT is not among"),
        ([f"{START} {trade(1).replace('100.1', '-100.1')}"], "bad, line 1: .*'-100.1' is negative"),
        ([f"{START + 3_000_000} {trade(1)}", f"{START} {trade(2)}"], "bad, line 2: time goes back"),
        ([f"{START} {delta(1, 2, 0)}"], "bad: no depth snapshot of binance:linear:BTCUSDT: start with the file"),
    ],
)
def test_what_cannot_be_is_refused_by_file_and_line(tmp_path, rows, complaint):
    with pytest.raises(DataError, match=complaint):
        read(written(tmp_path, "bad", *rows))


def test_what_came_before_a_tear_is_yielded_and_nothing_after(tmp_path):
    """Which also shows that a file is not read as a whole."""
    rows = [f"{START + number} {trade(number)}" for number in range(100_000)]
    packed = gzip.compress("\n".join(rows).encode())
    path = tmp_path / "torn.gz"
    path.write_bytes(packed[: len(packed) * 3 // 4])
    events = binance_raw.events([path], recorded(), category=Category.LINEAR)
    seen = []
    with pytest.raises(DataError, match=r"torn\.gz: cannot be read to its end"):
        seen.extend(event.trade_id for event in events)
    assert next(events, None) is None
    assert 10_000 < len(seen) < 100_000
    assert seen == list(range(len(seen)))


def test_files_in_the_wrong_order_are_refused(tmp_path):
    early = written(tmp_path, "early", f"{START} {trade(1)}")
    late = written(tmp_path, "late", f"{START + 9} {trade(2)}")
    with pytest.raises(DataError, match="early, line 1: earlier than the file before it: give files in order"):
        read(late, early)
