from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stakan.core.domain.errors import DataError, InvariantViolated
from stakan.core.domain.events import FillOrigin, ProtectionChanged, decode_array, encode_array
from stakan.core.domain.facts import Discrepancy, FillBooked, FundingBooked, PositionClosed, PositionTransitioned
from stakan.core.domain.instrument import Category
from stakan.core.domain.orders import PositionStatus, Purpose
from stakan.core.domain.reasons import Reason
from stakan.core.domain.units import DAY, Side
from stakan.core.portfolio.executions import Executions, Sighting
from stakan.core.portfolio.ledger import Ledger
from stakan.core.portfolio.money import QUANTUM
from stakan.core.portfolio.portfolio import Portfolio

FILLS = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from(Side),
        st.integers(1, 50),
        st.integers(900, 1100),
        st.decimals("-0.01", "0.05", places=9),
    ),
    max_size=30,
)


@given(FILLS, st.lists(st.decimals(-5, 5, places=8), max_size=4))
def test_the_balance_changes_by_realised_less_fees_less_funding_to_the_last_decimal(make, fills, funding):
    portfolio = make.portfolio()
    facts = []
    for i, (first, side, size, price, fee) in enumerate(fills):
        name = make.BTC if first else make.ETH
        facts += portfolio.apply(make.fill(f"e{i}", size, price, side, "", name, str(fee)))
    for i, amount in enumerate(funding):
        facts += portfolio.apply(make.funding(f"f{i}", str(amount)))
    booked = [fact for fact in facts if isinstance(fact, FillBooked)]
    paid = sum(fact.amount for fact in facts if isinstance(fact, FundingBooked))
    change = sum(fact.realised_pnl - fact.fee for fact in booked) - paid
    assert portfolio.ledger.balance == Decimal(10000) + change
    assert portfolio.ledger.is_balanced
    assert sum(fact.fee for fact in booked) == sum(fee for *_, fee in fills)
    assert sum(fact.size for fact in booked) == sum(size for _, _, size, _, _ in fills)
    cash = sum(-f.side * f.size * f.price * Decimal("0.0001") for f in booked)
    live = portfolio.positions.live.values()
    assert portfolio.ledger.realised_pnl == cash + sum(position.side * position.cost for position in live)


@given(FILLS)
def test_realised_pnl_is_that_of_the_average_entry_in_exact_fractions(make, fills):
    portfolio = make.portfolio()
    unit = Fraction(1, 10_000)
    size, average, realised, reductions = 0, Fraction(0), Fraction(0), 0
    for i, (_, side, lots, price, _) in enumerate(fills):
        portfolio.apply(make.fill(f"e{i}", lots, price, side, ""))
        closed = min(lots, abs(size)) if size * side < 0 else 0
        if closed:
            realised += closed * (price - average) * (1 if size > 0 else -1)
            reductions += 1
            size += side * closed
        if lots > closed:
            average = (average * abs(size) + price * (lots - closed)) / (abs(size) + lots - closed)
            size += side * (lots - closed)
        # Each share rounds by half a quantum, and the rounding stays in the cost of what is open.
        slack = Fraction(QUANTUM) * (reductions + 1) if size else 0
        position = portfolio.position(make.BTC)
        assert (position.signed_size if position else 0) == size
        assert abs(Fraction(portfolio.ledger.realised_pnl) - realised * unit) <= slack


def test_the_documented_closed_pnl_sample(make):
    """Entry value 3584.9255, exit value 3541.795, fee 0.06 %: -47.4065323 (bybit-v5 9.6)."""
    rules = make.rules(tick="0.0001", lot="1")
    portfolio = make.portfolio(rules)
    rate = Decimal("0.0006")
    entry, exit_ = Decimal("3584.9255"), Decimal("3541.795")
    portfolio.apply(make.fill("e1", 1, 35_849_255, fee=str(entry * rate)))
    facts = portfolio.apply(make.fill("e2", 1, 35_417_950, Side.SELL, fee=str(exit_ * rate)))
    (story,) = [fact for fact in facts if isinstance(fact, PositionClosed)]
    assert story.gross_pnl - story.fees == Decimal("-47.4065323")
    assert portfolio.ledger.balance == Decimal(10000) - Decimal("47.4065323")
    assert (story.entry_price, story.exit_price) == (entry, exit_)


