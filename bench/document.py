"""`python -m bench.document FILE`: put a saved run (`python -m bench --json FILE`) between the markers of the page."""

import sys
from pathlib import Path

import msgspec

from bench._rows import Row
from bench._table import legend, markdown

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN = "<!-- measured: begin (python -m bench.document) -->"
END = "<!-- measured: end -->"


class Saved(msgspec.Struct):
    """A run: what it ran on, and its rows with all samples."""

    machine: dict[str, str]
    rows: list[Row]


def main(saved: Path) -> None:
    run = msgspec.json.decode(saved.read_bytes(), type=Saved)
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{section(run)}\n\n{END}{after}")


def section(run: Saved) -> str:
    """The part of the page that a run writes."""
    versions = ", ".join(f"{key} {value}" for key, value in run.machine.items())
    lines = "\n".join(f"- {line}" for line in legend(run.rows))
    return f"{versions}\n\n{markdown(run.rows)}\n\n{lines}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
