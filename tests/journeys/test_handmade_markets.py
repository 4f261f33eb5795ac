"""Whole trades on small markets made by hand: entry, protection, trouble, exit; the books agree at every step."""

from decimal import Decimal

import msgspec
import pytest

from stakan.core.domain.commands import CancelOrder, RequestSnapshot
from stakan.core.domain.events import FillOrigin, FundingCharged, Halt, OrderCancelled, OrderFilled, ReleaseHalt, Ticker
from stakan.core.domain.facts import BookGap, BookRecovered, ExitDecided, IntentRefused, SignalRefused
from stakan.core.domain.instrument import MarginTier
from stakan.core.domain.orders import Purpose, TimeInForce
from stakan.core.domain.reasons import Reason
from stakan.core.domain.units import HOUR, Side
from stakan.core.risk.daily_loss import DailyLoss
from tests.core.engine.builders import ALL_RULES, BTC, ETH, MS, SECOND, a_delta, a_print, a_snapshot, an_instrument
from tests.journeys.builders import LATENCY, Journey, Once, a_config, a_history, is_flat

START = 100 * SECOND
MID = 640_000
NO_COOLDOWN = {"cooldown_ns": 0}


def at(seconds):
    return START + round(seconds * SECOND)


class Market:
    """A book of equal levels around a mid that can be moved; every change is one message."""

    def __init__(self, key=BTC, mid=MID, size=1_000, depth=10):
        self.events = []
        self.key, self.size, self.depth = key, size, depth
        self.sequence = 0
        self.mid = mid
        self.book(0, mid)

    def book(self, seconds, mid, size=None):
        """A whole new book around another mid."""
        self.mid, self.sequence = mid, self.sequence + 1
        size = self.size if size is None else size
        self.events.append(a_snapshot(mid, at(seconds), self.sequence, self.key, size, self.depth))
        return self

    def tick(self, *seconds):
        """Something small happens far from the touch."""
        for moment in seconds:
            self.change(moment, bids=[(self.mid - self.depth, self.size + self.sequence)])
        return self

    def change(self, seconds, bids=(), asks=()):
        self.sequence += 1
        self.events.append(a_delta(bids, asks, at(seconds), self.sequence, key=self.key))
        return self

    def gap(self, seconds):
        self.sequence += 5
        self.events.append(a_delta((), (), at(seconds), self.sequence, key=self.key))
        return self

    def sell(self, seconds, price, size):
        self.events.append(a_print(price, size, Side.SELL, at(seconds), len(self.events), self.key))
        return self

    def ticker(self, seconds, **fields):
        moment = at(seconds)
        self.events.append(Ticker(instrument=self.key, ts_event=moment, ts_recv=moment, **fields))
        return self

    def quiet(self, first, last, step=0.1):
        return self.tick(*(first + i * step for i in range(int((last - first) / step) + 1)))


def journey(market, *strategies, requests=(), simulation=None, instruments=None, **config):
    history = a_history(market.events if isinstance(market, Market) else market)
    return Journey(a_config(*strategies, **config), history, instruments, requests, **(simulation or {}))


def halt(seconds):
    return Halt(ts_event=at(seconds), ts_recv=at(seconds), actor="ann", request_id="h", why="test")


def test_a_trade_goes_in_with_its_stop_and_out_by_its_horizon():
    run = journey(Market().quiet(0.1, 5), Once(horizon_s=2))
    (position,) = run.closed
    ((entered, entry),) = run.orders(Purpose.ENTRY)
    ((left, exit_),) = run.orders(Purpose.EXIT)
    assert (position.entry_price, position.exit_price) == (Decimal("64000.1"), Decimal("63999.9"))
    assert left == entered + 2 * LATENCY + 2 * SECOND
    assert exit_.reduce_only
    assert exit_.size == entry.size
    assert position.exit_reason == Reason.HORIZON_REACHED
    assert is_flat(run)


