"""Whatever is asked in whatever market: orders, executions, positions, legs and money stay one story."""

import itertools
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.apps.exchange.accounts_world import MID, MS, SYMBOL, World

from stakan.apps.exchange import parameters
from stakan.apps.exchange.accounts import OPERATIONS
from stakan.core.domain.errors import DataError
from stakan.core.domain.units import Side

SIZES = st.sampled_from(["0.001", "0.010", "0.500", "2.500"])
SIDES = st.sampled_from(["Buy", "Sell"])
AWAY = st.integers(1, 600)
"""Ticks; to the side where a price makes sense, unless a test turns it."""
BY = st.sampled_from(["LastPrice", "MarkPrice", "IndexPrice"])
TIMES = st.sampled_from(["GTC", "GTC", "IOC", "FOK", "PostOnly"])
MODES = st.sampled_from(["Full", "Full", "Partial"])
LEGS = st.fixed_dictionaries(
    {}, optional={"stopLoss": AWAY, "takeProfit": AWAY, "slTriggerBy": BY, "tpTriggerBy": BY, "tpslMode": MODES}
)
TRIGGER = st.fixed_dictionaries({"triggerPrice": AWAY, "triggerDirection": st.sampled_from([1, 2]), "triggerBy": BY})
KIND = st.one_of(
    st.just({"orderType": "Market"}),
    st.fixed_dictionaries({"orderType": st.just("Limit"), "price": st.integers(-30, 100), "timeInForce": TIMES}),
)
EXTRA = st.one_of(
    LEGS,
    LEGS,
    TRIGGER,
    st.fixed_dictionaries({"reduceOnly": st.just(True)}),
    st.fixed_dictionaries({"orderLinkId": st.sampled_from(["a", "b"])}),
)
CREATE = st.tuples(st.fixed_dictionaries({"side": SIDES, "qty": SIZES}), KIND, EXTRA).map(
    lambda parts: ("order/create", parts[0] | parts[1] | parts[2])
)
AMEND = st.tuples(
    st.just("order/amend"),
    st.fixed_dictionaries(
        {"which": st.integers(0, 5)},
        optional={"price": st.integers(-30, 100), "qty": SIZES, "stopLoss": AWAY, "triggerPrice": AWAY},
    ),
)
CANCEL = st.tuples(st.just("order/cancel"), st.fixed_dictionaries({"which": st.integers(0, 5)}))
CANCEL_ALL = st.tuples(
    st.just("order/cancel-all"),
    st.fixed_dictionaries({}, optional={"orderFilter": st.sampled_from(["Order", "StopOrder"])}),
)
STOP = st.tuples(
    st.just("position/trading-stop"),
    st.one_of(
        LEGS,
        st.fixed_dictionaries({"trailingStop": st.sampled_from(["0", "5", "50"])}),
        st.fixed_dictionaries({"stopLoss": st.just(0)}),
        st.fixed_dictionaries(
            {"tpslMode": st.just("Partial"), "stopLoss": AWAY, "takeProfit": AWAY, "slSize": SIZES}
        ).map(lambda one: one | {"tpSize": one["slSize"]}),
    ),
)
LEVERAGE = st.sampled_from(["2", "10", "50"]).map(
    lambda value: ("position/set-leverage", {"buyLeverage": value, "sellLeverage": value})
)
MARKET = st.one_of(
    st.tuples(st.just("move"), st.integers(-700, 700), st.sampled_from([1, 500, 2_000])),
    st.tuples(st.just("crash"), st.sampled_from([-60_000, 60_000]), st.just(2_000)),
    st.tuples(st.just("trade"), st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 60_000)),
    st.tuples(st.just("fund"), st.sampled_from([Decimal("0.001"), Decimal("-0.0003")]), st.just(0)),
)
STEPS = st.lists(
    st.one_of(CREATE, CREATE, CREATE, CREATE, MARKET, MARKET, STOP, AMEND, CANCEL, CANCEL_ALL, LEVERAGE),
    min_size=8,
    max_size=25,
)


def play(world, steps):
    for step in steps:
        if len(step) == 3:
            happen(world, *step)
        else:
            request(world, *step)
    return world


def request(world, operation, wanted):
    """Ask for it with prices where they belong: stops behind, triggers ahead, limits away from the mid."""
    params = dict(wanted)
    live = world.live()
    if "which" in params:
        chosen = live[params.pop("which") % len(live)] if live else {"orderId": "none", "side": "Buy"}
        params["orderId"], side = chosen["orderId"], chosen["side"]
    else:
        side = params.get("side") or world.position()["side"]
    sign = -1 if side == "Sell" else 1
    rises = 1 if params.get("triggerDirection") == 1 else -1
    signs = {"stopLoss": -sign, "takeProfit": sign, "price": -sign, "triggerPrice": rises}
    for name, toward in signs.items():
        if params.get(name):
            params[name] = str(world.rules.price(world.mid + toward * params[name]))
    world.ask(operation, symbol=SYMBOL, **params)


