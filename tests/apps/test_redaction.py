"""Redaction: a secret that is known never shows, and what a name or an address gives away is hidden unknown."""

import base64
import collections
import dataclasses
import enum
import io
import json
import logging
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

import msgspec
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from stakan.adapters.exchanges.bybit.rest import Keys
from stakan.apps.logs import MASK, LogPlan, Logs, Redactor
from stakan.apps.logs.sinks import Terminal
from stakan.apps.secrets import secrets_to_hide

SECRET = "aB3dE6gH9jK2"


def raising(error, cause=None):
    raise error from cause


class Held(msgspec.Struct):
    value: object


@dataclasses.dataclass
class Kept:
    value: object


class Odd:
    def __init__(self, value):
        self.value = value

    def __repr__(self):
        return f"Odd({self.value!r})"


class Refuses:
    def __repr__(self):
        raise RuntimeError("no")


class Named(enum.StrEnum):
    ONE = SECRET


WRAPS = (
    lambda value: [value],
    lambda value: (1, value),
    lambda value: {"a": value},
    lambda value: {str(value): 1},
    lambda value: MappingProxyType({"deep": {"deeper": [value]}}),
    lambda value: collections.deque([value]),
    lambda value: collections.Counter([str(value)]),
    lambda value: {str(value)},
    Held,
    Kept,
    Odd,
    lambda value: f"before {value} after",
    lambda value: str(value).encode(errors="surrogateescape"),
    lambda value: bytearray(str(value).encode(errors="surrogateescape")),
    lambda value: Path(str(value).replace("\0", "")),
    ValueError,
    KeyError,
    lambda value: ExceptionGroup("several", [ValueError(value)]),
    lambda value: np.array([str(value)]),
    lambda value: f"https://user:{value}@host/path",
    lambda value: json.dumps({"a": str(value)}),
    repr,
    lambda value: [[[[[[[[value]]]]]]]],
)
secrets = st.one_of(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40),
    st.text(st.characters(exclude_categories=("Cs",)), min_size=8, max_size=20),
    st.just(SECRET),
).filter(lambda text: text.strip() == text and len(set(text)) > 3)
wraps = st.lists(st.sampled_from(WRAPS), max_size=3)


def wrapped(value, around):
    for wrap in around:
        try:
            value = wrap(value)
        except (TypeError, ValueError, UnicodeError):
            # One of these does not take everything.
            continue
    return value


