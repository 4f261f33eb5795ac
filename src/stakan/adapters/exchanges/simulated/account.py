"""One owner's money and positions: exact wallet, isolated margin, one net position per instrument."""

from decimal import Decimal

import msgspec

from stakan.adapters.exchanges.simulated.margin import (
    Terms,
    bankruptcy_price,
    buffer,
    liquidation_price,
    margin_tier,
    position_margin,
)
from stakan.adapters.exchanges.simulated.requests import Legs
from stakan.core.domain.ids import ClientOrderId, InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import Side, Ticks
from stakan.core.portfolio.money import ZERO, minus, per_unit, plus, share


class Trailing(msgspec.Struct):
    """A stop that follows the best last price at a distance and never moves back."""

    distance: int
    """Ticks."""
    activation: Ticks | None
    """Last price from which it trails; None: from the start."""
    stop: Ticks | None = None
    """Where it stands; None before its activation."""

    def follow(self, side: Side, last: int) -> None:
        """A last price is known: begin, or move along with it; `side` is the position's."""
        if self.stop is None and self.activation is not None and side * last < side * self.activation:
            return
        stop = last - side * self.distance
        if self.stop is None or side * stop > side * self.stop:
            self.stop = Ticks(stop)


class Position(msgspec.Struct):
    """Net position of one instrument, with what the exchange does for it by itself."""

    lots: int = 0
    """Signed."""
    cost: Decimal = ZERO
    """Value of the open lots at their average entry, not negative."""
    open_fees: Decimal = ZERO
    """Paid for the lots that are open."""
    extra_margin: Decimal = ZERO
    """Added by its owner; reductions release their share of it."""
    realised: Decimal = ZERO
    """Since it was last opened: P&L less fees and funding."""
    realised_ever: Decimal = ZERO
    """The same over all positions of the instrument."""
    legs: Legs = Legs()
    trailing: Trailing | None = None

    @property
    def side(self) -> Side:
        """Direction; meaningless while flat."""
        return Side.BUY if self.lots > 0 else Side.SELL

    @property
    def stop_loss(self) -> Ticks | None:
        """Ticks; None where there is none."""
        return self.legs.stop_loss

    @property
    def take_profit(self) -> Ticks | None:
        """Ticks; None where there is none."""
        return self.legs.take_profit

    @property
    def is_protected(self) -> bool:
        """Whether a stop, take-profit or trailing stop stands."""
        return not self.legs.is_empty or self.trailing is not None

    def entry(self, rules: Instrument) -> Decimal:
        """Average entry price to 28 digits; 0 while flat."""
        return per_unit(self.cost, rules.size(abs(self.lots)))


class Booked(msgspec.Struct, frozen=True):
    """What one execution closed."""

    lots: int = 0
    entry_value: Decimal = ZERO
    """Of the closed lots."""
    open_fee: Decimal = ZERO
    """That was paid for them when they were opened."""
    realised: Decimal = ZERO
    """P&L before all fees."""


