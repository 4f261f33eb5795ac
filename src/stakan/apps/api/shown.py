"""What API and streams say, in units of people: prices and sizes exact decimals, times milliseconds since 1970."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from stakan.apps.api.link import Link
from stakan.apps.projection import (
    BookView,
    CandleView,
    DecisionView,
    EquityPoint,
    FeaturesView,
    FillView,
    OrderView,
    PositionView,
    TradeView,
)
from stakan.core.domain.ids import InstrumentId, split_instrument_id
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.units import MILLISECOND, Side
from stakan.core.features.catalogue import FEATURE_NAMES


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """Root of all answers."""


class Pair(Shown, frozen=True, kw_only=True):
    """One instrument that the bot looks at."""

    id: str
    symbol: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    price_digits: int
    size_digits: int
    maker_fee: Decimal
    taker_fee: Decimal


class Level(Shown, frozen=True, kw_only=True, array_like=True):
    """Price and size."""

    price: Decimal
    size: Decimal


class Book(Shown, frozen=True, kw_only=True):
    """The book of one instrument; empty where it cannot be trusted."""

    instrument: str
    ts: float
    is_usable: bool
    bids: list[Level]
    asks: list[Level]


class Metrics(Shown, frozen=True, kw_only=True):
    """What a book looks like, and how well it is known."""

    instrument: str
    symbol: str
    ts: float
    is_usable: bool
    mid: Decimal | None
    spread_bps: float | None
    imbalance: float | None
    """(bids - asks) / (bids + asks) over the levels that are shown."""
    bid_size: Decimal
    ask_size: Decimal
    mark: Decimal | None
    funding_rate: Decimal | None
    health: float
    health_reasons: tuple[str, ...]
    latency_ms: float
    gaps: int
    resyncs: int
    messages: int
    densities: int


class Density(Shown, frozen=True, kw_only=True):
    """A large resting order that is followed."""

    side: str
    price: Decimal
    size: Decimal
    since: float


class Features(Shown, frozen=True, kw_only=True):
    """A whole feature vector of one instrument."""

    instrument: str
    ts: float
    """Exchange time."""
    computed: float
    version: str
    features: dict[str, float]
    """In the order of the feature set."""
    not_warm: list[str]
    """Those that rest on too little history."""


class Candle(Shown, frozen=True, kw_only=True):
    """One bar."""

    ts: float
    """Of its start."""
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    is_closed: bool


class Order(Shown, frozen=True, kw_only=True):
    """An order that lives, or that ended a moment ago."""

    id: str
    instrument: str
    symbol: str
    strategy: str
    purpose: str
    side: str
    type: str
    price: Decimal | None
    size: Decimal
    filled: Decimal
    status: str
    ts: float
    cause: str


class Position(Shown, frozen=True, kw_only=True):
    """A position that is not closed."""

    id: str
    instrument: str
    symbol: str
    strategy: str
    status: str
    side: str
    size: Decimal
    entry_price: Decimal
    mark: Decimal | None
    unrealised_pnl: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None
    opened: float
    reasons: tuple[str, ...]


class Fill(Shown, frozen=True, kw_only=True):
    """One execution of ours."""

    ts: float
    instrument: str
    symbol: str
    order: str
    strategy: str
    side: str
    price: Decimal
    size: Decimal
    fee: Decimal
    realised_pnl: Decimal
    is_maker: bool
    origin: str


class Trade(Shown, frozen=True, kw_only=True):
    """A closed position."""

    id: str
    instrument: str
    symbol: str
    strategy: str
    side: str
    size: Decimal
    entry_price: Decimal
    exit_price: Decimal
    opened: float
    closed: float
    gross_pnl: Decimal
    fees: Decimal
    funding: Decimal
    net_pnl: Decimal
    entry_reasons: tuple[str, ...]
    exit_reason: str


class Equity(Shown, frozen=True, kw_only=True):
    """Equity at one moment."""

    ts: float
    equity: Decimal
    unrealised_pnl: Decimal
    exposure: Decimal


class Decision(Shown, frozen=True, kw_only=True):
    """One line of the decision feed."""

    number: int
    ts: float
    kind: str
    instrument: str | None
    symbol: str
    strategy: str
    side: str
    reason: str
    detail: str


class Stage(Shown, frozen=True, kw_only=True):
    """Milliseconds of one stage of an order's way."""

    stage: str
    count: int
    p50_ms: float
    p99_ms: float
    worst_ms: float


