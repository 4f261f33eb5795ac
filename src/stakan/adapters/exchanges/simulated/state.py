"""Everything that one owner is at the simulated exchange, as bytes."""

from decimal import Decimal

import msgspec

from stakan.adapters.exchanges.simulated.account import Position
from stakan.adapters.exchanges.simulated.listing import Listing
from stakan.adapters.exchanges.simulated.orders import LiveOrder
from stakan.adapters.exchanges.simulated.reference import Known
from stakan.core.domain.commands import VenueCommand
from stakan.core.domain.errors import DataError
from stakan.core.domain.ids import ClientOrderId, InstrumentId

VERSION = 1


class ListingState(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner has in one instrument, and the prices that were known."""

    tick_size: Decimal
    lot_size: Decimal
    position: Position
    orders: list[LiveOrder]
    """In order of entry."""
    known: Known
    last: int
    last_mid: int
    funding_ts: int


class OwnerState(msgspec.Struct, frozen=True, kw_only=True):
    """One owner."""

    version: int = VERSION
    now: int
    told: int
    heard: int
    keys: int
    executions: int
    wallet: Decimal
    realised: Decimal
    fees: Decimal
    funding: Decimal
    order_keys: dict[ClientOrderId, int]
    leverages: dict[InstrumentId, Decimal]
    inbound: list[tuple[int, VenueCommand]]
    recent: list[int]
    listings: dict[InstrumentId, ListingState]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(OwnerState)


def encode(state: OwnerState) -> bytes:
    """As bytes; exact."""
    return _ENCODER.encode(state)


def decode(data: bytes) -> OwnerState:
    """What `encode` wrote; raises DataError for anything else."""
    try:
        state = _DECODER.decode(data)
    except msgspec.MsgspecError as error:
        raise DataError(f"this is no state of a simulated exchange: {error}") from error
    if state.version != VERSION:
        raise DataError(f"state of version {state.version}, this release reads {VERSION}")
    return state


def state_of(listing: Listing) -> ListingState:
    """What a listing holds of its owner."""
    desk, rules, matching = listing.desk, listing.rules, listing.matching
    return ListingState(
        tick_size=rules.tick_size,
        lot_size=rules.lot_size,
        position=desk.position,
        orders=list(desk.orders.values()),
        known=listing.reference.known,
        last=matching.last,
        last_mid=matching.best_bid + matching.best_ask if matching.is_live else matching.last_mid,
        funding_ts=listing.funding_ts,
    )


def is_alive(state: ListingState) -> bool:
    """Whether orders or a position are there."""
    return bool(state.orders or state.position.lots)


def restore_listing(listing: Listing, state: ListingState, now: int) -> None:
    """Put orders and position into a listing that has none.

    Raises DataError where prices or sizes of what lived there would change their meaning.
    """
    rules, desk = listing.rules, listing.desk
    if (state.tick_size, state.lot_size) != (rules.tick_size, rules.lot_size):
        if is_alive(state):
            raise DataError(f"{rules.id}: tick or lot size changed under orders or a position that were kept")
        return
    listing.matching.recall(state.last, state.last_mid)
    listing.reference.known = state.known
    for name in state.position.__struct_fields__:
        setattr(desk.position, name, getattr(state.position, name))
    desk.restore(state.orders)
    listing.funding_ts = state.funding_ts
    listing.refresh(now)
