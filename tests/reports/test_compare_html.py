"""The page of a comparison, read as a browser without scripts would show it."""

from __future__ import annotations

import math
import re
from html import unescape
from typing import Any

import pytest
from compare_cases import SENTENCE, four, report_of, rows
from costs_cases import chip

from neurocompile.reports.compare import compare
from neurocompile.reports.compare_html import comparison_html


def tables(page: str) -> dict[str, list[list[tuple[str, float | None]]]]:
    """By caption: (text, exact number) of each cell of the body."""
    found = {}
    for caption, body in re.findall(r"<caption>(.*?)</caption>.*?<tbody>(.*?)</tbody>", page, re.S):
        found[unescape(re.sub("<.*?>", "", caption))] = [
            [
                (unescape(text.strip()), float(value[1]) if (value := re.search(r'data-v="([^"]*)"', kind)) else None)
                for kind, text in re.findall(r"<t[dh]([^>]*)>(.*?)</t[dh]>", row, re.S)
            ]
            for row in re.findall(r"<tr>(.*?)</tr>", body, re.S)
        ]
    return found


def test_the_tables_have_every_number_in_full() -> None:
    table = four()
    found = tables(comparison_html(table))
    for caption, names in {
        "Cost": ["energy_pj", "latency_ns", "throughput_per_s", "energy_delay_pj_ns", "accuracy"],
        "Energy by part": ["synapse_pj", "soma_pj", "noc_pj", "memory_pj", "static_pj"],
    }.items():
        lines = found[caption]
        assert [line[0][0] for line in lines] == [column["heading"] for column in table["columns"]]
        for place, name in enumerate(names, 1):
            assert [line[place][1] for line in lines] == rows(table)[name], name
    assert found["Cost"][2][1][0] == "at least 100.2 pJ"
    assert found["Cost"][2][2][0] == "unknown"
    assert {text for text, _ in found["Cost"][3][1:]} == {"does not fit"}


def test_refusals_gaps_and_notes_stand_in_full() -> None:
    page = unescape(comparison_html(four()))
    assert f"tiny on other, T = 2: {SENTENCE}" in page
    assert "tiny on vague, T = 2: incomplete: needs events.synaptic_op.energy_pj, events.synaptic_op.time_ns" in page
    assert "Every number is made up." in page
    assert "Not drawn: tiny on other, T = 2 (does not fit)." in page


def markers(page: str) -> list[tuple[str, str]]:
    """(shape, name) of the scatter's points."""
    drawing = page[page.index("<figcaption><h3>Energy against latency") :]
    drawing = drawing[: drawing.index("</svg>")]
    return re.findall(r'<path d="([^"]+)" transform="[^"]*" style="[^"]*"><title>([^<]*)</title>', drawing)


def test_the_front_is_told_by_shape_and_line() -> None:
    cheap = chip(static_power_mw=None)  # unknown, so it takes no part, at its least
    steps = [report_of(chip(), 1, 1), report_of(chip(), 2, 1), report_of(chip(), 2, 2, name="b")]
    page = comparison_html(compare([*steps, report_of(cheap, 2, 1, name="c")]))
    shapes = dict(zip(("1", "2", "b", "c"), (shape for shape, _ in markers(page)), strict=True))
    assert shapes["1"] == shapes["b"]  # on the front: the least energy, and the most accuracy
    assert len({shapes["1"], shapes["2"], shapes["c"]}) == 3
    assert "≥ tiny on c" in page
    assert "stroke-dasharray" in page
    assert "(50.00%)" in page


def test_points_that_lie_together_share_a_label() -> None:
    page = comparison_html(compare([report_of(chip(), 2, 1), report_of(chip(), 2, 1, name="b")]))
    (first, second) = markers(page)
    assert first[1].startswith("toy (50.00%); b (50.00%):")
    assert second[1].startswith(":")


def test_points_have_numbers_where_they_are_many_and_their_table_stands_open() -> None:
    def page(count: int) -> str:
        return comparison_html(compare([report_of(chip(), 1, 1, name=f"n{number}") for number in range(count)]))

    few, many = page(6), page(7)
    assert "lie together share a label." in few
    assert "numbers are those of the table below." in many
    for text, folded in ((few, True), (many, False)):
        figure = text[text.index("<h3>Energy against latency") : text.index(">Points<")]
        assert ("<details" in figure) is folded
    assert [line[0][0] for line in tables(many)["Points"]] == [str(number) for number in range(7)]


def test_what_nobody_knows_is_not_drawn() -> None:
    vague = report_of(chip(events__synaptic_op={"energy_pj": None, "time_ns": None}))
    page = comparison_html(compare([vague]))
    assert "Energy against latency" not in page.split("</figure>")[0].split("<figcaption>")[1]
    assert "≥ 100.2 pJ" in page
    assert math.isclose(vague["known_energy_pj"], 100.25)


@pytest.mark.parametrize("steps", [(1, 2), (2, 2)])
def test_time_steps_have_a_tab_where_they_differ(steps: tuple[int, int]) -> None:
    page = comparison_html(compare([report_of(chip(), each) for each in steps]))
    assert ("times the memory accesses of T = 1" in page) is (steps == (1, 2))
    assert ('id="steps"' in page) is (steps == (1, 2))


def test_names_are_escaped_and_nothing_is_loaded() -> None:
    hostile: dict[str, Any] = {"program": "<script>alert(1)</script>", "folder": "a&b"}
    page = comparison_html(compare([{**report_of(chip()), **hostile}, {**report_of(chip(), 1), **hostile}]))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not re.search(r"src=|@import|https?://(?!www\.w3\.org)", page)
