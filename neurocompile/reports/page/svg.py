"""Drawings as ElementTree: what every chart is made of. Colours are the page's, by class or by number of the series."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree.ElementTree import Element, SubElement

from neurocompile.reports.wording import duration, energy, number, scale_of

#: how many series there are; later ones begin anew
SERIES = 8
WIDTH = 860.0
CHARACTER = 7.2  # the width of one in 12 px, with some to spare: fonts differ

#: strokes of each series' pattern in a square of 6 by 6: series are told apart without their colour
_PATTERNS = (
    "",
    "M-1 7L7-1M-1 1L1-1M5 7L7 5",
    "M3 2v2M0 5v2M6 5v2M0-1v2M6-1v2",
    "M-1-1L7 7M5-1L7 1M-1 5L1 7",
    "M0 3H6",
    "M3 0V6M0 3H6",
    "M3 0V6",
    "M-1-1L7 7M-1 7L7-1",
)
_DASHES = ("none", "6 3", "2 3", "8 3 2 3")
#: shapes of points, around the origin
_MARKERS = (
    "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0",
    "M-4.5-4.5h9v9h-9z",
    "M0-6L5.5 4.5h-11z",
    "M0-6L6 0 0 6-6 0z",
    "M0 6L5.5-4.5h-11z",
    "M-5-2h3v-3h4v3h3v4h-3v3h-4v-3h-3z",
    "M-5-5L0-2 5-5 2 0 5 5 0 2-5 5-2 0z",
    "M-6-2h12v4h-12z",
)


def fill(series: int) -> str:
    """What fills the shapes of a series: its colour with its pattern."""
    return f"url(#p{series % SERIES})"


def ink(series: int) -> str:
    """The colour of a series, for lines and markers."""
    return f"var(--s{series % SERIES})"


def patterns() -> list[Element]:
    """The fills of all series; a page holds them once."""
    result = []
    for series, strokes in enumerate(_PATTERNS):
        pattern = Element("pattern", id=f"p{series}", width="6", height="6", patternUnits="userSpaceOnUse")
        add(pattern, "rect", width=6, height=6, style=f"fill:{ink(series)}")
        if strokes:
            add(pattern, "path", d=strokes, style="stroke:var(--page);stroke-width:1.1;fill:none")
        result.append(pattern)
    return result


def canvas(width: float, height: float, label: str, least: float = 720) -> Element:
    """An empty drawing, in CSS pixels. ``label`` is read to those who cannot see it; ``least`` is the width below which
    it is moved rather than shrunk."""
    drawing = Element("svg", role="img", width=f"{width:g}", height=f"{height:g}", viewBox=f"0 0 {width:g} {height:g}")
    drawing.set("aria-label", label)
    drawing.set("style", f"min-width:{min(least, width):g}px")
    return drawing


def add(parent: Element, tag: str, text: str | None = None, **attributes: str | float) -> Element:
    """A child. Numbers are rounded to hundredths; ``klass`` is its class, and ``_`` in names stands for ``-``."""
    shown = {
        {"klass": "class"}.get(name, name.replace("_", "-")): value if isinstance(value, str) else short(value)
        for name, value in attributes.items()
    }
    child = SubElement(parent, tag, shown)
    child.text = text
    return child


def short(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def hint(element: Element, text: str) -> None:
    """What the pointer shows over an element."""
    add(element, "title", text)


def shown(value: float | None, unit: str) -> str:
    """A number with its unit, scaled to a readable prefix."""
    match unit:
        case "pJ":
            return energy(value)
        case "ns":
            return duration(value)
        case "%":
            return "–" if value is None else f"{value:.1%}"
    return f"{number(value)} {unit}".rstrip()


def clipped(text: str, room: float) -> str:
    """As much of a text as has room."""
    most = max(1, int(room / CHARACTER))
    return text if len(text) <= most else text[: most - 1] + "…"


def named(drawing: Element, name: str, room: float, **attributes: str | float) -> None:
    """A name, of which the pointer shows all where there is not room for it."""
    text = clipped(name, room)
    label = add(drawing, "text", text, **attributes)
    if text != name:
        hint(label, name)


def same(low: float, high: float) -> bool:
    """Whether two numbers differ by no more than rounding, so that no ticks stand between them."""
    return math.isclose(low, high, rel_tol=1e-9)


def compact(value: float) -> str:
    """A number, not below zero, in at most four characters, for the cells of maps."""
    for factor, letter in ((1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G")):
        if value < 999.5 * factor:
            few = value < 9.95 * factor and value / factor != round(value / factor)
            return f"{value / factor:.{int(few)}f}{letter}"
    return ">1T"


@dataclass(frozen=True)
class Scale:
    """Values from ``low`` to ``high`` onto pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float, *, log: bool = False, zero: bool = True) -> Scale:
        """With room for all values, from zero where that is asked for and ``log`` does not forbid it."""
        low, high = min(values, default=0.0), max(values, default=1.0)
        if log and low > 0:
            return cls(low / 1.3, high * 1.3, start, end, log=True)
        if zero:
            low, high = min(low, 0.0), max(high, 0.0)
        elif same(low, high):
            low, high = low - abs(low) / 10, high + abs(high) / 10
        if low == high:
            high = low + 1
        return cls(low, high, start, end)

    def at(self, value: float) -> float:
        low, high, value = (math.log10(x) for x in (self.low, self.high, value)) if self.log else (
            self.low, self.high, value)  # fmt: skip
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Round values, ascending."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for steps in ((1, 2, 5), (1, 3), (1,)):
                found = [step * 10.0**power for power in powers for step in steps]
                found = [value for value in found if self.low <= value <= self.high]
                if len(found) <= most:
                    break
            return found
        raw = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(each * power for each in (1, 2, 5, 10) if each * power >= raw * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(each * step, 12 - math.floor(math.log10(step))) for each in range(first, last + 1)]


