"""A report on a terminal. Names from files are shown as they are: nothing in them is taken for markup."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.text import Text

from neurocompile.reports import summary
from neurocompile.reports.data import Report
from neurocompile.reports.tables import Dealt, Facts

#: of cores and of links
_BUSIEST = 8


def render(report: Report) -> Group:
    """Notes first, then costs, work, layers, the cycle engine and comparisons."""
    notes = [Text(f"note: {note}", style="yellow") for note in report["notes"]]
    heading = [Text(summary.title(report), style="bold"), Text(summary.subtitle(report), style="dim")]
    return Group(*notes, Text(), *heading, *(_section(each) for each in summary.sections(report, _BUSIEST)))


def print_report(report: Report, console: Console | None = None) -> None:
    (console or Console()).print(render(report))


def _section(section: summary.Section) -> RenderableType:
    notes = [Text(f"note: {note}", style="yellow") for note in section.notes]
    table = Dealt(section.columns, section.rows, section.words) if section.columns else Facts(section.rows)
    return Group(Text(section.title, style="bold"), table, *notes, Text())
