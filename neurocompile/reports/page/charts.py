"""Charts of plain numbers: bars, lines, distributions, points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from neurocompile.reports.page.svg import (
    CHARACTER,
    SERIES,
    WIDTH,
    Scale,
    add,
    axis_x,
    axis_y,
    canvas,
    fill,
    hint,
    ink,
    legend,
    legend_height,
    line,
    marker,
    named,
    patterns,
    same,
    shown,
)

__all__ = [
    "SERIES",
    "WIDTH",
    "bars",
    "distribution",
    "fill",
    "histogram",
    "ink",
    "lines",
    "patterns",
    "scatter",
    "stacked",
]

_ROW = 22.0


def bars(rows: Sequence[tuple[str, float | None]], unit: str) -> Element:
    """A bar for each name, with its number before it; None says that the number is not known."""
    return stacked([(name, [value]) for name, value in rows], [""], unit)


def stacked(rows: Sequence[tuple[str, Sequence[float | None]]], series: Sequence[str], unit: str) -> Element:
    """Bars of several parts. The number before a bar is their sum, with ``≥`` where a part is not known."""
    sums = [sum(value or 0 for value in values) for _, values in rows]
    texts = [_sum_text(values, total, unit) for (_, values), total in zip(rows, sums, strict=True)]
    room = min(CHARACTER * max((len(name) for name, _ in rows), default=0) + 4, WIDTH / 3)
    numbers = room + 10 + CHARACTER * max(map(len, texts), default=0)
    many = len(series) > 1
    top = legend_height(series) if many else 0.0
    drawing = canvas(WIDTH, top + _ROW * len(rows) + 4, _said(rows, texts))
    if many:
        legend(drawing, series)
    scale = Scale.over(sums, numbers + 10, WIDTH - 10)
    for index, ((name, values), text) in enumerate(zip(rows, texts, strict=True)):
        y, x = top + _ROW * index, scale.start
        named(drawing, name, room, x=room, y=y + 15, klass="end soft")
        add(drawing, "text", text, x=numbers, y=y + 15, klass="end")
        for number, value in enumerate(values):
            if value:
                width = max(scale.at(value) - scale.start, 1.0)
                part = add(drawing, "rect", x=x, y=y + 3, width=width, height=_ROW - 6, fill=fill(number))
                hint(part, " ".join(word for word in (name, series[number], shown(value, unit)) if word))
                x += width
    return drawing


def _sum_text(values: Sequence[float | None], total: float, unit: str) -> str:
    if None not in values:
        return shown(total, unit)
    return f"≥ {shown(total, unit)}" if total else "unknown"


def _said(rows: Sequence[tuple[str, Sequence[float | None]]], texts: Sequence[str]) -> str:
    said = [f"{name} {text}" for (name, _), text in zip(rows, texts, strict=True)]
    return "Bars: " + "; ".join(said[:12]) + ("; and more" if len(said) > 12 else "")


def lines(
    x: Sequence[float],
    series: Sequence[tuple[str, Sequence[float | None]]],
    *,
    unit: str,
    x_title: str,
    x_unit: str = "",
    title: str = "",
    zero: bool = True,
) -> Element:
    """Lines over common x; those of later series are dashed, and few points are marked."""
    many = len(series) > 1
    names = [name for name, _ in series] if many else []
    top = legend_height(names) + (26 if title else 8)
    bottom = top + 180
    drawing = canvas(WIDTH, bottom + 40, f"{title or 'Lines'} over {x_title}")
    legend(drawing, names, "line")
    across = Scale.over(x, 80, WIDTH - 30, zero=False)
    up = Scale.over([value for _, values in series for value in values if value is not None], bottom, top, zero=zero)
    axis_y(drawing, up, across.start, unit, title, right=across.end)
    axis_x(drawing, across, bottom, x_unit, x_title, whole=all(isinstance(value, int) for value in x))
    for index, (name, values) in enumerate(series):
        places = [(a, b) for a, b in zip(x, values, strict=True) if b is not None]
        path = "M" + "L".join(f"{across.at(a):.1f} {up.at(b):.1f}" for a, b in places)
        if places:
            line(drawing, path, index)
        if len(places) <= 40:
            for a, b in places:
                hint(
                    marker(drawing, across.at(a), up.at(b), index),
                    f"{name} {shown(b, unit)} at {shown(a, x_unit)}".strip(),
                )
    return drawing


def histogram(values: Sequence[float], unit: str, x_title: str, bins: int = 24) -> Element:
    """How often values lie in equal parts of their range; every column that is not empty says how many."""
    edges, counts = distribution(values, bins)
    drawing = canvas(WIDTH, 235, f"Distribution of {len(values):,} values from {shown(min(values), unit)} to "
                     f"{shown(max(values), unit)}")  # fmt: skip
    across = Scale(edges[0], edges[-1], 30, min(WIDTH - 40, 30.0 + 70 * len(counts)))
    up = Scale.over([float(count) for count in counts], 190, 24)
    for left, right, count in zip(edges, edges[1:], counts, strict=False):
        if count:
            x, width = across.at(left), across.at(right) - across.at(left)
            column = add(
                drawing, "rect", x=x + 1, y=up.at(count), width=width - 2, height=190 - up.at(count), fill=fill(0)
            )
            hint(column, f"{count:,} from {shown(left, unit)} to {shown(right, unit)}")
            add(drawing, "text", f"{count:,}", x=x + width / 2, y=up.at(count) - 5, klass="middle small")
    axis_x(drawing, across, 190, unit, x_title)
    return drawing


def distribution(values: Sequence[float], bins: int = 24) -> tuple[list[float], list[int]]:
    """Edges of equal parts of the values' range, and how many values lie in each; one part where all are equal, but for
    rounding."""
    low, high = min(values), max(values)
    if same(low, high):
        around = abs(low) / 100 or 0.5
        return [low - around, low + around], [len(values)]
    bins = max(1, min(bins, math.ceil(2 * math.sqrt(len(values)))))
    width = (high - low) / bins
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / width))] += 1
    return [low + width * index for index in range(bins)] + [high], counts


def scatter(
    points: Sequence[tuple[str, float, float, int]],
    *,
    x: tuple[str, str],
    y: tuple[str, str],
    front: Sequence[tuple[float, float]] = (),
    series: Sequence[str] = (),
    log: bool = True,
) -> Element:
    """Named points (name, x, y, series) with a marker of their series; ``front`` is joined by a dashed line of steps.

    ``x`` and ``y``: title and unit of the axes, which are logarithmic where all is above zero.
    """
    top = legend_height(series) + 26
    bottom = top + 320
    said = "; ".join(f"{name}: {shown(a, x[1])}, {shown(b, y[1])}" for name, a, b, _ in points)
    drawing = canvas(WIDTH, bottom + 42, f"{y[0]} over {x[0]}: {said}")
    legend(drawing, series, "marker")
    across = Scale.over([point[1] for point in points], 80, WIDTH - 20, log=log)
    up = Scale.over([point[2] for point in points], bottom, top, log=log)
    axis_y(drawing, up, across.start, y[1], y[0], right=across.end)
    axis_x(drawing, across, bottom, x[1], x[0], top=top)
    if front:
        corners = sorted(front)
        path = f"M{across.at(corners[0][0]):.1f} {up.at(corners[0][1]):.1f}"
        path += "".join(f"H{across.at(a):.1f}V{up.at(b):.1f}" for a, b in corners[1:])
        add(drawing, "path", d=path, klass="mark", stroke_dasharray="5 4", stroke_width=1.3)
    for name, a, b, group in points:
        hint(marker(drawing, across.at(a), up.at(b), group), f"{name}: {shown(a, x[1])}, {shown(b, y[1])}")
        left = across.at(a) > WIDTH / 2 and across.at(a) + 9 + CHARACTER * len(name) > WIDTH
        place, room = (-9.0, across.at(a)) if left else (9.0, WIDTH - across.at(a))
        named(drawing, name, room - 9, x=across.at(a) + place, y=up.at(b) - 7, klass="end" if left else "start")
    return drawing
