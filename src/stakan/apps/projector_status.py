"""What the projector says of itself, for those who must not wait for a database to be loaded."""

from enum import StrEnum
from pathlib import Path

import msgspec

from stakan.core.domain.errors import DataError

STATUS_FILE = "projector.json"


class Health(StrEnum):
    """How the projector is."""

    FOLLOWING = "following"
    BEHIND = "behind"
    """Rows are being written for what has long happened."""
    DATABASE_AWAY = "database_away"
    FAILED = "failed"
    STOPPED = "stopped"


class ProjectorStatus(msgspec.Struct, kw_only=True):
    """What `projector.json` in the state folder says."""

    health: Health
    run: str = ""
    number: int = 0
    """Last step that is in the database."""
    lag_steps: int = 0
    """Written in the journal and not in the database."""
    lag_seconds: float = 0.0
    """Age of the last step that is in the database, where later ones are not; else 0."""
    last_error: str = ""
    audit_break: str = ""
    """Where the chain of the audit log is broken; what the last projector knew until this one has read all of it."""
    database: str
    """Without user and password."""
    pid: int
    started_ts: int
    updated_ts: int


def read_status(folder: Path) -> ProjectorStatus | None:
    """What the projector of a state folder said last; None where none ever ran. Raises DataError."""
    try:
        return msgspec.json.decode((folder / STATUS_FILE).read_bytes(), type=ProjectorStatus)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise DataError(f"{folder / STATUS_FILE} cannot be read: {error}") from error


def write_status(folder: Path, status: ProjectorStatus) -> None:
    """All of it or nothing; raises OSError."""
    new = folder / f"{STATUS_FILE}.new"
    new.write_bytes(msgspec.json.format(msgspec.json.encode(status), indent=2) + b"\n")
    new.replace(folder / STATUS_FILE)
