"""Every recorded session replays from its snapshot without a gap and without a crossed book."""

import json
from collections import Counter
from itertools import islice, pairwise

import msgspec
import pytest

from stakan.adapters import instruments
from stakan.adapters.exchanges.bybit.instruments import decode_instruments
from stakan.adapters.importers import bybit_archive
from stakan.adapters.importers.columns import TradeColumns
from stakan.adapters.importers.recording import Format, detect, open_recording
from stakan.adapters.importers.text import lines
from stakan.core.domain.errors import ConfigError, DataError
from stakan.core.domain.events import BookDelta, BookSnapshot, Candle, TradePrint
from stakan.core.domain.facts import BookGap
from stakan.core.domain.units import MINUTE
from stakan.core.market.book import Book, BookState

pytestmark = pytest.mark.recorded

SESSIONS = {
    "btc-2023": ("binance-l2", "usdm_btcusdt_2023*", {"binance:linear:BTCUSDT": 16_111}),
    "btc-2024": ("binance-l2", "usdm_btcusdt_2024*", {"binance:linear:BTCUSDT": 9_018}),
    "eth-2024": ("binance-l2", "usdm_ethusdt_2024*", {"binance:linear:ETHUSDT": 8_924}),
    "nexo": ("binance-l2-thin", "nexousdt*", {"binance:spot:NEXOUSDT": 68_183}),
    "xrp": ("bybit-xrp-ob500", "*.zip", {"bybit:linear:XRPUSDT": 50}),
    "capture": (
        "bybit-v5-capture",
        "*.zst",
        {
            "bybit:linear:BTCUSDT": 414,
            "bybit:linear:ETHUSDT": 421,
            "bybit:linear:SOLUSDT": 383,
            "bybit:linear:DOGEUSDT": 380,
            "bybit:spot:BTCUSDT": 300,
            "bybit:spot:ETHUSDT": 250,
        },
    ),
}
FORMATS = {"nexo": Format.BINANCE_RAW, "xrp": Format.BYBIT_ARCHIVE, "capture": Format.BYBIT_CAPTURE}


def opened(recorded, name):
    folder, pattern, _ = SESSIONS[name]
    return open_recording(sorted((recorded / folder).glob(pattern)), instruments.recorded())


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_replays_without_gaps_and_crossed_books(recorded, name):
    recording = opened(recorded, name)
    books, messages, facts = {}, Counter(), []
    last = 0
    for event in recording.events():
        assert event.ts_recv >= last
        assert event.ts_event <= event.ts_recv
        last = event.ts_recv
        if isinstance(event, BookDelta | BookSnapshot):
            messages[event.instrument] += 1
            book = books.setdefault(event.instrument, Book(instrument=event.instrument))
            fact = book.apply(event)
            facts += [fact] if fact is not None else []
    assert facts == []
    assert messages == SESSIONS[name][2]
    assert {book.state for book in books.values()} == {BookState.LIVE}
    assert {(book.gaps, book.crossings) for book in books.values()} == {(0, 0)}
    assert recording.format is FORMATS.get(name, Format.BINANCE_RAW)


@pytest.mark.parametrize("name", SESSIONS)
def test_a_missing_message_is_reported_as_a_gap(recorded, name):
    wanted = next(iter(SESSIONS[name][2]))
    of_book = (event for event in opened(recorded, name).events() if event.instrument == wanted)
    messages = list(islice((event for event in of_book if isinstance(event, BookDelta | BookSnapshot)), 40))
    assert type(messages[0]) is BookSnapshot
    book = Book(instrument=wanted)
    facts = [book.apply(event) for event in messages[:20] + messages[21:]]
    assert [type(fact) for fact in facts if fact is not None] == [BookGap]


@pytest.mark.parametrize(("name", "milliseconds"), [("btc-2023", 28.007), ("btc-2024", 1523.786), ("capture", 0)])
def test_the_recorders_clock_is_shifted_and_the_shift_recorded(recorded, name, milliseconds):
    assert opened(recorded, name).clock_shift / 1e6 == pytest.approx(milliseconds, abs=0.001)


def test_a_recording_may_be_read_again_and_in_part(recorded):
    recording = opened(recorded, "capture")
    first = list(islice(recording.events(), 5))
    again = list(islice(recording.events(), 5))
    assert [event.ts_recv for event in first] == [event.ts_recv for event in again]


def test_trades_of_a_day_are_read_by_a_column_mapping(recorded):
    path = recorded / "bybit-btcusdt-2025-12" / "trades_BTCUSDT_2025-12-04_part-001.parquet"
    mapping = TradeColumns(time="ts", price="price", size="qty", buyer_is_maker="is_buyer_maker", trade_id="agg_id")
    with pytest.raises(ConfigError, match="need an instrument and a column mapping"):
        open_recording([path], instruments.recorded())
    instrument = "bybit:linear:BTCUSDT"
    recording = open_recording([path], instruments.recorded(), instrument=instrument, mapping=mapping)
    lots = count = 0
    for event in recording.events():
        assert type(event) is TradePrint
        lots += event.size
        count += 1
    assert (count, lots) == (234_635, 9_863_941)