class Status(Shown, frozen=True, kw_only=True):
    """How the bot is, and how far this can be trusted."""

    status: str
    """running, paused, reducing, halted; unknown where the bot is not reached."""
    link: str
    """live; late: connected, but the picture is old; down: no connection."""
    link_problem: str
    update_age_ms: float | None
    mode: str
    market: str
    is_synthetic: bool
    account: str
    version: str
    started: float | None
    ts: float | None
    trading: str
    halted_for: str
    paused: bool
    is_connected: bool
    """Of the bot to its exchange."""
    problems: tuple[str, ...]
    balance: Decimal
    equity: Decimal
    exposure: Decimal
    positions: int
    orders: int
    steps: int
    events_per_second: float
    lag_ms: float
    latencies: list[Stage]


class BotConfig(Shown, frozen=True, kw_only=True):
    """What the bot was started with."""

    version: str
    mode: str
    market: str
    is_synthetic: bool
    account: str
    started: float
    strategies: tuple[str, ...]
    pairs: list[Pair]
    candle_interval_ms: int
    run_folder: str


class ExecutionStats(Shown, frozen=True, kw_only=True):
    """What the fills and stages that are kept amount to."""

    fills: int
    maker_share: float | None
    fees: Decimal
    realised_pnl: Decimal
    trades: int
    won: int
    latencies: list[Stage]


class RiskStatus(Shown, frozen=True, kw_only=True):
    """What limits trading now."""

    trading: str
    halted_for: str
    paused: bool
    equity: Decimal
    exposure: Decimal
    positions: int
    unprotected: int
    """Open positions without a stop."""


class Balance(Shown, frozen=True, kw_only=True):
    """The account's money, settlement currency."""

    balance: Decimal
    equity: Decimal
    exposure: Decimal


def milliseconds(ts: int) -> float:
    """Nanoseconds as milliseconds to the microsecond: what JavaScript's numbers hold."""
    return ts // 1000 / 1000


def symbol_of(instrument: str) -> str:
    """The last part of an id, for people."""
    return split_instrument_id(InstrumentId(instrument))[2]


def pair(instrument: Instrument) -> Pair:
    """One instrument."""
    return Pair(
        id=instrument.id,
        symbol=symbol_of(instrument.id),
        base=instrument.base,
        quote=instrument.quote,
        tick_size=instrument.tick_size,
        lot_size=instrument.lot_size,
        price_digits=_digits(instrument.tick_size),
        size_digits=_digits(instrument.lot_size),
        maker_fee=instrument.maker_fee,
        taker_fee=instrument.taker_fee,
    )


def _digits(unit: Decimal) -> int:
    exponent = unit.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _levels(data: bytes) -> Any:
    return np.frombuffer(data, "<i8").reshape(-1, 2)


def book(view: BookView, instrument: Instrument, depth: int) -> Book:
    """The best `depth` levels of both sides."""

    def shown(data: bytes) -> list[Level]:
        rows = _levels(data)[:depth].tolist()
        return [Level(price=instrument.price(price), size=instrument.size(size)) for price, size in rows]

    return Book(
        instrument=view.instrument,
        ts=milliseconds(view.ts),
        is_usable=view.is_usable,
        bids=shown(view.bids),
        asks=shown(view.asks),
    )


