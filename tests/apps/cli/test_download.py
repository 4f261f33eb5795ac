"""`stakan download` against an archive of our own, over real sockets."""

import asyncio
import gzip
import io
import json
import socket
import threading
import zipfile
from collections import Counter
from contextlib import contextmanager
from decimal import Decimal
from itertools import pairwise

import aiohttp
import pytest
import typer
from aiohttp import web
from tests.apps.cli.test_data_commands import INSTRUMENTS
from typer.testing import CliRunner

from stakan.adapters.exchanges.bybit.archive import Hosts, PublicHistory, Retries
from stakan.adapters.instruments import load
from stakan.adapters.parquet.catalog import coverage
from stakan.adapters.parquet.check import check
from stakan.adapters.parquet.layout import visible_parts
from stakan.adapters.parquet.reader import MarketStore
from stakan.apps.cli.download import download_command
from stakan.apps.cli.output import EXIT_CONFIG, EXIT_DATA, EXIT_FAILED, parse_time
from stakan.core.domain.units import DAY, MILLISECOND, MINUTE, SECOND

MISSING = "2025-12-03"


def trades_of(day):
    start = parse_time(day) // SECOND
    rows = [f"{start + i}.5,BTCUSDT,Buy,0.01,90000.1,PlusTick,{day}-{i}" for i in range(50)]
    header = "timestamp,symbol,side,size,price,tickDirection,trdMatchID"
    return gzip.compress("\n".join([header, *rows, ""]).encode(), mtime=0)


