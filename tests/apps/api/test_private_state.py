"""Users, keys and sessions on disk; how failures are paced."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.apps.api.conftest import CHEAP, run

from stakan.apps.api.private_files import read_private, write_private
from stakan.apps.api.sessions import Sessions
from stakan.apps.api.throttle import FREE_FAILURES, LONGEST_PAUSE_S, Throttle
from stakan.apps.api.users import FIRST_USER, Role, Users
from stakan.core.domain.errors import ConfigError, StorageError


def test_the_first_start_makes_an_operator_whose_password_is_told_once(tmp_path: Path) -> None:
    users = Users(tmp_path)
    password = users.ensure_operator(None)
    assert password is not None
    assert len(password) >= 16
    assert users.ensure_operator(None) is None
    again = Users(tmp_path)
    assert again.ensure_operator("something else") is None
    user = run(again.check(FIRST_USER, password))
    assert user is not None
    assert user.role is Role.OPERATOR
    assert user.password_hash.startswith("$argon2id$")
    assert password not in (tmp_path / "users.json").read_text()
    assert run(again.check(FIRST_USER, "something else")) is None


def test_the_environment_sets_the_first_password_and_a_short_one_is_refused(tmp_path: Path) -> None:
    users = Users(tmp_path, CHEAP)
    with pytest.raises(ConfigError, match="at least 10"):
        users.ensure_operator("short")
    assert users.ensure_operator("long enough") is None
    assert run(users.check(FIRST_USER, "long enough")) is not None


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "users.json"
    write_private(file, b'{"users": []}')
    assert read_private(file) == b'{"users": []}'
    file.chmod(0o644)
    with pytest.raises(StorageError, match="chmod 600"):
        Users(tmp_path, CHEAP)


@pytest.mark.parametrize("text", [b"", b"{", b'{"users": [{"name": 3}]}'])
def test_damage_is_named(tmp_path: Path, text: bytes) -> None:
    for name in ("users.json", "sessions.json"):
        write_private(tmp_path / name, text)
    with pytest.raises(StorageError, match=r"users\.json"):
        Users(tmp_path, CHEAP)
    with pytest.raises(StorageError, match=r"sessions\.json"):
        Sessions(tmp_path, 60, lambda: 0)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_half(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        write_private(tmp_path, b"a folder stands there")
    (tmp_path / "kept").mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_sessions_outlive_a_restart_and_so_does_a_revocation(tmp_path: Path) -> None:
    first = Sessions(tmp_path, 3600, lambda: 1000.0)
    kept, closed = first.open("a"), first.open("b")
    first.close(first.verify(closed.access_token).family)
    second = Sessions(tmp_path, 3600, lambda: 1001.0)
    assert second.verify(kept.access_token).user == "a"
    with pytest.raises(Exception, match="ended"):
        second.verify(closed.access_token)
    elsewhere = Sessions(tmp_path / "other", 3600, lambda: 1001.0)
    with pytest.raises(Exception, match="not one of ours"):
        elsewhere.verify(kept.access_token)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 400)), max_size=40))
def test_guesses_are_bounded_however_they_are_timed(attempts: list[tuple[str, float]]) -> None:
    now = 0.0
    throttle = Throttle(lambda: now)
    heard: dict[str, list[float]] = {"a": [], "b": []}
    for name, pause in attempts:
        now += pause
        wait = throttle.wait_s(name)
        assert 0 <= wait <= LONGEST_PAUSE_S
        if wait == 0:
            throttle.attempt(name)
            heard[name].append(now)
    for times in heard.values():
        for index in range(FREE_FAILURES, len(times)):
            assert times[index] - times[index - 1] >= 2


def test_a_success_forgives_the_user_and_not_the_address() -> None:
    throttle = Throttle(lambda: 0.0)
    for _ in range(FREE_FAILURES):
        throttle.attempt("user", "address")
    throttle.succeeded("user", "address")
    throttle.attempt("other", "address")
    assert throttle.wait_s("user") == 0
    assert throttle.wait_s("address") > 0
