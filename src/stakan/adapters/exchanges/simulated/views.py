"""What an owner can read of position and money, worked out at the moment of asking; settlement currency."""

from decimal import Decimal

import msgspec

from stakan.adapters.exchanges.simulated.account import Trailing
from stakan.adapters.exchanges.simulated.desk import Desk
from stakan.adapters.exchanges.simulated.margin import bankruptcy_price, buffer, maintenance_margin, margin_tier
from stakan.adapters.exchanges.simulated.requests import Legs
from stakan.core.domain.ids import InstrumentId
from stakan.core.portfolio.money import ZERO, per_unit


class PositionView(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument's position; flat ones have zeros and their leverage."""

    instrument: InstrumentId
    lots: int
    """Signed."""
    cost: Decimal
    """Value at the average entry."""
    entry: Decimal
    """Average entry price; 0 while flat."""
    leverage: Decimal
    margin: Decimal
    """Initial margin (with closing fee) and extra margin."""
    extra_margin: Decimal
    order_margin: Decimal
    """Money that the instrument's resting orders bind."""
    maintenance: Decimal
    """At mark, with closing fee."""
    mark: Decimal | None
    unrealised: Decimal
    """At mark."""
    realised: Decimal
    """Since it was last opened: P&L less fees and funding."""
    realised_ever: Decimal
    open_fees: Decimal
    """Paid for the lots that are open."""
    liquidation_price: Decimal | None
    """Not rounded; None while flat, for spot and where it lies below zero."""
    bankruptcy_price: Decimal | None
    """Not rounded."""
    legs: Legs
    trailing: Trailing | None
    """A copy."""


class WalletView(msgspec.Struct, frozen=True, kw_only=True):
    """The owner's money."""

    balance: Decimal
    position_margin: Decimal
    order_margin: Decimal
    unrealised: Decimal
    realised: Decimal
    fees: Decimal
    funding: Decimal

    @property
    def equity(self) -> Decimal:
        """Balance and unrealised P&L."""
        return self.balance + self.unrealised

    @property
    def available(self) -> Decimal:
        """Balance less what positions and orders bind; may be negative."""
        return self.balance - self.position_margin - self.order_margin


def unrealised(desk: Desk) -> Decimal:
    """P&L of the open lots at mark; 0 while flat."""
    position, mark = desk.position, desk.reference.mark
    if not position.lots or mark is None:
        return ZERO
    return desk.rules.value_at(mark, position.lots) - position.side * position.cost


def view(desk: Desk) -> PositionView:
    """The position as it is."""
    position, rules, terms = desk.position, desk.rules, desk.terms
    side, size, mark = position.side, rules.size(abs(position.lots)), desk.reference.mark
    maintenance, bankruptcy = ZERO, None
    if position.lots and rules.is_linear:
        value = position.cost if mark is None else rules.value_at(mark, abs(position.lots))
        maintenance = maintenance_margin(position.cost, value, side, terms, margin_tier(rules, position.cost))
        per_base = per_unit(buffer(position.extra_margin, side, terms), size)
        bankruptcy = bankruptcy_price(position.entry(rules), side, terms.leverage, per_base)
    return PositionView(
        instrument=rules.id,
        lots=position.lots,
        cost=position.cost,
        entry=position.entry(rules),
        leverage=terms.leverage,
        margin=desk.account.margin(rules.id),
        extra_margin=position.extra_margin,
        order_margin=desk.account.order_margin(rules.id),
        maintenance=maintenance,
        mark=mark,
        unrealised=unrealised(desk),
        realised=position.realised,
        realised_ever=position.realised_ever,
        open_fees=position.open_fees,
        liquidation_price=desk.account.liquidation_price(rules.id),
        bankruptcy_price=bankruptcy,
        legs=position.legs,
        trailing=msgspec.structs.replace(position.trailing) if position.trailing else None,
    )
