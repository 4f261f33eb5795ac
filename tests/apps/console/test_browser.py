"""The console in a real browser: it shows what the bot says, asks what the operator confirms, and never lies."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.apps.console.fake_bot import RunningBot

from stakan.core.domain.events import Flatten, Halt, PauseEntries, ReleaseHalt, ResumeEntries

CHROMIUM = Path("/usr/bin/chromium")
PASSWORD = "correct horse"
STAKAN = (sys.executable, "-c", "from stakan.apps.cli.main import main; main()")

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{CHROMIUM} is missing: apt-get install chromium")
        pytest.skip(f"{CHROMIUM} is missing: the console was not opened in a browser")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where there is a browser

    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def url(folder: Path, browser: Any) -> Iterator[str]:
    """The console as its command starts it."""
    ready = folder / "ready.json"
    words = ("console", "--state", str(folder), "--port", "0", "--ready-file", str(ready))
    log = (folder / "console.log").open("wb")
    process = subprocess.Popen(
        [*STAKAN, *words],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, "APP_PASSWORD": PASSWORD},
        cwd=folder,
    )
    try:
        wait(lambda: ready.exists() or process.poll() is not None, within=60)
        assert ready.exists(), (folder / "console.log").read_text()
        yield msgspec.json.decode(ready.read_bytes())["url"]
    finally:
        process.terminate()
        code = process.wait(20)
        log.close()
    text = (folder / "console.log").read_text()
    assert "Traceback" not in text, text
    assert code == 0


@pytest.fixture
def running(folder: Path) -> Iterator[RunningBot]:
    with RunningBot(folder, past_s=60) as bot:
        yield bot


def wait(is_so: Callable[[], object], within: float = 20) -> None:
    deadline = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


class Visit:
    """One browser of one person, and everything that went wrong in it."""

    def __init__(self, browser: Any, url: str, width: int = 1440, scheme: str = "dark") -> None:
        self.url = url
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.context.set_default_timeout(20_000)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        host = re.escape(url.removeprefix("http://"))
        self.page.route(re.compile(f"^(?!(http|ws)://{host}/|data:)"), self._refuse)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))

    def _refuse(self, route: Any) -> None:
        self.wrong.append(f"asked for {route.request.url}")
        route.abort()

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def login(self, user: str = "operator", password: str = PASSWORD) -> Any:
        self.page.goto(self.url)
        self.page.fill("#user", user)
        self.page.fill("#password", password)
        self.page.press("#password", "Enter")
        self.page.wait_for_selector(":root[data-live=live] #heatmap canvas")
        return self.page

    def until(self, expression: str) -> None:
        self.page.wait_for_function(expression)

    def picture(self, box: str) -> str:
        found: str = self.page.evaluate(f"document.querySelector('#{box} canvas').toDataURL()")
        return found


@pytest.fixture
def visit(browser: Any, url: str, running: RunningBot) -> Iterator[Visit]:
    made = Visit(browser, url)
    yield made
    made.context.close()
    assert made.wrong == []


def asked(running: RunningBot, kind: type) -> list[Any]:
    return [one for one in running.bot.asked if isinstance(one, kind)]


def test_a_visitor_logs_in_and_sees_the_market_move(visit: Visit, running: RunningBot) -> None:
    page = visit.login()
    page.wait_for_selector("#synthetic", state="visible")
    assert page.inner_text("#mode").lower() == "paper"
    before = {box: visit.picture(box) for box in ("heatmap", "ladder", "candles", "equity")}
    equity = page.inner_text("#equity-now")
    visit.until("window.stakan.state.fills.length > 0 && window.stakan.state.candles.length > 5")
    wait(lambda: all(visit.picture(box) != picture for box, picture in before.items()))
    wait(lambda: page.inner_text("#equity-now") != equity)
    rows = page.locator("#decisions tbody tr:not(.hole)")
    wait(lambda: rows.count() > 0)
    assert page.locator("#health tbody tr").count() == 3
    page.click("#symbols button:nth-child(2)")
    visit.until("window.stakan.state.pair.symbol === 'ETHUSDT' && window.stakan.state.candles.length > 0")
    assert page.inner_text(".a-heat h2").endswith("ETHUSDT")


def test_a_wrong_password_is_told(browser: Any, url: str) -> None:
    visit = Visit(browser, url)
    page = visit.page
    page.goto(url)
    page.fill("#password", "not the password")
    page.click("button[type=submit]")
    wait(lambda: page.inner_text("#wrong"))
    assert page.url.endswith("/login")
    visit.context.close()


def test_flatten_all_needs_a_confirmation_and_reaches_the_bot(visit: Visit, running: RunningBot) -> None:
    page = visit.login()
    page.click("text=Flatten all")
    page.click(".ask .q-btn >> text=Cancel")
    page.wait_for_selector(".ask", state="detached")
    assert running.bot.asked == []
    page.keyboard.press("f")
    page.click(".ask button.solid")
    wait(lambda: asked(running, Flatten))
    (request,) = asked(running, Flatten)
    assert (request.instrument, request.actor) == (None, "operator")
    page.wait_for_selector("text=Flatten all is asked for")


def test_one_position_is_flattened_from_its_row(visit: Visit, running: RunningBot) -> None:
    page = visit.login()
    page.wait_for_selector("#positions button[data-action=flatten]", timeout=60_000)
    page.click("#positions button[data-action=flatten]")
    symbol = page.inner_text(".ask h3").removeprefix("Flatten ").removesuffix("?")
    page.click(".ask button.solid")
    wait(lambda: asked(running, Flatten))
    assert asked(running, Flatten)[0].instrument == f"synthetic:linear:{symbol}"


def test_a_halt_is_typed_and_released(visit: Visit, running: RunningBot) -> None:
    page = visit.login()
    page.keyboard.press("p")
    wait(lambda: asked(running, PauseEntries))
    page.click("text=Resume")
    wait(lambda: asked(running, ResumeEntries))
    page.wait_for_selector("text=Entries are open again")
    page.keyboard.press("h")
    halt = page.locator(".ask button.solid")
    assert halt.is_disabled()
    page.fill(".ask input[aria-label^=Type]", "hal")
    assert halt.is_disabled()
    page.fill(".ask input[aria-label^=Type]", "HALT")
    halt.click()
    wait(lambda: asked(running, Halt))
    visit.until("document.getElementById('trading-now').textContent === 'Halted'")
    page.click(".bar >> text=Release")
    page.click(".ask button.solid")
    wait(lambda: asked(running, ReleaseHalt))
    visit.until("document.getElementById('trading-now').textContent === 'Trading'")


def test_a_bot_that_dies_is_shown_dead_and_one_that_comes_back_alive(browser: Any, url: str, folder: Path) -> None:
    visit = Visit(browser, url)
    with RunningBot(folder, past_s=20) as first:
        page = visit.login()
        assert page.locator("#banner").is_hidden()
        first.pause()
        page.wait_for_selector(":root[data-live=late]")
        assert "old" in page.inner_text("#banner")
        opacity = "Number(getComputedStyle(document.getElementById('heatmap')).opacity)"
        wait(lambda: page.evaluate(opacity) < 0.5)
        first.play()
        page.wait_for_selector(":root[data-live=live]")
    page.wait_for_selector(":root[data-live=down]")
    assert "not connected" in page.inner_text("#banner")
    with RunningBot(folder, past_s=20):
        # On a busy machine the first frames of the new bot may be old ones: live, late, live again.
        page.wait_for_selector(":root[data-live=live] #banner", state="hidden")
        wait(lambda: page.evaluate(opacity) == 1)
    visit.context.close()
    assert visit.wrong == []


def test_a_console_that_is_not_heard_is_shown_offline(visit: Visit) -> None:
    page = visit.login()
    visit.context.set_offline(True)
    page.evaluate("window.stakan.stream.socket.close(); window.stakan.stream.path = '/nowhere'")
    page.wait_for_selector(":root[data-live=offline]")
    assert "No connection to the console" in page.inner_text("#banner")
    visit.context.set_offline(False)
    visit.wrong.clear()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_a_phone_is_wide_enough(browser: Any, url: str, folder: Path, scheme: str) -> None:
    bot = RunningBot(folder, past_s=60)
    bot.bot.mode = "testnet"
    visit = Visit(browser, url, width=390, scheme=scheme)
    with bot:
        look_at_a_phone(visit, scheme)
    visit.context.close()
    assert visit.wrong == []


def look_at_a_phone(visit: Visit, scheme: str) -> None:
    page = visit.login()
    visit.until("document.getElementById('mode').textContent === 'testnet'")
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    visit.until("window.stakan.state.trades.length > 0 && window.stakan.state.books.size === 3")
    for y in range(0, 4000, 600):
        page.evaluate(f"window.scrollTo(0, {y})")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator(".bar >> text=Flatten all").is_visible()


def test_the_theme_is_remembered_and_keys_are_listed(visit: Visit) -> None:
    page = visit.login()
    page.keyboard.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.keyboard.press("c")
    page.reload()
    page.wait_for_selector(":root[data-live=live] #heatmap canvas")
    assert page.evaluate("[...Object.values(document.documentElement.dataset)].includes('safe')")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    assert "Flatten all" in page.inner_text("#help")


def test_a_viewer_has_nothing_to_press(visit: Visit, browser: Any, url: str, running: RunningBot) -> None:
    page = visit.login()
    body = {"user": "guest", "role": "viewer", "password": "guest password"}
    made = page.evaluate(
        "(body) => fetch('/auth/users', {method: 'POST', headers: {'content-type': 'application/json'}, "
        "body: JSON.stringify(body)}).then((answer) => answer.status)",
        body,
    )
    assert made == 200
    guest = Visit(browser, url)
    page = guest.login("guest", "guest password")
    assert page.locator(".bar .q-btn").count() == 0
    page.keyboard.press("f")
    page.evaluate("window.emitEvent('key_flatten')")
    page.evaluate("window.emitEvent('flatten_one', {instrument: 'synthetic:linear:BTCUSDT', symbol: 'BTCUSDT'})")
    page.wait_for_timeout(500)
    assert page.locator(".ask").count() == 0
    assert running.bot.asked == []
    guest.context.close()
    assert guest.wrong == []


def test_logging_out_leads_to_the_form(visit: Visit) -> None:
    page = visit.login()
    page.click("[data-do=account]")
    page.click("#logout")
    page.wait_for_selector("#login")
    page.goto(visit.url)
    page.wait_for_selector("#login")
