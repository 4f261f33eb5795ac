"""Positions of an account: stops as orders, margin, liquidation, funding, what closing earned, and the wallet."""

from decimal import Decimal

import pytest
from tests.apps.exchange.accounts_world import MID, MS, SYMBOL, World, rules

from stakan.adapters.exchanges.simulated.orders import Execution, Maker
from stakan.apps.exchange.accounts import AccountConfig, Accounts, ApiKey
from stakan.apps.exchange.holdings import Closing
from stakan.apps.exchange.uncertain import Uncertain
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.ids import ExecutionId
from stakan.core.domain.units import Side


def stop(world, **params):
    return world.ask("position/trading-stop", symbol=SYMBOL, **params)["code"]


def leg(world, kind="StopLoss"):
    (row,) = [row for row in world.live() if row["stopOrderType"] == kind]
    return row


# --- stops of the whole position ------------------------------------------------------------------------------------


def test_an_attached_stop_becomes_an_order_of_its_own_with_the_first_fill():
    world = World()
    entry = world.order(qty="3.000", price="60000.5", stopLoss="59000", slTriggerBy="MarkPrice")
    row = leg(world)
    assert row["orderId"] != entry
    wanted = {
        "orderStatus": "Untriggered",
        "side": "Sell",
        "orderType": "Market",
        "qty": "2.000",
        "reduceOnly": True,
        "closeOnTrigger": True,
        "createType": "CreateByStopLoss",
        "triggerPrice": "59000.00",
        "triggerDirection": 2,
        "triggerBy": "MarkPrice",
        "tpslMode": "Full",
    }
    assert {name: row[name] for name in wanted} == wanted
    assert world.position()["stopLoss"] == "59000.00"


def test_the_stop_follows_the_size_of_the_position():
    world = World()
    world.order(qty="0.500", stopLoss="59000")
    world.order("Sell", qty="0.200")
    assert leg(world)["qty"] == "0.300"


def test_a_short_has_its_stop_above():
    world = World()
    world.order("Sell", stopLoss="61000", takeProfit="59000")
    assert (leg(world)["side"], leg(world)["triggerDirection"]) == ("Buy", 1)
    assert leg(world, "TakeProfit")["triggerDirection"] == 2


def test_a_stop_that_fires_is_told_as_its_own_order_and_the_other_leg_is_cleared():
    world = World()
    world.order(stopLoss="59000", takeProfit="61000")
    stop_id, take_id = leg(world)["orderId"], leg(world, "TakeProfit")["orderId"]
    world.pushes()
    world.move(589_000)
    pushed = world.pushes()
    told = [(row["orderId"], row["orderStatus"]) for topic, rows in pushed if topic == "order" for row in rows]
    assert told == [(stop_id, "Triggered"), (stop_id, "Filled"), (take_id, "Cancelled")]
    assert world.row(take_id)["cancelType"] == "CancelByTpSlTsClear"
    execution = world.executions()[0]
    assert (execution["orderId"], execution["stopOrderType"], execution["createType"]) == (
        stop_id,
        "StopLoss",
        "CreateByStopLoss",
    )
    assert world.position()["side"] == ""


def test_how_legs_of_a_flat_position_end_is_a_switch():
    world = World(Uncertain(leg_ends_cancelled=False))
    world.order(stopLoss="59000")
    leg_id = leg(world)["orderId"]
    world.order("Sell")
    assert world.row(leg_id)["orderStatus"] == "Deactivated"


def test_a_stop_that_finds_nothing_to_take_is_spent():
    world = World()
    world.order(stopLoss="59000", slTriggerBy="MarkPrice")
    leg_id = leg(world)["orderId"]
    world.move(MID + 600_000)  # the book is far above the protective price
    world.pushes()
    world.mark(580_000)
    assert world.statuses(leg_id) in (["Triggered", "Filled"], ["Triggered", "Cancelled"])
    assert world.live() == []


