"""ccxt, where it is installed: exchanges of its library made to keep numbers as text."""

from collections.abc import Mapping
from decimal import Decimal
from importlib import import_module
from typing import Any

from stakan.adapters.wire import exact_number
from stakan.core.domain.errors import ConfigError, DataError

_MISSING = 'other venues need ccxt: install it with `pip install "stakan[venues]"`'


def open_exchange(name: str, options: Mapping[str, Any] | None = None) -> Any:
    """The exchange of `ccxt.pro` of that name; whoever opens it awaits its `close()`.

    Prices and sizes of prints, candles and markets stay the text that they are; only order books are binary floats
    in ccxt, see `decimal_of`. Raises ConfigError where ccxt is not installed or has no such exchange with sockets.
    """
    library = _library("ccxt.pro")
    if name not in library.exchanges:
        raise ConfigError(f"ccxt has no exchange {name!r} with sockets; it has {', '.join(library.exchanges)}")
    exchange = getattr(library, name)(dict(options or {}))
    exchange.number = str
    # What is given out is what is new, not all that is remembered.
    exchange.newUpdates = True
    return exchange


def network_error() -> type[Exception]:
    """What ccxt raises where trying again can help."""
    found: type[Exception] = _library("ccxt").NetworkError
    return found


def any_error() -> type[Exception]:
    """What ccxt raises at all."""
    found: type[Exception] = _library("ccxt").BaseError
    return found


def decimal_of(value: object) -> Decimal | None:
    """The exact number that ccxt means; None where it has none.

    A float is read as its shortest text, which is the text that it was made of as long as that had no more than 15
    digits. Raises DataError for what is no number.
    """
    match value:
        case None:
            return None
        case str():
            return exact_number(value)
        case float() | int():
            return exact_number(repr(value))
        case _:
            raise DataError(f"{value!r} is not a number")


def text_of(value: object, what: str) -> str:
    """The same as plain text without an exponent; raises DataError where there is none."""
    number = decimal_of(value)
    if number is None:
        raise DataError(f"{what} is missing")
    return f"{number:f}"


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(_MISSING) from error
