"""Any Parquet or CSV by a column mapping."""

from decimal import Decimal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stakan.adapters.importers import columns
from stakan.adapters.importers.columns import CandleColumns, ColumnMapping, LevelColumns, TradeColumns
from stakan.adapters.importers.values import counts, nanoseconds
from stakan.adapters.instruments import recorded
from stakan.adapters.wire import scale_of
from stakan.core.domain.errors import ConfigError, DataError
from stakan.core.domain.events import BookDelta, BookSnapshot, Candle
from stakan.core.domain.units import MINUTE, Side

BTC = recorded()["bybit:linear:BTCUSDT"]
START = 1_680_652_700_000
TRADES = TradeColumns(time="ts", price="price", size="qty", buyer_is_maker="maker", trade_id="id")
BARS = CandleColumns(time="t", open="o", high="h", low="l", close="c", volume="v", interval_ns=MINUTE)
PRICED_BARS = msgspec.structs.replace(BARS, turnover="quote")
LEVELS = LevelColumns(time="t", side="side", price="p", size="q")


def parquet(folder, **data):
    path = folder / "table"
    pq.write_table(pa.table(data), path)
    return path


def some_trades(**changed):
    data = {"ts": [START, START + 5], "price": [100.1, 100.2], "qty": [0.5, 0.001], "maker": [True, False]}
    return {**data, "id": [-4, 5], **changed}


def some_bars(**changed):
    data = {"t": [START, START + 60_000], "o": ["1.0", "1.5"], "h": ["2.0", "1.6"], "l": ["1.0", "1.4"]}
    return {**data, "c": ["1.5", "1.4"], "v": ["3", "0"], **changed}


def some_levels(**changed):
    data = {"t": [START, START, START + 7], "side": ["bid", "ask", "Ask"], "p": [1.0, 1.1, 1.2], "q": [1.0, 0.0, 2.0]}
    return {**data, **changed}


def read(path, mapping):
    return list(columns.events(path, BTC, mapping))


@given(
    tick=st.sampled_from(["0.10", "0.01", "0.5", "1", "0.00001"]),
    whole=st.lists(st.integers(0, 10**9), max_size=20),
)
def test_floats_are_the_decimals_that_they_were_written_from(tick, whole):
    scale = scale_of(Decimal(tick))
    exact = [Decimal(tick) * count for count in whole]
    for column in (
        pa.array([float(value) for value in exact], pa.float64()),
        pa.array([format(value, "f") for value in exact], pa.string()),
        pa.array(exact, pa.decimal128(38, 8)),
    ):
        assert counts("price", column, scale, first=0).tolist() == whole


@given(st.floats(0.01, 1e6))
def test_a_float_between_two_ticks_is_refused(value):
    scale = scale_of(Decimal("0.01"))
    try:
        (found,) = counts("price", pa.array([value]), scale, first=0).tolist()
    except DataError:
        assert Decimal(repr(value)) % Decimal("0.01") != 0
    else:
        assert Decimal(repr(value)) == found * Decimal("0.01")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([START]),
        pa.array([START * 1_000_000]),
        pa.array([str(START)]),
        pa.array([f"{START // 1000}.{START % 1000:03}"]),
        pa.array(["2023-04-05T02:58:20+03:00"]),
        pa.array(["2023-04-04 23:58:20.000000Z"]),
        pa.array([START // 1000], pa.timestamp("s", tz="UTC")),
        pa.array([START * 1000], pa.timestamp("us")),
    ],
)
def test_times_may_be_written_in_many_ways(column):
    assert nanoseconds("time", column).tolist() == [START * 1_000_000]


def test_trades_are_read(tmp_path):
    first, second = read(parquet(tmp_path, **some_trades()), TRADES)
    assert (first.price, first.size, first.side, first.trade_id) == (1001, 500, Side.SELL, -4)
    assert (second.side, second.ts_event, second.ts_recv) == (Side.BUY, (START + 5) * 10**6, (START + 5) * 10**6)


def test_the_same_trades_as_csv_with_a_side_are_read(tmp_path):
    path = tmp_path / "trades.csv"
    path.write_text(f"when,seen,price,qty,side\n{START},{START + 3},100.10,0.5,SELL\n{START},{START + 2},100.2,1,buy\n")
    mapping = TradeColumns(time="when", received="seen", price="price", size="qty", side="side")
    first, second = read(path, mapping)
    assert (first.price, first.side, second.side) == (1001, Side.SELL, Side.BUY)
    assert (first.trade_id, second.trade_id) == (0, 1)
    assert first.ts_recv == second.ts_recv == (START + 3) * 10**6


@pytest.mark.parametrize("head", ["\ufeffwhen,seen,price,qty,side", '"when","seen","price","qty","side"'])
def test_a_spreadsheet_header_changes_nothing_about_exactness(tmp_path, head):
    path = tmp_path / "trades.csv"
    path.write_text(f"{head}\n{START},{START},100.10,0.30000000000000000,sell\n")
    (only,) = read(path, TradeColumns(time="when", received="seen", price="price", size="qty", side="side"))
    assert (only.price, only.size) == (1001, 300)