def test_a_stop_that_the_price_has_passed_fires_with_the_fill_that_brings_it():
    world = World()
    world.order(price="59500", stopLoss="59400", slTriggerBy="MarkPrice")
    world.pushes()
    world.mark(590_000)
    world.trade(Side.SELL, 594_900, 50_000)
    history = {row["stopOrderType"]: row for row in world.done("order/history")["list"]}
    assert history["StopLoss"]["orderStatus"] == "Filled"
    assert world.position()["size"] == "0"


def test_turning_over_replaces_the_stop():
    world = World()
    world.order(stopLoss="59000")
    first = leg(world)["orderId"]
    world.order("Sell", qty="0.030", stopLoss="61000")
    second = leg(world)
    assert second["orderId"] != first
    assert (second["side"], second["qty"], second["triggerPrice"]) == ("Buy", "0.020", "61000.00")
    assert world.row(first)["cancelType"] == "CancelByTpSlTsClear"


def test_trading_stop_sets_moves_and_removes():
    world = World()
    assert stop(world, stopLoss="59000") == 10001
    world.order()
    assert stop(world, stopLoss="59000") == 0
    first = leg(world)
    assert first["triggerBy"] == "LastPrice"
    assert stop(world, stopLoss="59000") == 34040
    assert stop(world, tpslMode="Full", stopLoss="59500", slTriggerBy="IndexPrice", positionIdx=0) == 0
    moved = leg(world)
    assert (moved["orderId"], moved["triggerPrice"], moved["triggerBy"]) == (
        first["orderId"],
        "59500.00",
        "IndexPrice",
    )
    assert stop(world, stopLoss="0") == 0
    assert world.live() == []
    assert world.row(first["orderId"])["orderStatus"] == "Deactivated"
    assert stop(world, stopLoss="0") == 34040
    assert stop(world, stopLoss="61000") == 10001
    assert stop(world, stopLoss="59000", positionIdx=1) == 10001
    assert stop(world, stopLoss="59000", slOrderType="Limit", slLimitPrice="58000") == 10001


def test_stop_and_take_profit_can_watch_different_prices():
    world = World()
    world.order(stopLoss="59000", slTriggerBy="MarkPrice", takeProfit="61000", tpTriggerBy="IndexPrice")
    assert (leg(world)["triggerBy"], leg(world, "TakeProfit")["triggerBy"]) == ("MarkPrice", "IndexPrice")


def test_the_stop_can_be_amended_and_cancelled_as_an_order():
    world = World()
    world.order(stopLoss="59000")
    leg_id = leg(world)["orderId"]
    world.done("order/amend", symbol=SYMBOL, orderId=leg_id, triggerPrice="59100")
    assert world.position()["stopLoss"] == "59100.00"
    assert world.refused("order/amend", symbol=SYMBOL, orderId=leg_id, qty="1") == 10001
    world.done("order/cancel", symbol=SYMBOL, orderId=leg_id)
    assert world.position()["stopLoss"] == ""
    assert world.row(leg_id)["cancelType"] == "CancelByUser"


def test_a_trailing_stop_follows_and_fires():
    world = World()
    world.order()
    assert stop(world, trailingStop="100") == 0
    trailing = leg(world, "TrailingStop")
    assert (trailing["createType"], trailing["triggerPrice"]) == ("CreateByTrailingStop", "59900.00")
    assert world.position()["trailingStop"] == "100.00"
    world.move(MID + 5_000)
    assert leg(world, "TrailingStop")["triggerPrice"] == "60400.00"
    world.move(MID + 3_000)
    assert world.row(trailing["orderId"])["orderStatus"] == "Filled"
    assert world.executions()[0]["stopOrderType"] == "TrailingStop"
    assert world.position()["trailingStop"] == "0"


# --- stops of parts -------------------------------------------------------------------------------------------------


