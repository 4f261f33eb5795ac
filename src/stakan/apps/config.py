"""The one reader of configuration: a TOML file, overridden by environment variables, refused where it cannot work.

Order: built-in defaults, then the TOML file, then `STAKAN__SECTION__KEY`, then the familiar names of `ALIASES`, then
what is set for one run.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from stakan.core.domain.errors import ConfigError
from stakan.core.domain.trading import Orphans
from stakan.core.domain.units import DAY, HOUR, MILLISECOND, MINUTE, SECOND

_UNITS = {"ms": MILLISECOND, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}


def duration_ns(text: str) -> int:
    """Nanoseconds of a duration such as `500ms`, `5s`, `1m`, `4h`, `1d`; raises ValueError for other shapes."""
    for unit in ("ms", "s", "m", "h", "d"):
        number = text.removesuffix(unit)
        if number != text:
            try:
                amount = Decimal(number)
            except InvalidOperation:
                continue
            if amount.is_finite() and amount >= 0:
                return int(amount * _UNITS[unit])
    raise ValueError(f"{text!r} is not a duration: write 500ms, 5s, 1m, 4h or 1d")


def _duration(text: str) -> str:
    duration_ns(text)
    return text


def _above_zero(text: str) -> str:
    if duration_ns(text) == 0:
        raise ValueError("something is repeated after this long: it must be above 0")
    return text


Duration = Annotated[str, AfterValidator(_duration)]
Period = Annotated[str, AfterValidator(_above_zero)]
"""A duration after which something is repeated."""


class Section(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EngineSection(Section):
    """How the engine decides."""

    decision_interval: Duration = Field(
        "500ms", description="Grid of decisions in exchange time; 0s: every book message"
    )
    candle_interval: Duration = Field(
        "1m", description="Candles that features and strategies read; divides a day, at least 1s"
    )
    min_strength: float = Field(0.5, ge=0, le=1, description="Signals weaker than this are passed over")
    min_book_health: float = Field(0.5, ge=0, le=1, description="Entries need a book at least this healthy")
    entry_timeout: Duration = Field("10s", description="A resting entry is cancelled after this long")
    protection_timeout: Duration = Field(
        "3s", description="A position without a confirmed stop is closed after this long"
    )
    close_retry: Period = Field("1s", description="Pause before a close that did not reach zero is repeated")
    cooldown: Duration = Field("5s", description="Pause between a closed position and the next entry in an instrument")
    equity_interval: Period = Field("1s", description="How often equity is marked and daily loss checked")
    max_feed_age: Duration = Field("5s", description="A book older than this is not traded on")

    @field_validator("candle_interval")
    @classmethod
    def _is_candle(cls, value: str) -> str:
        interval = duration_ns(value)
        if interval < SECOND or DAY % interval:
            raise ValueError(f"{value!r} does not divide a day into candles of 1s or more")
        return value


class AccountSection(Section):
    """Whose money, and how much of it."""

    name: str = Field("main", min_length=1, description="Part of every client order id")
    starting_balance: Decimal = Field(Decimal(10_000), gt=0, description="Settlement currency; backtest and paper")
    leverage: Decimal = Field(Decimal(10), ge=1, le=100, description="Isolated margin")


class SizingSection(Section):
    """How large an entry is before the limits speak."""

    notional: Decimal | None = Field(
        None, gt=0, examples=[Decimal(200)], description="Fixed amount per entry; wins over equity_share"
    )
    equity_share: Decimal = Field(Decimal("0.02"), gt=0, le=1, description="Share of equity per entry")


class VenueSection(Section):
    """Which exchange a bot talks to. Keys are secrets: BYBIT_API_KEY and BYBIT_API_SECRET in the environment or .env."""

    environment: Literal["local", "testnet", "demo", "mainnet"] = Field(
        "mainnet", description="Whose endpoints; local is `stakan exchange`"
    )
    local_url: str = Field("http://127.0.0.1:8080", description="Of the local exchange")
    host_suffix: str = Field("bybit.com", description="Domain of regional accounts")
    receive_window: Duration = Field("5s", description="How old a signed request may be when it arrives")
    depth: Literal[50, 200, 1000] = Field(200, description="Levels of the book that is subscribed to")
    depths: dict[str, Literal[50, 200, 1000]] = Field(default_factory=dict, description="The same for single symbols")
    best_quotes: bool = Field(True, description="Subscribe to orderbook.1 as well")
    check_interval: Duration = Field("60s", description="How often a book is compared with a REST snapshot; 0s: never")


class UniverseSection(Section):
    """Which symbols a bot trades where `instruments` is empty."""

    ranking: Literal["list", "gainers", "losers", "volume"] = Field(
        "list", description="list: what `instruments` names; else ranked by the last 24 hours"
    )
    size: int = Field(20, ge=1, le=200, description="How many of the best")
    keep_within: int = Field(30, ge=1, description="One that is in stays while its rank is not worse than this")
    min_turnover: Decimal = Field(Decimal(10_000_000), ge=0, description="USDT in 24 hours")
    max_spread_bps: float = Field(5.0, gt=0, description="Best ask over best bid")
    refresh: Period = Field("15m", description="How often the ranking is made anew")


class TradeSection(Section):
    """A running bot."""

    state: Path = Field(Path("state"), description="Folder of what must outlive a restart, and of the bot's socket")
    paper_latency: Duration = Field(
        "10ms", description="Of an order in paper mode: way to the exchange plus feed delay"
    )
    min_free_mb: int = Field(256, ge=0, description="With less room on the disk of the state folder nothing opens")
    stop_timeout: Duration = Field("10s", description="How long a graceful stop waits for what is on its way")
    stuck_after: Period = Field(
        "5s", description="An event loop that does not turn for this long is stuck: all stacks go into the run folder"
    )
    stuck_end: Duration = Field(
        "60s", description="One that is stuck for this long ends the bot hard, with code 70; 0s: never"
    )


class RecoverySection(Section):
    """How a run takes over what it finds at the exchange."""

    orphans: Orphans = Field(
        Orphans.CLOSE, description="A position that nobody asked for: close it, or adopt it under a stop"
    )
    orphan_stop_bps: float = Field(100.0, gt=0, description="Distance of a stop for a position whose own is not known")


class WatchdogSection(Section):
    """`stakan watchdog`, the second process that looks after positions of a bot that is gone."""

    silent_after: Period = Field("30s", description="A heartbeat that is older counts as silent; it comes every second")
    action: Literal["alert", "flatten"] = Field(
        "alert", description="With positions open and the bot gone: say so, or close them"
    )
    command: str = Field("", description="Run with the text of an alert as its last word, e.g. a notifier")
    check_exchange: bool = Field(
        True, description="Ask the exchange what is open also where the heartbeat says that nothing is"
    )
    after_stop: bool = Field(False, description="Whether a bot that was stopped in order counts as gone too")


class RedisSection(Section):
    """What several processes share. A password is a secret: REDIS_PASSWORD in the environment or .env."""

    url: str = Field("", examples=["redis://127.0.0.1:6379/0"], description="Empty: nothing is shared")
    processes: int = Field(
        2, ge=1, le=4, description="How many share account and address at most; without Redis each gets so large a part"
    )

    @field_validator("url")
    @classmethod
    def _has_no_password(cls, value: str) -> str:
        # The configuration is kept in every journal.
        if value and urlsplit(value).scheme not in ("redis", "rediss", "unix"):
            raise ValueError("write redis://host:port/number, rediss://... or unix:///path, or nothing")
        if urlsplit(value).password is not None:
            raise ValueError("leave the password out and set REDIS_PASSWORD in the environment or in .env")
        return value


class FeatureStoreSection(Section):
    """Where a running bot keeps its newest feature vectors for those who ask for them."""

    kind: Literal["memory", "redis"] = Field(
        "memory", description="memory: in the bot alone; redis: at redis.url too, for other processes"
    )
    interval: Period = Field("1s", description="How often a vector of each instrument is computed for it")


class ConsoleSection(Section):
    """API and browser console."""

    host: str = Field("127.0.0.1", description="Loopback unless there is a reason")
    port: int = Field(8000, ge=1, le=65535)
    session: Duration = Field("12h", description="How long a login lasts")
    origins: tuple[str, ...] = Field(
        (), description="Other sites whose pages may use the API, e.g. https://desk.example; none by default"
    )


class LogsSection(Section):
    """What programs write down of themselves. Secrets are left out; times are UTC."""

    level: Literal["debug", "info", "warning", "error", "critical"] = Field(
        "info", description="Of files and terminal: what is less important is left out"
    )
    folder: Path | None = Field(
        None,
        examples=[Path("/var/log/stakan")],
        description="Of the daily files; `logs` in the state folder by default",
    )
    keep_days: int = Field(30, ge=0, description="Older files are removed; 0 keeps all")

    @field_validator("level", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value


class MetricsSection(Section):
    """Prometheus metrics of a running bot, at http://HOST:PORT/metrics; docs/metrics.md names them."""

    host: str = Field("127.0.0.1", description="Loopback unless there is a reason: nobody has to log in")
    port: int = Field(8001, ge=0, le=65535, description="0 serves none; where it is taken, the bot goes on without")


