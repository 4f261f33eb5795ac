"""What a synthetic market is made of: its symbols, their pace and volatility, the feed, and what is planted."""

from decimal import Decimal

import msgspec

from stakan.core.domain.errors import ConfigError
from stakan.core.domain.ids import InstrumentId, instrument_id
from stakan.core.domain.instrument import Category, Instrument, MarginTier
from stakan.core.domain.units import MILLISECOND, MINUTE, SECOND, Nanos

VENUE = "synthetic"
"""Part of every instrument id of a generated market, so that it can be taken for nothing else."""
MIN_START_TICKS = 10_000
"""The ladder keeps several thousand ticks below the price; a coarser price grid has no room for them."""


class FeedLatency(msgspec.Struct, frozen=True, kw_only=True):
    """Receive minus event time: a floor plus a lognormal part."""

    floor_ns: Nanos = Nanos(2 * MILLISECOND)
    median_ns: Nanos = Nanos(4 * MILLISECOND)
    """Median of the part above the floor."""
    spread: float = 0.5
    """Standard deviation of its logarithm; 0 makes the latency constant."""


class EpisodeRates(msgspec.Struct, frozen=True, kw_only=True):
    """Mean number of planted episodes per minute and symbol."""

    spoofing: float = 0.6
    layering: float = 0.3
    quote_stuffing: float = 0.15
    wash_trades: float = 0.3
    large_genuine: float = 0.4
    """Hard negative: a large order that means to trade."""
    requote: float = 0.4
    """Hard negative: a market maker who moves a large two-sided quote."""
    iceberg: float = 0.3
    """Hard negative: an order whose visible part is filled up again after each fill."""
    density: float = 2.5


NOTHING_PLANTED = EpisodeRates(
    spoofing=0, layering=0, quote_stuffing=0, wash_trades=0, large_genuine=0, requote=0, iceberg=0, density=0
)