def metrics(view: BookView, instrument: Instrument) -> Metrics:
    """Spread, sizes and health of one book."""
    bids, asks = _levels(view.bids), _levels(view.asks)
    bid_lots, ask_lots = int(bids[:, 1].sum()), int(asks[:, 1].sum())
    has_both = len(bids) > 0 and len(asks) > 0
    doubled = int(bids[0, 0] + asks[0, 0]) if has_both else 0
    return Metrics(
        instrument=view.instrument,
        symbol=symbol_of(view.instrument),
        ts=milliseconds(view.ts),
        is_usable=view.is_usable,
        mid=instrument.price(doubled) / 2 if has_both else None,
        spread_bps=round(int(asks[0, 0] - bids[0, 0]) / doubled * 20_000, 3) if doubled else None,
        imbalance=round((bid_lots - ask_lots) / (bid_lots + ask_lots), 4) if bid_lots + ask_lots else None,
        bid_size=instrument.size(bid_lots),
        ask_size=instrument.size(ask_lots),
        mark=view.mark,
        funding_rate=view.funding_rate,
        health=round(view.health, 4),
        health_reasons=view.health_reasons,
        latency_ms=round(view.latency_ms, 3),
        gaps=view.gaps,
        resyncs=view.resyncs,
        messages=view.messages,
        densities=len(view.densities),
    )


def densities(view: BookView, instrument: Instrument) -> list[Density]:
    """What is followed in one book."""
    return [
        Density(
            side=_side(density.side),
            price=instrument.price(density.price),
            size=instrument.size(density.size),
            since=milliseconds(density.since),
        )
        for density in view.densities
    ]


def features(view: FeaturesView) -> Features:
    """A vector by its names."""
    values = np.frombuffer(view.values, "<f4").tolist()
    warm = np.unpackbits(np.frombuffer(view.warm, np.uint8), count=len(values), bitorder="little")
    return Features(
        instrument=view.instrument,
        ts=milliseconds(view.ts),
        computed=milliseconds(view.computed_ts),
        version=view.version,
        features=dict(zip(FEATURE_NAMES, values, strict=True)),
        not_warm=[name for name, is_warm in zip(FEATURE_NAMES, warm.tolist(), strict=True) if not is_warm],
    )


def candle(view: CandleView, instrument: Instrument) -> Candle:
    """One bar."""
    return Candle(
        ts=milliseconds(view.open_ts),
        open=instrument.price(view.open),
        high=instrument.price(view.high),
        low=instrument.price(view.low),
        close=instrument.price(view.close),
        volume=instrument.size(view.volume),
        is_closed=view.is_closed,
    )


def order(view: OrderView, instrument: Instrument) -> Order:
    """One order."""
    return Order(
        id=view.client_order_id,
        instrument=view.instrument,
        symbol=symbol_of(view.instrument),
        strategy=view.strategy,
        purpose=view.purpose,
        side=_side(view.side),
        type=view.type,
        price=None if view.price is None else instrument.price(view.price),
        size=instrument.size(view.size),
        filled=instrument.size(view.filled),
        status=view.status,
        ts=milliseconds(view.ts),
        cause=view.cause,
    )


def position(view: PositionView, instrument: Instrument) -> Position:
    """One position."""
    return Position(
        id=view.position,
        instrument=view.instrument,
        symbol=symbol_of(view.instrument),
        strategy=view.strategy,
        status=view.status,
        side=_side(view.side),
        size=instrument.size(view.size),
        entry_price=view.entry_price,
        mark=view.mark,
        unrealised_pnl=view.unrealised_pnl,
        stop_loss=None if view.stop_loss is None else instrument.price(view.stop_loss),
        take_profit=None if view.take_profit is None else instrument.price(view.take_profit),
        opened=milliseconds(view.opened_ts),
        reasons=view.reasons,
    )


def fill(view: FillView, instrument: Instrument) -> Fill:
    """One execution."""
    return Fill(
        ts=milliseconds(view.ts),
        instrument=view.instrument,
        symbol=symbol_of(view.instrument),
        order=view.client_order_id,
        strategy=view.strategy,
        side=_side(view.side),
        price=instrument.price(view.price),
        size=instrument.size(view.size),
        fee=view.fee,
        realised_pnl=view.realised_pnl,
        is_maker=view.is_maker,
        origin=view.origin,
    )


