"""The whole engine at the simulated exchange, watched: after every step the invariants of execution.md are checked."""

from collections import Counter
from decimal import Decimal

from stakan.adapters.exchanges.simulated.exchange import SimulatedExchange, SimulationConfig
from stakan.adapters.exchanges.simulated.models import ConstantLatency
from stakan.apps.driver import VirtualTime
from stakan.apps.results import Fingerprint
from stakan.core.domain.batch import BatchBuilder, window
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import MarketEvent, OrderFilled, TimerFired
from stakan.core.domain.facts import PositionClosed, TradingStateChanged
from stakan.core.domain.orders import OrderType, Purpose, TimeInForce
from stakan.core.domain.trading import Signal, TradingState
from stakan.core.domain.units import HOUR, Side
from stakan.core.engine import Engine, EngineConfig
from stakan.core.plugins import Strategy, View
from stakan.core.risk.exposure import Exposure
from tests.core.engine.builders import ALL_RULES, BTC, MS, SECOND, an_instrument

LATENCY = 5 * MS
UNPROTECTED_NS = 3 * SECOND
"""How long a position may be without a stop at the exchange."""
ROUND_TRIP = 2 * LATENCY


class Once(Strategy, frozen=True, kw_only=True):
    """Wants in at once, on one side; a long cool-down in the configuration makes it one trade."""

    side: int = 1
    stop_bps: float = 50.0
    take_profit_bps: float | None = None
    inside: int = 0
    """Ticks behind the opposite touch; 0 takes."""
    time_in_force: TimeInForce = TimeInForce.IOC
    horizon_s: float | None = None

    def decide(self, view: View, state):
        book, side = view.market.book, Side(self.side)
        entry = (book.best_ask if side is Side.BUY else book.best_bid) - side * self.inside
        return Signal(
            instrument=view.instrument.id,
            side=side,
            strength=1.0,
            ts_event=view.now,
            entry=entry,
            stop_loss=round(entry * (1 - side * self.stop_bps / 1e4)),
            take_profit=None
            if self.take_profit_bps is None
            else round(entry * (1 + side * self.take_profit_bps / 1e4)),
            horizon_ns=None if self.horizon_s is None else round(self.horizon_s * SECOND),
            type=OrderType.LIMIT,
            time_in_force=self.time_in_force,
        )


def a_config(*strategies, rules=ALL_RULES, **changes):
    named = tuple((f"s{i}", spec) for i, spec in enumerate(strategies))
    values = {"decision_interval_ns": 100 * MS, "candle_interval_ns": SECOND, "cooldown_ns": HOUR}
    return EngineConfig(strategies=named, risk_rules=rules, **{**values, **changes})


def a_history(events, every=7):
    """Events in order of arrival, in windows of a few."""
    return _History(list(events), every)


class _History:
    def __init__(self, events, every):
        self._events = sorted(events, key=lambda event: event.ts_recv)
        self._every = every

    def windows(self):
        builders = {}
        for number, event in enumerate(self._events):
            builders.setdefault(event.instrument, BatchBuilder(event.instrument)).add(event, number)
            if (number + 1) % self._every == 0:
                yield window(tuple(builder.build() for builder in builders.values()))
        yield window(tuple(builder.build() for builder in builders.values()))


class Wire:
    """The simulated exchange with a person beside it: what it tells is noted until it is delivered."""

    def __init__(self, exchange, requests=()):
        self.exchange = exchange
        self.on_the_way = 0
        self._requests = sorted(requests, key=lambda request: request.ts_recv)

    def feed(self, market):
        self.exchange.feed(market)

    def submit(self, command, now):
        self.exchange.submit(command, now)

    def advance(self, now):
        if self._requests and self._requests[0].ts_recv <= now:
            told = self.exchange.advance(max(self._requests[0].ts_recv, 0))
            if not told:
                told = [self._requests.pop(0)]
        else:
            told = self.exchange.advance(now)
        self.on_the_way += len(told)
        return told


