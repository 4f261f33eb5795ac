"""The page: self-contained, safe, without a console error, readable on a phone."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from stakan.apps.cli.report import report_command
from stakan.apps.report import compare, render_comparison, render_report
from stakan.apps.report.payload import extremes
from stakan.apps.results import RunResult, write_run
from stakan.apps.summary import print_summary
from stakan.core.domain.units import SECOND

CHROMIUM = Path("/usr/bin/chromium")
START = 1_760_000_400 * SECOND


@pytest.fixture(scope="module")
def page_file(busy: RunResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_text(render_report(busy))
    return file


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{CHROMIUM} is missing: apt-get install chromium")
        pytest.skip(f"{CHROMIUM} is missing: the report was not opened in a browser")
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where there is a browser

    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=arguments)
        yield opened
        opened.close()


def open_page(browser: Any, file: Path, width: int = 1280, scheme: str = "dark") -> tuple[Any, list[str]]:
    """The page with all network refused, and everything that went wrong on it."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce")
    wrong: list[str] = []

    def refuse(route: Any) -> None:
        wrong.append(f"asked for {route.request.url}")
        route.abort()

    page.route(re.compile("^(?!file:)"), refuse)
    # Of whatever kind: the plotting library tells its warnings as traces.
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(file.as_uri())
    page.wait_for_selector(".main-svg")
    return page, wrong


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_opens_without_an_error_and_without_overflow(
    browser: Any, page_file: Path, width: int, scheme: str
) -> None:
    page, wrong = open_page(browser, page_file, width, scheme)
    page.click("tr.trade")
    page.click("#theme")
    page.select_option("#instrument", "1")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.documentElement.dataset.theme") == ("light" if scheme == "dark" else "dark")
    assert wrong == []
    page.close()


@pytest.mark.browser
def test_the_page_of_a_run_that_only_lost_opens_without_an_error(browser: Any, busy: RunResult, tmp_path: Path) -> None:
    lost = tuple(trade for trade in busy.trades if trade.net <= 0)
    assert 0 < len(lost) < len(busy.trades)
    file = tmp_path / "report.html"
    file.write_text(render_report(msgspec.structs.replace(busy, trades=lost)))
    page, wrong = open_page(browser, file)
    assert wrong == []
    page.close()


@pytest.mark.browser
def test_every_chart_is_drawn(browser: Any, page_file: Path) -> None:
    page, _ = open_page(browser, page_file)
    empty = "[...document.querySelectorAll('.chart')].filter((c) => !c.querySelector('.main-svg')).map((c) => c.id)"
    assert page.evaluate(empty) == []
    assert page.locator(".chart").count() == 6
    page.close()


@pytest.mark.browser
def test_findings_are_on_the_price_chart_and_in_a_table(browser: Any, page_file: Path, busy: RunResult) -> None:
    page, _ = open_page(browser, page_file)
    drawn = (
        "document.getElementById('price').data.filter((t) => t.name === 'spoofing').map((t) => [t.x.length, t.y])[0]"
    )
    count, prices = page.evaluate(drawn)
    assert count == len(busy.findings)
    assert None not in prices
    told = page.locator("#findings").inner_text()
    assert f"{len(busy.findings)} findings" in told
    assert "neither owners nor intent" in told
    page.close()


@pytest.mark.browser
def test_the_table_pages_sorts_filters_and_tells_why(browser: Any, page_file: Path, busy: RunResult) -> None:
    page, _ = open_page(browser, page_file)
    rows = page.locator("tr.trade")
    assert rows.count() == min(50, len(busy.trades))
    page.click("#after")
    assert rows.count() == len(busy.trades) - 50
    page.fill("#filter", "density_bounce")
    assert rows.count() == min(50, sum(t.strategy == "density_bounce" for t in busy.trades))
    page.fill("#filter", "")
    page.click("th[data-key=net] button")
    worst = min(busy.trades, key=lambda t: t.net)
    assert rows.first.get_attribute("data-number") == str(worst.number)
    rows.first.click()
    told = page.locator("tr.why").inner_text()
    assert "bid volume is 3.4 times ask volume" in told
    assert "volume_imbalance" in told
    page.select_option("#outcome", "won")
    assert rows.count() == min(50, sum(t.net > 0 for t in busy.trades))
    page.close()