def test_prints_of_a_day_make_the_candles_of_the_venue(recorded):
    """46 of 46 bars agree in high, close and volume; the open of a kline is the close before."""
    folder = recorded / "bybit-candles"
    known, instrument = instruments.recorded(), "bybit:linear:BTCUSDT"
    bars = {
        bar.open_ts: (bar.high, bar.close, bar.volume)
        for bar in open_recording([folder / "bybit_futures_BTC_USDT_USDT-5m-futures.feather"], known).events()
    }
    path = recorded / "bybit-btcusdt-2025-12" / "trades_BTCUSDT_2025-12-04_part-001.parquet"
    mapping = TradeColumns(time="ts", price="price", size="qty", buyer_is_maker="is_buyer_maker", trade_id="agg_id")
    made = {}
    for event in open_recording([path], known, instrument=instrument, mapping=mapping).events():
        start = event.ts_event // (5 * MINUTE) * (5 * MINUTE)
        high, _, volume = made.get(start, (0, 0, 0))
        made[start] = (max(high, event.price), event.price, volume + event.size)
    whole = sorted(made)[1:]
    assert len(whole) == 46
    assert [made[start] for start in whole] == [bars[start] for start in whole]


@pytest.mark.parametrize(
    ("name", "rules", "count"),
    [
        ("bybit_futures_BTC_USDT_USDT-5m-futures", "recorded", 116_350),
        ("bybit_futures_SOL_USDT_USDT-15m-futures", "bybit-sol-2023", 71_953),
    ],
)
def test_recorded_candles_lie_on_the_grid_of_their_time(recorded, name, rules, count):
    known = instruments.load(instruments.INSTRUMENTS / f"{rules}.toml")
    recording = open_recording([recorded / "bybit-candles" / f"{name}.feather"], known)
    candles = list(recording.events())
    assert len(candles) == count
    assert all(type(candle) is Candle for candle in candles)


def test_candles_of_another_tick_are_refused_with_the_mend(recorded):
    path = recorded / "bybit-candles" / "bybit_futures_SOL_USDT_USDT-15m-futures.feather"
    with pytest.raises(DataError, match=r"row 0: open 70\.919 is not a multiple of 0\.01; give the instrument"):
        open_recording([path], instruments.recorded())


@pytest.mark.parametrize("kind", ["funding_rate", "mark"])
def test_recorded_funding_and_marks_are_read(recorded, kind):
    path = recorded / "bybit-candles" / f"bybit_futures_ETH_USDT_USDT-1h-{kind}.feather"
    tickers = list(open_recording([path], instruments.recorded()).events())
    assert len(tickers) == {"funding_rate": 1_211, "mark": 9_696}[kind]


def test_a_day_of_the_archive_may_end_and_begin_with_the_same_snapshot(recorded, tmp_path):
    """The last messages of each day, and the first of the next, as the archive has them."""
    days = json.loads((recorded / "bybit-btcusdt-2025-12" / "bybit_l2_inspect.json").read_text())["files"]
    files = []
    for number, day in enumerate(days):
        for part in ("first_events", "last_events"):
            path = tmp_path / f"{number}-{part}.data"
            path.write_text("\n".join(json.dumps(message) for message in day[part]))
            files.append(path)
    book = Book(instrument="bybit:linear:BTCUSDT")
    gaps = 0
    joined = []
    for event in bybit_archive.events(files, instruments.recorded()):
        joined.append((type(event), event.sequence))
        gaps += type(book.apply(event)) is BookGap
    repeated = [(before, after) for before, after in pairwise(joined) if before[1] == after[1]]
    assert any(after[0] is BookSnapshot for _, after in repeated)
    assert gaps == len(days)  # between the first and the last messages of a day, nowhere else


def test_formats_are_told_apart_by_content(recorded, tmp_path):
    assert detect(recorded / "bybit-candles" / "bybit_futures_ETH_USDT_USDT-1h-mark.feather") is Format.FREQTRADE
    assert detect(recorded / "bybit-btcusdt-2025-12" / "bars_1m.parquet") is Format.COLUMNS
    for text, form in {
        "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n": Format.TARDIS,
        "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue\n": Format.BYBIT_ARCHIVE,
        "when,price\n1,2\n": Format.COLUMNS,
    }.items():
        path = tmp_path / "some"
        path.write_text(text)
        assert detect(path) is form
    path.write_text("hello")
    with pytest.raises(DataError, match=r"the format is none of bybit-archive, .*; it begins with b'hello'"):
        detect(path)
    with pytest.raises(ConfigError, match="no file"):
        open_recording([], {})


def test_the_captured_instruments_reply_agrees_with_the_committed_file(recorded):
    replies = {}
    for _, line in lines(recorded / "bybit-v5-capture" / "BYBIT.jsonl.zst"):
        found = msgspec.json.decode(line)
        if found["t"] == "http":
            replies |= {rules.id: rules for rules in decode_instruments(found["data"].encode())}
    assert len(replies) > 1000
    for known in instruments.recorded().values():
        if known.id.startswith("bybit:"):
            told = replies[known.id]
            for field in ("tick_size", "lot_size", "min_size", "max_limit_size", "max_market_size", "min_notional"):
                assert getattr(told, field) == getattr(known, field), (known.id, field)
            for field in ("base", "quote", "settle", "max_leverage", "price_limit_x", "price_limit_y", "max_price"):
                assert getattr(told, field) == getattr(known, field), (known.id, field)