def test_partial_legs_are_added_and_pair_off():
    world = World()
    world.order(qty="1.000")
    pair = {"tpslMode": "Partial", "stopLoss": "59000", "takeProfit": "61000", "tpSize": "0.4", "slSize": "0.4"}
    assert stop(world, **pair) == 0
    assert stop(world, **pair) == 0
    assert len(world.live()) == 4
    world.done("order/cancel", symbol=SYMBOL, orderId=world.live()[0]["orderId"])
    world.pushes()
    world.move(589_000)
    kinds = {row["stopOrderType"]: row for row in world.done("order/history", orderFilter="Order", limit=50)["list"]}
    assert kinds["PartialStopLoss"]["orderStatus"] == "Filled"
    cancelled = {row["cancelType"] for row in world.done("order/history", limit=50)["list"]}
    assert "CancelByOCOTpCanceledBySlTriggered" in cancelled
    assert world.position()["size"] == "0.200"


def test_a_stop_of_the_whole_and_one_of_a_part_at_the_same_price_close_no_more_than_there_is():
    world = World()
    world.order(qty="1.000", stopLoss="59000")
    assert stop(world, tpslMode="Partial", stopLoss="59000", takeProfit="61000", slSize="0.4", tpSize="0.4") == 0
    world.move(589_000)
    assert world.position()["size"] == "0"
    assert world.live() == []


def test_partial_legs_need_equal_sizes_within_the_position():
    world = World()
    world.order(qty="1.000")
    pair = {"tpslMode": "Partial", "stopLoss": "59000", "takeProfit": "61000"}
    assert stop(world, **pair) == 10001
    assert stop(world, **pair, tpSize="0.4", slSize="0.5") == 10001
    assert stop(world, **pair, tpSize="1.4", slSize="1.4") == 10001
    assert stop(world, tpslMode="Partial", stopLoss="61000", slSize="0.5") == 10001
    for _ in range(10):
        assert stop(world, tpslMode="Partial", stopLoss="59000", slSize="0.1") == 0
        assert stop(world, tpslMode="Partial", takeProfit="61000", tpSize="0.1") == 0
    assert stop(world, tpslMode="Partial", stopLoss="59000", slSize="0.1") == 110061


def test_partial_legs_of_an_order_are_as_large_as_what_it_filled_and_go_with_the_position():
    world = World()
    order_id = world.order(
        qty="3.000",
        price="60000.5",
        orderLinkId="parent",
        tpslMode="Partial",
        stopLoss="59000",
        takeProfit="61000",
        tpOrderType="Limit",
        tpLimitPrice="60990",
    )
    take = leg(world, "PartialTakeProfit")
    assert (take["qty"], take["price"], take["orderType"]) == ("2.000", "60990.00", "Limit")
    assert take["parentOrderLinkId"] == "parent"
    assert world.position()["stopLoss"] == ""
    world.done("order/cancel", symbol=SYMBOL, orderId=order_id)
    world.order("Sell", qty="2.000")
    assert world.live() == []
    assert world.row(take["orderId"])["cancelType"] == "CancelByTpSlTsClear"


# --- leverage and modes ---------------------------------------------------------------------------------------------


def leverage(world, buy, sell=None):
    return world.ask("position/set-leverage", symbol=SYMBOL, buyLeverage=buy, sellLeverage=sell or buy)["code"]


def test_leverage():
    world = World()
    assert leverage(world, "10") == 110043
    assert leverage(world, "20") == 0
    assert leverage(world, "20") == 110043
    assert leverage(world, "20", "10") == 10001
    assert leverage(world, "101") == 10001
    assert leverage(world, "0.5") == 10001
    assert leverage(world, "12.345") == 10001
    assert world.position()["leverage"] == "20"
    assert world.done("position/symbol-info", symbol=SYMBOL)["list"][0]["leverage"] == "20"
    world.order(qty="1.000")
    assert Decimal(world.position()["positionIM"]) < Decimal(3_100)


