"""What Bybit lists: pages, day tickers, margin tiers in shares or percent, the account's fees."""

import json
from decimal import Decimal

import msgspec
import pytest
from tests.apps.tiny_bybit import instrument_row, ticker_row, tier_rows

from stakan.adapters.exchanges.bybit.errors import Reaction
from stakan.adapters.exchanges.bybit.listing import all_completed, completed, day_tickers, listed
from stakan.adapters.exchanges.bybit.rest import Reply
from stakan.core.domain.errors import RequestRefused
from stakan.core.domain.instrument import Category, MarginTier


def carried_out(procedure, answer):
    """Run a procedure with answers made from its requests; gives its value and what was asked."""
    asked = []
    reply = None
    while True:
        try:
            request = procedure.send(reply)
        except StopIteration as end:
            return end.value, asked
        asked.append(f"{request.path}?{request.query}")
        result = answer(request)
        if isinstance(result, str):
            reply = Reply(Reaction.REJ, 10001, result)
        else:
            reply = Reply(Reaction.OK, 0, "OK", msgspec.Raw(json.dumps(result).encode()))


def pages(request):
    if "cursor=more" in request.query:
        return {"category": "linear", "nextPageCursor": "", "list": [instrument_row("ETHUSDT")]}
    rows = [instrument_row("BTCUSDT"), {**instrument_row("BTC-27MAR26"), "contractType": "LinearFutures"}]
    return {"category": "linear", "nextPageCursor": "more", "list": rows}


def test_all_pages_are_read_and_belong_to_the_venue():
    found, asked = carried_out(listed(Category.LINEAR, "bybit-testnet"), pages)
    assert list(found) == ["bybit-testnet:linear:BTCUSDT", "bybit-testnet:linear:ETHUSDT"]
    assert len(asked) == 2
    assert found["bybit-testnet:linear:BTCUSDT"].tick_size == Decimal("0.1")


def test_day_tickers_of_what_is_known():
    known, _ = carried_out(listed(Category.LINEAR, "bybit"), pages)
    rows = [
        ticker_row("BTCUSDT", "123456.7", "-0.0312"),
        {**ticker_row("ETHUSDT", "1"), "curPreListingPhase": "CallAuction"},
        ticker_row("NEWUSDT", "1"),
        {"symbol": "ETHUSDT", "bid1Price": "", "turnover24h": ""},
    ]
    found, _ = carried_out(day_tickers(known, Category.LINEAR, "bybit"), lambda _: {"list": rows})
    assert [one.instrument for one in found] == ["bybit:linear:BTCUSDT", "bybit:linear:ETHUSDT"]
    assert (found[0].change, found[0].turnover) == (Decimal("-0.0312"), Decimal("123456.7"))
    assert found[1].bid == 0


@pytest.mark.parametrize("scale", [1, 100])
def test_tiers_are_the_same_in_shares_and_in_percent(scale):
    known, _ = carried_out(listed(Category.LINEAR, "bybit"), pages)
    rules = known["bybit:linear:BTCUSDT"]
    assert "margin_tiers" in rules.assumed

    def answer(request):
        assert "symbol=BTCUSDT" in request.query
        return {"list": list(reversed(list(tier_rows("BTCUSDT", scale)))), "nextPageCursor": ""}

    (found,), _ = carried_out(all_completed([rules], with_fees=False), answer)
    low, high = found.margin_tiers
    assert (low.notional_limit, low.maintenance_rate, low.deduction) == (2_000_000, Decimal("0.01"), 0)
    assert (high.maintenance_rate, high.max_leverage, high.deduction) == (Decimal("0.02"), 25, 20_000)
    assert found.assumed == ("maker_fee", "taker_fee")


def test_fees_of_the_account():
    known, _ = carried_out(listed(Category.LINEAR, "bybit"), pages)

    def answer(request):
        if "fee-rate" in request.path:
            assert request.is_signed
            return {"list": [{"symbol": "BTCUSDT", "takerFeeRate": "0.0005", "makerFeeRate": "-0.0001"}]}
        return {"list": []}

    found, asked = carried_out(all_completed(known.values(), with_fees=True), answer)
    assert (found[0].taker_fee, found[0].maker_fee) == (Decimal("0.0005"), Decimal("-0.0001"))
    assert found[0].assumed == ("margin_tiers",)
    assert "taker_fee" in found[1].assumed
    assert len(asked) == 3


def test_tiers_that_are_known_are_not_asked_for():
    known, _ = carried_out(listed(Category.LINEAR, "bybit"), pages)
    rules = known["bybit:linear:BTCUSDT"]
    tiers = (
        MarginTier(
            notional_limit=Decimal(10), maintenance_rate=Decimal("0.1"), deduction=Decimal(0), max_leverage=Decimal(5)
        ),
    )
    found, asked = carried_out(completed(rules, {}, tiers), lambda _: {"list": []})
    assert not asked
    assert found.margin_tiers == tiers
    assert "margin_tiers" not in found.assumed


def test_a_refusal_is_raised():
    with pytest.raises(RequestRefused, match="no such category"):
        carried_out(listed(Category.LINEAR, "bybit"), lambda _: "no such category")
