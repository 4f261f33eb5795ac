"""Orders of an account: what is refused, how they live, how they end, what is told of them."""

import pytest
from tests.apps.exchange.accounts_world import MID, SYMBOL, World

from stakan.apps.exchange.accounts import OPERATIONS
from stakan.apps.exchange.uncertain import Uncertain
from stakan.core.domain.units import Side

PASSIVE = "59990.0"
ASK = "60000.5"


# --- entry ----------------------------------------------------------------------------------------------------------


def test_a_passive_order_rests_and_is_told_with_all_that_was_asked():
    world = World()
    order_id = world.order(price=PASSIVE, orderLinkId="mine-1", timeInForce="PostOnly", stopLoss="59000")
    topics = world.pushes()
    assert [topic for topic, _ in topics] == ["order", "position", "wallet"]
    row = topics[0][1][0]
    assert row == world.row(order_id)
    assert (row["orderStatus"], row["orderLinkId"], row["timeInForce"]) == ("New", "mine-1", "PostOnly")
    assert (row["price"], row["qty"], row["leavesValue"]) == ("59990.00", "0.010", "599.9")
    assert (row["stopLoss"], row["slTriggerBy"], row["tpslMode"]) == ("59000.00", "LastPrice", "Full")


def test_a_taker_is_told_by_its_executions_before_its_order_position_and_wallet():
    world = World()
    world.order(qty="3.000", price="60003.0", timeInForce="IOC")
    topics = world.pushes()
    assert [topic for topic, _ in topics] == ["execution", "execution.fast", "order", "position", "wallet"]
    executions, order = topics[0][1], topics[2][1][0]
    assert [row["execQty"] for row in executions] == ["2.000", "1.000"]
    assert [row["execPrice"] for row in executions] == ["60000.50", "60001.50"]
    assert (order["orderStatus"], order["cumExecQty"], order["avgPrice"]) == ("Filled", "3.000", "60000.83333333")


def test_new_before_the_outcome_can_be_switched_on():
    world = World(Uncertain(tells_new_before_outcome=True))
    assert world.statuses(world.order()) == ["New", "Filled"]


def test_a_maker_fill_hides_the_link_id_on_the_fast_topic():
    world = World()
    order_id = world.order(price=PASSIVE, orderLinkId="mine")
    world.pushes()
    world.trade(Side.SELL, MID - 200, 50_000)
    topics = dict(world.pushes())
    assert topics["execution"][0]["isMaker"] is True
    assert topics["execution"][0]["orderLinkId"] == "mine"
    assert topics["execution.fast"][0]["orderLinkId"] == ""
    assert world.row(order_id)["orderStatus"] == "Filled"


def test_numbers_as_numbers_and_null_as_absent():
    world = World()
    order_id = world.order(qty=0.01, price=59990, orderLinkId=None, positionIdx="0", takeProfit="", unknown={"a": 1})
    assert world.row(order_id)["price"] == "59990.00"


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        (10001, {"symbol": "NOSUCH"}),
        (10001, {"category": "spot"}),
        (10001, {"side": "buy"}),
        (10001, {"qty": "0"}),
        (10001, {"qty": "-1"}),
        (10001, {"qty": "NaN"}),
        (10001, {"qty": "1e999999"}),
        (10001, {"qty": "0.0105"}),
        (10001, {"qty": "1001"}),
        (10001, {"price": "59990.05"}),
        (10001, {"price": "0"}),
        (10001, {"price": None, "orderType": "Limit"}),
        (10001, {"positionIdx": 1}),
        (10001, {"orderLinkId": "x" * 37}),
        (10001, {"orderLinkId": "with space"}),
        (10001, {"stopLoss": "61000"}),
        (10001, {"takeProfit": "59000"}),
        (10001, {"stopLoss": "59000", "reduceOnly": True}),
        (10001, {"stopLoss": "59000", "slOrderType": "Limit", "slLimitPrice": "58000"}),
        (10001, {"triggerPrice": "61000"}),
        (10001, {"slippageToleranceType": "TickSize", "slippageTolerance": "5"}),
        (110007, {"qty": "100"}),
        (110017, {"reduceOnly": True}),
        (110017, {"qty": "0", "reduceOnly": True, "closeOnTrigger": True}),
        (110092, {"triggerPrice": "59000", "triggerDirection": 1}),
        (110093, {"triggerPrice": "61000", "triggerDirection": 2}),
        (110119, {"timeInForce": "RPI"}),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_no_trace(code, changes):
    world = World()
    assert world.refuse(**({"price": PASSIVE} | changes)) == code
    assert world.live() == []
    assert [topic for topic, _ in world.pushes()] == []


def test_an_order_below_the_least_value_is_refused():
    assert World().refuse(qty="0.001", price="4000") == 110094


