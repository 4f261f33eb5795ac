"""Several processes never exceed a shared budget together, whatever becomes of them and of Redis."""

import asyncio
import json
import subprocess
import sys
import time
from bisect import bisect_left
from contextlib import asynccontextmanager

import msgspec
import pytest
import redis
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.adapters.redis.conftest import URL

from stakan.adapters.exchanges.bybit.limits import RateLimiter, Window
from stakan.adapters.redis.budget import SCRIPT, SharedBudget, Sharing
from stakan.core.domain.errors import ConfigError
from stakan.core.domain.units import MILLISECOND, SECOND

SHORT = {"every": 50 * MILLISECOND, "lease": 400 * MILLISECOND}


class Redis:
    """A real one that can be away."""

    def __init__(self, client):
        self.client, self.is_away = client, False

    def register_script(self, text):
        script = self.client.register_script(text)

        async def run(keys, arguments):
            if self.is_away:
                raise redis.ConnectionError("away")
            return await script(keys, arguments)

        return run


class Process:
    """One of those that share, with a clock that a test may move."""

    def __init__(self, client, prefix, name="p", processes=2, most=20, window=200 * MILLISECOND, **timing):
        self.window, self.said, self.moved = Window(most, window), [], 0
        self.redis = Redis(client)
        self.budget = SharedBudget(
            self.redis,
            {f"{prefix}orders": self.window},
            Sharing(name=name, processes=processes, **(SHORT | timing)),
            clock=self.now,
            ticks=self.now,
            say=self.said.append,
        )

    def now(self):
        return time.monotonic_ns() + self.moved

    def ask(self, times):
        """Demand, granted or not."""
        self.window.asked += times

    @property
    def most(self):
        """What it may use in a window."""
        return self.window._limit


@asynccontextmanager
async def client():
    made = redis.asyncio.Redis.from_url(URL)
    try:
        yield made
    finally:
        await made.aclose()


def run(scenario):
    async def connected():
        async with client() as made, asyncio.timeout(30):
            return await scenario(made)

    return asyncio.run(connected())


# --- the script -------------------------------------------------------------------------------------------------------

