"""The invariants of execution.md as far as a bot sees them itself, checked after every step.

Pure over steps and engine state: no clock, no I/O, so a simulation checks the same. Each check reckons for itself and
asks no code of the engine what it should hold against it, else the bug that it is to find would hide in both.
"""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import AnyEvent, MarketEvent
from stakan.core.domain.facts import (
    AccountCompared,
    BalanceCorrected,
    Discrepancy,
    FillBooked,
    FundingBooked,
    OrderTransitioned,
    TradingStateChanged,
)
from stakan.core.domain.ids import ClientOrderId, InstrumentId, IntentId
from stakan.core.domain.orders import NewOrder, OrderStatus, Purpose
from stakan.core.domain.step import Step
from stakan.core.domain.trading import TradingState
from stakan.core.domain.units import SECOND, Nanos, Side
from stakan.core.engine import Engine
from stakan.core.portfolio.money import minus, plus, total
from stakan.core.risk.exposure import Exposure

STOP, ENTRY, EXPOSURE, MARGIN, AGREEMENT, AUDIT, HALTED, LEDGER = range(1, 9)
ABOUT = {
    STOP: "no position without a stop at the exchange for longer than the stated time",
    ENTRY: "never two entry orders for one intent",
    EXPOSURE: "exposure, orders in flight included, within its limits when an entry is sent",
    MARGIN: "isolated margin asserted before the first order of an instrument",
    AGREEMENT: "after a recovery the books are the exchange's: nothing has to be repaired",
    AUDIT: "the chain of audit records verifies",
    HALTED: "nothing opens while halted",
    LEDGER: "balance changes equal fills, fees and funding to the last decimal",
}
"""What each number says. `disagreement` finds 5; 6 is found by the projector, who has the records."""
CLOSE_WITHIN = Nanos(2 * SECOND)
"""Beyond the engine's own bound, for the close at market that it then sends: five seconds in all, as after a return of
the exchange (decision 9)."""
_REMEMBERED = 10_000
_NEVER_FILLED = frozenset((OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.FAILED))


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """One invariant did not hold."""

    number: int
    ts: Nanos
    """Receive time of the step, or the moment of the look."""
    instrument: InstrumentId | None
    detail: str
    """With its numbers."""


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """What the checks cannot see in steps."""

    is_connected: Callable[[], bool] = lambda: True
    """Whether the exchange answers: the clock of a missing stop stands still while it does not."""
    is_margin_asserted: Callable[[InstrumentId], bool] = lambda _key: True
    """Where margin is nobody's business (paper, shadow) it counts as asserted."""


