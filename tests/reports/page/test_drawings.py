"""Drawings hold what they are given: lengths, places, words."""

from __future__ import annotations

import math
import re
from xml.etree.ElementTree import Element

import pytest

from neurocompile.reports.page import charts
from neurocompile.reports.page.maps import Spot, Way, core_map, link_map
from neurocompile.reports.page.svg import Scale, compact, fill, patterns, tick_texts
from neurocompile.reports.page.traces import Firing, gantt, raster


def words(drawing: Element) -> list[str]:
    return [each.text or "" for each in drawing.iter("text")]


def widths(drawing: Element) -> list[float]:
    return [float(each.get("width", "0")) for each in drawing.iter("rect")]


def hints(drawing: Element) -> list[str]:
    return [each.text or "" for each in drawing.iter("title")]


def test_bars_are_as_long_as_their_numbers() -> None:
    drawing = charts.bars([("a", 40.0), ("b", 10.0), ("c", None)], "pJ")
    long, short = widths(drawing)
    assert long == pytest.approx(4 * short, rel=1e-3)
    assert words(drawing) == ["a", "40 pJ", "b", "10 pJ", "c", "unknown"]
    assert drawing.get("aria-label") == "Bars: a 40 pJ; b 10 pJ; c unknown"


def test_parts_have_patterns_and_an_unknown_part_is_told() -> None:
    drawing = charts.stacked([("a", [1.0, 2.0]), ("b", [3.0, None])], ["x", "y"], "ns")
    assert words(drawing) == ["x", "y", "a", "3 ns", "b", "≥ 3 ns"]
    fills = [each.get("fill") for each in drawing.iter("rect") if each.get("fill")]
    assert fills == [fill(0), fill(1), fill(0)]
    assert (
        len({"".join(each.itertext()) + str([part.get("d") for part in each.iter("path")]) for each in patterns()}) == 8
    )


def test_long_names_are_cut_and_still_told() -> None:
    name = "features." + "deep." * 20 + "conv"
    drawing = charts.bars([(name, 1.0)], "pJ")
    assert words(drawing)[0].endswith("…")
    assert name in hints(drawing)


@pytest.mark.parametrize("size", [1e-9, 1.0, 1234.5678, 1e9, 1e15, 1e18])
@pytest.mark.parametrize("apart", [0, 1, 4, 1e-12, 1e-10, 1e-8, 1e-6])
def test_values_that_differ_by_rounding_can_be_drawn(size: float, apart: float) -> None:
    values = [size, size + (apart * math.ulp(size) if apart >= 1 else apart * size)]
    edges, counts = charts.distribution(values)
    assert sum(counts) == 2
    assert len(counts) == (3 if 1e-9 < apart < 1 else 1)
    assert edges[0] <= values[0] <= values[1] <= edges[-1]
    for unit in ("ns", "pJ", ""):
        for drawing in (
            charts.histogram(values, unit, "latency"),
            charts.lines([0, 1], [("a", values)], unit=unit, x_title="step", zero=False),
            charts.scatter([("a", size, size, 0), ("b", *values, 1)], x=("energy", unit), y=("latency", unit)),
            charts.scatter([("a", *values, 0)], x=("energy", unit), y=("latency", unit), log=False),
        ):
            assert len(words(drawing)) > 3
            assert not any("nan" in word or "inf" in word for word in words(drawing))


def test_names_of_points_and_series_stay_within_the_drawing() -> None:
    names = ["a", "middle " * 8, "x" * 9000]
    points = [(name, 10.0**place, 1.0, place) for place, name in enumerate(names)]
    drawing = charts.scatter(points, x=("energy", "pJ"), y=("latency", "ns"), series=names)
    for label in drawing.iter("text"):
        x, length = float(label.get("x", "0")), 7.2 * len(label.text or "")
        ends = {"end": (x - length, x), "start": (x, x + length)}.get(label.get("class", "start"))
        assert ends is None or (ends[0] >= 0 and ends[1] <= charts.WIDTH + 1)
    assert names[2] in hints(drawing)


