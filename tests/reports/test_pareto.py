"""The front of a few points, worked out by hand."""

from __future__ import annotations

import itertools
import random

import pytest

from neurocompile.reports.pareto import pareto

Number = float | None


def of(*points: tuple[Number, Number, Number]) -> list[tuple[bool | None, list[int]]]:
    names = ("energy_pj", "latency_ns", "accuracy")
    found = pareto([dict(zip(names, point, strict=True)) for point in points])
    return [(point["front"], point["dominated_by"]) for point in found["points"]]


def test_less_energy_less_latency_more_accuracy() -> None:
    assert of((1, 1, 0.9), (2, 1, 0.9), (1, 2, 0.9), (1, 1, 0.8), (2, 2, 0.95)) == [
        (True, []), (False, [0]), (False, [0]), (False, [0]), (True, []),
    ]  # fmt: skip


def test_equal_points_share_the_front() -> None:
    assert of((1, 1, 0.9), (1, 1, 0.9)) == [(True, []), (True, [])]


def test_all_who_dominate_are_named() -> None:
    assert of((3, 3, 0.5), (2, 3, 0.5), (1, 1, 0.5))[0] == (False, [1, 2])


@pytest.mark.parametrize("unknown", [(None, 1, 0.9), (1, None, 0.9), (1, 1, None)])
def test_an_unknown_coordinate_neither_wins_nor_loses(unknown: tuple[Number, Number, Number]) -> None:
    assert of((5, 5, 0.1), unknown, (9, 9, 0.1)) == [(True, []), (None, []), (False, [0])]


def test_without_any_accuracy_the_front_is_of_energy_and_latency() -> None:
    points = [{"energy_pj": 1.0, "latency_ns": 2.0, "accuracy": None},
              {"energy_pj": 2.0, "latency_ns": 2.0, "accuracy": None}]  # fmt: skip
    found = pareto(points)
    assert found["coordinates"] == ["energy_pj", "latency_ns"]
    assert [point["front"] for point in found["points"]] == [True, False]
    # an accuracy of a point that takes no part anyhow is nothing to compare with
    lone = pareto([*points, {"energy_pj": None, "latency_ns": 1.0, "accuracy": 0.5}])
    assert lone["coordinates"] == ["energy_pj", "latency_ns"]
    assert lone["points"][2] == {"front": None, "dominated_by": [], "unknown": ["energy_pj"]}


def test_nobody_and_nothing() -> None:
    assert of() == []
    assert of((None, None, None)) == [(None, [])]


def test_random_points_by_definition() -> None:
    """Whoever is not on the front is dominated by someone on it; nobody on it is dominated."""
    draw = random.Random(3)
    for _ in range(200):
        points = [(draw.randint(0, 4), draw.randint(0, 4), draw.randint(0, 4)) for _ in range(6)]
        found = of(*points)
        front = {number for number, (on, _) in enumerate(found) if on}
        for on, better in found:
            assert on == (not better)
            assert on or front & set(better)
        for one, other in itertools.combinations(front, 2):
            a, b = points[one], points[other]
            assert a == b or any(x < y for x, y in zip(a[:2], b[:2], strict=True)) or a[2] > b[2]
