"""Drawings over time: what cores do (Gantt), and which neurons fire (raster)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from neurocompile.reports.page.svg import (
    CHARACTER,
    WIDTH,
    Scale,
    add,
    axis_x,
    canvas,
    clipped,
    hint,
    ink,
    legend,
    legend_height,
    short,
)

#: (start, end)
Span = tuple[float, float]


def gantt(
    rows: Sequence[tuple[str, Sequence[Sequence[Span]]]],
    lanes: Sequence[str],
    steps: Sequence[tuple[str, Span]],
    unit: str,
) -> Element:
    """One row per core (name, spans of each lane), one lane above the other, so that no colour is needed to tell them;
    thin lines are the steps' boundaries."""
    names = max((len(name) for name, _ in rows), default=0)
    left = min(CHARACTER * names + 12, WIDTH / 3)
    row = max(6.0, min(22.0, 1500 / max(1, len(rows))))
    top = legend_height(lanes) + 20
    bottom = top + row * len(rows)
    drawing = canvas(WIDTH, bottom + 42, f"What {len(rows):,} cores do in {len(steps):,} time steps")
    legend(drawing, lanes, "ink")
    across = Scale(steps[0][1][0], max(steps[-1][1][1], steps[0][1][0] + 1e-9), left, WIDTH - 30)
    last = -math.inf
    for name, (start, _) in steps:
        x = across.at(start)
        add(drawing, "line", x1=x, x2=x, y1=top - 4, y2=bottom, klass="rule")
        if x - last > CHARACTER * len(name) + 10:
            add(drawing, "text", name, x=x + 2, y=top - 7, klass="soft small")
            last = x
    often = math.ceil(11 / row)
    height = (row - (3 if row > 12 else 1)) / len(lanes)
    for index, (name, _) in enumerate(rows):
        if index % often == 0:
            y = top + row * (index + 0.5) + 4
            label = add(drawing, "text", clipped(name, left - 8), x=left - 8, y=y, klass="end small")
            hint(label, name)
    for lane in range(len(lanes)):
        strokes = [
            (
                across.at(start),
                top + row * index + 1 + (lane + 0.5) * height,
                max(0.4, across.at(end) - across.at(start)),
            )
            for index, (_, spans) in enumerate(rows)
            for start, end in spans[lane]
            if end > start
        ]
        _level(drawing, strokes, height, lane)
    axis_x(drawing, across, bottom, unit, "time")
    return drawing


@dataclass(frozen=True)
class Firing:
    """Which of ``neurons`` of a population fire: (step, neuron) each. ``shown`` of them, evenly chosen, are drawn."""

    name: str
    neurons: int
    shown: int
    spikes: Sequence[tuple[int, int]]


def raster(populations: Sequence[Firing], steps: int) -> Element:
    """A band per population, a row per neuron in it, a mark per spike."""
    details = [f"{each.shown:,} of {each.neurons:,}" for each in populations]
    names = max(map(len, [*details, *(each.name for each in populations)]), default=0)
    left, right = min(CHARACTER * names + 14, WIDTH / 3), WIDTH - 14
    total = sum(len(each.spikes) for each in populations)
    heights = [max(30.0, min(150.0, 3.0 * each.shown)) for each in populations]
    bottom = 6 + sum(heights) + 8 * len(heights)
    drawing = canvas(
        WIDTH, bottom + 36, f"{total:,} spikes of {len(populations):,} populations in {steps:,} time steps"
    )
    across = Scale(0, steps, left, right)
    width = max(0.8, min(14.0, 0.7 * (right - left) / steps))
    y = 6.0
    for each, detail, height in zip(populations, details, heights, strict=True):
        add(drawing, "rect", x=left, y=y, width=right - left, height=height, klass="band")
        hint(add(drawing, "text", clipped(each.name, left - 10), x=left - 8, y=y + 13, klass="end"), each.name)
        add(drawing, "text", detail, x=left - 8, y=y + 26, klass="soft end small")
        places = [(across.at(step + 0.5) - width / 2, y + (neuron + 0.5) / each.neurons * height, width)
                  for step, neuron in sorted(each.spikes)]  # fmt: skip
        _level(drawing, places, max(0.9, min(8.0, 0.8 * height / max(1, each.shown))), 0)
        y += height + 8
    often = next(each for power in range(9) for each in (10**power, 2 * 10**power, 5 * 10**power) if 12 * each >= steps)
    for step in range(0, steps, often):
        add(drawing, "text", str(step), x=across.at(step + 0.5), y=bottom + 10, klass="soft small middle")
    add(drawing, "text", "time step", x=(left + right) / 2, y=bottom + 27, klass="soft middle")
    return drawing


def _level(drawing: Element, strokes: Sequence[tuple[float, float, float]], thick: float, series: int) -> None:
    """Level strokes (x, y, length), all in one path: in tenths, each from the end of the last, which keeps tens of
    thousands small."""
    path, pen = [], (0, 0)
    for x, y, length in strokes:
        to, along = (round(10 * x), round(10 * y)), round(10 * length)
        path.append(f"m{to[0] - pen[0]} {to[1] - pen[1]}h{along}")
        pen = to[0] + along, to[1]
    if path:
        style = f"stroke:{ink(series)};stroke-width:{short(10 * thick)};fill:none"
        add(drawing, "path", d="".join(path), transform="scale(.1)", style=style)
