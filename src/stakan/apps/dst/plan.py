"""What a seed means: a market, an account's limits, and faults at their times, as data that can be kept and shortened."""

import random
from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from typing import Literal

import msgspec

from stakan.apps.exchange.faults import CANCEL, PROFILES, Stream, Trouble
from stakan.core.domain.units import DAY, SECOND

BASE_S = 60.0
"""Bad weather of a seed, in simulated seconds (decision 29)."""
SYMBOLS = 3
WARM_S = 5.0
"""The bot begins in fair weather, as it would not begin otherwise."""
_A_DAY = 1_790_000_000 * SECOND // DAY
_DEEDS: tuple[Literal["remove stop", "close", "cancel", "open"], ...] = ("remove stop", "close", "cancel", "open")
_OPERATIONS_OF_A_COMMIT = 2
"""A write and a sync; either may be done, in part or as a whole, when the process dies in it."""
_BOOK_FAULTS = ("gap", "restart", "cross", "repeat", "stale")


class Broken(StrEnum):
    """When a connection breaks over which an order is sent."""

    BEFORE = "broken before an order arrived"
    AFTER = "broken after an order arrived, before its answer"


class Wish(StrEnum):
    """What an operator asks for."""

    PAUSE = "pause"
    RESUME = "resume"
    FLATTEN = "flatten"
    HALT = "halt"
    RELEASE = "release"
    MOVE_STOP = "move stop"


class Fault(msgspec.Struct, frozen=True, kw_only=True, tag_field="what"):
    """Something that goes wrong, or is asked for, at a moment; simulated seconds from the start."""

    at_s: float


class Weather(Fault, frozen=True, kw_only=True, tag="weather"):
    """The exchange follows a chaos profile."""

    until_s: float
    profile: str


class Script(Fault, frozen=True, kw_only=True, tag="script"):
    """The next requests of an operation meet this at the exchange."""

    operation: str
    trouble: Trouble
    count: int = 1


class BadBook(Fault, frozen=True, kw_only=True, tag="bad book"):
    """A book topic is shown wrongly, once."""

    symbol: int
    kind: Literal["gap", "restart", "cross", "repeat", "stale"]


class BreakOrder(Fault, frozen=True, kw_only=True, tag="break order"):
    """The connection breaks over which the next order is sent."""

    when: Broken


class Reset(Fault, frozen=True, kw_only=True, tag="reset"):
    """All connections of a kind break at once."""

    stream: Stream


class Slow(Fault, frozen=True, kw_only=True, tag="slow network"):
    """Everything takes long."""

    until_s: float
    mean_ms: float


class Dark(Fault, frozen=True, kw_only=True, tag="dark network"):
    """Nothing passes; what is not given up meanwhile arrives afterwards."""

    until_s: float


class Refusing(Fault, frozen=True, kw_only=True, tag="refused connections"):
    """No new connection is made; those that are there stay."""

    until_s: float


class Stall(Fault, frozen=True, kw_only=True, tag="stall"):
    """The bot's machine stands still."""

    ms: float


class ClockJump(Fault, frozen=True, kw_only=True, tag="clock jump"):
    """The bot's clock is set forward, or back where negative."""

    ms: float


class ClockDrift(Fault, frozen=True, kw_only=True, tag="clock drift"):
    """The bot's clock gains, or loses where negative."""

    millionths: int


class SlowDisk(Fault, frozen=True, kw_only=True, tag="slow disk"):
    """A sync takes long."""

    until_s: float
    ms: float


class FullDisk(Fault, frozen=True, kw_only=True, tag="full disk"):
    """Nothing more fits on it."""

    until_s: float


class Kill(Fault, frozen=True, kw_only=True, tag="kill"):
    """The process is killed between two of its calls: so many after the moment. It is started again."""

    calls: int = 0
    after: Literal["", "order", "halt"] = ""
    """Counted from the next decision about an order, or from the next halt; empty: from the moment."""
    down_s: float = 1.0
    power: bool = False
    """Whether the machine loses its power, and with it what was not synced."""


class KillAtDisk(Fault, frozen=True, kw_only=True, tag="kill at disk"):
    """The process is killed in an operation of the disk: the n-th of those that count. It is started again."""

    operations: int = 1
    after: Literal["", "order"] = ""
    """Counted from the next decision about an order, so that the first are those of the commit that it waits for; empty:
    from the moment, when nearly all are of flushes that nothing waits for."""
    down_s: float = 1.0
    power: bool = False


