"""Who gets in, how long, and who may do what."""

from pathlib import Path
from typing import Any

import jwt
import pytest
from starlette.websockets import WebSocketDisconnect
from tests.apps.api.conftest import HOME, LIFETIME_S, PASSWORDS, World
from tests.apps.console.fake_bot import RunningBot

from stakan.apps.api.sessions import ACCESS_S
from stakan.apps.api.throttle import FREE_FAILURES
from stakan.apps.api.users import Role

GUARDED = (
    "/auth/verify",
    "/bot/status",
    "/bot/config",
    "/data/pairs",
    "/data/metrics",
    "/data/orderbook/BTCUSDT",
    "/data/candles/BTCUSDT",
    "/trading/signals",
    "/trading/balance",
    "/trading/positions",
    "/trading/orders",
    "/trading/trades",
    "/trading/execution-stats",
    "/trading/risk-status",
)
CHANGING = ("/bot/pause", "/bot/resume", "/bot/flatten", "/bot/halt", "/bot/release")


def is_problem(answer: Any, status: int, kind: str) -> bool:
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    return (answer.status_code, body["status"], body["type"]) == (status, status, f"urn:stakan:problem:{kind}")


@pytest.mark.parametrize("path", GUARDED)
def test_a_stranger_sees_nothing(world: World, path: str) -> None:
    assert is_problem(world.client.get(path), 401, "not-logged-in")


@pytest.mark.parametrize("path", CHANGING)
def test_a_stranger_and_a_viewer_change_nothing(world: World, bot: RunningBot, path: str) -> None:
    assert is_problem(world.client.post(path), 401, "not-logged-in")
    assert is_problem(world.client.post(path, headers=world.bearer("viewer")), 403, "operators-only")
    assert bot.bot.asked == []


def test_a_viewer_looks(world: World) -> None:
    assert world.client.get("/trading/positions", headers=world.bearer("viewer")).json() == []


def test_wrong_credentials_sound_the_same_whoever_is_named(world: World) -> None:
    for user in ("operator", "nobody"):
        answer = world.client.post("/auth/login", json={"user": user, "password": "wrong password"})
        assert is_problem(answer, 401, "wrong-credentials")


def test_an_access_token_ends_and_a_refresh_makes_a_new_one(world: World) -> None:
    tokens = world.login()
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    world.seconds += ACCESS_S - 1
    assert world.client.get("/auth/verify", headers=headers).json() == {"user": "operator", "role": "operator"}
    world.seconds += 1
    assert is_problem(world.client.get("/auth/verify", headers=headers), 401, "not-logged-in")
    fresh = world.client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]}).json()
    headers = {"authorization": f"Bearer {fresh['access_token']}"}
    assert world.client.get("/auth/verify", headers=headers).status_code == 200