class DatabaseSection(Section):
    """Where the journal is projected to. Without any of these SQLite in the state folder; DB_PASSWORD is a secret."""

    follow: bool = Field(True, description="Let `stakan trade` start a projector; nothing opens while it cannot write")
    url: str = Field(
        "", description="postgresql://user@host:port/name or sqlite:///file, without a password; wins over the parts"
    )
    host: str = Field("", description="Of PostgreSQL; it is used where host, name or user is set")
    port: int = Field(5432, ge=1, le=65535)
    name: str = Field("", description="Of the database; stakan where only others are set")
    user: str = Field("", description="stakan where only others are set")

    @field_validator("url")
    @classmethod
    def _holds_no_secret(cls, value: str) -> str:
        authority = value.partition("://")[2].partition("/")[0]
        if ":" in authority.rpartition("@")[0] or "password=" in value:
            raise ValueError("leave the password out: it is read from DB_PASSWORD in the environment or .env")
        return value


class PluginSection(Section):
    """One plugin: a file of the package of its kind, or a file of your own."""

    name: str = Field(min_length=1, description="What records and reports call it; the file's name without .py")
    plugin: str | None = Field(None, description="File name without .py where it is not the name: one file, used twice")
    file: Path | None = Field(None, description="Path of a file outside the package")
    parameters: dict[str, Any] = Field(default_factory=dict, description="Overrides of the spec's defaults")


