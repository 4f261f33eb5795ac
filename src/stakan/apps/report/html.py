"""The page of one run."""

from stakan.apps.report import sections
from stakan.apps.report.page import Section, escape, render_page
from stakan.apps.report.payload import payload
from stakan.apps.report.words import duration, moment, short
from stakan.apps.results.model import RunResult, Sample

_SAMPLE_BADGE = {
    Sample.IN_SAMPLE: "in sample",
    Sample.OUT_OF_SAMPLE: "out of sample",
    Sample.UNSTATED: "sample not stated",
}


def render_report(result: RunResult) -> str:
    """One self-contained HTML file: no request leaves the browser that opens it."""
    parts = [
        Section("tiles", "", "", sections.tiles(result)),
        Section("honesty", "Worth", "What this result is worth", sections.honesty(result)),
        Section("money", "Equity", "Equity and drawdown", '<div id="equity" class="chart tall"></div>'),
        Section("prices", "Price", "Price and positions", sections.prices(result)),
        Section("distributions", "Distributions", "Distributions", sections.distributions(result)),
        Section("cost-split", "Costs", "Costs", sections.costs(result)),
        Section("groups", "Groups", "Where it was won and lost", sections.breakdown_tables(result)),
        Section("fills", "Fills", "Fill quality", sections.fill_quality(result)),
        Section("funnel", "Signals", "From signal to fill", sections.funnel(result)),
        Section("findings", "Findings", "What detectors found", sections.findings(result)),
        Section("health", "Data", "Market data", sections.health(result)),
        Section("trades", "Positions", "Positions", sections.trade_table(result)),
        Section("identity", "Identity", "Identity", sections.identity(result)),
    ]
    return render_page(_title(result), _top(result), parts, payload(result), "report.js")


def _title(result: RunResult) -> str:
    names = short(result.data.instruments)
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return f"{result.run.program.capitalize()} of {shown}"


def _top(result: RunResult) -> str:
    data = result.data
    badges = [(_SAMPLE_BADGE[data.sample], data.sample is not Sample.OUT_OF_SAMPLE)]
    if data.is_synthetic:
        badges.insert(0, ("SYNTHETIC DATA", True))
    badges += [(f"run {result.run.id}", False), (f"fingerprint {result.fingerprint[:12]}", False)]
    shown = "".join(f'<span class="badge{" warn" if warn else ""}">{escape(text)}</span>' for text, warn in badges)
    span = f"{moment(data.first_ts)} to {moment(data.last_ts)} UTC, {duration(data.last_ts - data.first_ts)}"
    return (
        f'<header class="top"><h1>{escape(_title(result))}</h1><p class="sub">{escape(span)}</p>'
        f'<div class="badges">{shown}</div></header>'
    )
