"""The venue against a scripted exchange: every reaction, every silence, and what the engine is told of it."""

from decimal import Decimal

import msgspec
import pytest
from tests.adapters.exchanges.bybit.fakes import BTC, RULES, Bench, order

from stakan.adapters.exchanges.bybit.context import Patience
from stakan.adapters.exchanges.bybit.entry_gate import LEFT_ALONE
from stakan.adapters.exchanges.bybit.errors import CODES, DUPLICATE_ID, NO_OPENING, TOO_FAST, Kind, Reaction
from stakan.adapters.exchanges.bybit.limits import SLOW_DOWN
from stakan.adapters.exchanges.bybit.messages import PrivateFrame, read
from stakan.adapters.exchanges.bybit.rest import measure_clock
from stakan.adapters.exchanges.bybit.venue import BybitVenue
from stakan.core.domain.commands import AmendOrder, CancelOrder, SetProtection, SubmitOrder
from stakan.core.domain.errors import RequestRefused
from stakan.core.domain.events import OrderFilled
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.orders import OrderType, Purpose, TimeInForce
from stakan.core.domain.units import MILLISECOND, SECOND, Lots, Ticks

CREATE, CANCEL, AMEND = "/v5/order/create", "/v5/order/cancel", "/v5/order/amend"
STOP = "/v5/position/trading-stop"
NAME = order().client_order_id
SUBMIT = SubmitOrder(order=order())
CANCEL_IT = CancelOrder(instrument=BTC, client_order_id=NAME)
AMEND_IT = AmendOrder(instrument=BTC, client_order_id=NAME, price=Ticks(641_000), size=Lots(7))
PROTECT_IT = SetProtection(instrument=BTC, stop_loss=Ticks(635_000), take_profit=None)


def codes(kind, reaction, *but):
    return sorted(c for c, rule in CODES.items() if rule.reaction_to(kind) is reaction and c not in (0, *but))


def placed(**options):
    """A bench with one order that rests."""
    bench = Bench(**options)
    bench.send(SUBMIT)
    bench.time.run(SECOND)
    assert bench.kinds() == ["OrderAccepted"]
    bench.told.clear()
    bench.exchange.requests.clear()
    return bench


def private(topic, rows):
    """A frame of the private stream."""
    text = msgspec.json.encode({"topic": topic, "creationTime": 1, "data": rows})
    return read(PrivateFrame, text, topic)


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_an_entry_carries_its_stop_and_leaves_in_the_call():
    bench = Bench()
    bench.send(SUBMIT)
    (frame,) = bench.socket.frames
    assert frame["op"] == "order.create"
    assert frame["header"]["X-BAPI-RECV-WINDOW"] == "5000"
    assert len(frame["reqId"]) <= 36
    assert frame["args"] == [
        {
            "category": "linear",
            "symbol": "BTCUSDT",
            "side": "Buy",
            "orderType": "Limit",
            "qty": "0.010",
            "price": "64000.0",
            "timeInForce": "GTC",
            "positionIdx": 0,
            "orderLinkId": "s-1",
            "reduceOnly": False,
            "tpslMode": "Full",
            "stopLoss": "63000.0",
            "slTriggerBy": "MarkPrice",
            "slOrderType": "Market",
        }
    ]
    bench.time.run(SECOND)
    assert bench.kinds() == ["OrderAccepted"]


def test_without_a_trade_socket_orders_go_by_rest_with_the_same_body():
    by_socket, by_rest = Bench(), Bench(by_socket=False)
    for bench in (by_socket, by_rest):
        bench.send(SUBMIT)
        bench.time.run(SECOND)
    assert not by_rest.socket.frames
    assert by_rest.exchange.sent(CREATE) == by_socket.exchange.sent(CREATE)
    assert by_rest.kinds() == by_socket.kinds() == ["OrderAccepted"]


def test_a_socket_that_does_not_take_the_frame_is_passed_by():
    bench = Bench()
    bench.socket.is_broken = True
    bench.send(SUBMIT)
    bench.time.run(SECOND)
    assert len(bench.exchange.sent(CREATE)) == 1
    assert bench.kinds() == ["OrderAccepted"]


def test_request_ids_are_never_used_twice():
    bench = Bench()
    for number in range(5):
        bench.send(SubmitOrder(order=order(f"s-{number}")))
    names = [frame["reqId"] for frame in bench.socket.frames]
    assert len(set(names)) == 5


@pytest.mark.parametrize("by_socket", [True, False])
@pytest.mark.parametrize("result", [None, [], {"orderId": 5}])
def test_an_acceptance_that_cannot_be_read_is_looked_up(by_socket, result):
    bench = Bench(by_socket=by_socket, is_streaming=False)
    create = bench.exchange._order_create
    bench.exchange._order_create = lambda body: (create(body)[0], result)
    bench.send(SUBMIT)
    bench.time.run(5 * SECOND)
    assert bench.kinds() == ["OutcomeLost", "OrderAccepted"]
    assert not bench.halts


