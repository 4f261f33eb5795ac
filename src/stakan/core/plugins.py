"""The kinds of plugin: one file, one public frozen spec, loaded by the name of its file.

Adding a file adds the plugin, deleting the file deletes it; there is no registry. A spec holds parameters with usable
defaults. A contract suite finds every file by itself and runs the laws of its kind.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, ClassVar, NamedTuple, TypeVar

import msgspec

from stakan.core.domain.errors import ConfigError
from stakan.core.domain.events import BookEvent, TradePrint
from stakan.core.domain.findings import Finding
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.reasons import Reason
from stakan.core.domain.trading import ExitSignal, Intent, Signal
from stakan.core.domain.units import Lots, Nanos, Side, Ticks
from stakan.core.features.further import FeatureSet, Further
from stakan.core.features.trend import Trend
from stakan.core.features.vector import FeatureVector
from stakan.core.market.picture import MarketPicture


class View(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What a strategy sees of one instrument: to be read, never changed."""

    instrument: Instrument
    market: MarketPicture
    features: FeatureVector
    further: Further
    """Feature sets beside the 110 that are configured, by their names."""
    trend: Trend
    """Of the closed candles."""
    findings: Sequence[Finding]
    """What detectors found lately, oldest first."""
    now: Nanos
    """Exchange time of the newest market event."""


class Holding(NamedTuple):
    """The open position that a strategy manages."""

    side: Side
    size: Lots
    entry: float
    """Average entry in ticks."""
    stop_loss: Ticks | None
    take_profit: Ticks | None
    opened_ts: Nanos
    signal: Signal
    """What it was opened on."""


class NoState(msgspec.Struct):
    """The state of a strategy that remembers nothing."""


class Strategy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of strategies: parameters now, opinions later.

    A strategy reads its view and answers; it never places orders, reads a clock or does I/O. What it must remember
    between calls is a msgspec Struct made by `start`, one per instrument, part of the engine's snapshot.
    """

    reads_densities: ClassVar[bool] = True
    """Whether it looks at `view.market.densities`; they are followed only where some configured strategy does."""

    def start(self) -> msgspec.Struct:
        """A fresh state for one instrument."""
        return NoState()

    def decide(self, view: View, state: Any) -> Signal | None:  # noqa: ARG002 - the contract
        """An opinion about opening a position, or None."""
        raise TypeError(f"{type(self).__name__} does not implement decide")

    def manage(self, view: View, state: Any, holding: Holding) -> ExitSignal | None:  # noqa: ARG002 - the contract
        """A wish about the position that this strategy owns, or None to leave it to its stop and target."""
        return None


class Detector(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of detectors: parameters now, findings later.

    A detector sees every message of one instrument's book and tape after the market took it in, and answers what it
    finds; most answers are empty, so they must cost microseconds. It reads no clock and does no I/O. What it must
    remember is a msgspec Struct made by `start`, one per instrument, bounded, part of the engine's snapshot.
    """

    def start(self, instrument: Instrument) -> msgspec.Struct:  # noqa: ARG002 - the contract
        """A fresh state for one instrument."""
        return NoState()

    def on_book(self, market: MarketPicture, event: BookEvent, state: Any) -> Sequence[Finding]:  # noqa: ARG002
        """A message that the book took in and is usable after; `market.book.before` has what a delta's levels held."""
        return ()

    def on_print(self, market: MarketPicture, event: TradePrint, state: Any) -> Sequence[Finding]:  # noqa: ARG002
        """A new print, RPI prints among them; it may be older or newer than the book."""
        return ()

    def restart(self, state: Any) -> None:
        """The feed was interrupted: what was under way is not known any more; the next book message is a snapshot."""


class AccountView(NamedTuple):
    """What a risk rule sees: money at mark in settlement currency, orders in flight counted as filled."""

    instrument: Instrument
    mark: Decimal
    """Of the intent's instrument, quote currency."""
    equity: Decimal
    day_start_equity: Decimal
    free_balance: Decimal
    """Equity not bound as margin."""
    exposure: Decimal
    instrument_exposure: Decimal
    open_positions: int
    leverage: Decimal


class Refusal(NamedTuple):
    """No, because; with the numbers."""

    reason: Reason
    detail: str


class RiskRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of risk rules: pure questions about an intent and the account."""

    def refusal(self, intent: Intent, account: AccountView) -> Refusal | None:  # noqa: ARG002 - the contract
        """Why this entry must not happen, or None."""
        raise TypeError(f"{type(self).__name__} does not implement refusal")

    def breach(self, account: AccountView) -> Refusal | None:  # noqa: ARG002 - the contract
        """Why trading must be flattened and halted, or None; asked whenever equity is marked."""
        return None


Plugin = TypeVar("Plugin", Strategy, Detector, RiskRule, FeatureSet)


def load(package: str, kind: type[Plugin], name: str, parameters: Mapping[str, object]) -> Plugin:
    """The plugin of `package` (e.g. `stakan.core.strategies`) that lives in the file `name`.py.

    Raises ConfigError for an unknown name, an unknown parameter or a wrong type, each with its name.
    """
    known = names(package)
    if name not in known:
        raise ConfigError(f"there is no {kind.__name__.lower()} named {name!r}; known: {', '.join(known)}")
    return build(import_module(f"{package}.{name}"), kind, name, parameters)


def build(module: ModuleType, kind: type[Plugin], name: str, parameters: Mapping[str, object]) -> Plugin:
    """The spec of a module with these parameters; raises ConfigError as `load` does."""
    spec = spec_of(module, kind)
    try:
        plugin = msgspec.convert(dict(parameters), type=spec, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{kind.__name__.lower()} {name!r}: {error}") from error
    undefined = not_numbers(plugin)
    if undefined:
        raise ConfigError(f"{kind.__name__.lower()} {name!r}: {undefined[0]} should be a number, not NaN")
    return plugin


def not_numbers(parameters: msgspec.Struct) -> list[str]:
    """Names of fields that are NaN: no comparison with one ever holds."""
    values = ((name, getattr(parameters, name)) for name in parameters.__struct_fields__)
    return [name for name, value in values if isinstance(value, float | Decimal) and Decimal(value).is_nan()]


def spec_of(module: ModuleType, kind: type[Plugin]) -> type[Plugin]:
    """The one public class of the kind that a module defines; raises ConfigError where there is none or several."""
    found = [
        value
        for key, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, kind)
        and value.__module__ == module.__name__
        and not key.startswith("_")
    ]
    if len(found) != 1:
        raise ConfigError(f"{module.__name__} must define one public {kind.__name__}, it defines {len(found)}")
    return found[0]


def names(package: str) -> list[str]:
    """Names of all plugin files in a package, sorted; those that begin with `_` are not plugins."""
    path = import_module(package).__path__
    return sorted(info.name for info in iter_modules(path) if not info.name.startswith("_"))