class Meddle(Fault, frozen=True, kw_only=True, tag="by hand"):
    """Somebody does something on the bot's account by hand: the bot has to find out, and to cope."""

    deed: Literal["remove stop", "close", "cancel", "open"]
    symbol: int


class Ask(Fault, frozen=True, kw_only=True, tag="operator"):
    """An operator asks for something: no fault, but it must work in the middle of them."""

    wish: Wish
    symbol: int | None = None
    """Of a flatten or a moved stop; None: of all."""


AnyFault = (
    Weather
    | Script
    | BadBook
    | BreakOrder
    | Reset
    | Slow
    | Dark
    | Refusing
    | Stall
    | ClockJump
    | ClockDrift
    | SlowDisk
    | FullDisk
    | Kill
    | KillAtDisk
    | Meddle
    | Ask
)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run follows from."""

    seed: int
    seconds: float = BASE_S
    start_ns: int = _A_DAY * DAY + 12 * 3600 * SECOND
    """Wall time at which it begins."""
    daily_loss: Decimal = Decimal("0.02")
    """Share of the day's first equity that halts."""
    journal_interval: str = "50ms"
    """The bot's setting `trade.journal_interval`."""
    faults: tuple[AnyFault, ...] = ()


def draw(seed: int, seconds: float = BASE_S) -> Plan:
    """The plan of a seed."""
    chance = random.Random(f"{seed}/plan")  # noqa: S311 - faults, not secrets
    faults: list[AnyFault] = list(_weathers(chance, seconds))
    faults += [_fault(chance, seconds) for _ in range(chance.randint(3, 9))]
    faults += [_wish(chance, seconds) for _ in range(chance.choice((0, 0, 1, 1, 2)))]
    return Plan(
        seed=seed,
        seconds=seconds,
        start_ns=_start(chance),
        daily_loss=Decimal(chance.choice(("0.02", "0.0004"))),
        journal_interval=chance.choice(("50ms", "200ms", "1s")),
        faults=tuple(sorted(faults, key=lambda fault: fault.at_s)),
    )


def extension(plan: Plan, seconds: float) -> Plan:
    """The same plan, longer, with more faults in what was added: for a seed that has met too little."""
    chance = random.Random(f"{plan.seed}/more/{plan.seconds}")  # noqa: S311
    more = [_fault(chance, seconds) for _ in range(6)]
    moved = [_moved(fault, plan.seconds) for fault in more]
    storm = Weather(at_s=plan.seconds, until_s=plan.seconds + seconds, profile="storm")
    return msgspec.structs.replace(plan, seconds=plan.seconds + seconds, faults=(*plan.faults, storm, *moved))


