"""Identities. All are derived, never random: a replay makes the same ones."""

import base64
import hashlib
from typing import NewType

from stakan.core.domain.errors import DataError

InstrumentId = NewType("InstrumentId", str)
"""venue:category:symbol, e.g. `bybit:linear:BTCUSDT`."""
ClientOrderId = NewType("ClientOrderId", str)
"""Our name for an order; empty for orders that the exchange made itself (attached stops, liquidation)."""
VenueOrderId = NewType("VenueOrderId", str)
ExecutionId = NewType("ExecutionId", str)
IntentId = NewType("IntentId", str)
PositionId = NewType("PositionId", str)

MAX_CLIENT_ORDER_ID = 36
_HASH_BYTES = 16


def instrument_id(venue: str, category: str, symbol: str) -> InstrumentId:
    """Build an id; raises DataError where a part is empty or holds a colon."""
    parts = (venue, category, symbol)
    if not all(parts) or any(":" in part for part in parts):
        raise DataError(f"instrument id needs venue, category and symbol without colons, got {parts}")
    return InstrumentId(":".join(parts))


def split_instrument_id(instrument: InstrumentId) -> tuple[str, str, str]:
    """(venue, category, symbol); raises DataError where the id has another shape."""
    parts = instrument.split(":")
    if len(parts) != 3 or not all(parts):
        raise DataError(f"instrument id should be venue:category:symbol, got {instrument!r}")
    return parts[0], parts[1], parts[2]


def client_order_id(account: str, run_epoch: str, intent: str, leg: int, attempt: int) -> ClientOrderId:
    """The one id that an attempt at one leg of one intent can have (26 characters of `[a-z0-9]` after `s-`).

    The run epoch is made with a new state directory, so a lost journal can never re-use ids.
    """
    key = "\x1f".join((account, run_epoch, intent, str(leg), str(attempt)))
    digest = hashlib.blake2b(key.encode(), digest_size=_HASH_BYTES).digest()
    return ClientOrderId("s-" + base64.b32encode(digest).decode().rstrip("=").lower())


def trade_id_number(text: str) -> int:
    """A venue's trade id as a signed 64-bit number: itself where it is one, else the first 8 bytes of its hash."""
    if text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)
