"""Rows as a table on the terminal and as Markdown in the documentation."""

from rich.table import Table

from bench._rows import Measured, Row

_STYLE = {"pass": "green", "miss": "bold red", "info": "dim", "skipped": "yellow"}
_HEAD = ("row", "what, and what an event is", "data", "ours", "peer or bar", "ratio", "verdict")


def table(rows: list[Row]) -> Table:
    """One line a row; `legend` explains the letters and numbers."""
    made = Table(*_HEAD, show_lines=True, expand=False)
    for row, cells in zip(rows, all_cells(rows), strict=True):
        made.add_row(*cells[:-1], f"[{_STYLE[row.verdict]}]{cells[-1]}[/]")
    return made


def markdown(rows: list[Row]) -> str:
    """The same for a document."""
    lines = ["| " + " | ".join(_HEAD) + " |", "|" + " --- |" * len(_HEAD)]
    lines += ["| " + " | ".join(cell.replace("\n", "<br>") for cell in cells) + " |" for cells in all_cells(rows)]
    return "\n".join(lines)


def legend(rows: list[Row]) -> list[str]:
    """What the letters of the data column and the numbers in brackets stand for."""
    data = [f"data {letter}: {text}" for text, letter in _letters(rows).items()]
    return data + [f"[{number}] {text}" for text, number in _notes(rows).items()]


def all_cells(rows: list[Row]) -> list[tuple[str, ...]]:
    """The texts of all rows."""
    letters, notes = _letters(rows), _notes(rows)
    return [_cells(row, letters.get(row.data, ""), notes.get(row.note)) for row in rows]


def _letters(rows: list[Row]) -> dict[str, str]:
    texts = dict.fromkeys(row.data for row in rows if row.data)
    return {text: chr(ord("A") + i) for i, text in enumerate(texts)}


def _notes(rows: list[Row]) -> dict[str, int]:
    texts = dict.fromkeys(row.note for row in rows if row.note)
    return {text: i for i, text in enumerate(texts, start=1)}


def _cells(row: Row, letter: str, note: int | None) -> tuple[str, ...]:
    ratio = row.ratio
    why = row.skipped or row.failed
    return (
        row.name,
        row.what + (f" [{note}]" if note else "") + (f"\nevent: {row.event}" if row.event else ""),
        letter,
        _measured(row.ours, row.unit),
        _against(row),
        f"{ratio.median:.2f}\n({ratio.low:.2f} to {ratio.high:.2f})" if ratio else "",
        f"{row.verdict}: {why}" if why else row.verdict,
    )


def _against(row: Row) -> str:
    lines = []
    if row.peer is not None:
        lines.append(f"{row.peer_name}: {_measured(row.peer, row.unit)}")
    if row.bar is not None:
        lines.append(f"{'at most' if row.lower else 'at least'} {_number(row.bar)} {row.unit}")
    if row.bar_ratio is not None:
        aim = f", aim {row.aim_ratio:g} x" if row.aim_ratio else ""
        lines.append(f"ratio at least {row.bar_ratio:g} x{aim}")
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
