"""The first strategies on recorded sessions with every detector and every feature set on: what findings do to decisions."""

import re

import msgspec
import pytest

from stakan.apps.backtest import run_backtest
from stakan.apps.config import load_settings
from stakan.apps.report.payload import payload
from stakan.apps.sources import from_store
from stakan.apps.wiring import DETECTORS, FEATURE_SETS
from stakan.core.plugins import names
from tests.real.conftest import EAGER

pytestmark = pytest.mark.recorded
ALARMED = {"btc-2023", "btc-2024", "eth-2024"}
"""Sessions in which something was found; the others are too short or too thin for it."""


def everything_on():
    """Both folders of plugins, whatever is in them."""

    def entry(name):
        return f'{{name="{name}"}}'

    def all_of(package):
        return f"[{', '.join(entry(name) for name in names(package))}]"

    named = [f"detectors={all_of(DETECTORS)}", f"feature_sets={all_of(FEATURE_SETS)}"]
    return load_settings(EAGER, named)


@pytest.fixture(scope="module")
def watched(ran, tmp_path_factory):
    """The run, and the same without detectors and further sets."""
    home = tmp_path_factory.mktemp("watched")
    with_all = run_backtest(from_store(ran.store), everything_on(), home / "all", journal=False)
    return (
        with_all,
        run_backtest(from_store(ran.store), load_settings(EAGER), home / "none", journal=False),
        home / "all",
    )


def test_what_detectors_find_weakens_signals_and_says_so(watched, request):
    with_all, without, _ = watched
    assert (without.watch.findings, without.watch.signals_weakened) == (0, 0)
    assert not [signal for signal in without.signals if "strength" in " ".join(signal.reasons)]
    weakened = [
        signal for signal in with_all.signals if any(re.match(r"strength .* to .*: ", one) for one in signal.reasons)
    ]
    assert len(weakened) <= with_all.watch.signals_weakened
    if request.node.callspec.params["ran"].name in ALARMED:
        assert with_all.watch.findings > 0
        assert weakened
        assert with_all.fingerprint != without.fingerprint


def test_findings_are_in_the_report_beside_the_price(watched):
    with_all, _, folder = watched
    page = (folder / "report.html").read_text()
    marks = msgspec.to_builtins(payload(with_all))["findings"] if with_all.findings else []
    assert len(marks) == len(with_all.findings)
    assert f"{with_all.watch.signals_weakened:,} signals lost strength to them" in page or not marks


def test_numbers_of_all_sets_are_kept_with_trades(watched):
    with_all, without, _ = watched
    assert with_all.trades
    assert without.trades
    assert len(with_all.trades[0].features) > len(without.trades[0].features) >= 110