def happen(world, what, first, second):
    if what in ("move", "crash"):
        world.move(min(max(world.mid + first, MID // 2), 2 * MID), second)
    elif what == "trade":
        world.trade(first, world.mid - first * 200, second)
    else:
        world.mark(world.mid, funding_rate=first, next_funding_ts=(world.now + 5) * MS)
        world.wait(10)


def all_orders(world):
    return [*world.account._trading.orders.live.values(), *world.account._trading.orders.closed]


def all_executions(world):
    return [kept.row for kept in world.account._trading.executions.rows]


@settings(max_examples=150)
@given(STEPS)
def test_orders_are_the_sum_of_their_executions(steps):
    world = play(World(), steps)
    executions = [row for row in all_executions(world) if row.exec_type != "Funding"]
    for order in all_orders(world):
        mine = [row for row in executions if row.order_id == order.order_id]
        assert sum(Decimal(row.exec_qty) for row in mine) == world.rules.size(order.filled)
        assert sum(Decimal(row.exec_value) for row in mine) == order.value
        assert sum(Decimal(row.exec_fee) for row in mine) == order.fee
        if order.status.value == "Filled":
            assert order.filled == order.size
        if order.is_closed:
            assert order.order_id not in world.account._trading.orders.live


@settings(max_examples=150)
@given(STEPS)
def test_position_and_wallet_are_the_sum_of_executions_to_the_last_digit(steps):
    world = play(World(), steps)
    rows = all_executions(world)
    trades = [row for row in rows if row.exec_type != "Funding"]
    signed = sum(Decimal(row.exec_qty) * (1 if row.side == "Buy" else -1) for row in trades)
    position = world.position()
    sign = -1 if position["side"] == "Sell" else 1
    assert sign * Decimal(position["size"]) == signed
    change = sum(Decimal(row.exec_pnl) for row in rows) - sum(Decimal(row.exec_fee) for row in rows)
    wallet = Decimal(world.wallet()["walletBalance"])
    assert wallet == 100_000 + change
    log = world.done("account/transaction-log", limit=50)["list"]
    if log:
        assert Decimal(log[0]["cashBalance"]) == wallet
    for newer, older in itertools.pairwise(log):
        assert Decimal(newer["cashBalance"]) - Decimal(older["cashBalance"]) == Decimal(newer["change"])


@settings(max_examples=150)
@given(STEPS)
def test_a_leg_stands_where_and_only_where_the_position_says_so(steps):
    world = play(World(), steps)
    position = world.position()
    live = {row["stopOrderType"]: row for row in world.live() if not row["stopOrderType"].startswith("Partial")}
    for kind, field in (("StopLoss", "stopLoss"), ("TakeProfit", "takeProfit")):
        assert (kind in live) == bool(position[field])
        if kind in live:
            row = live[kind]
            assert row["orderStatus"] == "Untriggered"
            assert (row["triggerPrice"], row["qty"]) == (position[field], position["size"])
            assert row["side"] != position["side"]
    assert ("TrailingStop" in live) == (position["trailingStop"] != "0")
    if not position["side"]:
        assert not [row for row in world.live() if row["stopOrderType"].endswith(("Profit", "Loss"))]


@settings(max_examples=100)
@given(STEPS)
def test_the_streams_tell_what_queries_answer(steps):
    world = play(World(), steps)
    told, executions, sequence = {}, [], 0
    for topic, rows in world.pushes():
        for row in rows:
            if topic == "order":
                assert row["orderId"] not in told or told[row["orderId"]]["orderStatus"] not in {
                    "Filled",
                    "Cancelled",
                    "Deactivated",
                    "Rejected",
                }
                told[row["orderId"]] = row
            elif topic == "execution":
                assert row["seq"] > sequence
                sequence = row["seq"]
                executions.append(row)
    assert [row["execId"] for row in executions] == [row.exec_id for row in all_executions(world)]
    for row in world.live():
        if row["stopOrderType"] != "TrailingStop":
            assert told[row["orderId"]] == row


@settings(max_examples=60)
@given(STEPS, STEPS)
def test_a_restored_account_answers_as_the_one_that_was_kept(before, after):
    """As far as the market has refreshed what was taken from it: the rest of that memory is not kept."""
    kept = play(World(), before)
    kept.move(kept.mid, 2_000)
    kept.account.drain()
    data = kept.account.snapshot()
    other = World()
    for name in ("now", "mid", "depth", "_mark", "_last", "_sequence"):
        setattr(other, name, getattr(kept, name))
    other.account.restore(data)
    for world in (kept, other):
        world.wait()
    for query in ("order/history", "execution/list", "position/closed-pnl", "account/transaction-log"):
        assert other.done(query, limit=50) == kept.done(query, limit=50)
    assert other.live() == kept.live()
    assert other.position() == kept.position()
    assert other.wallet() == kept.wallet()
    assert play(other, after).done("order/history")["list"] is not None


NAMES = sorted(
    {name for kind in parameters.Parameters.__subclasses__() for name in kind.__struct_encode_fields__}
    | set(parameters.Create.__struct_encode_fields__)
    | set(parameters.TradingStop.__struct_encode_fields__)
)
VALUES = st.sampled_from(
    [None, "", 0, -1, 1.5, "x", "NaN", "Infinity", "1e30", "9" * 400, True, [], {}, [{}], SYMBOL, "Buy", "0.01"]
)


@settings(max_examples=300)
@given(st.sampled_from(sorted(OPERATIONS)), st.dictionaries(st.sampled_from(NAMES), VALUES), st.booleans())
def test_nothing_that_a_client_sends_raises(operation, params, is_order):
    world = World()
    world.order(stopLoss="59000")
    usual = {"side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "59990", "buyLeverage": "5", "margin": "1"}
    reply = world.ask(operation, **({"symbol": SYMBOL} | (usual if is_order else {}) | params))
    assert isinstance(reply["code"], int)
    assert reply["message"]
    assert world.position()["size"]


def test_other_bytes_are_no_state():
    world = World()
    world.order()
    with pytest.raises(DataError):
        World().account.restore(b"what")
    with pytest.raises(DataError):
        World(uid=7).account.restore(world.account.snapshot())
