"""Tables of the configuration file: every key with its default, its bounds and what it is for."""

from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from stakan.apps.durations import Duration, Period, duration_ns
from stakan.core.domain.trading import Orphans
from stakan.core.domain.units import DAY, SECOND


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
    journal_interval: Period = Field(
        "50ms",
        description="How often the journal goes to the disk where no order waits for it: what a killed process loses of "
        "the market at most. Short keeps a disk awake that an order will ask; 1s makes the files of few symbols half as big",
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


class TracingSection(Section):
    """Orders of a running bot as OpenTelemetry traces; needs `pip install 'stakan[tracing]'`."""

    endpoint: str = Field(
        "",
        examples=["http://127.0.0.1:4318/v1/traces"],
        description="Of a collector that takes OTLP over HTTP, e.g. http://127.0.0.1:4318/v1/traces; empty: none",
    )
    service: str = Field("stakan", min_length=1, description="What the traces call the bot: service.name")
    headers_from: str = Field(
        "OTEL_EXPORTER_OTLP_HEADERS",
        min_length=1,
        description="Variable of the environment or .env that holds headers for it, name=value,name=value: secrets",
    )

    @field_validator("endpoint")
    @classmethod
    def _holds_no_secret(cls, value: str) -> str:
        # The configuration is kept in every journal.
        address = urlsplit(value)
        if value and (address.scheme not in ("http", "https") or not address.hostname):
            raise ValueError("write http://host:port/v1/traces or https://..., or nothing")
        if "@" in address.netloc or address.query:
            raise ValueError("leave secrets out: headers are read from the variable that headers_from names")
        return value


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
