"""Which database a configuration means."""

from pathlib import Path

from sqlalchemy import URL

from stakan.adapters.sql.database import Database, database_url, sqlite_url
from stakan.apps.secrets import ENV_FILE, database_password
from stakan.apps.settings import Settings
from stakan.core.domain.errors import ConfigError, StorageError

SQLITE_FILE = "stakan.sqlite"
"""In the state folder, where nothing else is configured."""
_NAME = "stakan"


def open_database(settings: Settings, env_file: Path = ENV_FILE) -> Database:
    """The configured database, to be closed; SQLite in the state folder where none is named.

    Raises ConfigError where the configuration names none that can be, StorageError where a folder cannot be made.
    """
    url = _url(settings)
    if url.get_backend_name() == "sqlite":
        folder = Path(url.database or "").parent
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StorageError(f"{folder} cannot hold a database: {error.strerror}") from error
        return Database(url)
    secret = database_password(env_file).get_secret_value()
    return Database(url.set(password=secret) if secret else url)


def existing_database(settings: Settings, env_file: Path = ENV_FILE) -> Database:
    """The configured database, to be asked; raises ConfigError where it is a file that nobody has made yet."""
    url = _url(settings)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise ConfigError(f"there is no database {url.database} yet: `stakan project` or `stakan db migrate` makes it")
    return open_database(settings, env_file)


def _url(settings: Settings) -> URL:
    section = settings.database
    if section.url:
        return database_url(section.url)
    if section.host or section.name or section.user:
        return URL.create(
            "postgresql+asyncpg",
            username=section.user or _NAME,
            host=section.host or "127.0.0.1",
            port=section.port,
            database=section.name or _NAME,
        )
    return sqlite_url(settings.trade.state / SQLITE_FILE)
