"""A run's folder: `result.json`, `report.html`, `trades.csv`, `signals.csv`; visible whole or not at all."""

import csv
import io
import os
import shutil
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from stakan.apps.results.model import SCHEMA_VERSION, RunResult, SignalRow, TradeRow
from stakan.core.domain.errors import DataError, StorageError
from stakan.core.domain.units import SECOND

RESULT_FILE = "result.json"
REPORT_FILE = "report.html"
TRADES_FILE = "trades.csv"
SIGNALS_FILE = "signals.csv"


class _Schema(msgspec.Struct):
    schema: int


def encode_result(result: RunResult) -> bytes:
    """JSON of a result; money as strings, keys of features sorted."""
    return msgspec.json.encode(result, order="deterministic")


def decode_result(data: bytes, source: str) -> RunResult:
    """A result from its JSON; raises DataError, naming `source`, where it is none or of another schema."""
    try:
        schema = msgspec.json.decode(data, type=_Schema).schema
        if schema != SCHEMA_VERSION:
            raise DataError(f"{source} has schema {schema}, this version reads {SCHEMA_VERSION}: run the backtest anew")
        return msgspec.json.decode(data, type=RunResult)
    except msgspec.DecodeError as error:
        raise DataError(f"{source} is not the result of a run: {error}") from error


def read_run(path: Path) -> RunResult:
    """The result in a run's folder, or in a `result.json` named directly."""
    file = path / RESULT_FILE if path.is_dir() else path
    try:
        data = file.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{file} does not exist: name a folder that `stakan backtest` has written") from error
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from error
    return decode_result(data, str(file))


def write_run(result: RunResult, folder: Path, html: str) -> Path:
    """Write a run's folder; raises StorageError, and leaves nothing behind, where it exists or cannot be written.

    `html` is the report (`stakan.apps.report.render_report`).
    """
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        refuse_existing(folder)
        partial.mkdir(parents=True)
        for name, data in _files(result, html).items():
            _write(partial / name, data)
        partial.rename(folder)
    except OSError as error:
        raise StorageError(f"cannot write the run to {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def complete_run(result: RunResult, folder: Path, html: str) -> Path:
    """Write the same files into a folder that holds the run's journal already; the result last, it makes it a run.

    Raises StorageError.
    """
    for name, data in reversed(_files(result, html).items()):
        write_file(folder / name, data.decode())
    return folder


def _files(result: RunResult, html: str) -> dict[str, bytes]:
    return {
        RESULT_FILE: encode_result(result),
        REPORT_FILE: html.encode(),
        TRADES_FILE: trades_csv(result.trades).encode(),
        SIGNALS_FILE: signals_csv(result.signals).encode(),
    }


def refuse_existing(folder: Path) -> None:
    """Raises StorageError where a run's folder is taken."""
    if folder.exists():
        raise StorageError(f"{folder} exists already: choose another name or remove it")


def write_file(path: Path, text: str) -> None:
    """Write one file whole or not at all; raises StorageError."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(partial, text.encode())
        partial.replace(path)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def trades_csv(trades: tuple[TradeRow, ...]) -> str:
    """One row per closed position; times ISO 8601 UTC, money exact, reasons joined by `; `."""
    rows = (
        (
            t.number,
            t.instrument,
            t.strategy,
            t.side,
            t.size,
            iso(t.opened_ts),
            t.entry_price,
            iso(t.closed_ts),
            t.exit_price,
            f"{t.duration_ns / SECOND:.3f}",
            t.gross,
            t.slippage,
            t.fees,
            t.funding,
            t.net,
            "; ".join(t.entry_reasons),
            t.exit_reason,
        )
        for t in trades
    )
    head = "number,instrument,strategy,side,size,opened,entry_price,closed,exit_price,seconds,gross,slippage,fees,funding,net,entry_reasons,exit_reason"
    return _csv(head.split(","), rows)


def signals_csv(signals: tuple[SignalRow, ...]) -> str:
    """One row per kept signal."""
    rows = (
        (iso(s.ts), s.instrument, s.strategy, s.side, s.strength, s.entry, s.stop_loss, "; ".join(s.reasons))
        for s in signals
    )
    return _csv(["time", "instrument", "strategy", "side", "strength", "entry", "stop_loss", "reasons"], rows)


def iso(ts: int) -> str:
    """Nanoseconds as ISO 8601 UTC, to the microsecond."""
    return datetime.fromtimestamp(ts // SECOND, UTC).replace(microsecond=ts % SECOND // 1000).isoformat()


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return out.getvalue()


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