def test_modes():
    world = World()
    assert world.refused("position/switch-mode", symbol=SYMBOL, mode=0) == 110025
    assert world.refused("position/switch-mode", coin="USDT", mode=3) == 110029
    assert world.refused("position/switch-mode", mode=0) == 10001
    assert world.refused("position/switch-isolated", symbol=SYMBOL, tradeMode=1, buyLeverage="1") == 100028
    assert world.done("account/set-margin-mode", setMarginMode="ISOLATED_MARGIN", leverage=10) == {"reasons": []}
    reply = world.ask("account/set-margin-mode", setMarginMode="REGULAR_MARGIN")
    assert reply["code"] == 3400045
    assert reply["result"]["reasons"][0]["reasonMsg"]
    assert world.done("account/info")["unifiedMarginStatus"] == 6
    assert world.refused("order/disconnected-cancel-all", timeWindow=10) == 10005
    assert world.refused("position/set-auto-add-margin", symbol=SYMBOL, autoAddMargin=1) == 10005


def test_margin_can_be_added_and_moves_the_liquidation_price():
    world = World()
    assert world.refused("position/add-margin", symbol=SYMBOL, margin="10") == 110034
    world.order(qty="1.000")
    before = world.position()
    answer = world.done("position/add-margin", symbol=SYMBOL, margin="500", positionIdx=0)
    assert Decimal(answer["liqPrice"]) < Decimal(before["liqPrice"])
    assert Decimal(answer["positionIM"]) == Decimal(before["positionIM"]) + 500
    assert world.refused("position/add-margin", symbol=SYMBOL, margin="-501") == 10001


@pytest.mark.parametrize("number", ["NaN", "sNaN", "Infinity", "1E-9", "1E-999999", "1E+999999"])
def test_margin_and_leverage_are_numbers_that_can_be_money(number):
    world = World()
    world.order(qty="1.000")
    assert world.refused("position/add-margin", symbol=SYMBOL, margin=number) == 10001
    assert world.refused("position/set-leverage", symbol=SYMBOL, buyLeverage="5", sellLeverage=number) == 10001


# --- liquidation, funding, results ----------------------------------------------------------------------------------


def test_liquidation_takes_the_position_over_after_cancelling_the_orders():
    world = World()
    world.order(qty="1.000")
    resting = world.order(price="50000", qty="0.001")
    liquidation = Decimal(world.position()["liqPrice"])
    world.pushes()
    world.mark(int(liquidation * 10) - 10)
    assert world.row(resting)["cancelType"] == "CancelByPrepareLiq"
    execution = world.executions()[0]
    assert (execution["execType"], execution["createType"]) == ("BustTrade", "CreateByTakeOver_PassThrough")
    assert world.position()["size"] == "0"
    assert world.done("account/transaction-log", type="LIQUIDATION")["list"]
    assert Decimal(world.wallet()["walletBalance"]) > 100_000 - 6_100


def test_funding_is_an_execution_and_a_settlement():
    world = World()
    world.order("Sell", qty="1.000")
    world.mark(MID, funding_rate=Decimal("0.0001"), next_funding_ts=(world.now + 100) * MS)
    world.pushes()
    world.wait(200)
    topics = world.pushes()
    assert [topic for topic, _ in topics] == ["execution", "position", "wallet"]
    row = topics[0][1][0]
    assert (row["execType"], row["orderType"], row["execFee"], row["side"]) == ("Funding", "UNKNOWN", "-6", "Sell")
    (line,) = world.done("account/transaction-log", type="SETTLEMENT")["list"]
    assert (line["funding"], line["change"], line["fee"]) == ("6", "6", "0")


def test_what_closing_earned_is_net_of_both_fees():
    world = World()
    world.order(qty="1.000")
    world.move(MID + 1_000)
    world.order("Sell", qty="0.400")
    (row,) = world.done("position/closed-pnl")["list"]
    entry, exit_ = Decimal("60000.5") * Decimal("0.4"), Decimal("60099.5") * Decimal("0.4")
    fees = (entry + exit_) * Decimal("0.00055")
    assert Decimal(row["closedPnl"]) == exit_ - entry - fees
    assert (row["side"], row["closedSize"], row["fillCount"]) == ("Sell", "0.400", "1")
    assert world.row(row["orderId"])["closedPnl"] == row["closedPnl"]


