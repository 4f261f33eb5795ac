"""`stakan record` against a tiny exchange: what is kept, and what is left of it after every kind of end."""

import errno
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import msgspec
import pytest
from tests.apps.tiny_bybit import TinyBybit
from typer.testing import CliRunner

from stakan.adapters.importers.recording import Format, detect, open_recording
from stakan.adapters.parquet.layout import recordings
from stakan.adapters.parquet.reader import MarketStore
from stakan.adapters.parquet.writer import MarketWriter
from stakan.apps.cli.main import app
from stakan.core.domain.events import BookDelta, BookSnapshot, FeedDown, TradePrint
from stakan.core.domain.facts import BookGap
from stakan.core.market.book import Book, BookState

pytestmark = pytest.mark.usefixtures("compiled")

GUARD_S = 60


@pytest.fixture(scope="module")
def exchange():
    with TinyBybit() as tiny:
        yield tiny


def arguments(exchange, data: Path, *more: str) -> list[str]:
    venue = ["-e", "local", "--set", f"venue.local_url={exchange.url}", "--set", "venue.check_interval=0s"]
    return ["record", *more, *venue, "--data", str(data), "--env-file", str(data / "no.env")]


def started(exchange, data: Path, *more: str) -> subprocess.Popen:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BYBIT_", "STAKAN__"))}
    return subprocess.Popen(
        [sys.executable, "-c", "from stakan.apps.cli.main import main; main()", *arguments(exchange, data, *more)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def events_of(data: Path) -> list:
    return [
        batch.event(row)
        for window in MarketStore(data).history().windows()
        for batch in window.batches
        for row in range(len(batch))
    ]


def check_books(events: list, symbols: int) -> None:
    """Every book of the recording is whole from its snapshot on."""
    books: dict[str, Book] = {}
    for event in events:
        if isinstance(event, BookSnapshot | BookDelta):
            assert books.setdefault(event.instrument, Book(event.instrument)).apply(event) is None
    assert len(books) == symbols
    assert all(book.state is BookState.LIVE for book in books.values())


def test_records_books_and_prints_with_receive_times(exchange, tmp_path):
    before = time.time_ns()
    ran = CliRunner().invoke(app, [*arguments(exchange, tmp_path, "BTCUSDT", "ETHUSDT"), "--for", "1s", "--json"])
    assert ran.exit_code == 0, ran.output
    result = json.loads(ran.stdout)
    assert result["status"]["gaps"] == 0
    assert result["status"]["usable"] == 2
    events = events_of(tmp_path)
    assert len(events) == sum(result["status"]["events"].values())
    check_books(events, 2)
    assert any(isinstance(event, TradePrint) for event in events)
    assert all(before < event.ts_recv < time.time_ns() for event in events)
    (record,) = recordings(tmp_path).values()
    assert record.is_complete


def test_raw_frames_can_be_imported_to_the_same_events(exchange, tmp_path):
    raw = tmp_path / "raw"
    command = [*arguments(exchange, tmp_path / "store", "BTCUSDT"), "--raw", str(raw), "--for", "2s", "--part", "1s"]
    ran = CliRunner().invoke(app, [*command, "--json"])
    assert ran.exit_code == 0, ran.output
    files = sorted(raw.iterdir())
    assert len(files) >= 2
    assert detect(files[0]) is Format.BYBIT_CAPTURE
    # The importer calls every venue bybit.
    stored = events_of(tmp_path / "store")
    rules = MarketStore(tmp_path / "store").instruments()
    renamed = {name.replace("local:", "bybit:"): _renamed(instrument) for name, instrument in rules.items()}
    imported = list(open_recording(files, renamed).events())
    assert [(type(event), event.ts_recv, event.ts_event) for event in imported] == [
        (type(event), event.ts_recv, event.ts_event) for event in stored
    ]


def _renamed(instrument):
    return msgspec.structs.replace(instrument, id=instrument.id.replace("local:", "bybit:"))


def test_ctrl_c_keeps_everything(exchange, tmp_path):
    process = started(exchange, tmp_path, "BTCUSDT", "--json")
    _until_it_writes(exchange, process, tmp_path)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=GUARD_S)
    assert process.returncode == 0, errors
    events = events_of(tmp_path)
    assert len(events) == sum(json.loads(output)["status"]["events"].values()) > 0
    check_books(events, 1)


def test_a_killed_recorder_leaves_a_readable_store(exchange, tmp_path):
    process = started(exchange, tmp_path, "BTCUSDT", "--part", "1s", "--json")
    deadline = time.monotonic() + GUARD_S
    while len(list(tmp_path.rglob("book-*.parquet"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=GUARD_S)
    check_books(events_of(tmp_path), 1)
    ran = CliRunner().invoke(app, ["data", "check", "--data", str(tmp_path)])
    assert ran.exit_code == 0, ran.output


def test_gaps_and_interruptions_are_in_the_recording(tmp_path):
    with TinyBybit() as breaking:
        breaking.is_breaking = True
        ran = CliRunner().invoke(app, [*arguments(breaking, tmp_path, "BTCUSDT"), "--for", "3s", "--json"])
    assert ran.exit_code == 0, ran.output
    status = json.loads(ran.stdout)["status"]
    assert status["gaps"] == status["resyncs"] > 2
    assert status["interruptions"] > 0
    events = events_of(tmp_path)
    book = Book("local:linear:BTCUSDT")
    problems = [book.apply(event) for event in events if isinstance(event, BookSnapshot | BookDelta)]
    assert sum(isinstance(problem, BookGap) for problem in problems) == status["gaps"]
    assert sum(isinstance(event, FeedDown) for event in events) == status["interruptions"]


def test_a_full_disk_is_said_in_one_line(exchange, tmp_path, monkeypatch):
    calls = itertools.count()

    def full_soon(fd: int) -> None:
        if next(calls) > 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(fd)

    monkeypatch.setattr("stakan.apps.record.MarketWriter", partial(MarketWriter, fsync=full_soon))
    ran = CliRunner().invoke(app, [*arguments(exchange, tmp_path, "BTCUSDT"), "--for", "20s", "--part", "1s"])
    assert ran.exit_code == 4, ran.output
    assert "cannot write market data: No space left on device" in ran.output
    check_books(events_of(tmp_path), 1)


def test_a_ranking_names_the_instruments(exchange, tmp_path):
    ranked = ["--set", "universe.ranking=volume", "--set", "universe.size=5", "--set", "universe.max_spread_bps=2"]
    ran = CliRunner().invoke(app, [*arguments(exchange, tmp_path), *ranked, "--for", "1s", "--json"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["status"]["instruments"] == ["local:linear:BTCUSDT", "local:linear:ETHUSDT"]


def test_a_ranking_is_followed_while_it_changes(tmp_path):
    ranked = ("ranking=volume", "size=1", "keep_within=1", "refresh=1s")
    options = [word for setting in ranked for word in ("--set", f"universe.{setting}")]
    with TinyBybit() as tiny:
        change = threading.Timer(1.5, tiny.turnover.update, [{"BTCUSDT": "20000000"}])
        change.start()
        ran = CliRunner().invoke(app, [*arguments(tiny, tmp_path), *options, "--for", "4s", "--json"])
        change.join()
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["status"]["instruments"] == ["local:linear:ETHUSDT"]
    check_books(events_of(tmp_path), 2)


@pytest.mark.parametrize(
    ("more", "text", "code"),
    [
        ([], "name some in `instruments`", 2),
        (["NOSUCHUSDT"], "NOSUCHUSDT", 2),
        (["BTCUSDT", "--for", "soon"], "--for", 2),
    ],
)
def test_what_cannot_work_is_refused(exchange, tmp_path, more, text, code):
    ran = CliRunner().invoke(app, arguments(exchange, tmp_path, *more))
    assert ran.exit_code == code
    assert text in ran.output


def test_nobody_there(tmp_path):
    with TinyBybit() as gone:
        pass
    ran = CliRunner().invoke(app, arguments(gone, tmp_path, "BTCUSDT"))
    assert ran.exit_code == 1
    assert "no connection" in ran.output


def _until_it_writes(exchange, process, folder) -> None:
    deadline = time.monotonic() + GUARD_S
    pushed = exchange.pushed
    while exchange.pushed < pushed + 50:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
