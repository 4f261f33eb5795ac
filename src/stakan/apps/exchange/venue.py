"""The matching core behind one account: made when the account first trades, driven without delays."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from stakan.adapters.exchanges.simulated.exchange import SimulatedExchange, SimulationConfig
from stakan.adapters.exchanges.simulated.models import ConstantLatency, FeeRates, QueueModel, instrument_fees
from stakan.adapters.exchanges.simulated.orders import Execution, LiveOrder
from stakan.adapters.exchanges.simulated.requests import Legs, Request
from stakan.adapters.exchanges.simulated.views import PositionView, WalletView
from stakan.apps.exchange.refusal import Refused
from stakan.core.domain.batch import BatchBuilder, MarketBatch
from stakan.core.domain.events import OrderFilled, TradePrint, VenueEvent
from stakan.core.domain.ids import ClientOrderId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import Nanos, Side
from stakan.core.portfolio.money import ZERO

_NO_DELAY = ConstantLatency(Nanos(0))


class Quote(msgspec.Struct, frozen=True):
    """Published prices of one instrument; None before the first."""

    mark: Decimal | None = None
    index: Decimal | None = None
    last: Decimal | None = None


class Published(Protocol):
    """What accounts ask of the public market."""

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """Linear instruments by symbol."""
        ...

    def quote(self, symbol: str) -> Quote:
        """Prices as last published."""
        ...

    def level(self, symbol: str, side: Side, rank: int) -> int | None:
        """Price in ticks of the n-th best level of a side, from 1; None where there is none."""
        ...

    def present(self, symbol: str) -> MarketBatch | None:
        """Book snapshot, last print and ticker as rows of the present: what a new account must know first."""
        ...

    def info(self, symbol: str) -> Mapping[str, Any]:
        """The row of `instruments-info`."""
        ...


class Venue:
    """Requests in, events out, at one instant; and what the core says of positions and money."""

    def __init__(
        self, market: Published, balance: Decimal, leverage: Decimal, fees: FeeRates | None, queue: QueueModel
    ) -> None:
        self.first_balance = balance
        self._market = market
        self._leverage = leverage
        self._fees = fees
        self._config = SimulationConfig(
            starting_balance=balance,
            leverage=leverage,
            queue=queue,
            entry_latency=_NO_DELAY,
            response_latency=_NO_DELAY,
            fees=fees,
        )
        self._exchange: SimulatedExchange | None = None

    def feed(self, batch: MarketBatch) -> None:
        """Rows to come; an account that does not trade yet needs none."""
        if self._exchange is not None:
            self._exchange.feed_batch(batch)

    def advance(self, now: int) -> list[VenueEvent]:
        """Live on to `now` or to the first instant that tells something; empty where `now` is reached."""
        return [] if self._exchange is None else self._exchange.advance(now)

    def carry_out(self, request: Request, now: int) -> list[VenueEvent]:
        """What a request that arrives at `now` leads to at once; `refused` says why it led to nothing."""
        return self._start(now).apply(request, now)

    @property
    def refused(self) -> Refused | None:
        """Why the last request was refused; None where it was not."""
        why = None if self._exchange is None else self._exchange.refused
        return None if why is None else Refused(why.code, why.text)

    def execution(self, fill: OrderFilled) -> Execution:
        """What a fill that was just told does not say."""
        assert self._exchange is not None, "fills without a core"
        return self._exchange.executions[fill.execution_id]

    # --- what is ----------------------------------------------------------------------------------------------------

    def order(self, rules: Instrument, key: str) -> LiveOrder | None:
        """A live order as the core has it."""
        return None if self._exchange is None else self._exchange.order(rules.id, ClientOrderId(key))

    def position(self, rules: Instrument) -> PositionView:
        """A position with its margin and prices."""
        if self._exchange is not None:
            return self._exchange.position(rules.id)
        return PositionView(
            instrument=rules.id,
            lots=0,
            cost=ZERO,
            entry=ZERO,
            leverage=min(self._leverage, rules.max_leverage),
            margin=ZERO,
            extra_margin=ZERO,
            order_margin=ZERO,
            maintenance=ZERO,
            mark=None,
            unrealised=ZERO,
            realised=ZERO,
            realised_ever=ZERO,
            open_fees=ZERO,
            liquidation_price=None,
            bankruptcy_price=None,
            legs=Legs(),
            trailing=None,
        )

    def wallet(self) -> WalletView:
        """All money."""
        if self._exchange is not None:
            return self._exchange.wallet()
        return WalletView(
            balance=self.first_balance,
            position_margin=ZERO,
            order_margin=ZERO,
            unrealised=ZERO,
            realised=ZERO,
            fees=ZERO,
            funding=ZERO,
        )

    def fees(self, rules: Instrument) -> FeeRates:
        """What the account pays."""
        return self._fees or instrument_fees(rules)

    # --- inside -----------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes | None:
        """The core's state; None where there is no core."""
        return None if self._exchange is None else self._exchange.snapshot()

    def restore(self, data: bytes) -> None:
        """Be what `snapshot` kept, in the market of the present; raises DataError for something else."""
        self._exchange = self._made()
        self._exchange.restore(data)
        self._tell_present(self._exchange, has_orders=True)

    def _start(self, now: int) -> SimulatedExchange:
        """The core, made and told of the present on first use."""
        if self._exchange is None:
            self._exchange = self._made()
            self._tell_present(self._exchange)
            self._exchange.advance(now)
        return self._exchange

    def _made(self) -> SimulatedExchange:
        return SimulatedExchange({one.id: one for one in self._market.instruments.values()}, self._config)

    def _tell_present(self, exchange: SimulatedExchange, *, has_orders: bool = False) -> None:
        """Feed the state of the market; the last print, which happened before, must not meet orders that rest."""
        for symbol in self._market.instruments:
            present = self._market.present(symbol)
            if present is not None:
                exchange.feed_batch(_without_prints(present) if has_orders else present)


def _without_prints(batch: MarketBatch) -> MarketBatch:
    builder = BatchBuilder(batch.instrument)
    for number, event in enumerate(batch.events()):
        if not isinstance(event, TradePrint):
            builder.add(event, number)
    return builder.build()
