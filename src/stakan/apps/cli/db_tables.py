"""Answers of the database as tables for people."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from stakan.adapters.sql.check import Difference
from stakan.adapters.sql.columns import to_json
from stakan.adapters.sql.pattern_store import FindingLine
from stakan.adapters.sql.queries import AuditLine, GroupLine, LevelLine, OrderLine, SignalLine, TraceLine, TradeLine
from stakan.adapters.sql.upkeep import Pruned
from stakan.apps.cli.output import ns_text

_TO_THE_SECOND = len("2024-07-18 23:57:59")
_TO_THE_CENT = Decimal("0.0001")
_LONG = 60


def orders_table(lines: Iterable[OrderLine]) -> Table:
    """Open orders."""
    table = _table("Open orders", ("since", "instrument", "strategy", "order", "status"), ("price", "size", "filled"))
    for line in lines:
        status = "outcome unknown" if line.outcome_unknown else line.status.replace("_", " ")
        what = f"{line.purpose} {line.side} {line.type} {line.client_order_id}"
        price = "market" if line.price is None else f"{line.price:f}"
        _add(
            table, _time(line.submitted_ts), line.instrument, line.strategy, what, status, price, line.size, line.filled
        )
    return table


def trades_table(lines: Iterable[TradeLine]) -> Table:
    """Closed positions."""
    table = _table(
        "Trades",
        ("closed", "run", "position", "strategy", "side", "left because", "note"),
        ("size", "entry", "exit", "fees", "net"),
    )
    for line in lines:
        _add(
            table,
            _time(line.closed_ts),
            line.run,
            line.id,
            line.strategy,
            line.side,
            line.exit_reason or "",
            line.note or "",
            line.max_size,
            _short(line.entry_price),
            _short(line.exit_price),
            _short(line.fees),
            _short(line.net_pnl),
        )
    return table


def exits_table(lines: Iterable[GroupLine]) -> Table:
    """Exits by reason."""
    table = _table("Exits", ("left because",), ("trades", "won", "net", "mean", "best", "worst"))
    for line in lines:
        money = (_short(value) for value in (line.net_pnl, line.mean_pnl, line.best, line.worst))
        _add(table, line.name.replace("_", " "), line.trades, f"{line.win_rate:.0%}", *money)
    return table


def signals_table(lines: Iterable[SignalLine]) -> Table:
    """Signal efficiency."""
    heads = ("proposed", "passed over", "refused", "approved", "filled", "closed", "won", "net")
    table = _table("Signals", ("strategy", "why not, most often"), heads)
    for line in lines:
        why = ", ".join(f"{reason.replace('_', ' ')} {count}" for reason, count in list(line.refusals.items())[:3])
        won = f"{line.wins / line.closed:.0%}" if line.closed else ""
        counts = (line.proposed, line.passed_over, line.refused, line.approved, line.filled, line.closed)
        _add(table, line.strategy, why, *counts, won, _short(line.net_pnl))
    return table


def audit_table(lines: Iterable[AuditLine]) -> Table:
    """Audit records."""
    table = _table("Audit", ("time (UTC)", "who", "what", "of", "became", "why", "trace"))
    for line in lines:
        what = line.action if line.success else f"[red]{escape(line.action)}[/]"
        became = f"{line.old} → {line.new}" if line.old else line.new or ""
        cells = (line.actor, became, line.reason, f"{line.entity_kind} {line.entity}", line.trace_id)
        actor, became, reason, entity, trace = (escape(_cut(cell)) for cell in cells)
        table.add_row(_time(line.ts), actor, what, entity, became, reason, trace)
    return table


def trace_table(lines: Iterable[TraceLine]) -> Table:
    """All rows of a trace."""
    table = _table("Trace", ("time (UTC)", "table", "what"))
    for line in lines:
        _add(table, _time(line.ts), line.table.replace("_", " "), _said(line))
    return table


def levels_table(lines: Iterable[LevelLine]) -> Table:
    """Levels that were tested."""
    table = _table(
        "Levels tested",
        ("time (UTC)", "instrument", "what", "known since"),
        ("price", "strength", "touches", "holds", "breaks"),
    )
    for line in lines:
        what = f"{'support' if line.side == 'buy' else 'resistance'} {'held' if line.is_held else 'broke'}"
        counts = (line.touches, line.holds, line.breaks)
        price = f"{line.price:,.10g}"
        _add(table, _time(line.ts), line.instrument, what, _time(line.began_ts), price, f"{line.strength:.2f}", *counts)
    return table


def findings_table(lines: Iterable[FindingLine]) -> Table:
    """Findings."""
    table = _table(
        "Findings",
        ("time (UTC)", "finding", "instrument", "what", "side", "price", "label"),
        ("size", "confidence", "after 1 s", "10 s", "60 s"),
    )
    for line in lines:
        moves = (_bps(move) for move in (line.move_1s_bps, line.move_10s_bps, line.move_60s_bps))
        what = f"{line.pattern.replace('_', ' ')} {line.stage}"
        words = (line.id, line.instrument, what, line.side or "", _range(line), line.label or "")
        _add(table, _time(line.ts), *words, f"{line.size:f}", f"{line.confidence:.2f}", *moves)
    return table


def finding_table(line: FindingLine) -> Table:
    """One finding with all that is known of it."""
    title = f"{line.pattern.replace('_', ' ')} {line.stage}, {line.instrument}"
    table = _table(title, ("", ""))
    said = f"{line.label} ({line.changed_by}, {_time(line.changed_ts or 0)})" if line.label else "not labelled"
    moves = ", ".join(
        f"{_bps(move)} after {time}"
        for move, time in ((line.move_1s_bps, "1 s"), (line.move_10s_bps, "10 s"), (line.move_60s_bps, "60 s"))
        if move is not None
    )
    rows: dict[str, Any] = {
        "finding": line.id,
        "detector": f"{line.detector}, episode {line.episode}",
        "began": ns_text(line.began_ts),
        "found": ns_text(line.ts_event),
        "side": line.side or "",
        "price": _range(line),
        "size": f"{line.size:f} in {line.count}",
        "confidence": f"{line.confidence:.3f}",
        **{f"evidence: {name}": f"{value:g}" for name, value in sorted(line.evidence.items())},
        **{f"market: {name}": f"{value:g}" for name, value in sorted((line.circumstances or {}).items())},
        "price moved": moves or ("not known" if line.is_settled else "not known yet"),
        "label": said,
    }
    for name, value in rows.items():
        _add(table, name.replace("_", " "), value)
    return table


def _range(line: FindingLine) -> str:
    if line.low is None or line.high is None:
        return ""
    return f"{line.low:f}" if line.low == line.high else f"{line.low:f} to {line.high:f}"


def _bps(move: float | None) -> str:
    return "" if move is None else f"{move:+.1f} bps"


def pruned_table(lines: Iterable[Pruned], *, dry_run: bool) -> Table:
    """What was taken away."""
    table = _table("Would go" if dry_run else "Gone", ("table", "older than", "partitions"), ("rows",))
    for line in lines:
        _add(table, line.table, _time(line.before_ts), ", ".join(line.partitions), f"{line.rows:,}")
    return table


def difference_text(difference: Difference) -> str:
    """One row that is not what the journal says."""
    where = f"{difference.table} {to_json(difference.key)}"
    if difference.found is None or difference.expected is None:
        return f"{where}: {difference.what}"
    expected = difference.expected
    wrong = (f"{name} is {value!s}, should be {expected[name]!s}" for name, value in difference.found.items())
    return f"{where}: {'; '.join(wrong)}"


_SHOWN = (
    "verdict",
    "action",
    "instrument",
    "strategy",
    "side",
    "before_status",
    "after_status",
    "status",
    "price",
    "size",
    "fee",
    "net_pnl",
    "cause",
    "reason",
    "detail",
    "kind",
    "exit_reason",
)


def _said(line: TraceLine) -> str:
    said = ((name, line.row.get(name)) for name in _SHOWN)
    return ", ".join(f"{name.replace('_', ' ')} {_cut(str(value))}" for name, value in said if value not in (None, ""))


def _table(title: str, words: Iterable[str], numbers: Iterable[str] = ()) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in words:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _add(table: Table, *cells: Any) -> None:
    table.add_row(*(escape(str(cell)) for cell in cells))


def _time(ts: int) -> str:
    return ns_text(ts)[:_TO_THE_SECOND]


def _cut(text: str) -> str:
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"


def _short(amount: Decimal | None) -> str:
    """For eyes: JSON has all of it."""
    if amount is None:
        return ""
    return f"{amount.quantize(_TO_THE_CENT):f}" if abs(amount) < 10**12 else f"{amount:f}"
