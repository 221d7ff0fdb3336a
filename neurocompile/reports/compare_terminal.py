"""A comparison on a terminal: a table, bars, the Pareto front, and T against T."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from neurocompile.reports.tables import Dealt
from neurocompile.reports.wording import duration, energy

_LABEL_WIDTH, _COLUMN_WIDTH = 26, 14
_ACROSS_BAR = 10
#: the quantities of the first table, where one is not enough
_FIRST = ("energy_pj", "latency_ns", "energy_delay_pj_ns", "accuracy", "cores", "pareto")


def render(comparison: Comparison) -> Group:
    """The notes of the chips come first, then the table; refusals and gaps stand below it in full."""
    parts: list[RenderableType] = [Text(f"note: {note}", style="yellow") for note in notes(comparison)]
    parts.append(_Numbers(comparison))
    parts += [Text(line, style="red") for line in refusals(comparison)]
    parts += [Text(line, style="yellow") for line in gaps(comparison)]
    parts += [Text(), _chart(comparison, "energy_pj", "energy", energy)]
    parts += [Text(), _chart(comparison, "latency_ns", "latency", duration)]
    parts += [Text(), *map(Text, pareto_lines(comparison))]
    for family in comparison["across_timesteps"]:
        parts += [Text(), _Across(family)]
    parts += [Text(line) for line in saved_lines(comparison)]
    return Group(*parts)


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    (console or Console()).print(render(comparison))


class _Numbers:
    """The table. Where the columns would be too narrow to read, each becomes a line, and the quantities are dealt out
    to as many tables as they need."""

    def __init__(self, comparison: Comparison) -> None:
        self._columns = comparison["columns"]
        rows = [row for row in comparison["rows"] if row["name"] not in HIDDEN]
        stands = {"name": "pareto", "label": "on the Pareto front", "shown": standing(comparison)}
        self._rows = [*rows, stands]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if len(self._columns) * _COLUMN_WIDTH + _LABEL_WIDTH <= options.max_width or len(self._columns) < 3:
            yield self._upright()
        else:
            yield from self._lying(options.max_width)

    def _upright(self) -> Table:
        table = Table(pad_edge=False)
        table.add_column("per sample")
        for column in self._columns:
            table.add_column(Text(column["heading"]), justify="right", overflow="fold")
        for row in self._rows:
            table.add_row(Text(row["label"]), *map(Text, row["shown"]))
        return table

    def _lying(self, width: int) -> Iterator[RenderableType]:
        headings = min(max(len(column["heading"]) for column in self._columns), width * 2 // 5)
        rows = sorted(self._rows, key=lambda row: row["name"] not in _FIRST)
        while rows:
            table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
            table.add_column("per sample", width=headings, overflow="fold")
            room, block = width - headings - 2, 0
            for row in rows:
                widest = max(map(len, (*row["label"].split(), *row["shown"])))
                if block and widest + 2 > room:
                    break
                table.add_column(Text(row["label"].strip()), justify="right", overflow="fold")
                room, block = room - widest - 2, block + 1
            for number, column in enumerate(self._columns):
                texts = [row["shown"][number] for row in rows[:block]]
                if column["refusal"]:  # said once
                    texts[1:] = [""] * (block - 1)
                table.add_row(Text(column["heading"]), *map(Text, texts))
            yield table
            yield Text()
            rows = rows[block:]


def _chart(comparison: Comparison, name: str, title: str, show: Callable[[float | None], str]) -> Chart:
    row = row_of(comparison, name)
    items = [
        Item(column["heading"], bound if value is None else value, text, bound=value is None)
        for column, value, bound, text in zip(
            comparison["columns"], row["values"], row["at_least"], row["shown"], strict=True
        )
    ]
    return Chart(title, items, show)


class _Across:
    """Numbers of one network at several T, with bars where there is room for them."""

    def __init__(self, family: dict[str, Any]) -> None:
        self._family = family
        columns, cells = ["T", "program"], [[str(steps) for steps in family["timesteps"]], family["programs"]]
        if len(set(family["programs"])) == 1:
            del columns[1], cells[1]
        self._words = len(columns) - 1
        self._columns = [*columns, *(row["label"] for row in family["rows"])]
        self._rows = list(zip(*cells, *(row["shown"] for row in family["rows"]), strict=True))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(f"one network at several T, on {self._family['profile']}", style="bold")
        barred = self._barred()
        if console.measure(barred, options=options.update(max_width=1 << 16)).maximum <= options.max_width:
            yield barred
        else:
            yield Dealt(self._columns, self._rows, words=1 + self._words)

    def _barred(self) -> Table:
        table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        for place, column in enumerate(self._columns):
            width = max(map(len, (*column.split(), *(row[place] for row in self._rows))))
            table.add_column(Text(column), justify="left" if 0 < place <= self._words else "right", width=width)
            if place > self._words and self._row(place)["name"] != "accuracy":
                table.add_column("")
        for number, texts in enumerate(self._rows):
            cells: list[RenderableType] = []
            for place, text in enumerate(texts):
                cells.append(Text(text))
                if place > self._words and self._row(place)["name"] != "accuracy":
                    cells.append(_Bar(self._row(place), number))
            table.add_row(*cells)
        return table

    def _row(self, place: int) -> dict[str, Any]:
        row: dict[str, Any] = self._family["rows"][place - self._words - 1]
        return row


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
