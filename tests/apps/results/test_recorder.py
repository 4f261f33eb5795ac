"""The recorder against runs whose outcome is known."""

import itertools
import time
from array import array
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stakan.apps.results import Fingerprint, RunResult, read_run, write_run
from stakan.apps.results.files import decode_result, encode_result
from stakan.apps.results.model import Watch
from stakan.apps.results.series import MAX_POINTS, EquitySeries, MidSeries, last_of_buckets
from stakan.core.domain.errors import DataError, StorageError
from stakan.core.domain.facts import FundingBooked, SignalProposed, TradingStateChanged
from stakan.core.domain.findings import Stage
from stakan.core.domain.ids import ExecutionId, InstrumentId
from stakan.core.domain.reasons import Reason
from stakan.core.domain.step import Step
from stakan.core.domain.trading import Signal, TradingState
from stakan.core.domain.units import DAY, SECOND, Nanos, Side

BTC = InstrumentId("bybit:linear:BTCUSDT")
START = 1_760_000_400 * SECOND


def test_a_trade_row_tells_the_whole_story(script: Any) -> None:
    script.mid(START, 640_000.0)
    script.trade(START + SECOND, START + 61 * SECOND, 640_000, 640_500, lots=100, fee="1.25")
    row = script.result().trades[0]
    assert row.gross == Decimal("5.0")
    assert row.net == Decimal("2.5")
    assert row.slippage == Decimal("0.01")
    assert row.duration_ns == 60 * SECOND
    assert row.side == "long"
    assert row.size == Decimal("0.100")
    assert row.strength == 0.7
    assert row.features["volume_imbalance"] == 0.4321
    assert row.entry_reasons[0].startswith("bid volume")
    assert row.exit_reason == "take_profit"


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(-300, 300), st.sampled_from(Side), st.integers(1, 50)), max_size=15))
def test_when_flat_the_nets_of_all_trades_are_the_change_of_equity(
    new_script: Callable[[], Any], trades: list[tuple[int, Side, int]]
) -> None:
    script = new_script()
    for k, (move, side, lots) in enumerate(trades):
        opened = START + k * 10 * SECOND
        script.trade(opened, opened + 5 * SECOND, 640_000, 640_000 + move, side=side, lots=lots)
    result = script.result()
    numbers = result.statistics
    assert sum((t.net for t in result.trades), Decimal(0)) == numbers.net
    costs = numbers.costs
    assert costs.at_mid - costs.slippage - costs.fees - costs.funding == costs.net == numbers.net
    assert 0 <= numbers.drawdown.fraction <= 1
    for split in result.breakdowns:
        assert sum(g.trades for g in split.groups) == len(trades)
        assert sum((g.net for g in split.groups), Decimal(0)) == numbers.net


def test_mirrored_trades_flip_the_gross_and_not_the_fees(new_script: Callable[[], Any]) -> None:
    ones, others = new_script(), new_script()
    ones.trade(START, START + SECOND, 640_000, 640_300)
    others.trade(START, START + SECOND, 640_000, 640_300, side=Side.SELL)
    one, other = ones.result().trades[0], others.result().trades[0]
    assert one.gross == -other.gross
    assert one.fees == other.fees
    assert one.slippage == other.slippage


def test_drawdown_is_exact_over_all_marks() -> None:
    series = EquitySeries(0, Decimal(100))
    for k, equity in enumerate((110, 99, 104, 88, 111, 110)):
        series.add((k + 1) * 10, Decimal(equity), Decimal(0))
    fall = series.drawdown(75)
    assert fall.amount == 22
    assert fall.fraction == pytest.approx(0.2)
    assert fall.longest_ns == 40


@settings(max_examples=40)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=120))
def test_thinned_equity_keeps_end_and_worst_and_stays_bounded(marks: list[int]) -> None:
    series = EquitySeries(0, Decimal(500), max_points=16)
    for k, equity in enumerate(marks):
        series.add((k + 1) * SECOND, Decimal(equity), Decimal(0))
    curve = series.curve()
    path = np.array([500.0, *marks])
    peaks = np.maximum.accumulate(path)
    worst = float(np.max((peaks - path) / peaks))
    assert len(curve.ts) <= 16
    assert curve.equity[-1] == marks[-1]
    assert min(curve.drawdown) == pytest.approx(-worst)
    assert series.drawdown(0).fraction == pytest.approx(worst)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=200))
