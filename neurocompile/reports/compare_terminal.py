"""A comparison on a terminal: a table in blocks as wide as the terminal, bars, the Pareto front, and T against T."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from neurocompile.reports.charts import Chart, Item, bar
from neurocompile.reports.compare import (
    HIDDEN,
    Comparison,
    gaps,
    notes,
    pareto_lines,
    refusals,
    row_of,
    saved_lines,
    standing,
)
from neurocompile.reports.wording import duration, energy

_LABEL_WIDTH, _COLUMN_WIDTH = 26, 14
_ACROSS_BAR = 10


def render(comparison: Comparison) -> Group:
    """The notes of the chips come first, then the table; refusals and gaps stand below it in full."""
    parts: list[RenderableType] = [Text(f"note: {note}", style="yellow") for note in notes(comparison)]
    parts.append(_Blocks(comparison))
    parts += [Text(line, style="red") for line in refusals(comparison)]
    parts += [Text(line, style="yellow") for line in gaps(comparison)]
    parts += [Text(), _chart(comparison, "energy_pj", "energy", energy)]
    parts += [Text(), _chart(comparison, "latency_ns", "latency", duration)]
    parts += [Text(), *map(Text, pareto_lines(comparison))]
    for family in comparison["across_timesteps"]:
        parts += [Text(), _across(family)]
    parts += [Text(line) for line in saved_lines(comparison)]
    return Group(*parts)


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    (console or Console()).print(render(comparison))


class _Blocks:
    """The table, cut where more columns would be too narrow to read."""

    def __init__(self, comparison: Comparison) -> None:
        self._headings = [column["heading"] for column in comparison["columns"]]
        rows = [(row["label"], row["shown"]) for row in comparison["rows"] if row["name"] not in HIDDEN]
        self._rows = [*rows, ("on the Pareto front", standing(comparison))]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        each = max(1, (options.max_width - _LABEL_WIDTH) // _COLUMN_WIDTH)
        for start in range(0, len(self._headings), each):
            block = slice(start, start + each)
            table = Table(pad_edge=False)
            table.add_column("per sample")
            for heading in self._headings[block]:
                table.add_column(Text(heading), justify="right", overflow="fold")
            for label, texts in self._rows:
                table.add_row(Text(label), *map(Text, texts[block]))
            yield table


def _chart(comparison: Comparison, name: str, title: str, show: Callable[[float | None], str]) -> Chart:
    row = row_of(comparison, name)
    items = [
        Item(column["heading"], bound if value is None else value, text, bound=value is None)
        for column, value, bound, text in zip(
            comparison["columns"], row["values"], row["at_least"], row["shown"], strict=True
        )
    ]
    return Chart(title, items, show)


def _across(family: dict[str, Any]) -> RenderableType:
    """Numbers and bars of one network at several T."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("T", justify="right")
    for row in family["rows"]:
        table.add_column(row["label"], justify="right", overflow="fold")
        if row["name"] != "accuracy":
            table.add_column("", no_wrap=True)
    for place, steps in enumerate(family["timesteps"]):
        cells: list[RenderableType] = []
        for row in family["rows"]:
            cells.append(Text(row["shown"][place]))
            if row["name"] != "accuracy":
                cells.append(_Bar(row, place))
        table.add_row(str(steps), *cells)
    return Group(Text(f"one network at several T, on {family['profile']}", style="bold"), table)


class _Bar:
    """One value of a row as a bar, the row's largest being the longest."""

    def __init__(self, row: dict[str, Any], place: int) -> None:
        drawn = [bound if value is None else value for value, bound in zip(row["values"], row["at_least"], strict=True)]
        most = max((value for value in drawn if value is not None), default=0)
        value = drawn[place]
        self._share = value / most if value and most else 0.0
        self._bound = row["values"][place] is None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        drawn = ""
        if self._share:
            drawn = bar(self._share, _ACROSS_BAR, bound=self._bound, ascii_only=options.ascii_only)
        yield Text(drawn, style="cyan")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(_ACROSS_BAR, _ACROSS_BAR)
