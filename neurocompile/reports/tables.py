"""Tables for terminals of any width: columns that do not fit beside one another are dealt out to several tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
from rich.table import Table
from rich.text import Text

#: longer words of a name may be cut; numbers are never cut
_LONGEST_WORD = 14


@dataclass(frozen=True)
class Facts:
    """Lines of a name and what is to say of it."""

    rows: Sequence[Sequence[str]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        names = max((len(row[0]) for row in self.rows), default=1)
        table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(width=min(names, options.max_width // 2), overflow="fold")
        table.add_column(overflow="fold")
        for row in self.rows:
            table.add_row(*map(Text, row))
        yield table


@dataclass(frozen=True)
class Dealt:
    """Rows of texts. The first column, which names them, stands in each table that it takes; ``words`` columns from the
    left are text, the others numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        natural = [
            max(map(len, (*heading.split("\n"), *(row[at] for row in self.rows))))
            for at, heading in enumerate(self.columns)
        ]
        least = [min(natural[0], options.max_width * 2 // 5), *map(self._least, range(1, len(self.columns)))]
        others = list(range(1, len(self.columns)))
        while others:
            room, taken = options.max_width - least[0] - 1, 0
            while taken < len(others) and (not taken or least[others[taken]] + 2 <= room):
                room -= least[others[taken]] + 2
                taken += 1
            if others[0] > 1:
                yield Text()
            yield self._table([0, *others[:taken]], least, natural, max(0, room))
            others = others[taken:]

    def _least(self, column: int) -> int:
        """Characters without which a column cannot be read."""
        cells = [row[column] for row in self.rows]
        numbers = [cell for cell in cells if cell[:1].isdigit()] if column >= self.words else []
        words = [word for text in (self.columns[column], *cells) for word in text.split()]
        return max(1, *map(len, numbers), *(min(len(word), _LONGEST_WORD) for word in words))

    def _table(self, chosen: Sequence[int], least: Sequence[int], natural: Sequence[int], room: int) -> Table:
        """``room``: what is left where each has its least width. Texts have it first, and headings if all can."""
        table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        enough = sum(natural[column] - least[column] for column in chosen) <= room
        for column in chosen:
            more = min(room, natural[column] - least[column]) if enough or column < self.words else 0
            room -= more
            justify: JustifyMethod = "left" if column < self.words else "right"
            table.add_column(Text(self.columns[column]), justify=justify, overflow="fold", width=least[column] + more)
        for row in self.rows:
            table.add_row(*(Text(row[column]) for column in chosen))
        return table