class Invariants:
    """Sees every event with its step, right after the engine made it; `told` is given every breach, each once."""

    def __init__(self, engine: Engine, told: Callable[[Breach], None], around: Around | None = None) -> None:
        state = engine.state
        self._engine = engine
        self._told = told
        self._around = around or Around()
        self._bound = engine.config.protection_timeout_ns + CLOSE_WITHIN
        self._limits = tuple(rule for _, rule in engine.config.risk_rules if isinstance(rule, Exposure))
        self.bare: dict[InstrumentId, int] = {}
        """Positions without a confirmed stop, and since when; below 0 where it has been told. While there is one, time
        alone can break an invariant, and `check` must be called every now and then."""
        self._entries: dict[tuple[IntentId, InstrumentId], ClientOrderId] = {}
        """Entries that may have been filled, by what they were for."""
        self._trading = state.trading
        self._balance = state.portfolio.ledger.balance
        self._is_balanced = state.portfolio.ledger.is_balanced
        for order in state.portfolio.orders.live.values():
            if order.request.purpose is Purpose.ENTRY:
                self._entries[order.request.intent, order.request.instrument] = order.id
        self._look_for_bare(Nanos(state.now))

    def observe(self, event: AnyEvent, step: Step) -> None:
        """Check what a step may have broken."""
        if step.facts or step.commands:
            self._check_entries(step)
            self._check_ledger(step)
        if not isinstance(event, MarketEvent) or step.facts:
            self._look_for_bare(step.ts)
        if self.bare:
            self.check(step.ts)

    def check(self, now: int) -> None:
        """Check what time may have broken; with steps or without."""
        if not self._around.is_connected():
            # The clock begins again when the exchange is back.
            self.bare = {key: now if since >= 0 else since for key, since in self.bare.items()}
            return
        for key, since in self.bare.items():
            if 0 <= since < now - self._bound:
                self.bare[key] = -1
                position = self._engine.state.portfolio.positions.live[key]
                told = f"{position.id}: {position.size} lots without a stop for {(now - since) / SECOND:.1f} s"
                self._tell(STOP, now, key, f"{told}, bound {self._bound / SECOND:.1f} s")

    # --- 1: stops ---------------------------------------------------------------------------------------------------

    def _look_for_bare(self, now: Nanos) -> None:
        state = self._engine.state
        bare = {
            key
            for key, position in state.portfolio.positions.live.items()
            if position.size and position.stop_loss is None and state.instruments[key].rules.is_linear
        }
        if bare or self.bare:
            self.bare = {key: self.bare.get(key, now) for key in bare}

    # --- 2, 3, 4, 7: entries ----------------------------------------------------------------------------------------

    def _check_entries(self, step: Step) -> None:
        sent = {
            command.order.client_order_id: command.order
            for command in step.commands
            if isinstance(command, SubmitOrder) and command.order.purpose is Purpose.ENTRY
        }
        unseen = dict(sent)
        was = self._trading
        for fact in step.facts:
            match fact:
                case TradingStateChanged():
                    self._trading = fact.state
                case OrderTransitioned(before=None, client_order_id=name) if name in unseen:
                    self._check_halted(unseen.pop(name), self._trading, step.ts)
                case OrderTransitioned(after=after, filled=0, client_order_id=name) if after in _NEVER_FILLED:
                    self._forget_entry(name)
                case _:
                    pass
        for order in unseen.values():
            self._check_halted(order, was, step.ts)
        for order in sent.values():
            self._check_twice(order, step.ts)
            self._check_exposure(order, step.ts)
            if not self._around.is_margin_asserted(order.instrument):
                detail = f"{order.client_order_id} was sent before margin mode and leverage were asserted"
                self._tell(MARGIN, step.ts, order.instrument, detail)

    def _check_halted(self, order: NewOrder, trading: TradingState, now: Nanos) -> None:
        if trading is TradingState.HALTED:
            self._tell(HALTED, now, order.instrument, f"entry {order.client_order_id} of {order.size} lots was sent")

    def _check_twice(self, order: NewOrder, now: Nanos) -> None:
        key = (order.intent, order.instrument)
        before = self._entries.get(key)
        if before is not None:
            detail = f"{order.client_order_id} for {order.intent}, although {before} may be filled"
            self._tell(ENTRY, now, order.instrument, detail)
        self._entries[key] = order.client_order_id
        if len(self._entries) > _REMEMBERED:
            del self._entries[next(iter(self._entries))]

    def _forget_entry(self, order: ClientOrderId) -> None:
        """It ended without a fill: another attempt is allowed (decision 2)."""
        found = next((key for key, entry in self._entries.items() if entry == order), None)
        if found is not None:
            del self._entries[found]

    def _check_exposure(self, order: NewOrder, now: Nanos) -> None:
        equity = self._engine.state.portfolio.ledger.equity
        stakes = self._stakes()
        whole, own = total(stakes.values()), stakes.get(order.instrument, Decimal(0))
        for rule in self._limits:
            limit = min(rule.max_notional, rule.max_equity_share * equity)
            own_limit = rule.max_position_share * equity
            if whole > limit:
                self._tell(
                    EXPOSURE, now, order.instrument, f"{whole} at stake with {order.client_order_id}, limit {limit}"
                )
            if own > own_limit:
                self._tell(EXPOSURE, now, order.instrument, f"{own} in this instrument alone, limit {own_limit}")

    def _stakes(self) -> dict[InstrumentId, Decimal]:
        """What each instrument can be worth at mark, whichever of its orders are filled."""
        state = self._engine.state
        lots = {key: [position.signed_size, 0, 0] for key, position in state.portfolio.positions.live.items()}
        for order in state.portfolio.orders.live.values():
            if not order.request.reduce_only:
                of_one = lots.setdefault(order.request.instrument, [0, 0, 0])
                of_one[1 if order.request.side is Side.BUY else 2] += order.remaining
        return {
            key: state.instruments[key].rules.value_at(mark, max(abs(held), abs(held + buys), abs(held - sells)))
            for key, (held, buys, sells) in lots.items()
            if (mark := state.instruments[key].last_mark) is not None
        }

    # --- 8: money ---------------------------------------------------------------------------------------------------

    def _check_ledger(self, step: Step) -> None:
        """The balance moves by what the facts of a step say, and by nothing else; and its parts add up."""
        ledger, balance = self._engine.state.portfolio.ledger, self._balance
        for fact in step.facts:
            match fact:
                case FillBooked():
                    balance = plus(balance, minus(fact.realised_pnl, fact.fee))
                case FundingBooked():
                    balance = minus(balance, fact.amount)
                case BalanceCorrected():
                    balance = ledger.balance
                case _:
                    pass
        self._balance = ledger.balance
        if balance != ledger.balance:
            detail = f"balance {ledger.balance}, by what step {step.number} says {balance}"
            self._tell(LEDGER, step.ts, None, detail)
        if self._is_balanced and not ledger.is_balanced:
            parts = f"realised {ledger.realised_pnl}, fees {ledger.fees}, funding {ledger.funding}"
            self._tell(
                LEDGER, step.ts, None, f"balance {ledger.balance}, opened with {ledger.opening_balance}, {parts}"
            )
        self._is_balanced = ledger.is_balanced

    def _tell(self, number: int, now: int, instrument: InstrumentId | None, detail: str) -> None:
        self._told(Breach(number=number, ts=Nanos(now), instrument=instrument, detail=detail))


# --- 5: agreement ---------------------------------------------------------------------------------------------------


def disagreement(engine: Engine, step: Step) -> Breach | None:
    """Whether a step, the newest one of the engine, repairs books that had agreed with the exchange's.

    Apart from the others, because a simulation that loses messages makes the bot repair: it compares the books
    themselves. Money that came or went is nothing that books could have known, and during a recovery repairs are due.
    """
    compared = next((fact for fact in step.facts if isinstance(fact, AccountCompared)), None)
    if compared is None or engine.state.unread is not None:
        return None
    transfers = sum(1 for fact in step.facts if isinstance(fact, BalanceCorrected) and fact.is_transfer)
    if compared.repaired <= transfers:
        return None
    found = [fact for fact in step.facts if isinstance(fact, Discrepancy)]
    detail = "; ".join(f"{one.instrument} {one.subject}: {one.expected}, found {one.found}".lstrip() for one in found)
    return Breach(number=AGREEMENT, ts=step.ts, instrument=None, detail=detail)
