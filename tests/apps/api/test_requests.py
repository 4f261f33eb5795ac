"""What an operator asks reaches the bot once, with a name on it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.apps.api.conftest import World
from tests.apps.api.test_auth import is_problem
from tests.apps.console.fake_bot import RunningBot

from stakan.core.domain.events import Flatten, Halt, PauseEntries, ReleaseHalt, ResumeEntries


def test_every_verb_reaches_the_bot_with_who_asked(world: World, bot: RunningBot) -> None:
    headers = world.bearer()
    for path, body in (
        ("/bot/pause", None),
        ("/bot/resume", None),
        ("/bot/flatten", None),
        ("/bot/flatten", {"instrument": "ethusdt"}),
        ("/bot/halt", {"why": "news"}),
        ("/bot/release", None),
    ):
        assert world.client.post(path, headers=headers, json=body).status_code == 200, path
    asked = bot.bot.asked
    assert [type(one) for one in asked] == [PauseEntries, ResumeEntries, Flatten, Flatten, Halt, ReleaseHalt]
    assert {one.actor for one in asked} == {"operator"}
    assert len({one.request_id for one in asked}) == len(asked)
    assert [one.instrument for one in asked[2:4]] == [None, "synthetic:linear:ETHUSDT"]
    assert asked[4].why == "news"


def test_a_key_that_comes_again_asks_nothing_again(world: World, bot: RunningBot) -> None:
    headers = {**world.bearer(), "idempotency-key": "once"}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: world.client.post("/bot/pause", headers=headers), range(8)))
    assert {answer.json()["request_id"] for answer in answers} == {"operator:once"}
    assert len(bot.bot.asked) == 1


def test_a_key_cannot_stand_for_two_requests(world: World, bot: RunningBot) -> None:
    headers = {**world.bearer(), "idempotency-key": "once"}
    world.client.post("/bot/flatten", headers=headers, json={"instrument": "BTCUSDT"})
    assert is_problem(world.client.post("/bot/flatten", headers=headers), 409, "key-reused")
    assert is_problem(world.client.post("/bot/pause", headers=headers), 409, "key-reused")
    assert len(bot.bot.asked) == 1


def test_a_refusal_of_the_bot_is_told(world: World, bot: RunningBot) -> None:
    answer = world.client.post("/bot/release", headers=world.bearer())
    assert is_problem(answer, 409, "refused")
    assert answer.json()["detail"] == "trading is not halted"


def test_without_a_bot_nothing_is_promised_and_the_key_stays_free(world: World) -> None:
    headers = {**world.bearer(), "idempotency-key": "later"}
    assert is_problem(world.client.post("/bot/halt", headers=headers), 503, "bot-unreachable")
    with RunningBot(world.folder) as running:
        world.until(lambda: world.link.state() == "live")
        assert world.client.post("/bot/halt", headers=headers).status_code == 200
        assert [type(one) for one in running.bot.asked] == [Halt]


def test_a_bot_that_dies_before_it_answers_leaves_the_outcome_open(world: World, bot: RunningBot) -> None:
    bot.bot._answer = lambda ask: bot.bot._writers.copy().pop().close() or ask
    answer = world.client.post("/bot/flatten", headers=world.bearer())
    assert is_problem(answer, 504, "outcome-unknown")


@pytest.mark.parametrize("body", [{"instrument": "DOGEUSDT"}, {"instrument": 7}, {"symbol": "BTCUSDT"}, [1]])
def test_a_flatten_of_something_unknown_flattens_nothing(world: World, bot: RunningBot, body: object) -> None:
    answer = world.client.post("/bot/flatten", headers=world.bearer(), json=body)
    assert answer.status_code in (404, 422)
    assert bot.bot.asked == []