def test_candles_need_a_length():
    with pytest.raises(ConfigError, match="interval of candles must be above 0"):
        CandleColumns(time="ts", open="o", high="h", low="l", close="c", volume="v", interval_ns=0)


@pytest.mark.parametrize(("label", "end"), [("start", START + 60_000), ("end", START)])
def test_a_bar_happens_at_its_end(tmp_path, label, end):
    mapping = msgspec.structs.replace(BARS, labelled_by=label)
    first, second = read(parquet(tmp_path, **some_bars()), mapping)
    assert type(first) is Candle
    assert (first.ts_event, first.ts_recv, first.open_ts) == (end * 10**6, end * 10**6, end * 10**6 - MINUTE)
    assert (first.open, first.high, first.low, first.close, first.volume) == (10, 20, 10, 15, 3000)
    assert first.turnover == Decimal("4.5")
    assert second.turnover == 0


def test_neighbouring_rows_of_equal_times_are_one_message(tmp_path):
    first, second = read(parquet(tmp_path, **some_levels()), LEVELS)
    assert (type(first), first.levels.tolist(), first.bid_count) == (BookSnapshot, [[10, 1000], [11, 0]], 1)
    assert (second.levels.tolist(), second.bid_count, second.sequence) == ([[12, 2000]], 0, 2)


def test_deltas_and_sequences_are_read_where_there_are_such_columns(tmp_path):
    mapping = LevelColumns(time="t", side="side", price="p", size="q", is_snapshot="full", sequence="n")
    path = parquet(tmp_path, **some_levels(full=["true", "true", "False"], n=[7, 7, 9]))
    first, second = read(path, mapping)
    assert (type(first), type(second)) == (BookSnapshot, BookDelta)
    assert (first.sequence, second.previous_sequence) == (7, 8)


@pytest.mark.parametrize(
    ("mapping", "data", "complaint"),
    [
        (TRADES, some_trades(price=[100.1, 100.25]), "row 1: price 100.25 is not a multiple of 0.1; give the instr"),
        (TRADES, some_trades(price=[100.1, float("nan")]), "row 1: price nan is not a number"),
        (TRADES, some_trades(price=[100.1, None]), "row 1: price nan is not a number"),
        (TRADES, some_trades(price=[-1.0, 1.0]), "row 0: price -1.0 is not a number from zero up"),
        (TRADES, some_trades(price=["1", "x"]), "row 1: price 'x' is not a plain decimal number"),
        (TRADES, some_trades(price=[1.0, 0.0]), "row 1: price 0.0 is not above zero"),
        (TRADES, some_trades(ts=[START, START * 1000]), "the session mixes units of time"),
        (TRADES, some_trades(ts=[START, None]), "ts has rows without a time"),
        (TRADES, some_trades(ts=["soon", "later"]), "ts is no time"),
        (TRADES, some_trades(ts=["2023-04-04T23:58:20"] * 2), "ts is no time: .*expected a zone offset"),
        (TRADES, some_trades(ts=[START + 5_000, START]), "time goes back by 5.000 s"),
        (TRADES, some_trades(maker=[True, None]), "row 1: maker is missing"),
        (TRADES, some_trades(maker=["yes", "perhaps"]), "maker should be true or false"),
        (TRADES, {"ts": [START]}, "column price is missing; the file has ts"),
        (BARS, some_bars(h=["2.0", "1.4"]), "row 1: open and close do not lie between low and high"),
        (PRICED_BARS, some_bars(quote=["1.5", "x"]), "row 1: quote should be a number, got 'x'"),
        (PRICED_BARS, some_bars(quote=["1.5", None]), "row 1: quote should be a number, got None"),
        (LEVELS, some_levels(side=["bid", "ask", "top"]), "row 2: side should be one of .*, got 'top'"),
        (TradeColumns(time="ts", price="price", size="qty"), some_trades(), "exactly one of side and buyer_is_maker"),
    ],
)
def test_what_cannot_be_is_refused_by_file_and_row(tmp_path, mapping, data, complaint):
    with pytest.raises(DataError, match=complaint) as refused:
        read(parquet(tmp_path, **data), mapping)
    assert "table, " in str(refused.value)


def test_a_torn_parquet_is_named(tmp_path):
    path = parquet(tmp_path, **some_trades())
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="table: cannot be read as Parquet, fetch it again"):
        read(path, TRADES)


def test_a_mapping_is_read_from_configuration_and_refuses_unknown_keys():
    said = {
        "kind": "trades",
        "time": "ts",
        "price": "price",
        "size": "qty",
        "buyer_is_maker": "maker",
        "trade_id": "id",
    }
    assert msgspec.convert(said, ColumnMapping) == TRADES
    with pytest.raises(msgspec.ValidationError, match="unknown field `colour`"):
        msgspec.convert({**said, "colour": "red"}, ColumnMapping)
