"""Puts the parts together: the only place that knows which implementation stands behind which name."""

import hashlib
import sys
from collections.abc import Collection, Iterable, Mapping
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any, TypeVar

import msgspec

from stakan.adapters.exchanges.simulated.exchange import SimulationConfig
from stakan.adapters.exchanges.simulated.models import ConstantLatency
from stakan.adapters.instruments import resolve
from stakan.apps.config import to_toml
from stakan.apps.durations import duration_ns
from stakan.apps.sections import DetectorSection, FeatureSetSection, PluginSection, StrategySection
from stakan.apps.settings import Settings
from stakan.core.decision.sizing import Sizing
from stakan.core.decision.suspicion import Suspicion
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.patterns import PatternLibrary
from stakan.core.domain.units import Nanos
from stakan.core.engine import EngineConfig
from stakan.core.features.further import FeatureSet
from stakan.core.features.params import FeatureParams
from stakan.core.market.densities import DensityParams
from stakan.core.plugins import Detector, Plugin, RiskRule, Strategy, build, load, not_numbers

STRATEGIES = "stakan.core.strategies"
FEATURE_SETS = "stakan.core.features.sets"
DETECTORS = "stakan.core.detectors"
RISK_RULES = "stakan.core.risk"

_OWN = "instruments"
"""Key under `densities` that holds the thresholds of single instruments."""
_COLONS_OF_ID = 2

S = TypeVar("S", bound=msgspec.Struct)


def engine_config(settings: Settings, run_epoch: str, instruments: Collection[InstrumentId]) -> EngineConfig:
    """The engine's values for a run on `instruments`.

    Raises ConfigError where a plugin or one of its parameters does not exist, or a name means no instrument.
    """
    engine = settings.engine
    densities = {key: value for key, value in settings.densities.items() if key != _OWN}
    _refuse_repeats("strategies", (entry.name for entry in settings.strategies))
    _refuse_repeats("feature_sets", (entry.name for entry in settings.feature_sets))
    _refuse_repeats("detectors", (entry.name for entry in settings.detectors))
    _refuse_repeats("risk", (entry.name for entry in settings.risk))
    return EngineConfig(
        account=settings.account.name,
        run_epoch=run_epoch,
        starting_balance=settings.account.starting_balance,
        leverage=settings.account.leverage,
        strategies=tuple((entry.name, strategy(entry)) for entry in settings.strategies),
        feature_sets=tuple((entry.name, feature_set(entry)) for entry in settings.feature_sets),
        detectors=tuple((entry.name, detector(entry)) for entry in settings.detectors),
        patterns=_struct("patterns", settings.patterns, PatternLibrary),
        suspicion=Suspicion(
            memory_ns=Nanos(duration_ns(settings.suspicion.memory)),
            veto=settings.suspicion.veto,
            weight=settings.suspicion.weight,
        ),
        risk_rules=tuple(
            (entry.name, load(RISK_RULES, RiskRule, entry.name, entry.parameters)) for entry in settings.risk
        ),
        sizing=Sizing(notional=settings.sizing.notional, equity_share=settings.sizing.equity_share),
        densities=_struct("densities", densities, DensityParams),
        instrument_densities=_instrument_densities(densities, own_densities(settings), instruments),
        features=_struct("features", settings.features, FeatureParams),
        decision_interval_ns=Nanos(duration_ns(engine.decision_interval)),
        candle_interval_ns=Nanos(duration_ns(engine.candle_interval)),
        min_strength=engine.min_strength,
        min_book_health=engine.min_book_health,
        entry_timeout_ns=Nanos(duration_ns(engine.entry_timeout)),
        protection_timeout_ns=Nanos(duration_ns(engine.protection_timeout)),
        close_retry_ns=Nanos(duration_ns(engine.close_retry)),
        cooldown_ns=Nanos(duration_ns(engine.cooldown)),
        equity_interval_ns=Nanos(duration_ns(engine.equity_interval)),
        max_feed_age_ns=Nanos(duration_ns(engine.max_feed_age)),
        orphans=settings.recovery.orphans,
        orphan_stop_bps=settings.recovery.orphan_stop_bps,
    )


def simulation_config(settings: Settings) -> SimulationConfig:
    """The simulated exchange's values, for the configured account."""
    for key in ("starting_balance", "leverage"):
        if key in settings.simulation:
            raise ConfigError(f"simulation.{key} is the account's: set account.{key}")
    values = {
        "starting_balance": settings.account.starting_balance,
        "leverage": settings.account.leverage,
        **settings.simulation,
    }
    return _struct("simulation", values, SimulationConfig)