def test_the_documented_result_is_reproduced():
    """Bybit's example: 3 ETH long, entry value 3584.9255, exit value 3541.795, fees of 0.06 % on both."""
    fee = Decimal("0.0006")
    entry, exit_ = Decimal("3584.9255"), Decimal("3541.795")
    closing = Closing(
        ordinal=1, symbol="ETHPERP", order_id="", side=Side.SELL, order_type="Market", order_price="1122.95", qty="3",
        exec_type="Trade", leverage=Decimal(3), created_ms=0, updated_ms=0,
    )  # fmt: skip
    done = Execution(
        id=ExecutionId("x"), maker=Maker.OWNER, order_price=0, order_size=300, left=0, fee_rate=fee, value=exit_,
        closed=300, entry_value=entry, open_fee=entry * fee, realised=exit_ - entry, mark=None, index=None,
    )  # fmt: skip
    closing.add(done, 300, exit_ * fee, 0)
    row = closing.row(rules(tick_size=Decimal("0.05"), lot_size=Decimal("0.01")))
    assert row.closed_pnl == "-47.4065323"
    assert (row.avg_entry_price, row.avg_exit_price) == ("1194.97516667", "1180.59833333")


# --- keys and accounts ----------------------------------------------------------------------------------------------


def test_a_read_only_key_cannot_trade():
    world = World()
    key = ApiKey("k", "s", read_only=True)
    assert world.ask("order/create", key, symbol=SYMBOL)["code"] == 10005
    assert world.ask("account/info", key)["code"] == 0
    info = world.ask("user/query-api", key)["result"]
    assert (info["apiKey"], info["readOnly"], info["uta"], info["unified"]) == ("k", 1, 1, 0)


def test_accounts_are_found_by_key_and_do_not_meet():
    world = World()
    other = AccountConfig(uid=2, keys=(ApiKey("a", "b"), ApiKey("c", "d")))
    accounts = Accounts([AccountConfig(), other], world)
    first, second = accounts
    assert accounts.find("stakan-key") == (first, first.keys[0])
    assert accounts.find("c") == (second, second.keys[1])
    assert accounts.find("nobody") is None
    order = {"category": "linear", "symbol": SYMBOL, "side": "Buy", "orderType": "Market", "qty": "0.1"}
    assert first.handle("order/create", order, world.now * MS).code == 0
    assert second.drain() == []
    with pytest.raises(ConfigError):
        Accounts([AccountConfig(), AccountConfig()], world)
    with pytest.raises(ConfigError):
        Accounts([AccountConfig(), AccountConfig(uid=2)], world)


def test_small_questions_about_the_account():
    world = World()
    assert world.done("account/fee-rate", symbol=SYMBOL)["list"] == [
        {"symbol": SYMBOL, "takerFeeRate": "0.00055", "makerFeeRate": "0.0002"}
    ]
    assert world.done("account/withdrawal", coinName="USDT,BTC")["availableWithdrawalMap"] == {
        "USDT": "100000",
        "BTC": "0",
    }
    assert [row["coin"] for row in world.done("asset/coin/query-info")["rows"]] == ["BTC", "USDT"]
    assert world.done("account/instruments-info", symbol=SYMBOL)["list"][0]["myRpiPermission"] is False
    assert world.done("position/list", category="inverse") == {
        "list": [],
        "nextPageCursor": "",
        "category": "inverse",
    }
    assert world.done("account/wallet-balance", accountType="UNIFIED", coin="BTC")["list"][0]["coin"] == []
    assert world.done("position/list", settleCoin="USDT")["list"] == []
