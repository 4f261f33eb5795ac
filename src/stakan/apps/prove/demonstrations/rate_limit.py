"""The 101st request in a window of 100 waits, or is refused, as its policy says; an order waits for no query.

Requests go to a local exchange, at once, through the limiter of a running bot with a budget of 100 a second.
"""

import asyncio
import time

import aiohttp

from stakan.adapters.exchanges.bybit.client import Faults
from stakan.adapters.exchanges.bybit.errors import Kind
from stakan.adapters.exchanges.bybit.limits import PER_SECOND, Group, RateLimiter
from stakan.adapters.exchanges.bybit.rest import HttpTransport, Line, Reply, ServerClock, get
from stakan.apps.prove.exchange import NeverHappened, an_exchange
from stakan.apps.prove.story import Story
from stakan.core.domain.errors import RateLimited
from stakan.core.domain.units import MILLISECOND, SECOND

MOST = 100
_TIME = get(Kind.QUERY, Group.MARKET, "/v5/market/time", is_signed=False)
_WITHIN_S = 15.0


def prove(story: Story) -> None:
    """First the limiter alone, to the nanosecond; then a hundred and one requests over loopback."""
    _to_the_nanosecond(story)
    asyncio.run(_over_loopback(story))


def _limiter() -> RateLimiter:
    return RateLimiter({**PER_SECOND, Group.MARKET: MOST}, share=1)


def _to_the_nanosecond(story: Story) -> None:
    limiter, now = _limiter(), 1_000 * SECOND
    waits = [limiter.acquire(Group.MARKET, now, 0, over_http=True) for _ in range(MOST)]
    story.claim(f"{MOST} requests of one moment may leave at once", f"{waits.count(0)} wait 0 s", waits == [0] * MOST)
    try:
        limiter.acquire(Group.MARKET, now, 0, over_http=True)
        found, is_refused = "it may leave", False
    except RateLimited as error:
        found, is_refused = str(error), error.retry_after_ns == SECOND
    story.claim("policy without patience: the 101st is refused at once", found, is_refused)
    order = limiter.acquire(Group.CREATE, now, 0, over_http=True)
    story.claim("an order of the same moment leaves at once", f"waits {order / SECOND:g} s", order == 0)
    wait = limiter.acquire(Group.MARKET, now, 5 * SECOND, over_http=True)
    story.claim("policy with patience: the 101st waits for the window", f"waits {wait / SECOND:g} s", wait == SECOND)


async def _over_loopback(story: Story) -> None:
    clock, faults = ServerClock(time.time_ns), Faults()
    async with an_exchange() as (_, where), aiohttp.ClientSession() as session:
        transport = HttpTransport(session, where.rest, None, clock, clock=time.time_ns, failed=faults.add)
        line = Line(transport, _limiter(), clock, clock=time.time_ns, timers=faults.timers)
        story.did("a local exchange runs", where.rest)
        try:
            began = time.time_ns()
            answered = await _ask(line, faults, MOST + 1)
        finally:
            await transport.close()
    fine = sum(reply.code == 0 for reply in answered)
    story.claim(f"{MOST + 1} requests are asked for at once: all are answered", f"{fine} answered", fine == MOST + 1)
    last = answered[-1].received - began
    ahead = sum(reply.received < began + SECOND for reply in answered)
    story.claim(
        "the last is answered after the window, not before",
        f"{ahead} in the first second, the last after {last / MILLISECOND:.0f} ms",
        ahead <= MOST and last >= SECOND,
    )


async def _ask(line: Line, faults: Faults, count: int) -> list[Reply]:
    replies: list[Reply] = []
    for _ in range(count):
        line.ask(_TIME, replies.append)
    try:
        async with asyncio.timeout(_WITHIN_S):
            while len(replies) < count:
                faults.check()
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise NeverHappened(f"{len(replies)} of {count} requests were answered within {_WITHIN_S:g} s") from None
    return replies
