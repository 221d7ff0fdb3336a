"""Maps of a mesh of tiles: what each core does, and what goes over each link."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from neurocompile.reports.page.svg import WIDTH, add, canvas, compact, hint

_EDGE = 30.0  # left and top, for the numbers of rows and columns


@dataclass(frozen=True)
class Spot:
    """A core on the map: its tile's place, its number within the tile, and how full (0 to 1) its cell is coloured."""

    row: int
    column: int
    slot: int
    share: float
    text: str
    hint: str


@dataclass(frozen=True)
class Way:
    """A directed link between the tiles at two (row, column); ``count`` is written beside it."""

    start: tuple[int, int]
    end: tuple[int, int]
    share: float
    count: float
    hint: str


@dataclass(frozen=True)
class _Window:
    """The part of the mesh that is used; ``pitch`` is the size of a tile in pixels."""

    rows: range
    columns: range
    pitch: float

    @classmethod
    def of(cls, places: Sequence[tuple[int, int]], least: float, most: float) -> _Window:
        rows = range(min(row for row, _ in places), max(row for row, _ in places) + 1)
        columns = range(min(column for _, column in places), max(column for _, column in places) + 1)
        return cls(rows, columns, max(least, min(most, (WIDTH - _EDGE) / len(columns))))

    def corner(self, row: int, column: int) -> tuple[float, float]:
        return _EDGE + (column - self.columns[0]) * self.pitch, _EDGE + (row - self.rows[0]) * self.pitch

    def drawing(self, label: str) -> Element:
        """An empty map, with the numbers of its rows and columns."""
        width, height = _EDGE + len(self.columns) * self.pitch + 2, _EDGE + len(self.rows) * self.pitch + 2
        drawing = canvas(max(width, 220), height, label, least=max(width, 220))
        often = max(1, math.ceil(16 / self.pitch))
        for column in self.columns[::often]:
            x, _ = self.corner(0, column)
            add(drawing, "text", str(column), x=x + self.pitch / 2, y=_EDGE - 8, klass="soft small middle")
        for row in self.rows[::often]:
            _, y = self.corner(row, 0)
            add(drawing, "text", str(row), x=_EDGE - 8, y=y + self.pitch / 2 + 4, klass="soft small end")
        return drawing


def core_map(spots: Sequence[Spot], cores_per_tile: int, label: str) -> Element:
    """Each tile a square, each of its cores a cell of it; tiles and cores without neurons stay empty."""
    across = math.ceil(math.sqrt(cores_per_tile))
    down = math.ceil(cores_per_tile / across)
    window = _Window.of([(spot.row, spot.column) for spot in spots], 22 * across, 60 if across == 1 else 34 * across)
    drawing = window.drawing(label)
    _tiles(drawing, window)
    width, height = (window.pitch - 4) / across, (window.pitch - 4) / down
    for spot in spots:
        x, y = window.corner(spot.row, spot.column)
        line, place = divmod(spot.slot, across)
        x, y = x + 2 + place * width, y + 2 + line * height
        cell = add(drawing, "rect", x=x, y=y, width=width, height=height, klass="heat", style=f"--x:{_percent(spot)}")
        hint(cell, spot.hint)
        if width >= 6.2 * len(spot.text) + 2:
            add(drawing, "text", spot.text, x=x + width / 2, y=y + height / 2 + 4, klass="small middle")
    return drawing


def _tiles(drawing: Element, window: _Window) -> None:
    size = window.pitch - 2
    for row in window.rows:
        path = "".join(
            f"M{x + 1:.1f} {y + 1:.1f}h{size:.1f}v{size:.1f}h-{size:.1f}z"
            for x, y in (window.corner(row, column) for column in window.columns)
        )
        add(drawing, "path", d=path, klass="edge")


def _percent(what: Spot | Way) -> str:
    return f"{100 * min(1.0, max(0.0, what.share)):.0f}%"


#: from this pitch on there is room for the numbers of links
_LABELLED = 46.0
_MOST_LABELLED_COLUMNS = 32


def link_map(ways: Sequence[Way], tiles: dict[tuple[int, int], str], label: str) -> Element:
    """Tiles as boxes with their names, links as arrows: the wider, the more goes over them. Those that go east and
    west have a lane each, and those that go south and north."""
    places = [*tiles, *(place for way in ways for place in (way.start, way.end))]
    columns = len({column for _, column in places})
    window = _Window.of(places, _LABELLED if columns <= _MOST_LABELLED_COLUMNS else 26, 96)
    drawing = window.drawing(label)
    box = window.pitch * 0.4
    for place in sorted(set(places)):
        x, y = (each + (window.pitch - box) / 2 for each in window.corner(*place))
        add(drawing, "rect", x=x, y=y, width=box, height=box, rx=2, klass="empty" if place in tiles else "edge")
        if place in tiles and box >= 6.2 * len(tiles[place]):
            add(drawing, "text", tiles[place], x=x + box / 2, y=y + box / 2 + 4, klass="small middle")
    for way in ways:
        _arrow(drawing, window, box, way)
    return drawing


def _arrow(drawing: Element, window: _Window, box: float, way: Way) -> None:
    centres = ([each + window.pitch / 2 for each in window.corner(*place)] for place in (way.start, way.end))
    (x0, y0), (x1, y1) = centres
    length = math.hypot(x1 - x0, y1 - y0)
    along, across = ((x1 - x0) / length, (y1 - y0) / length), (-(y1 - y0) / length, (x1 - x0) / length)
    lane, thick = max(3.0, box * 0.22), 1.0 + 4.5 * min(1.0, way.share)
    start, end, head = box / 2 + 1.5, length - box / 2 - 1.5, 2.5 + thick * 0.8

    def at(distance: float, aside: float) -> str:
        x = x0 + along[0] * distance + across[0] * (lane + aside)
        return f"{x:.1f} {y0 + along[1] * distance + across[1] * (lane + aside):.1f}"

    neck = max(start, end - head)
    outline = (at(start, -thick / 2), at(neck, -thick / 2), at(neck, -head), at(end, 0), at(neck, head),
               at(neck, thick / 2), at(start, thick / 2))  # fmt: skip
    arrow = add(drawing, "path", d=f"M{'L'.join(outline)}z", klass="link", style=f"--x:{_percent(way)}")
    hint(arrow, way.hint)
    if window.pitch < _LABELLED:
        return
    away = lane + thick / 2 + 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    if abs(along[0]) > abs(along[1]):
        y += across[1] * away + (9 if across[1] > 0 else 0)
        add(drawing, "text", compact(way.count), x=x, y=y, klass="tiny middle")
    else:
        klass = "tiny" if across[0] > 0 else "tiny end"
        add(drawing, "text", compact(way.count), x=x + across[0] * (away + 1), y=y + 3, klass=klass)
