"""Headline numbers with their reference lines, and the box that says what they are worth."""

from typing import NamedTuple

from stakan.apps.report.page import escape
from stakan.apps.report.words import duration, money, number, percent
from stakan.apps.results.model import Measure, RunResult, Sample

REFERENCE_SHARPE = 2.0
REFERENCE_DRAWDOWN = 0.15
REFERENCE_PROFIT_FACTOR = 2.0
REFERENCE_WIN_RATE = 0.55
_SAMPLE = {
    Sample.IN_SAMPLE: "In sample: parameters were chosen on this data, so the result is better than what to expect.",
    Sample.OUT_OF_SAMPLE: "Out of sample: no parameter was chosen on this data, as far as the configuration says.",
    Sample.UNSTATED: "Whether parameters were chosen on this data was not stated: take it as in sample.",
}


class Tile(NamedTuple):
    """One headline number, in words."""

    name: str
    value: str
    about: str
    reference: str = ""
    tone: str = ""


def headline(result: RunResult) -> tuple[Tile, ...]:
    """The ten numbers that the page and the terminal open with."""
    s, unit = result.statistics, result.currency
    tone = "gain" if s.net > 0 else "loss" if s.net < 0 else ""
    wins = percent(s.win_rate.value, 1)
    return (
        Tile(
            "Net result",
            f"{money(s.net, signed=True)} {unit}",
            f"{money(s.initial_equity)} to {money(s.final_equity)}",
            tone=tone,
        ),
        Tile("Return", percent(s.total_return, signed=True), "on initial equity, not annualised", tone=tone),
        Tile(
            "Maximum drawdown",
            percent(s.drawdown.fraction),
            f"{money(s.drawdown.amount)} {unit}, longest {duration(s.drawdown.longest_ns)}",
            f"reference below {percent(REFERENCE_DRAWDOWN, 0)}",
        ),
        Tile("Sharpe ratio", _stated(s.sharpe), _interval(s.sharpe), f"reference {REFERENCE_SHARPE:.1f}"),
        Tile("Sortino ratio", _stated(s.sortino), _interval(s.sortino)),
        Tile(
            "Profit factor",
            _stated(s.profit_factor),
            s.profit_factor.note or "won over lost, net",
            f"reference {REFERENCE_PROFIT_FACTOR:.1f}",
        ),
        Tile("Win rate", wins, _shares(s.win_rate), f"reference {percent(REFERENCE_WIN_RATE, 0)}"),
        Tile(
            "Mean position",
            "not stated" if s.expectancy is None else f"{money(s.expectancy, signed=True)} {unit}",
            f"win {money(s.average_win or 0)}, loss {money(s.average_loss or 0)}",
        ),
        Tile(
            "Positions closed",
            f"{result.funnel.positions_closed:,}",
            f"{result.funnel.fills:,} fills, in the market {percent(s.exposure_time, 1)} of the time",
        ),
        Tile("Fees", f"{money(s.costs.fees)} {unit}", f"on a turnover of {money(s.turnover)}"),
    )


def tiles(result: RunResult) -> str:
    """The headline as HTML."""
    return f'<div class="tiles" id="tiles">{"".join(_tile(tile) for tile in headline(result))}</div>'


def honesty_lines(result: RunResult) -> tuple[str, ...]:
    """Plain sentences about data, costs, sample and luck."""
    data, luck = result.data, result.statistics.luck
    lines = ["No profit is promised: this is a simulation of what would have happened."]
    if data.is_synthetic:
        lines.append("SYNTHETIC DATA: the market was generated. The result says nothing about a real market.")
    lines += [_SAMPLE[data.sample], f"Data: {data.source}, {duration(data.last_ts - data.first_ts)}."]
    if data.receive_times_assumed:
        lines.append("Receive times are assumed: the recording has none, so real feed latency is not in this result.")
    if data.mark_is_mid:
        lines.append("The recording has no mark price; the mid stands in for it, in stops and in equity.")
    lines += [f"{a.name}: {a.value}" for a in result.run.assumptions]
    if luck.probability_no_edge is None:
        lines.append(f"Luck: {luck.note}.")
    else:
        lines.append(
            f"Luck: the mean position is {money(luck.low or 0)} to {money(luck.high or 0)} {result.currency} (95 %, "
            f"{luck.method}); the probability that the mean is at or below zero is "
            f"{percent(luck.probability_no_edge, 1)}; probabilistic Sharpe ratio {percent(luck.probabilistic_sharpe, 1)}. "
            f"{luck.note[:1].upper()}{luck.note[1:]}."
        )
    lines.append("Reference values are what traders commonly ask for, not a goal that this run was made to meet.")
    return tuple(lines)


def honesty(result: RunResult) -> str:
    """The sentences as a list."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in honesty_lines(result))}</ul>"


def _tile(tile: Tile) -> str:
    tone = "unstated" if tile.value == "not stated" else tile.tone
    reference = f'<span class="ref">{escape(tile.reference)}</span>' if tile.reference else ""
    return (
        f'<div class="tile"><div class="k">{escape(tile.name)}</div><div class="v {tone}">{escape(tile.value)}</div>'
        f'<div class="s">{escape(tile.about)}{reference}</div></div>'
    )


def _stated(measure: Measure) -> str:
    return "not stated" if measure.value is None else number(measure.value)


def _interval(measure: Measure) -> str:
    if measure.value is None:
        return measure.note.removeprefix("not stated: ")
    interval = f"{number(measure.low)} to {number(measure.high)}; " if measure.low is not None else ""
    return interval + measure.note


def _shares(measure: Measure) -> str:
    if measure.value is None:
        return measure.note
    return f"{percent(measure.low, 0)} to {percent(measure.high, 0)} ({measure.note})"
