"""What each risk rule lets pass, to the last lot."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.risk.builders import ENTRY, an_account, an_intent, reason

from stakan.core.domain.instrument import Category
from stakan.core.domain.orders import OrderType
from stakan.core.domain.reasons import Reason
from stakan.core.domain.units import Side
from stakan.core.risk._protection import too_small, unprotected
from stakan.core.risk.daily_loss import DailyLoss
from stakan.core.risk.exposure import Exposure
from stakan.core.risk.mandatory_stop import MandatoryStop
from stakan.core.risk.order_size import OrderSize
from stakan.core.risk.position_count import PositionCount

WIDE = Exposure(max_notional=Decimal(10**9), max_equity_share=Decimal(1000), max_position_share=Decimal(1000))
SPOT = {"category": Category.SPOT}


# --- mandatory stop ---------------------------------------------------------------------------------------------------


@given(st.sampled_from(Side), st.integers(-20_000, 20_000), st.integers(-20_000, 20_000))
def test_a_stop_that_passes_protects_within_its_bounds(side, offset, mark_offset):
    rule = MandatoryStop()
    mark = Decimal(ENTRY + mark_offset) / 10
    intent = an_intent(side, stop=ENTRY - offset)
    if rule.refusal(intent, an_account(mark=mark)) is None:
        distance = Decimal(offset * side) / ENTRY
        assert rule.min_distance <= distance <= rule.max_distance
        assert (mark * 10 - intent.signal.stop_loss) * side > 0


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(
    ("ticks", "expected"),
    [
        (-1, Reason.STOP_WRONG_SIDE),
        (0, Reason.STOP_WRONG_SIDE),
        (319, Reason.STOP_TOO_CLOSE),
        (320, None),
        (12_800, None),
        (12_801, Reason.STOP_TOO_WIDE),
    ],
)
def test_a_stop_stands_behind_the_entry_neither_too_close_nor_too_wide(side, ticks, expected):
    assert reason(MandatoryStop(), an_intent(side, stop=ENTRY - side * ticks), an_account()) is expected


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(("ticks", "expected"), [(1_600, Reason.STOP_WRONG_SIDE), (1_599, None)])
def test_a_stop_that_the_mark_has_reached_protects_nothing(side, ticks, expected):
    mark = Decimal(ENTRY - side * ticks) / 10
    assert reason(MandatoryStop(), an_intent(side), an_account(mark=mark)) is expected


@pytest.mark.parametrize("stop", [0, -5])
def test_no_stop_is_no_entry(stop):
    assert reason(MandatoryStop(), an_intent(stop=stop), an_account()) is Reason.NO_STOP


def test_a_stop_behind_liquidation_is_refused():
    rule = MandatoryStop(max_distance=Decimal("0.5"))
    # A long of tenfold leverage ends (0.1 - 0.005) / 0.995 = 9.5477 % below its entry.
    near, far = an_intent(stop=ENTRY - 61_105), an_intent(stop=ENTRY - 61_106)
    assert reason(rule, near, an_account(leverage="10")) is None
    assert reason(rule, far, an_account(leverage="10")) is Reason.LEVERAGE
    assert reason(rule, far, an_account(leverage="5")) is None
    assert reason(rule, far, an_account(SPOT, leverage="10")) is None
    short_near, short_far = (an_intent(Side.SELL, stop=ENTRY + ticks) for ticks in (60_497, 60_498))
    assert reason(rule, short_near, an_account(leverage="10")) is None
    assert reason(rule, short_far, an_account(leverage="10")) is Reason.LEVERAGE


@given(st.sampled_from(Side), st.integers(-3_000, 3_000), st.integers(-3_000, 3_000))
def test_whatever_rules_there_are_a_stop_stands_behind_entry_and_mark(side, offset, mark_offset):
    intent = an_intent(side, stop=ENTRY - offset)
    account = an_account(mark=Decimal(ENTRY + mark_offset) / 10)
    is_behind = offset * side > 0 and (mark_offset + offset) * side > 0
    assert (unprotected(intent, account) is None) is is_behind


def test_whatever_rules_there_are_a_size_can_be_sent():
    for size, expected in ((0, Reason.ORDER_TOO_SMALL), (2, Reason.ORDER_TOO_SMALL), (3, None)):
        refusal = too_small(an_intent(size=size), an_account({"min_size": 3}))
        assert (refusal and refusal.reason) is expected


# --- size of an order -------------------------------------------------------------------------------------------------


@given(st.integers(0, 400))
def test_an_order_that_passes_is_neither_dust_nor_a_giant(size):
    rule = OrderSize(min_notional=Decimal(500))
    value = Decimal(64) * size
    expected = Reason.ORDER_TOO_SMALL if value < 500 else Reason.ORDER_TOO_LARGE if value > 10_000 else None
    assert reason(rule, an_intent(size=size), an_account()) is expected


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"min_size": 5}, None),
        ({"min_size": 6}, Reason.ORDER_TOO_SMALL),
        ({"min_notional": Decimal(320)}, None),
        ({"min_notional": Decimal(321)}, Reason.ORDER_TOO_SMALL),
        ({"max_limit_size": 5}, None),
        ({"max_limit_size": 4}, Reason.ORDER_TOO_LARGE),
    ],
)
def test_the_instrument_s_own_limits_hold(rules, expected):
    assert reason(OrderSize(), an_intent(size=5), an_account(rules)) is expected


def test_a_market_order_has_a_limit_of_its_own():
    rules = {"max_limit_size": 10, "max_market_size": 4}
    assert reason(OrderSize(), an_intent(size=5), an_account(rules)) is None
    assert reason(OrderSize(), an_intent(size=4, type=OrderType.MARKET), an_account(rules)) is None
    assert reason(OrderSize(), an_intent(size=5, type=OrderType.MARKET), an_account(rules)) is Reason.ORDER_TOO_LARGE


# --- exposure ---------------------------------------------------------------------------------------------------------


@given(st.integers(0, 200), st.integers(0, 12_000), st.integers(0, 12_000), st.integers(-100, 20_000))
def test_what_passes_stays_under_every_limit(size, exposure, own, equity):
    rule = Exposure()
    account = an_account(exposure=Decimal(max(exposure, own)), instrument_exposure=Decimal(own), equity=Decimal(equity))
    value = Decimal(64) * size
    if rule.refusal(an_intent(size=size), account) is None:
        assert account.exposure + value <= min(rule.max_notional, rule.max_equity_share * equity)
        assert own + value <= rule.max_position_share * equity


@pytest.mark.parametrize(
    ("rule", "account", "expected"),
    [
        ({"max_notional": Decimal(1_000)}, {"exposure": "680"}, None),
        ({"max_notional": Decimal(1_000)}, {"exposure": "680.01"}, Reason.EXPOSURE),
        ({"max_equity_share": Decimal("0.1")}, {"exposure": "680"}, None),
        ({"max_equity_share": Decimal("0.1")}, {"exposure": "680.01"}, Reason.EXPOSURE),
        ({"max_position_share": Decimal("0.032")}, {}, None),
        ({"max_position_share": Decimal("0.032")}, {"instrument_exposure": "0.01"}, Reason.EXPOSURE),
    ],
)
def test_each_limit_binds_to_the_last_cent(rule, account, expected):
    assert reason(Exposure(**rule), an_intent(size=5), an_account(**account)) is expected


def test_an_entry_counts_at_mark_or_entry_whichever_is_higher():
    rule = Exposure(max_notional=Decimal(320))
    assert reason(rule, an_intent(size=5), an_account()) is None
    assert reason(rule, an_intent(size=5), an_account(mark="64000.1")) is Reason.EXPOSURE
    assert reason(rule, an_intent(size=5, entry=ENTRY + 1), an_account()) is Reason.EXPOSURE


@pytest.mark.parametrize(("rules", "needed"), [({}, "32.352"), (SPOT, "320.352")])
def test_margin_and_two_fees_must_be_free_and_spot_is_paid_in_full(rules, needed):
    intent = an_intent(size=5)
    assert reason(WIDE, intent, an_account(rules, free_balance=needed)) is None
    less = str(Decimal(needed) - Decimal("0.001"))
    assert reason(WIDE, intent, an_account(rules, free_balance=less)) is Reason.BALANCE


# --- number of positions and daily loss -------------------------------------------------------------------------------


@pytest.mark.parametrize(("live", "expected"), [(0, None), (4, None), (5, Reason.TOO_MANY_POSITIONS)])
def test_only_so_many_positions(live, expected):
    assert reason(PositionCount(max_positions=5), an_intent(), an_account(open_positions=live)) is expected


@pytest.mark.parametrize(
    ("equity", "expected"), [("9800.01", None), ("9800", Reason.DAILY_LOSS), ("-1", Reason.DAILY_LOSS)]
)
def test_a_day_may_lose_only_so_much(equity, expected):
    account = an_account(equity=equity)
    assert reason(DailyLoss(), an_intent(), account) is expected
    breach = DailyLoss().breach(account)
    assert (breach and breach.reason) is expected


def test_a_day_that_begins_with_nothing_has_nothing_to_lose():
    assert reason(DailyLoss(), an_intent(), an_account(equity="0", day_start_equity="0")) is Reason.DAILY_LOSS