@given(st.permutations(range(6)), st.integers(0, 6))
def test_exposure_counts_orders_in_flight_for_any_order_of_fills(make, order, done):
    portfolio = make.portfolio()
    for number in range(3):
        portfolio.submit(make.order(f"b{number}", Side.BUY, 4), 1)
        portfolio.submit(make.order(f"s{number}", Side.SELL, 3), 1)
    assert portfolio.worst_lots(make.BTC) == 12
    before = portfolio.worst_lots(make.BTC)
    for which in order[:done]:
        name, side, size = (f"b{which}", Side.BUY, 4) if which < 3 else (f"s{which - 3}", Side.SELL, 3)
        portfolio.apply(make.fill(f"e{which}", size, side=side, order_id=name))
        position = portfolio.position(make.BTC)
        assert (position.size if position else 0) <= portfolio.worst_lots(make.BTC) <= before
        before = portfolio.worst_lots(make.BTC)
    lots = portfolio.worst_lots(make.BTC)
    assert portfolio.exposure({make.BTC: Decimal(100)}) == Decimal("0.1") * lots


@given(FILLS, st.integers(0, 30))
@settings(max_examples=50)
def test_a_snapshot_taken_anywhere_restores_to_the_same_behaviour(make, fills, at):
    def run(interrupted):
        portfolio, facts = make.portfolio(), []
        portfolio.submit(make.order(size=30), 1)
        portfolio.orders.ask_amendment("a", 999, 40)
        for i, (first, side, size, price, fee) in enumerate(fills):
            if interrupted and i == at:
                data = msgspec.msgpack.encode(portfolio, enc_hook=encode_array)
                restored = msgspec.msgpack.decode(data, type=Portfolio, dec_hook=decode_array)
                assert restored == portfolio
                portfolio = restored
            order_id = "a" if first and side is Side.BUY else ""
            facts += portfolio.apply(make.fill(f"e{i // 2}", size, price, side, order_id, fee=str(fee)), 1000.5)
        return portfolio, facts

    assert run(interrupted=True) == run(interrupted=False)


def test_an_instrument_has_one_position_and_one_owner(make):
    portfolio = make.portfolio()
    portfolio.submit(make.order("a", intent="first"), 1)
    other = make.order("b", intent="second")
    assert portfolio.entry_refusal(other) is Reason.POSITION_EXISTS
    with pytest.raises(InvariantViolated, match="entry_refusal"):
        portfolio.submit(other, 2)
    assert portfolio.entry_refusal(make.order("b", intent="second", name=make.ETH)) is None


def test_an_entry_without_a_fill_closes_its_position_and_frees_the_instrument(make):
    portfolio = make.portfolio()
    portfolio.submit(make.order(), 1)
    (moved,) = [f for f in portfolio.apply(make.rejected()) if isinstance(f, PositionTransitioned)]
    assert (moved.before, moved.after) == (PositionStatus.OPENING, PositionStatus.CLOSED)
    assert portfolio.entry_refusal(make.order("b", intent="other")) is None


def test_a_failed_close_opens_the_position_again_and_the_next_one_closes_it(make):
    portfolio = make.portfolio()
    portfolio.submit(make.order(), 1)
    portfolio.apply(make.fill("e1", 10))
    portfolio.submit(make.order("x", Side.SELL, 10, Purpose.EXIT), 2, why="horizon_reached")
    assert portfolio.position(make.BTC).status is PositionStatus.CLOSING
    portfolio.apply(make.fill("e2", 4, side=Side.SELL, order_id="x"))
    assert portfolio.position(make.BTC).status is PositionStatus.CLOSING
    portfolio.apply(make.cancelled("x"))
    assert portfolio.position(make.BTC).status is PositionStatus.OPEN
    portfolio.submit(make.order("y", Side.SELL, 6, Purpose.EXIT), 3, why="operator")
    facts = portfolio.apply(make.fill("e3", 6, side=Side.SELL, order_id="y"))
    (story,) = [fact for fact in facts if isinstance(fact, PositionClosed)]
    assert (story.exit_reason, story.size) == ("operator", 10)
    assert portfolio.position(make.BTC) is None