class Journey:
    """One run with its steps, and everything checked on the way."""

    def __init__(self, config, history, instruments=None, requests=(), swap_at=None, **simulation):
        self.instruments = {rules.id: rules for rules in instruments or [an_instrument()]}
        latency = ConstantLatency(LATENCY)
        values = {"entry_latency": latency, "response_latency": latency, "leverage": config.leverage}
        self.config = config
        self.engine = Engine(config, self.instruments.values())
        self.exchange = SimulatedExchange(self.instruments, SimulationConfig(**{**values, **simulation}))
        self.steps = []
        self.fingerprint = Fingerprint()
        self._wire = Wire(self.exchange, requests)
        self._swap_at = swap_at
        self._entries = Counter()
        self._bare_since = {}
        driver = VirtualTime(self, self._wire, self._observe)
        for _ in driver.run(history):
            pass

    # --- what the driver sees of an engine --------------------------------------------------------------------------

    @property
    def state(self):
        return self.engine.state

    @property
    def pending_timers(self):
        return self.engine.pending_timers

    def step(self, event):
        if len(self.steps) == self._swap_at:
            other = Engine(self.config, self.instruments.values())
            other.restore(self.engine.snapshot())
            self.engine = other
        return self.engine.step(event)

    # --- after every step -------------------------------------------------------------------------------------------

    def _observe(self, event, step):
        self.fingerprint.update(step)
        self.steps.append((event, step))
        if not isinstance(event, (MarketEvent, TimerFired)) and not is_end(event):
            self._wire.on_the_way -= 1
        self._check_entries(step)
        self._check_protection(step.ts)
        assert self.state.portfolio.ledger.is_balanced
        if not self._wire.on_the_way:
            self.check_agreement()

    def _check_entries(self, step):
        for command in step.commands:
            if not isinstance(command, SubmitOrder) or command.order.purpose is not Purpose.ENTRY:
                continue
            self._entries[command.order.intent] += 1
            assert self._entries[command.order.intent] == 1, "two entries for one intent"
            assert self.state.trading is TradingState.ACTIVE, "an entry while nothing may open"
            assert command.order.stop_loss is not None
            self._check_exposure(command.order)

    def _check_exposure(self, order):
        marks = self.engine._turn.marks(self.engine.state.instruments)
        portfolio = self.state.portfolio
        limits = dict(self.config.risk_rules).get("exposure", Exposure())
        equity = portfolio.ledger.equity
        assert portfolio.exposure(marks) <= min(limits.max_notional, limits.max_equity_share * equity)
        assert portfolio.exposure_of(order.instrument, marks) <= limits.max_position_share * equity

    def _check_protection(self, now):
        """At the exchange itself, whatever we believe; a position may stay bare only while its close is asked for."""
        for key in self.instruments:
            position = self.exchange.account.position(key)
            if not position.lots or position.stop_loss is not None:
                self._bare_since.pop(key, None)
                continue
            since = self._bare_since.setdefault(key, now)
            plan = self.state.instruments[key].plan
            is_closing = plan is not None and plan.closing is not None
            assert is_closing or now - since <= UNPROTECTED_NS + ROUND_TRIP, f"{key} has no stop since {since}"

    def check_agreement(self):
        """Nothing is on its way to us: our books are the exchange's, to the last decimal."""
        ours, theirs = self.state.portfolio, self.exchange.account
        assert (ours.ledger.balance, ours.ledger.fees, ours.ledger.funding) == (
            theirs.wallet,
            theirs.fees,
            theirs.funding,
        )
        for key in self.instruments:
            position, there = ours.position(key), theirs.position(key)
            assert (position.signed_size if position is not None else 0) == there.lots
            if position is not None and position.size:
                assert (position.stop_loss, position.take_profit) == (there.stop_loss, there.take_profit)

    # --- reading ----------------------------------------------------------------------------------------------------

    def facts(self, kind):
        return [fact for _, step in self.steps for fact in step.facts if isinstance(fact, kind)]

    def commands(self, kind):
        return [(step.ts, command) for _, step in self.steps for command in step.commands if isinstance(command, kind)]

    def orders(self, purpose):
        return [(ts, c.order) for ts, c in self.commands(SubmitOrder) if c.order.purpose is purpose]

    def fills(self):
        return [event for event, _ in self.steps if isinstance(event, OrderFilled)]

    @property
    def closed(self):
        return self.facts(PositionClosed)

    @property
    def halted_at(self):
        states = [(step.ts, f) for _, step in self.steps for f in step.facts if isinstance(f, TradingStateChanged)]
        return next((ts for ts, fact in states if fact.state is TradingState.HALTED), None)


def is_end(event):
    return getattr(event, "actor", "") == "end of data"


def is_flat(journey, key=BTC):
    return not journey.state.portfolio.busy_instruments() and journey.exchange.account.position(key).lots == 0


def money(text):
    return Decimal(text)
