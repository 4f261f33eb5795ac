"""One position: size, exact cost, realised P&L, protection as the exchange confirms it, and its story."""

from decimal import Decimal

import msgspec

from stakan.core.domain.facts import PositionClosed
from stakan.core.domain.ids import InstrumentId, IntentId, PositionId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import PositionStatus
from stakan.core.domain.units import Lots, Nanos, Side, Ticks
from stakan.core.portfolio.money import ZERO, minus, per_unit, plus, share


class Owner(msgspec.Struct, frozen=True):
    """Whose position it is; empty for one that nobody asked for (an orphan)."""

    intent: IntentId = IntentId("")
    strategy: str = ""
    reasons: tuple[str, ...] = ()


class PositionChange(msgspec.Struct, frozen=True):
    """One line of a position's history."""

    status: PositionStatus
    ts: Nanos
    """`ts_recv`."""
    cause: str


class Position(msgspec.Struct, kw_only=True):
    """The net position of one instrument. Amounts are in settlement currency, gross of fees unless said.

    `cost` is what the open lots cost at their average entry. Additions add to it; a reduction releases its share and
    leaves the average where it was. Release and remainder always add up, and closing releases all, so the realised
    P&L of a closed position is exactly exit value less entry value (mirrored for a short), whatever the fills were.
    While it is open each reduction's share is rounded to `money.QUANTUM`.
    """

    id: PositionId
    instrument: InstrumentId
    owner: Owner
    side: Side
    status: PositionStatus = PositionStatus.OPENING
    size: Lots = Lots(0)
    max_size: Lots = Lots(0)
    cost: Decimal = ZERO
    entered: Lots = Lots(0)
    """Lots of all fills that opened."""
    entry_value: Decimal = ZERO
    exited: Lots = Lots(0)
    exit_value: Decimal = ZERO
    realised_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    """Paid; negative when more was received."""
    mark: Decimal | None = None
    """The last price it was valued at, at first its own fill's; None while it is empty."""
    stop_loss: Ticks | None = None
    take_profit: Ticks | None = None
    protection_ts_event: Nanos = Nanos(-1)
    created_ts: Nanos
    opened_ts: Nanos = Nanos(0)
    """First fill; 0 before it."""
    closed_ts: Nanos | None = None
    history: list[PositionChange] = msgspec.field(default_factory=list)

    @property
    def signed_size(self) -> int:
        """Lots, negative for a short."""
        return self.side * self.size

    @property
    def is_orphan(self) -> bool:
        """Whether nobody asked for it."""
        return not self.owner.intent

    def entry_price(self, rules: Instrument) -> Decimal:
        """Average entry of the open lots, quote currency; 0 while it is empty."""
        return per_unit(self.cost, rules.size(self.size))

    def unrealised_pnl(self, rules: Instrument) -> Decimal:
        """What the open lots would yield at the last mark, before fees; 0 before the first mark."""
        if self.mark is None or not self.size:
            return ZERO
        gain = minus(rules.value_at(self.mark, self.size), self.cost)
        return gain if self.side is Side.BUY else gain.copy_negate()

    def add(self, lots: Lots, value: Decimal, fee: Decimal) -> None:
        """Enlarge by `lots` that cost `value`."""
        self.size = Lots(self.size + lots)
        self.max_size = max(self.max_size, self.size)
        self.entered = Lots(self.entered + lots)
        self.entry_value = plus(self.entry_value, value)
        self.cost = plus(self.cost, value)
        self.fees = plus(self.fees, fee)

    def reduce(self, lots: Lots, value: Decimal, fee: Decimal) -> Decimal:
        """Close `lots`, at most the size, for `value`; returns the realised P&L (9.6: closed size x (exit - entry))."""
        released = share(self.cost, lots, self.size)
        gain = minus(value, released)
        realised = gain if self.side is Side.BUY else gain.copy_negate()
        self.cost = minus(self.cost, released)
        self.size = Lots(self.size - lots)
        self.exited = Lots(self.exited + lots)
        self.exit_value = plus(self.exit_value, value)
        self.realised_pnl = plus(self.realised_pnl, realised)
        self.fees = plus(self.fees, fee)
        return realised

    def story(self, rules: Instrument, exit_reason: str, now: Nanos) -> PositionClosed:
        """The whole of it, for the trade table."""
        return PositionClosed(
            position=self.id,
            instrument=self.instrument,
            intent=self.owner.intent,
            strategy=self.owner.strategy,
            side=self.side,
            size=self.max_size,
            entry_price=per_unit(self.entry_value, rules.size(self.entered)),
            exit_price=per_unit(self.exit_value, rules.size(self.exited)),
            opened_ts=self.opened_ts,
            closed_ts=now,
            gross_pnl=self.realised_pnl,
            fees=self.fees,
            funding=self.funding,
            entry_reasons=self.owner.reasons,
            exit_reason=exit_reason,
        )
