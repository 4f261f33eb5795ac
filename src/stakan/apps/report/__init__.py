"""One HTML file per run, readable offline."""

from stakan.apps.report.compare import Comparison, compare, render_comparison
from stakan.apps.report.html import render_report

__all__ = ["Comparison", "compare", "render_comparison", "render_report"]
