"""`stakan watchdog`: a second process that looks after a bot's positions when the bot cannot.

It reads the bot's heartbeat. One that is silent for longer than it may be is gone where its state folder can be locked,
and stuck where it still holds it. It never acts while the bot lives, and keeps the lock while it acts, so that no bot
starts in between. What is open is asked of the exchange: the heartbeat is a hint.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Coroutine, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec

from stakan.adapters.exchanges.bybit.client import ask_once
from stakan.adapters.exchanges.bybit.endpoints import Environment
from stakan.adapters.exchanges.bybit.flatten import Exposure, exposure, flatten
from stakan.adapters.exchanges.bybit.rest import Keys, Line, Procedure, ServerClock, measure_clock
from stakan.apps.live.heartbeat import Beat, read_beat
from stakan.apps.live.state_folder import LOCK_FILE, StateFolder
from stakan.core.domain.errors import ConfigError, DataError, VenueError
from stakan.core.domain.units import SECOND

_EVERY_NS = SECOND // 2
_LOOKS = 4
"""Within the time after which a heartbeat is silent, at least."""
_LOOK_AGAIN_NS = 5 * SECOND
"""Between two looks at what a silent bot has open, and at whether it holds its folder."""
_COMMAND_S = 30.0
_SECRETS = ("BYBIT_API_KEY", "BYBIT_API_SECRET")
_AT_EXCHANGE = ("testnet", "live")
T = TypeVar("T")
Say = Callable[[str], None]


class Action(StrEnum):
    """What is done where positions are open and nobody looks after them."""

    ALERT = "alert"
    FLATTEN = "flatten"


class Life(StrEnum):
    """How the bot is."""

    UNKNOWN = "unknown"
    """It has not left a heartbeat yet."""
    ALIVE = "alive"
    SILENT = "silent"
    """For longer than it may be, and it may be gone."""


class Outcome(StrEnum):
    """How a watch ended."""

    STOPPED = "stopped"
    """By whoever asked it to."""
    ALERTED = "alerted"
    FLATTENED = "flattened"


class Ended(msgspec.Struct, frozen=True):
    """The end of a watch."""

    outcome: Outcome
    text: str = ""


class WatchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What is watched, and what is done."""

    folder: Path
    """The bot's state folder."""
    silent_after: int = 30 * SECOND
    action: Action = Action.ALERT
    command: tuple[str, ...] = ()
    """Run with the text of an alert as its last word."""
    asks_exchange: bool = True
    """Also where the heartbeat says that nothing is open."""
    after_stop: bool = False
    """Whether a bot that ended in order counts as gone too."""
    stays: bool = False
    """Whether it goes on after an alert or a flatten."""


class Pulse:
    """How long a heartbeat has not changed, by a clock that only rises; its first look goes by the heartbeat's time.

    A heartbeat that cannot be read is no news.
    """

    def __init__(self, silent_after: int) -> None:
        self.beat: Beat | None = None
        self._silent_after = silent_after
        self._changed = 0

    def see(self, beat: Beat | None, now: int, wall: int) -> Life:
        """Take the newest beat; `now` rises and never jumps, `wall` is UTC. Nanoseconds."""
        if beat is not None and beat != self.beat:
            self._changed = now - max(0, wall - beat.ts) if self.beat is None else now
            self.beat = beat
        if self.beat is None:
            return Life.UNKNOWN
        return Life.SILENT if now - self._changed >= self._silent_after else Life.ALIVE

    def silent_s(self, now: int) -> float:
        """Seconds since it last changed."""
        return (now - self._changed) / SECOND


