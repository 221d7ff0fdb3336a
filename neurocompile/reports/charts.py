"""Bar charts for terminals, which can be read without colour, and without anything but ASCII."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

#: beyond this ratio of the largest to the smallest, bars would be invisible: marks on a logarithmic axis instead
_LINEAR_RATIO = 50
_EIGHTHS = "▏▎▍▌▋▊▉█"


@dataclass(frozen=True)
class Item:
    """One line of a chart: ``text`` says the value; without a ``value`` it stands alone. ``bound``: the value is only
    what is known to be exceeded."""

    name: str
    value: float | None
    text: str
    bound: bool = False


@dataclass(frozen=True)
class Chart:
    """Items as bars from zero, or as marks on a logarithmic axis where they are too far apart for bars."""

    title: str
    items: Sequence[Item]
    show: Callable[[float], str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        names = min(max(len(item.name) for item in self.items), options.max_width // 2)
        texts = min(max(len(item.text) for item in self.items), options.max_width // 3)
        width = max(4, options.max_width - names - texts - 2)
        positive = [item.value for item in self.items if item.value]
        logarithmic = bool(positive) and max(positive) > _LINEAR_RATIO * min(positive)
        table = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
        table.add_column(width=names, overflow="fold")
        table.add_column(width=width, no_wrap=True)
        table.add_column(width=texts, overflow="fold")
        scale, low, high = "", 0.0, max(positive, default=1.0)
        if logarithmic:
            low, high = 10.0 ** math.floor(math.log10(min(positive))), 10.0 ** math.ceil(math.log10(high))
            scale = f", on a logarithmic axis from {self.show(low)} to {self.show(high)}"
        bounds = any(item.bound and item.value for item in self.items)
        shade = " (dotted: at least so much)" if bounds else ""
        yield Text(f"{self.title}{scale}{shade}", style="bold")
        for item in self.items:
            drawn = ""
            if item.value and logarithmic:
                share = math.log10(item.value / low) / math.log10(high / low)
                drawn = mark(share, width, bound=item.bound, ascii_only=options.ascii_only)
            elif item.value:
                drawn = bar(item.value / high, width, bound=item.bound, ascii_only=options.ascii_only)
            table.add_row(Text(item.name), Text(drawn, style="cyan"), Text(item.text))
        yield table


def bar(share: float, width: int, *, bound: bool = False, ascii_only: bool = False) -> str:
    """A bar of ``share`` of ``width`` characters, and one mark at least; dotted where it is a ``bound``."""
    eighths = max(1, round(share * width * 8))
    whole = max(1, round(eighths / 8))
    if ascii_only:
        return (":" if bound else "#") * whole
    if bound:
        return "░" * whole
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8 - 1] if eighths % 8 else "")


def mark(share: float, width: int, *, bound: bool = False, ascii_only: bool = False) -> str:
    """A mark at ``share`` of ``width`` characters; a ``bound`` is an arrow to where it may be."""
    place = round(share * (width - 1))
    line, point, arrow = ("-", "o", ">") if ascii_only else ("─", "●", "▷")
    return line * place + (arrow if bound else point)