@pytest.mark.browser
def test_an_empty_run_and_a_comparison_open_without_an_error(
    browser: Any, script: Any, busy: RunResult, tmp_path: Path
) -> None:
    empty = script.result(id="empty")
    for name, text in (("a", render_report(empty)), ("b", render_comparison([busy, empty, busy]))):
        file = tmp_path / f"{name}.html"
        file.write_text(text)
        page, wrong = open_page(browser, file, 390)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert wrong == []
        page.close()


def test_the_page_loads_nothing_from_outside(busy: RunResult) -> None:
    text = render_report(busy)
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert "http://" not in own
    assert "https://" not in own
    assert not re.search(r"<(link|img|iframe)\b|<script[^>]*\bsrc=|@import|url\(", own)
    assert "default-src 'none'" in own


def test_names_from_outside_cannot_become_markup(script: Any) -> None:
    evil = "</script><script>alert(1)</script>"
    script.trade(START, START + SECOND, 640_000, 640_100, strategy=evil, exit_reason=evil)
    assert evil not in render_report(script.result(id=evil, source=evil))


def test_synthetic_data_is_labelled_wherever_it_is_shown(busy: RunResult) -> None:
    assert "SYNTHETIC DATA" in render_report(busy)
    assert "SYNTHETIC DATA" in render_comparison([busy, busy])
    assert "SYNTHETIC DATA" in _printed(busy)


def test_no_profit_is_promised(busy: RunResult) -> None:
    assert "No profit is promised" in render_report(busy)
    assert "No profit is promised" in _printed(busy)


def test_the_summary_shows_fingerprint_and_report(busy: RunResult) -> None:
    text = _printed(busy, Path("runs/x"))
    assert busy.fingerprint in text
    assert "runs/x/report.html" in text
    assert "imbalance_breakout" in text


def test_a_comparison_says_what_is_equal(busy: RunResult, new_script: Callable[[], Any]) -> None:
    other = new_script().result(config_hash="ffff", digest="other data")
    same, different = compare([busy, busy]), compare([busy, other])
    assert (same.same_data, same.same_config, same.same_fingerprint) == (True, True, True)
    assert (different.same_data, different.same_config, different.same_fingerprint) == (False, False, False)
    assert different.runs[1].net_difference == other.statistics.net - busy.statistics.net


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.integers(4, 50))
def test_thinning_keeps_first_last_lowest_and_highest(values: list[float], limit: int) -> None:
    import numpy as np  # noqa: PLC0415 - only here

    column = np.array(values)
    kept = extremes(column, limit)
    assert kept[0] == 0
    assert kept[-1] == len(values) - 1
    assert column[kept].min() == column.min()
    assert column[kept].max() == column.max()
    assert len(kept) <= max(limit, 2) + 2


def _printed(result: RunResult, folder: Path | None = None) -> str:
    console = Console(width=140, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115 - a sink
    print_summary(result, console, folder)
    console.file.close()
    return console.export_text()


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(report_command)
    return app


def test_the_command_shows_one_run(command: typer.Typer, busy: RunResult, tmp_path: Path) -> None:
    write_run(busy, tmp_path / "a", render_report(busy))
    shown = CliRunner().invoke(command, [str(tmp_path / "a")])
    assert shown.exit_code == 0
    assert busy.fingerprint in shown.output


def test_the_command_compares_runs_into_a_file(command: typer.Typer, busy: RunResult, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(busy, tmp_path / name, "")
    out = tmp_path / "compared" / "page.html"
    shown = CliRunner().invoke(command, [str(tmp_path / "a"), str(tmp_path / "b"), "--json", "--out", str(out)])
    assert shown.exit_code == 0
    answer = msgspec.json.decode(shown.output)
    assert answer["comparison"]["same_fingerprint"] is True
    assert answer["page"] == str(out)
    assert "Comparison of 2 runs" in out.read_text()


def test_the_command_fails_on_a_folder_without_a_run(command: typer.Typer, tmp_path: Path) -> None:
    shown = CliRunner().invoke(command, [str(tmp_path)])
    assert shown.exit_code == 3
    assert "does not exist" in shown.output
