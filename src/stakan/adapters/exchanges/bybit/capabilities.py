"""What an account of Bybit can do for us, each behind a breaker of its own: one may fail while the others work."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from stakan.adapters.breaker import Breaker
from stakan.adapters.exchanges.bybit.limits import ORDER_GROUPS, Group
from stakan.core.domain.units import SECOND

COOL_DOWN = 3 * SECOND
"""Short enough that the first reading after an outage comes within decision 9's five seconds."""


class Capability(StrEnum):
    """What fails together."""

    ORDERS_REST = "orders over REST"
    ORDERS_SOCKET = "orders over the trade socket"
    QUERIES = "queries of the account"
    MARKET = "market data over REST"


Breakers = Mapping[Capability, Breaker]


def new_breakers() -> Breakers:
    """Closed ones, for one account."""
    return MappingProxyType({one: Breaker(name=one.value, cool_down=COOL_DOWN) for one in Capability})


def capability_of(group: Group) -> Capability:
    """What a request over REST belongs to."""
    if group in ORDER_GROUPS:
        return Capability.ORDERS_REST
    return Capability.MARKET if group is Group.MARKET else Capability.QUERIES
