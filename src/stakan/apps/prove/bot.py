"""A bot without connections for demonstrations: an engine that wants in, its journal, and an exchange's words."""

from decimal import Decimal

import numpy as np

from stakan import __version__
from stakan.adapters.journal.records import Header
from stakan.adapters.journal.writing import FileJournal
from stakan.core.domain.commands import SubmitOrder
from stakan.core.domain.events import AnyEvent, BookSnapshot, OrderAccepted, OrderFilled
from stakan.core.domain.ids import ExecutionId, InstrumentId, VenueOrderId
from stakan.core.domain.instrument import Category, Instrument
from stakan.core.domain.orders import NewOrder
from stakan.core.domain.step import Step
from stakan.core.domain.trading import Signal
from stakan.core.domain.units import SECOND, Lots, Nanos, Side, Ticks
from stakan.core.engine import Engine, EngineConfig
from stakan.core.features.catalogue import FEATURE_SET
from stakan.core.plugins import Strategy, View

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


class TinyBot:
    """Engine and journal; time passes with every event."""

    def __init__(self, journal: FileJournal) -> None:
        config = EngineConfig(strategies=(("wants_in", WantsIn()),), decision_interval_ns=Nanos(0))
        self.engine = Engine(config, [_RULES])
        self._journal = journal
        self.now = _START

    def step(self, event: AnyEvent) -> Step:
        """Write an event, fold it, write what came of it."""
        self._journal.event(self.engine.state.number + 1, event)
        step = self.engine.step(event)
        self._journal.append(step)
        self.now += SECOND
        return step


def an_order(bot: TinyBot) -> NewOrder:
    """Show it a market; it sends its order."""
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


def accepted(order: NewOrder, now: int) -> OrderAccepted:
    """The exchange says that it rests."""
    return OrderAccepted(
        instrument=order.instrument,
        client_order_id=order.client_order_id,
        ts_event=now,
        ts_recv=now,
        venue_order_id=VenueOrderId("v-1"),
    )


def filled(order: NewOrder, now: int) -> OrderFilled:
    """The exchange says that all of it was executed."""
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


def header() -> Header:
    """Of its journal."""
    return Header(
        stakan=__version__,
        account="main",
        run_epoch="demonstration",
        config_hash="",
        config="",
        instruments=(_RULES,),
        feature_set=FEATURE_SET,
    )
