"""What a page is made of: plain values, no HTML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import Element

from neurocompile.reports.wording import NOTHING, scale_of

#: what a cell holds; None is a number that is not there
Value = str | int | float | None


@dataclass(frozen=True)
class Column:
    """``unit``: of the cells' numbers, see the package; ``bar`` draws each number's share of the largest behind it."""

    name: str
    unit: str = ""
    bar: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell as it is shown. ``value``: the exact number, None where there is none; ``bar``: percent of the largest."""

    text: str
    value: float | None = None
    bar: float | None = None


@dataclass(frozen=True)
class Table:
    """Rows (one value per column); ``total`` is a last row that is not sorted with the others."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]
    total: Sequence[Value] | None = None
    note: str = ""

    kind = "table"

    @property
    def headings(self) -> list[str]:
        """Each column's name with the unit that its numbers are shown in."""
        return [
            f"{column.name} ({unit})" if (unit := self._scale(index)[1]) else column.name
            for index, column in enumerate(self.columns)
        ]

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers: those with any, or with a unit."""
        return [bool(column.unit) or bool(self._numbers(index)) for index, column in enumerate(self.columns)]

    @property
    def cells(self) -> list[list[Cell]]:
        return self._shown(self.rows)

    @property
    def total_cells(self) -> list[Cell] | None:
        return None if self.total is None else [Cell(each.text, each.value) for each in self._shown([self.total])[0]]

    def _numbers(self, index: int) -> list[float]:
        rows = [*self.rows, *([self.total] if self.total else [])]
        return _numbers(row[index] for row in rows)

    def _scale(self, index: int) -> tuple[float, str]:
        """(what a number is divided by, the unit then); the prefix is that of the largest number."""
        unit = self.columns[index].unit
        return scale_of(self._numbers(index), unit)

    def _shown(self, rows: Sequence[Sequence[Value]]) -> list[list[Cell]]:
        shown = [self._column(index) for index in range(len(self.columns))]
        return [[column(value) for column, value in zip(shown, row, strict=True)] for row in rows]

    def _column(self, index: int) -> _Shown:
        numbers = [abs(value) for value in self._numbers(index)]
        factor, _ = self._scale(index)
        full_bar = (
            max(map(abs, _numbers(row[index] for row in self.rows)), default=0.0) if self.columns[index].bar else 0.0
        )
        return _Shown(factor, _decimals(numbers, factor), full_bar)


def _numbers(values: Iterable[Value]) -> list[float]:
    return [value for value in values if isinstance(value, int | float)]


@dataclass(frozen=True)
class _Shown:
    """How one column shows its values: all with as many decimals, so that they line up."""

    factor: float
    decimals: int
    full_bar: float

    def __call__(self, value: Value) -> Cell:
        if value is None or isinstance(value, str):
            return Cell(NOTHING if value is None else value)
        text = f"{value / self.factor:,.{self.decimals}f}"
        if value and not text.strip("-0.,"):  # a small number is not nothing
            text = f"{'-' if value < 0 else ''}<{10**-self.decimals:.{self.decimals}f}"
        return Cell(text, value, round(100 * abs(value) / self.full_bar, 1) if self.full_bar else None)


def _decimals(numbers: Sequence[float], factor: float) -> int:
    """None for whole numbers, else so many that the largest has four digits that count."""
    shown = [value / factor for value in numbers]
    if factor == 1 and all(value == int(value) for value in shown):
        return 0
    largest = max(shown, default=0.0)
    return max(0, min(6, 3 - math.floor(math.log10(largest)))) if largest else 0


@dataclass(frozen=True)
class Figure:
    """A drawing, what it shows in words, its numbers, and the same for Plotly where zoom helps (see the package)."""

    title: str
    drawing: Element
    description: str
    table: Table | None = None
    explore: Mapping[str, Any] | None = None

    kind = "figure"


@dataclass(frozen=True)
class Facts:
    """Names and values, as texts. Two leading blanks indent a name, four once more."""

    title: str
    rows: Sequence[tuple[str, str]]

    kind = "facts"


@dataclass(frozen=True)
class Notes:
    """What a reader must know first."""

    items: Sequence[str]
    title: str = ""

    kind = "notes"


@dataclass(frozen=True)
class Text:
    text: str

    kind = "text"


@dataclass(frozen=True)
class Columns:
    """Facts side by side, where there is room."""

    blocks: Sequence[Facts]

    kind = "columns"


@dataclass(frozen=True)
class Key:
    """A number to see at a glance. ``detail``: a few words below it."""

    name: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Keys:
    keys: Sequence[Key]

    kind = "keys"


Block = Table | Figure | Facts | Columns | Notes | Text | Keys


@dataclass(frozen=True)
class Tab:
    """``name``: of lower-case letters, the tab's address after the ``#``."""

    name: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    title: str
    subtitle: str
    tabs: Sequence[Tab] = field(default_factory=tuple)
