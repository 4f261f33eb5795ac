"""The whole configuration of a program: its tables, and what they must agree on."""

from pathlib import Path
from typing import Any, Self

import msgspec
from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from stakan.apps.sections import (
    AccountSection,
    ConsoleSection,
    DatabaseSection,
    DetectorSection,
    EngineSection,
    FeatureSetSection,
    FeatureStoreSection,
    LogsSection,
    MetricsSection,
    RecoverySection,
    RedisSection,
    RuleSection,
    SizingSection,
    StrategySection,
    SuspicionSection,
    TracingSection,
    TradeSection,
    UniverseSection,
    VenueSection,
    WatchdogSection,
)

ENV_PREFIX = "STAKAN__"
"""Of environment variables: `STAKAN__SECTION__KEY`."""
_STRATEGIES = tuple(StrategySection(name=name) for name in ("imbalance", "density_breakout", "density_bounce"))
_RULES = tuple(
    RuleSection(name=name) for name in ("mandatory_stop", "order_size", "position_count", "exposure", "daily_loss")
)


class Settings(BaseSettings):
    """The whole configuration of a program."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
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
    tracing: TracingSection = TracingSection()
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
