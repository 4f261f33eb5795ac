"""What safeguards cost whoever passes them: a breaker, the cache of results, the table of order transitions."""

from collections.abc import Callable

from bench._rows import Options, Row, interleaved, rate
from stakan.adapters.breaker import Breaker
from stakan.core.domain.events import OrderAccepted
from stakan.core.domain.ids import ClientOrderId, InstrumentId, IntentId
from stakan.core.domain.orders import NewOrder, OrderType, Purpose
from stakan.core.domain.units import MILLISECOND, Lots, Nanos, Side, Ticks
from stakan.core.engine.idempotency import ResultCache
from stakan.core.portfolio.orders import Order, Orders

COUNT = 50_000
KEPT = 100_000
_PACE = 720 * MILLISECOND
"""Between two new requests: ten times an hour pass in one sample, so that results expire."""
_BTC = InstrumentId("bybit:linear:BTCUSDT")


def run(options: Options) -> list[Row]:
    """Rows `safeguards.*`."""
    return [
        _row(options, "breaker", "closed circuit breaker asked whether a call may be made", "one check", breaker, 1.0),
        _row(options, "repeat", f"repeat found among {KEPT:,} results", "one check", repeats, 20.0),
        _row(options, "first", "request that is new: looked for, carried out, its result kept", "one", firsts, 20.0),
        _row(options, "transition", "order accepted: found, moved by the table, noted", "one", transitions, 10.0),
    ]


def breaker(count: int) -> Callable[[], None]:
    """Closed, as it nearly always is."""
    one = Breaker(name="bench")

    def work() -> None:
        for now in range(count):
            one.allow(now)

    return work


def repeats(count: int) -> Callable[[], None]:
    """Each in time."""
    cache = ResultCache()
    for number in range(KEPT):
        cache.keep("flatten", f"request-{number}", number, number=number)

    def work() -> None:
        for number in range(count):
            assert cache.find("flatten", f"request-{number * 7 % KEPT}", KEPT) is not None

    return work


def firsts(count: int) -> Callable[[], None]:
    """With what expires meanwhile cleaned up."""
    cache = ResultCache()

    def work() -> None:
        for number in range(count):
            now = number * _PACE
            if cache.find("flatten", f"request-{number}", now) is None:
                cache.keep("flatten", f"request-{number}", now, number=number)

    return work


def transitions(count: int) -> Callable[[], None]:
    """Of orders that wait for the exchange's word."""
    orders, events = Orders(), []
    for number in range(count):
        request = NewOrder(
            client_order_id=ClientOrderId(f"s-{number}"),
            instrument=_BTC,
            intent=IntentId("bench"),
            purpose=Purpose.ENTRY,
            side=Side.BUY,
            size=Lots(1),
            type=OrderType.LIMIT,
            price=Ticks(1),
        )
        orders.submit(Order(request=request, price=request.price, size=request.size, submitted_ts=Nanos(0)))
        events.append(OrderAccepted(ts_event=1, ts_recv=1, instrument=_BTC, client_order_id=request.client_order_id))

    def work() -> None:
        for event in events:
            orders.apply(event)

    return work


def _row(
    options: Options, name: str, what: str, event: str, make: Callable[[int], Callable[[], None]], most_us: float
) -> Row:
    count = options.count(COUNT)
    (ours,) = interleaved(options.repetitions, lambda: 1e6 / rate(count, make(count)))
    return Row(
        name=f"safeguards.{name}",
        what=what,
        unit="µs",
        event=event,
        data="made up",
        ours=ours,
        bar=most_us,
        lower=True,
    )
