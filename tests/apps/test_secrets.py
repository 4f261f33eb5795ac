"""API keys: where they come from, and that they do not show."""

import logging

import pytest

from stakan.apps.secrets import bybit_keys, collector_headers, database_password
from stakan.core.domain.errors import ConfigError

KEY, SECRET = "abcdefgh12345", "zyxwvut98765"


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch):
    monkeypatch.delenv("BYBIT_API_KEY", raising=False)
    monkeypatch.delenv("BYBIT_API_SECRET", raising=False)


def test_there_may_be_none(tmp_path):
    assert bybit_keys(tmp_path / "none") is None


def test_the_file_gives_them_and_the_environment_is_above_it(tmp_path, monkeypatch):
    file = tmp_path / ".env"
    file.write_text(f"BYBIT_API_KEY={KEY}\nBYBIT_API_SECRET={SECRET}\nOTHER=1\n")
    assert bybit_keys(file).secret == SECRET
    monkeypatch.setenv("BYBIT_API_KEY", "another")
    monkeypatch.setenv("BYBIT_API_SECRET", "half")
    assert (bybit_keys(file).key, bybit_keys(file).secret) == ("another", "half")


@pytest.mark.parametrize(("there", "missing"), [("KEY", "BYBIT_API_SECRET"), ("SECRET", "BYBIT_API_KEY")])
def test_half_a_key_is_refused_without_showing_it(tmp_path, monkeypatch, there, missing):
    monkeypatch.setenv(f"BYBIT_API_{there}", SECRET)
    with pytest.raises(ConfigError, match=missing) as refused:
        bybit_keys(tmp_path / "none")
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("sign", ["\n", " ", "ключ", "\udcff"])
def test_what_cannot_be_a_key_is_refused_without_showing_it(tmp_path, monkeypatch, sign):
    monkeypatch.setenv("BYBIT_API_KEY", f"{KEY}{sign}{KEY}")
    monkeypatch.setenv("BYBIT_API_SECRET", SECRET)
    with pytest.raises(ConfigError, match="BYBIT_API_KEY") as refused:
        bybit_keys(tmp_path / "none")
    assert KEY not in str(refused.value)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    file = tmp_path / ".env"
    file.write_bytes(b"\xff\xfe\x00" + SECRET.encode())
    with pytest.raises(ConfigError, match="cannot be read") as refused:
        bybit_keys(file)
    assert SECRET not in str(refused.value)


def test_keys_do_not_show_in_texts_logs_and_tracebacks(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("BYBIT_API_KEY", KEY)
    monkeypatch.setenv("BYBIT_API_SECRET", SECRET)
    keys = bybit_keys(tmp_path / "none")
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").info("keys %s %r", keys, [keys])
    assert KEY not in caplog.text
    assert SECRET not in caplog.text


def test_the_password_of_the_database_is_read_like_a_key_and_does_not_show(tmp_path, monkeypatch):
    monkeypatch.delenv("DB_PASSWORD", raising=False)
    assert not database_password(tmp_path / "none").get_secret_value()
    file = tmp_path / ".env"
    file.write_text(f"DB_PASSWORD={SECRET}\n")
    found = database_password(file)
    assert found.get_secret_value() == SECRET
    assert SECRET not in f"{found!r} {found}"
    monkeypatch.setenv("DB_PASSWORD", "above")
    assert database_password(file).get_secret_value() == "above"


# --- headers for a collector of traces ------------------------------------------------------------------------------


def test_headers_are_those_of_the_variable_that_is_named(tmp_path, monkeypatch):
    assert collector_headers("COLLECTOR", tmp_path / "none") == {}
    file = tmp_path / ".env"
    file.write_text("COLLECTOR=x-api-key=abc\n")
    assert collector_headers("COLLECTOR", file) == {"x-api-key": "abc"}
    monkeypatch.setenv("COLLECTOR", "authorization=Basic%20YWJj==, x-team = a b ,")
    assert collector_headers("COLLECTOR", file) == {"authorization": "Basic YWJj==", "x-team": "a b"}


@pytest.mark.parametrize(
    "text", [SECRET, f"={SECRET}", f"a b={SECRET}", f"key={SECRET}%0d%0ax: y", f"key={SECRET}ключ"]
)
def test_what_cannot_be_headers_is_refused_without_showing_it(tmp_path, monkeypatch, text):
    monkeypatch.setenv("COLLECTOR", text)
    with pytest.raises(ConfigError, match="COLLECTOR should be name=value") as refused:
        collector_headers("COLLECTOR", tmp_path / "none")
    assert SECRET not in str(refused.value)
