"""The page of a file of feature vectors: how each feature is distributed."""

import msgspec

from stakan.apps.feature_views import ShownFeature, ShownVector
from stakan.apps.report.page import Section, escape, render_page, table
from stakan.apps.report.words import moment
from stakan.core.features.catalogue import Channel

_TITLES = {Channel.ORDER_BOOK: "Order book", Channel.CANDLE: "Candle", Channel.INDICATOR: "Indicators"}
_HEAD = ("feature", "value", "warm", "lowest", "median", "highest", "warm rows")


def render_features(vector: ShownVector) -> str:
    """One HTML file, which asks nobody for anything, of a vector that comes from a file."""
    title = f"Features of {vector.instrument}"
    top = (
        f'<header class="top"><h1>{escape(title)}</h1><p class="sub">{escape(vector.source)}: {vector.rows:,} vectors; '
        f'values of {moment(vector.ts_event)} UTC</p><div class="badges">'
        f'<span class="badge">{escape(vector.feature_set)}</span></div></header>'
    )
    sections = [
        Section(channel.value, name, name, _plots([one for one in vector.features if one.channel == channel.value]))
        for channel, name in _TITLES.items()
    ]
    sections.append(Section("values", "Values", "Values and ranges", table(_HEAD, [_row(f) for f in vector.features])))
    drawn = [one for one in vector.features if one.distribution is not None]
    return render_page(title, top, sections, msgspec.structs.replace(vector, features=drawn), "features.js")


def _plots(features: list[ShownFeature]) -> str:
    plots = [
        f'<div><h3>{escape(one.name)}</h3><div id="feature-{one.index}" class="chart" style="height:150px"></div></div>'
        for one in features
        if one.distribution is not None
    ]
    cold = [one.name for one in features if one.distribution is None]
    note = f'<p class="note">Never warm in this file: {escape(", ".join(cold))}.</p>' if cold else ""
    return f'<div class="two">{"".join(plots)}</div>{note}'


def _row(one: ShownFeature) -> list[str]:
    found = one.distribution
    ranges = ["", "", "", "0 %"]
    if found is not None:
        ranges = [f"{found.low:.6g}", f"{found.median:.6g}", f"{found.high:.6g}", f"{found.warm_share:.1%}"]
    return [escape(one.name), f"{one.value:.6g}", "yes" if one.is_warm else "no", *ranges]