def tick_texts(ticks: Sequence[float], unit: str) -> list[str]:
    """Ticks with one unit, and so many decimals that neighbours differ."""
    factor, name = scale_of(ticks, unit)
    steps = [abs(b - a) / factor for a, b in itertools.pairwise(ticks)]
    decimals = max(0, min(9, math.ceil(-math.log10(min(steps)) - 1e-9))) if steps else 3
    texts = [f"{tick / factor:,.{decimals}f}" for tick in ticks]
    if not steps:
        texts = [number(tick / factor) for tick in ticks]
    return [f"{text}%" if name == "%" else f"{text} {name}".rstrip() for text in texts]


def axis_x(
    drawing: Element, scale: Scale, y: float, unit: str, title: str, *, top: float | None = None, whole: bool = False
) -> None:
    """Ticks with their values and unit below ``y``; rules up to ``top``. ``whole``: at integers alone."""
    for tick, text in _labelled(scale, 6, unit, whole=whole):
        x = scale.at(tick)
        if top is not None:
            add(drawing, "line", x1=x, x2=x, y1=top, y2=y, klass="rule")
        add(drawing, "text", text, x=x, y=y + 15, klass="soft middle")
    add(drawing, "line", x1=scale.start, x2=scale.end, y1=y, y2=y, klass="axis")
    if title:
        add(drawing, "text", title, x=(scale.start + scale.end) / 2, y=y + 32, klass="soft middle")


def axis_y(drawing: Element, scale: Scale, x: float, unit: str, title: str, *, right: float | None = None) -> None:
    """Ticks with their values left of ``x``; the title stands above, so that nobody has to turn their head."""
    for tick, text in _labelled(scale, 5, unit):
        y = scale.at(tick)
        if right is not None:
            add(drawing, "line", x1=x, x2=right, y1=y, y2=y, klass="rule")
        add(drawing, "text", text, x=x - 6, y=y + 4, klass="soft end")
    if title:
        add(drawing, "text", title, x=0, y=min(scale.start, scale.end) - 10, klass="soft")


def _labelled(scale: Scale, most: int, unit: str, *, whole: bool = False) -> list[tuple[float, str]]:
    """Ticks with their labels: each with a prefix of its own where they are powers apart."""
    ticks = [tick for tick in scale.ticks(most) if not whole or tick.is_integer()]
    texts = [shown(tick, unit) for tick in ticks] if scale.log else tick_texts(ticks, unit)
    return list(zip(ticks, texts, strict=True))


def legend_height(names: Sequence[str]) -> float:
    """The room that a legend takes at the top of a drawing."""
    return 18.0 * (_legend_places(names)[-1][1] + 1) + 8 if names else 0.0


def legend(drawing: Element, names: Sequence[str], sign: Literal["fill", "ink", "line", "marker"] = "fill") -> None:
    """Names of series 0, 1, … at the top of a drawing, each with the sign that the drawing uses for it."""
    for series, (name, (x, row)) in enumerate(zip(names, _legend_places(names), strict=True)):
        y = 18.0 * row
        match sign:
            case "marker":
                marker(drawing, x + 8, y + 6, series)
            case "line":
                line(drawing, f"M{short(x)} {short(y + 6)}h16", series)
            case _:
                filled = fill(series) if sign == "fill" else ink(series)
                add(drawing, "rect", x=x, y=y, width=14, height=12, style=f"fill:{filled}")
        named(drawing, name, WIDTH - x - 20, x=x + 20, y=y + 10.5)


def _legend_places(names: Sequence[str]) -> list[tuple[float, int]]:
    """(x, line of the legend) of each name."""
    places, left, row = [], 0.0, 0
    for name in names:
        needed = min(36 + CHARACTER * len(name), WIDTH)
        if left and left + needed > WIDTH:
            left, row = 0.0, row + 1
        places.append((left, row))
        left += needed
    return places


def line(drawing: Element, path: str, series: int) -> Element:
    """A path in the colour and the dashes of its series."""
    style = f"stroke:{ink(series)};stroke-width:1.6;fill:none"
    return add(drawing, "path", d=path, style=style, stroke_dasharray=_DASHES[series % len(_DASHES)])


def marker(drawing: Element, x: float, y: float, series: int) -> Element:
    """A point, in the shape of its series."""
    shape = _MARKERS[series % len(_MARKERS)]
    return add(drawing, "path", d=shape, transform=f"translate({short(x)} {short(y)})", style=f"fill:{ink(series)}")
