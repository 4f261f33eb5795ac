"""Rows of what strategies proposed and what became of it: passed over, refused, approved; and wishes to get out."""

import math
from typing import Any

from stakan.adapters.sql.batch import Key
from stakan.adapters.sql.folding.draft import Draft, builtins, plain, side_name
from stakan.adapters.sql.folding.positions import leaving
from stakan.adapters.sql.tables import decisions, densities
from stakan.core.domain.facts import (
    EntryFeatures,
    ExitDecided,
    IntentApproved,
    IntentRefused,
    SignalProposed,
    SignalRefused,
)
from stakan.core.domain.trading import Intent, Signal


def proposed(draft: Draft, fact: SignalProposed) -> None:
    """A strategy has an opinion."""
    signal = fact.signal
    _row(draft, "proposed", draft.trace(fact), **_of_signal(signal), detail="; ".join(signal.reasons))
    _note_density(draft, signal)


def passed_over(draft: Draft, fact: SignalRefused) -> None:
    """The decision made no intent of a signal."""
    _row(
        draft,
        "passed_over",
        draft.trace(fact),
        instrument=fact.instrument,
        strategy=fact.strategy,
        side=side_name(fact.side),
        reason=fact.reason.value,
        detail=fact.detail,
    )


def refused(draft: Draft, fact: IntentRefused) -> None:
    """Risk said no."""
    why = {"rule": fact.rule, "reason": fact.reason.value, "detail": fact.detail}
    _row(draft, "refused", draft.trace(fact), **_of_intent(fact.intent), **why)


def approved(draft: Draft, fact: IntentApproved) -> None:
    """Risk let it pass: an order follows."""
    intent = fact.intent
    detail = "; ".join(intent.signal.reasons)
    key = _row(draft, "approved", draft.trace(fact), **_of_intent(intent), detail=detail)
    draft.state.entered = (intent.id, key)
    signal = intent.signal
    draft.audit(
        "decision",
        ("intent", intent.id),
        trace=draft.trace(fact),
        change=(None, "approved"),
        reason=detail,
        context={
            "instrument": signal.instrument,
            "strategy": signal.strategy,
            "side": side_name(signal.side),
            "size_lots": intent.size,
            "entry_ticks": signal.entry,
            "stop_loss_ticks": signal.stop_loss,
        },
    )


def entry_seen(draft: Draft, fact: EntryFeatures) -> None:
    """The step after: what the approved intent saw, in its row; a system event where that row is not known."""
    if draft.state.entered is None or draft.state.entered[0] != fact.intent:
        draft.note("EntryFeatures", fact.instrument, fact, draft.trace(fact))
        return
    draft.change(decisions, draft.state.entered[1], features=fact.features)
    draft.state.entered = None


def exit_decided(draft: Draft, fact: ExitDecided) -> None:
    """A position is to be closed, or its stop moved."""
    leaving(draft, fact)
    memory = draft.state.position_in(fact.instrument)
    trace = draft.trace(fact)
    detail = "; ".join(fact.exit.reasons) if fact.exit is not None else ""
    _row(
        draft,
        "exit",
        trace,
        instrument=fact.instrument,
        strategy=memory.row.strategy if memory is not None else "",
        intent=memory.row.intent if memory is not None else None,
        reason=fact.reason.value,
        detail=detail,
        signal=builtins(fact.exit) if fact.exit is not None else None,
    )
    draft.audit(
        "decision",
        ("position", memory.row.id) if memory is not None else ("instrument", fact.instrument),
        trace=trace,
        change=(None, "exit"),
        reason=fact.reason.value,
        context={"instrument": fact.instrument, "detail": detail},
    )


def _row(draft: Draft, verdict: str, trace: str, *, detail: str, **values: Any) -> Key:
    empty = {
        "side": None,
        "intent": None,
        "strength": None,
        "size_lots": None,
        "rule": "",
        "reason": "",
        "signal": None,
        "features": None,
    }
    return draft.insert(decisions, **{**empty, **values}, verdict=verdict, trace_id=trace, detail=plain(detail))


def _of_signal(signal: Signal) -> dict[str, Any]:
    return {
        "instrument": signal.instrument,
        "strategy": signal.strategy,
        "side": side_name(signal.side),
        "strength": signal.strength if math.isfinite(signal.strength) else None,
        "signal": builtins(signal),
    }


def _of_intent(intent: Intent) -> dict[str, Any]:
    return {**_of_signal(intent.signal), "intent": intent.id, "size_lots": intent.size}


def _note_density(draft: Draft, signal: Signal) -> None:
    """A density has a row when a strategy begins to lean on it."""
    key = f"{signal.instrument} {signal.strategy}"
    if signal.leans_on is None or draft.state.leaned_on.get(key) == signal.leans_on:
        return
    draft.state.leaned_on[key] = signal.leans_on
    draft.insert(
        densities,
        instrument=signal.instrument,
        strategy=signal.strategy,
        side=side_name(signal.side),
        price_ticks=signal.leans_on,
        price=draft.rules(signal.instrument).price(signal.leans_on),
        strength=signal.strength if math.isfinite(signal.strength) else 0.0,
    )
