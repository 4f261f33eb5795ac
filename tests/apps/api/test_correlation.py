"""One id from a request of a browser or a script to what the bot logs of it."""

import json
import logging
import re
from pathlib import Path
from typing import Any

from tests.apps.api.conftest import World
from tests.apps.console.fake_bot import RunningBot

from stakan.apps.logs import LogPlan, Logs

HEADER = "x-correlation-id"


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in folder.glob("console_2*.log") for line in file.read_text().splitlines()]


def test_what_is_asked_is_logged_with_the_requests_id_and_the_id_that_the_bot_logs(
    world: World, bot: RunningBot, tmp_path: Path
) -> None:
    headers = world.bearer()
    plan = LogPlan(program="console", folder=tmp_path / "logs", terminal_level=logging.CRITICAL)
    with Logs(plan, [headers["authorization"].removeprefix("Bearer ")]):
        answer = world.client.post("/bot/pause", headers={**headers, HEADER: "from-a-script-7"})
    assert answer.headers[HEADER] == "from-a-script-7"
    lines = {line["event"]: line for line in lines_of(tmp_path / "logs")}
    asked, answered = lines["asked"], lines["answered"]
    assert (asked["request"], asked["actor"]) == ("PauseEntries", "operator")
    assert asked["correlation"] == answered["correlation"] == "from-a-script-7"
    assert asked["request_id"] == bot.bot.asked[0].request_id
    assert answered["is_accepted"] is True


def test_a_request_that_brings_no_id_is_given_one_of_its_own(world: World) -> None:
    found = {world.client.get("/health").headers[HEADER] for _ in range(3)}
    assert len(found) == 3
    assert all(re.fullmatch(r"api-[0-9a-f]{16}", one) for one in found)


def test_an_id_that_could_be_anything_else_is_not_taken_over(world: World) -> None:
    for odd in ("a b", "x" * 65, 'a"b', "ключ"):
        sent = odd.encode()
        assert world.client.get("/health", headers={HEADER: sent}).headers[HEADER].startswith("api-")


def test_what_the_bot_does_not_answer_is_logged(world: World, tmp_path: Path) -> None:
    headers = world.bearer()
    with Logs(LogPlan(program="console", folder=tmp_path / "logs", terminal_level=logging.CRITICAL)):
        assert world.client.post("/bot/pause", headers=headers).status_code >= 500
    events = {line["event"]: line for line in lines_of(tmp_path / "logs")}
    assert events["not_answered"]["level"] == "warning"
    assert "request_id" in events["not_answered"]
