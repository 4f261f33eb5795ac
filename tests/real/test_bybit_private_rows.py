"""Rows of the local exchange against the payloads that Bybit documents: every key, with the same JSON type."""

import json
from decimal import Decimal

import pytest

from stakan.core.domain.units import Side
from tests.apps.exchange.accounts_world import MID, MS, SYMBOL, World

pytestmark = pytest.mark.recorded

KNOWN_OTHERWISE = {
    "mmrSysUpdateTime",  # a slip of the example: the table and the stream say mmrSysUpdatedTime
    "extraFees",  # a list only where a local tax is charged, else an empty text
    "cumFeeDetail",  # by coin
    "preListingInfo",
}


@pytest.fixture(scope="module")
def lived():
    """An account with an entry, a stop, a partial close, funding, and a resting order; and what it told."""
    world = World()
    world.order(qty="1.000", stopLoss="59000", orderLinkId="entry")
    world.order("Sell", qty="0.400")
    world.order(price="59990", orderLinkId="resting")
    world.mark(MID, funding_rate=Decimal("0.0001"), next_funding_ts=(world.now + 5) * MS)
    world.wait(10)
    world.trade(Side.SELL, MID - 200, 50_000)
    told = {}
    for topic, rows in world.pushes():
        told.setdefault(topic, rows[0])
    return world, told


def documented(recorded, name):
    return json.loads((recorded / "bybit-vectors" / "bybit-docs" / f"{name}.json").read_text())


def check(ours, theirs):
    missing = [key for key in theirs if key not in ours and key not in KNOWN_OTHERWISE]
    assert missing == []
    other = {
        key: (theirs[key], ours[key])
        for key in theirs
        if key not in KNOWN_OTHERWISE and type(theirs[key]) is not type(ours[key])
    }
    assert other == {}


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("order", "websocket__private__order__2"),
        ("execution", "websocket__private__execution__2"),
        ("execution.fast", "websocket__private__fast-execution__2"),
        ("position", "websocket__private__position__2"),
        ("wallet", "websocket__private__wallet__2"),
    ],
)
def test_pushed_rows(recorded, lived, topic, name):
    theirs = documented(recorded, name)["data"][0]
    check(lived[1][topic], theirs)
    if topic == "wallet":
        check(lived[1][topic]["coin"][0], theirs["coin"][0])


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        ("order/realtime", "order__open-order__1"),
        ("order/history", "order__order-list__1"),
        ("execution/list", "order__execution__1"),
        ("position/list", "position__position__1"),
        ("position/closed-pnl", "position__close-pnl__1"),
        ("account/transaction-log", "account__transaction-log__1"),
        ("account/fee-rate", "account__fee-rate__1"),
        ("account/wallet-balance", "account__wallet-balance__1"),
        ("account/info", "account__account-info__1"),
        ("account/user-setting-config", "account__get-user-setting-config__1"),
        ("account/withdrawal", "account__unified-trans-amnt__1"),
    ],
)
def test_results(recorded, lived, operation, name):
    theirs = documented(recorded, name)["result"]
    ours = lived[0].done(operation, symbol=SYMBOL, accountType="UNIFIED", coinName="USDT")
    check(ours, theirs)
    if "list" in theirs:
        check(ours["list"][0], theirs["list"][0])
    if operation == "account/wallet-balance":
        check(ours["list"][0]["coin"][0], theirs["list"][0]["coin"][0])


def test_answers_of_changes(recorded, lived):
    world = lived[0]
    theirs = documented(recorded, "position__manual-add-margin__1")["result"]
    check(world.done("position/add-margin", symbol=SYMBOL, margin="1"), theirs)
    item = {"symbol": SYMBOL, "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "59000"}
    placed, theirs = world.ask("order/create-batch", request=[item]), documented(recorded, "order__batch-place__1")
    check(placed["result"]["list"][0], theirs["result"]["list"][0])
    check(placed["ext"]["list"][0], theirs["retExtInfo"]["list"][0])
    gone, theirs = world.ask("order/cancel-all", symbol=SYMBOL), documented(recorded, "order__cancel-all__1")
    check(gone["result"], theirs["result"])
    check(gone["result"]["list"][0], theirs["result"]["list"][0])
