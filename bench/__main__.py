"""`python -m bench [--only name] [--json FILE]`: every benchmark in one table, measured in one run."""

import argparse
import os
import platform
import sys
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import msgspec
from rich.console import Console

from bench._rows import Options, Row, pin
from bench._table import legend, table
from bench.document import Saved
from stakan.apps.processes import interrupt_on_signals

MODULES = (
    "book",
    "engine_path",
    "feed",
    "exchange_board",
    "exchange_server",
    "matching",
    "session",
    "day",
    "parts",
    "features",
    "journal",
    "order_path",
    "recovery",
    "limiter",
    "safeguards",
    "hundred_symbols",
    "observing",
    "detectors",
    "sql",
)
"""One file each, in the order of the table."""


def main() -> int:
    # What a bench started must not go on beside the next one.
    interrupt_on_signals()
    arguments = _arguments()
    options = Options(
        data=Path(os.environ["STAKAN_DATA"]) if os.environ.get("STAKAN_DATA") else None,
        scratch=Path(".benchmarks"),
        scale=arguments.scale,
        repetitions=arguments.repetitions,
        peers=not arguments.no_peers,
    )
    console = Console(width=None if sys.stdout.isatty() else 160)
    progress = Console(stderr=True)
    saved = Saved(machine=machine(pin(arguments.core)), rows=[])
    started = time.monotonic()
    for name in MODULES:
        if arguments.only and not (arguments.only.startswith(name) or name.startswith(arguments.only)):
            continue
        progress.print(f"[{time.monotonic() - started:5.0f} s] {name} …", highlight=False)
        rows = rows_of(name, options)
        saved.rows += [row for row in rows if row.name.startswith(arguments.only)]
    console.print(", ".join(f"{key} {value}" for key, value in saved.machine.items()), highlight=False)
    console.print(table(saved.rows))
    for line in legend(saved.rows):
        console.print(line, highlight=False, markup=False)
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(saved), indent=1))
    return 1 if any(row.verdict == "miss" for row in saved.rows) else 0


def rows_of(name: str, options: Options) -> list[Row]:
    """The rows of a module; a module that wants recorded data is skipped by name where there is none."""
    module = import_module(f"bench.{name}")
    if options.data is None and name in _RECORDED:
        return [
            Row(name=name, what=(module.__doc__ or name).splitlines()[0], unit="", event="", data="", skipped=_NO_DATA)
        ]
    rows: list[Row] = module.run(options)
    return rows


_RECORDED = frozenset(("matching", "session", "day", "detectors"))
_NO_DATA = "STAKAN_DATA does not name a folder of recorded market data"


def machine(core: int) -> dict[str, str]:
    """What the numbers depend on."""
    packages = ("stakan", "numpy", "numba", "msgspec", "pyarrow", "hftbacktest")
    return {
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cpu": _cpu(),
        "cores": f"{os.cpu_count()}, pinned to core {core}" if core >= 0 else f"{os.cpu_count()}, not pinned",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only", default="", metavar="NAME", help="rows whose name begins so, e.g. book or engine_path"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all samples to a file")
    parser.add_argument("--repetitions", type=int, default=7, help="measured rounds of each row (default 7)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full amount of work (default 1)")
    parser.add_argument("--core", type=int, help="core to run on (default: the last one)")
    parser.add_argument("--no-peers", action="store_true", help="leave NautilusTrader and hftbacktest out")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
