"""An order transition that is not in the table is refused, kept in the journal, and shown.

The engine of a running bot sends an order, which is filled; then the exchange claims things that cannot follow.
"""

import tempfile
from pathlib import Path

from stakan.adapters.journal.reading import read_steps
from stakan.adapters.journal.writing import FileJournal
from stakan.apps.prove.bot import TinyBot, accepted, an_order, filled, header
from stakan.apps.prove.story import Story
from stakan.core.domain.events import (
    AnyOrderEvent,
    OrderCancelled,
    OrderFailed,
    OrderRejected,
)
from stakan.core.domain.facts import OrderTransitioned, OrderUpdateIgnored
from stakan.core.domain.orders import NewOrder, OrderStatus
from stakan.core.domain.units import SECOND
from stakan.core.portfolio.lifecycle import ORDER_TRANSITIONS, Cause, next_order_status


def prove(story: Story) -> None:
    """With the engine, its order book-keeping and a journal on the disk."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        with FileJournal(path, header()) as journal:
            refused = _tell_lies(story, TinyBot(journal))
        _read_again(story, path, refused)
    _whole_table(story)


def _tell_lies(story: Story, bot: TinyBot) -> list[OrderUpdateIgnored]:
    order = an_order(bot)
    story.did("the engine sends an order, its stop with it", f"{order.client_order_id}, {order.size} lots: pending")
    for event in (accepted(order, bot.now), filled(order, bot.now + SECOND)):
        (moved,) = [fact for fact in bot.step(event).facts if isinstance(fact, OrderTransitioned)]
        story.did(f"the exchange says {type(event).__name__}", f"{moved.before} → {moved.after}")
    kept = bot.engine.state.portfolio.orders.finished[order.client_order_id]
    history = list(kept.history)
    refused: list[OrderUpdateIgnored] = []
    for lie in _lies(order, bot.now):
        step = bot.step(lie)
        found = [fact for fact in step.facts if isinstance(fact, OrderUpdateIgnored)]
        refused += found
        is_refused = len(found) == 1 and kept.status is OrderStatus.FILLED and kept.history == history
        story.claim(f"the exchange says {type(lie).__name__}: refused, the order stays", kept.status, is_refused)
    return refused


def _read_again(story: Story, path: Path, refused: list[OrderUpdateIgnored]) -> None:
    kept = [(step.number, fact) for step in read_steps(path) for fact in step.facts]
    found = [(number, fact) for number, fact in kept if isinstance(fact, OrderUpdateIgnored)]
    story.claim(
        "the journal on the disk has each of them", f"{len(found)} refusals", [fact for _, fact in found] == refused
    )
    for number, fact in found:
        story.did(f"step {number}", f"{fact.cause} refused, the order is {fact.status}")


def _whole_table(story: Story) -> None:
    pairs = [(status, cause) for status in OrderStatus for cause in Cause]
    legal = sum(next_order_status(*pair) is not None for pair in pairs)
    found = f"{legal} of {len(pairs)} pairs of status and message are legal"
    story.claim("all that is not in the table is refused", found, legal == len(ORDER_TRANSITIONS))
    ends = [status for status in OrderStatus if status.is_terminal]
    revived = [one for one in ends for cause in Cause if next_order_status(one, cause) is not None]
    story.claim("no message brings a finished order back", f"{', '.join(ends)} lead nowhere", not revived)


def _lies(order: NewOrder, now: int) -> tuple[AnyOrderEvent, ...]:
    """What cannot follow a fill."""
    key, client, why = order.instrument, order.client_order_id, "a late message"
    return (
        OrderCancelled(instrument=key, client_order_id=client, ts_event=now, ts_recv=now, why=why),
        OrderRejected(instrument=key, client_order_id=client, ts_event=now, ts_recv=now + SECOND, why=why),
        OrderFailed(instrument=key, client_order_id=client, ts_event=now, ts_recv=now + 2 * SECOND, why=why),
        accepted(order, now + 3 * SECOND),
    )