def _start(chance: random.Random) -> int:
    """Noon of a day, or so that midnight (funding, a new risk day) or another funding falls into the run."""
    day, ahead = _A_DAY * DAY, int(chance.uniform(10, 50) * SECOND)
    return chance.choice((day + DAY // 2, day + DAY // 2, day - ahead, day + DAY // 3 - ahead))


def _weathers(chance: random.Random, seconds: float) -> list[Weather]:
    found = []
    for _ in range(chance.choice((1, 1, 2))):
        at = chance.uniform(WARM_S, seconds * 0.6)
        until = min(seconds, at + chance.uniform(10, seconds))
        found.append(Weather(at_s=_r(at), until_s=_r(until), profile=chance.choice(list(PROFILES))))
    return found


def _fault(chance: random.Random, seconds: float) -> AnyFault:
    at = _r(chance.uniform(WARM_S, seconds - 1))
    kinds = tuple(_MAKERS)
    return _MAKERS[chance.choices(kinds, [_WEIGHTS[kind] for kind in kinds])[0]](chance, at)


def _script(chance: random.Random, at: float) -> AnyFault:
    if chance.random() < 0.25:
        return Script(at_s=at, operation=CANCEL, trouble=Trouble.PARTIAL_CANCEL, count=chance.choice((1, 3)))
    operation = chance.choice(("order/create", "order/create", "order/cancel", "position/trading-stop", "*"))
    trouble = chance.choice(
        (Trouble.LOST_ANSWER, Trouble.LOST_ANSWER, Trouble.LIE, Trouble.SERVER_ERROR, Trouble.TOO_MANY, Trouble.TWICE)
    )
    return Script(at_s=at, operation=operation, trouble=trouble, count=chance.choice((1, 1, 1, 3)))


def _slow(chance: random.Random, at: float) -> AnyFault:
    return Slow(at_s=at, until_s=_r(at + chance.uniform(1, 8)), mean_ms=_r(chance.uniform(20, 400)))


def _drift(chance: random.Random, at: float) -> AnyFault:
    return ClockDrift(at_s=at, millionths=chance.randint(-500, 500))


def _jump(chance: random.Random, at: float) -> AnyFault:
    return ClockJump(at_s=at, ms=_r(chance.choice((-1, 1)) * 10 ** chance.uniform(1, 3.7)))


def _kill(chance: random.Random, at: float) -> AnyFault:
    down, power = _r(10 ** chance.uniform(-0.7, 0.9)), chance.random() < 0.4
    match chance.choice(("time", "order", "order", "halt", "disk", "disk")):
        case "disk":
            return _kill_at_disk(chance, at, down, power=power)
        case "order":
            return Kill(at_s=at, calls=chance.randint(0, 12), after="order", down_s=down, power=power)
        case "halt":
            return Kill(at_s=at, calls=chance.randint(0, 100), after="halt", down_s=min(down, 2.0), power=power)
        case _:
            return Kill(at_s=at, calls=chance.randint(0, 5), down_s=down, power=power)


def _kill_at_disk(chance: random.Random, at: float, down: float, *, power: bool) -> AnyFault:
    if chance.random() < 0.3:
        return KillAtDisk(at_s=at, operations=chance.randint(1, 10), down_s=down, power=power)
    operations = chance.randint(1, _OPERATIONS_OF_A_COMMIT)
    return KillAtDisk(at_s=at, operations=operations, after="order", down_s=down, power=power)


def _slow_disk(chance: random.Random, at: float) -> AnyFault:
    return SlowDisk(at_s=at, until_s=_r(at + chance.uniform(1, 10)), ms=_r(10 ** chance.uniform(0.5, 3)))


_MAKERS: dict[type, Callable[[random.Random, float], AnyFault]] = {
    Script: _script,
    BadBook: lambda chance, at: BadBook(
        at_s=at,
        symbol=chance.randrange(SYMBOLS),
        kind=chance.choice(_BOOK_FAULTS),  # type: ignore[arg-type]
    ),
    BreakOrder: lambda chance, at: BreakOrder(at_s=at, when=chance.choice(list(Broken))),
    Reset: lambda chance, at: Reset(at_s=at, stream=chance.choice(list(Stream))),
    Slow: _slow,
    Dark: lambda chance, at: Dark(at_s=at, until_s=_r(at + 10 ** chance.uniform(-0.5, 1.3))),
    Refusing: lambda chance, at: Refusing(at_s=at, until_s=_r(at + chance.uniform(0.5, 8))),
    Stall: lambda chance, at: Stall(at_s=at, ms=_r(10 ** chance.uniform(1, 3.7))),
    ClockJump: _jump,
    ClockDrift: _drift,
    SlowDisk: _slow_disk,
    FullDisk: lambda chance, at: FullDisk(at_s=at, until_s=_r(at + chance.uniform(0.5, 10))),
    Kill: _kill,
    Meddle: lambda chance, at: Meddle(at_s=at, deed=chance.choice(_DEEDS), symbol=chance.randrange(SYMBOLS)),
}
_WEIGHTS: dict[type, float] = {
    Script: 5,
    BadBook: 3,
    BreakOrder: 6,
    Reset: 4,
    Slow: 2,
    Dark: 2,
    Refusing: 1,
    Stall: 2,
    ClockJump: 1,
    ClockDrift: 1,
    SlowDisk: 1,
    FullDisk: 0.5,
    Kill: 5,
    Meddle: 3,
}


def _wish(chance: random.Random, seconds: float) -> Ask:
    wish = chance.choice((Wish.FLATTEN, Wish.FLATTEN, Wish.HALT, Wish.HALT, Wish.PAUSE, Wish.MOVE_STOP, Wish.MOVE_STOP))
    symbol = chance.choice((None, *range(SYMBOLS))) if wish is Wish.FLATTEN else chance.randrange(SYMBOLS)
    return Ask(at_s=_r(chance.uniform(WARM_S, seconds - 1)), wish=wish, symbol=symbol)


def _moved(fault: AnyFault, by: float) -> AnyFault:
    changes = {name: getattr(fault, name) + by for name in ("at_s", "until_s") if hasattr(fault, name)}
    return msgspec.structs.replace(fault, **changes)


def _r(value: float) -> float:
    """To a millisecond, so that a kept plan reads well."""
    return round(value, 3)