def test_off_grid_can_be_rounded_instead():
    world = World(Uncertain(rounds_off_grid=True))
    row = world.row(world.order(qty="0.0109", price="59990.05"))
    assert (row["qty"], row["price"]) == ("0.010", "59990.00")


def test_a_link_id_is_used_once_even_after_its_order_is_over():
    world = World()
    order_id = world.order(price=PASSIVE, orderLinkId="once")
    world.done("order/cancel", symbol=SYMBOL, orderId=order_id)
    assert world.refuse(price=PASSIVE, orderLinkId="once") == 110072


def test_a_refused_order_does_not_use_up_its_link_id():
    world = World()
    assert world.refuse(price=PASSIVE, qty="100", orderLinkId="again") == 110007
    world.order(price=PASSIVE, orderLinkId="again")


def test_ids_are_derived():
    first, second = World(), World()
    assert first.order(price=PASSIVE) == second.order(price=PASSIVE)
    assert World(uid=7).order(price=PASSIVE) != first.order(price="59980")


def test_at_most_500_orders_rest_and_10_wait():
    world = World()
    for _ in range(10):
        world.order(triggerPrice="61000", triggerDirection=1)
    assert world.refuse(triggerPrice="61000", triggerDirection=1) == 110009
    for _ in range(500):
        world.order(price="50000", qty="0.001")
    assert world.refuse(price="50000", qty="0.001") == 110020
    assert len(world.done("order/cancel-all", settleCoin="USDT")["list"]) == 500
    assert len(world.live()) == 10


# --- time in force, price band --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "cancel_type", "reason"),
    [
        ({"price": ASK, "timeInForce": "PostOnly"}, "UNKNOWN", "EC_PostOnlyWillTakeLiquidity"),
        ({"price": PASSIVE, "timeInForce": "IOC"}, "UNKNOWN", "EC_NoImmediateQtyToFill"),
        ({"price": ASK, "timeInForce": "FOK", "qty": "2.001"}, "UNKNOWN", "EC_NoEnoughQtyToFill"),
    ],
)
def test_what_may_not_rest_or_take_is_cancelled_after_the_ack(params, cancel_type, reason):
    world = World()
    order_id = world.order(**params)
    assert world.statuses(order_id) == ["Cancelled"]
    row = world.row(order_id)
    assert (row["cancelType"], row["rejectReason"], row["leavesQty"]) == (cancel_type, reason, "0")


def test_the_rest_of_an_ioc_is_cancelled_with_its_fills():
    world = World()
    order_id = world.order(qty="2.500", price=ASK, timeInForce="IOC")
    assert world.statuses(order_id) == ["PartiallyFilled", "Cancelled"]
    assert world.row(order_id)["cumExecQty"] == "2.000"


def test_a_price_beyond_the_band_is_moved_or_refused_as_the_account_wants():
    world = World()
    assert world.row(world.order("Sell", price="50000"))["orderStatus"] == "Filled"
    moved = world.order(price="70000", qty="0.001")
    assert world.row(moved)["price"] == "63000.00"
    world.done("account/set-limit-px-action", modifyEnable=False)
    assert world.refuse(price="70000") == 110003
    assert world.done("account/user-setting-config")["lpaPerp"] is True


def test_a_market_order_carries_its_protective_price():
    world = World()
    (execution,) = [world.order("Sell"), *world.executions()][1:]
    assert execution["orderPrice"] == "57000.00"


def test_a_market_order_without_a_market_is_cancelled_with_its_protective_price():
    world = World()
    world.move(MID, depth=0)
    row = world.row(world.order())
    assert (row["orderStatus"], row["rejectReason"], row["price"]) == (
        "Cancelled",
        "EC_NoImmediateQtyToFill",
        "63000.00",
    )


def test_a_slippage_tolerance_bounds_a_market_order():
    world = World()
    order_id = world.order(qty="5.000", slippageToleranceType="TickSize", slippageTolerance="10")
    row = world.row(order_id)
    assert (row["orderType"], row["orderStatus"], row["cumExecQty"]) == ("Market", "Cancelled", "4.000")
    assert world.executions()[0]["execPrice"] == "60001.50"


def test_a_price_can_be_taken_from_the_book():
    world = World()
    queued = world.row(world.done("order/create", symbol=SYMBOL, side="Buy", orderType="Limit", qty="0.01",
                                  bboSideType="Queue", bboLevel="2")["orderId"])  # fmt: skip
    assert (queued["price"], queued["createType"]) == ("59998.50", "CreateByBboOrder")


# --- amend and cancel -----------------------------------------------------------------------------------------------


