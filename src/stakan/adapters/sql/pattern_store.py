"""The pattern store: findings with the market around them and what traders say of them; what a bot can learn from them."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Select, select

from stakan.adapters.sql.database import Database
from stakan.adapters.sql.queries import Span
from stakan.adapters.sql.tables import finding_labels, findings
from stakan.core.domain.errors import DataError
from stakan.core.domain.findings import Label, Pattern, Stage
from stakan.core.domain.patterns import Known, PatternLibrary

_VERDICTS = {Label.REAL: 1.0, Label.FALSE: -1.0}
_CONFIRMED = 0.5
"""Of an episode that its detector confirmed and nobody judged."""
LIBRARY_LIMIT = 2_000
"""The newest findings that a library is made of."""


class FindingLine(msgspec.Struct, frozen=True, kw_only=True):
    """A finding, and its label."""

    id: str
    ts: int
    trace_id: str
    instrument: str
    detector: str
    pattern: str
    stage: str
    episode: int
    side: str | None
    low: Decimal | None
    high: Decimal | None
    size: Decimal
    count: int
    began_ts: int
    ts_event: int
    confidence: float
    evidence: Mapping[str, float]
    circumstances: Mapping[str, float] | None
    is_settled: bool
    move_1s_bps: float | None
    move_10s_bps: float | None
    move_60s_bps: float | None
    label: str | None
    changed_by: str | None
    """Who labelled it."""
    changed_ts: int | None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which findings; None for any."""

    span: Span = Span()
    instrument: str | None = None
    pattern: Pattern | None = None
    label: Label | None = None
    only_unlabelled: bool = False


async def found(database: Database, wanted: Wanted, limit: int) -> list[FindingLine]:
    """Findings in a span of time, the newest first."""
    query = _lines().where(findings.c.ts >= wanted.span.start, findings.c.ts < wanted.span.stop)
    if wanted.instrument is not None:
        query = query.where(findings.c.instrument == wanted.instrument)
    if wanted.pattern is not None:
        query = query.where(findings.c.pattern == wanted.pattern.value)
    if wanted.label is not None:
        query = query.where(finding_labels.c.label == wanted.label.value)
    if wanted.only_unlabelled:
        query = query.where(finding_labels.c.label.is_(None))
    return await _read(database, _newest(query, limit))


async def episode(database: Database, finding: str) -> list[FindingLine]:
    """Every finding of the episode that one is of, oldest first; raises DataError where there is no such finding."""
    of = select(findings.c.run, findings.c.instrument, findings.c.detector, findings.c.episode)
    async with database.reading() as connection:
        key = (await connection.execute(of.where(findings.c.id == finding))).first()
    if key is None:
        raise DataError(f"there is no finding {finding}: `stakan findings list` lists them")
    same = [findings.c[name] == value for name, value in zip(key._fields, key, strict=True)]
    return await _read(database, _lines().where(*same).order_by(findings.c.number, findings.c.ordinal))


async def library(database: Database, limit: int = LIBRARY_LIMIT) -> PatternLibrary:
    """What the newest findings teach: all of an episode that was labelled, and of one that its detector confirmed.

    A label counts for its whole episode; of several the newest.
    """
    lines = await _read(database, _newest(_lines(), limit))
    labels: dict[tuple[str, ...], tuple[int, float]] = {}
    confirmed = set()
    for line in lines:
        key = _episode(line)
        if line.label is not None:
            said = (line.changed_ts or 0, _VERDICTS[Label(line.label)])
            labels[key] = max(labels.get(key, said), said)
        if line.stage == Stage.CONFIRMED:
            confirmed.add(key)
    known = []
    for line in reversed(lines):
        key = _episode(line)
        verdict = labels[key][1] if key in labels else _CONFIRMED if key in confirmed else None
        if verdict is not None and line.evidence:
            known.append(
                Known(
                    detector=line.detector,
                    pattern=Pattern(line.pattern),
                    evidence=dict(line.evidence),
                    verdict=verdict,
                )
            )
    return PatternLibrary(known=tuple(known))


def _episode(line: FindingLine) -> tuple[str, ...]:
    run = line.id.rpartition("#")[0]
    return run, line.instrument, line.detector, str(line.episode)


def _lines() -> Select[Any]:
    columns = [findings.c[name] for name in FindingLine.__struct_fields__ if name in findings.c]
    said = (finding_labels.c.label, finding_labels.c.changed_by, finding_labels.c.changed_ts)
    return select(*columns, *said).outerjoin(finding_labels, finding_labels.c.finding == findings.c.id)


def _newest(query: Select[Any], limit: int) -> Select[Any]:
    order = (findings.c.ts.desc(), findings.c.run.desc(), findings.c.number.desc(), findings.c.ordinal.desc())
    return query.order_by(*order).limit(limit)


async def _read(database: Database, query: Select[Any]) -> list[FindingLine]:
    async with database.reading() as connection:
        rows = (await connection.execute(query)).all()
    return [FindingLine(**dict(zip(row._fields, row, strict=True))) for row in rows]
