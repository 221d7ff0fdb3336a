"""What a comparison says about columns that are fine, incomplete or refused, and about time steps."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable

import pytest
from compare_cases import SENTENCE, four, incomplete, no_fit, report_of, rows, shown
from costs_cases import chip
from page_cases import full
from rich.console import Console

from neurocompile.errors import InputError
from neurocompile.reports.charts import Chart, Item, bar, mark
from neurocompile.reports.compare import compare, refused, saved_accesses


def test_a_refused_column_hides_no_other() -> None:
    table = compare([report_of(chip()), no_fit()])
    assert json.loads(json.dumps(table, allow_nan=False)) == table
    assert [column["profile"] for column in table["columns"]] == ["toy", "other"]
    assert rows(table)["energy_pj"] == [192.25, None]
    assert rows(table)["cores"] == [2, None]
    assert table["columns"][1]["error"] == SENTENCE
    text = shown(table)
    assert "does not fit" in text
    assert f"tiny on other, T = 2: {SENTENCE}" in " ".join(text.split())


def test_what_went_wrong_otherwise_is_no_lack_of_room() -> None:
    table = compare([report_of(chip()), refused("tiny", "other", InputError("x.npy: no such samples; give others"), 2)])
    assert table["columns"][1]["refusal"] == "failed"
    assert "does not fit" not in shown(table)


def test_energy_times_latency() -> None:
    table = compare([report_of(chip()), incomplete()])
    assert rows(table)["energy_delay_pj_ns"] == [192.25 * 168, None]
    assert "32.3 pJ·µs" in shown(table)


def test_an_unknown_number_is_never_zero_and_a_bound_is_none() -> None:
    table = compare([incomplete()])
    (energy,) = (row for row in table["rows"] if row["name"] == "energy_pj")
    assert (energy["values"], energy["at_least"]) == ([None], [incomplete()["known_energy_pj"]])
    assert energy["shown"][0].startswith("at least ")
    (latency,) = (row for row in table["rows"] if row["name"] == "latency_ns")
    assert (latency["values"], latency["at_least"], latency["shown"]) == ([None], [None], ["unknown"])
    assert "vague, T = 2: incomplete: needs events.synaptic_op.energy_pj" in " ".join(shown(table).split())


def test_the_front_and_who_takes_no_part() -> None:
    table = four()
    assert [point["front"] for point in table["pareto"]["points"]] == [False, True, None, None]
    assert table["pareto"]["points"][0]["dominated_by"] == [1]
    text = " ".join(shown(table, 160).split())
    assert "Pareto front (energy, latency, accuracy): tiny on cheap, T = 2" in text
    assert "tiny on toy, T = 2: dominated by tiny on cheap, T = 2" in text
    assert "tiny on vague, T = 2: takes no part, for energy and latency are unknown" in text
    assert "other, T = 2: takes no part" not in text  # it is refused, which is said already


def test_a_lower_bound_wins_nothing() -> None:
    """What is known of the vague chip's energy is less than the other's."""
    table = compare([report_of(chip(), correct=1), incomplete(2)])
    assert table["rows"][0]["at_least"][1] < rows(table)["energy_pj"][0]
    assert [point["front"] for point in table["pareto"]["points"]] == [True, None]


def test_without_labels_the_front_says_so() -> None:
    text = shown(compare([report_of(chip())]), 160)
    assert "Pareto front (energy, latency; no accuracy is known (run with --labels)): tiny on toy, T = 2" in text
    assert "nobody, for no point is known in full" in shown(compare([incomplete()]), 160)


def test_different_data_are_told() -> None:
    other = report_of(chip())
    other["activity"] = {**other["activity"], "data": "others"}
    assert "not all were measured on the same data" in shown(compare([report_of(chip()), other]))
    assert "not all were measured" not in shown(compare([report_of(chip()), report_of(chip())]))


def test_times_of_two_kinds_are_told() -> None:
    assert "the cycle engine has timed some and not others" in shown(compare([report_of(chip()), full()]), 200)
    assert "the cycle engine has timed some" not in shown(compare([full(), full()]), 200)


def test_columns_have_names_of_their_own() -> None:
    def headings(*folders: str | None) -> list[str]:
        return [
            column["heading"]
            for column in compare([{**report_of(chip()), "folder": folder} for folder in folders])["columns"]
        ]

    assert headings("build/a") == ["tiny on toy, T = 2"]
    assert headings("build/a", "build/b") == ["tiny on toy, T = 2 (build/a)", "tiny on toy, T = 2 (build/b)"]
    assert headings("build/a", "build/a") == ["tiny on toy, T = 2 (build/a) #1", "tiny on toy, T = 2 (build/a) #2"]


def test_memory_within_other_parts_is_no_zero_to_people() -> None:
    within = report_of(chip())
    within["energy_pj"] = {**within["energy_pj"], "memory": 0.0, "levels": {}}
    (memory,) = (row for row in compare([within])["rows"] if row["name"] == "memory_pj")
    assert memory["shown"] == ["in other parts"]


def test_rows_that_some_chips_have_stand_only_where_one_has() -> None:
    plain = report_of(chip())
    hosted = {**plain, "energy_pj": {**plain["energy_pj"], "host": 3.0}}
    unknown = {**plain, "energy_pj": {**plain["energy_pj"], "host": None}}
    optional = {"host_pj", "energy_std_pj", "cycle_latency_ns"}
    assert not optional & rows(compare([plain])).keys()
    assert rows(compare([plain, hosted]))["host_pj"] == [0, 3.0]
    assert rows(compare([plain, unknown]))["host_pj"] == [0, None]
    timed = rows(compare([plain, full()]))
    assert timed["energy_std_pj"] == [None, full()["samples"]["energy_pj"]["std"]]
    assert timed["cycle_latency_ns"] == [None, full()["cycle"]["latency"]["mean"]]


# --------------------------------------------------------------------------------------------------------- time steps


def test_what_one_step_saves_in_memory_accesses() -> None:
    reports = [report_of(chip(), 2), report_of(chip(), 1)]
    (saved,) = saved_accesses(reports)
    assert (saved["profile"], saved["timesteps"], saved["than"]) == ("toy", 2, 1)
    # one step: 2 bits arrive in the first sample, and 2 spikes go on, one word each; two steps: 43, see above
    assert saved["counted"] == pytest.approx(43 / ((2 + 2) / 2))
    assert saved["dense"] == pytest.approx(2 * (12 + 2 * 5) / 12)
    table = compare(reports)
    (family,) = table["across_timesteps"]
    assert (family["timesteps"], family["columns"]) == ([1, 2], [1, 0])
    assert family["rows"][0]["values"] == [2.0, 43.0]
    text = shown(table)
    assert "times the memory accesses of T = 1" in " ".join(text.split())
    lines = text[text.index("one network at several T, on toy") :].splitlines()
    assert [line.split()[0] for line in lines[5:7]] == ["1", "2"]
    assert lines[6].count("█" * 10) == 3  # the larger of two is the whole bar: accesses, energy, latency


def test_different_chips_or_one_t_are_not_compared_in_time_steps() -> None:
    assert saved_accesses([report_of(chip(), 2), report_of(chip(), 1, name="another")]) == []
    assert compare([report_of(chip()), report_of(chip())])["across_timesteps"] == []


# ------------------------------------------------------------------------------------------------------- in a terminal


def test_the_terminal_is_golden(golden: Callable[[str, str], None]) -> None:
    table = compare([report_of(chip(), 1, 1), report_of(chip(), 2, 2), incomplete(1), no_fit()])
    text = shown(table)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 100
    golden("comparison.txt", text)


@pytest.mark.parametrize("width", [40, 60, 100, 200])
def test_any_number_of_columns_fits_any_terminal(width: int) -> None:
    report = report_of(chip(), correct=1)
    chips = [{**report, "profile": f"chip-{number}"} for number in range(12)]
    text = shown(compare([*chips, no_fit()]), width)
    assert max(map(len, text.splitlines())) <= width
    whole = "".join(text.split())
    for number in range(12):
        assert f"tinyonchip-{number}" in whole
    # said once per table, and in the charts
    assert text.count("does not fit") <= text.count("per sample") + 2


def test_bars_without_unicode() -> None:
    class Ascii(io.StringIO):
        encoding = "ascii"

    out = Ascii()
    Console(file=out, width=100).print(Chart("energy", [Item("a", 2.0, "2 pJ"), Item("b", 1.0, "1 pJ", True)], str))
    assert out.getvalue().isascii()
    assert "##" in out.getvalue()
    assert "::" in out.getvalue()


def test_bars_and_marks() -> None:
    assert bar(1, 8) == "█" * 8
    assert bar(0.5, 8) == "█" * 4
    assert bar(1e-9, 8) == "▏"  # something is never nothing
    assert bar(0.5, 8, bound=True) == "░" * 4
    assert mark(0, 9) == "●"
    assert mark(1, 9) == "─" * 8 + "●"
    assert mark(0.5, 9, bound=True) == "─" * 4 + "▷"


def test_what_is_far_apart_stands_on_a_logarithmic_axis() -> None:
    out = io.StringIO()
    items = [Item("a", 1.0, "1"), Item("b", 1000.0, "1000"), Item("c", None, "unknown"), Item("d", 0.0, "0")]
    Console(file=out, width=60).print(Chart("energy", items, lambda value: f"{value:g} pJ"))
    title, *lines = out.getvalue().splitlines()
    assert title == "energy, on a logarithmic axis from 1 pJ to 1000 pJ"
    assert [line.split()[1] for line in lines] == ["●", "─" * (len(lines[1].split()[1]) - 1) + "●", "unknown", "0"]
    assert math.isclose(len(lines[1].split()[1]), 60 - 1 - 7 - 2, abs_tol=2)


def test_names_are_no_markup() -> None:
    report = {**report_of(chip()), "program": "[red]net[/red]"}
    assert "[red]net[/red] on toy" in shown(compare([report]), 160)