def test_mids_stay_bounded_in_order_and_keep_the_last(gaps: list[int]) -> None:
    series, ts = MidSeries(10, max_points=20), 0
    for k, gap in enumerate(gaps):
        ts += gap
        series.add(ts, float(k))
    assert len(series.ts) <= 20
    assert list(series.ts) == sorted(series.ts)
    assert (series.ts[-1], series.mid[-1]) == (ts, len(gaps) - 1)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=100), st.integers(1, 60))
def test_of_every_interval_the_last_sample_is_kept(gaps: list[int], interval: int) -> None:
    ts = array("q", itertools.accumulate(gaps))
    last = {at // interval: index for index, at in enumerate(ts)}
    assert last_of_buckets(ts, interval).tolist() == list(last.values())


def test_thinning_a_full_series_does_not_hold_a_running_bot_up() -> None:
    def thinned() -> float:
        series = MidSeries(1)
        for ts in range(MAX_POINTS):
            series.add(ts, 1.0)
        began = time.perf_counter()
        series.add(MAX_POINTS, 1.0)
        return time.perf_counter() - began

    assert min(thinned() for _ in range(5)) < 0.003


def test_markouts_take_the_mid_in_force_at_each_horizon(script: Any) -> None:
    script.mid(START, 640_000.0)
    script.fill(START, Side.BUY, 640_001, mid=640_000.0)
    for at, mid in ((0.5, 640_010.0), (2, 640_020.0), (6, 639_990.0), (29, 640_100.0), (31, 650_000.0)):
        script.mid(START + int(at * SECOND), mid)
    fill = script.result().fills[0]
    wanted = [(mid - 640_001) / 640_001 * 1e4 for mid in (640_010, 640_020, 640_100)]
    assert fill.markouts_bps == pytest.approx(wanted)


def test_markouts_of_a_sell_have_the_other_sign(script: Any) -> None:
    script.fill(START, Side.SELL, 640_000, mid=640_000.0)
    for second in range(40):
        script.mid(START + second * SECOND, 639_000.0)
    assert script.result().fills[0].markouts_bps == pytest.approx([1000 / 640_000 * 1e4] * 3)


def test_markouts_beyond_the_end_or_over_a_silent_feed_stay_unknown(script: Any) -> None:
    script.mid(START, 640_000.0)
    script.fill(START, Side.BUY, 640_001, mid=640_000.0)
    script.mid(START + 4 * SECOND, 640_002.0)
    script.step(START + 6 * SECOND)
    early = script.result().fills[0].markouts_bps
    assert early[2] is None
    assert early[1] is not None
    script.mid(START + 60 * SECOND, 640_100.0)
    assert script.result().fills[0].markouts_bps[2] is None


def test_shortfall_is_against_the_mid_when_the_order_was_sent(script: Any) -> None:
    script.mid(START, 639_000.0)
    script.trade(START, START + SECOND, 640_000, 640_000, lots=10)
    everything = script.result().fill_quality.groups[0]
    entry = script.result().fills[0]
    assert entry.arrival_mid == Decimal("63900.0")
    assert everything.shortfall_bps == pytest.approx((64_000 - 63_900) / 63_900 * 1e4)
    assert everything.spread_bps is not None
    assert everything.spread_bps > 0


def test_fills_without_a_book_are_counted_and_cost_no_slippage(script: Any) -> None:
    script.fill(START, Side.BUY, 640_000, mid=0.0)
    costs = script.result().statistics.costs
    assert costs.fills_without_mid == 1
    assert costs.slippage == 0


def test_funding_enters_the_cost_split(script: Any) -> None:
    script.balance -= Decimal("1.5")
    script.step(START, FundingBooked(execution_id=ExecutionId("f"), instrument=BTC, amount=Decimal("1.5")))
    script.mark(START)
    costs = script.result().statistics.costs
    assert (costs.funding, costs.net, costs.at_mid) == (Decimal("1.5"), Decimal("-1.5"), 0)


def test_refusals_are_counted_by_who_and_why(script: Any) -> None:
    for k in range(3):
        script.refuse(START + k)
    script.refuse(START + 3, Reason.DENSITY_GONE)
    rows = script.result().refusals
    assert [(r.stage, r.reason, r.count) for r in rows] == [
        ("decision", "too_weak", 3),
        ("decision", "density_gone", 1),
    ]


def test_findings_are_kept_with_what_they_did_to_signals(script: Any) -> None:
    script.find(START + SECOND, confidence=0.8)
    script.find(START + 2 * SECOND, side=None, low=None, high=None, stage=Stage.CONFIRMED)
    doubted = Signal(
        instrument=BTC, side=Side.BUY, strength=0.4, doubt=0.5, ts_event=START, entry=640_000, stop_loss=639_000
    )
    for signal in (doubted, msgspec.structs.replace(doubted, doubt=0.0)):
        script.step(START + 3 * SECOND, SignalProposed(signal=signal))
    script.refuse(START + 3 * SECOND, Reason.MANIPULATION)
    result = script.result()
    assert result.watch == Watch(findings=2, findings_kept=2, signals_weakened=1, signals_vetoed=1)
    first, second = result.findings
    assert (first.detector, first.pattern, first.stage, first.side) == ("walls", "spoofing", "suspected", "buy")
    assert (first.low, first.high, first.size) == (Decimal("63999.0"), Decimal("63999.2"), Decimal("0.900"))
    assert first.evidence == {"life_s": 1.5, "times_median": 8.0}
    assert (second.low, second.high, second.side, second.stage) == (None, None, "", "confirmed")


def test_trading_states_are_kept(script: Any) -> None:
    script.step(START, TradingStateChanged(state=TradingState.HALTED, reason=Reason.OPERATOR, detail="by hand"))
    assert script.result().states[0].state == "halted"


def test_an_empty_run_has_a_result_too(script: Any) -> None:
    numbers = script.result().statistics
    assert numbers.net == 0
    assert numbers.win_rate.value is None
    assert numbers.luck.probability_no_edge is None


def test_results_survive_json(busy: RunResult) -> None:
    data = encode_result(busy)
    assert decode_result(data, "here") == busy
    assert encode_result(decode_result(data, "here")) == data


def test_results_of_another_schema_are_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"old\.json has schema 0"):
        decode_result(b'{"schema": 0}', "old.json")


