"""Disasters by rate and by script, drawn from a seed: the same seed and the same traffic meet the same faults.

A profile says what it does and how often. Nothing here touches the books: faults are about what reaches whom, about
which requests are carried out, and in one case about what the market does just before; an order that was accepted stays
accepted whatever its owner gets to hear.
Requests, the frames of each kind of stream, and what time brings are drawn apart: how many frames there were does not
change what the next request meets.
"""

import random
from collections import Counter, deque
from enum import StrEnum
from typing import TypeVar

import msgspec

from stakan.core.domain.errors import ConfigError
from stakan.core.domain.units import MILLISECOND, SECOND

T = TypeVar("T")
CANCEL = "order/cancel"
LATE_ANSWER_NS = 3 * SECOND // 2
"""After which a partial cancel is answered."""
SLEW = 0.4
"""Seconds that a clock which wanders gains or loses in one at most."""


class Stream(StrEnum):
    """What a connection carries."""

    PUBLIC = "public"
    PRIVATE = "private"
    TRADE = "trade"


class Trouble(StrEnum):
    """What can become of a request."""

    TOO_MANY = "10006"
    """Refused, not carried out."""
    SERVER_ERROR = "10016"
    """Not carried out, answered with an error that does not say so."""
    HTTP_503 = "503"
    """Not carried out, the gateway is down."""
    HTTP_403 = "403"
    """Not carried out, the address is locked out."""
    LOST_ANSWER = "lost answer"
    """Carried out, and the connection is cut before the answer."""
    LIE = "lie"
    """Carried out, answered with 10016."""
    STOP_REFUSED = "stop refused"
    """A request that carries or sets a stop is refused with 10001, not carried out."""
    TWICE = "answered twice"
    """Carried out once, answered twice (sockets only)."""
    PARTIAL_CANCEL = "partial cancel"
    """Of an order that rests, half of what is left is traded as its cancel arrives; the rest is cancelled, and over
    sockets that is answered late, after the private stream has told of both."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Rates of faults; all zero is fair weather."""

    about: str = ""
    drop: float = 0.0
    """Share of frames that are lost; of a book topic that is a gap in `u`."""
    delay: float = 0.0
    """Share of frames that come late, so that later ones overtake them."""
    delay_ms: tuple[int, int] = (20, 500)
    double: float = 0.0
    """Share of frames that come twice."""
    late_twin: float = 0.0
    """Share of private frames that come once more, seconds later."""
    restarts: float = 0.0
    """Restarts of a book topic (`u` 1) per minute."""
    crossings: float = 0.0
    """Crossed book frames per minute."""
    cuts: float = 0.0
    """Connections that are cut, per minute."""
    blackouts: float = 0.0
    """Times per minute at which all connections are cut and none is accepted."""
    blackout_s: tuple[float, float] = (3.0, 12.0)
    skew_s: float = 0.0
    """How far the clock wanders to either side; it goes faster or slower, and never jumps or goes back."""
    skew_every_s: float = 15.0
    troubles: dict[Trouble, float] = {}
    """Share of signed requests (of those that they can befall) by trouble."""


