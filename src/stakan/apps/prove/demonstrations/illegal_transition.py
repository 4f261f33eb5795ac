"""An order transition that is not in the table is refused, kept in the journal, and shown.

The engine of a running bot sends an order, which is filled; then the exchange claims things that cannot follow.
"""

import tempfile
from decimal import Decimal
from pathlib import Path

import numpy as np

from stakan import __version__
from stakan.adapters.journal.reading import read_steps
from stakan.adapters.journal.records import Header
from stakan.adapters.journal.writing import FileJournal
from stakan.apps.prove.story import Story
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import (
    AnyEvent,
    AnyOrderEvent,
    BookSnapshot,
    OrderAccepted,
    OrderCancelled,
    OrderFailed,
    OrderFilled,
    OrderRejected,
)
from stakan.core.domain.facts import OrderTransitioned, OrderUpdateIgnored
from stakan.core.domain.ids import ExecutionId, InstrumentId, VenueOrderId
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.orders import NewOrder, OrderStatus
from stakan.core.domain.step import Step
from stakan.core.domain.trading import Signal
from stakan.core.domain.units import SECOND, Lots, Nanos, Side, Ticks
from stakan.core.engine import Engine, EngineConfig
from stakan.core.features.catalogue import FEATURE_SET
from stakan.core.plugins import Strategy, View
from stakan.core.portfolio.lifecycle import ORDER_TRANSITIONS, Cause, next_order_status

_MID = 640_000
_LEVELS = 20
_START = 1_700_000_000 * SECOND


class WantsIn(Strategy, frozen=True, kw_only=True):
    """Buys at the ask, whatever the market does."""

    def decide(self, view: View, state: object) -> Signal:  # noqa: ARG002 - the contract
        """Always the same opinion."""
        ask = view.market.book.best_ask
        return Signal(
            instrument=view.instrument.id,
            side=Side.BUY,
            strength=1.0,
            ts_event=view.now,
            entry=ask,
            stop_loss=Ticks(int(ask * 0.99)),
            reasons=("a demonstration needs an order",),
        )


_RULES = Instrument(
    id=InstrumentId("bybit:linear:BTCUSDT"),
    category=Category.LINEAR,
    base="BTC",
    quote="USDT",
    settle="USDT",
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
)


class _Bot:
    """Engine and journal; time passes with every event."""

    def __init__(self, journal: FileJournal) -> None:
        config = EngineConfig(strategies=(("wants_in", WantsIn()),), decision_interval_ns=Nanos(0))
        self.engine = Engine(config, [_RULES])
        self._journal = journal
        self.now = _START

    def step(self, event: AnyEvent) -> Step:
        self._journal.event(self.engine.state.number + 1, event)
        step = self.engine.step(event)
        self._journal.append(step)
        self.now += SECOND
        return step


def prove(story: Story) -> None:
    """With the engine, its order book-keeping and a journal on the disk."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        with FileJournal(path, _header()) as journal:
            refused = _tell_lies(story, _Bot(journal))
        _read_again(story, path, refused)
    _whole_table(story)


def _tell_lies(story: Story, bot: _Bot) -> list[OrderUpdateIgnored]:
    order = _order(bot)
    story.did("the engine sends an order, its stop with it", f"{order.client_order_id}, {order.size} lots: pending")
    for event in (_accepted(order, bot.now), _fill(order, bot.now + SECOND)):
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


def _order(bot: _Bot) -> NewOrder:
    asks = [(_MID + 1 + rank, 1_000) for rank in range(_LEVELS)]
    bids = [(_MID - 1 - rank, 1_000) for rank in range(_LEVELS)]
    book = BookSnapshot(
        instrument=_RULES.id,
        ts_event=bot.now,
        ts_recv=bot.now,
        sequence=1,
        previous_sequence=0,
        levels=np.array([*bids, *asks], np.int64),
        bid_count=len(bids),
    )
    (order,) = [one.order for one in bot.step(book).commands if isinstance(one, SubmitOrder)]
    return order


def _lies(order: NewOrder, now: int) -> tuple[AnyOrderEvent, ...]:
    """What cannot follow a fill."""
    key, client, why = order.instrument, order.client_order_id, "a late message"
    return (
        OrderCancelled(instrument=key, client_order_id=client, ts_event=now, ts_recv=now, why=why),
        OrderRejected(instrument=key, client_order_id=client, ts_event=now, ts_recv=now + SECOND, why=why),
        OrderFailed(instrument=key, client_order_id=client, ts_event=now, ts_recv=now + 2 * SECOND, why=why),
        _accepted(order, now + 3 * SECOND),
    )


def _accepted(order: NewOrder, now: int) -> OrderAccepted:
    return OrderAccepted(
        instrument=order.instrument,
        client_order_id=order.client_order_id,
        ts_event=now,
        ts_recv=now,
        venue_order_id=VenueOrderId("v-1"),
    )


def _fill(order: NewOrder, now: int) -> OrderFilled:
    return OrderFilled(
        instrument=order.instrument,
        client_order_id=order.client_order_id,
        ts_event=now,
        ts_recv=now,
        execution_id=ExecutionId("x-1"),
        side=order.side,
        price=order.price or Ticks(_MID),
        size=Lots(order.size),
        fee=Decimal("0.01"),
        is_maker=False,
    )


def _header() -> Header:
    return Header(
        stakan=__version__,
        account="main",
        run_epoch="demonstration",
        config_hash="",
        config="",
        instruments=(_RULES,),
        feature_set=FEATURE_SET,
    )
