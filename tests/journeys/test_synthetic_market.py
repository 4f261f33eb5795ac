"""The whole engine on a generated market of three symbols: invariants at every step, equal runs, snapshots on the way."""

from decimal import Decimal

import msgspec
import pytest

from stakan.adapters.exchanges.simulated.models import DrawnLatency, Queue, QueueModel
from stakan.adapters.synthetic.config import demo_config
from stakan.adapters.synthetic.market import SyntheticMarket
from stakan.core.decision.sizing import Sizing
from stakan.core.domain.events import Flatten, Halt
from stakan.core.domain.facts import PositionClosed
from stakan.core.domain.orders import Purpose, TimeInForce
from stakan.core.domain.units import SECOND
from stakan.core.market.densities import DensityParams
from stakan.core.strategies.density_bounce import DensityBounce
from stakan.core.strategies.density_breakout import DensityBreakout
from stakan.core.strategies.imbalance import Imbalance
from tests.journeys.builders import MS, Journey, Once, a_config

LENGTH = 40 * SECOND
CHATTERING = (
    Imbalance(buy_threshold=0.6, sell_threshold=0.4, horizon_s=3.0, clear_bps=0.0),
    DensityBreakout(min_erosion=0.05, horizon_s=4.0),
    DensityBounce(max_erosion=0.5, min_life_s=0.2, horizon_s=5.0),
)
"""The strategies of the package with thresholds that make them trade within seconds."""
LARGE = Sizing(notional=Decimal(480))


def a_market(seed=7, start=None):
    changes = {} if start is None else {"start_ts": start}
    return SyntheticMarket(demo_config(seed=seed, duration_ns=LENGTH, **changes))


def a_run(seed=7, strategies=CHATTERING, market=None, **more):
    market = market or a_market(seed)
    engine = {"cooldown_ns": SECOND, "densities": DensityParams(min_notional=50_000.0), "min_strength": 0.0}
    simulation = {key: more.pop(key) for key in ("queue", "entry_latency", "response_latency", "seed") if key in more}
    requests = more.pop("requests", ())
    swap_at = more.pop("swap_at", None)
    config = a_config(*strategies, **{**engine, **more})
    return Journey(config, market, market.instruments.values(), requests, swap_at, **simulation)


def is_settled(run):
    return not run.state.portfolio.busy_instruments()


@pytest.fixture(scope="module")
def plain():
    return a_run()


def test_three_symbols_trade_with_all_strategies_and_end_flat(plain):
    assert is_settled(plain)
    plain.check_agreement()
    closed = plain.facts(PositionClosed)
    assert len(closed) >= 10
    assert len({position.instrument for position in closed}) == 3
    assert len({position.strategy for position in closed}) >= 2


def test_the_wallet_changed_by_the_positions_results_and_nothing_else(plain):
    opening = plain.config.starting_balance
    net = sum(position.gross_pnl - position.fees - position.funding for position in plain.closed)
    assert plain.exchange.account.wallet == opening + net


def test_equal_runs_have_equal_fingerprints(plain):
    again = a_run()
    assert again.fingerprint.hexdigest() == plain.fingerprint.hexdigest()
    assert again.exchange.account.wallet == plain.exchange.account.wallet


def test_another_seed_is_another_market(plain):
    other = a_run(seed=8)
    assert other.fingerprint.hexdigest() != plain.fingerprint.hexdigest()
    assert is_settled(other)


@pytest.mark.parametrize("share", [0.05, 0.31, 0.5, 0.77])
def test_an_engine_restored_in_the_middle_gives_the_same_rest(plain, share):
    swapped = a_run(swap_at=int(share * len(plain.steps)))
    assert swapped.fingerprint.hexdigest() == plain.fingerprint.hexdigest()


def test_an_engine_restored_while_an_order_is_on_its_way_gives_the_same_rest(plain):
    sent = next(step.number for _, step in plain.steps if step.commands)
    swapped = a_run(swap_at=sent)
    assert swapped.fingerprint.hexdigest() == plain.fingerprint.hexdigest()


@pytest.mark.parametrize("rule", list(Queue))
def test_resting_entries_hold_the_invariants_under_every_queue_model(rule):
    makers = (Once(inside=1, time_in_force=TimeInForce.POST_ONLY, stop_bps=20, horizon_s=2.0, take_profit_bps=10),)
    run = a_run(strategies=makers, queue=QueueModel(rule=rule), entry_timeout_ns=SECOND, sizing=LARGE)
    assert is_settled(run)
    assert any(fill.is_maker for fill in run.fills())


def test_slow_and_uneven_latencies_hold_the_invariants():
    slow = {
        "entry_latency": DrawnLatency(median_ns=80 * MS, sigma=1.0),
        "response_latency": DrawnLatency(median_ns=120 * MS, sigma=1.0),
    }
    makers = (Once(inside=1, time_in_force=TimeInForce.GTC, stop_bps=8, horizon_s=0.7), *CHATTERING)
    run = a_run(strategies=makers, entry_timeout_ns=300 * MS, **slow)
    assert is_settled(run)
    run.check_agreement()
    assert len(run.closed) >= 10


def test_stops_and_targets_are_met_by_the_market_itself():
    runs = [a_run(strategies=(Once(stop_bps=6, take_profit_bps=6, side=side),)) for side in (1, -1)]
    origins = {fill.origin.value for run in runs for fill in run.fills()}
    assert origins == {"order", "stop_loss", "take_profit"}
    assert all(is_settled(run) for run in runs)


@pytest.mark.parametrize("width", [1_500 * MS, 40 * MS])
def test_where_the_markets_windows_are_cut_changes_nothing(plain, width):
    config = msgspec.structs.replace(a_market().config, window_ns=width)
    cut = a_run(market=SyntheticMarket(config))
    assert cut.fingerprint.hexdigest() == plain.fingerprint.hexdigest()


def test_funding_falls_into_an_open_position():
    # The demo's funding interval is eight hours; the market begins twenty seconds before one ends.
    market = a_market(start=1_767_254_400 * SECOND - 20 * SECOND)
    run = a_run(strategies=(Once(stop_bps=100),), market=market)
    assert run.state.portfolio.ledger.funding != 0
    assert is_settled(run)


def test_an_operator_halts_and_nothing_opens_after():
    moment = a_market().config.start_ts + 15 * SECOND
    request = Halt(ts_event=moment, ts_recv=moment, actor="ann", request_id="h", why="enough")
    run = a_run(requests=[request])
    assert run.halted_at == moment
    assert [ts for ts, _ in run.orders(Purpose.ENTRY) if ts < moment]
    assert not [ts for ts, _ in run.orders(Purpose.ENTRY) if ts >= moment]
    assert all(position.closed_ts < moment + SECOND for position in run.closed)


def test_a_flatten_closes_and_trading_goes_on():
    moment = a_market().config.start_ts + 15 * SECOND
    request = Flatten(ts_event=moment, ts_recv=moment, actor="ann", request_id="f")
    run = a_run(requests=[request])
    assert [ts for ts, _ in run.orders(Purpose.ENTRY) if ts > moment]
    assert is_settled(run)
