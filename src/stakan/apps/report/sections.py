"""The parts of a run's page, as HTML; charts and the trade table are empty places that the script fills."""

from decimal import Decimal
from statistics import median

from stakan.apps.report.page import escape, table
from stakan.apps.report.payload import MAX_PRICE_CHARTS
from stakan.apps.report.tiles import honesty, tiles
from stakan.apps.report.words import NOTHING, duration, moment, money, number, percent, plain, short
from stakan.apps.results.model import Breakdown, FillGroup, FindingRow, GroupRow, RunResult
from stakan.core.domain.units import SECOND

__all__ = [
    "breakdown_tables",
    "costs",
    "distributions",
    "fill_quality",
    "findings",
    "funnel",
    "health",
    "honesty",
    "identity",
    "prices",
    "tiles",
    "trade_table",
]


def prices(result: RunResult) -> str:
    """The price chart, with a choice where there are several instruments."""
    traded = {t.instrument for t in result.trades}
    names = sorted((p.instrument for p in result.prices if p.ts), key=lambda i: (i not in traded, i))
    if not names:
        return '<p class="note">No mid was observed: there was no valid book in this run.</p>'
    shown = names[:MAX_PRICE_CHARTS]
    options = "".join(f'<option value="{i}">{escape(name)}</option>' for i, name in enumerate(shown))
    choice = f'<select id="instrument" aria-label="Instrument">{options}</select>' if len(shown) > 1 else ""
    left_out = f" {len(names) - len(shown)} more instruments are in result.json." if len(names) > len(shown) else ""
    note = "Triangles are entries in their direction, crosses exits in the colour of their outcome; drag to zoom."
    tools = f'<div class="tools">{choice}</div>' if choice else ""
    return f'{tools}<div id="price" class="chart tall"></div><p class="note">{note}{left_out} <span id="marks-note"></span></p>'


def distributions(result: RunResult) -> str:
    """Histograms of net result and time held."""
    if not result.trades:
        return '<p class="note">No position was closed.</p>'
    return (
        '<div class="two"><div id="net-distribution" class="chart mid"></div>'
        '<div id="duration-distribution" class="chart mid"></div></div>'
    )


def costs(result: RunResult) -> str:
    """From the result at mid to the net result."""
    split = result.statistics.costs
    paid = split.slippage + split.fees + split.funding
    lines = [
        (
            f"Trading at the mid would have made {money(split.at_mid, signed=True)} {escape(result.currency)}; "
            f"costs took {money(paid)}, of that {money(split.fees)} in fees."
        )
    ]
    if split.at_mid > 0 and paid > 0:
        lines.append(f"The result is nil at {number(float(split.at_mid / paid))} times these costs.")
    if split.fills_without_mid:
        lines.append(f"{split.fills_without_mid} fills had no valid book beside them; their slippage counts as 0.")
    notes = "".join(f'<p class="note">{line}</p>' for line in lines)
    return f'<div id="costs" class="chart mid"></div>{notes}'


def breakdown_tables(result: RunResult) -> str:
    """One tab per way of splitting the positions."""
    if not result.trades:
        return '<p class="note">No position was closed.</p>'
    tabs, panels = [], []
    for i, split in enumerate(result.breakdowns):
        tabs.append(
            f'<button type="button" role="tab" aria-selected="{str(i == 0).lower()}" aria-controls="split-{i}">'
            f"By {escape(split.by)}</button>"
        )
        panels.append(f'<div id="split-{i}" role="tabpanel"{"" if i == 0 else " hidden"}>{_groups(split)}</div>')
    return f'<div class="tabs" role="tablist">{"".join(tabs)}</div>{"".join(panels)}'


def _groups(split: Breakdown) -> str:
    head = (
        split.by.capitalize(),
        "Positions",
        "Net",
        "Mean",
        "Win rate",
        "95 % interval",
        "Profit factor",
        "Fees",
        "Median time held",
    )
    return table(head, [_group(row) for row in split.groups])


def _group(row: GroupRow) -> tuple[str, ...]:
    low, high = percent(row.win_rate.low, 0), percent(row.win_rate.high, 0)
    return (
        escape(plain(row.name)),
        str(row.trades),
        coloured(row.net),
        money(row.mean),
        percent(row.win_rate.value, 1),
        f"{low} to {high}",
        number(row.profit_factor),
        money(row.fees),
        duration(row.median_duration_ns),
    )


def coloured(value: Decimal) -> str:
    """Money in the colour of its sign."""
    tone = "gain" if value > 0 else "loss" if value < 0 else ""
    return f'<span class="{tone}">{money(value)}</span>'


def fill_quality(result: RunResult) -> str:
    """Shortfall, spread and markouts."""
    quality = result.fill_quality
    if not quality.groups:
        return '<p class="note">Nothing was filled.</p>'
    horizons = [f"{h // SECOND} s" for h in quality.horizons_ns]
    head = ("Fills", "Count", "Notional", "Fee", "Spread", "Shortfall", *(f"Markout {h}" for h in horizons))
    rows = [_fills(group) for group in quality.groups]
    note = (
        "Basis points, weighted by notional. Spread: paid away from the mid at the fill. Shortfall: paid away from the "
        "mid when the order was sent. Markout: how far the mid was in our favour from the fill's price afterwards; "
        "below zero is adverse selection beyond what the spread earned."
    )
    chart = '<div id="markouts" class="chart mid"></div>'
    share = f"Maker share of notional: {percent(quality.maker_share, 1)}."
    return f'{table(head, rows)}<p class="note">{share} {note}</p>{chart}'


