"""What a report says, that it can be written as JSON, and that each rendering shows it honestly."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from costs_cases import activity, chip, cost, mapped, quantity, tiny
from page_cases import full, large
from rich.console import Console

from neurocompile.hardware import Profile, load_profile
from neurocompile.mapping import map_graph
from neurocompile.reports.data import report_data
from neurocompile.reports.html import to_html
from neurocompile.reports.terminal import print_report
from neurocompile.reports.wording import duration, energy, energy_delay, number, plain, times

Report = dict[str, Any]


def report_of(profile: Profile, timesteps: int = 2) -> Report:
    graph = mapped(tiny(timesteps))
    return report_data(graph, map_graph(graph, profile), activity(graph), profile)


def text_of(report: Report) -> str:
    out = io.StringIO()
    print_report(report, Console(file=out, width=140))
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


def test_each_core_is_compared_with_its_own_limits() -> None:
    """Three hidden neurons of 8 are less than two readouts of 4."""
    small = {"name": "small", "cores": [1], "neurons": quantity(4, "neurons")}
    report = report_of(chip(limits__kinds=[small]))
    assert report["utilisation"]["neurons"] == {"largest": 2, "limit": 4, "share": 2 / 4, "population": "readout"}


def test_layers_sum_to_the_whole() -> None:
    report = report_of(chip())
    total = sum(layer["energy_pj"] for layer in report["layers"]) + report["energy_pj"]["static"]
    assert total == pytest.approx(report["energy_pj"]["total"])
    counters = report["counters"]
    # neurons off the chip are of no layer
    assert counters.pop("firings") == counters["spikes"] + counters.pop("inputs")
    for name, value in counters.items():
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


def test_the_terminal_is_golden(golden: Callable[[str, str], None]) -> None:
    """Everything that a report can hold, within 100 columns, without a single escape sequence."""
    out = io.StringIO()
    print_report(full(), Console(file=out, width=100))
    shown = out.getvalue()
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 100
    golden("report.txt", shown)


def test_of_many_cores_the_busiest_are_shown() -> None:
    shown = text_of(large())
    assert "Cores: the busiest 8 of 300" in shown
    cores = large()["cycle"]["cores"]
    busiest = max(cores, key=lambda core: core["sending"] + core["receiving"])
    first = shown[shown.index("Cores:") :].splitlines()[4]
    assert first.startswith(f"{busiest['core']} ")


def test_cycles_of_a_chip_without_a_clock_stay_cycles() -> None:
    report = full()
    report["cycle"] |= {"unit": "cycles", "timing": "fast", "throughput_per_s": None, "overruns": 0}
    shown = text_of(report)
    assert "400 cycles" in shown
    assert re.search(r"throughput +unknown: no time in seconds", shown)
    assert "(exact: " not in shown
    assert "longer than" not in shown


def test_a_run_that_took_no_time_has_no_difference() -> None:
    report = full()
    report["cycle"] |= {"total": 0.0, "fast_total": 0.0, "difference": None}
    assert "(exact: " not in text_of(report)
    report["cycle"]["links"] = []
    assert "Links" not in text_of(report)


def test_accuracy_is_that_of_the_run_or_unknown() -> None:
    assert report_of(chip())["accuracy"] is None
    assert "unknown; --labels measures it" in text_of(report_of(chip()))
    graph = mapped(tiny())
    right = dataclasses.replace(activity(graph), correct=1)
    report = report_data(graph, map_graph(graph, chip()), right, chip())
    assert report["accuracy"] == 0.5
    assert "50.00%" in text_of(report)


def test_names_are_no_markup() -> None:
    report = report_of(chip())
    report["layers"][0]["name"] = "[red]net[/red]"
    assert "[red]net[/red]" in text_of(report)


def test_words_for_numbers() -> None:
    assert [energy(value) for value in (None, 0, 0.5, 999, 1e3, 2.5e6, 3e9, 4e12)] == [
        "–", "0 pJ", "0.5 pJ", "999 pJ", "1 nJ", "2.5 µJ", "3 mJ", "4 J",
    ]  # fmt: skip
    assert [duration(value) for value in (42, 1500.0, 2e6, 3e9)] == ["42 ns", "1.5 µs", "2 ms", "3 s"]
    assert [energy_delay(value) for value in (None, 2.0, 3.5e9, 4e21)] == ["–", "2 pJ·ns", "3.5 pJ·s", "4 J·s"]
    assert plain("a\x1b[31m b\n\udcff") == r"a\x1b[31m b\n\udcff"
    assert [number(value) for value in (None, 3, 1234567, 0.123456)] == ["–", "3", "1,234,567", "0.123"]
    assert [times(value) for value in (None, 5.034, 1234.0)] == ["–", "5.03×", "1,234×"]