def everything_in(value):
    """All texts in decoded JSON, keys included."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from everything_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from everything_in(inner)
    else:
        yield str(value)


QUOTED = "it's a \"\\ñ"  # every way of quoting changes it


@example(QUOTED, [KeyError], "field")
@example(QUOTED, [Odd], "field")
@example(QUOTED, [repr, KeyError], "field")
@example(QUOTED, [json.dumps], "field")
@example("0000012'", [lambda value: str({str([value]): 1})], "field")
@example(QUOTED, [quote], "field")
@example(QUOTED, [lambda value: base64.b64encode(value.encode()).decode()], "field")
@example(QUOTED, [lambda value: [value.encode()], Odd], "event")
@settings(max_examples=200, deadline=None)
@given(secrets, wraps, st.sampled_from(["field", "event", "exception", "context", "extra"]))
def test_a_registered_secret_never_shows_in_whatever_it_is_hidden(secret, around, place):
    assume(secret not in "".join(shown_of("", place)))  # our own words are no secrets
    hidden = wrapped(secret, around)
    line, on_screen = shown_of(hidden, place, secret)
    for text in everything_in(json.loads(line)):
        assert secret not in text
        assert not (secret == QUOTED and isinstance(hidden, str) and hidden in text)
    assert secret not in line
    assert secret not in on_screen


def shown_of(hidden, place, *secrets):
    """A line with something hidden in it, as it is in the file and on the terminal."""
    seen = []
    logs = Logs(LogPlan(program="bot"), secrets)
    logs._pumps = [(type("Sink", (), {"put": seen.append}), 0)]
    logs.say(record_of(hidden, place))
    shown = io.StringIO()
    Terminal(lambda: shown).write(seen, 0)
    return msgspec.json.encode(seen[0].fields).decode(), shown.getvalue()


def record_of(hidden, place):
    error = None
    if place == "exception":
        try:
            raising(RuntimeError(hidden), hidden if isinstance(hidden, BaseException) else None)
        except RuntimeError as raised:
            error = raised
    message = str(hidden) if place == "event" else "text"
    record = logging.makeLogRecord({"msg": message, "levelno": 20, "levelname": "INFO", "name": "a"})
    if place == "field":
        record.msg = {"event": "text", "field": hidden}
    if place in {"extra", "context"}:
        record.value = {"context": hidden}
    if error is not None:
        record.exc_info = (type(error), error, error.__traceback__)
    return record


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("postgresql://stakan:hunter2@db/trades", f"postgresql://stakan:{MASK}@db/trades"),
        ("redis://:hunter2@cache:6379", f"redis://:{MASK}@cache:6379"),
        ("GET /v5?api_key=abc&symbol=BTC&sign=f00", f"GET /v5?api_key={MASK}&symbol=BTC&sign={MASK}"),
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {MASK}"),
        ("{'password': 'hunter2', 'user': 'ann'}", f"{{'password': '{MASK}', 'user': 'ann'}}"),
        ('{"X-BAPI-SIGN": "f00", "a": 1}', f'{{"X-BAPI-SIGN": "{MASK}", "a": 1}}'),
        ("cookie=stakan_access", f"cookie={MASK}"),
        ("eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.SflKxwRJSMeKKF2", MASK),
        ("no API key: set one", "no API key: set one"),
        ("bybit:linear:BTCUSDT: late by 12:30", "bybit:linear:BTCUSDT: late by 12:30"),
        ("token bucket is empty", "token bucket is empty"),
    ],
)
def test_what_stands_behind_a_telling_name_or_in_an_address_is_hidden_without_being_known(text, clean):
    assert Redactor().text(text) == clean


@pytest.mark.parametrize(
    "name",
    ["password", "api_key", "BYBIT_API_SECRET", "access_token", "Authorization", "key", "X-BAPI-SIGN", "set-cookie"],
)
def test_what_has_a_telling_name_is_hidden_whatever_it_is(name):
    for value in ("hunter2", 1234, ["a"], {"b": 1}, Held(1)):
        assert Redactor().fields({name: value}) == {name: MASK}
    assert Redactor().fields({name: None}) == {name: None}


def test_names_that_tell_nothing_are_left_alone():
    fields = {"instrument": "bybit:linear:BTCUSDT", "order": "s-abc", "monkey": 1, "design": "x", "signal": "buy"}
    assert Redactor().fields(fields) == fields


def test_keys_of_an_exchange_do_not_show():
    keys = Keys(SECRET, "s3cret" * 6)
    shown = str(Redactor().fields({"keys": keys, "text": f"{keys}", "held": Held(keys)}))
    assert SECRET not in shown
    assert "s3cret" not in shown


def test_a_secret_that_is_told_later_is_hidden_from_then_on_though_the_same_was_said_before():
    redactor = Redactor()
    assert redactor.text(f"a {SECRET}") == f"a {SECRET}"
    redactor.hide(SECRET)
    assert redactor.text(f"a {SECRET}") == f"a {MASK}"


def test_short_texts_are_no_secrets():
    redactor = Redactor(["BUY", ""])
    assert redactor.text("BUY 1") == "BUY 1"


def test_what_waits_to_be_written_does_not_change_with_what_it_was_made_of():
    original = {"levels": [1, 2], "inner": {"a": 1}}
    copy = Redactor().fields(original)
    original["levels"].append(3)
    original["inner"]["a"] = 2
    assert copy == {"levels": [1, 2], "inner": {"a": 1}}


@settings(max_examples=50, deadline=None)
@given(st.recursive(st.none() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals(), st.lists))
def test_whatever_is_said_can_be_written(value):
    fields = Redactor([SECRET]).fields({"value": value, "odd": Refuses(), "half": "\udc80", "kind": Named.ONE})
    assert json.loads(msgspec.json.encode(fields))["odd"]
    assert fields["kind"] == MASK


def test_large_things_are_cut():
    fields = Redactor().fields(
        {"text": "x" * 10**6, "list": list(range(10**5)), "table": {str(i): i for i in range(9**4)}}
    )
    assert len(msgspec.json.encode(fields)) < 50_000


def test_what_goes_round_in_a_circle_ends():
    circle = []
    circle.append(circle)
    assert "…" in str(Redactor().fields({"circle": circle})) or "[...]" in str(Redactor().fields({"circle": circle}))


def test_the_environment_of_a_program_may_hold_secrets_and_paths_are_none(tmp_path):
    file = tmp_path / ".env"
    file.write_text(f'TELEGRAM_BOT_TOKEN="{SECRET}"\nNAME=stakan\n')
    environment = {
        "DATABASE_URL": "postgresql://u:hunter2222@db/x",
        "BYBIT_API_SECRET": "zyxwvut98765",
        "LANG": "C.UTF-8",
        "PWD": str(tmp_path),
        "SSL_KEY": str(file),
    }
    found = secrets_to_hide(file, environment)
    assert set(found) == {SECRET, "hunter2222", "zyxwvut98765"}
