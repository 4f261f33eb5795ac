"""API keys and passwords: read from the environment or `.env`, never from the configuration, never shown."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr
from pydantic_settings import BaseSettings, DotEnvSettingsSource, SettingsConfigDict

from stakan.adapters.exchanges.bybit.rest import Keys
from stakan.apps.logs.redaction import is_secret_name
from stakan.core.domain.errors import ConfigError

ENV_FILE = Path(".env")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


class _Secrets(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="", extra="ignore", env_file_encoding="utf-8", hide_input_in_errors=True
    )

    bybit_api_key: SecretStr = SecretStr("")
    bybit_api_secret: SecretStr = SecretStr("")
    db_password: SecretStr = SecretStr("")
    redis_password: SecretStr = SecretStr("")


def bybit_keys(env_file: Path = ENV_FILE) -> Keys | None:
    """`BYBIT_API_KEY` and `BYBIT_API_SECRET` of the environment, else of the file; None where there are none.

    Raises ConfigError where only one of the two is set, one cannot be a key, or the file cannot be read.
    """
    secrets = _read(env_file)
    key = secrets.bybit_api_key.get_secret_value().strip()
    secret = secrets.bybit_api_secret.get_secret_value().strip()
    if bool(key) != bool(secret):
        missing = "BYBIT_API_SECRET" if key else "BYBIT_API_KEY"
        raise ConfigError(f"{missing} is missing: set both it and its other half, in the environment or in {env_file}")
    if not (key + secret).isascii() or any(not sign.isprintable() or sign.isspace() for sign in key + secret):
        raise ConfigError("BYBIT_API_KEY and BYBIT_API_SECRET should be letters and digits without blanks")
    return Keys(key, secret) if key else None


def secrets_to_hide(env_file: Path = ENV_FILE, environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """What logs must not show: values of the environment and of the file that a telling name or an address gives away.

    A file that cannot be read gives nothing: whoever needs it says so.
    """
    found = dict(os.environ if environment is None else environment)
    try:
        in_file = DotEnvSettingsSource(_Secrets, env_file=env_file, env_file_encoding="utf-8").env_vars
    except (OSError, UnicodeDecodeError):
        in_file = {}
    found.update((name, value) for name, value in in_file.items() if value is not None)
    return tuple({secret for name, value in found.items() if (secret := _secret_in(name, value))})


def _secret_in(name: str, value: str) -> str:
    try:
        password = urlsplit(value).password if "://" in value else None
    except ValueError:
        password = None
    if password is not None or not is_secret_name(name):
        return password or ""
    # A place where a secret may lie is none, least of all PWD.
    return "" if value.startswith("/") and Path(value).exists() else value


def database_password(env_file: Path = ENV_FILE) -> SecretStr:
    """`DB_PASSWORD` of the environment, else of the file; empty where there is none. Raises ConfigError."""
    return _read(env_file).db_password


def redis_password(env_file: Path = ENV_FILE) -> str | None:
    """`REDIS_PASSWORD` of the environment, else of the file; None where there is none. Raises ConfigError."""
    return _read(env_file).redis_password.get_secret_value() or None


def collector_headers(variable: str, env_file: Path = ENV_FILE) -> dict[str, str]:
    """Headers for a collector of traces, `name=value,name=value` with %XX for what is special, as OpenTelemetry has it.

    Of the environment, else of the file; none where the variable is nowhere set. Raises ConfigError, without a value.
    """
    found = os.environ.get(variable) or _in_file(env_file).get(variable.lower()) or ""
    headers = {}
    for part in found.split(","):
        if not part.strip():
            continue
        name, equals, value = (unquote(one.strip()) for one in part.partition("="))
        if not equals or not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ConfigError(f"{variable} should be name=value,name=value: headers of plain ASCII, %XX for the rest")
        headers[name] = value
    return headers


def _in_file(env_file: Path) -> Mapping[str, str | None]:
    try:
        return DotEnvSettingsSource(_Secrets, env_file=env_file, env_file_encoding="utf-8").env_vars
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{env_file} cannot be read: {type(error).__name__}") from None


def _read(env_file: Path) -> _Secrets:
    try:
        return _Secrets(_env_file=env_file)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{env_file} cannot be read: {type(error).__name__}") from None
