"""A report on a terminal. Names from files are shown as they are: nothing in them is taken for markup."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurocompile.reports import summary
from neurocompile.reports.data import Report

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
    return Group(Text(section.title, style="bold"), _table(section), *notes, Text())


def _table(section: summary.Section) -> Table:
    if section.columns:
        table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        for index, column in enumerate(section.columns):
            table.add_column(column, justify="left" if index < section.words else "right", overflow="fold")
    else:
        table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
    for row in section.rows:
        table.add_row(*map(Text, row))
    return table