class StrategySection(PluginSection):
    """One strategy: a file under `stakan.core.strategies`, or a file of your own."""


class FeatureSetSection(PluginSection):
    """One set of further features: a file under `stakan.core.features.sets`, or a file of your own."""


class DetectorSection(PluginSection):
    """One detector: a file under `stakan.core.detectors`, or a file of your own."""


class SuspicionSection(Section):
    """What findings of detectors do to signals."""

    memory: Duration = Field("30s", description="A finding counts for so long")
    veto: float = Field(
        0.8, ge=0, description="Confidence from which on a signal that leans on the suspicious price is refused"
    )
    weight: float = Field(
        0.5, ge=0, le=1, description="Share of its strength that a signal loses to a finding of confidence 1"
    )


class RuleSection(Section):
    """One risk rule: a file under `stakan.core.risk`."""

    name: str = Field(min_length=1)
    parameters: dict[str, Any] = Field(default_factory=dict)


_STRATEGIES = tuple(StrategySection(name=name) for name in ("imbalance", "density_breakout", "density_bounce"))
_RULES = tuple(
    RuleSection(name=name) for name in ("mandatory_stop", "order_size", "position_count", "exposure", "daily_loss")
)

_PREFIX = "STAKAN__"
_PLAIN = 2
"""Words of an alias for a key of a section; one of a plugin has its name between."""

