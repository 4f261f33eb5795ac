"""Faults of a plan, brought about at their moment."""

from decimal import Decimal
from typing import TYPE_CHECKING, TypedDict

from stakan.apps.dst import plan as p
from stakan.apps.exchange.faults import profile_named
from stakan.core.domain.events import (
    AnyOperatorRequest,
    Flatten,
    Halt,
    MoveStop,
    PauseEntries,
    ReleaseHalt,
    ResumeEntries,
)
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.units import MILLISECOND, SECOND, Ticks

if TYPE_CHECKING:
    from stakan.apps.dst.world import World

_COUNTED_ELSEWHERE = (p.Weather, p.Script, p.BreakOrder, p.Kill, p.KillAtDisk, p.Meddle, p.Ask)
"""Where they meet something."""
_CLOCK_IS_OFF_NS = 20 * SECOND
_FAR_BELOW = Decimal("0.99")
RELEASED_AFTER_NS = 12 * SECOND
"""An operator who has halted or paused lets it go on after so long: a run without orders shows nothing."""


class _Who(TypedDict):
    """What all requests of an operator have in common."""

    ts_event: int
    ts_recv: int
    actor: str
    request_id: str


def happen(world: "World", fault: p.AnyFault) -> None:
    """Bring it about."""
    if not isinstance(fault, _COUNTED_ELSEWHERE):
        world.counts[str(type(fault).__struct_config__.tag)] += 1
    world.note(fault)
    match fault:
        case p.Weather() | p.Script() | p.BadBook():
            _at_the_exchange(world, fault)
        case p.BreakOrder() | p.Reset() | p.Slow() | p.Dark() | p.Refusing():
            _on_the_way(world, fault)
        case p.Ask():
            _ask(world, fault)
        case p.Meddle():
            _meddle(world, fault)
        case _:
            _at_the_bot(world, fault)


def _at_the_exchange(world: "World", fault: p.Weather | p.Script | p.BadBook) -> None:
    chaos = world.host.local.chaos
    match fault:
        case p.Weather():
            chaos.set(profile_named(fault.profile))
            world.until(fault.until_s, lambda: chaos.set(None))
        case p.Script():
            chaos.script(fault.operation, fault.trouble, fault.count)
        case p.BadBook():
            _spoil(world, fault)


def _on_the_way(world: "World", fault: p.BreakOrder | p.Reset | p.Slow | p.Dark | p.Refusing) -> None:
    network = world.network
    match fault:
        case p.BreakOrder():
            network.breaks.append(fault.when)
        case p.Reset():
            network.reset(fault.stream.value)
        case p.Slow():
            network.mean_ns = int(fault.mean_ms * MILLISECOND)
            world.until(fault.until_s, network.hurry)
        case p.Dark():
            network.dark_until = world.moment(fault.until_s)
        case p.Refusing():
            network.refuses_until = world.moment(fault.until_s)


def _at_the_bot(
    world: "World",
    fault: p.Stall | p.ClockJump | p.ClockDrift | p.SlowDisk | p.FullDisk | p.Kill | p.KillAtDisk,
) -> None:
    match fault:
        case p.Stall():
            world.machine.stall(int(fault.ms * MILLISECOND))
        case p.ClockJump():
            world.machine.set_back(-int(fault.ms * MILLISECOND))
            # A bot does not begin at all with a clock that is seconds off: somebody keeps this machine's.
            world.heap.later(_CLOCK_IS_OFF_NS, world.machine.right)
        case p.ClockDrift():
            world.machine.drift(fault.millionths)
        case p.SlowDisk():
            world.disk.sync_ns = int(fault.ms * MILLISECOND)
            world.until(fault.until_s, world.disk.hurry)
        case p.FullDisk():
            world.disk.is_full = True
            world.until(fault.until_s, world.disk.make_room)
        case p.Kill() | p.KillAtDisk():
            world.doom(fault)


def _meddle(world: "World", fault: p.Meddle) -> None:
    """Through the account's own requests, as from its owner's browser."""
    trading, symbol = world.host.trading, world.symbols[fault.symbol]
    rules = trading.market.instruments[symbol]
    view = trading.venue.position(rules)
    common: dict[str, object] = {"category": "linear", "symbol": symbol}
    ours = [order for order in trading.orders.of(symbol) if order.link_id]
    operation = "order/create"
    if fault.deed == "remove stop" and view.legs.stop_loss is not None:
        operation = "position/trading-stop"
        asked = common | {"stopLoss": "0", "positionIdx": 0}
    elif fault.deed == "close" and view.lots:
        side = "Sell" if view.lots > 0 else "Buy"
        size = str(rules.size(abs(view.lots)))
        asked = common | {"side": side, "orderType": "Market", "qty": size, "reduceOnly": True}
    elif fault.deed == "cancel" and ours:
        operation = "order/cancel"
        asked = common | {"orderId": ours[0].order_id}
    elif fault.deed == "open" and not view.lots and view.mark is not None:
        stop = rules.price(rules.price_down(view.mark * _FAR_BELOW))
        size = str(rules.size(rules.min_size))
        asked = common | {"side": "Buy", "orderType": "Market", "qty": size, "stopLoss": str(stop), "tpslMode": "Full"}
    else:
        return
    reply = world.host.account.handle(operation, asked, world.host.local.pump())
    world.counts[f"by hand: {fault.deed}"] += reply.code == 0
    world.note(f"by hand: {operation} {asked}: {reply.code} {reply.message}")


def _spoil(world: "World", fault: p.BadBook) -> None:
    board = world.host.local.board
    do = {
        "gap": board.skip,
        "restart": board.restart,
        "cross": board.cross,
        "repeat": board.repeat,
        "stale": board.go_back,
    }[fault.kind]
    do(f"orderbook.50.{world.symbols[fault.symbol]}")


def _ask(world: "World", fault: p.Ask) -> None:
    request = _request(world, fault)
    if request is None:
        return
    world.ask(request)
    if fault.wish is p.Wish.PAUSE:
        world.heap.later(RELEASED_AFTER_NS, world.let_go_on)


def _request(world: "World", fault: p.Ask) -> AnyOperatorRequest | None:
    name = f"{fault.wish} {world.heap.now}"
    who = _Who(ts_event=0, ts_recv=0, actor="operator", request_id=name)
    instrument = None if fault.symbol is None else InstrumentId(f"local:linear:{world.symbols[fault.symbol]}")
    match fault.wish:
        case p.Wish.PAUSE:
            return PauseEntries(**who)
        case p.Wish.RESUME:
            return ResumeEntries(**who)
        case p.Wish.FLATTEN:
            return Flatten(**who, instrument=instrument)
        case p.Wish.HALT:
            return Halt(**who, why="drill")
        case p.Wish.RELEASE:
            return ReleaseHalt(**who)
        case p.Wish.MOVE_STOP:
            return _moved_stop(world, instrument, who)


def _moved_stop(world: "World", instrument: InstrumentId | None, who: "_Who") -> MoveStop | None:
    """A stop twice as far from the market as the one that there is; nothing where there is none."""
    assert instrument is not None
    bot = world.process.bot if world.process is not None else None
    engine = None if bot is None else bot.engine
    position = None if engine is None else engine.state.portfolio.position(instrument)
    if engine is None or position is None or position.stop_loss is None:
        return None
    mid = round(engine.state.instruments[instrument].market.book.mid)
    return MoveStop(**who, instrument=instrument, stop_loss=Ticks(2 * position.stop_loss - mid))
