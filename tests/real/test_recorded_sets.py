"""Further sets on recorded sessions: their slow definitions, and what the exchange's ticker said."""

from itertools import takewhile

import pytest

from stakan.adapters import instruments
from stakan.adapters.importers.recording import open_recording
from stakan.core.domain.events import BookDelta, BookSnapshot, Ticker, TradePrint
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import SECOND
from stakan.core.features.sets.derivatives import Derivatives
from stakan.core.features.sets.order_flow import OrderFlow
from tests.core.features import further_reference as reference
from tests.core.features.further_beside import SPECS, Beside
from tests.core.features.set_markets import Watched
from tests.real.conftest import SESSIONS

pytestmark = pytest.mark.recorded
FILES = {session.name: session.files for session in SESSIONS}
BTC, DOGE = InstrumentId("binance:linear:BTCUSDT"), InstrumentId("bybit:linear:DOGEUSDT")
KINDS = (BookDelta, BookSnapshot, TradePrint, Ticker)


@pytest.fixture(scope="module")
def session(recorded):
    """What books, tapes and tickers of one instrument are told in the first 140 seconds; each read once."""
    read = {}

    def events(name, key):
        if (name, key) not in read:
            files = [recorded / file for file in FILES[name]]
            stream = (
                event
                for event in open_recording(files, instruments.recorded()).events()
                if type(event) in KINDS and event.instrument == key
            )
            first = next(stream)
            until = first.ts_recv + 140 * SECOND
            read[name, key] = [first, *takewhile(lambda event: event.ts_recv <= until, stream)]
        return read[name, key]

    return events


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize(("recording", "key"), [("btc-2024", BTC), ("bybit-capture", DOGE)])
def test_recorded_further_features_equal_their_definitions(session, recording, key, name):
    beside = Beside(name, instruments.recorded()[key])
    seen, due = set(), 0
    for event in session(recording, key):
        if type(event) is Ticker:
            continue
        beside.tell(event)
        if event.ts_event >= due and beside.told.books:
            due = event.ts_event + 13 * SECOND
            seen |= beside.compare()
    wanted = {"order_flow": "ofi_normalized", "rolling": "imbalance_10_skew_10s", "resilience": "ask_unrefilled"}
    assert wanted[name] in seen


def test_recorded_vpin_equals_its_definition_lot_by_lot(session):
    spec = OrderFlow(bucket_share=0.02, buckets=20)
    one, trades = Watched("order_flow", spec, rules=instruments.recorded()[BTC]), []
    for event in session("btc-2024", BTC):
        if type(event) is TradePrint:
            one.tell(event)
            trades.append(reference.Trade(event.ts_event, event.price, event.size, int(event.side), 0))
    found = one.read()
    assert found.is_warm("vpin")
    assert found.of("vpin") == pytest.approx(reference.vpin(trades, 0.02, 20), rel=1e-12)
    assert 0 < found.of("vpin") < 1


def test_recorded_derivatives_are_what_the_ticker_said_last(session):
    one, said = Watched("derivatives", Derivatives(), rules=instruments.recorded()[DOGE]), {}
    for event in session("bybit-capture", DOGE):
        one.tell(event)
        if type(event) is Ticker:
            said |= {name: value for name in event.__struct_fields__ if (value := getattr(event, name)) is not None}
    book = one.market.book
    mid = float(one.rules.tick_size) * (book.best_bid + book.best_ask) / 2
    found = one.read()
    assert found.of("funding_rate") == float(said["funding_rate"])
    assert found.of("basis") == pytest.approx(float(said["mark"] / said["index"] - 1), abs=1e-12)
    assert found.of("mark_gap") == pytest.approx(float(said["mark"]) / mid - 1, abs=1e-12)
    assert found.of("open_interest") == float(said["open_interest"])
    assert 0 < found.of("time_to_funding") < 8 * 3_600
    assert abs(found.of("basis")) < 0.01
    assert not found.is_warm("open_interest_change_1m")