def test_a_distribution_counts_every_value_once() -> None:
    edges, counts = charts.distribution([0.0, 1.0, 1.0, 4.0])
    assert (edges, counts) == ([0.0, 1.0, 2.0, 3.0, 4.0], [1, 2, 0, 1])
    assert charts.distribution([2.0, 2.0]) == ([1.98, 2.02], [2])
    assert charts.distribution([0.0]) == ([-0.5, 0.5], [1])


@pytest.mark.parametrize(
    ("low", "high", "log", "expected"),
    [
        (0, 10, False, [0, 2, 4, 6, 8, 10]),
        (0, 0.3, False, [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]),
        (168, 180.25, False, [170, 175, 180]),
        (1, 1000, True, [1, 10, 100, 1000]),
        (2, 30, True, [2, 5, 10, 20]),
    ],
)
def test_ticks_are_round(low: float, high: float, log: bool, expected: list[float]) -> None:
    assert Scale(low, high, 0, 100, log=log).ticks() == pytest.approx(expected)


def test_ticks_that_lie_close_differ() -> None:
    assert tick_texts([1.5970e9, 1.5975e9, 1.5980e9], "pJ") == ["1.5970 mJ", "1.5975 mJ", "1.5980 mJ"]
    assert tick_texts([0, 5, 10], "") == ["0", "5", "10"]
    assert tick_texts([0, 0.5, 1], "%") == ["0%", "50%", "100%"]


def test_maps_write_at_most_four_characters() -> None:
    assert [compact(value) for value in (0, 7, 999, 1000, 1234, 9960, 12_345, 999_600, 1.2e6, 5e9, 2e12)] == [
        "0", "7", "999", "1k", "1.2k", "10k", "12k", "1.0M", "1.2M", "5G", ">1T",
    ]  # fmt: skip


def test_cores_lie_where_their_tiles_lie() -> None:
    spots = [Spot(5, 7, 0, 1.0, "99", "core 0"), Spot(5, 8, 3, 0.5, "50", "core 7")]
    drawing = core_map(spots, 4, "load")
    one, other = (each for each in drawing.iter("rect") if each.get("class") == "heat")
    assert float(other.get("x", 0)) > float(one.get("x", 0))
    assert float(other.get("y", 0)) > float(one.get("y", 0))  # the fourth core of its tile stands in the second line
    assert [each.get("style") for each in (one, other)] == ["--x:100%", "--x:50%"]
    assert words(drawing) == ["7", "8", "5", "99", "50"]  # columns, row, cells
    assert hints(drawing) == ["core 0", "core 7"]