def test_what_is_open_at_the_end_of_the_data_is_closed_at_the_last_known_book():
    run = journey(Market().quiet(0.1, 1), Once())
    (position,) = run.closed
    assert position.exit_reason == Reason.OPERATOR
    assert is_flat(run)


def test_a_stop_that_is_hit_between_two_decisions_closes_the_position_without_us():
    market = Market().tick(0.1).book(3, MID - 4_000).quiet(3.1, 12, 0.5)
    run = journey(market, Once(), decision_interval_ns=10 * SECOND)
    (position,) = run.closed
    stop = [fill for fill in run.fills() if fill.origin is FillOrigin.STOP_LOSS]
    assert stop
    assert stop[0].ts_event == at(3)
    assert position.exit_price == Decimal("63599.9")
    assert not run.orders(Purpose.EXIT)


def test_a_take_profit_closes_the_position_without_us():
    market = Market().tick(0.1).book(3, MID + 4_000).quiet(3.1, 6)
    run = journey(market, Once(take_profit_bps=40))
    (position,) = run.closed
    assert {fill.origin for fill in run.fills()} == {FillOrigin.ORDER, FillOrigin.TAKE_PROFIT}
    assert position.gross_pnl > 0
    assert not run.orders(Purpose.EXIT)


def test_an_entry_fills_in_parts_and_the_rest_of_it_is_cancelled():
    thin = Market(size=1).quiet(0.1, 3)
    run = journey(thin, Once(horizon_s=1))
    ((_, entry),) = run.orders(Purpose.ENTRY)
    assert entry.size > 1
    assert [fill.size for fill in run.fills() if fill.side is Side.BUY] == [1]
    assert any(isinstance(event, OrderCancelled) for event, _ in run.steps)
    (position,) = run.closed
    assert position.size == 1


def test_a_resting_entry_that_is_half_filled_at_its_timeout_keeps_its_half_and_its_stop():
    market = Market(size=1).quiet(0.1, 1)
    # Everything that stood before us at the touch is sold into, and one lot of ours.
    market.sell(1.05, MID - 1, 2).quiet(1.1, 14, 0.5)
    strategy = Once(inside=2, time_in_force=TimeInForce.POST_ONLY, horizon_s=5)
    run = journey(market, strategy, entry_timeout_ns=2 * SECOND)
    ((entered, entry),) = run.orders(Purpose.ENTRY)
    ((cancelled, _),) = run.commands(CancelOrder)
    assert cancelled == entered + 2 * SECOND
    assert [(fill.size, fill.is_maker) for fill in run.fills() if fill.side is Side.BUY] == [(1, True)]
    assert entry.size > 1
    (position,) = run.closed
    assert position.size == 1
    assert position.exit_reason == Reason.HORIZON_REACHED


def test_an_exit_that_finds_too_little_is_repeated_until_nothing_is_left():
    market = Market().tick(0.1).book(0.5, MID, size=1).quiet(0.6, 20)
    run = journey(market, Once(horizon_s=1))
    assert is_flat(run)
    assert len([fill for fill in run.fills() if fill.side is Side.SELL]) > 1


def test_a_position_outlives_the_loss_of_its_book_and_is_closed_when_the_book_is_back():
    market = Market().quiet(0.1, 1).gap(1.1)
    lost = [a_delta((), (), at(1.1 + i / 10), market.sequence + i, key=BTC) for i in range(1, 40)]
    market.events += lost
    market.sequence += 40
    market.book(6, MID - 50).quiet(6.1, 10)
    run = journey(market, Once(horizon_s=3))
    assert run.facts(BookGap)
    assert run.commands(RequestSnapshot)
    assert run.facts(BookRecovered)
    attempts = [ts for ts, _ in run.orders(Purpose.EXIT)]
    assert len(attempts) > 1
    (position,) = run.closed
    assert position.closed_ts >= at(6)
    assert is_flat(run)


