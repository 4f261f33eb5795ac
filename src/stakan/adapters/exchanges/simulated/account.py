"""One owner's money and positions: exact wallet, isolated margin, one net position per instrument."""

from decimal import Decimal

import msgspec

from stakan.adapters.exchanges.simulated.margin import (
    Terms,
    bankruptcy_price,
    liquidation_price,
    margin_tier,
    position_margin,
)
from stakan.core.domain.ids import ClientOrderId, InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import TriggerSource
from stakan.core.domain.units import Side, Ticks
from stakan.core.portfolio.money import ZERO, minus, per_unit, plus, share


class Position(msgspec.Struct):
    """Net position of one instrument, with the exchange's stop for it."""

    lots: int = 0
    """Signed."""
    cost: Decimal = ZERO
    """Value of the open lots at their average entry, not negative."""
    stop_loss: Ticks | None = None
    take_profit: Ticks | None = None
    trigger_source: TriggerSource = TriggerSource.MARK

    @property
    def side(self) -> Side:
        """Direction; meaningless while flat."""
        return Side.BUY if self.lots > 0 else Side.SELL

    @property
    def is_protected(self) -> bool:
        """Whether a stop or take-profit stands."""
        return self.stop_loss is not None or self.take_profit is not None

    def entry(self, rules: Instrument) -> Decimal:
        """Average entry price to 28 digits; 0 while flat."""
        return per_unit(self.cost, rules.size(abs(self.lots)))


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
        self._leverage = leverage
        self._positions: dict[InstrumentId, Position] = {}
        self._margins: dict[InstrumentId, Decimal] = {}
        self._order_margins: dict[InstrumentId, Decimal] = {}

    def position(self, instrument: InstrumentId) -> Position:
        """The position of an instrument, flat where there was none."""
        found = self._positions.get(instrument)
        if found is None:
            found = self._positions[instrument] = Position()
        return found

    def terms(self, rules: Instrument, taker_fee: Decimal) -> Terms:
        """Leverage (1 for spot, never above what the instrument allows) and fee."""
        if not rules.is_linear:
            return Terms(Decimal(1), taker_fee)
        return Terms(min(self._leverage, rules.max_leverage), taker_fee)

    def fill(self, rules: Instrument, side: Side, price: int, lots: int, fee: Decimal, terms: Terms) -> Decimal:
        """Book one execution; returns realised P&L before the fee. What exceeds the position opens the other side."""
        position = self.position(rules.id)
        closing = min(lots, abs(position.lots)) if position.lots * side < 0 else 0
        realised = self._reduce(rules, position, price, closing) if closing else ZERO
        opening = lots - closing
        if opening:
            position.cost = plus(position.cost, rules.notional(price, opening))
        position.lots += side * lots
        self.realised = plus(self.realised, realised)
        self.fees = plus(self.fees, fee)
        self.wallet = plus(self.wallet, minus(realised, fee))
        self._margins[rules.id] = self._margin(rules, position, terms)
        return realised

    def charge_funding(self, amount: Decimal) -> None:
        """Pay funding (negative: receive it)."""
        self.funding = plus(self.funding, amount)
        self.wallet = minus(self.wallet, amount)

    def reserve(self, instrument: InstrumentId, amount: Decimal) -> None:
        """What the resting orders of an instrument bind from now on."""
        self._order_margins[instrument] = amount

    def available(self, without: InstrumentId) -> Decimal:
        """Wallet less all margins, not counting the orders of one instrument (which the caller adds up anew)."""
        bound = sum(self._margins.values(), ZERO)
        reserved = sum((m for i, m in self._order_margins.items() if i != without), ZERO)
        return self.wallet - bound - reserved

    def liquidation_price(self, rules: Instrument, terms: Terms) -> Decimal | None:
        """Mark at which the position of an instrument is taken over; None while flat, for spot and below zero."""
        position = self.position(rules.id)
        if not position.lots or not rules.is_linear:
            return None
        size = rules.size(abs(position.lots))
        tier = margin_tier(rules, position.cost)
        price = liquidation_price(size, position.entry(rules), position.side, terms.leverage, tier)
        return price if price > 0 else None

    def takeover_price(self, rules: Instrument, terms: Terms) -> Ticks:
        """Bankruptcy price, rounded to the tick that loses less."""
        position = self.position(rules.id)
        price = bankruptcy_price(position.entry(rules), position.side, terms.leverage)
        return rules.price_up(price) if position.lots > 0 else rules.price_down(price)

    @staticmethod
    def _reduce(rules: Instrument, position: Position, price: int, closing: int) -> Decimal:
        released = share(position.cost, closing, abs(position.lots))
        gain = minus(rules.notional(price, closing), released)
        position.cost = minus(position.cost, released)
        return gain if position.lots > 0 else gain.copy_negate()

    @staticmethod
    def _margin(rules: Instrument, position: Position, terms: Terms) -> Decimal:
        if not position.lots:
            return ZERO
        return position_margin(position.cost, position.side, terms) if rules.is_linear else position.cost
