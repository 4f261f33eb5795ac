"""Plans that failed once, kept as TOML: they are run before all others."""

from pathlib import Path

import msgspec

from stakan.apps.dst.plan import Plan
from stakan.core.domain.errors import DataError, StorageError

FILE = Path("tests/dst/seeds.toml")


class KeptPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A plan, and what it broke."""

    invariant: int
    what: str
    plan: Plan


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kept: tuple[KeptPlan, ...] = ()


def read(path: Path) -> tuple[KeptPlan, ...]:
    """The plans of a file, none where there is no file; raises DataError where it cannot be read."""
    if not path.exists():
        return ()
    try:
        return msgspec.toml.decode(path.read_bytes(), type=_File).kept
    except (msgspec.MsgspecError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} does not hold plans: {error}") from error


def text(plan: KeptPlan) -> str:
    """A plan as a piece of such a file."""
    return msgspec.toml.encode({"kept": [_builtins(plan)]}).decode()


def add(path: Path, plan: KeptPlan) -> None:
    """One more plan at the end of a file; raises StorageError."""
    try:
        with path.open("a") as file:
            file.write(("\n" if file.tell() else "") + text(plan))
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


def _builtins(plan: KeptPlan) -> object:
    """TOML has no null: what is not given is left out."""
    return _without_none(msgspec.to_builtins(plan))


def _without_none(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_none(one) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_without_none(one) for one in value]
    return value
