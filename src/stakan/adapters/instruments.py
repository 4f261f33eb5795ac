"""Instruments from TOML files: what recordings and configurations name instead of asking an exchange."""

import tomllib
from collections.abc import Collection
from decimal import Decimal
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import msgspec

from stakan.core.domain.errors import ConfigError, DataError
from stakan.core.domain.ids import InstrumentId, split_instrument_id
from stakan.core.domain.instrument import Category, Instrument, MarginTier
from stakan.core.domain.units import HOUR, Lots, Nanos, Ticks

INSTRUMENTS = resources.files("stakan") / "instruments"
"""The folder of the instruments files that come with the package."""


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One table of the file; sizes in base currency, prices in quote currency."""

    base: str
    quote: str
    settle: str
    tick_size: Decimal
    lot_size: Decimal
    min_size: Decimal
    min_notional: Decimal
    maker_fee: Decimal
    taker_fee: Decimal
    max_limit_size: Decimal | None = None
    max_market_size: Decimal | None = None
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    max_leverage: Decimal = Decimal(1)
    margin_tiers: tuple[MarginTier, ...] = ()
    funding_interval_hours: int = 8
    price_limit_x: Decimal = Decimal("0.01")
    price_limit_y: Decimal = Decimal("0.02")
    assumed: tuple[str, ...] = ()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    instruments: dict[str, dict[str, Any]]


def recorded() -> dict[InstrumentId, Instrument]:
    """The instruments of the recordings that this project is tested on (decision 15)."""
    return load(INSTRUMENTS / "recorded.toml")


def load(path: Path | Traversable) -> dict[InstrumentId, Instrument]:
    """Instruments of a file, by id.

    Raises ConfigError naming file, instrument and key where a key is unknown, missing or impossible.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        tables = msgspec.convert(tree, _File).instruments
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the instruments file: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if not tables:
        raise ConfigError(f'{path}: no [instruments."venue:category:symbol"] table in it')
    return {InstrumentId(name): _instrument(path, name, table) for name, table in tables.items()}


def resolve(name: str, instruments: Collection[InstrumentId]) -> InstrumentId:
    """The instrument that a full or short name means: `BTCUSDT`, `linear:BTCUSDT` or `bybit:BTCUSDT`.

    Raises ConfigError naming the candidates where it is unknown or ambiguous.
    """
    if name in instruments:
        return InstrumentId(name)
    parts = name.split(":")
    found = sorted(known for known in instruments if _means(parts, known))
    match found:
        case [one]:
            return one
        case []:
            raise ConfigError(f"no instrument {name!r}; known: {', '.join(sorted(instruments)) or 'none'}")
        case _:
            raise ConfigError(f"{name!r} is ambiguous: say one of {', '.join(found)}")


def _means(parts: list[str], known: InstrumentId) -> bool:
    venue, category, symbol = split_instrument_id(known)
    return parts in ([symbol], [category, symbol], [venue, symbol])


def _instrument(path: Path | Traversable, name: str, table: dict[str, Any]) -> Instrument:
    where = f'{path}: [instruments."{name}"]'
    try:
        category = _category(name)
        entry = msgspec.convert(_with_decimals(table), _Entry)
        instrument = _build(InstrumentId(name), category, entry)
    except (msgspec.ValidationError, DataError) as error:
        raise ConfigError(f"{where}: {error}") from error
    _check(where, instrument)
    return instrument


def _category(name: str) -> Category:
    text = split_instrument_id(InstrumentId(name))[1]
    if text not in set(Category):
        raise DataError(f"category should be one of {', '.join(Category)}, got {text!r}")
    return Category(text)


def _with_decimals(value: Any) -> Any:
    """Whole numbers are decimals too; hours stay what they are."""
    if isinstance(value, dict):
        return {key: item if key == "funding_interval_hours" else _with_decimals(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_decimals(item) for item in value]
    return Decimal(value) if type(value) is int else value


def _build(instrument: InstrumentId, category: Category, entry: _Entry) -> Instrument:
    plain = Instrument(
        id=instrument,
        category=category,
        base=entry.base,
        quote=entry.quote,
        settle=entry.settle,
        tick_size=entry.tick_size,
        lot_size=entry.lot_size,
        min_notional=entry.min_notional,
        maker_fee=entry.maker_fee,
        taker_fee=entry.taker_fee,
        max_leverage=entry.max_leverage,
        margin_tiers=entry.margin_tiers,
        funding_interval_ns=Nanos(entry.funding_interval_hours * HOUR),
        price_limit_x=entry.price_limit_x,
        price_limit_y=entry.price_limit_y,
        assumed=entry.assumed,
    )
    return msgspec.structs.replace(
        plain,
        min_size=plain.lots(entry.min_size),
        max_limit_size=_lots(plain, entry.max_limit_size, plain.max_limit_size),
        max_market_size=_lots(plain, entry.max_market_size, plain.max_market_size),
        min_price=_ticks(plain, entry.min_price, plain.min_price),
        max_price=_ticks(plain, entry.max_price, plain.max_price),
    )


def _lots(instrument: Instrument, size: Decimal | None, otherwise: Lots) -> Lots:
    return otherwise if size is None else instrument.lots(size)


def _ticks(instrument: Instrument, price: Decimal | None, otherwise: Ticks) -> Ticks:
    return otherwise if price is None else instrument.ticks(price)


def _check(where: str, instrument: Instrument) -> None:
    unknown = set(instrument.assumed) - set(Instrument.__struct_fields__)
    if unknown:
        raise ConfigError(f"{where}: `assumed` names no such field: {', '.join(sorted(unknown))}")
    if instrument.is_linear and not instrument.margin_tiers:
        raise ConfigError(f"{where}: a linear contract needs `margin_tiers`")
    if not instrument.is_linear and (instrument.margin_tiers or instrument.max_leverage != 1):
        raise ConfigError(f"{where}: spot has no margin: leave out `margin_tiers` and `max_leverage`")
    if instrument.min_size <= 0 or instrument.min_notional < 0:
        raise ConfigError(f"{where}: `min_size` should be positive and `min_notional` not negative")
    limits = [tier.notional_limit for tier in instrument.margin_tiers]
    if limits != sorted(set(limits)):
        raise ConfigError(f"{where}: `margin_tiers` should rise in `notional_limit`")