def test_an_execution_that_was_garbled_once_is_read_again():
    bench = placed()
    bench.exchange.fill(NAME, 3, is_told=False)
    bench.exchange.fill(NAME, 7, is_told=False)
    first, second = bench.exchange.executions
    bench.venue.on_private_frame(private("execution", [first, second | {"execPrice": ""}]), bench.time.clock())
    assert [event.size for event in bench.told] == [3]
    bench.time.run(5 * SECOND)
    assert [event.size for event in bench.told if isinstance(event, OrderFilled)] == [3, 7]
    assert not bench.halts


def test_patience_for_late_executions_begins_anew_each_time():
    bench = placed()
    bench.exchange.fill(NAME, 3, is_told=False)
    bench.push("order", dict(bench.exchange.orders[NAME]))
    bench.time.run(60 * SECOND)
    bench.exchange.fill(NAME, 4, is_told=False)
    late = bench.exchange.executions.pop()
    bench.exchange.change(NAME, orderStatus="Cancelled", cancelType="CancelByUser")
    bench.time.timers(4 * SECOND, lambda: bench.exchange.executions.append(late))
    bench.time.run(20 * SECOND)
    assert bench.kinds() == ["OrderFilled", "OrderFilled", "OrderCancelled"]


# --- what may not leave -----------------------------------------------------------------------------------------------


def test_nothing_opens_before_margin_mode_and_leverage_are_asserted():
    bench = Bench(is_prepared=False)
    bench.send(SUBMIT)
    bench.time.run(SECOND)
    assert bench.kinds() == ["OrderFailed"]
    assert not bench.exchange.sent(CREATE)
    bench.send(SubmitOrder(order=order("s-2", reduce_only=True, purpose=Purpose.EXIT, stop_loss=None)))
    assert len(bench.exchange.sent(CREATE)) == 1


def test_preparing_sets_isolated_margin_one_way_and_leverage_and_reads_them_back():
    bench = Bench(is_prepared=False)
    bench.exchange.positions["BTCUSDT"]["leverage"] = "5"
    bench.prepare()
    assert bench.exchange.margin_mode == "ISOLATED_MARGIN"
    assert bench.exchange.sent("/v5/position/switch-mode")[0]["mode"] == 0
    assert bench.exchange.sent("/v5/position/set-leverage")[0]["buyLeverage"] == "10"


def test_preparing_what_is_as_wanted_already_changes_nothing():
    bench = Bench(is_prepared=False)
    bench.prepare()
    assert not bench.exchange.sent("/v5/position/switch-mode")
    assert not bench.exchange.sent("/v5/position/set-leverage")
    bench.send(SubmitOrder(order=order()))
    bench.time.run(SECOND)
    assert "OrderAccepted" in bench.kinds()


def test_preparing_fails_where_the_exchange_does_otherwise():
    bench = Bench(is_prepared=False)
    bench.exchange._position_set_leverage = lambda body: (0, {})
    bench.exchange.positions["BTCUSDT"]["leverage"] = "3"
    with pytest.raises(RequestRefused, match="leverage is 3 instead of 10"):
        bench.prepare()
    bench.send(SUBMIT)
    bench.time.run(SECOND)
    assert bench.kinds() == ["OrderFailed"]


def test_an_unknown_instrument_is_refused_without_raising():
    bench = Bench()
    other = InstrumentId("bybit:linear:NOPE")
    bench.send(SubmitOrder(order=order(instrument=other)))
    bench.send(AmendOrder(instrument=other, client_order_id=NAME, price=Ticks(1), size=Lots(1)))
    bench.send(SetProtection(instrument=other, stop_loss=Ticks(1), take_profit=None))
    bench.time.run(SECOND)
    assert bench.kinds() == ["OrderFailed", "CancelRejected", "ProtectionRejected"]


# --- every reaction, for orders ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_socket", [True, False])
@pytest.mark.parametrize(
    "code", [*codes(Kind.CREATE, Reaction.REJ), *codes(Kind.CREATE, Reaction.RISK), 110017, 110005]
)
def test_a_refused_order_is_rejected_and_never_repeated(code, by_socket):
    bench = Bench(by_socket=by_socket)
    bench.exchange.script[CREATE] = [code]
    bench.send(SUBMIT)
    bench.time.run(20 * SECOND)
    assert bench.kinds() == ["OrderRejected"]
    assert str(code) in bench.told[0].why
    assert len(bench.exchange.sent(CREATE)) == 1
    assert not bench.halts


@pytest.mark.parametrize("code", codes(Kind.CREATE, Reaction.FATAL))
def test_a_fatal_code_rejects_and_stops_trading(code):
    bench = Bench()
    bench.exchange.script[CREATE] = [code]
    bench.send(SUBMIT)
    bench.time.run(SECOND)
    assert bench.kinds() == ["OrderRejected"]
    assert len(bench.halts) == 1
    bench.send(SubmitOrder(order=order("s-2")))
    bench.time.run(SECOND)
    assert bench.kinds()[-1] == "OrderFailed"
    bench.send(SubmitOrder(order=order("s-3", reduce_only=True, stop_loss=None)))
    bench.time.run(SECOND)
    assert bench.kinds()[-1] == "OrderAccepted"