ALIASES: Mapping[str, tuple[str, ...]] = {
    "TRADING_PAIRS": ("instruments",),
    "IMBALANCE_BUY_THRESHOLD": ("strategies", "imbalance", "buy_threshold"),
    "IMBALANCE_SELL_THRESHOLD": ("strategies", "imbalance", "sell_threshold"),
    "MAX_OPEN_POSITIONS": ("risk", "position_count", "max_positions"),
    "MAX_EXPOSURE_USDT": ("risk", "exposure", "max_notional"),
    "MIN_ORDER_SIZE_USDT": ("risk", "order_size", "min_notional"),
    "LOG_LEVEL": ("logs", "level"),
    "DB_HOST": ("database", "host"),
    "DB_PORT": ("database", "port"),
    "DB_NAME": ("database", "name"),
    "DB_USER": ("database", "user"),
}
"""Names that traders carry over from other bots."""


class Settings(BaseSettings):
    """The whole configuration of a program."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    instruments: tuple[str, ...] = Field((), description="Ids or unambiguous short names; empty: all in the data")
    engine: EngineSection = EngineSection()
    account: AccountSection = AccountSection()
    sizing: SizingSection = SizingSection()
    strategies: tuple[StrategySection, ...] = Field(
        _STRATEGIES, description="Name, parameters and, for a file of your own, its path"
    )
    feature_sets: tuple[FeatureSetSection, ...] = Field(
        (), description="Features beside the 110: name, parameters and, for a file of your own, its path"
    )
    detectors: tuple[DetectorSection, ...] = Field(
        (),
        description="What looks out for manipulation, and weakens or vetoes signals: name, parameters and, for a file of "
        "your own, its path",
    )
    suspicion: SuspicionSection = SuspicionSection()
    risk: tuple[RuleSection, ...] = Field(_RULES, description="Risk rules and their parameters; all must agree")
    venue: VenueSection = VenueSection()
    universe: UniverseSection = UniverseSection()
    trade: TradeSection = TradeSection()
    recovery: RecoverySection = RecoverySection()
    watchdog: WatchdogSection = WatchdogSection()
    redis: RedisSection = RedisSection()
    feature_store: FeatureStoreSection = FeatureStoreSection()
    console: ConsoleSection = ConsoleSection()
    logs: LogsSection = LogsSection()
    metrics: MetricsSection = MetricsSection()
    database: DatabaseSection = DatabaseSection()
    densities: dict[str, Any] = Field(
        default_factory=dict,
        description="What makes a density; for one instrument alone in [densities.instruments.NAME]",
    )
    features: dict[str, Any] = Field(
        default_factory=dict, description="What some features leave open; docs/features.md says what each one is"
    )
    patterns: dict[str, Any] = Field(
        default_factory=dict,
        description="Judged findings that new ones are compared with; `library` names a file of `stakan findings library`",
    )
    simulation: dict[str, Any] = Field(
        default_factory=dict, description="Latencies, queue model, seed, fees; docs/simulation.md says what they mean"
    )

    @model_validator(mode="after")
    def _has_a_place_for_features(self) -> Self:
        if self.feature_store.kind == "redis" and not self.redis.url:
            raise ValueError("feature_store.kind is redis: set redis.url, e.g. redis://127.0.0.1:6379/0")
        return self

    @field_validator("patterns")
    @classmethod
    def _with_library(cls, value: dict[str, Any]) -> dict[str, Any]:
        """What the file holds becomes part of the configuration: a replay must not depend on what it holds later."""
        if "library" not in value:
            return value
        path = Path(str(value["library"])).expanduser()
        try:
            library = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        except (OSError, msgspec.MsgspecError) as error:
            raise ValueError(
                f"library {path} cannot be read: {error}; make one with `stakan findings library --out {path}`"
            ) from error
        return {**library, **{name: own for name, own in value.items() if name != "library"}}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file."""
        return env_settings, init_settings


