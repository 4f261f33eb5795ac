"""Where our books and what the exchange says of the account differ: a pure comparison; what follows is the engine's."""

from collections.abc import Collection, Iterator
from decimal import Decimal

import msgspec

from stakan.core.domain.events import AccountRead, HeldPosition, OpenOrder
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import Ticks
from stakan.core.portfolio.portfolio import Portfolio

Protection = tuple[Ticks | None, Ticks | None]
"""Stop and take-profit."""


class PositionDiffers(msgspec.Struct, frozen=True, tag=True):
    """Another size, or another side."""

    instrument: InstrumentId
    ours: int
    """Signed lots."""
    theirs: int
    entry: Decimal | None
    """Theirs, where they tell it."""
    protection: Protection
    """Theirs."""

    @property
    def subject(self) -> str:
        """What differs; the same difference has the same subject."""
        return f"position {self.instrument}"


class ProtectionDiffers(msgspec.Struct, frozen=True, tag=True):
    """Another stop or take-profit for the same position."""

    instrument: InstrumentId
    ours: Protection
    theirs: Protection

    @property
    def subject(self) -> str:
        """See `PositionDiffers`."""
        return f"protection {self.instrument}"


class OrderUnknown(msgspec.Struct, frozen=True, tag=True):
    """An order that could open something is open there and not here."""

    order: OpenOrder

    @property
    def instrument(self) -> InstrumentId:
        """Of the order."""
        return self.order.instrument

    @property
    def subject(self) -> str:
        """See `PositionDiffers`."""
        return f"order {self.order.venue_order_id}"


class BalanceDiffers(msgspec.Struct, frozen=True, tag=True):
    """Another wallet balance."""

    ours: Decimal
    theirs: Decimal

    @property
    def instrument(self) -> InstrumentId:
        """Of no instrument."""
        return InstrumentId("")

    @property
    def subject(self) -> str:
        """See `PositionDiffers`."""
        return "balance"


Difference = PositionDiffers | ProtectionDiffers | OrderUnknown | BalanceDiffers


def reconcile(portfolio: Portfolio, reading: AccountRead, moved: Collection[InstrumentId]) -> list[Difference]:
    """All differences, in the order of the portfolio's instruments.

    What is in `moved` changed since the reading was asked for, so it says nothing about it; nor about the balance then.
    Orders that are open here and not there are no difference: whoever sent them looks them up.
    """
    held = {row.instrument: row for row in reading.positions}
    found: list[Difference] = []
    for instrument in portfolio.instruments:
        if instrument not in moved:
            found += _of_position(portfolio, instrument, held.get(instrument))
    found += (
        OrderUnknown(order)
        for order in reading.orders
        if order.instrument not in moved and _is_unknown(portfolio, order)
    )
    ours, theirs = portfolio.ledger.balance, reading.balance
    if not moved and theirs is not None and ours != theirs:
        found.append(BalanceDiffers(ours, theirs))
    return found


def _of_position(portfolio: Portfolio, instrument: InstrumentId, row: HeldPosition | None) -> Iterator[Difference]:
    position = portfolio.position(instrument)
    ours = position.signed_size if position is not None else 0
    theirs = row.lots if row is not None else 0
    if ours != theirs:
        there = (row.stop_loss, row.take_profit) if row is not None else (None, None)
        yield PositionDiffers(instrument, ours, theirs, row.entry if row is not None else None, there)
    elif position is not None and row is not None:
        here, there = (position.stop_loss, position.take_profit), (row.stop_loss, row.take_profit)
        if here != there or there[0] is None:
            yield ProtectionDiffers(instrument, here, there)


def _is_unknown(portfolio: Portfolio, order: OpenOrder) -> bool:
    """What only reduces and was placed by hand is the person's business."""
    if order.client_order_id in portfolio.orders.live:
        return False
    is_ours = portfolio.orders.find(order.client_order_id, order.venue_order_id) is not None
    return is_ours or not order.reduce_only