def trade(view: TradeView, instrument: Instrument) -> Trade:
    """One closed position."""
    return Trade(
        id=view.position,
        instrument=view.instrument,
        symbol=symbol_of(view.instrument),
        strategy=view.strategy,
        side=_side(view.side),
        size=instrument.size(view.size),
        entry_price=view.entry_price,
        exit_price=view.exit_price,
        opened=milliseconds(view.opened_ts),
        closed=milliseconds(view.closed_ts),
        gross_pnl=view.gross_pnl,
        fees=view.fees,
        funding=view.funding,
        net_pnl=view.gross_pnl - view.fees - view.funding,
        entry_reasons=view.entry_reasons,
        exit_reason=view.exit_reason,
    )


def equity(view: EquityPoint) -> Equity:
    """One point of the curve."""
    return Equity(
        ts=milliseconds(view.ts), equity=view.equity, unrealised_pnl=view.unrealised_pnl, exposure=view.exposure
    )


def decision(view: DecisionView) -> Decision:
    """One line of the feed."""
    return Decision(
        number=view.number,
        ts=milliseconds(view.ts),
        kind=view.kind,
        instrument=view.instrument,
        symbol=symbol_of(view.instrument) if view.instrument else "",
        strategy=view.strategy,
        side=_side(view.side) if view.side is not None else "",
        reason=view.reason,
        detail=view.detail,
    )


def status(link: Link) -> Status:
    """How the bot is; where it was never seen, the link says so and the rest is empty."""
    hello, now = link.model.hello, link.model.status
    age = link.age_ns()
    return Status(
        status=_word(link),
        link=link.state(),
        link_problem=link.problem,
        update_age_ms=None if age is None else age / MILLISECOND,
        mode=hello.mode if hello else "",
        market=hello.market if hello else "",
        is_synthetic=hello.is_synthetic if hello else False,
        account=hello.account if hello else "",
        version=hello.version if hello else "",
        started=milliseconds(hello.started_ts) if hello else None,
        ts=milliseconds(now.ts) if now else None,
        trading=now.trading if now else "",
        halted_for=now.halted_for if now else "",
        paused=now.paused if now else False,
        is_connected=now.is_connected if now else False,
        problems=now.problems if now else (),
        balance=now.balance if now else Decimal(0),
        equity=now.equity if now else Decimal(0),
        exposure=now.exposure if now else Decimal(0),
        positions=len(link.model.positions),
        orders=sum(not view.status.is_terminal for view in link.model.orders),
        steps=now.steps if now else 0,
        events_per_second=round(now.events_per_second, 1) if now else 0.0,
        lag_ms=round(now.lag_ms, 3) if now else 0.0,
        latencies=stages(link),
    )


def stages(link: Link) -> list[Stage]:
    """Stages of an order's way."""
    now = link.model.status
    return [
        Stage(stage=s.stage, count=s.count, p50_ms=round(s.p50, 3), p99_ms=round(s.p99, 3), worst_ms=round(s.worst, 3))
        for s in (now.latencies if now else ())
    ]


def execution_stats(fills: Iterable[FillView], trades: Iterable[TradeView], latencies: list[Stage]) -> ExecutionStats:
    """Sums over what is kept."""
    known, closed = list(fills), list(trades)
    return ExecutionStats(
        fills=len(known),
        maker_share=round(sum(f.is_maker for f in known) / len(known), 4) if known else None,
        fees=sum((f.fee for f in known), Decimal(0)),
        realised_pnl=sum((f.realised_pnl for f in known), Decimal(0)),
        trades=len(closed),
        won=sum(t.gross_pnl - t.fees - t.funding > 0 for t in closed),
        latencies=latencies,
    )


def _word(link: Link) -> str:
    now = link.model.status
    if now is None or not link.is_connected:
        return "unknown"
    if now.trading != "active":
        return str(now.trading)
    return "paused" if now.paused else "running"


def _side(side: Side) -> str:
    return "buy" if side is Side.BUY else "sell"
