"""A budget of requests that several processes share, kept in Redis by leases: together they never exceed it.

What is leased is capacity: who holds five tokens of a budget may make five requests in any of its windows, and counts
them by itself. So the hot path asks nobody; a task in the background leases, renews and returns. Three rules keep the
sum of all within the budget, by the time of the Redis server:

- A process lowers itself first and tells Redis after, and returns only what no window of its own needs any more, those
  of requests that were just made or are booked ahead included: no window sees a token twice.
- A lease that is not renewed ends for its holder before it ends in Redis, which holds it back for as long as requests
  may have been booked ahead.
- Half of its fair share (budget / processes) is a process' own and is never leased to others, so that a stop never
  depends on Redis.

While Redis is away every process falls back to its fair share, once the leases of all have ended, and says so. Where it
comes back, or is new, nobody gets more than that until all have had the time to be there again. What this cannot know is
a single process that is cut off while the others are not: it takes its fair share beside what they have leased.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from stakan.core.domain.errors import ConfigError
from stakan.core.domain.units import MILLISECOND, SECOND

_REMEMBERED = 4
"""Periods whose demand counts."""

SCRIPT = """
-- KEYS: budgets. ARGV: holder, lease, grace (ms), then of each budget: pool, fair, window (ms), held, wanted.
-- Answers capacity and target of each.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local me, lease, grace = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local answer = {}
for number, key in ipairs(KEYS) do
  local at = number * 5 - 1
  local pool, fair, window = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local held, wanted = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local raw = redis.call('GET', key)
  local state = raw and cmsgpack.unpack(raw) or {holders = {}, back = {}, since = now}
  local is_abandoned = true
  local back, on_its_way, leased, wants = {}, 0, 0, {wanted}
  local function hold_back(count, till)
    if till > now and count > 0 then
      back[#back + 1] = {count, till}
      on_its_way = on_its_way + count
    end
  end
  for _, one in ipairs(state.back) do hold_back(one[1], one[2]) end
  for name, one in pairs(state.holders) do
    if name ~= me then
      if one[3] <= now then
        hold_back(one[1], one[3] + grace + window)
        state.holders[name] = nil
      else
        is_abandoned = false
        leased = leased + one[1]
        wants[#wants + 1] = one[2]
      end
    end
  end
  local mine = state.holders[me]
  local capacity = mine and mine[1] or 0
  if is_abandoned and not (mine and mine[3] > now) then state.since = now end
  if held < capacity then capacity = held end
  -- Everybody gets what they want up to an even share of what the more modest have left.
  table.sort(wants)
  local left, target = pool, 0
  for place, want in ipairs(wants) do
    local got = math.min(want, math.floor(left / (#wants - place + 1)))
    left = left - got
    if want == wanted then target = got end
  end
  if now < state.since + lease then target = math.min(target, fair) end
  local free = pool - leased - on_its_way - capacity
  if target > capacity and free > 0 then capacity = capacity + math.min(target - capacity, free) end
  state.holders[me] = {capacity, wanted, now + lease}
  state.back = back
  redis.call('SET', key, cmsgpack.pack(state), 'PX', lease + grace + window + 1000)
  answer[#answer + 1] = capacity
  answer[#answer + 1] = target
end
return answer
"""


class Budget(Protocol):
    """One window of a rate limiter, as `bybit.limits.Window` is."""

    most: int
    """Of all processes together."""
    window_ns: int
    asked: int

    def cap(self, most: int | None) -> None:
        """Hold it to so many."""
        ...

    def busiest(self, now: int) -> int:
        """The most that some window holds."""
        ...


class Sharing(msgspec.Struct, frozen=True, kw_only=True):
    """Who shares, and how often they talk about it."""

    name: str
    """Of this process, and of no other."""
    processes: int
    """How many share at most."""
    every: int = SECOND // 2
    lease: int = 3 * SECOND
    ahead: int = 5 * SECOND
    """How long before its time a request may have its place."""

    def __post_init__(self) -> None:
        if self.processes < 1 or self.lease < 2 * self.every or self.every <= 0:
            raise ConfigError("a shared budget needs processes of 1 or more, and leases of two periods or more")


class _Share:
    """What this process has of one budget."""

    def __init__(self, budget: Budget, processes: int) -> None:
        self.budget = budget
        self.fair = max(1, budget.most // processes)
        self.own = max(1, self.fair // 2)
        self.leased = 0
        """In force here."""
        self._processes = processes
        self._asked = budget.asked
        self._demand: deque[int] = deque(maxlen=_REMEMBERED)

    @property
    def pool(self) -> int:
        """What all may lease."""
        return max(0, self.budget.most - self._processes * self.own)

    def wanted(self, period: int) -> int:
        """By what was asked for lately, and one more so that demand can grow."""
        asked, self._asked = self.budget.asked - self._asked, self.budget.asked
        self._demand.append(-(-asked * self.budget.window_ns // period))
        return min(self.pool, max(0, max(self._demand) + 1 - self.own))

    def held(self, now: int) -> int:
        """What must not be given to another yet: windows that are not over keep what they were used or booked with."""
        return max(self.leased, self.budget.busiest(now) - self.own)

    @property
    def fallback(self) -> int:
        """Beside its own: what it takes where there is no Redis to ask."""
        return self.fair - self.own

    def take(self, leased: int) -> None:
        """This much of the pool is in force from now on."""
        self.leased = leased
        self.budget.cap(self.own + leased)


class SharedBudget:
    """Keeps the budgets of this process' rate limiter within what it has leased; `run` it as a task.

    `clock` is the limiter's, `ticks` one that nobody sets; nanoseconds. `say` is told when Redis goes and comes back.
    """

    def __init__(
        self,
        redis: Redis,
        budgets: Mapping[str, Budget],
        sharing: Sharing,
        *,
        clock: Callable[[], int],
        say: Callable[[str], None],
        ticks: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`budgets` by key, which is the same for all that share one; raises ConfigError where one is too small."""
        for key, budget in budgets.items():
            if budget.most < sharing.processes:
                raise ConfigError(f"{key}: {sharing.processes} processes cannot share {budget.most} requests")
        self.is_connected: bool | None = None
        """None before the first answer."""
        self._script = redis.register_script(SCRIPT)
        self._shares = {key: _Share(budget, sharing.processes) for key, budget in budgets.items()}
        self._sharing = sharing
        self._clock = clock
        self._ticks = ticks
        self._say = say
        self._grace = sharing.ahead + max((budget.window_ns for budget in budgets.values()), default=0)
        self._ends = ticks()
        """When our leases end."""
        self._all_ended = self._ends + sharing.lease + self._grace
        """When those of everybody have, if nobody reaches Redis."""
        self._take(lambda _share: 0)

    async def run(self) -> None:
        """Lease, renew and return until it is cancelled; what is left then is this process' own."""
        task = asyncio.current_task()
        assert task is not None, "it is a task of its own"
        try:
            # redis-py swallows a cancellation that meets it while it connects or reads.
            while not task.cancelling():
                await self.renew()
                await asyncio.sleep(self._sharing.every / SECOND)
        finally:
            self._take(lambda _share: 0)

    async def leave(self) -> None:
        """Return everything, as far as Redis can be told."""
        self._take(lambda _share: 0)
        await self.renew(wants=False)
        self._take(lambda _share: 0)

    async def renew(self, *, wants: bool = True) -> bool:
        """Once; False where Redis does not answer."""
        asked = self._ticks()
        try:
            answer = await self._script(list(self._shares), self._arguments(wants=wants))
        except (RedisError, OSError, TimeoutError) as error:
            self._went(error)
            return False
        # An answer that took longer than the lease is for nothing.
        if self._ticks() < asked + self._sharing.lease:
            self._ends = asked + self._sharing.lease
            self._all_ended = self._ends + self._sharing.lease + self._grace
            for share, capacity, target in zip(self._shares.values(), answer[::2], answer[1::2], strict=True):
                share.take(min(capacity, target))
        if self.is_connected is not True:
            self._say(f"requests are shared by Redis, {self._sharing.processes} processes at most")
        self.is_connected = True
        return True

    def _arguments(self, *, wants: bool) -> list[str | int]:
        sharing, now = self._sharing, self._clock()
        arguments: list[str | int] = [sharing.name, sharing.lease // MILLISECOND, sharing.ahead // MILLISECOND]
        for share in self._shares.values():
            window = -(-share.budget.window_ns // MILLISECOND)
            wanted = share.wanted(sharing.every) if wants else 0
            arguments += [share.pool, share.fallback, window, share.held(now), wanted]
        return arguments

    def _went(self, error: Exception) -> None:
        if self.is_connected is not False:
            self._say(
                f"Redis does not answer ({error}): requests are held to a {self._sharing.processes}th of each limit"
            )
        self.is_connected = False
        now = self._ticks()
        if now >= self._all_ended:
            self._take(lambda share: share.fallback)
        elif now >= self._ends:
            self._take(lambda _share: 0)

    def _take(self, leased: Callable[[_Share], int]) -> None:
        for share in self._shares.values():
            share.take(leased(share))