MOVES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 12), st.floats(0, 1), st.sampled_from([0, 0, 0, 1, 30])), max_size=25
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MOVES, st.integers(1, 12))
def test_what_is_leased_and_what_is_held_back_never_exceed_the_pool(prefix, moves, pool):
    """Holders come, want more and less, return something of what they have, and are late (milliseconds)."""
    made = redis.Redis.from_url(URL)
    script, key, has = made.register_script(SCRIPT), f"{prefix}{time.monotonic_ns()}", {}
    for who, wanted, kept, pause in moves:
        time.sleep(pause / 1000)
        held = int(has.get(who, 0) * kept)
        capacity, target = script([key], [f"h{who}", 20, 5, pool, pool // 2, 10, held, wanted])
        has[who] = min(capacity, target)
        state = msgspec.msgpack.decode(made.get(key))
        holders = dict(state["holders"])
        leased = sum(count for count, _, _ in holders.values())
        returned = sum(count for count, _ in state["back"])
        assert leased + returned <= pool
        assert holders[f"h{who}"][0] == capacity <= max(pool, held)
        assert 0 <= target <= wanted
    made.close()


# --- several processes ------------------------------------------------------------------------------------------------

WORKER = """
import asyncio, json, random, sys, time
import redis.asyncio
from stakan.adapters.exchanges.bybit.limits import Window
from stakan.adapters.redis.budget import SharedBudget, Sharing
from stakan.core.domain.units import MILLISECOND

url, prefix, name, processes, most, window_ms = sys.argv[1:]
chance, used = random.Random(name), []
window = Window(int(most), int(window_ms) * MILLISECOND)

async def main(until):
    client = redis.asyncio.Redis.from_url(url)
    sharing = Sharing(name=name, processes=int(processes), every=50 * MILLISECOND, lease=400 * MILLISECOND)
    budget = SharedBudget(
        client, {prefix + "orders": window}, sharing, clock=time.monotonic_ns, say=lambda _: None
    )
    task = asyncio.create_task(budget.run())
    pace, change = 0.001, 0.0
    while time.monotonic() < until:
        now = time.monotonic_ns()
        window.asked += 1
        # As the adapter does: a place now, or one that is booked a little ahead.
        wait = window.wait(now)
        if wait <= 100 * MILLISECOND:
            window.take(now + wait)
            used.append(now + wait)
        if time.monotonic() > change:
            pace, change = chance.choice([0.0005, 0.002, 0.02, 0.2]), time.monotonic() + chance.uniform(0.1, 0.6)
        await asyncio.sleep(pace)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await client.aclose()

print("ready", flush=True)
asyncio.run(main(float(sys.stdin.readline())))
print(json.dumps(used), flush=True)
"""


def test_processes_of_changing_demand_never_exceed_the_budget_together(prefix):
    most, window_ms, seconds = 24, 200, 2.5
    names = ["a", "b", "c", "d"]
    workers = []
    for name in names:
        words = [sys.executable, "-c", WORKER, URL, prefix, name, str(len(names)), str(most), str(window_ms)]
        workers.append(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    try:
        for worker in workers:
            assert worker.stdout.readline() == "ready\n"
        until = time.monotonic() + seconds
        used = [json.loads(worker.communicate(timeout=30)[0]) for worker in released(workers, until)]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    everything, window = sorted(moment for one in used for moment in one), window_ms * MILLISECOND
    worst = max(bisect_left(everything, first + window) - index for index, first in enumerate(everything))
    assert worst <= most
    assert all(used)
    # More than half of what there is, although demand jumps from one to another.
    assert len(everything) > most * seconds / (window_ms / 1000) / 2


def released(workers, until):
    """All of them begin now, and end together."""
    for worker in workers:
        worker.stdin.write(f"{until}\n")
        worker.stdin.flush()
    return workers


def test_demand_moves_what_is_leased_from_one_to_the_other(prefix):
    async def scenario(made):
        first, second = Process(made, prefix, "a"), Process(made, prefix, "b")

        async def both(times, until):
            for _ in range(60):
                first.ask(times[0])
                second.ask(times[1])
                await first.budget.renew()
                await second.budget.renew()
                assert first.most + second.most <= 20
                if until():
                    return
                await asyncio.sleep(0.05)
            pytest.fail(f"{first.most} and {second.most}")

        assert (first.most, second.most) == (5, 5)
        await both((50, 0), lambda: (first.most, second.most) == (15, 5))
        await both((50, 50), lambda: (first.most, second.most) == (10, 10))
        await both((0, 50), lambda: (first.most, second.most) == (5, 15))

    run(scenario)


@pytest.mark.parametrize("ahead_ms", [0, 400], ids=["just made", "booked ahead"])
def test_what_a_window_still_needs_is_not_given_to_another(prefix, ahead_ms):
    async def scenario(made):
        first, second = Process(made, prefix, "a"), Process(made, prefix, "b")
        for _ in range(30):
            first.ask(50)
            await first.budget.renew()
            await asyncio.sleep(0.02)
        assert first.most == 15
        used = first.now() + ahead_ms * MILLISECOND
        for _ in range(15):
            first.window.take(used)
        while second.most < 15:
            second.ask(50)
            await first.budget.renew()
            await second.budget.renew()
            assert second.most == 5 or second.now() > used + 200 * MILLISECOND
            await asyncio.sleep(0.01)

    run(scenario)


def test_what_a_process_that_died_had_comes_back_when_nothing_of_it_can_be_on_its_way(prefix):

    async def scenario(made):
        dead, alive = (Process(made, prefix, name, ahead=300 * MILLISECOND) for name in ("dead", "alive"))
        for _ in range(15):
            dead.ask(50)
            await dead.budget.renew()
            await asyncio.sleep(0.05)
        last = time.monotonic_ns()
        await dead.budget.renew()
        assert dead.most == 15
        ended = last + (400 + 300 + 200) * MILLISECOND
        while alive.most < 15:
            alive.ask(50)
            await alive.budget.renew()
            assert alive.most == 5 or time.monotonic_ns() >= ended
            await asyncio.sleep(0.02)

    run(scenario)


def test_who_leaves_returns_what_it_has_at_once(prefix):
    async def scenario(made):
        first, second = Process(made, prefix, "a"), Process(made, prefix, "b")
        for _ in range(15):
            first.ask(50)
            await first.budget.renew()
            await asyncio.sleep(0.05)
        await first.budget.leave()
        assert first.most == 5
        await asyncio.sleep(0.21)
        second.ask(50)
        for _ in range(2):
            await second.budget.renew()
            second.ask(50)
        assert second.most >= 10

    run(scenario)


# --- Redis is away ----------------------------------------------------------------------------------------------------


def test_without_redis_each_is_held_to_its_fair_share_and_says_so_once(prefix):
    async def scenario(made):
        it = Process(made, prefix)
        it.redis.is_away = True
        assert not await it.budget.renew()
        # Others may have leased all else a moment ago.
        assert it.most == 5
        it.moved += 400 * MILLISECOND + 5 * SECOND + 200 * MILLISECOND
        assert not await it.budget.renew()
        assert it.most == 10
        assert len(it.said) == 1
        assert "away" in it.said[0]
        assert it.budget.is_connected is False

    run(scenario)


def test_when_redis_goes_a_lease_ends_before_anything_else_begins(prefix):
    async def scenario(made):
        it = Process(made, prefix)
        for _ in range(15):
            it.ask(50)
            await it.budget.renew()
            await asyncio.sleep(0.05)
        assert it.most == 15
        it.redis.is_away = True
        await it.budget.renew()
        assert it.most == 15
        it.moved += 400 * MILLISECOND
        await it.budget.renew()
        assert it.most == 5
        it.moved += 400 * MILLISECOND + 5 * SECOND + 200 * MILLISECOND
        await it.budget.renew()
        assert it.most == 10
        it.redis.is_away = False
        await it.budget.renew()
        assert [text.split()[0] for text in it.said] == ["requests", "Redis", "requests"]

    run(scenario)


def test_when_redis_comes_back_nobody_gets_more_than_a_fair_share_before_all_can_be_there(prefix):
    async def scenario(made):
        first, second = Process(made, prefix, "a"), Process(made, prefix, "b")
        for one in (first, second):
            one.redis.is_away = True
            one.moved += 10 * SECOND
            await one.budget.renew()
            assert one.most == 10
        first.redis.is_away = False
        began = time.monotonic_ns()
        while time.monotonic_ns() < began + 350 * MILLISECOND:
            first.ask(50)
            await first.budget.renew()
            if time.monotonic_ns() < began + 350 * MILLISECOND:
                assert first.most + second.most <= 20
            await asyncio.sleep(0.02)

    run(scenario)


def test_an_answer_that_comes_after_its_lease_is_for_nothing(prefix):
    async def scenario(made):
        it = Process(made, prefix)
        script = it.budget._script

        async def slow(keys, arguments):
            answer = await script(keys, arguments)
            it.moved += 500 * MILLISECOND
            return answer

        it.budget._script = slow
        it.ask(50)
        await it.budget.renew()
        assert it.most == 5

    run(scenario)


def test_a_task_that_ends_leaves_the_process_with_its_own(prefix):
    async def scenario(made):
        it = Process(made, prefix)
        task = asyncio.create_task(it.budget.run())
        for _ in range(20):
            it.ask(50)
            await asyncio.sleep(0.05)
        assert it.most == 15
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert it.most == 5

    run(scenario)


def test_a_cancelled_task_ends_at_whatever_moment_it_is_cancelled(prefix):
    """Some of these meet redis-py while it reads an answer, which swallows the cancellation."""

    async def scenario(made):
        for number in range(100):
            it = Process(made, prefix, every=MILLISECOND)
            task = asyncio.create_task(it.budget.run())
            await asyncio.sleep(number % 10 * 0.0003)
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=5)
            assert done

    run(scenario)


# --- shapes -----------------------------------------------------------------------------------------------------------


def test_every_budget_of_a_limiter_can_be_shared_by_four(prefix):
    async def scenario(made):
        limiter = RateLimiter()
        budgets = {f"{prefix}{name}": one for name, one in {**limiter.of_account, **limiter.of_address}.items()}
        assert len(budgets) == 18
        for processes in (1, 2, 3, 4):
            sharing = Sharing(name="p", processes=processes)
            it = SharedBudget(made, budgets, sharing, clock=time.time_ns, say=lambda _: None)
            assert await it.renew()
        with pytest.raises(ConfigError, match="cannot share 4 requests"):
            SharedBudget(made, budgets, Sharing(name="p", processes=5), clock=time.time_ns, say=lambda _: None)

    run(scenario)


@pytest.mark.parametrize("wrong", [{"processes": 0}, {"every": 0}, {"every": SECOND, "lease": SECOND}])
def test_sharing_that_cannot_work_is_refused(wrong):
    with pytest.raises(ConfigError, match="shared budget"):
        Sharing(**({"name": "p", "processes": 2} | wrong))
