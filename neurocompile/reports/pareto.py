"""Which of several designs no other is better than: less energy, less latency, more accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: what is compared, and whether more of it is better
COORDINATES = {"energy_pj": False, "latency_ns": False, "accuracy": True}

Point = Mapping[str, float | None]


def pareto(points: Sequence[Point]) -> dict[str, Any]:
    """``coordinates``: what was compared; per point whether it is on the ``front`` (None: it takes no part, for what is
    ``unknown`` about it), and the numbers of the points that it is ``dominated_by``: those that are nowhere worse and
    somewhere better.

    Without any known accuracy the front is one of energy and latency. A bound is no coordinate: what is only known to
    be at least so much is unknown here.
    """
    known = [point for point in points if point["energy_pj"] is not None and point["latency_ns"] is not None]
    coordinates = [
        name for name in COORDINATES if name != "accuracy" or any(point["accuracy"] is not None for point in known)
    ]
    unknown = [[name for name in coordinates if point[name] is None] for point in points]
    result = []
    for point, lacks in zip(points, unknown, strict=True):
        better = [
            number
            for number, (other, its_lacks) in enumerate(zip(points, unknown, strict=True))
            if not lacks and not its_lacks and _dominates(other, point, coordinates)
        ]
        result.append({"front": None if lacks else not better, "dominated_by": better, "unknown": lacks})
    return {"coordinates": coordinates, "points": result}


def _dominates(one: Point, other: Point, coordinates: Sequence[str]) -> bool:
    gains = [_gain(one, other, name) for name in coordinates]
    return min(gains) >= 0 and max(gains) > 0


def _gain(one: Point, other: Point, name: str) -> float:
    mine, theirs = one[name], other[name]
    assert mine is not None
    assert theirs is not None
    return mine - theirs if COORDINATES[name] else theirs - mine