def test_links_are_wider_the_more_they_carry() -> None:
    ways = [Way((0, 0), (0, 1), 1.0, 1200, "east"), Way((0, 1), (0, 0), 0.25, 300, "west"),
            Way((0, 0), (1, 0), 0.25, 300, "south")]  # fmt: skip
    drawing = link_map(ways, {(0, 0): "0", (0, 1): "1"}, "traffic")
    arrows = [each for each in drawing.iter("path") if each.get("class") == "link"]
    heights = []
    for each in arrows[:2]:
        ys = [float(y) for _, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", each.get("d", ""))]
        heights.append(max(ys) - min(ys))
    assert heights[0] > heights[1]
    assert hints(drawing) == ["east", "west", "south"]
    assert words(drawing)[-3:] == ["1.2k", "300", "300"]
    # the tile below holds no neurons, and is passed through
    assert [each.get("class") for each in drawing.iter("rect")] == ["empty", "empty", "edge"]


def strokes(drawing: Element) -> list[list[tuple[float, float, float]]]:
    """(x, y, length) of every stroke, of each path that is drawn in tenths."""
    result = []
    for path in (each for each in drawing.iter("path") if each.get("transform") == "scale(.1)"):
        x = y = 0
        found = []
        for across, down, length in re.findall(r"m(-?\d+) (-?\d+)h(\d+)", path.get("d", "")):
            x, y = x + int(across), y + int(down)
            found.append((x / 10, y / 10, int(length) / 10))
            x += int(length)
        result.append(found)
    return result


def test_spans_lie_in_their_rows_and_lanes() -> None:
    rows = [("a", [[(0.0, 10.0), (20.0, 20.0)], [(5.0, 10.0)]]), ("b", [[(20.0, 40.0)], []])]
    drawing = gantt(rows, ("sending", "receiving"), [("step 0", (0.0, 20.0)), ("step 1", (20.0, 40.0))], "ns")
    sending, receiving = strokes(drawing)
    assert len(sending) == 2  # what takes no time is not drawn
    assert sending[1][2] == pytest.approx(2 * sending[0][2], abs=0.2)
    assert receiving[0][2] == pytest.approx(sending[0][2] / 2, abs=0.2)
    assert sending[0][1] < receiving[0][1] < sending[1][1]
    assert sending[1][0] == pytest.approx(sending[0][0] + 2 * sending[0][2], abs=0.2)
    assert words(drawing)[:4] == ["sending", "receiving", "step 0", "step 1"]


def test_spikes_lie_at_their_steps_and_neurons() -> None:
    one, other = Firing("one", 100, 2, [(3, 99), (0, 0)]), Firing("other", 1, 1, [])
    drawing = raster([one, other], 4)
    ((first, second),) = strokes(drawing)
    band, _ = (each for each in drawing.iter("rect") if each.get("class") == "band")
    left, width, top, height = (float(band.get(name, 0)) for name in ("x", "width", "y", "height"))
    assert first[0] + first[2] / 2 == pytest.approx(left + width / 8, abs=0.2)
    assert second[0] + second[2] / 2 == pytest.approx(left + width * 7 / 8, abs=0.2)
    assert (first[1], second[1]) == (pytest.approx(top + height / 200, abs=0.1),
                                     pytest.approx(top + height * 199 / 200, abs=0.1))  # fmt: skip
    assert words(drawing)[:4] == ["one", "2 of 100", "other", "1 of 1"]


def test_points_keep_their_shapes_and_names() -> None:
    drawing = charts.scatter([("a", 1.0, 10.0, 0), ("b", 100.0, 1.0, 1)], x=("energy", "pJ"), y=("latency", "ns"),
                             front=[(1.0, 10.0), (100.0, 1.0)], series=["x", "y"])  # fmt: skip
    assert {"a", "b", "energy", "latency"} <= set(words(drawing))
    assert hints(drawing) == ["a: 1 pJ, 10 ns", "b: 100 pJ, 1 ns"]
    shapes = [each.get("d") for each in drawing.iter("path") if each.get("transform")]
    assert shapes[:2] == shapes[2:]  # the legend's are those of the points
    assert shapes[0] != shapes[1]


def test_between_steps_there_is_no_tick() -> None:
    ticks = [words(charts.lines(x, [("a", [1.0, 3.0])], unit="ns", x_title="T")) for x in ([1, 2], [1.0, 2.0])]
    assert "1.5" not in " ".join(ticks[0]).replace("1.5 ns", "")
    assert "1.4" in ticks[1]
    assert {"1", "2"} <= set(ticks[0])


def test_lines_are_dashed_and_gaps_are_left_out() -> None:
    drawing = charts.lines([0, 1, 2], [("a", [1.0, None, 3.0]), ("b", [2.0, 2.0, 2.0])], unit="ns", x_title="step")
    paths = [each for each in drawing.iter("path") if each.get("stroke-dasharray")]
    assert [each.get("stroke-dasharray") for each in paths[-2:]] == ["none", "6 3"]
    assert (paths[-2].get("d") or "").count("L") == 1
    assert "a 3 ns at 2" in hints(drawing)