class SyntheticSymbol(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument and how its market behaves."""

    instrument: Instrument
    start_price: Decimal
    volatility_bp: float = 0.5
    """Standard deviation of the efficient price's logarithm over one second, in basis points."""
    messages_per_second: float = 15.0
    """Mean rate of conflated book messages; 0 publishes one message after every change of the book."""
    orders_per_second: float = 150.0
    """Limit orders placed; about as many are cancelled."""
    takers_per_second: float = 5.0
    """Background market orders, self-excitation included; those that chase a stale quote come on top."""
    order_lots: int = 100
    """Typical size of a resting order."""
    taker_lots: int = 50
    """Typical size of a market order."""

    @property
    def start_ticks(self) -> float:
        """Start price in ticks."""
        return float(self.start_price / self.instrument.tick_size)

    @property
    def volatility_ticks(self) -> float:
        """Standard deviation over one second in ticks of the start price."""
        return self.start_ticks * self.volatility_bp / 10_000


class SyntheticConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A whole market. Two markets with equal configurations are equal to the byte."""

    symbols: tuple[SyntheticSymbol, ...]
    seed: int = 7
    start_ts: Nanos = Nanos(1_767_258_000 * SECOND)
    """First event time; funding falls on whole multiples of the instrument's interval, so a start just before one
    has it inside the run."""
    duration_ns: Nanos = Nanos(10 * MINUTE)
    window_ns: Nanos = Nanos(10 * SECOND)
    """How much market one window holds; changes nothing else."""
    depth: int = 200
    """Levels published per side."""
    correlation: float = 0.6
    """Of the efficient prices' returns, between any two symbols."""
    latency: FeedLatency = FeedLatency()
    episodes: EpisodeRates = EpisodeRates()

    def __post_init__(self) -> None:
        ids = [symbol.instrument.id for symbol in self.symbols]
        if not ids or len(set(ids)) < len(ids):
            raise ConfigError(f"symbols: needs at least one instrument and each only once, got {ids}")
        for name in ("duration_ns", "window_ns", "depth", "start_ts"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name}: must be positive, got {getattr(self, name)}")
        if not 0 <= self.correlation < 1:
            raise ConfigError(f"correlation: must be in [0, 1), got {self.correlation}")
        for symbol in self.symbols:
            _check(symbol)


def _check(symbol: SyntheticSymbol) -> None:
    name = symbol.instrument.id
    if not name.startswith(f"{VENUE}:"):
        raise ConfigError(f"{name}: a generated instrument must be of the venue {VENUE!r}")
    if symbol.start_ticks < MIN_START_TICKS:
        raise ConfigError(f"{name}: start_price must be at least {MIN_START_TICKS} ticks, is {symbol.start_ticks:g}")
    if symbol.messages_per_second < 0 or symbol.messages_per_second > 50:
        raise ConfigError(f"{name}: messages_per_second must be in [0, 50], got {symbol.messages_per_second}")
    for field in ("volatility_bp", "orders_per_second", "takers_per_second", "order_lots", "taker_lots"):
        if getattr(symbol, field) <= 0:
            raise ConfigError(f"{name}: {field} must be positive, got {getattr(symbol, field)}")


def perpetual(base: str, tick: str, lot: str, first_limit: int) -> Instrument:
    """A USDT perpetual with fees and margin tiers of Bybit's shape; `first_limit` is the first tier's, in USDT."""
    return Instrument(
        id=instrument_id(VENUE, "linear", f"{base}USDT"),
        category=Category.LINEAR,
        base=base,
        quote="USDT",
        settle="USDT",
        tick_size=Decimal(tick),
        lot_size=Decimal(lot),
        margin_tiers=_tiers(first_limit),
        assumed=("margin_tiers", "maker_fee", "taker_fee"),
    )


def _tiers(first_limit: int, steps: int = 5) -> tuple[MarginTier, ...]:
    """Tiers of equal width whose maintenance rate grows by 0.5 %; deductions keep the margin continuous."""
    tiers = []
    deduction = Decimal(0)
    for step in range(1, steps + 1):
        rate = Decimal("0.005") * step
        if step > 1:
            deduction += Decimal("0.005") * first_limit * (step - 1)
        leverage = (1 / (2 * rate)).quantize(Decimal("0.01"))
        limit = Decimal(first_limit) * step
        tiers.append(
            MarginTier(notional_limit=limit, maintenance_rate=rate, deduction=deduction, max_leverage=leverage)
        )
    return tuple(tiers)


def demo_symbols() -> tuple[SyntheticSymbol, ...]:
    """Three symbols: two whose tick is fine for their volatility, one whose tick is coarse."""
    return (
        SyntheticSymbol(
            instrument=perpetual("BTC", "0.1", "0.001", 2_000_000),
            start_price=Decimal(64_000),
            volatility_bp=0.45,
            takers_per_second=6.0,
            order_lots=150,
            taker_lots=40,
        ),
        SyntheticSymbol(
            instrument=perpetual("ETH", "0.01", "0.01", 1_000_000),
            start_price=Decimal(3_400),
            volatility_bp=0.55,
            messages_per_second=14.0,
            order_lots=250,
            taker_lots=70,
        ),
        SyntheticSymbol(
            instrument=perpetual("SOL", "0.01", "0.1", 500_000),
            start_price=Decimal(170),
            volatility_bp=0.8,
            messages_per_second=12.0,
            orders_per_second=120.0,
            takers_per_second=4.0,
            order_lots=400,
            taker_lots=150,
        ),
    )


def demo_instruments() -> dict[InstrumentId, Instrument]:
    """Rules of the demo's symbols by id."""
    return {symbol.instrument.id: symbol.instrument for symbol in demo_symbols()}


def demo_config(
    *, seed: int = 7, duration_ns: int = 10 * MINUTE, start_ts: int = 1_767_258_000 * SECOND
) -> SyntheticConfig:
    """Ten minutes of three symbols, with densities and manipulations planted."""
    return SyntheticConfig(symbols=demo_symbols(), seed=seed, duration_ns=Nanos(duration_ns), start_ts=Nanos(start_ts))