def _fills(group: FillGroup) -> tuple[str, ...]:
    values = (group.fee_bps, group.spread_bps, group.shortfall_bps, *group.markouts_bps)
    return (group.name.capitalize(), str(group.fills), money(group.notional), *(number(v) for v in values))


def funnel(result: RunResult) -> str:
    """How opinions became positions, and who said no."""
    count = result.funnel
    steps = (
        ("Signals", count.signals),
        ("Intents", count.intents_approved + count.intents_refused),
        ("Approved by risk", count.intents_approved),
        ("Orders sent", count.orders),
        ("Positions closed", count.positions_closed),
    )
    top = max(1, *(n for _, n in steps))
    bars = "".join(
        f'<div><span>{name}</span><i style="width:{100 * n / top:.2f}%"></i><b>{n:,}</b></div>' for name, n in steps
    )
    rows = [(escape(r.stage), escape(plain(r.reason)), escape(r.example), f"{r.count:,}") for r in result.refusals]
    head = ("Said no", "Reason", "First example", "Times")
    refused = table(head, rows, left=3) if rows else '<p class="note">Nothing was refused.</p>'
    states = [(moment(s.ts), escape(s.state), escape(plain(s.reason)), escape(s.detail)) for s in result.states]
    changes = table(("When (UTC)", "Trading state", "Reason", "Detail"), states, left=4) if states else ""
    rest = (
        f"{count.fills:,} fills, {count.positions_open} positions open at the end, {count.orders_rejected} orders rejected or failed, "
        f"{count.discrepancies} discrepancies with the exchange, {count.updates_ignored} late or duplicate updates."
    )
    states_head = "<h3>Trading state</h3>" if states else ""
    return f'<div class="funnel">{bars}</div><p class="note">{rest}</p><h3>Refusals</h3>{refused}{states_head}{changes}'


def findings(result: RunResult) -> str:
    """What detectors found, and what it did to signals."""
    watch = result.watch
    if not result.findings:
        return '<p class="note">Nothing was found, or no detector was configured.</p>'
    groups: dict[tuple[str, str, str], list[FindingRow]] = {}
    for row in result.findings:
        groups.setdefault((row.detector, row.pattern, row.stage), []).append(row)
    rows = [
        (
            *(escape(plain(word)) for word in key),
            f"{len(found):,}",
            *(f"{sum(row.side == side for row in found):,}" for side in ("buy", "sell")),
            number(median(row.confidence for row in found)),
            number(max(row.confidence for row in found)),
        )
        for key, found in sorted(groups.items())
    ]
    head = ("Detector", "Shaped like", "Stage", "Times", "Of bids", "Of asks", "Median confidence", "Highest")
    lost = f" The table is of the first {watch.findings_kept:,}." if watch.findings_kept < watch.findings else ""
    note = (
        f"{watch.findings:,} findings.{lost} {watch.signals_weakened:,} signals lost strength to them and "
        f"{watch.signals_vetoed:,} were vetoed. A book shows neither owners nor intent: these are activities shaped like "
        "a manipulation. They are circles on the price chart."
    )
    return f'{table(head, rows, left=3)}<p class="note">{note}</p>'


def health(result: RunResult) -> str:
    """Gaps, crossed books and the like, per instrument."""
    head = ("Instrument", "Gaps", "Crossed", "Corrupt levels", "Recoveries", "Late prints", "Feed down")
    rows = [
        (
            escape(name),
            *(str(n) for n in (h.gaps, h.crossings, h.corrupt, h.recoveries, h.late_prints, h.feed_downs)),
        )
        for name, h in zip(short([h.instrument for h in result.health]), result.health, strict=True)
    ]
    return table(head, rows) + '<p class="note">No entry is made while a book is invalid.</p>'


def trade_table(result: RunResult) -> str:
    """The place of the trade table."""
    if not result.trades:
        return '<p class="note">No position was closed.</p>'
    return (
        '<div class="tools"><input id="filter" type="search" placeholder="Filter: strategy, reason, side …" '
        'aria-label="Filter positions"><select id="outcome" aria-label="Outcome"><option value="all">All</option>'
        '<option value="won">Winning</option><option value="lost">Losing or flat</option></select>'
        '<span class="grow"></span><span id="page" class="note"></span><button id="before" type="button">Previous'
        '</button><button id="after" type="button">Next</button></div><div class="scroll"><table><thead>'
        '<tr id="head"></tr></thead><tbody id="rows"></tbody></table></div>'
        '<p class="note">A click on a row says why it was opened and closed.</p>'
    )


def identity(result: RunResult) -> str:
    """What is needed to make this run again."""
    run, speed, span = result.run, result.speed, result.data.last_ts - result.data.first_ts
    times = f", {span / SECOND / speed.wall_seconds:,.0f} x real time" if speed.wall_seconds > 0 else ""
    facts = [
        ("Run", run.id),
        ("Made at", run.created_at or NOTHING),
        ("Fingerprint", result.fingerprint),
        ("Configuration hash", run.config_hash),
        ("Data", result.data.source),
        ("Hash of the data", result.data.digest or "not computed"),
        (
            "Speed",
            f"{speed.events:,} events in {speed.wall_seconds:.1f} s, {speed.events_per_second:,.0f} a second{times}",
        ),
        *((v.name, v.value) for v in run.versions),
    ]
    pairs = "".join(f"<dt>{escape(k)}</dt><dd class=mono>{escape(v)}</dd>" for k, v in facts)
    text = f"<details><summary>Configuration</summary><pre>{escape(run.config_text)}</pre></details>"
    return f"<dl class=facts>{pairs}</dl><br>{text}"
