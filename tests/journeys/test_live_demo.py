"""The demo as a newcomer meets it: exchange, bot and console are started, a browser logs in, watches and flattens."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from stakan.apps.demo import API_KEY, API_SECRET, OPERATOR, DemoPlan, running
from stakan.apps.rehearse import Asker

pytestmark = pytest.mark.usefixtures("compiled")

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
STAKAN = [sys.executable, "-c", "from stakan.apps.cli.main import main; main()"]
TRADED_S = 90
"""The demo's settings trade several times a minute; a quiet stretch must not fail the test."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    with running(DemoPlan(folder=tmp_path_factory.mktemp("demo"), console_port=0)) as started:
        yield started


@pytest.fixture
def page(demo):
    if not CHROMIUM.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{CHROMIUM} is missing: apt-get install chromium")
        pytest.skip(f"{CHROMIUM} is missing: the demo was not opened in a browser")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where there is a browser

    wrong = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        opened = browser.new_page(viewport={"width": 1440, "height": 900})
        opened.set_default_timeout(30_000)
        opened.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        opened.on("request", lambda asked: asked.url.startswith(demo.console_url) or note(wrong, asked.url))
        yield opened
        browser.close()
    assert wrong == []


def note(wrong, url):
    if not url.startswith(("data:", "blob:")):
        wrong.append(f"asked for {url}")


def login(page, demo):
    page.goto(demo.console_url)
    page.fill("#user", OPERATOR)
    page.fill("#password", demo.password)
    page.press("#password", "Enter")
    page.wait_for_selector(":root[data-live=live] #heatmap canvas")


def until(condition, what, within=TRADED_S):
    deadline = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.1)
    return found


def picture(page, box):
    return page.evaluate(f"document.querySelector('#{box} canvas').toDataURL()")


def held(demo):
    asker = Asker(demo.exchange_url, API_KEY, API_SECRET)
    return [row["symbol"] for row in asker.all("position/list", category="linear", settleCoin="USDT")]


@pytest.mark.browser
@pytest.mark.slow
def test_a_newcomer_sees_it_trade_and_flattens_all(demo, page):
    login(page, demo)
    page.wait_for_selector("#synthetic", state="visible")
    before = {box: picture(page, box) for box in ("heatmap", "ladder")}
    equity = page.inner_text("#equity-now")
    page.wait_for_function("window.stakan.state.fills.length > 0", timeout=TRADED_S * 1000)
    until(lambda: page.locator("#decisions tbody tr:not(.hole)").count() > 0, "a decision")
    until(lambda: page.inner_text("#equity-now") != equity, "equity moves")
    assert all(picture(page, box) != drawn for box, drawn in before.items()), "the book moves"
    until(lambda: held(demo), "a position at the exchange")
    page.click("text=Pause")
    page.click("text=Flatten all")
    page.click(".ask button.solid")
    until(lambda: not held(demo), "everything is flat at the exchange", within=30)
    assert demo.ended() is None


@pytest.mark.slow
def test_the_exchange_of_the_demo_never_saw_a_position_without_a_stop(demo):
    with urllib.request.urlopen(f"{demo.exchange_url}/local/v1/audit", timeout=10) as reply:
        assert json.load(reply) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_of_it(tmp_path, monkeypatch, number):
    # A relative folder, as a user has it: the path of a Unix socket may have about a hundred characters.
    monkeypatch.chdir(tmp_path)
    with subprocess.Popen(
        [*STAKAN, "demo", "--port", "0", "--symbols", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        watchdog = threading.Timer(2 * TRADED_S, process.kill)
        watchdog.start()
        try:
            assert any("Ctrl-C" in line for line in process.stdout), "it introduces itself when all of it runs"
            children = until(lambda: pids_of(process.pid), "its programs")
            process.send_signal(number)
            output, _ = process.communicate(timeout=60)
        finally:
            watchdog.cancel()
            process.kill()
    assert process.returncode == 0, output
    assert "Report" in output
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()], "nothing is left behind"
    assert list(tmp_path.glob("runs/*/state/runs/*/report.html"))


def pids_of(parent):
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return found if len(found) >= 3 else []