def test_an_amendment_changes_what_it_names():
    world = World()
    order_id = world.order(price=PASSIVE, orderLinkId="mine")
    world.done("order/amend", symbol=SYMBOL, orderLinkId="mine", price="59980", qty="0.02", stopLoss="58000")
    row = world.row(order_id)
    assert (row["price"], row["qty"], row["stopLoss"], row["orderStatus"]) == ("59980.00", "0.020", "58000.00", "New")
    world.done("order/amend", symbol=SYMBOL, orderId=order_id, stopLoss="0")
    assert world.row(order_id)["stopLoss"] == ""


def test_an_amendment_may_make_it_take():
    world = World()
    order_id = world.order(price=PASSIVE)
    world.done("order/amend", symbol=SYMBOL, orderId=order_id, price=ASK)
    assert world.row(order_id)["orderStatus"] == "Filled"


def test_amendments_that_cannot_be():
    world = World()
    order_id = world.order(price=PASSIVE, qty="0.010")
    before = world.row(order_id)
    assert world.refused("order/amend", symbol=SYMBOL, orderId=order_id) == 10001
    assert world.refused("order/amend", symbol=SYMBOL, orderId=order_id, qty="0.010") == 10001
    assert world.refused("order/amend", symbol=SYMBOL, orderId=order_id, stopLoss="61000") == 10001
    assert world.refused("order/amend", symbol=SYMBOL, orderId=order_id, triggerPrice="61000") == 10001
    assert world.refused("order/amend", symbol=SYMBOL, orderId="no-such", qty="1") == 110001
    assert world.refused("order/amend", symbol=SYMBOL) == 10001
    assert world.row(order_id) == before


def test_a_partly_filled_order_cannot_shrink_below_its_fills():
    world = World()
    order_id = world.order(qty="3.000", price=ASK)
    assert world.row(order_id)["orderStatus"] == "PartiallyFilled"
    assert world.refused("order/amend", symbol=SYMBOL, orderId=order_id, qty="2.000") == 110064


def test_a_cancel_ends_it_once():
    world = World()
    order_id = world.order(price=PASSIVE)
    world.pushes()
    world.done("order/cancel", symbol=SYMBOL, orderId=order_id, orderLinkId="ignored")
    row = world.row(order_id)
    assert (row["orderStatus"], row["cancelType"], row["rejectReason"]) == (
        "Cancelled",
        "CancelByUser",
        "EC_PerCancelRequest",
    )
    assert world.refused("order/cancel", symbol=SYMBOL, orderId=order_id) == 110001


@pytest.mark.parametrize(
    ("params", "left"),
    [
        ({"orderFilter": "Order"}, {"Stop", "StopLoss"}),
        ({"orderFilter": "StopOrder"}, {""}),
        ({"orderFilter": "StopOrder", "stopOrderType": "Stop"}, {"", "StopLoss"}),
        ({"orderFilter": "OpenOrder"}, {"StopLoss"}),
        ({}, set()),
    ],
)
def test_cancel_all_takes_what_its_filter_says(params, left):
    world = World()
    world.order(stopLoss="59000")
    world.order(price=PASSIVE)
    world.order(triggerPrice="61000", triggerDirection=1)
    world.done("order/cancel-all", symbol=SYMBOL, **params)
    assert {row["stopOrderType"] for row in world.live()} == left
    assert world.position()["stopLoss"] == ("59000.00" if "StopLoss" in left else "")


def test_cancel_all_needs_to_know_where():
    assert World().refused("order/cancel-all") == 10001


# --- batches --------------------------------------------------------------------------------------------------------