def test_what_a_spent_stop_could_not_sell_is_closed_by_us_after_three_seconds():
    # The price falls onto one level that holds too little for the stop, and there is no other.
    market = Market().tick(0.1)
    market.depth = 1
    market.book(1, MID - 4_000, size=2)
    for number in range(60):
        market.change(1.5 + number / 10, asks=[(MID - 3_999, 1_000 + number)])
    market.book(8, MID - 4_000, size=1_000).change(9, asks=[(MID - 3_999, 999)])
    run = journey(market, Once(horizon_s=300))
    assert [fill.size for fill in run.fills() if fill.origin is FillOrigin.STOP_LOSS] == [2]
    assert [fact.reason for fact in run.facts(ExitDecided)] == [Reason.UNPROTECTED]
    first = min(ts for ts, _ in run.orders(Purpose.EXIT))
    assert first <= at(1) + 3 * SECOND + 2 * LATENCY
    assert is_flat(run)


def test_the_days_loss_flattens_halts_and_keeps_out():
    rules = (*ALL_RULES[:-1], ("daily_loss", DailyLoss(max_share=Decimal("0.0001"))))
    market = Market().quiet(0.1, 1).book(2, MID - 10_000 // 2).quiet(2.1, 8)
    run = journey(market, Once(stop_bps=150), rules=rules, **NO_COOLDOWN)
    assert run.halted_at is not None
    assert run.halted_at < at(3.1)
    assert all(ts < run.halted_at for ts, _ in run.orders(Purpose.ENTRY))
    assert Reason.HALTED in {fact.reason for fact in run.facts(SignalRefused)}
    assert {fact.reason for fact in run.facts(ExitDecided)} == {Reason.DAILY_LOSS}
    assert is_flat(run)


def test_an_operator_halts_in_the_middle_and_releases_later():
    release = ReleaseHalt(ts_event=at(6), ts_recv=at(6), actor="ann", request_id="r")
    run = journey(Market().quiet(0.1, 10), Once(horizon_s=1), requests=[halt(3.033), release], **NO_COOLDOWN)
    entries = [ts for ts, _ in run.orders(Purpose.ENTRY)]
    assert run.halted_at == at(3.033)
    assert not [ts for ts in entries if at(3.033) <= ts < at(6)]
    assert [ts for ts in entries if ts >= at(6)]
    assert is_flat(run)


@pytest.mark.parametrize("after_ms", [0, 2, 5, 7, 10, 12])
def test_a_halt_while_an_entry_is_on_its_way_ends_flat_wherever_it_strikes(after_ms):
    run = journey(Market().quiet(0.1, 4), Once(), requests=[halt(after_ms / 1000)])
    assert is_flat(run)
    assert all(ts < at(after_ms / 1000) or not after_ms for ts, _ in run.orders(Purpose.ENTRY))


def test_funding_is_paid_while_a_position_is_open_and_in_both_books():
    interval = 8 * HOUR
    due = START + SECOND + (-(START + SECOND)) % interval
    shift = due - at(2)
    market = Market().tick(0.1)
    market.ticker(
        0.05, mark=Decimal(64_000), index=Decimal(64_000), funding_rate=Decimal("0.0001"), next_funding_ts=at(2)
    )
    market.quiet(0.2, 5)
    run = journey(market, Once(horizon_s=4))
    assert shift >= 0
    charges = [event for event, _ in run.steps if isinstance(event, FundingCharged)]
    assert [charge.ts_event for charge in charges] == [at(2)]
    (position,) = run.closed
    assert position.funding == charges[0].amount > 0
    assert run.state.portfolio.ledger.funding == charges[0].amount


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("leverage", [10, 25, 50, 100])
def test_nothing_is_liquidated_before_its_stop(side, leverage):
    """The price runs away step by step: the stop comes first, or risk has refused the entry."""
    market = Market().quiet(0.1, 1)
    for step in range(1, 40):
        market.book(1 + step / 5, MID - side * step * 400)
    tiers = (MarginTier(Decimal(10**9), Decimal("0.005"), Decimal(0), Decimal(100)),)
    instruments = [an_instrument(margin_tiers=tiers)]
    run = journey(market, Once(side=side, stop_bps=150), leverage=Decimal(leverage), instruments=instruments)
    origins = {fill.origin for fill in run.fills()}
    assert FillOrigin.LIQUIDATION not in origins
    refused = {fact.reason for fact in run.facts(IntentRefused)}
    assert (FillOrigin.STOP_LOSS in origins) != (refused == {Reason.LEVERAGE})
    assert (Reason.LEVERAGE in refused) == (leverage == 100 or (leverage == 50 and side < 0))


def test_two_instruments_trade_at_once_and_keep_apart():
    btc, eth = Market().quiet(0.1, 6), Market(ETH, mid=30_000).quiet(0.13, 2)
    eth.book(2.2, 29_700).quiet(2.3, 6)
    instruments = [an_instrument(BTC), an_instrument(ETH)]
    run = journey([*btc.events, *eth.events], Once(horizon_s=4), instruments=instruments)
    by_key = {position.instrument: position for position in run.closed}
    assert by_key[ETH].exit_reason == FillOrigin.STOP_LOSS
    assert by_key[BTC].exit_reason == Reason.HORIZON_REACHED
    assert is_flat(run, BTC)
    assert is_flat(run, ETH)


def test_a_halt_closes_every_instrument():
    btc, eth = Market().quiet(0.1, 6), Market(ETH, mid=30_000).quiet(0.13, 6)
    instruments = [an_instrument(BTC), an_instrument(ETH)]
    run = journey([*btc.events, *eth.events], Once(), instruments=instruments, requests=[halt(3)])
    assert {position.instrument for position in run.closed} == {BTC, ETH}
    assert all(position.closed_ts < at(3.1) for position in run.closed)


def test_an_exchange_that_is_down_is_asked_again_until_it_closes():
    down = ((at(1), at(4)),)
    run = journey(Market().quiet(0.1, 8), Once(horizon_s=1), simulation={"downtime": down})
    (position,) = run.closed
    assert at(4) <= position.closed_ts < at(5.2)
    assert len(run.orders(Purpose.EXIT)) > 2


def test_latency_is_on_every_way():
    run = journey(Market().quiet(0.1, 3), Once(horizon_s=1))
    first = next(event for event, _ in run.steps if isinstance(event, OrderFilled))
    ((entered, _),) = run.orders(Purpose.ENTRY)
    assert (first.ts_event, first.ts_recv) == (entered + LATENCY, entered + 2 * LATENCY)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_an_order_meets_the_book_of_its_arrival_though_we_have_not_seen_it_yet(every):
    """The ask is lifted at the exchange before our order arrives; we read of it in a later window."""
    market = Market().tick(0.01).change(0.052, asks=[(MID + 1, 0), (MID + 2, 0)]).quiet(0.2, 1)
    seen = [msgspec.structs.replace(event, ts_recv=event.ts_event + 50 * MS) for event in market.events]
    run = Journey(a_config(Once()), a_history(seen, every))
    sent, _ = run.orders(Purpose.ENTRY)[0]
    assert sent + LATENCY == at(0.055)
    assert at(0.055) not in [fill.ts_event for fill in run.fills()]


def test_our_answer_arrives_in_time_though_the_market_is_silent():
    # The halt strikes while the entry is on its way; its fill is answered by a close.
    run = journey(Market().tick(10), Once(), requests=[halt(0.002)])
    ((sent, _),) = run.orders(Purpose.EXIT)
    (exit_,) = [fill for fill in run.fills() if fill.side is Side.SELL]
    assert (exit_.ts_event, exit_.ts_recv) == (sent + LATENCY, sent + 2 * LATENCY)
