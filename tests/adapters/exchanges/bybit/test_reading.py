"""The account as a whole: what is told of it and when, and orders of an earlier run that are looked up."""

from decimal import Decimal

import pytest
from tests.adapters.exchanges.bybit.fakes import BTC, START, Bench, order

from stakan.adapters.exchanges.bybit.private import WAIT_FOR_ORDER
from stakan.core.domain.commands import CancelOrder
from stakan.core.domain.errors import DataError
from stakan.core.domain.events import AccountRead, AccountUnread, HeldPosition, OpenOrder
from stakan.core.domain.ids import ClientOrderId, InstrumentId, VenueOrderId
from stakan.core.domain.orders import OrderStatus
from stakan.core.domain.units import MILLISECOND, MINUTE, SECOND, Side
from stakan.core.portfolio.orders import Order

CREATE = "/v5/order/create"


def an_earlier(name="s-1", status=OrderStatus.PENDING, **more):
    request = order(name, **more)
    return Order(request=request, status=status, price=request.price, size=request.size, submitted_ts=START - MINUTE)


def read(bench):
    bench.venue.read_account()
    bench.time.run(SECOND)
    return bench.readings[-1]


def test_a_reading_tells_positions_open_orders_and_balance_as_of_the_moment_it_was_asked_for():
    bench = Bench()
    bench.exchange.positions["BTCUSDT"] |= {
        "size": "0.012", "side": "Sell", "avgPrice": "64001.25", "stopLoss": "65000", "takeProfit": "",
    }  # fmt: skip
    bench.exchange.carry(CREATE, {"orderLinkId": "", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit",
                                  "qty": "0.020", "price": "60000"})  # fmt: skip
    began = bench.time.now
    found = read(bench)
    assert isinstance(found, AccountRead)
    assert found.positions == (
        HeldPosition(instrument=BTC, lots=-12, entry=Decimal("64001.25"), stop_loss=650_000, take_profit=None),
    )
    assert found.orders == (
        OpenOrder(
            instrument=BTC,
            client_order_id=ClientOrderId(""),
            venue_order_id=VenueOrderId("v-1"),
            side=Side.BUY,
            remaining=20,
            reduce_only=False,
        ),
    )
    assert found.balance == 1000
    assert began < found.asked_ts < found.ts_recv


def test_legs_of_positions_and_other_symbols_are_not_among_the_orders():
    bench = Bench()
    for name, more in (("leg", {"stopOrderType": "StopLoss"}), ("other", {"symbol": "XRPUSDT"})):
        bench.exchange.carry(CREATE, {"orderLinkId": name, "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit",
                                      "qty": "0.020", "price": "60000"})  # fmt: skip
        bench.exchange.orders[name] |= more
    assert read(bench).orders == ()


def test_the_account_is_unread_from_the_moment_the_stream_goes_until_it_was_read_again():
    bench = Bench()
    bench.venue.on_private_down("gone")
    assert [type(event) for event in bench.readings] == [AccountUnread]
    bench.venue.on_private_down("still gone")
    bench.time.run(3 * SECOND)
    kinds = [type(event) for event in bench.readings]
    assert kinds[0] is AccountUnread
    assert set(kinds[1:]) == {AccountRead}


def test_a_reading_is_repeated_soon_where_the_engine_asks_for_it():
    bench = Bench()
    bench.venue.read_again()
    bench.time.run(SECOND // 2)
    assert not bench.readings
    bench.time.run(SECOND)
    assert len(bench.readings) == 1


def test_while_it_is_not_known_whose_an_execution_is_the_account_is_not_told_of():
    """Found by simulation: it was booked as a difference first, and as a fill afterwards."""
    bench = Bench()
    bench.venue.translator.expect(order("s-1"))
    row = {
        "category": "linear", "symbol": "BTCUSDT", "orderId": "v-9", "orderLinkId": "", "execId": "x-9", "side": "Buy",
        "execPrice": "64000.0", "execQty": "0.004", "execFee": "0.01", "execType": "Trade",
        "execTime": str(bench.time.now // MILLISECOND),
    }  # fmt: skip
    bench.push("execution", row)
    bench.time.run(SECOND)
    bench.venue.read_account()
    bench.time.run(2 * SECOND)
    assert (bench.told, bench.readings) == ([], [])
    bench.time.run(WAIT_FOR_ORDER)
    assert bench.kinds() == ["OrderFilled"]
    assert [type(event) for event in bench.readings][:1] == [AccountRead]


def test_an_order_of_the_run_before_is_found_and_told():
    bench = Bench(is_prepared=False)
    bench.exchange.carry(CREATE, {"orderLinkId": "s-1", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit",
                                  "qty": "0.010", "price": "64000"})  # fmt: skip
    bench.exchange.fill("s-1", 4, is_told=False)
    bench.exchange.requests.clear()
    bench.venue.adopt(an_earlier())
    bench.time.run(SECOND)
    assert bench.kinds() == ["OrderFilled"]
    assert bench.venue.translator.is_seen(ClientOrderId("s-1"))
    assert not bench.exchange.sent(CREATE)
    # The reading has told of it: nobody has to ask about it alone.
    assert not [query for path, query in bench.exchange.requests if path == "/v5/order/history"]


def test_an_order_of_the_run_before_that_never_arrived_has_failed_when_that_is_proven_and_is_not_sent_again():
    bench = Bench()
    bench.venue.adopt(an_earlier())
    bench.time.run(14 * SECOND)
    assert bench.kinds() == []
    bench.time.run(10 * SECOND)
    assert bench.kinds() == ["OrderFailed"]
    assert not bench.exchange.sent(CREATE)


def test_an_order_that_was_there_once_and_is_nowhere_now_is_over():
    bench = Bench()
    bench.venue.adopt(an_earlier(status=OrderStatus.PLACED))
    bench.time.run(30 * SECOND)
    assert bench.kinds() == ["OrderCancelled"]


def test_an_order_of_an_unknown_instrument_cannot_be_looked_up():
    with pytest.raises(DataError, match="XRPUSDT, which is not known"):
        Bench().venue.adopt(an_earlier(instrument=InstrumentId("bybit:linear:XRPUSDT")))


def test_an_order_that_is_not_ours_is_cancelled_by_the_name_that_the_exchange_gave_it():
    bench = Bench()
    bench.exchange.carry(CREATE, {"orderLinkId": "", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit",
                                  "qty": "0.020", "price": "60000"})  # fmt: skip
    command = CancelOrder(instrument=BTC, client_order_id=ClientOrderId(""), venue_order_id=VenueOrderId("v-1"))
    bench.send(command)
    bench.time.run(SECOND)
    assert bench.exchange.sent("/v5/order/cancel") == [{"category": "linear", "symbol": "BTCUSDT", "orderId": "v-1"}]
    assert bench.exchange.orders[""]["orderStatus"] == "Cancelled"
    assert bench.told == []


def test_a_filled_order_whose_executions_never_come_is_over_in_the_end():
    bench = Bench()
    bench.venue.translator.expect(order())
    bench.exchange.carry(CREATE, {"orderLinkId": "s-1", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit",
                                  "qty": "0.010", "price": "64000"})  # fmt: skip
    bench.exchange.change("s-1", cumExecQty="0.010", orderStatus="Filled")
    bench.time.run(20 * SECOND)
    assert bench.kinds() == ["OrderAccepted", "OrderCancelled"]
    assert "executions tell 0" in bench.told[-1].why
