"""Nothing secret in what is written down: what a name or a value gives away is replaced, in whatever it is hidden.

What comes out is plain data (texts, numbers, lists, tables), a copy: nothing that happens to the original later, while
a line waits to be written, can change it.
"""

import base64
import dataclasses
import enum
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec
import numpy as np

MASK = "***"
SHORTEST_SECRET = 8
"""Shorter ones would be found in ordinary words."""
_SHORT = 64
_LONGEST_TEXT = 10_000
_MOST_ITEMS = 100
_DEEPEST = 6
_LARGEST_NUMBER = 2**63

_NAMES = r"secret|passw|pwd|token|api[-_]?key|signature|authori[sz]ation|cookie|credential|bearer|jwt|x-bapi-sign"
_SECRET_NAME = re.compile(rf"{_NAMES}|(?:^|[-_. ])(?:keys?|sign)$", re.IGNORECASE)
_NAMED_IN_TEXT = re.compile(
    # Prose such as "no API key: set one" names nothing: the short words count only where they are assigned or quoted.
    rf"""(?P<name>[\w-]*(?:(?:{_NAMES})[\w-]*["']?\s*[=:]|\b\w*(?:key|sign)(?:["']\s*:|["']?\s*=))"""
    r"""\s*["']?(?:(?:bearer|basic|token)\s+)?)"""
    r"""(?P<value>[^\s"'&,;(){}\[\]<>]+)""",
    re.IGNORECASE,
)
_TELLING = (
    *("secret", "passw", "pwd", "token", "key", "sign", "authori", "cookie", "credential", "bearer", "basic", "jwt"),
    *("://", "eyj"),
)
"""One of these is in all that a pattern changes. Most texts hold none, and looking for them so is ten times quicker."""
_BEARER = re.compile(r"\b(?P<name>bearer\s+|basic\s+)(?P<value>[\w.~+/=-]{8,})", re.IGNORECASE)
_IN_URL = re.compile(r"(?P<name>://[^/\s:@\"']*:)(?P<value>[^/\s\"']+)(?=@)")
_JWT = re.compile(r"\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*")


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Whether what has this name is to be hidden whatever it is."""
    return _SECRET_NAME.search(name) is not None


class Redactor:
    """Knows secrets and hides them; see `fields`."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: tuple[str, ...] = ()
        # Names of instruments, sides, strategies: most short texts come again and again.
        self._short = lru_cache(maxsize=4096)(self._cleaned)
        self.hide(*secrets)

    def hide(self, *secrets: str) -> None:
        """Hide these from now on, in the ways in which texts quote them too; those that are too short are passed over."""
        found = {form for one in secrets if len(one) >= SHORTEST_SECRET for form in _forms(one)}
        # Longest first: one may be a part of another.
        self._secrets = tuple(sorted(found.union(self._secrets), key=len, reverse=True))
        self._short.cache_clear()

    def fields(self, said: Mapping[Any, Any]) -> dict[str, Any]:
        """A copy of what is said, as plain data, without secrets."""
        return self._table(said.items(), 0)

    def text(self, text: str) -> str:
        """A text without secrets: those that are known, and what stands behind a telling name or in an address."""
        return self._short(text) if len(text) <= _SHORT else self._cleaned(text)

    def _cleaned(self, text: str) -> str:
        clean = self._without_known(text)
        lower = clean.lower()
        if any(word in lower for word in _TELLING):
            hidden = _NAMED_IN_TEXT.sub(_masked, _BEARER.sub(_masked, _IN_URL.sub(_masked, _JWT.sub(MASK, clean))))
            clean = clean if hidden == clean else self._without_known(hidden)
        if not clean.isascii():
            # Half of a surrogate pair is no text, and could not be written.
            clean = clean.encode(errors="backslashreplace").decode()
        return clean if len(clean) <= _LONGEST_TEXT else f"{clean[:_LONGEST_TEXT]}… ({len(clean)} characters)"

    def _without_known(self, text: str) -> str:
        for secret in self._secrets:
            # Again and again, as what is left of two may make a third.
            while secret in text:
                text = text.replace(secret, MASK)
        return text

    def _value(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, enum.Enum):
            return self.text(value.value if isinstance(value.value, str) else value.name)
        if isinstance(value, int | float):
            return self._number(value)
        if isinstance(value, str):
            return self.text(str.__str__(value))
        if isinstance(value, bytes | bytearray | memoryview):
            return self.text(bytes(value).decode(errors="backslashreplace"))
        if isinstance(value, np.generic):
            return self._value(value.item(), depth) if not isinstance(value, np.void) else self._unknown(value)
        if depth >= _DEEPEST:
            return self._unknown(value)
        return self._compound(value, depth + 1)

    def _compound(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return self._table(value.items(), depth)
        if isinstance(value, list | tuple | AbstractSet):
            items = [self._value(one, depth) for one, _ in zip(value, range(_MOST_ITEMS), strict=False)]
            return items if len(value) <= _MOST_ITEMS else [*items, f"… ({len(value)} items)"]
        if isinstance(value, msgspec.Struct):
            return self._table(((name, getattr(value, name, None)) for name in value.__struct_fields__), depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = (field.name for field in dataclasses.fields(value))
            return self._table(((name, getattr(value, name, None)) for name in names), depth)
        return self._unknown(value)

    def _table(self, items: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for (key, value), _ in zip(items, range(_MOST_ITEMS), strict=False):
            name = key if isinstance(key, str) else _shown(key)
            is_hidden = is_secret_name(name) and not _is_nothing(value)
            found[self.text(name)] = MASK if is_hidden else self._value(value, depth)
        return found

    def _number(self, value: float) -> Any:
        shown = repr(value)
        is_plain = math.isfinite(value) and abs(value) < _LARGEST_NUMBER and shown == self._without_known(shown)
        # Without the name of an enumeration, or whatever else it is besides a number.
        return (int(value) if isinstance(value, int) else float(value)) if is_plain else self.text(shown)

    def _unknown(self, value: Any) -> str:
        return self.text(_shown(value))


def _shown(value: Any) -> str:
    try:
        return f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else str(value)
    except Exception:  # noqa: BLE001 - somebody else's __str__
        return f"<{type(value).__name__} that cannot be shown>"


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, str | bytes) and not value)


def _masked(found: "re.Match[str]") -> str:
    return found["name"] + MASK


def _forms(secret: str) -> set[str]:
    """A secret as it may stand in texts: itself, quoted once and twice by Python or JSON, in an address, as base64."""
    data = secret.encode(errors="surrogateescape") if _is_encodable(secret) else b""
    once = {quoted(secret) for quoted in _QUOTED} | {repr(data)[2:-1]}
    twice = {quoted(one) for quoted in _QUOTED for one in once}
    other = {data.decode(errors="backslashreplace"), quote(data, safe=""), quote(data), quote_plus(data)}
    coded = {base64.b64encode(data).decode().rstrip("="), base64.urlsafe_b64encode(data).decode().rstrip("=")}
    return {one for one in {secret, *once, *twice, *other, *coded} if len(one) >= SHORTEST_SECRET}


_QUOTED: tuple[Callable[[str], str], ...] = (
    lambda text: repr(text)[1:-1],
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    # Which quotes are escaped depends on those around it.
    lambda text: repr(text + "'\"")[1:-4],
    lambda text: repr(text + "'\"")[1:-4].replace("\\'", "'"),
)


def _is_encodable(text: str) -> bool:
    try:
        text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return False
    return True