PROFILES: dict[str, Profile] = {
    "drizzle": Profile(
        about="An ordinary bad day: now and then a frame is lost, late or doubled, a connection cut, a request refused.",
        drop=0.0005,
        delay=0.002,
        double=0.001,
        cuts=0.5,
        restarts=0.3,
        troubles={Trouble.TOO_MANY: 0.01, Trouble.SERVER_ERROR: 0.005, Trouble.LOST_ANSWER: 0.005},
    ),
    "storm": Profile(
        about="Everything at once: frames lost, late, doubled; cuts in mid-order; requests refused, lost, locked out, "
        "cancels in a race with fills.",
        drop=0.004,
        delay=0.01,
        double=0.005,
        late_twin=0.02,
        restarts=2.0,
        crossings=1.0,
        cuts=4.0,
        troubles={
            Trouble.TOO_MANY: 0.05,
            Trouble.SERVER_ERROR: 0.03,
            Trouble.HTTP_503: 0.03,
            Trouble.HTTP_403: 0.0005,
            Trouble.LOST_ANSWER: 0.04,
            Trouble.STOP_REFUSED: 0.05,
            Trouble.PARTIAL_CANCEL: 0.2,
        },
    ),
    "blackout": Profile(
        about="Quiet, and every minute or so everything is gone for seconds: no connection, no answer.",
        blackouts=1.0,
        troubles={Trouble.LOST_ANSWER: 0.02},
    ),
    "liar": Profile(
        about="Answers that are wrong (10016 for what was done) and doubled; executions and orders told twice and late.",
        double=0.02,
        late_twin=0.1,
        delay=0.02,
        crossings=0.5,
        troubles={
            Trouble.LIE: 0.1,
            Trouble.TWICE: 0.1,
            Trouble.LOST_ANSWER: 0.02,
            Trouble.STOP_REFUSED: 0.05,
            Trouble.PARTIAL_CANCEL: 0.2,
        },
    ),
    "drunk-clock": Profile(
        about="The exchange's clock wanders by up to three seconds to either side, so that requests fall out of time.",
        skew_s=3.0,
        cuts=0.5,
        troubles={Trouble.LOST_ANSWER: 0.005},
    ),
}


def profile_named(name: str) -> Profile:
    """A profile; raises ConfigError naming those that there are."""
    found = PROFILES.get(name)
    if found is None:
        raise ConfigError(f"chaos profile {name!r} is not known; known are {', '.join(PROFILES)}")
    return found


class Fate(msgspec.Struct, frozen=True):
    """What happens to one frame: the delays (ns) after which it is delivered; none where it is lost."""

    deliveries: tuple[int, ...] = (0,)
    overtaken: bool = False
    """Whether frames that come after it do not wait for it."""


_AS_IT_IS = Fate()


class Due(msgspec.Struct, frozen=True):
    """What a profile wants done now."""

    cut: int = 0
    restart: int = 0
    cross: int = 0
    black: bool = False


