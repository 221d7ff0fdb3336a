"""What a report says, that it can be written as JSON, and that each rendering shows it honestly."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from costs_cases import activity, chip, cost, mapped, quantity, tiny
from rich.console import Console

from neurocompile.errors import CapacityError
from neurocompile.hardware import Profile, load_profile
from neurocompile.mapping import map_graph
from neurocompile.reports.compare import compare, refused, saved_accesses
from neurocompile.reports.compare_terminal import print_comparison
from neurocompile.reports.data import report_data
from neurocompile.reports.html import to_html
from neurocompile.reports.terminal import print_report
from neurocompile.reports.wording import duration, energy, number, times

Report = dict[str, Any]


def report_of(profile: Profile, timesteps: int = 2) -> Report:
    graph = mapped(tiny(timesteps))
    return report_data(graph, map_graph(graph, profile), activity(graph), profile)


def text_of(report: Report) -> str:
    out = io.StringIO()
    print_report(report, Console(file=out, width=140))
    return out.getvalue()


def comparison_of(*reports: Report) -> str:
    out = io.StringIO()
    print_comparison(compare(reports), Console(file=out, width=160))
    return out.getvalue()


def test_numbers_are_those_of_the_estimate() -> None:
    report = report_of(chip())
    assert report["profile"] == "toy"
    assert report["complete"] is True
    assert report["missing"] == []
    assert report["energy_pj"] == {
        "total": 192.25,
        "synapse": 9.5,
        "soma": 71.0,
        "noc": 2.0,
        "memory": 25.75,
        "host": 0.0,
        "static": 84.0,
        "levels": {"states": 25.0, "weights": 0.75},
    }
    assert (report["latency_ns"], report["step_ns"], report["latency_steps"]) == (168, 42, 4)
    assert report["memory_accesses"] == {"synapses": 3.0, "state": 40.0, "total": 43.0}
    assert report["state_memory_words"] == 10
    assert report["stateless"] is False
    assert report["notes"][0] == "Every number is made up."
    assert report["activity"]["samples"] == 2
    assert report["activity"]["data"] == "two samples"
    assert report["utilisation"]["neurons"] == {"largest": 3, "limit": 8, "share": 3 / 8, "population": "hidden"}
    hidden, readout = report["layers"]
    assert (hidden["name"], hidden["kind"], hidden["neurons"], hidden["cores"]) == ("hidden", "Neuron", 3, 1)
    assert hidden["spikes_per_neuron"] == pytest.approx(1 / 3)
    assert (hidden["synaptic_ops"], hidden["energy_pj"]) == (6.0, 71.5)
    assert readout["energy_pj"] == 36.75


def test_populations_on_one_core_use_it_together() -> None:
    report = report_of(chip(topology__tile_columns=quantity(1, "tiles")))
    assert (report["cores"], report["tiles"]) == (1, 1)
    assert [layer["cores"] for layer in report["layers"]] == [1, 1]
    assert report["utilisation"]["neurons"] == {
        "largest": 5,
        "limit": 8,
        "share": 5 / 8,
        "population": "hidden, readout",
    }
    apart = report_of(chip())
    assert {
        name: value for name, value in report["counters"].items() if "hops" not in name and name != "within_tile"
    } == {name: value for name, value in apart["counters"].items() if "hops" not in name and name != "within_tile"}
    assert report["counters"]["within_tile"] == apart["counters"]["hops_east_west"] == apart["counters"]["messages_out"]


def test_layers_sum_to_the_whole() -> None:
    report = report_of(chip())
    total = sum(layer["energy_pj"] for layer in report["layers"]) + report["energy_pj"]["static"]
    assert total == pytest.approx(report["energy_pj"]["total"])
    for name, value in report["counters"].items():
        assert sum(layer[name] for layer in report["layers"]) == pytest.approx(value)
    for kind, value in report["memory_accesses"].items():
        assert sum(layer["memory_accesses"][kind] for layer in report["layers"]) == pytest.approx(value)


def test_one_step_is_stateless() -> None:
    report = report_of(chip(), timesteps=1)
    assert report["stateless"] is True
    assert report["state_memory_words"] == 0
    assert report["memory_accesses"]["state"] == 0
    assert report["papers"]["compared_timesteps"] == 5
    assert report["papers"]["saved_by_one_step"] == 5 * (12 + 2 * 5) / 12


@pytest.mark.parametrize("name", ["loihi1-davies2018", "loihi2", "cmos45-fp32", "cmos45-int32"])
@pytest.mark.parametrize("timesteps", [1, 2])
def test_every_shipped_profile_gives_plain_json(name: str, timesteps: int) -> None:
    profile = load_profile(name)
    report = report_of(profile, timesteps)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["notes"][: len(profile.notes)] == list(profile.notes)
    assert report["complete"] == (not report["missing"])
    assert (report["energy_pj"]["total"] is None) == bool(report["missing_energies"])
    assert report["known_energy_pj"] > 0
    assert text_of(report)
    assert to_html(report)


def test_a_null_is_told_where_its_number_would_stand() -> None:
    report = report_of(chip(events__synaptic_op=cost(None, None)))
    assert report["energy_pj"]["total"] is None
    assert report["energy_pj"]["synapse"] is None
    assert report["latency_ns"] is None
    assert report["missing"] == ["events.synaptic_op.energy_pj", "events.synaptic_op.time_ns"]
    for shown in (text_of(report), to_html(report)):
        assert "incomplete: needs events.synaptic_op.energy_pj" in shown
        assert "incomplete: needs events.synaptic_op.time_ns" in shown
        assert "at least" in shown
    assert "nan" not in text_of(report).lower()


def test_the_terminal_shows_the_notes_first() -> None:
    lines = text_of(report_of(chip())).splitlines()
    assert lines[0] == "note: Every number is made up."
    shown = "\n".join(lines)
    for expected in ("tiny on toy, 2 time steps", "192.2 pJ", "168 ns", "hidden", "readout", "simulated", "10 words"):
        assert expected in shown


def test_the_page_is_self_contained_and_escaped() -> None:
    report = report_of(chip())
    report["layers"][0]["name"] = "<script>alert(1)</script>"
    report["activity"]["data"] = "a & b"
    page = to_html(report)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "a &amp; b" in page
    assert not re.search(r"https?:|src=|@import|url\(", page)
    assert "prefers-color-scheme: dark" in page
    assert page.index("Every number is made up.") < page.index("<h1>")
    assert len(page) < 20_000


def test_names_are_no_markup() -> None:
    report = report_of(chip())
    report["layers"][0]["name"] = "[red]net[/red]"
    assert "[red]net[/red]" in text_of(report)


def test_comparison() -> None:
    sentence = "hidden: it resets to a value, and other has no reset; choose a chip with one"
    reports = [report_of(chip()), refused("tiny", "other", CapacityError(sentence))]
    table = compare(reports)
    assert json.loads(json.dumps(table, allow_nan=False)) == table
    assert [column["profile"] for column in table["columns"]] == ["toy", "other"]
    rows = {row["name"]: row["values"] for row in table["rows"]}
    assert rows["energy_pj"] == [192.25, None]
    assert rows["cores"] == [2, None]
    assert table["columns"][1]["error"] == sentence
    shown = comparison_of(*reports)
    assert "does not fit" in shown
    assert f"other: {sentence}" in " ".join(shown.split())


def test_what_one_step_saves_in_memory_accesses() -> None:
    reports = [report_of(chip(), 1), report_of(chip(), 2)]
    (saved,) = saved_accesses(reports)
    assert (saved["profile"], saved["timesteps"], saved["than"]) == ("toy", 2, 1)
    # one step: 2 bits arrive in the first sample, and 2 spikes go on, one word each; two steps: 43, see above
    assert saved["counted"] == pytest.approx(43 / ((2 + 2) / 2))
    assert saved["dense"] == pytest.approx(2 * (12 + 2 * 5) / 12)
    assert "times the memory accesses of T = 1" in " ".join(comparison_of(*reports).split())


def test_different_chips_are_not_compared_in_time_steps() -> None:
    other = report_of(chip(), 1)
    other["profile"] = "another"
    assert saved_accesses([report_of(chip(), 2), other]) == []


def test_words_for_numbers() -> None:
    assert [energy(value) for value in (None, 0, 0.5, 999, 1e3, 2.5e6, 3e9, 4e12)] == [
        "–", "0 pJ", "0.5 pJ", "999 pJ", "1 nJ", "2.5 µJ", "3 mJ", "4 J",
    ]  # fmt: skip
    assert [duration(value) for value in (42, 1500.0, 2e6, 3e9)] == ["42 ns", "1.5 µs", "2 ms", "3 s"]
    assert [number(value) for value in (None, 3, 1234567, 0.123456)] == ["–", "3", "1,234,567", "0.123"]
    assert [times(value) for value in (None, 5.034, 1234.0)] == ["–", "5.03×", "1,234×"]
