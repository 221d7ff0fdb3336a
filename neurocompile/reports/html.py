"""A report as one HTML file that loads nothing: tabs of tables and drawings, light or dark as the reader has it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from neurocompile.reports import summary
from neurocompile.reports.data import Report
from neurocompile.reports.page import Page, Tab, render
from neurocompile.reports.tabs.accuracy import accuracy_tab
from neurocompile.reports.tabs.compared import compare_tab
from neurocompile.reports.tabs.costs import energy_tab, layers_tab, summary_tab
from neurocompile.reports.tabs.places import chip_tab, spikes_tab
from neurocompile.reports.tabs.timing import latency_tab, timeline_tab

#: what a report may lack, and where it comes from
_ABSENT = {
    "chip": "the chip's load and traffic (no run of the cycle engine)",
    "timeline": "the timeline of the cores (no run of the cycle engine)",
    "spikes": "the spike raster (no spikes were kept)",
    "accuracy": "accuracy and drift (neurocompile verify finds them)",
}


def to_html(report: Report, others: Sequence[Report] = ()) -> str:
    """The page of a report; ``others`` are compared with it. Every text from outside is escaped."""
    report, *others = [_finite(each) for each in (report, *others)]
    tabs = [
        Tab("layers", "Layers", layers_tab(report)),
        Tab("energy", "Energy", energy_tab(report)),
        Tab("latency", "Latency", latency_tab(report)),
        Tab("chip", "Chip", chip_tab(report)),
        Tab("timeline", "Timeline", timeline_tab(report)),
        Tab("spikes", "Spikes", spikes_tab(report)),
        Tab("accuracy", "Accuracy", accuracy_tab(report)),
        Tab("compare", "Compare", compare_tab([report, *others])),
    ]
    absent = [_ABSENT[tab.name] for tab in tabs if not tab.blocks and tab.name in _ABSENT]
    first = Tab("summary", "Summary", summary_tab(report, absent))
    return render(Page(summary.title(report), summary.subtitle(report), [first, *(tab for tab in tabs if tab.blocks)]))


def _finite(value: Any) -> Any:
    """The same data, with None for what is no number: a page has one way to say that a number is not there."""
    match value:
        case dict():
            return {key: _finite(each) for key, each in value.items()}
        case list() | tuple():
            return [_finite(each) for each in value]
        case float() if not math.isfinite(value):
            return None
    return value
