"""The decision feed: facts as lines for people."""

from collections.abc import Callable
from typing import Any

from stakan.apps.projection import DecisionView
from stakan.core.domain import facts as f
from stakan.core.domain.units import Nanos


def decision_of(fact: f.AnyFact, number: int, ts: Nanos) -> DecisionView | None:
    """The line of a fact of step `number`; None for what is shown elsewhere (fills, candles, equity)."""
    make = _LINES.get(type(fact))
    values = make(fact) if make is not None else None
    if values is None:
        return None
    return DecisionView(number=number, ts=ts, **{"instrument": None, **values})


def _signal(fact: f.SignalProposed) -> dict[str, Any]:
    signal = fact.signal
    return {
        "kind": "signal",
        "instrument": signal.instrument,
        "strategy": signal.strategy,
        "side": signal.side,
        "detail": f"strength {signal.strength:.2f}; " + "; ".join(signal.reasons),
    }


def _signal_refused(fact: f.SignalRefused) -> dict[str, Any]:
    return {
        "kind": "refused",
        "instrument": fact.instrument,
        "strategy": fact.strategy,
        "side": fact.side,
        "reason": fact.reason.value,
        "detail": fact.detail,
    }


def _intent_refused(fact: f.IntentRefused) -> dict[str, Any]:
    signal = fact.intent.signal
    return {
        "kind": "refused",
        "instrument": signal.instrument,
        "strategy": signal.strategy,
        "side": signal.side,
        "reason": fact.reason.value,
        "detail": f"{fact.rule}: {fact.detail}",
    }


def _approved(fact: f.IntentApproved) -> dict[str, Any]:
    signal = fact.intent.signal
    return {
        "kind": "approved",
        "instrument": signal.instrument,
        "strategy": signal.strategy,
        "side": signal.side,
        "detail": f"{fact.intent.size} lots at {signal.entry}, stop {signal.stop_loss}; " + "; ".join(signal.reasons),
    }


def _finding(fact: f.FindingMade) -> dict[str, Any]:
    found = fact.finding
    evidence = ", ".join(f"{name} {value:.4g}" for name, value in found.evidence.items())
    where = f"{found.low} to {found.high}, " if found.low is not None else ""
    return {
        "kind": "finding",
        "instrument": found.instrument,
        "strategy": found.detector,
        "side": found.side,
        "reason": f"{found.pattern.value}_{found.stage.value}",
        "detail": f"confidence {found.confidence:.2f}, {where}{found.size} lots in {found.count}; {evidence}",
    }


def _exit(fact: f.ExitDecided) -> dict[str, Any]:
    reasons = fact.exit.reasons if fact.exit is not None else ()
    return {
        "kind": "exit",
        "instrument": fact.instrument,
        "reason": fact.reason.value,
        "detail": "; ".join(reasons),
    }


def _state(fact: f.TradingStateChanged) -> dict[str, Any]:
    return {"kind": "state", "reason": fact.reason.value, "detail": f"{fact.state.value}: {fact.detail}"}


def _order(fact: f.OrderTransitioned) -> dict[str, Any] | None:
    if fact.before is fact.after:
        return None
    return {
        "kind": "order",
        "instrument": fact.instrument,
        "detail": f"{fact.client_order_id} {fact.after.value}: {fact.cause}",
    }


def _discrepancy(fact: f.Discrepancy) -> dict[str, Any]:
    detail = f"{fact.subject}: expected {fact.expected}, found {fact.found}"
    return {"kind": "discrepancy", "instrument": fact.instrument, "detail": detail}


def _protection_refused(fact: f.ProtectionRefused) -> dict[str, Any]:
    return {"kind": "order", "instrument": fact.instrument, "detail": f"stop refused: {fact.why}"}


def _gap(fact: f.BookGap) -> dict[str, Any]:
    return {"kind": "book", "instrument": fact.instrument, "detail": f"gap: after {fact.expected} came {fact.got}"}


def _crossed(fact: f.BookCrossed) -> dict[str, Any]:
    return {"kind": "book", "instrument": fact.instrument, "detail": f"crossed: bid {fact.bid}, ask {fact.ask}"}


def _corrupt(fact: f.BookCorrupt) -> dict[str, Any]:
    return {"kind": "book", "instrument": fact.instrument, "detail": f"corrupt: {fact.why}"}


def _recovered(fact: f.BookRecovered) -> dict[str, Any]:
    return {"kind": "book", "instrument": fact.instrument, "detail": f"sound again at {fact.sequence}"}


_LINES: dict[type, Callable[[Any], dict[str, Any] | None]] = {
    f.FindingMade: _finding,
    f.SignalProposed: _signal,
    f.SignalRefused: _signal_refused,
    f.IntentRefused: _intent_refused,
    f.IntentApproved: _approved,
    f.ExitDecided: _exit,
    f.TradingStateChanged: _state,
    f.OrderTransitioned: _order,
    f.Discrepancy: _discrepancy,
    f.ProtectionRefused: _protection_refused,
    f.BookGap: _gap,
    f.BookCrossed: _crossed,
    f.BookCorrupt: _corrupt,
    f.BookRecovered: _recovered,
}