def test_the_exchange_s_own_stop_closes_without_a_discrepancy(make):
    portfolio = make.portfolio()
    portfolio.submit(make.order(), 1)
    portfolio.apply(make.fill("e1", 10))
    facts = portfolio.apply(make.fill("e2", 10, 990, Side.SELL, "", origin=FillOrigin.STOP_LOSS))
    assert [fact.exit_reason for fact in facts if isinstance(fact, PositionClosed)] == ["stop_loss"]
    assert not any(isinstance(fact, Discrepancy) for fact in facts)


@pytest.mark.parametrize("between", [(None, 1100), (990, None)])
def test_protection_of_a_closed_position_may_go_leg_by_leg_and_any_other_is_a_discrepancy(make, between):
    def protection(stop, target):
        return ProtectionChanged(instrument=make.BTC, stop_loss=stop, take_profit=target, ts_event=6, ts_recv=6)

    portfolio = make.portfolio()
    portfolio.submit(make.order(), 1)
    portfolio.apply(make.fill("e1", 10))
    portfolio.apply(protection(990, 1100))
    portfolio.apply(make.fill("e2", 10, 1010, Side.SELL, "", t=7))
    assert portfolio.position(make.BTC) is None
    assert portfolio.apply(protection(*between)) == []
    assert portfolio.apply(protection(None, None)) == []
    for stop, target in ((980, None), (None, 1200), (990, 1100)):
        (fact,) = portfolio.apply(protection(stop, target))
        assert isinstance(fact, Discrepancy)
        assert f"stop {stop}, target {target}" in fact.found


def test_a_fill_through_zero_closes_one_position_and_opens_an_orphan(make):
    portfolio = make.portfolio()
    portfolio.submit(make.order(), 1)
    portfolio.apply(make.fill("e1", 10))
    facts = portfolio.apply(make.fill("e2", 15, 990, Side.SELL, "", fee="0.3", origin=FillOrigin.STOP_LOSS))
    parts = [fact for fact in facts if isinstance(fact, FillBooked)]
    assert [(part.size, part.fee) for part in parts] == [(10, Decimal("0.2")), (5, Decimal("0.1"))]
    assert any(isinstance(fact, Discrepancy) for fact in facts)
    assert portfolio.position(make.BTC).is_orphan
    assert portfolio.position(make.BTC).signed_size == -5


def test_spot_sold_beyond_holdings_is_a_discrepancy_and_no_short(make):
    portfolio = make.portfolio(make.rules(category=Category.SPOT))
    assert portfolio.entry_refusal(make.order(side=Side.SELL)) is Reason.SHORT_NOT_POSSIBLE
    facts = portfolio.apply(make.fill("e1", 3, side=Side.SELL, order_id=""))
    assert any(isinstance(fact, Discrepancy) and fact.subject == "spot holdings" for fact in facts)
    assert portfolio.position(make.BTC) is None


def test_the_risk_day_begins_at_midnight_utc_with_the_last_known_equity():
    ledger = Ledger.opened("USDT", Decimal(100))
    ledger.mark(Decimal(7), DAY - 1)
    ledger.book_fill(Decimal(-3), Decimal(1), DAY)
    assert ledger.day_start_equity == 107
    assert ledger.day_pnl == -4
    assert (ledger.peak_equity, ledger.drawdown) == (107, 4)


@given(st.lists(st.integers(0, 40), max_size=120))
def test_no_execution_is_ever_new_twice_however_little_is_remembered(numbers):
    seen, executions = set(), Executions(generation_size=3)
    for number in numbers:
        sighting = executions.note("i", str(number), number)
        assert not (sighting is Sighting.NEW and number in seen)
        if sighting is Sighting.NEW:
            seen.add(number)
    assert len(executions.recent) + len(executions.older) <= 6


def test_a_payment_of_funding_is_booked_once(make):
    portfolio = make.portfolio()
    portfolio.apply(make.funding("f", "1.5"))
    (fact,) = portfolio.apply(make.funding("f", "1.5"))
    assert isinstance(fact, Discrepancy)
    assert portfolio.ledger.funding == Decimal("1.5")


def test_a_fill_that_cannot_be_is_refused_before_anything_is_booked(make):
    portfolio = make.portfolio()
    untouched = make.portfolio()
    for fill in (make.fill("e", 0), make.fill("e", price=0), make.fill("e", fee="NaN")):
        with pytest.raises(DataError, match="execution e"):
            portfolio.apply(fill)
    assert portfolio == untouched