def paper_config(settings: Settings) -> SimulationConfig:
    """The simulated exchange of paper trading: it sees the market when we do, so orders take the feed's delay more.

    That time is `trade.paper_latency`, unless `simulation.entry_latency` is configured.
    """
    config = simulation_config(settings)
    if "entry_latency" in settings.simulation:
        return config
    way = ConstantLatency(Nanos(duration_ns(settings.trade.paper_latency)))
    return msgspec.structs.replace(config, entry_latency=way)


def strategy(entry: StrategySection) -> Strategy:
    """The spec of one configured strategy, from the package or from a file of the user's."""
    return _plugin(entry, STRATEGIES, Strategy)


def detector(entry: DetectorSection) -> Detector:
    """The spec of one configured detector, from the package or from a file of the user's."""
    return _plugin(entry, DETECTORS, Detector)


def feature_set(entry: FeatureSetSection) -> FeatureSet:
    """The spec of one configured feature set, from the package or from a file of the user's."""
    return _plugin(entry, FEATURE_SETS, FeatureSet)


def _plugin(entry: PluginSection, package: str, kind: type[Plugin]) -> Plugin:
    if entry.file is None:
        return load(package, kind, entry.plugin or entry.name, entry.parameters)
    what = f"{kind.__name__.lower()} {entry.name!r}"
    path = entry.file.expanduser()
    if not path.is_file():
        raise ConfigError(f"{what}: there is no file {path}")
    module_name = f"stakan_user_plugins.{path.stem}"
    spec = spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{what}: {path} is not a Python file")
    module = module_from_spec(spec)
    # msgspec resolves annotations through sys.modules.
    sys.modules[module_name] = module
    # The user's file can fail in any way.
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise ConfigError(f"{what}: {path} cannot be loaded: {type(error).__name__}: {error}") from error
    return build(module, kind, entry.name, entry.parameters)


def own_densities(settings: Settings) -> dict[str, dict[str, Any]]:
    """Overrides of density thresholds by the name of their instrument, as configured."""
    tables = settings.densities.get(_OWN, {})
    if not isinstance(tables, Mapping):
        raise ConfigError(f'densities.{_OWN} should hold tables: write [densities.{_OWN}."BTCUSDT"]')
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            raise ConfigError(f"densities.{_OWN}.{name} should be a table of thresholds, got {table!r}")
    return {name: dict(table) for name, table in tables.items()}


def _instrument_densities(
    common: dict[str, Any], own: dict[str, dict[str, Any]], instruments: Collection[InstrumentId]
) -> dict[InstrumentId, DensityParams]:
    """Thresholds of each instrument that has some of its own; what it does not override is as in `common`."""
    found: dict[InstrumentId, DensityParams] = {}
    for name, table in own.items():
        where = f"densities.{_OWN}.{name}"
        key = _meant(where, name, instruments)
        if key in found:
            raise ConfigError(f"{where}: {key} is configured twice; keep one of its names")
        found[key] = _struct(where, {**common, **table}, DensityParams)
    return found


def _meant(where: str, name: str, instruments: Collection[InstrumentId]) -> InstrumentId:
    """The instrument of a name; a full id may be of one that this run does not trade."""
    if name.count(":") == _COLONS_OF_ID:
        return InstrumentId(name)
    try:
        return resolve(name, instruments)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}; a full id may also name one that this run does not trade") from error


def config_hash(settings: Settings) -> str:
    """Names a configuration: the first 12 hexadecimal digits of the BLAKE2b of its TOML."""
    return hashlib.blake2b(to_toml(settings).encode(), digest_size=6).hexdigest()


def _struct(section: str, values: dict[str, Any], kind: type[S]) -> S:
    unknown = sorted(set(values) - set(kind.__struct_fields__))
    if unknown:
        raise ConfigError(f"{section}.{unknown[0]} is not a known key; known: {', '.join(kind.__struct_fields__)}")
    try:
        result = msgspec.convert(values, type=kind, strict=False)
    except (msgspec.ValidationError, ConfigError) as error:
        raise ConfigError(f"{section}: {error}") from error
    undefined = not_numbers(result)
    if undefined:
        raise ConfigError(f"{section}.{undefined[0]} should be a number, not NaN")
    return result


def _refuse_repeats(section: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigError(
                f"{section}: {name!r} is configured twice; give the second one a name of its own and `plugin`"
            )
        seen.add(name)