def test_a_login_ends_however_often_it_is_refreshed(world: World) -> None:
    token = world.login()["refresh_token"]
    for _ in range(LIFETIME_S // 300 - 1):
        world.seconds += 300
        token = world.client.post("/auth/refresh", json={"refresh_token": token}).json()["refresh_token"]
        world.client.cookies.clear()
    world.seconds += 300
    assert is_problem(world.client.post("/auth/refresh", json={"refresh_token": token}), 401, "not-logged-in")


def test_a_refresh_token_used_twice_ends_the_whole_session(world: World) -> None:
    old = world.login()["refresh_token"]
    fresh = world.client.post("/auth/refresh", json={"refresh_token": old}).json()
    world.client.cookies.clear()
    assert is_problem(world.client.post("/auth/refresh", json={"refresh_token": old}), 401, "not-logged-in")
    headers = {"authorization": f"Bearer {fresh['access_token']}"}
    assert is_problem(world.client.get("/auth/verify", headers=headers), 401, "not-logged-in")
    again = world.client.post("/auth/refresh", json={"refresh_token": fresh["refresh_token"]})
    assert is_problem(again, 401, "not-logged-in")


def test_a_token_that_was_changed_opens_nothing(world: World) -> None:
    token = world.login("viewer")["access_token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    forged = [
        jwt.encode({**claims, "sub": "operator"}, "k" * 32, "HS256"),
        jwt.encode({**claims, "sub": "operator"}, None, "none"),
        token[:-3] + ("aaa" if not token.endswith("aaa") else "bbb"),
        world.login()["refresh_token"],
        "",
        "nonsense",
    ]
    for text in forged:
        answer = world.client.get("/auth/verify", headers={"authorization": f"Bearer {text}"})
        assert is_problem(answer, 401, "not-logged-in"), text


def test_an_access_token_refreshes_nothing(world: World) -> None:
    answer = world.client.post("/auth/refresh", json={"refresh_token": world.login()["access_token"]})
    assert is_problem(answer, 401, "not-logged-in")


def test_logging_out_ends_the_session_at_once(world: World) -> None:
    tokens = world.login()
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    assert world.client.post("/auth/logout", headers=headers).status_code == 204
    assert is_problem(world.client.get("/auth/verify", headers=headers), 401, "not-logged-in")
    again = world.client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert is_problem(again, 401, "not-logged-in")


def test_guesses_are_slowed_down_even_where_the_password_is_right(world: World) -> None:
    for _ in range(FREE_FAILURES):
        world.client.post("/auth/login", json={"user": "operator", "password": "a wrong guess"})
    right = {"user": "operator", "password": PASSWORDS["operator"]}
    answer = world.client.post("/auth/login", json=right)
    assert is_problem(answer, 429, "too-many-attempts")
    world.seconds += int(answer.headers["retry-after"])
    assert world.client.post("/auth/login", json=right).status_code == 200


def test_an_address_that_guesses_names_is_slowed_down_for_all_of_them(world: World) -> None:
    for index in range(FREE_FAILURES):
        world.client.post("/auth/login", json={"user": f"user{index}", "password": "a wrong guess"})
    answer = world.client.post("/auth/login", json={"user": "viewer", "password": PASSWORDS["viewer"]})
    assert is_problem(answer, 429, "too-many-attempts")


def test_a_new_password_counts_and_ends_every_other_session(world: World) -> None:
    mine, other = world.bearer(), world.bearer()
    short = world.client.post(
        "/auth/change-password", headers=mine, json={"password": PASSWORDS["operator"], "new_password": "short"}
    )
    assert is_problem(short, 422, "weak-password")
    wrong = world.client.post(
        "/auth/change-password", headers=mine, json={"password": "not the old one", "new_password": "a new password"}
    )
    assert is_problem(wrong, 403, "wrong-credentials")
    done = world.client.post(
        "/auth/change-password",
        headers=mine,
        json={"password": PASSWORDS["operator"], "new_password": "a new password"},
    )
    assert done.status_code == 200
    world.client.cookies.clear()
    for headers in (mine, other):
        assert is_problem(world.client.get("/auth/verify", headers=headers), 401, "not-logged-in")
    fresh = {"authorization": f"Bearer {done.json()['access_token']}"}
    assert world.client.get("/auth/verify", headers=fresh).status_code == 200
    assert world.client.post("/auth/login", json={"user": "operator", "password": "a new password"}).status_code == 200


def test_a_role_that_was_taken_away_counts_from_the_next_request(world: World, bot: RunningBot) -> None:
    headers = world.bearer()
    world.context.users.add("operator", Role.VIEWER, "another password")
    assert is_problem(world.client.post("/bot/pause", headers=headers), 403, "operators-only")


def test_operators_add_and_remove_users(world: World) -> None:
    headers = world.bearer()
    body = {"user": "guest", "role": "viewer", "password": "guest password"}
    assert is_problem(
        world.client.post("/auth/users", headers=world.bearer("viewer"), json=body), 403, "operators-only"
    )
    assert world.client.post("/auth/users", headers=headers, json=body).json() == {"user": "guest", "role": "viewer"}
    assert is_problem(world.client.post("/auth/users", headers=headers, json=body), 409, "user-exists")
    guest = world.client.post("/auth/login", json={"user": "guest", "password": "guest password"}).json()
    world.client.cookies.clear()
    assert [one["user"] for one in world.client.get("/auth/users", headers=headers).json()][-1] == "guest"
    assert world.client.delete("/auth/users/guest", headers=headers).status_code == 204
    gone = {"authorization": f"Bearer {guest['access_token']}"}
    assert is_problem(world.client.get("/auth/verify", headers=gone), 401, "not-logged-in")
    assert is_problem(world.client.delete("/auth/users/operator", headers=headers), 409, "last-operator")
    assert is_problem(world.client.delete("/auth/users/guest", headers=headers), 404, "unknown-user")


def test_a_browser_gets_cookies_that_scripts_and_other_sites_cannot_use(world: World) -> None:
    answer = world.client.post("/auth/login", json={"user": "operator", "password": PASSWORDS["operator"]})
    for cookie in answer.headers.get_list("set-cookie"):
        assert "httponly" in cookie.lower()
        assert "samesite=strict" in cookie.lower()
    assert world.client.get("/auth/verify").json()["user"] == "operator"


def test_a_cookie_changes_something_only_from_our_own_pages(world: World, bot: RunningBot) -> None:
    world.client.post("/auth/login", json={"user": "operator", "password": PASSWORDS["operator"]})
    for headers in ({}, {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://testserver.evil"}):
        assert is_problem(world.client.post("/bot/pause", headers=headers), 403, "foreign-origin")
    assert bot.bot.asked == []
    assert world.client.post("/bot/pause", headers={"origin": HOME}).status_code == 200


@pytest.mark.parametrize("path", ["/ws", "/ws/book/BTCUSDT"])
def test_a_socket_needs_a_session_and_one_of_our_pages(world: World, bot: RunningBot, path: str) -> None:
    with pytest.raises(WebSocketDisconnect) as stranger, world.client.websocket_connect(path) as socket:
        socket.receive_text()
    assert stranger.value.code == 4401
    headers = {**world.bearer(), "origin": "https://evil.example"}
    with pytest.raises(WebSocketDisconnect), world.client.websocket_connect(path, headers=headers) as socket:
        socket.receive_text()
    with world.client.websocket_connect(path, headers=world.bearer("viewer")) as socket:
        assert socket.receive_text()


@pytest.mark.parametrize("path", ["/ws", "/ws/book/BTCUSDT"])
def test_a_socket_ends_with_its_session(world: World, bot: RunningBot, path: str) -> None:
    headers = world.bearer()
    with world.client.websocket_connect(path, headers=headers) as socket:
        world.client.post("/auth/logout", headers=headers)
        messages = iter(socket.receive, None)
        assert next(one["code"] for one in messages if one["type"] == "websocket.close") == 4401


def test_other_sites_are_let_in_by_name_only(tmp_path: Path) -> None:
    world = World(tmp_path, origins=("https://desk.example",))
    with world.client:
        for origin, is_allowed in (("https://desk.example", True), ("https://evil.example", False)):
            asked = {"origin": origin, "access-control-request-method": "GET"}
            allowed = world.client.options("/bot/status", headers=asked).headers.get("access-control-allow-origin")
            assert (allowed == origin) is is_allowed


def test_what_is_private_stays_private(world: World) -> None:
    world.login()
    for name in ("users.json", "sessions.json", "console.key"):
        assert (world.folder / name).stat().st_mode & 0o777 == 0o600
    told = world.client.post("/auth/login", json={"user": "operator", "password": "x" * 300})
    assert is_problem(told, 422, "invalid-request")
    assert "xxx" not in told.text