class Chaos:
    """Draws faults. Times are nanoseconds of an undisturbed clock."""

    def __init__(self, profile: Profile | None = None, seed: int = 0) -> None:
        self.counts: Counter[str] = Counter()
        self.seed = seed
        self.blackouts: list[tuple[int, int]] = []
        """From and to, in the order in which they came."""
        self.profile = Profile()
        self._requests = _draws(seed, "requests")
        self._frames = {stream: _draws(seed, stream) for stream in Stream}
        self._times = _draws(seed, "times")
        self._scripted: dict[str, deque[Trouble]] = {}
        self._next: dict[str, int] = {}
        self._dark_until = 0
        self._skew = _Skew()
        self.set(profile)

    def set(self, profile: Profile | None) -> None:
        """Another weather from now on; None is fair."""
        self.profile = profile or Profile()
        self._next = {}
        self._skew.towards(0)
        self._dark_until = 0

    def script(self, operation: str, trouble: Trouble, count: int = 1) -> None:
        """The next requests of an operation (`order/create`, or `*`) meet this, whatever the profile says."""
        self._scripted.setdefault(operation, deque()).extend([trouble] * count)

    def unscript(self) -> None:
        """What was scripted and has not come about is called off."""
        self._scripted.clear()

    def fate(self, stream: Stream) -> Fate:
        """What becomes of a frame that carries data."""
        profile = self.profile
        if not (profile.drop or profile.delay or profile.double or profile.late_twin):
            return _AS_IT_IS
        chance = self._frames[stream]
        drawn = chance.random()
        if drawn < profile.drop:
            return self._count(f"{stream} frame lost", Fate(()))
        drawn -= profile.drop
        if drawn < profile.delay:
            late = chance.randint(*profile.delay_ms) * MILLISECOND
            return self._count(f"{stream} frame late", Fate((late,), overtaken=True))
        drawn -= profile.delay
        if drawn < profile.double:
            return self._count(f"{stream} frame twice", Fate((0, 0)))
        drawn -= profile.double
        if stream is Stream.PRIVATE and drawn < profile.late_twin:
            later = int(chance.uniform(1.0, 5.0) * SECOND)
            return self._count("private frame again later", Fate((0, later), overtaken=True))
        return _AS_IT_IS

    def trouble(self, operation: str, *, over_socket: bool, has_stop: bool) -> Trouble | None:
        """What becomes of a signed request."""
        for name in (operation, "*"):
            waiting = self._scripted.get(name)
            if waiting:
                return self._count(waiting[0].value, waiting.popleft())
        if not self.profile.troubles:
            return None
        drawn = self._requests.random()
        for trouble, share in self.profile.troubles.items():
            if not _can_befall(trouble, operation, over_socket=over_socket, has_stop=has_stop):
                continue
            if drawn < share:
                return self._count(trouble.value, trouble)
            drawn -= share
        return None

    def is_dark(self, now: int) -> bool:
        """Whether nobody is answered now."""
        return now < self._dark_until

    def skew(self, now: int) -> int:
        """Nanoseconds by which the clock is wrong now."""
        return self._skew.at(now)

    def due(self, now: int) -> Due:
        """What the time brings: cuts, restarts, crossed frames, a blackout, another skew. Call it often."""
        profile = self.profile
        cut = self._happens("cut", profile.cuts, now)
        restart = self._happens("restart", profile.restarts, now)
        cross = self._happens("crossed book", profile.crossings, now)
        black = self._happens("blackout", profile.blackouts, now)
        if black:
            self._dark_until = now + int(self._times.uniform(*profile.blackout_s) * SECOND)
            self.blackouts.append((now, self._dark_until))
        if profile.skew_s and self._happens("clock moved", 60.0 / profile.skew_every_s, now):
            self._skew.towards(int(self._times.uniform(-profile.skew_s, profile.skew_s) * SECOND))
        return Due(cut, restart, cross, bool(black))

    def choose(self, count: int) -> int:
        """One of `count` things, by chance."""
        return self._times.randrange(count)

    def _happens(self, what: str, per_minute: float, now: int) -> int:
        """How often something that comes at random, so often a minute, has come since the last call."""
        if not per_minute:
            return 0
        times = 0
        at = self._next.setdefault(what, now + self._wait(per_minute))
        while at <= now:
            times += 1
            self.counts[what] += 1
            at += self._wait(per_minute)
        self._next[what] = at
        return times

    def _wait(self, per_minute: float) -> int:
        return int(self._times.expovariate(per_minute / 60) * SECOND)

    def _count(self, what: str, value: T) -> T:
        self.counts[what] += 1
        return value


class _Skew:
    """How wrong a clock is that is pulled towards some error; asked at times that do not go back."""

    def __init__(self) -> None:
        self._aim = 0
        self._is = 0
        self._asked = 0

    def towards(self, aim: int) -> None:
        """Be wrong by so many nanoseconds, in time."""
        self._aim = aim

    def at(self, now: int) -> int:
        """The error now."""
        step = int(max(0, now - self._asked) * SLEW) if self._asked else 0
        self._asked = now
        self._is += max(-step, min(step, self._aim - self._is))
        return self._is


def _draws(seed: int, purpose: str) -> random.Random:
    return random.Random(f"{seed}/{purpose}")  # noqa: S311 - drawn faults, not secrets


def _can_befall(trouble: Trouble, operation: str, *, over_socket: bool, has_stop: bool) -> bool:
    match trouble:
        case Trouble.HTTP_503 | Trouble.HTTP_403:
            return not over_socket
        case Trouble.TWICE:
            return over_socket
        case Trouble.STOP_REFUSED:
            return has_stop
        case Trouble.PARTIAL_CANCEL:
            return operation == CANCEL
        case _:
            return True