class Account:
    """Wallet, positions and the money that orders and positions bind.

    The wallet changes by realised P&L, fees and funding and by nothing else. Spot is kept as a position with its whole
    value as margin, so that the same sum holds.
    """

    def __init__(self, balance: Decimal, leverage: Decimal) -> None:
        self.wallet = balance
        self.realised = ZERO
        self.fees = ZERO
        self.funding = ZERO
        self.order_keys: dict[ClientOrderId, int] = {}
        """Every order there ever was: an id is never used again."""
        self.leverages: dict[InstrumentId, Decimal] = {}
        """Where it is not the account's own."""
        self.positions: dict[InstrumentId, Position] = {}
        self._leverage = leverage
        self._margins: dict[InstrumentId, Decimal] = {}
        self._order_margins: dict[InstrumentId, Decimal] = {}
        self._limits: dict[InstrumentId, Decimal | None] = {}

    def position(self, instrument: InstrumentId) -> Position:
        """The position of an instrument, flat where there was none."""
        found = self.positions.get(instrument)
        if found is None:
            found = self.positions[instrument] = Position()
        return found

    def terms(self, rules: Instrument, taker_fee: Decimal) -> Terms:
        """Leverage (1 for spot, never above what the instrument allows) and fee."""
        if not rules.is_linear:
            return Terms(Decimal(1), taker_fee)
        return Terms(min(self.leverages.get(rules.id, self._leverage), rules.max_leverage), taker_fee)

    def fill(self, rules: Instrument, side: Side, price: int, lots: int, fee: Decimal, terms: Terms) -> Booked:
        """Book one execution. What exceeds the position opens the other side."""
        position = self.position(rules.id)
        closing = min(lots, abs(position.lots)) if position.lots * side < 0 else 0
        closing_fee = share(fee, closing, lots)
        booked = _reduce(rules, position, price, closing) if closing else Booked()
        position.realised = plus(position.realised, minus(booked.realised, closing_fee))
        if lots > closing:
            _open(position, rules.notional(price, lots - closing), minus(fee, closing_fee), is_new=not position.lots)
            position.lots += side * (lots - closing)
        net = minus(booked.realised, fee)
        position.realised_ever = plus(position.realised_ever, net)
        self.realised = plus(self.realised, booked.realised)
        self.fees = plus(self.fees, fee)
        self.wallet = plus(self.wallet, net)
        self.bind(rules, terms)
        return booked

    def charge_funding(self, instrument: InstrumentId, amount: Decimal) -> None:
        """Pay funding (negative: receive it)."""
        position = self.position(instrument)
        position.realised = minus(position.realised, amount)
        position.realised_ever = minus(position.realised_ever, amount)
        self.funding = plus(self.funding, amount)
        self.wallet = minus(self.wallet, amount)

    def bind(self, rules: Instrument, terms: Terms) -> None:
        """Work out margin and liquidation price of a position anew: after a fill, or when its terms or rules change."""
        position = self.position(rules.id)
        margin = ZERO
        if position.lots:
            margin = position_margin(position.cost, position.side, terms) if rules.is_linear else position.cost
        self._margins[rules.id] = margin + position.extra_margin
        self._limits[rules.id] = self._limit(rules, terms)

    def reserve(self, instrument: InstrumentId, amount: Decimal) -> None:
        """What the resting orders of an instrument bind from now on."""
        self._order_margins[instrument] = amount

    def margin(self, instrument: InstrumentId) -> Decimal:
        """Money that a position binds, extra margin included."""
        return self._margins.get(instrument, ZERO)

    def order_margin(self, instrument: InstrumentId) -> Decimal:
        """Money that the resting orders of an instrument bind."""
        return self._order_margins.get(instrument, ZERO)

    @property
    def bound(self) -> tuple[Decimal, Decimal]:
        """Money that all positions and all resting orders bind."""
        return sum(self._margins.values(), ZERO), sum(self._order_margins.values(), ZERO)

    def available(self, without: InstrumentId) -> Decimal:
        """Wallet less all margins, not counting the orders of one instrument (which the caller adds up anew)."""
        bound = sum(self._margins.values(), ZERO)
        reserved = sum((m for i, m in self._order_margins.items() if i != without), ZERO)
        return self.wallet - bound - reserved

    def liquidation_price(self, instrument: InstrumentId) -> Decimal | None:
        """Mark at which the position of an instrument is taken over; None while flat, for spot and below zero."""
        return self._limits.get(instrument)

    def takeover_price(self, rules: Instrument, terms: Terms) -> Ticks:
        """Bankruptcy price, rounded to the tick that loses less; one tick where the margin outlasts a price of 0."""
        position = self.position(rules.id)
        per_base = per_unit(buffer(position.extra_margin, position.side, terms), rules.size(abs(position.lots)))
        price = bankruptcy_price(position.entry(rules), position.side, terms.leverage, per_base)
        return max(Ticks(1), rules.price_up(price) if position.lots > 0 else rules.price_down(price))

    def _limit(self, rules: Instrument, terms: Terms) -> Decimal | None:
        position = self.position(rules.id)
        if not position.lots or not rules.is_linear:
            return None
        side, size = position.side, rules.size(abs(position.lots))
        tier = margin_tier(rules, position.cost)
        extra = buffer(position.extra_margin, side, terms)
        price = liquidation_price(size, position.entry(rules), side, terms.leverage, tier, extra)
        return price if price > 0 else None


def _open(position: Position, value: Decimal, fee: Decimal, *, is_new: bool) -> None:
    """Lots are added; the count of them is the caller's."""
    position.cost = plus(position.cost, value)
    position.open_fees = plus(position.open_fees, fee)
    position.realised = minus(ZERO if is_new else position.realised, fee)


def _reduce(rules: Instrument, position: Position, price: int, closing: int) -> Booked:
    """Lots are closed: cost, opening fees and extra margin leave with their shares."""
    whole, side = abs(position.lots), position.side
    released = share(position.cost, closing, whole)
    open_fee = share(position.open_fees, closing, whole)
    gain = minus(rules.notional(price, closing), released)
    position.cost = minus(position.cost, released)
    position.open_fees = minus(position.open_fees, open_fee)
    position.extra_margin = minus(position.extra_margin, share(position.extra_margin, closing, whole))
    position.lots -= side * closing
    return Booked(closing, released, open_fee, gain if side is Side.BUY else gain.copy_negate())
