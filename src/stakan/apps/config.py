"""The one reader of configuration: a TOML file, overridden by environment variables, refused where it cannot work.

Order: built-in defaults, then the TOML file, then `STAKAN__SECTION__KEY`, then the familiar names of `ALIASES`, then
what is set for one run.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from pydantic_settings.exceptions import SettingsError

from stakan.apps.sections import Section
from stakan.apps.settings import ENV_PREFIX, Settings
from stakan.core.domain.errors import ConfigError

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
        section = name.upper().removeprefix(ENV_PREFIX).partition("__")[0]
        if name.upper().startswith(ENV_PREFIX) and section.lower() not in Settings.model_fields:
            known = ", ".join(f"{ENV_PREFIX}{key.upper()}" for key in Settings.model_fields)
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