@pytest.mark.parametrize("code", codes(Kind.CREATE, Reaction.RETRY))
def test_what_was_not_carried_out_is_sent_again_with_the_same_id(code):
    bench = Bench()
    bench.exchange.script[CREATE] = [code]
    bench.send(SUBMIT)
    bench.time.run(5 * SECOND)
    bodies = bench.exchange.sent(CREATE)
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]
    assert bench.kinds() == ["OrderAccepted"]


@pytest.mark.parametrize("code", codes(Kind.CREATE, Reaction.RETRY, 10002))
def test_retries_are_bounded_and_end_in_failed(code):
    bench = Bench()
    bench.exchange.script[CREATE] = [code] * 20
    bench.send(SUBMIT)
    bench.time.run(30 * SECOND)
    assert bench.kinds() == ["OrderFailed"]
    assert len(bench.exchange.sent(CREATE)) == 1 + Patience().retries


def test_a_clock_that_is_refused_twice_stops_trading():
    bench = Bench()
    bench.exchange.script[CREATE] = [10002] * 20
    bench.send(SUBMIT)
    bench.time.run(30 * SECOND)
    assert bench.kinds() == ["OrderFailed"]
    assert len(bench.exchange.sent(CREATE)) == 2
    assert "clock" in bench.halts[0]
    assert bench.exchange.sent("/v5/market/time")


