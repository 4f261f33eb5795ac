"""A circuit breaker opens after failures, probes when it has cooled down, and closes.

While it is open, entries are held back; what only reduces a position still leaves.
"""

import asyncio
import time

from stakan.adapters.breaker import Breaker, BreakerState
from stakan.adapters.exchanges.bybit.capabilities import COOL_DOWN, Capability
from stakan.apps.exchange.faults import Trouble
from stakan.apps.prove.exchange import Desk, a_desk
from stakan.apps.prove.story import Story
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import OrderAccepted, OrderFailed
from stakan.core.domain.units import SECOND

_FAULT = Trouble.HTTP_503


def prove(story: Story) -> None:
    """Against a local exchange whose order requests fail on demand, over REST."""
    asyncio.run(_prove(story))


async def _prove(story: Story) -> None:
    async with a_desk(trade_socket=False) as desk:
        breaker = desk.account.venue.breakers[Capability.ORDERS_REST]
        _show(story, breaker, "a local exchange runs, our account is logged in", BreakerState.CLOSED)
        await _fail(story, desk, breaker)
        await _held_back(story, desk, breaker)
        await _recover(story, desk, breaker)


async def _fail(story: Story, desk: Desk, breaker: Breaker) -> None:
    desk.local.chaos.script("order/create", _FAULT, breaker.threshold)
    for number in range(1, breaker.threshold + 1):
        desk.account.venue.send(SubmitOrder(order=desk.entry(f"fails-{number}")))
        await desk.until(lambda wanted=number: breaker.failed >= wanted, "the exchange answers")  # type: ignore[misc]
        state = BreakerState.OPEN if number == breaker.threshold else BreakerState.CLOSED
        _show(story, breaker, f"entry {number} meets HTTP {_FAULT}", state)
    story.did("its cause is kept", breaker.cause)


async def _held_back(story: Story, desk: Desk, breaker: Breaker) -> None:
    desk.account.venue.send(SubmitOrder(order=desk.entry("held")))
    await desk.until(lambda: desk.heard(OrderFailed, "held"), "the entry is refused")
    (why,) = [one.why for one in desk.told if isinstance(one, OrderFailed)]
    story.claim("another entry is held back, with the reason", why, breaker.refused == 1)
    answered = breaker.succeeded
    story.did("what only reduces is sent all the same, while the exchange still fails")
    desk.local.chaos.script("order/create", _FAULT)
    failed = breaker.failed
    desk.account.venue.send(SubmitOrder(order=desk.entry("reduces", reduce_only=True)))
    await desk.until(lambda: breaker.failed > failed, "the exchange answers what reduces")
    story.claim("it has reached the exchange", f"{breaker.cause}", breaker.succeeded == answered)
    _show(story, breaker, "a failure of what must leave changes nothing", BreakerState.OPEN)


async def _recover(story: Story, desk: Desk, breaker: Breaker) -> None:
    await asyncio.sleep(max(0.0, breaker.retry_at - time.time_ns()) / SECOND)
    story.did("it has cooled down", f"{COOL_DOWN / SECOND:g} s")
    desk.account.venue.send(SubmitOrder(order=desk.entry("probe")))
    _show(story, breaker, "the next entry is the probe", BreakerState.HALF_OPEN)
    desk.account.venue.send(SubmitOrder(order=desk.entry("second")))
    await desk.until(lambda: desk.heard(OrderFailed, "second"), "the second entry is refused")
    story.claim("a second one beside it is held back", f"{breaker.refused} held back", breaker.refused == 2)
    await desk.until(lambda: desk.heard(OrderAccepted, "probe"), "the probe is accepted")
    _show(story, breaker, "the exchange accepts the probe", BreakerState.CLOSED)
    desk.account.venue.send(SubmitOrder(order=desk.entry("after")))
    await desk.until(lambda: desk.heard(OrderAccepted, "after"), "the next entry is accepted")
    _show(story, breaker, "entries leave again", BreakerState.CLOSED)


def _show(story: Story, breaker: Breaker, what: str, wanted: BreakerState) -> None:
    found = f"{breaker.state}, {breaker.in_row} failures in a row"
    story.claim(what, found, breaker.state is wanted)
