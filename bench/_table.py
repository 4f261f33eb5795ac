"""Rows as a table on the terminal and as Markdown in the documentation."""

from rich.table import Table

from bench._rows import Measured, Row

_STYLE = {"pass": "green", "miss": "bold red", "info": "dim", "skipped": "yellow"}
_HEAD = ("row", "what", "ours", "peer or bar", "ratio", "verdict")


def header_lines(machine: dict[str, str]) -> list[str]:
    """Versions and machine."""
    return [", ".join(f"{key} {value}" for key, value in machine.items())]


def table(rows: list[Row]) -> Table:
    """Everything about each row."""
    made = Table(*_HEAD, show_lines=True, expand=False)
    for row in rows:
        name, what, ours, peer, ratio, verdict = cells(row)
        made.add_row(name, "\n".join(what), ours, peer, ratio, f"[{_STYLE[row.verdict]}]{verdict}[/]")
    return made


def markdown(rows: list[Row]) -> str:
    """The same for a document."""
    lines = [" | ".join(("", *_HEAD, "")).strip(), "|" + " --- |" * len(_HEAD)]
    for row in rows:
        name, what, ours, peer, ratio, verdict = cells(row)
        joined = (f"`{name}`", "<br>".join(what), ours, peer, ratio, verdict)
        lines.append("| " + " | ".join(cell.replace("\n", "<br>").replace("|", "\\|") for cell in joined) + " |")
    return "\n".join(lines)


def cells(row: Row) -> tuple[str, list[str], str, str, str, str]:
    """(name, lines of what it is, ours, peer or bar, ratio, verdict)."""
    what = [row.what]
    for label, text in (("event", row.event), ("data", row.data), ("note", row.note)):
        if text:
            what.append(f"{label}: {text}")
    ratio = row.ratio
    verdict = row.verdict
    why = row.skipped or row.failed
    return (
        row.name,
        what,
        _measured(row.ours, row.unit),
        _against(row),
        f"{ratio.median:.2f}\n({ratio.low:.2f} to {ratio.high:.2f})" if ratio else "",
        f"{verdict}: {why}" if why else verdict,
    )


def _against(row: Row) -> str:
    lines = []
    if row.peer is not None:
        lines.append(f"{row.peer_name}: {_measured(row.peer, row.unit)}")
    if row.bar is not None:
        lines.append(f"{'at most' if row.lower else 'at least'} {_number(row.bar)} {row.unit}")
    if row.bar_ratio is not None:
        aim = f", aim {row.aim_ratio:g} x" if row.aim_ratio else ""
        lines.append(f"at least {row.bar_ratio:g} x{aim}")
    return "\n".join(lines)


def _measured(value: Measured | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{_number(value.median)} {unit}\n({_number(value.low)} to {_number(value.high)}, n = {len(value.samples)})"


def _number(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:.2f} M"
    if value >= 10_000:
        return f"{value / 1e3:.0f} k"
    if value >= 1_000:
        return f"{value / 1e3:.2f} k"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
