"""What asking the rate limiter costs: places that are free, places ahead, refusals, in full windows.

Times are virtual: the limiter has no clock, so a check is what the order path pays for it.
"""

from collections.abc import Callable
from contextlib import suppress

from bench._rows import Options, Row, interleaved, rate
from stakan.adapters.exchanges.bybit.limits import Group, RateLimiter
from stakan.core.domain.errors import RateLimited
from stakan.core.domain.units import MILLISECOND, SECOND

CHECKS = 100_000
_BAR = 100_000.0
_START = 1_000 * SECOND
Work = Callable[[RateLimiter, int], None]


def run(options: Options) -> list[Row]:
    """Rows `limiter.*`."""
    return [
        _row(options, "order", "an order on the trade socket, at the pace that its budget allows", orders),
        _row(options, "http", "an order over REST: its budget and the address's", orders_over_http),
        _row(options, "query", "a query over REST, behind a full window of others, sent or booked ahead", queries),
        _row(options, "refused", "an order that is refused at once, no patience, full window", refusals),
        _row(options, "mixed", "orders and queries of all groups at once, as they come", mixed),
    ]


def orders(limiter: RateLimiter, count: int) -> None:
    """As many as the window lets through, so that it stays full."""
    for number in range(count):
        limiter.acquire(Group.CREATE, _START + number * 125 * MILLISECOND, 0, over_http=False)


def orders_over_http(limiter: RateLimiter, count: int) -> None:
    """The same by the other way."""
    for number in range(count):
        limiter.acquire(Group.CREATE, _START + number * 125 * MILLISECOND, 0, over_http=True)


def queries(limiter: RateLimiter, count: int) -> None:
    """Faster than allowed: places up to a second ahead are booked, and the rest refused."""
    for number in range(count):
        with suppress(RateLimited):
            limiter.acquire(Group.POSITIONS, _START + number * 12 * MILLISECOND, SECOND, over_http=True)


def refusals(limiter: RateLimiter, count: int) -> None:
    """All but the first eight."""
    for _ in range(count):
        with suppress(RateLimited):
            limiter.acquire(Group.CREATE, _START, 0, over_http=False)


def mixed(limiter: RateLimiter, count: int) -> None:
    """Every group in turn, a millisecond apart, with the patience of the adapter."""
    groups = tuple(Group)
    for number in range(count):
        with suppress(RateLimited):
            limiter.acquire(groups[number % len(groups)], _START + number * MILLISECOND, 5 * SECOND, over_http=True)


def _row(options: Options, name: str, what: str, work: Work) -> Row:
    count = options.count(CHECKS)
    (ours,) = interleaved(options.repetitions, lambda: rate(count, lambda: work(RateLimiter(), count)))
    return Row(
        name=f"limiter.{name}",
        what=f"rate limiter asked for {what}",
        unit="checks/s",
        event="one check, granted or refused",
        data="made up",
        ours=ours,
        bar=_BAR,
    )
