"""Rows of findings: what a detector found, in what market, and what price did afterwards."""

from stakan.adapters.sql.folding.draft import Draft, builtins, side_name
from stakan.adapters.sql.tables import findings
from stakan.core.domain.facts import FindingMade, FindingSettled

_MOVES = ("move_1s_bps", "move_10s_bps", "move_60s_bps")
_WAITING = 10_000
"""Findings that may wait for what price does afterwards; older ones are given up."""


def found(draft: Draft, fact: FindingMade) -> None:
    """A detector found something."""
    finding, rules = fact.finding, draft.rules(fact.finding.instrument)
    place = draft.place()
    key = f"{place['run']}#{place['number']}.{place['ordinal']}"
    draft.batch.insert(
        findings,
        {
            "id": key,
            **place,
            "trace_id": draft.trace(fact),
            "instrument": finding.instrument,
            "detector": finding.detector,
            "pattern": finding.pattern.value,
            "stage": finding.stage.value,
            "episode": finding.episode,
            "side": side_name(finding.side) if finding.side is not None else None,
            "low_ticks": finding.low,
            "high_ticks": finding.high,
            "low": rules.price(finding.low) if finding.low is not None else None,
            "high": rules.price(finding.high) if finding.high is not None else None,
            "size_lots": finding.size,
            "size": rules.size(finding.size),
            "count": finding.count,
            "began_ts": finding.began,
            "ts_event": finding.ts_event,
            "confidence": finding.confidence,
            "evidence": builtins(finding.evidence),
            "circumstances": builtins(fact.circumstances),
            "is_settled": False,
            **dict.fromkeys(_MOVES),
        },
    )
    waiting = draft.state.findings
    waiting[_name(finding.instrument, finding.detector, finding.episode, finding.stage, finding.ts_event)] = key
    if len(waiting) > _WAITING:
        del waiting[next(iter(waiting))]


def settled(draft: Draft, fact: FindingSettled) -> None:
    """What price did after a finding is known; where its row is not known any more, that is a system event."""
    name = _name(fact.instrument, fact.detector, fact.episode, fact.stage, fact.ts_event)
    key = draft.state.findings.pop(name, None)
    if key is None:
        draft.note(type(fact).__name__, fact.instrument, fact, draft.trace(fact))
        return
    moves = dict(zip(_MOVES, fact.moves_bps, strict=False))
    draft.change(findings, (key,), is_settled=True, **moves)


def _name(instrument: str, detector: str, episode: int, stage: str, ts_event: int) -> str:
    return f"{instrument} {detector} {episode} {stage} {ts_event}"