@pytest.mark.parametrize("data", [b"", b"{}", b'{"schema": 1}', b"[1, 2]"])
def test_what_is_no_result_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(DataError, match=r"x\.json is not the result of a run"):
        decode_result(data, "x.json")


def test_a_run_folder_is_written_whole(busy: RunResult, tmp_path: Path) -> None:
    folder = write_run(busy, tmp_path / "runs" / "a", "<!doctype html>")
    assert sorted(p.name for p in folder.iterdir()) == ["report.html", "result.json", "signals.csv", "trades.csv"]
    assert read_run(folder) == busy
    assert len((folder / "trades.csv").read_text().splitlines()) == len(busy.trades) + 1
    assert len((folder / "signals.csv").read_text().splitlines()) == busy.funnel.signals + 1


def test_a_run_folder_is_never_overwritten(busy: RunResult, tmp_path: Path) -> None:
    write_run(busy, tmp_path / "a", "")
    with pytest.raises(StorageError, match="exists already"):
        write_run(busy, tmp_path / "a", "")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_cannot_be_written_leaves_nothing(busy: RunResult, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write the run"):
        write_run(busy, tmp_path / "file" / "a", "")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_missing_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"result\.json does not exist"):
        read_run(tmp_path)


def test_equal_runs_have_equal_fingerprints(busy_script: Callable[..., Any]) -> None:
    one, same, other = (busy_script(trades=10, seed=s, hours=0.5) for s in (1, 1, 2))
    assert one.fingerprint.hexdigest() == same.fingerprint.hexdigest()
    assert one.fingerprint.hexdigest() != other.fingerprint.hexdigest()


@given(st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)), min_size=1, max_size=20), st.data())
def test_the_fingerprint_sees_every_quiet_step(steps: list[tuple[int, int]], data: st.DataObject) -> None:
    def of(pairs: list[tuple[int, int]]) -> str:
        fingerprint = Fingerprint()
        for number, ts in pairs:
            fingerprint.update(Step(number=number, ts=Nanos(ts)))
        return fingerprint.hexdigest()

    at = data.draw(st.integers(0, len(steps) - 1))
    changed = list(steps)
    changed[at] = (steps[at][0], steps[at][1] + 1)
    assert of(steps) == of(list(steps))
    assert of(steps) != of(changed)
    assert of(steps) != of(steps[:-1])


def test_reading_the_fingerprint_half_way_does_not_change_it() -> None:
    plain, watched = Fingerprint(), Fingerprint()
    for number in range(10_000):
        step = Step(number=number, ts=Nanos(DAY + number))
        plain.update(step)
        watched.update(step)
        if number % 777 == 0:
            watched.hexdigest()
    assert plain.hexdigest() == watched.hexdigest()