def test_each_order_of_a_batch_stands_for_itself():
    world = World()
    items = [
        {"symbol": SYMBOL, "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": PASSIVE, "orderLinkId": "a"},
        {"symbol": SYMBOL, "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "1.23", "orderLinkId": "b"},
        {"symbol": SYMBOL, "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": PASSIVE, "orderLinkId": "c"},
    ]
    reply = world.ask("order/create-batch", request=items, allowed=2)
    assert [row["code"] for row in reply["ext"]["list"]] == [0, 10001, 10006]
    ids = [row["orderId"] for row in reply["result"]["list"]]
    assert ids[0]
    assert ids[1:] == ["", ""]
    changed = world.ask("order/amend-batch", request=[{"symbol": SYMBOL, "orderId": ids[0], "qty": "0.02"}])
    assert changed["ext"]["list"] == [{"code": 0, "msg": "OK"}]
    gone = world.ask("order/cancel-batch", request=[{"symbol": SYMBOL, "orderLinkId": "a"}, {"symbol": SYMBOL}])
    assert [row["code"] for row in gone["ext"]["list"]] == [0, 10001]
    assert world.refused("order/create-batch", request=[{}] * 21) == 10001


# --- conditional orders ---------------------------------------------------------------------------------------------


def test_a_conditional_order_waits_fires_and_fills():
    world = World()
    order_id = world.order(triggerPrice="60100", triggerDirection=1, triggerBy="MarkPrice")
    row = world.row(order_id)
    assert (row["orderStatus"], row["stopOrderType"], row["triggerBy"]) == ("Untriggered", "Stop", "MarkPrice")
    assert world.statuses(order_id) == ["Untriggered"]
    world.mark(601_000)
    assert world.statuses(order_id) == ["Triggered", "Filled"]


def test_a_conditional_limit_order_rests_after_its_trigger():
    world = World()
    order_id = world.order(price="59000", triggerPrice="60100", triggerDirection=1)
    world.pushes()
    world.trade(Side.BUY, 601_000, 1)
    assert world.statuses(order_id) == ["Triggered", "New"]
    assert world.row(order_id)["orderStatus"] == "New"


def test_a_conditional_order_can_be_moved_and_is_deactivated_when_it_is_cancelled():
    world = World()
    order_id = world.order(triggerPrice="60100", triggerDirection=1)
    world.done("order/amend", symbol=SYMBOL, orderId=order_id, triggerPrice="60200", triggerBy="IndexPrice")
    row = world.row(order_id)
    assert (row["triggerPrice"], row["triggerBy"]) == ("60200.00", "IndexPrice")
    world.done("order/cancel", symbol=SYMBOL, orderId=order_id)
    assert world.row(order_id)["orderStatus"] == "Deactivated"


def test_a_triggered_order_without_money_ends_without_a_fill():
    world = World()
    order_id = world.order(qty="40.000", triggerPrice="60100", triggerDirection=1, triggerBy="MarkPrice")
    world.pushes()
    world.mark(601_000)
    assert world.statuses(order_id) == ["Triggered", "Cancelled"]


def test_closing_all_with_size_zero():
    world = World()
    world.order(qty="0.500")
    order_id = world.order("Sell", qty="0", reduceOnly=True, closeOnTrigger=True)
    assert world.row(order_id)["cumExecQty"] == "0.500"
    assert world.position()["size"] == "0"


def test_a_reduce_only_order_goes_when_nothing_is_left_to_reduce():
    world = World()
    world.order(qty="0.500")
    resting = world.order("Sell", qty="0.500", price="60500", reduceOnly=True)
    world.order("Sell", qty="0.500")
    row = world.row(resting)
    assert (row["orderStatus"], row["cancelType"]) == ("Cancelled", "CancelByReduceOnly")


# --- queries --------------------------------------------------------------------------------------------------------


def test_pages_follow_each_other_without_gap_or_overlap():
    world = World()
    made = [world.order(price=PASSIVE) for _ in range(7)]
    seen, cursor = [], ""
    while True:
        page = world.done("order/realtime", symbol=SYMBOL, limit=3, cursor=cursor)
        seen += [row["orderId"] for row in page["list"]]
        cursor = page["nextPageCursor"]
        if not cursor:
            break
    assert seen == made[::-1]
    for wrong in ("what", "²", "9" * 5000):
        assert world.refused("order/realtime", symbol=SYMBOL, cursor=wrong) == 10001
    assert world.refused("order/realtime", symbol=SYMBOL, limit=51) == 10001
    assert world.refused("order/realtime") == 10001


def test_closed_orders_are_in_the_history_and_behind_open_only():
    world = World()
    filled, gone, open_one = world.order(), world.order(price=PASSIVE), world.order(price=PASSIVE)
    world.done("order/cancel", symbol=SYMBOL, orderId=gone)
    assert [row["orderId"] for row in world.done("order/history")["list"]] == [gone, filled]
    assert [row["orderId"] for row in world.done("order/history", orderStatus="Filled")["list"]] == [filled]
    assert [row["orderId"] for row in world.live(openOnly=1)] == [gone, filled]
    assert [row["orderId"] for row in world.live()] == [open_one]
    assert world.refused("order/history", orderStatus="New") == 181017
    world.wait(90_000_000)
    assert [row["orderId"] for row in world.done("order/history")["list"]] == [filled]


def test_time_windows():
    world = World()
    world.order()
    assert len(world.executions()) == 1
    assert len(world.executions(startTime=world.now, endTime=world.now)) == 1
    assert world.executions(startTime=world.now + 1) == []
    assert world.refused("execution/list", startTime=0, endTime=8 * 86_400_000) == 10001
    assert world.refused("execution/list", startTime=5, endTime=4) == 10001
    assert world.executions(execType="Funding") == []


def test_every_operation_answers_without_parameters_and_never_raises():
    world = World()
    for operation in OPERATIONS:
        reply = world.ask(operation)
        assert reply["code"] == 0 or reply["message"]
