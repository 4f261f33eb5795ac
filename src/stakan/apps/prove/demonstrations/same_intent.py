"""The same intent twice gives one order at the exchange.

An intent has one client order id, however often it is derived; an id that is sent twice is refused by the exchange the
second time, and the refusal is looked up and understood as success.
"""

import asyncio

from stakan.adapters.exchanges.bybit import inquiry
from stakan.apps.prove.exchange import Desk, a_desk
from stakan.apps.prove.story import Story
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import OrderAccepted, OrderFailed, OrderRejected
from stakan.core.domain.ids import client_order_id

_INTENT = ("main", "epoch-1", "intent-42")


def prove(story: Story) -> None:
    """Against a local exchange, over sockets."""
    asyncio.run(_prove(story))


async def _prove(story: Story) -> None:
    first, second = (client_order_id(*_INTENT, leg=0, attempt=1) for _ in range(2))
    story.claim("the same intent, leg and attempt have the same id", first, first == second)
    other = client_order_id(*_INTENT, leg=0, attempt=2)
    story.claim("another attempt has another one", other, other != first)
    async with a_desk() as desk:
        story.did("a local exchange runs, our account is logged in", desk.where.rest)
        desk.account.venue.send(SubmitOrder(order=desk.entry(first)))
        await desk.until(lambda: desk.heard(OrderAccepted, first), "the first request is accepted")
        story.did("the order is sent", "accepted")
        requests = desk.local.gateway.requests
        desk.account.venue.send(SubmitOrder(order=desk.entry(second)))
        # The request itself, and the look-up of what the exchange says about the id.
        await desk.until(lambda: desk.local.gateway.requests > requests + 1, "the second request is looked up")
        story.did("the same order is sent again", "the exchange refuses the id; it is looked up")
        await _look(story, desk, first)


async def _look(story: Story, desk: Desk, client: str) -> None:
    rows = await desk.account.carry_out(inquiry.open_orders())
    ours = [row for row in rows if row.order_link_id == client]
    story.claim("the exchange has one order of ours", f"{len(rows)} open, {len(ours)} under this id", len(rows) == 1)
    accepted = sum(isinstance(one, OrderAccepted) for one in desk.told)
    story.claim("the engine was told of one acceptance", accepted, accepted == 1)
    refused = sum(isinstance(one, OrderRejected | OrderFailed) for one in desk.told)
    story.claim("and of no refusal", refused, refused == 0)
    story.claim("nothing halted", len(desk.halts), not desk.halts)