class _Frozen(Settings):
    """Settings that do not look at the environment."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The given values only."""
        return (init_settings,)


def load_settings(
    path: Path | None = None, overrides: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Settings:
    """Settings from a TOML file, the environment over it, and `key=value` overrides over both.

    Raises ConfigError naming the key and what it should be.
    """
    environment = os.environ if environment is None else environment
    _refuse_unknown_variables(environment)
    table = _read_toml(path) if path is not None else {}
    try:
        settings = Settings(**table)
    except ValidationError as error:
        raise ConfigError(_explain(error, path)) from error
    except SettingsError as error:
        raise ConfigError(f"the environment: {error}; lists and tables are written as JSON") from error
    return overridden(_with_aliases(settings, environment), overrides)


def overridden(settings: Settings, overrides: Sequence[str]) -> Settings:
    """The settings with `key=value` overrides; raises ConfigError naming the key and what it should be."""
    if not overrides:
        return settings
    table = settings.model_dump(mode="json", exclude_none=True)
    for override in overrides:
        _override(table, override)
    return settings_from(table)


def settings_from(table: dict[str, Any]) -> Settings:
    """Settings from a table alone, whatever the environment says: what a journal's header holds."""
    try:
        return _Frozen(**table)
    except ValidationError as error:
        raise ConfigError(_explain(error, None)) from error


def to_toml(settings: Settings) -> str:
    """The settings as TOML that loads to the same settings: what `config example` prints and a journal keeps."""
    data = settings.model_dump(mode="json", exclude_none=True)
    return msgspec.toml.encode(data).decode()


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration file {path}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def _override(table: dict[str, Any], override: str) -> None:
    """Set `section.key=value`; the value is TOML, or a plain text."""
    key, equals, text = override.partition("=")
    if not equals:
        raise ConfigError(f"{override!r} should be key=value, e.g. engine.candle_interval=1s")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, name = key.strip().split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{override!r}: {section} has no keys of its own")
    table[name] = value


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    """Pydantic sees only variables of known sections; a misspelt one would be passed over in silence."""
    for name in environment:
        section = name.upper().removeprefix(_PREFIX).partition("__")[0]
        if name.upper().startswith(_PREFIX) and section.lower() not in Settings.model_fields:
            known = ", ".join(f"{_PREFIX}{key.upper()}" for key in Settings.model_fields)
            raise ConfigError(f"the environment: {name} is not a known key; known are {known} and what is under them")


def _explain(error: ValidationError, path: Path | None) -> str:
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"]) or "(top level)"
        what = "is not a known key" if problem["type"] == "extra_forbidden" else problem["msg"]
        lines.append(f"{key}: {what}")
    return f"configuration {path or 'in the environment'}: " + "; ".join(lines)


def _with_aliases(settings: Settings, environment: Mapping[str, str]) -> Settings:
    for alias, target in ALIASES.items():
        value = environment.get(alias)
        if value is None:
            continue
        if target[0] == "instruments":
            pairs = tuple(part.strip() for part in value.split(",") if part.strip())
            settings = settings.model_copy(update={"instruments": pairs})
            continue
        if len(target) == _PLAIN:
            settings = _with_key(settings, target, alias, value)
            continue
        section, name, key = target
        entries = tuple(
            entry.model_copy(update={"parameters": {**entry.parameters, key: value}}) if entry.name == name else entry
            for entry in getattr(settings, section)
        )
        if not any(entry.name == name for entry in entries):
            raise ConfigError(f"{alias} sets {key} of {name}, which is not configured under {section}")
        settings = settings.model_copy(update={section: entries})
    return settings


def _with_key(settings: Settings, target: tuple[str, ...], alias: str, value: str) -> Settings:
    section, key = target
    before: Section = getattr(settings, section)
    try:
        after = type(before).model_validate({**before.model_dump(), key: value})
    except ValidationError as error:
        said = error.errors()[0]["msg"]
        raise ConfigError(f"the environment: {alias} should be {section}.{key}: {said}, got {value!r}") from None
    return settings.model_copy(update={section: after})
