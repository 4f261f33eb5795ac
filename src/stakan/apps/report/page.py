"""The frame of every page: style, scripts, data and plotly in one file, forbidden to ask anybody for anything."""

import html
import re
from collections.abc import Sequence
from importlib import resources
from typing import NamedTuple

import msgspec
from plotly.offline import get_plotlyjs

_PLACE = re.compile(r"\{\{(\w+)\}\}")


class Section(NamedTuple):
    """A part of a page; `link` is its word in the navigation, empty where it is not there."""

    anchor: str
    link: str
    title: str
    content: str


def render_page(title: str, top: str, sections: Sequence[Section], data: msgspec.Struct, script: str) -> str:
    """The whole page; `script` names the JavaScript file of this package that draws it."""
    parts = {
        "title": escape(title),
        "css": _file("report.css"),
        "nav": "".join(f'<a href="#{s.anchor}">{escape(s.link)}</a>' for s in sections if s.link),
        "body": top + "\n".join(_section(s) for s in sections),
        "data": embed(data),
        "plotly": get_plotlyjs(),
        "common": _file("common.js"),
        "script": _file(script),
    }
    return _PLACE.sub(lambda place: parts[place[1]], _file("page.html"))


def escape(text: object) -> str:
    """Text that is safe in HTML and in attributes."""
    return html.escape(str(text))


def embed(data: msgspec.Struct) -> str:
    """JSON that cannot end the script element that it stands in."""
    return msgspec.json.encode(data, order="deterministic").decode().replace("<", "\\u003c")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A table of cells that are HTML already; the first `left` columns are aligned left."""

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(f"<{tag}{' class=l' if i < left else ''}>{cell}</{tag}>" for i, cell in enumerate(row))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{cells("th", head)}</tr></thead><tbody>{body}</tbody></table></div>'


def _section(section: Section) -> str:
    if not section.title:
        return section.content
    extra = " class=honesty" if section.anchor == "honesty" else ""
    head = f'<div class="head"><h2>{escape(section.title)}</h2></div>'
    return f'<section id="{section.anchor}"{extra}>{head}{section.content}</section>'


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