def test_after_a_refused_clock_the_order_waits_for_a_new_reading_of_it():
    bench, ahead = Bench(), 5 * SECOND
    answer, carry = bench.exchange.transport, bench.exchange.carry
    bench.venue.line._transport = lambda request, done: bench.time.timers(SECOND // 2, lambda: answer(request, done))
    bench.exchange._market_time = lambda query: (0, {"timeNano": str(bench.time.now + ahead)})

    def refusing(path, body):
        is_off = abs(bench.venue.server_clock.offset - ahead) > SECOND
        return (10002, {}) if path == CREATE and is_off else carry(path, body)

    bench.exchange.carry = refusing
    bench.send(SUBMIT)
    bench.time.run(5 * SECOND)
    assert (bench.kinds(), bench.halts) == (["OrderAccepted"], [])


def test_a_refused_clock_after_another_refusal_is_the_first():
    bench = Bench()
    bench.exchange.script[CREATE] = [10006, 10002]
    bench.send(SUBMIT)
    bench.time.run(5 * SECOND)
    assert (bench.kinds(), bench.halts) == (["OrderAccepted"], [])


def test_after_a_query_that_was_out_of_time_the_clock_is_read_anew():
    """Looking up and polling are all queries: with a wrong offset the bot would be blind until the next sweep."""
    bench = Bench()
    bench.exchange.script["/v5/account/wallet-balance"] = [10002]
    bench.venue.read_account()
    bench.time.run(2 * SECOND)
    assert bench.exchange.sent("/v5/market/time")
    assert bench.venue.server_clock.is_synced
    assert not bench.halts


def test_an_order_that_waits_for_the_clock_can_be_taken_back():
    bench = Bench()
    bench.exchange.script[CREATE] = [10002]
    bench.send(SUBMIT)
    bench.time.run(3 * MILLISECOND)
    bench.send(CANCEL_IT)
    bench.time.run(5 * SECOND)
    assert bench.kinds() == ["OrderFailed"]
    assert len(bench.exchange.sent(CREATE)) == 1


def test_an_order_that_is_there_is_cancelled_though_its_answer_asked_for_another_attempt():
    bench = Bench()
    create = bench.exchange._order_create
    bench.exchange._order_create = lambda body: (10006, create(body)[1])
    bench.send(SUBMIT)
    bench.time.run(SECOND // 10)
    bench.send(CANCEL_IT)
    bench.time.run(5 * SECOND)
    assert bench.kinds() == ["OrderAccepted", "OrderCancelled"]
    assert len(bench.exchange.sent(CREATE)) == 1


def test_a_stop_that_a_newer_one_replaced_is_not_sent_again():
    bench = Bench()
    bench.exchange.script[STOP] = [10006]
    bench.send(PROTECT_IT)
    bench.time.run(SECOND // 10)
    bench.send(SetProtection(instrument=BTC, stop_loss=Ticks(636_000), take_profit=None))
    bench.time.run(SECOND)
    assert [body["stopLoss"] for body in bench.exchange.sent(STOP)] == ["63500.0", "63600.0"]


def test_executions_are_read_from_the_start_by_the_clock_of_the_exchange():
    bench = Bench(is_streaming=False)
    behind = 300 * SECOND
    bench.exchange._market_time = lambda query: (0, {"timeNano": str(bench.time.now - behind)})
    bench.venue.line.run(measure_clock(bench.venue.server_clock, bench.time.clock), lambda _: None, bench.halts.append)
    bench.time.run(SECOND)
    bench.venue.start()
    bench.exchange.requests.clear()
    bench.venue.read_account()
    bench.time.run(SECOND // 10)
    (asked, *_) = bench.exchange.sent("/v5/execution/list")
    assert int(asked["startTime"]) <= (bench.time.now - behind) // MILLISECOND


@pytest.mark.parametrize("by_socket", [True, False])
@pytest.mark.parametrize("code", [*codes(Kind.CREATE, Reaction.AMBIG, 10018), 123456, 500123])
def test_an_unknown_outcome_is_looked_up_and_found_resting(code, by_socket):
    bench = Bench(by_socket=by_socket, is_streaming=False)
    bench.exchange.script[CREATE] = [code]
    bench.exchange._order_create(
        {
            "symbol": "BTCUSDT",
            "side": "Buy",
            "orderType": "Limit",
            "qty": "0.010",
            "price": "64000.0",
            "orderLinkId": NAME,
        }
    )
    bench.exchange.hidden.add(NAME)
    bench.send(SUBMIT)
    bench.time.run(SECOND)
    assert bench.kinds() == ["OutcomeLost"]
    bench.exchange.hidden.clear()
    bench.time.run(5 * SECOND)
    assert bench.kinds() == ["OutcomeLost", "OrderAccepted"]
    assert len(bench.exchange.sent(CREATE)) == 1


@pytest.mark.parametrize("how", ["lost", "silence"])
@pytest.mark.parametrize("by_socket", [True, False])
def test_silence_is_unknown_until_the_exchange_tells(how, by_socket):
    bench = Bench(by_socket=by_socket)
    bench.exchange.on_row = None
    bench.exchange.script[CREATE] = [how]
    bench.send(SUBMIT)
    bench.time.run(10 * SECOND)
    assert bench.kinds()[0] == "OutcomeLost"
    bench.time.run(30 * SECOND)
    assert bench.kinds() == ["OutcomeLost", "OrderAccepted" if how == "lost" else "OrderFailed"]
    assert len(bench.exchange.sent(CREATE)) == 1


def test_absence_is_proven_late_and_only_by_a_live_stream():
    bench = Bench(is_streaming=False)
    bench.exchange.script[CREATE] = ["silence"]
    bench.send(SUBMIT)
    bench.time.run(60 * SECOND)
    assert bench.kinds() == ["OutcomeLost"]
    bench.venue.on_private_up()
    bench.time.run(10 * SECOND)
    assert bench.kinds() == ["OutcomeLost", "OrderFailed"]


def test_absence_is_not_proven_before_the_receive_window_and_ten_seconds():
    bench = Bench()
    bench.exchange.script[CREATE] = ["silence"]
    bench.send(SUBMIT)
    bench.time.run(14 * SECOND)
    assert bench.kinds() == ["OutcomeLost"]
    bench.time.run(12 * SECOND)
    assert bench.kinds() == ["OutcomeLost", "OrderFailed"]


def test_no_connection_is_not_an_unknown_outcome():
    bench = Bench(by_socket=False)
    bench.exchange.script[CREATE] = ["down", "down"]
    bench.send(SUBMIT)
    bench.time.run(5 * SECOND)
    assert bench.kinds() == ["OrderAccepted"]
    assert len(bench.exchange.sent(CREATE)) == 3


def test_a_socket_that_dies_with_an_order_in_flight():
    bench = Bench()
    bench.exchange.on_row = None
    bench.exchange.script[CREATE] = ["lost"]
    bench.send(SUBMIT)
    bench.exchange.fill(NAME, 4)
    bench.venue.on_trade_down("reset")
    bench.time.run(5 * SECOND)
    assert bench.kinds() == ["OutcomeLost", "OrderAccepted", "OrderFilled"]
    bench.exchange.fill(NAME, 6)
    bench.time.run(120 * SECOND)
    assert bench.kinds() == ["OutcomeLost", "OrderAccepted", "OrderFilled", "OrderFilled"]


def test_what_the_stream_tells_ends_the_search():
    bench = Bench()
    bench.exchange.script[CREATE] = ["lost"]
    bench.send(SUBMIT)
    bench.time.run(SECOND)
    bench.venue.on_trade_down("reset")
    bench.time.run(5 * SECOND)
    assert bench.kinds() == ["OrderAccepted"]
    assert not bench.exchange.sent("/v5/order/history")


def test_an_accepted_order_that_nobody_hears_of_is_looked_up():
    bench = Bench()
    bench.exchange.on_row = None
    bench.send(SUBMIT)
    bench.time.run(2 * SECOND)
    assert bench.kinds() == []
    bench.time.run(4 * SECOND)
    assert bench.kinds() == ["OrderAccepted"]


# --- ids that were used -----------------------------------------------------------------------------------------------


def existing(bench, **fields):
    body = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.010", "price": "64000.0"}
    bench.exchange._order_create(body | {"orderLinkId": NAME} | fields)


def test_a_used_id_is_success_where_the_order_is_ours():
    bench = Bench()
    bench.exchange.on_row = None
    bench.send(SubmitOrder(order=order("s-0")))
    bench.exchange.script[CREATE] = ["lost"]
    existing(bench)
    bench.exchange.script[CREATE] = [DUPLICATE_ID]
    bench.send(SUBMIT)
    bench.time.run(5 * SECOND)
    assert [event.client_order_id for event in bench.told if event.client_order_id == NAME] == [NAME]
    assert not bench.halts


def test_a_used_id_is_not_judged_by_executions_alone():
    bench = Bench()
    bench.exchange.on_row = None
    existing(bench)
    bench.exchange.fill(NAME, 10, is_told=False)
    bench.exchange.hidden.add(NAME)
    bench.exchange.script[CREATE] = [DUPLICATE_ID]
    bench.send(SUBMIT)
    bench.time.run(5 * SECOND)
    assert bench.told == []
    bench.exchange.hidden.clear()
    bench.time.run(5 * SECOND)
    assert (bench.kinds(), bench.halts) == (["OrderFilled"], [])


@pytest.mark.parametrize("by_socket", [True, False])
def test_the_same_order_twice_is_one_order_told_of_once(by_socket):
    bench = Bench(by_socket=by_socket)
    bench.send(SUBMIT)
    bench.time.run(SECOND // 10)
    bench.exchange.fill(NAME, 4)
    bench.time.run(SECOND // 10)
    bench.send(SUBMIT)
    bench.time.run(10 * SECOND)
    assert len(bench.exchange.sent(CREATE)) == 2
    assert len(bench.exchange.orders) == 1
    assert (bench.kinds(), bench.halts) == (["OrderAccepted", "OrderFilled"], [])


@pytest.mark.parametrize("difference", [{"side": "Sell"}, {"qty": "0.020"}, {"price": "64000.1"}, {"old": True}])
def test_a_used_id_of_another_order_halts_the_instrument(difference):
    bench = Bench()
    is_old = difference.pop("old", False)
    existing(bench, **difference)
    if is_old:
        bench.time.run(30 * SECOND)
    bench.told.clear()
    bench.exchange.script[CREATE] = [DUPLICATE_ID]
    bench.send(SUBMIT)
    bench.time.run(5 * SECOND)
    assert "OrderRejected" in bench.kinds()
    assert len(bench.halts) == 1
    bench.send(SubmitOrder(order=order("s-2")))
    bench.time.run(SECOND)
    assert bench.kinds()[-1] == "OrderFailed"


@pytest.mark.parametrize("by_socket", [True, False])
@pytest.mark.parametrize("code", sorted(TOO_FAST))
def test_who_is_too_fast_slows_down(code, by_socket):
    bench = Bench(by_socket=by_socket)
    bench.exchange.script[CREATE] = [code]
    bench.send(SUBMIT)
    bench.time.run(10 * MILLISECOND)
    bench.send(SubmitOrder(order=order("s-2")))
    bench.send(CANCEL_IT)
    bench.time.run(SLOW_DOWN - 50 * MILLISECOND)
    assert len(bench.exchange.sent(CREATE)) == 1
    assert len(bench.exchange.sent(CANCEL)) == 1
    bench.time.run(SECOND // 10)
    assert len(bench.exchange.sent(CREATE)) == 2


@pytest.mark.parametrize("code", sorted(NO_OPENING))
def test_a_symbol_that_does_not_open_is_left_alone_for_a_while(code):
    bench = Bench()
    bench.exchange.script[CREATE] = [code]
    bench.send(SUBMIT)
    bench.time.run(SECOND)
    bench.send(SubmitOrder(order=order("s-2")))
    bench.send(SubmitOrder(order=order("s-3", reduce_only=True, stop_loss=None)))
    bench.time.run(SECOND)
    assert bench.kinds() == ["OrderRejected", "OrderFailed", "OrderAccepted"]
    assert str(code) in bench.told[1].why
    assert not bench.halts
    bench.time.run(LEFT_ALONE)
    bench.send(SubmitOrder(order=order("s-4")))
    bench.time.run(SECOND)
    assert bench.kinds()[-1] == "OrderAccepted"


@pytest.mark.parametrize("code", codes(Kind.CREATE, Reaction.RISK))
def test_who_lacks_margin_reads_the_account_again(code):
    bench = Bench()
    bench.exchange.script[CREATE] = [code]
    bench.send(SUBMIT)
    bench.time.run(SECOND)
    assert bench.kinds() == ["OrderRejected"]
    assert len(bench.exchange.sent("/v5/account/wallet-balance")) == 1


def test_after_an_operator_has_looked_orders_leave_again():
    bench = Bench()
    bench.exchange.script[CREATE] = [10005]
    bench.send(SUBMIT)
    bench.time.run(SECOND)
    bench.venue.release()
    bench.exchange.script[CREATE] = [0, 10005]
    bench.send(SubmitOrder(order=order("s-2")))
    bench.time.run(SECOND)
    bench.send(SubmitOrder(order=order("s-3")))
    bench.time.run(SECOND)
    assert bench.kinds() == ["OrderRejected", "OrderAccepted", "OrderRejected"]
    assert len(bench.halts) == 2


# --- cancels and amendments -------------------------------------------------------------------------------------------


def test_cancel_and_amend_tell_what_the_stream_shows():
    bench = placed()
    bench.send(AMEND_IT)
    bench.time.run(SECOND)
    bench.send(CANCEL_IT)
    bench.time.run(SECOND)
    assert bench.kinds() == ["OrderAmended", "OrderCancelled"]
    assert (bench.told[0].price, bench.told[0].size) == (641_000, 7)
    assert bench.exchange.sent(AMEND) == [
        {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "s-1", "price": "64100.0", "qty": "0.007"}
    ]


@pytest.mark.parametrize("code", [110001, 110008, 110010])
def test_a_cancel_that_comes_too_late_finds_the_fill(code):
    bench = placed()
    bench.exchange.fill(NAME, 10, is_told=False)
    bench.exchange.script[CANCEL] = [code]
    bench.send(CANCEL_IT)
    bench.time.run(3 * SECOND)
    assert bench.kinds() == ["OrderFilled"]


@pytest.mark.parametrize("how", [110001, "silence", "accepted"])
def test_an_amendment_that_loses_to_the_fill_is_refused(how):
    bench = placed()
    bench.exchange.fill(NAME, 10, is_told=False)
    if how == "accepted":
        bench.exchange._order_amend = lambda body: (0, {})
    else:
        bench.exchange.script[AMEND] = [how]
    bench.send(AMEND_IT)
    bench.time.run(20 * SECOND)
    assert bench.kinds() == ["OrderFilled", "CancelRejected"]
    assert bench.told[1].is_amendment


@pytest.mark.parametrize("command", [CANCEL_IT, AMEND_IT])
@pytest.mark.parametrize("how", ["silence", 10000, 110001])
def test_a_change_without_effect_is_refused_in_the_end(command, how):
    bench = placed()
    path = CANCEL if command is CANCEL_IT else AMEND
    bench.exchange.script[path] = [how]
    bench.send(command)
    bench.time.run(20 * SECOND)
    assert bench.kinds() == ["CancelRejected"]
    assert bench.told[0].is_amendment is (command is AMEND_IT)


@pytest.mark.parametrize("command", [CANCEL_IT, AMEND_IT])
def test_a_change_whose_answer_is_lost_is_seen_by_looking(command):
    bench = placed()
    bench.exchange.on_row = None
    path = CANCEL if command is CANCEL_IT else AMEND
    bench.exchange.script[path] = ["lost"]
    bench.send(command)
    bench.time.run(20 * SECOND)
    assert bench.kinds() == ["OrderCancelled" if command is CANCEL_IT else "OrderAmended"]


@pytest.mark.parametrize("code", codes(Kind.AMEND, Reaction.REJ))
def test_a_refused_amendment_leaves_the_order_what_it_is(code):
    bench = placed()
    bench.exchange.script[AMEND] = [code]
    bench.send(AMEND_IT)
    bench.time.run(SECOND)
    assert bench.kinds() == ["CancelRejected"]
    assert bench.told[0].is_amendment


# --- protection -------------------------------------------------------------------------------------------------------


def held(bench, stop="63000.0"):
    bench.exchange.positions["BTCUSDT"] |= {"size": "0.010", "side": "Buy", "stopLoss": stop, "takeProfit": ""}
    bench.venue.read_account()
    bench.time.run(SECOND)
    bench.told.clear()


@pytest.mark.parametrize("reading", ["account", "preparation", "confirmation"])
def test_a_stop_set_just_after_a_reading_counts_however_wrong_the_clock_may_be(reading):
    bench = Bench()
    held(bench, stop="")
    old = str(bench.time.now // MILLISECOND - 1000)
    bench.exchange.positions["BTCUSDT"] |= {"updatedTime": old, "leverage": "10"}
    # All of the round trip was the answer's way.
    bench.venue.server_clock.offset = bench.venue.server_clock.error = 30 * MILLISECOND
    bench.exchange._position_trading_stop = lambda body: (0, {})
    if reading == "account":
        bench.venue.read_account()
    elif reading == "preparation":
        bench.venue.line.run(bench.venue.prepare(RULES, Decimal(10)), lambda _: None, bench.halts.append)
    else:
        bench.send(PROTECT_IT)
        bench.time.run(Patience().effect)
    asked = [path for path, _ in bench.exchange.requests].count("/v5/position/list")
    while [path for path, _ in bench.exchange.requests].count("/v5/position/list") == asked:
        bench.time.run(MILLISECOND)
    leg = {"orderId": "leg", "orderStatus": "Untriggered", "stopOrderType": "StopLoss", "triggerPrice": "63500.0"}
    set_at = str(bench.time.now // MILLISECOND + 5)
    bench.time.run(20 * MILLISECOND)
    bench.push("order", leg | {"category": "linear", "symbol": "BTCUSDT", "side": "Sell", "updatedTime": set_at})
    bench.time.run(10 * MILLISECOND)
    assert [event.stop_loss for event in bench.told] == [635_000]


def test_a_stop_is_set_for_the_whole_position_by_mark_price():
    bench = Bench()
    held(bench)
    bench.send(PROTECT_IT)
    bench.time.run(5 * SECOND)
    assert bench.exchange.sent(STOP) == [
        {
            "category": "linear",
            "symbol": "BTCUSDT",
            "tpslMode": "Full",
            "positionIdx": 0,
            "stopLoss": "63500.0",
            "takeProfit": "0",
            "slTriggerBy": "MarkPrice",
            "tpTriggerBy": "MarkPrice",
        }
    ]
    assert bench.kinds() == ["ProtectionChanged"]
    assert bench.told[0].stop_loss == 635_000


@pytest.mark.parametrize("code", [10001, 110005, 110043 + 15, 10005])
def test_a_refused_stop_is_told(code):
    bench = Bench()
    held(bench)
    bench.exchange.script[STOP] = [code]
    bench.send(PROTECT_IT)
    bench.time.run(5 * SECOND)
    assert bench.kinds() == ["ProtectionRejected"]


def test_a_stop_without_an_answer_is_read_and_set_again():
    bench = Bench()
    held(bench)
    bench.exchange.script[STOP] = ["silence", 10016]
    bench.send(PROTECT_IT)
    bench.time.run(20 * SECOND)
    assert bench.kinds() == ["ProtectionChanged"]
    assert len(bench.exchange.sent(STOP)) == 3


def test_a_stop_that_the_exchange_never_shows_is_refused_in_the_end():
    bench = Bench()
    held(bench)
    bench.exchange._position_trading_stop = lambda body: (0, {})
    bench.send(PROTECT_IT)
    bench.time.run(60 * SECOND)
    assert bench.kinds() == ["ProtectionRejected"]
    assert len(bench.exchange.sent(STOP)) == 1 + Patience().retries


def test_a_newer_stop_makes_the_older_one_moot():
    bench = Bench()
    held(bench)
    bench.send(PROTECT_IT)
    bench.send(SetProtection(instrument=BTC, stop_loss=Ticks(636_000), take_profit=Ticks(650_000)))
    bench.time.run(20 * SECOND)
    assert [event.stop_loss for event in bench.told] == [636_000]
    assert len(bench.exchange.sent(STOP)) == 2


def test_an_unchanged_stop_is_no_news():
    bench = Bench()
    held(bench, stop="63500.0")
    bench.exchange.script[STOP] = [34040]
    bench.send(PROTECT_IT)
    bench.time.run(5 * SECOND)
    assert bench.kinds() == []


# --- the private stream -----------------------------------------------------------------------------------------------


def test_what_was_missed_while_the_stream_was_away_is_told_after_it():
    bench = placed()
    bench.venue.on_private_down("reset")
    bench.exchange.on_row = None
    names = [bench.exchange.fill(NAME, lots) for lots in (3, 2, 5)]
    bench.exchange.positions["BTCUSDT"] |= {"size": "0.010", "side": "Buy", "stopLoss": "63000.0"}
    bench.venue.on_private_up()
    bench.time.run(SECOND)
    assert [event.execution_id for event in bench.told if isinstance(event, OrderFilled)] == names
    assert bench.kinds()[-1] == "ProtectionChanged"
    assert bench.venue.is_caught_up
    assert bench.venue.translator.holdings[BTC].lots == 10
    bench.venue.on_private_up()
    bench.time.run(SECOND)
    assert len(bench.told) == 4


def test_while_the_stream_is_away_nothing_new_is_opened():
    bench = Bench()
    bench.venue.on_private_down("reset")
    bench.exchange.on_row = None
    bench.time.run(SECOND)
    bench.send(SUBMIT)
    bench.time.run(4 * SECOND)
    assert bench.kinds() == ["OrderAccepted"], "a reconnect in time is no reason"
    bench.venue.on_private_down("reset again")
    bench.told.clear()
    bench.exchange.requests.clear()
    bench.send(SubmitOrder(order=order("s-2")))
    bench.time.run(SECOND // 10)
    assert [(event.client_order_id, event.why) for event in bench.told] == [("s-2", "private stream is down for 5 s")]
    assert not bench.exchange.sent(CREATE)
    bench.send(SubmitOrder(order=order("s-3", reduce_only=True, stop_loss=None)))
    bench.send(PROTECT_IT)
    bench.send(CANCEL_IT)
    bench.time.run(SECOND // 10)
    assert [len(bench.exchange.sent(path)) for path in (CREATE, STOP, CANCEL)] == [1, 1, 1]


def test_entries_are_taken_again_when_the_stream_is_back_and_the_account_was_read():
    bench = Bench()
    bench.venue.on_private_down("reset")
    bench.time.run(10 * SECOND)
    bench.exchange.script["/v5/execution/list"] = ["silence"] * 2
    bench.venue.on_private_up()
    bench.send(SubmitOrder(order=order("s-2")))
    bench.time.run(MILLISECOND)
    assert bench.kinds() == ["OrderFailed"]
    bench.time.run(5 * SECOND)
    assert bench.venue.is_caught_up
    bench.send(SubmitOrder(order=order("s-3")))
    bench.time.run(SECOND)
    assert bench.kinds() == ["OrderFailed", "OrderAccepted"]
    bench.time.run(10 * SECOND)
    bench.venue.on_private_down("reset")
    bench.time.run(SECOND)
    bench.send(SubmitOrder(order=order("s-4")))
    bench.time.run(SECOND)
    assert bench.kinds() == ["OrderFailed", "OrderAccepted", "OrderAccepted"]


def test_a_stream_that_never_came_opens_nothing_either():
    bench = Bench(by_socket=False)
    bench.venue.stop()
    bench.venue = BybitVenue({BTC: RULES}, "bybit", bench.ports)
    bench.venue.start()
    bench.prepare()
    bench.time.run(5 * SECOND)
    bench.send(SUBMIT)
    bench.time.run(SECOND)
    assert bench.kinds() == ["OrderFailed"]


def test_while_the_stream_is_away_the_account_is_polled():
    bench = placed()
    bench.venue.on_private_down("reset")
    bench.exchange.on_row = None
    bench.exchange.fill(NAME, 4)
    bench.time.run(3 * SECOND)
    assert bench.kinds() == ["OrderFilled"]
    bench.exchange.change(NAME, orderStatus="Cancelled", cancelType="CancelByAdmin")
    bench.time.run(3 * SECOND)
    assert bench.kinds() == ["OrderFilled", "OrderCancelled"]
    assert "CancelByAdmin" in bench.told[-1].why


def test_a_stream_that_lies_silent_is_found_out_by_the_sweep():
    bench = placed()
    bench.exchange.on_row = None
    bench.exchange.fill(NAME, 10)
    bench.time.run(65 * SECOND)
    assert bench.kinds() == ["OrderFilled"]


def test_missing_executions_of_a_finished_order_are_fetched():
    bench = placed()
    bench.exchange.fill(NAME, 3, is_told=False)
    bench.exchange.change(NAME, orderStatus="Cancelled")
    bench.time.run(3 * SECOND)
    assert bench.kinds() == ["OrderFilled", "OrderCancelled"]


def test_an_end_is_told_in_the_end_without_its_executions():
    bench = placed()
    bench.exchange.change(NAME, orderStatus="Cancelled", cumExecQty="0.003")
    bench.time.run(8 * SECOND)
    assert bench.kinds() == []
    bench.time.run(8 * SECOND)
    assert bench.kinds() == ["OrderCancelled"]


def test_an_unreadable_message_has_the_account_read_anew():
    bench = placed()
    bench.exchange.fill(NAME, 10, is_told=False)
    bench.push("order", {"symbol": "BTCUSDT"})
    bench.time.run(SECOND)
    assert bench.kinds() == ["OrderFilled"]


def test_a_refused_address_is_silent_over_http_for_ten_minutes():
    bench = Bench(by_socket=False, is_streaming=False)
    bench.exchange.script[CREATE] = [10018]
    bench.send(SUBMIT)
    bench.time.run(SECOND)
    bench.exchange.requests.clear()
    bench.time.run(590 * SECOND)
    assert not bench.exchange.requests
    bench.time.run(30 * SECOND)
    assert bench.exchange.requests


# --- limits -----------------------------------------------------------------------------------------------------------


def test_a_burst_waits_for_its_turn_and_keeps_its_order():
    bench = Bench()
    for number in range(14):
        bench.send(SubmitOrder(order=order(f"s-{number}")))
    assert len(bench.socket.frames) == 8
    bench.time.run(2 * SECOND)
    names = [frame["args"][0]["orderLinkId"] for frame in bench.socket.frames]
    assert names == [f"s-{number}" for number in range(14)]
    assert bench.kinds() == ["OrderAccepted"] * 14


def test_with_no_patience_a_burst_is_refused_at_once():
    bench = Bench(patience=Patience(turn=0))
    for number in range(10):
        bench.send(SubmitOrder(order=order(f"s-{number}")))
    bench.time.run(SECOND)
    assert bench.kinds().count("OrderFailed") == 2
    assert len(bench.socket.frames) == 8


def test_an_order_that_waits_is_cancelled_without_being_sent():
    bench = Bench()
    for number in range(9):
        bench.send(SubmitOrder(order=order(f"s-{number}")))
    bench.send(AmendOrder(instrument=BTC, client_order_id=order("s-8").client_order_id, price=Ticks(1), size=Lots(1)))
    bench.send(CancelOrder(instrument=BTC, client_order_id=order("s-8").client_order_id))
    bench.time.run(3 * SECOND)
    assert bench.kinds()[:2] == ["CancelRejected", "OrderFailed"]
    assert len(bench.socket.frames) == 8


def test_market_and_conditional_orders_are_said_as_the_protocol_wants():
    bench = Bench()
    close = order("s-2", type=OrderType.MARKET, price=None, reduce_only=True, stop_loss=None)
    bench.send(SubmitOrder(order=order("s-3", time_in_force=TimeInForce.POST_ONLY, take_profit=Ticks(650_000))))
    bench.send(SubmitOrder(order=close))
    first, second = (frame["args"][0] for frame in bench.socket.frames)
    assert (first["timeInForce"], first["takeProfit"], first["tpTriggerBy"]) == ("PostOnly", "65000.0", "MarkPrice")
    assert (second["orderType"], second["reduceOnly"]) == ("Market", True)
    assert not {"price", "stopLoss", "takeProfit", "tpslMode"} & set(second)


def test_holdings_and_coins_are_there_to_be_read():
    bench = Bench()
    assert bench.venue.translator.coins["USDT"].balance == Decimal(1000)
    assert bench.venue.translator.holdings[BTC].lots == 0
    assert RULES.id in bench.venue.translator.holdings