class Watchdog:
    """Watches one state folder until it has acted, or is asked to stop."""

    def __init__(
        self,
        plan: WatchPlan,
        venue_of: Callable[[str], Environment],
        keys: Keys | None,
        say: Say,
    ) -> None:
        """`venue_of` gives the environment of a name; raises ConfigError where flattening is asked without keys."""
        if plan.action is Action.FLATTEN and keys is None:
            raise ConfigError("--action flatten needs BYBIT_API_KEY and BYBIT_API_SECRET in the environment or in .env")
        self._plan = plan
        self._venue_of = venue_of
        self._keys = keys
        self._tell = say
        self._pulse = Pulse(plan.silent_after)
        self._said: set[str] = set()
        """Since the bot was last alive: nothing is said twice."""
        self._look_at = 0
        self._commands: set[asyncio.Task[None]] = set()

    async def watch(self, stopped: asyncio.Event) -> Ended:
        """Until it has acted, or `stopped`; raises StorageError where the state folder cannot be locked or read."""
        every = min(_EVERY_NS, self._plan.silent_after // _LOOKS) / SECOND
        try:
            while not stopped.is_set():
                ended = await _unless(stopped, self.look())
                if ended is not None and not self._plan.stays:
                    return ended
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopped.wait(), every)
            return Ended(Outcome.STOPPED)
        finally:
            if self._commands:
                await asyncio.wait(self._commands)

    async def look(self) -> Ended | None:
        """Look once, and act where it must; what it ended with, if it did."""
        now = time.monotonic_ns()
        life = self._pulse.see(self._read(), now, time.time_ns())
        beat = self._pulse.beat
        if life is not Life.SILENT or beat is None:
            if life is Life.ALIVE and self._said:
                self._say("the bot is back")
                self._said.clear()
            self._look_at = 0
            return None
        if now < self._look_at or not self._is_mine(beat):
            return None
        self._look_at = now + _LOOK_AGAIN_NS
        if self._is_locked():
            return await self._bot_hangs(beat)
        return await self._bot_is_gone(beat)

    def _is_mine(self, beat: Beat) -> bool:
        """Whether a silent bot's positions are to be looked after."""
        if beat.mode not in _AT_EXCHANGE:
            self._once(f"the {beat.mode} bot is gone: it had nothing at the exchange")
        elif beat.has_ended and not self._plan.after_stop:
            self._once(f"the bot ended in order and left {_held_text(beat)}: its operator's business")
        else:
            return True
        return False

    # --- what is done -----------------------------------------------------------------------------------------------

    async def _bot_hangs(self, beat: Beat) -> Ended | None:
        """It holds its lock, so it may go on at any moment: nothing is done beside it."""
        found = await self._open_now(beat)
        if not found:
            return None
        return await self._alert(beat, "does not answer, but holds its state folder", found, is_over=False)

    async def _bot_is_gone(self, beat: Beat) -> Ended | None:
        if self._plan.action is Action.ALERT:
            found = await self._open_now(beat)
            return await self._alert(beat, "is gone", found, is_over=True) if found else None
        with contextlib.suppress(ConfigError), StateFolder(self._plan.folder):
            return await self._flatten(beat)
        # A bot has come back between the two looks.
        return None

    async def _alert(self, beat: Beat, how: str, found: str, *, is_over: bool) -> Ended | None:
        text = (
            f"the bot ({beat.mode}, {beat.environment}, {beat.run}) {how}, silent for {self._silent()}; open: {found}"
        )
        if self._once(text, key=how):
            self._run_command(text)
            # One that hangs is watched on where there is something to do once it is gone.
            if is_over or self._plan.action is Action.ALERT:
                return Ended(Outcome.ALERTED, text)
        return None

    async def _flatten(self, beat: Beat) -> Ended | None:
        """With the lock held."""
        found = await self._exposure(beat)
        if found is None and not _says_open(beat):
            # Nothing to hurry for: the folder is left to a bot that comes back, and the exchange asked again.
            return None
        if found is not None and found.is_nothing:
            self._once("the bot is gone and nothing is open")
            return None
        text = f"the bot is gone, silent for {self._silent()}: closing {found.text if found else 'whatever is open'}"
        self._say(text)
        self._run_command(text)
        name = f"w-{time.time_ns() // SECOND:x}"
        closed = await self._ask(beat, lambda _line, clock: flatten(name, clock, time.time_ns, self._say))
        if not closed:
            self._say("nothing was open after all, or it was closed meanwhile; entries are cancelled")
        text = f"the bot was gone: closed {', '.join(closed) or 'no position'}; the account is flat"
        self._say(text)
        self._run_command(text)
        return Ended(Outcome.FLATTENED, text)

    # --- what is looked at ------------------------------------------------------------------------------------------

    def _read(self) -> Beat | None:
        try:
            return read_beat(self._plan.folder)
        except DataError as error:
            self._once(str(error))
            return None

    def _is_locked(self) -> bool:
        """Whether some process has the folder; the lock is held for no longer than the question takes."""
        if not (self._plan.folder / LOCK_FILE).exists():
            return False
        try:
            with StateFolder(self._plan.folder):
                return False
        except ConfigError:
            return True

    async def _open_now(self, beat: Beat) -> str:
        """What is open, for people; empty where nothing is. The heartbeat's word where the exchange gives none."""
        said = _says_open(beat)
        if self._keys is None or not (said or self._plan.asks_exchange):
            return _held_text(beat) if said else ""
        found = await self._exposure(beat)
        if found is None:
            return f"{_held_text(beat)} by its last heartbeat (the exchange does not answer)" if said else ""
        return "" if found.is_nothing else found.text

    async def _exposure(self, beat: Beat) -> Exposure | None:
        def asked(_line: Line, clock: ServerClock) -> Procedure[Exposure]:
            yield from measure_clock(clock, time.time_ns, samples=1)
            return (yield from exposure())

        if not (_says_open(beat) or self._plan.asks_exchange):
            return Exposure((), ())
        try:
            return await self._ask(beat, asked)
        except (VenueError, DataError) as error:
            self._once(f"the exchange cannot be asked: {error}", key="cannot be asked")
            return None

    async def _ask(self, beat: Beat, procedure: Callable[[Line, ServerClock], Procedure[T]]) -> T:
        return await ask_once(self._venue_of(beat.environment), self._keys, procedure, time.time_ns)

    # --- telling ----------------------------------------------------------------------------------------------------

    def _silent(self) -> str:
        return f"{self._pulse.silent_s(time.monotonic_ns()):.0f} s"

    def _once(self, text: str, *, key: str = "") -> bool:
        """Say something that was not said since the bot was last alive; whether it was new."""
        if (key or text) in self._said:
            return False
        self._said.add(key or text)
        self._say(text)
        return True

    def _say(self, text: str) -> None:
        self._tell(text)

    def _run_command(self, text: str) -> None:
        """Beside everything else: a command that hangs must not keep a position open."""
        if self._plan.command:
            task = asyncio.get_running_loop().create_task(self._carry_out(text))
            self._commands.add(task)
            task.add_done_callback(self._commands.discard)

    async def _carry_out(self, text: str) -> None:
        words = (*self._plan.command, text)
        try:
            process = await asyncio.create_subprocess_exec(*words, env=without_secrets(os.environ))
        except OSError as error:
            self._say(f"--run {words[0]}: {error.strerror}")
            return
        try:
            code = await asyncio.wait_for(process.wait(), _COMMAND_S)
        except TimeoutError:
            process.kill()
            await process.wait()
            self._say(f"--run {words[0]}: killed after {_COMMAND_S:g} s")
            return
        if code:
            self._say(f"--run {words[0]}: ended with {code}")


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """What a command of the user's is given."""
    return {name: value for name, value in environment.items() if name.upper() not in _SECRETS}


def watched_folder(folder: Path) -> Path:
    """The folder where there is one; raises ConfigError, since watching nothing would look like watching."""
    if not folder.is_dir():
        raise ConfigError(f"there is no state folder {folder}: start the bot first, or set trade.state")
    return folder


def _says_open(beat: Beat) -> bool:
    return bool(beat.positions or beat.entries)


def _held_text(beat: Beat) -> str:
    held = [
        f"{one.instrument} {one.side.name} {one.size}{'' if one.has_stop else ' WITHOUT A STOP'}"
        for one in beat.positions
    ]
    return ", ".join([*held, *([f"{beat.entries} entries"] if beat.entries else [])]) or "nothing"


async def _unless(stopped: asyncio.Event, work: Coroutine[None, None, T]) -> T | None:
    """What the work gives; None, and the work broken off, where it is stopped first."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
        return None
    finally:
        stopping.cancel()
        working.cancel()
