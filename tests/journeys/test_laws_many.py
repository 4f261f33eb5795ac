"""Whatever market, latency, operator and trouble: the invariants hold at every step, and it ends flat and balanced."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from stakan.adapters.exchanges.simulated.models import DrawnLatency, Queue, QueueModel
from stakan.core.domain.events import Flatten, Halt, MoveStop, PauseEntries, ReleaseHalt, ResumeEntries
from stakan.core.domain.orders import TimeInForce
from tests.core.engine.builders import BTC, ETH, MS, SECOND, an_instrument
from tests.journeys.builders import Journey, Once, a_config, a_history
from tests.journeys.test_handmade_markets import START, Market, at

INSTRUMENTS = [an_instrument(BTC), an_instrument(ETH)]
MIDS = {BTC: 640_000, ETH: 30_000}
LENGTH_S = 6.0


@st.composite
def markets(draw, key):
    """A book that moves, thins out, is lost and comes back; prints at and through the touch."""
    market = Market(key, MIDS[key], size=draw(st.sampled_from((1, 3, 1_000))))
    moment, mid = 0.0, MIDS[key]
    for _ in range(draw(st.integers(1, 25))):
        moment = min(LENGTH_S, round(moment + draw(st.sampled_from((0.002, 0.005, 0.05, 0.2, 0.9))), 3))
        match draw(st.sampled_from(("move", "move", "jump", "tick", "tick", "print", "print", "thin", "gap", "mark"))):
            case "move":
                mid += draw(st.integers(-30, 30))
                market.book(moment, mid)
            case "jump":
                mid = round(mid * (1 + draw(st.integers(-60, 60)) / 1e4))
                market.book(moment, mid)
            case "thin":
                market.book(moment, mid, size=draw(st.sampled_from((1, 2))))
            case "tick":
                market.tick(moment)
            case "print":
                market.sell(moment, mid + draw(st.sampled_from((-2, -1, 1))), draw(st.integers(1, 2_000)))
            case "gap":
                market.gap(moment)
            case "mark":
                price = INSTRUMENTS[0].price(mid + draw(st.integers(-20, 20)))
                rate = Decimal(draw(st.integers(-5, 5))) / 10_000
                market.ticker(moment, mark=price, index=price, funding_rate=rate, next_funding_ts=at(4))
    # A sound end, its mark within the price band, so that everything can be closed.
    price = INSTRUMENTS[0].price(mid)
    market.ticker(LENGTH_S, mark=price, index=price)
    return market.book(LENGTH_S + 1, mid, size=1_000).quiet(LENGTH_S + 1.1, LENGTH_S + 2).events


@st.composite
def requests(draw):
    """What a person asks for meanwhile."""
    found = []
    for number in range(draw(st.integers(0, 3))):
        moment = START + draw(st.integers(0, round(LENGTH_S * 1_000))) * MS
        head = {"ts_event": moment, "ts_recv": moment, "actor": "ann", "request_id": str(number)}
        match draw(st.sampled_from((Halt, ReleaseHalt, Flatten, PauseEntries, ResumeEntries, MoveStop))):
            case kind if kind is Halt:
                found.append(Halt(**head, why="drawn"))
            case kind if kind is MoveStop:
                key = draw(st.sampled_from((BTC, ETH)))
                found.append(MoveStop(**head, instrument=key, stop_loss=MIDS[key] + draw(st.integers(-300, 300))))
            case kind:
                found.append(kind(**head))
    return found


wishes = st.builds(
    Once,
    side=st.sampled_from((1, -1)),
    stop_bps=st.sampled_from((8.0, 30.0)),
    take_profit_bps=st.sampled_from((None, 6.0)),
    inside=st.integers(0, 2),
    time_in_force=st.sampled_from(list(TimeInForce)),
    horizon_s=st.sampled_from((None, 0.3, 1.5)),
)
latencies = st.builds(
    DrawnLatency, median_ns=st.sampled_from((0, MS, 40 * MS, 400 * MS)), sigma=st.sampled_from((0.0, 1.0))
)


@st.composite
def worlds(draw):
    """(configuration, history, what a person asks for, the exchange's ways)."""
    config = a_config(
        draw(wishes),
        cooldown_ns=draw(st.sampled_from((0, SECOND))),
        entry_timeout_ns=draw(st.sampled_from((100 * MS, 2 * SECOND))),
        decision_interval_ns=draw(st.sampled_from((0, 300 * MS))),
    )
    events = [*draw(markets(BTC)), *draw(markets(ETH))]
    simulation = {
        "queue": QueueModel(rule=draw(st.sampled_from(list(Queue)))),
        "entry_latency": draw(latencies),
        "response_latency": draw(latencies),
        "downtime": draw(st.sampled_from(((), ((at(2), at(2.7)),)))),
        "commands_per_second": draw(st.sampled_from((None, None, 5))),
    }
    return config, events, draw(requests()), simulation


def lived(world, every=9, **more):
    config, events, asked, simulation = world
    return Journey(config, a_history(events, every), INSTRUMENTS, asked, **more, **simulation)


@settings(max_examples=900)
@given(worlds())
def test_invariants_hold_in_every_world_and_it_ends_flat(world):
    run = lived(world)
    assert not run.state.portfolio.busy_instruments()
    run.check_agreement()
    net = sum((closed.gross_pnl - closed.fees - closed.funding for closed in run.closed), Decimal(0))
    assert run.exchange.account.wallet == run.config.starting_balance + net


@settings(max_examples=250)
@given(worlds(), st.floats(0, 1))
def test_an_engine_restored_anywhere_gives_the_same_rest(world, share):
    run = lived(world)
    other = lived(world, swap_at=int(share * len(run.steps)))
    assert other.fingerprint.hexdigest() == run.fingerprint.hexdigest()


@settings(max_examples=250)
@given(worlds(), st.integers(1, 40))
def test_where_windows_are_cut_changes_nothing(world, every):
    assert lived(world, every).fingerprint.hexdigest() == lived(world).fingerprint.hexdigest()
