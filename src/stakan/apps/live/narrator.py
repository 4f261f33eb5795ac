"""What a bot says while it trades, made from its steps: orders, fills, positions, halts, differences; never ticks.

Each line has the trace of what it is about. Prices and sizes are those of the market, not ticks and lots.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, get_args

import msgspec
from structlog.stdlib import BoundLogger

from stakan.apps.logs import get_logger
from stakan.core.domain import commands as c
from stakan.core.domain import events as e
from stakan.core.domain import facts as f
from stakan.core.domain.ids import InstrumentId
from stakan.core.domain.instrument import Instrument
from stakan.core.domain.orders import OrderStatus
from stakan.core.domain.step import Step
from stakan.core.domain.trace import Traces, trace_of
from stakan.core.domain.trading import ExitSignal, TradingState

DEBUG, INFO, WARNING = logging.DEBUG, logging.INFO, logging.WARNING
_SILENT = (f.EquityMarked, f.CandleClosed, f.LatePrint, f.LevelTested, f.FindingSettled, f.EntryFeatures, c.SetTimer)
"""Of every second, or of the engine's own business."""
TOLD_EVENTS: frozenset[type] = frozenset(
    (e.OutcomeLost, e.FeedDown, e.InstrumentChanged, e.CancelRejected, e.ProtectionChanged)
).union(get_args(e.AnyOperatorRequest))
"""Events without which the facts do not tell the story."""
_OPERATOR: frozenset[type] = frozenset(get_args(e.AnyOperatorRequest))
_NAMES: dict[type, str] = {
    f.SignalProposed: "signal",
    f.SignalRefused: "signal_refused",
    f.ExitDecided: "exit",
    f.TradingStateChanged: "trading",
    f.OrderTransitioned: "order",
    f.OrderUpdateIgnored: "order_update_ignored",
    f.FillBooked: "fill",
    f.FundingBooked: "funding",
    f.PositionTransitioned: "position",
    f.PositionClosed: "trade",
    c.SubmitOrder: "order_sent",
    c.CancelOrder: "cancel_sent",
    c.AmendOrder: "amendment_sent",
    c.SetProtection: "protection_sent",
    c.RequestSnapshot: "snapshot_wanted",
    e.ProtectionChanged: "protection",
}
"""What lines are called where it is not the name of their type."""
_LEVELS: dict[type, int] = {
    # At every decision while there is an opinion.
    f.SignalProposed: DEBUG,
    f.SignalRefused: DEBUG,
    f.IntentRefused: DEBUG,
    f.OrderUpdateIgnored: DEBUG,
    f.Discrepancy: WARNING,
    f.ProtectionRefused: WARNING,
    f.BookGap: WARNING,
    f.BookCrossed: WARNING,
    f.BookCorrupt: WARNING,
    e.OutcomeLost: WARNING,
    e.FeedDown: WARNING,
}
"""Where it is not info."""
_RENAMED = {"client_order_id": "order", "venue_order_id": "venue_order", "execution_id": "execution"}
_PRICES = frozenset(("price", "stop_loss", "take_profit", "entry", "leans_on", "bid", "ask"))
_SIZES = frozenset(("size", "filled"))
_LEFT_OUT = frozenset(("ts_event", "ts_recv", "rules", "horizon_ns", "mid_ticks", "close_on_trigger"))


class Narrator:
    """Sees every event with its step, in order, and says what is worth a line.

    `rules` gives the rules of an instrument that the bot trades, None of another.
    """

    def __init__(
        self, traces: Traces, rules: Callable[[InstrumentId], Instrument | None], log: BoundLogger | None = None
    ) -> None:
        self._traces = traces
        self._rules = rules
        self._log = log or get_logger("stakan.bot")

    def observe(self, event: e.AnyEvent, step: Step) -> None:
        """Say what an event and its step are worth."""
        if not (step.facts or step.commands or type(event) in TOLD_EVENTS):
            return
        self._traces.note(step)
        if type(event) in TOLD_EVENTS:
            self._say(event, step)
        for item in (*step.facts, *step.commands):
            if not isinstance(item, _SILENT):
                self._say(item, step)

    def _say(self, item: Any, step: Step) -> None:
        level = level_of(item)
        if not self._log.isEnabledFor(level):
            return
        trace, fields = trace_of(item, step, self._traces), self._fields(item)
        if fields.get("intent") == trace:
            del fields["intent"]
        if type(item) in _OPERATOR:
            fields = {"request": type(item).__name__, "correlation": item.request_id, **fields}
        self._log.log(level, name_of(item), trace=trace, step=step.number, **fields)

    def _fields(self, item: Any) -> dict[str, Any]:
        table = _flat(item)
        key = table.get("instrument")
        rules = self._rules(key) if key is not None else None
        return {
            _RENAMED.get(name, name): _shown(name, value, rules)
            for name, value in table.items()
            if name not in _LEFT_OUT and value not in (None, "", ())
        }


def name_of(item: Any) -> str:
    """What a line about it is called."""
    kind = type(item)
    return "operator" if kind in _OPERATOR else _NAMES.get(kind) or _snake(kind.__name__)


def level_of(item: Any) -> int:
    """How important it is."""
    match item:
        case f.OrderTransitioned(before=None):
            return DEBUG  # the command beside it says more
        case f.OrderTransitioned(after=OrderStatus.REJECTED | OrderStatus.FAILED):
            return WARNING
        case f.TradingStateChanged(state=TradingState.REDUCING | TradingState.HALTED):
            return WARNING
        case f.PositionTransitioned(intent="", before=None):
            return WARNING
        case _:
            return _LEVELS.get(type(item), INFO)


def _flat(item: Any) -> Mapping[str, Any]:
    """The fields of a message, those of what it carries beside its own."""
    fields = msgspec.structs.asdict(item)
    match item:
        case f.IntentApproved() | f.IntentRefused():
            fields = {key: fields[key] for key in ("rule", "reason", "detail") if key in fields}
            intent = item.intent
            return {"intent": intent.id, "size": intent.size, **msgspec.structs.asdict(intent.signal), **fields}
        case f.SignalProposed():
            return msgspec.structs.asdict(item.signal)
        case f.ExitDecided(exit=ExitSignal(stop_loss=stop, reasons=reasons)):
            return {**fields, "exit": None, "stop_loss": stop, "reasons": reasons}
        case c.SubmitOrder():
            return msgspec.structs.asdict(item.order)
        case _:
            return fields


def _shown(name: str, value: Any, rules: Instrument | None) -> Any:
    if rules is None or not isinstance(value, int) or isinstance(value, bool):
        return value
    if name in _PRICES:
        return rules.price(value)
    return rules.size(value) if name in _SIZES else value


def _snake(name: str) -> str:
    return "".join(f"_{sign.lower()}" if sign.isupper() else sign for sign in name).lstrip("_")
