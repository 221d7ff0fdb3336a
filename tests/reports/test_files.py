"""CSV and Markdown say what the JSON says: each is read back and compared with it."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import pytest
from compare_cases import four, report_of, rows
from costs_cases import chip
from page_cases import estimated, full

from neurocompile.reports.compare import compare
from neurocompile.reports.csv_files import comparison_csv, report_csv
from neurocompile.reports.files import render_comparison, render_report
from neurocompile.reports.markdown import comparison_markdown, report_markdown
from neurocompile.reports.wording import ENERGIES, ENERGY_DELAYS, TIMES

Report = dict[str, Any]
_UNITS = {unit: factor for factor, unit in (*ENERGIES, *TIMES, *ENERGY_DELAYS)} | {"%": 0.01, "/s": 1.0, "": 1.0}

HOSTILE = ["=HYPERLINK(1)", "+1", "-2+3", "@SUM(A1)", "  =1+1", "\t=1", "＝1"]


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def of(report: Report) -> dict[tuple[str, str, str], tuple[str, str]]:
    """(section, name, quantity) -> (value, text), each once."""
    lines = read(report_csv(report))
    found = {(line["section"], line["name"], line["quantity"]): (line["value"], line["text"]) for line in lines}
    assert len(found) == len(lines)
    return found


# ------------------------------------------------------------------------------------------------------ a report as CSV


def leaves(plain: Any) -> list[float]:
    """Every number in nested data."""
    if isinstance(plain, dict):
        return [number for each in plain.values() for number in leaves(each)]
    if isinstance(plain, list):
        return [number for each in plain for number in leaves(each)]
    return [plain] if isinstance(plain, int | float) else []


@pytest.mark.parametrize("report", [full(), estimated()], ids=["full", "estimated"])
def test_every_number_of_the_json_is_in_the_csv_in_full(report: Report) -> None:
    written = [float(line["value"]) for line in read(report_csv(report)) if line["value"]]
    tabled = {key: value for key, value in report.items() if key not in ("raster", "drift")}
    tabled["activity"] = {key: value for key, value in report["activity"].items() if key != "timesteps"}
    if report.get("cycle"):
        pictures = ("timeline", "mesh")
        tabled["cycle"] = {key: value for key, value in report["cycle"].items() if key not in pictures}
        tabled["cycle"]["step"] = {key: value for key, value in report["cycle"]["step"].items() if key != "shown"}
        # in the lines' names
        tabled["cycle"]["cores"] = [{k: v for k, v in core.items() if k != "core"} for core in report["cycle"]["cores"]]
        tabled["cycle"]["links"] = [
            {k: v for k, v in link.items() if k not in ("from", "to")} for link in report["cycle"]["links"]
        ]
    assert sorted(written) == sorted(float(number) for number in leaves(tabled))


def test_lines_are_found_by_section_name_and_quantity() -> None:
    report, found = full(), of(full())
    assert found["network", "", "energy_pj.total"] == (repr(report["energy_pj"]["total"]), "")
    assert found["network", "", "complete"] == ("1", "")
    assert found["network", "", "weakest_basis"] == ("", "simulated")
    soma = report["layers"][0]["energy_parts_pj"]["soma"]
    assert found["layer", "hidden", "energy_parts_pj.soma"] == (repr(soma), "")
    assert found["sample", "2", "energy_pj"] == ("195.25", "")
    assert found["samples", "", "energy_pj.std"][0] == repr(report["samples"]["energy_pj"]["std"])
    assert found["memory", "states", "holds"] == ("", "state")
    assert found["spike rate", "hidden", "spikes_per_neuron"][0] == repr(report["activity"]["spike_rates"]["hidden"])
    assert found["notes", "0", "text"] == ("", "Every number is made up.")
    # the cycle engine's times have its unit in their names
    assert found["cycle engine", "", "total_ns"] == ("400.0", "")
    assert found["cycle engine", "", "step.max_ns"] == ("60.0", "")
    assert found["core", "1", "receiving_ns"] == ("60.25", "")
    assert found["core", "1", "messages_in"] == ("8", "")
    assert found["link", "0 to 1", "wait_ns"] == ("3.75", "")
    assert found["step", "7", "length_ns"] == ("60.0", "")


def test_an_unknown_number_is_an_empty_field() -> None:
    report = estimated()
    report["energy_pj"]["total"] = None
    assert of(report)["network", "", "energy_pj.total"] == ("", "")
    assert of(report)["network", "", "accuracy"] == ("", "")


def test_samples_of_unknown_latency_have_energies_all_the_same() -> None:
    report = full()
    report["samples"]["energy_delay_pj_ns"] = None
    found = of(report)
    assert found["samples", "", "energy_delay_pj_ns"] == ("", "")
    assert ("sample", "2", "energy_delay_pj_ns") not in found
    assert found["sample", "2", "energy_pj"] == ("195.25", "")
    report["energy_delay_pj_ns"], report["missing"] = None, ["events.synaptic_op.time_ns"]
    assert "| energy × latency | incomplete: needs events.synaptic" in report_markdown(report).replace("\\_", "_")


def test_where_not_all_samples_are_listed_each_has_its_own_number() -> None:
    report = full()
    report["activity"]["samples"] = report["cycle"]["samples"] = 3999
    values = [float(number) for number in range(2000)]
    report["samples"]["energy_delay_pj_ns"] = None
    report["samples"]["energy_pj"]["values"] = report["cycle"]["latency"]["values"] = values
    found = of(report)
    for section, quantity in (("sample", "energy_pj"), ("latency", "latency_ns")):
        numbers = [name for which, name, each in found if (which, each) == (section, quantity)]
        assert (len(numbers), numbers[0], numbers[1], numbers[-1]) == (2000, "0", "2", "3998")


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_is_a_formula(name: str) -> None:
    report = full()
    report["layers"][0]["name"] = report["activity"]["data"] = name
    report["cycle"]["cores"][0]["populations"] = [name]
    for line in csv.reader(io.StringIO(report_csv(report))):
        assert not any(cell.strip().startswith(("=", "+", "@", "＝")) for cell in line)
        assert not any(cell.startswith("-") and not re.fullmatch(r"-[\d.e+-]+", cell) for cell in line)
    table = compare([{**report_of(chip()), "program": name, "folder": name}])
    (line,) = csv.reader(io.StringIO(comparison_csv(table).partition("\n")[2]))
    assert line[1] == f"'{name.strip()}"


def test_negative_numbers_stay_numbers() -> None:
    report = estimated()
    report["step_ns"] = -1.5
    assert of(report)["network", "", "step_ns"] == ("-1.5", "")


def test_line_breaks_and_quotes_in_names() -> None:
    report = estimated()
    report["layers"][0]["name"] = 'a "b", c\nd'
    assert of(report)["layer", 'a "b", c d', "kind"] == ("", "Neuron")


# -------------------------------------------------------------------------------------------------- a comparison as CSV


def test_one_line_per_column_of_the_comparison() -> None:
    table = four()
    lines = read(comparison_csv(table))
    assert [line["profile"] for line in lines] == ["toy", "cheap", "vague", "other"]
    for name, values in rows(table).items():
        for line, value in zip(lines, values, strict=True):
            if value is None:
                assert line[name] == ""
            else:
                assert line[name] == (value if isinstance(value, str) else repr(value))
    assert [line["energy_pj_at_least"] for line in lines] == ["", "", repr(rows(table)["known_energy_pj"][2]), ""]
    assert [line["on_pareto_front"] for line in lines] == ["False", "True", "", ""]
    assert [line["dominated_by"] for line in lines] == ["1", "", "", ""]
    assert lines[2]["missing"] == "events.synaptic_op.energy_pj events.synaptic_op.time_ns"
    assert lines[3]["error"] == table["columns"][3]["error"]
    assert [line["pareto"] for line in lines] == ["dominated", "yes", "takes no part", "does not fit"]


# ------------------------------------------------------------------------------------------------------------- Markdown


def tables(text: str) -> list[list[list[str]]]:
    """Cells of all tables, as a reader of GitHub's Markdown sees them; every line must have as many as its heading."""
    found: list[list[list[str]]] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("|"):
            cells = [_unescaped(cell.strip()) for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if not inside:
                found.append([])
            assert not found[-1] or len(cells) == len(found[-1][0]), line
            found[-1].append(cells)
        inside = line.startswith("|")
    return [[table[0], *table[2:]] for table in found]


def _unescaped(cell: str) -> str:
    cell = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", cell)
    return cell.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def number(cell: str) -> float:
    match = re.fullmatch(r"(-?[\d,.]+(?:e[+-]?\d+)?) ?(.*)", cell)
    assert match, cell
    return float(match[1].replace(",", "")) * _UNITS[match[2]]


def test_the_comparison_in_markdown_has_the_numbers_of_the_json() -> None:
    table = four()
    heading, *lines = tables(comparison_markdown(table))[0]
    assert heading[1:] == [column["heading"] for column in table["columns"]]
    labels = {row["label"].strip(): row for row in table["rows"]}
    compared = 0
    for label, *cells in lines:
        row = labels.get(label.removeprefix("· "))
        for place, cell in enumerate(cells if row else []):
            assert row is not None
            value, bound = row["values"][place], row["at_least"][place]
            if isinstance(value, int | float):
                assert number(cell) == pytest.approx(value, rel=5e-3)
                compared += 1
            elif bound is not None:
                assert number(cell.removeprefix("at least ")) == pytest.approx(bound, rel=5e-3)
                compared += 1
    assert compared > 35
    assert [cell for label, *cell in lines if label == "on the Pareto front"] == [
        ["dominated", "yes", "takes no part", "does not fit"]
    ]


def test_many_columns_of_a_comparison_are_lines_in_markdown() -> None:
    table = compare([{**report_of(chip()), "program": f"net{number}"} for number in range(7)])
    heading, *lines = tables(comparison_markdown(table))[0]
    assert heading[:2] == ["", "energy"]
    assert [line[0] for line in lines] == [column["heading"] for column in table["columns"]]
    (energy,) = (row for row in table["rows"] if row["name"] == "energy_pj")
    assert [line[1] for line in lines] == energy["shown"]


def test_the_comparison_across_t_in_markdown() -> None:
    text = comparison_markdown(compare([report_of(chip(), 1), report_of(chip(), 2)]))
    (_, (heading, one, two)) = tables(text)
    assert heading[:3] == ["program", "T", "memory accesses (words)"]
    assert one[:3] == ["tiny", "1", "2"]
    assert two[:3] == ["tiny", "2", "43"]


def test_the_report_in_markdown_has_the_numbers_of_the_json() -> None:
    report = full()
    found = tables(report_markdown(report))
    facts = {label: value for table in found if table[0] == ["", ""] for label, value in table[1:]}
    assert number(facts["energy"]) == pytest.approx(report["energy_pj"]["total"], rel=5e-3)
    assert number(facts["latency"]) == report["latency_ns"]
    assert number(facts["accuracy"]) == report["accuracy"]
    assert number(facts["whole run"]) == report["cycle"]["total"]
    mean, spread = facts["· over samples"].split(" ± ")
    assert number(mean) == pytest.approx(report["samples"]["energy_pj"]["mean"], rel=5e-3)
    assert number(spread.split(",")[0]) == pytest.approx(report["samples"]["energy_pj"]["std"], rel=5e-3)
    (layers,) = (table[1:] for table in found if table[0][0] == "layer")
    assert [number(line[-1]) for line in layers] == [layer["energy_pj"] for layer in report["layers"]]
    (cores,) = (table[1:] for table in found if table[0][0] == "core")
    assert [number(line[3]) for line in cores] == [core["sending"] for core in report["cycle"]["cores"]]


MARKED = ["a|b", "`code`", "*bold*_x_", "<b>x</b>", "[a](http://b)", "# x", "a\nb", "\\|", "~~x~~"]


@pytest.mark.parametrize("name", MARKED)
def test_no_name_is_markdown(name: str) -> None:
    report = estimated()
    report["layers"][0]["name"] = name
    text = report_markdown(report)
    (layers,) = (table[1:] for table in tables(text) if table[0][0] == "layer")
    assert layers[0][0] == " ".join(name.split())
    assert not re.search(r"(?<!\\)[`*\[]", text)
    assert "<" not in text
    assert tables(comparison_markdown(compare([{**report_of(chip()), "program": name}])))[0][0][1].startswith(
        " ".join(name.split())
    )


@pytest.mark.parametrize("note", ["- a", "1. a", "+ a", "# a", "---", "==="])
def test_no_note_is_a_list_or_a_heading(note: str) -> None:
    text = report_markdown({**estimated(), "notes": [note]})
    (line,) = (line for line in text.splitlines() if line.startswith("- ") and line != note and "Times are" not in line)
    assert re.match(r"- (\\|\d+\\\.)", line)
    assert _unescaped(line[2:]) == note


# ------------------------------------------------------------------------------------------------------------ all forms


@pytest.mark.parametrize("form", ["html", "csv", "markdown"])
def test_every_form_is_the_same_bytes_again_and_takes_any_name(form: str) -> None:
    report = {**full(), "program": "n\udcff"}  # as a file's name that is no Unicode
    assert render_report(form, report) == render_report(form, report)
    table = compare([report, report_of(chip())])
    assert render_comparison(form, table) == render_comparison(form, json.loads(json.dumps(table)))
    assert b"\\udcff" in render_comparison(form, table)