def book_of(day):
    """A day that begins and ends with a snapshot, as the archive's do."""
    start = parse_time(day) // MILLISECOND
    messages = []
    for i in range(21):
        kind = "snapshot" if i in {0, 20} else "delta"
        data = {
            "s": "BTCUSDT",
            "b": [["90000.1", f"0.{i + 1}"]],
            "a": [["90000.2", "0.5"]],
            "u": min(i, 19) + 1,
            "seq": i,
        }
        stamp = start + i * (DAY // MILLISECOND // 20)
        messages.append({"topic": "orderbook.200.BTCUSDT", "type": kind, "ts": stamp, "data": data, "cts": stamp})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("book.data", "\n".join(json.dumps(message) for message in messages) + "\n")
    return packed.getvalue()


def klines(query):
    """Newest first, at most `limit`; the last bar before `end` may be open."""
    start, end, limit = (int(query[name]) for name in ("start", "end", "limit"))
    step = MINUTE // MILLISECOND
    opens = range(end // step * step, start - 1, -step)
    rows = [[str(t), "90000.0", "90001.0", "89999.5", "90000.5", "1.5", "135000.75"] for t in opens]
    return rows[:limit]


class Archive:
    """What a test wants the archive to do wrong, and what it was asked for."""

    def __init__(self):
        self.requests = Counter()
        self.fail_first = 0
        self.truncated = False
        self.hole = None

    async def answer(self, request):
        self.requests[request.path] += 1
        if self.requests[request.path] <= self.fail_first:
            return web.Response(status=500)
        if request.path == "/v5/market/kline":
            rows = [row for row in klines(request.query) if row[0] != self.hole]
            return web.json_response({"retCode": 0, "retMsg": "OK", "result": {"list": rows}})
        if request.path == "/v5/market/instruments-info":
            return web.json_response(INFO)
        name = request.path.rsplit("/", 1)[1]
        if MISSING in name or "ob500" in name:
            return web.Response(status=404)
        if request.path.startswith("/trading/BTCUSDT/"):
            body = trades_of(name.removeprefix("BTCUSDT").removesuffix(".csv.gz"))
        else:
            body = book_of(name[:10])
        return web.Response(body=body[:-40] if self.truncated else body)


INFO = {
    "retCode": 0,
    "retMsg": "OK",
    "result": {
        "category": "linear",
        "nextPageCursor": "",
        "list": [
            {
                "symbol": "BTCUSDT",
                "contractType": "LinearPerpetual",
                "status": "Trading",
                "baseCoin": "BTC",
                "quoteCoin": "USDT",
                "settleCoin": "USDT",
                "fundingInterval": 480,
                "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
                "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
                "lotSizeFilter": {
                    "minOrderQty": "0.001",
                    "qtyStep": "0.001",
                    "maxOrderQty": "1190.000",
                    "maxMktOrderQty": "500.000",
                    "minNotionalValue": "5",
                },
                "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
            }
        ],
    },
}


@contextmanager
def serving(archive):
    """The archive on a port of its own, in a thread of its own; gives its address."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    place = []

    async def start():
        app = web.Application()
        app.router.add_get("/{path:.*}", archive.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        place.append((runner, runner.addresses[0][1]))
        ready.set()

    def live():
        asyncio.set_event_loop(loop)
        loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(place[0][0].cleanup())
        loop.close()

    thread = threading.Thread(target=live)
    thread.start()
    try:
        assert ready.wait(10)
        yield f"http://127.0.0.1:{place[0][1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@pytest.fixture
def archive():
    return Archive()


@pytest.fixture
def address(archive):
    with serving(archive) as place:
        yield place


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / "instruments.toml"
    path.write_text(INSTRUMENTS)
    return path


def run(*arguments):
    app = typer.Typer()
    app.command()(download_command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def download(what, address, data, *more):
    days = () if what == "instruments" else ("--from", "2025-12-01")
    return run(what, "BTCUSDT", *days, "--base-url", address, "--data", data, "--json", *more)


def events(data):
    return [event for window in MarketStore(data).history().windows() for event in window.events()]


# --- archive --------------------------------------------------------------------------------------------------------


def test_days_of_trades_are_fetched_and_imported_and_a_missing_day_is_named(address, rules, tmp_path):
    done = download("trades", address, tmp_path, "--to", "2025-12-04", "--instruments", rules)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["missing_days"] == [MISSING]
    assert len(events(tmp_path)) == 150
    assert {one.day for one in coverage(tmp_path)} == {"2025-12-01", "2025-12-02", "2025-12-04"}


def test_days_of_books_join_without_a_gap(address, rules, tmp_path):
    done = download("books", address, tmp_path, "--to", "2025-12-02", "--instruments", rules)
    assert done.exit_code == 0, done.output
    assert len(events(tmp_path)) == 42
    assert list(check(tmp_path)) == []


def test_a_repeated_download_fetches_and_imports_nothing_twice(archive, address, rules, tmp_path):
    download("trades", address, tmp_path, "--instruments", rules)
    asked = archive.requests.total()
    again = download("trades", address, tmp_path, "--instruments", rules)
    assert again.exit_code == 0
    assert len(json.loads(again.stdout)["skipped"]) == 1
    assert archive.requests.total() == asked
    assert len(events(tmp_path)) == 50


def test_raw_only_imports_nothing(address, tmp_path):
    done = download("trades", address, tmp_path, "--raw-only")
    assert done.exit_code == 0
    assert visible_parts(tmp_path) == []
    assert len(list(tmp_path.rglob("*.csv.gz"))) == 1


def test_a_server_error_is_tried_again(archive, address, rules, tmp_path):
    archive.fail_first = 1
    done = download("trades", address, tmp_path, "--instruments", rules)
    assert done.exit_code == 0, done.output
    assert set(archive.requests.values()) == {2}
    assert len(events(tmp_path)) == 50


def test_a_file_that_stays_truncated_is_an_error_and_is_not_kept(archive, address, rules, tmp_path):
    archive.truncated = True
    for what in ("trades", "books"):
        done = download(what, address, tmp_path, "--instruments", rules, "--attempts", 2)
        assert done.exit_code == EXIT_DATA
        assert "damaged 2 times" in done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path != rules] == []


def test_a_range_without_any_file_is_an_error(address, rules, tmp_path):
    done = run("trades", "BTCUSDT", "--from", MISSING, "--base-url", address, "--data", tmp_path)
    assert done.exit_code == EXIT_DATA
    assert MISSING in done.stderr


# --- REST -----------------------------------------------------------------------------------------------------------


def test_candles_of_several_pages_are_contiguous_and_stored_once(archive, address, rules, tmp_path):
    done = download("candles", address, tmp_path, "--to", "2025-12-02", "--instruments", rules)
    assert done.exit_code == 0, done.output
    candles = events(tmp_path)
    assert len(candles) == 2 * DAY // MINUTE
    assert archive.requests["/v5/market/kline"] == 3
    assert candles[0].open_ts == parse_time("2025-12-01")
    assert {after.open_ts - before.open_ts for before, after in pairwise(candles)} == {MINUTE}
    assert download("candles", address, tmp_path, "--instruments", rules).exit_code == EXIT_DATA


@pytest.mark.parametrize(("seconds", "closed"), [(599, 9), (600, 10), (601, 10)])
def test_a_bar_that_is_still_open_is_dropped(address, rules, seconds, closed):
    start = parse_time("2025-12-01")
    instrument = load(rules)["bybit:linear:BTCUSDT"]

    async def candles():
        async with aiohttp.ClientSession() as session:
            history = PublicHistory(session, Hosts(rest=address), Retries())
            return await history.candles(instrument, "1", MINUTE, start, start + DAY, start + seconds * SECOND)

    got = asyncio.run(candles())
    assert len(got) == closed
    assert got[-1].ts_event <= start + seconds * SECOND


def test_days_that_have_not_come_yet_have_no_candles(address, rules, tmp_path):
    days = ("--from", "2200-01-01")
    done = run("candles", "BTCUSDT", *days, "--base-url", address, "--data", tmp_path, "--instruments", rules)
    assert done.exit_code == EXIT_DATA
    assert "no closed 1m candles" in done.stderr


def test_a_hole_between_candles_is_an_error_that_names_it(archive, address, rules, tmp_path):
    archive.hole = str((parse_time("2025-12-01") + 700 * MINUTE) // MILLISECOND)
    done = download("candles", address, tmp_path, "--instruments", rules)
    assert done.exit_code == EXIT_DATA
    assert "missing between" in done.stderr
    assert visible_parts(tmp_path) == []


def test_downloaded_instruments_serve_later_imports(address, tmp_path):
    assert download("instruments", address, tmp_path).exit_code == 0
    done = download("candles", address, tmp_path)
    assert done.exit_code == 0, done.output
    assert MarketStore(tmp_path).instruments()["bybit:linear:BTCUSDT"].lot_size == Decimal("0.001")


# --- failures -------------------------------------------------------------------------------------------------------


def test_without_a_network_one_line_names_the_host_and_what_to_do(rules, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        done = download("trades", f"http://127.0.0.1:{port}", tmp_path, "--instruments", rules, "--attempts", 1)
    assert done.exit_code == EXIT_FAILED
    assert f"127.0.0.1:{port}" in done.stderr
    assert "--base-url" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("trades", "BTCUSDT"), "--from"),
        (("trades", "BTCUSDT", "--from", "yesterday"), "yesterday"),
        (("trades", "BTCUSDT", "--from", "2025-12-02", "--to", "2025-12-01"), "--to"),
        (("candles", "BTCUSDT", "--from", "2025-12-02", "--interval", "7m"), "7m"),
        (("books", "NOSUCHUSDT", "--from", "2025-12-02"), "download instruments"),
        (("candles", "NOSUCHUSDT", "--from", "2025-12-02"), "download instruments"),
    ],
)
def test_an_option_that_cannot_work_is_a_configuration_error(arguments, word, tmp_path):
    done = run(*arguments, "--data", tmp_path)
    assert done.exit_code == EXIT_CONFIG
    assert word in done.stderr
