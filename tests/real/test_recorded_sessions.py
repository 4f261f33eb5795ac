"""Recorded sessions from import to report: something trades, twice the same, replayable, and all adds up."""

import re
from decimal import Decimal

import pytest

from stakan.adapters.journal.reading import read_header, read_recorded
from stakan.apps.replay import replay
from stakan.apps.results.files import read_run
from tests.real.conftest import EAGER

pytestmark = pytest.mark.recorded


def test_something_trades_and_every_position_is_closed(ran):
    assert len(ran.result.fills) >= 2
    assert len(ran.result.trades) >= 1
    assert not ran.result.data.is_synthetic


def test_a_second_run_gives_the_same_fingerprint_and_the_same_trades(ran, tmp_path):
    again = ran.again(tmp_path / "again")
    assert again.fingerprint == ran.result.fingerprint
    assert again.trades == ran.result.trades


def test_files_as_they_are_give_what_the_store_gives(ran, tmp_path):
    direct = ran.direct(tmp_path / "direct")
    assert direct.fingerprint == ran.result.fingerprint


def test_the_journal_of_the_run_computes_to_the_same_steps(ran):
    journal = ran.folder / "journal"
    answer = replay(read_header(journal), read_recorded(journal))
    assert answer.differences == 0
    assert answer.steps >= ran.result.speed.events


def test_the_report_is_one_file_that_needs_nothing_else(ran):
    page = (ran.folder / "report.html").read_text()
    assert ran.result.fingerprint in page
    assert not re.search(r"<script[^>]+src", page)
    # Scripts hold the chart library, whose texts name addresses, and the configuration may; the page itself names none.
    markup = re.sub(r"<script.*?</script>|<pre.*?</pre>", "", page, flags=re.DOTALL)
    assert not re.search(r"https?://|@import|url\(|<link|<img", markup)


def test_the_run_is_read_back_as_it_was(ran):
    back = read_run(ran.folder)
    assert back == ran.result


def test_money_adds_up_in_a_run_that_trades_often(ran, tmp_path):
    often = ran.again(tmp_path / "often", EAGER)
    net = sum((trade.net for trade in often.trades), Decimal(0))
    assert len(often.trades) >= 3
    assert often.statistics.final_equity - often.statistics.initial_equity == net
