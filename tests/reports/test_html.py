"""The report's page, read as HTML: its numbers are those of the data, its texts are escaped, and it loads nothing."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import math
import re
from typing import Any

import pytest
from page_cases import estimated, full, large
from pages import ReadPage

from neurocompile.errors import CapacityError
from neurocompile.hardware.quantity import BASES
from neurocompile.reports.compare import refused
from neurocompile.reports.html import to_html
from neurocompile.reports.tabs.costs import MEANINGS

Report = dict[str, Any]
ALL = ["summary", "layers", "energy", "latency", "chip", "timeline", "spikes", "accuracy", "compare"]
#: what a file may call its layers
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;\u2028]]>"


@pytest.fixture(scope="module")
def page() -> ReadPage:
    return ReadPage(to_html(full(), [estimated(1)]))


def test_a_full_report_has_all_tabs(page: ReadPage) -> None:
    assert page.panels() == ALL
    links = [each["href"] for tag, each in page.elements if tag == "a"]
    assert links == [f"#{name}" for name in ALL]


def test_what_the_numbers_stand_on_comes_first(page: ReadPage) -> None:
    first = min(page.text.index(note) for note in full()["notes"])
    assert first < page.text.index("energy per sample")
    assert "One network plane." in page.text


def test_layers_are_those_of_the_data(page: ReadPage) -> None:
    report, table = full(), page.tables["layers", "Layers"]
    assert table.texts("layer") == ["hidden", "readout", "all layers"]
    for heading, key in (
        ("neurons", "neurons"),
        ("synaptic ops", "synaptic_ops"),
        ("active updates", "updates_active"),
        ("inactive updates", "updates_inactive"),
        ("spikes", "spikes"),
        ("messages in", "messages_in"),
        ("energy (pJ)", "energy_pj"),
    ):
        values = [layer[key] for layer in report["layers"]]
        assert table.column(heading) == [*values, sum(values)], heading
    assert table.column("memory accesses (words)") == [26.0, 17.0, 43.0]
    assert "graded synaptic ops" not in table.headings  # there are none
    assert table.texts("energy (pJ)") == ["71.5", "36.8", "108.2"]  # which line up


def test_energy_is_that_of_the_data(page: ReadPage) -> None:
    report = full()
    parts = page.tables["energy", "Energy by part"]
    assert dict(zip(parts.texts("part"), parts.column("energy (pJ)"), strict=True)) == {
        "synapse": 9.5, "soma": 71.0, "noc": 2.0, "memory: states": 25.0, "memory: weights": 0.75, "static": 84.0,
        "all": 192.25,
    }  # fmt: skip
    by_layer = page.tables["energy", "Energy by layer and part"]
    assert by_layer.column("known (pJ)") == [layer["energy_pj"] for layer in report["layers"]]
    levels = page.tables["energy", "By memory level"]
    assert levels.texts("level") == ["weights", "states"]
    assert levels.column("reads (words)") == [each["reads"] for each in report["memory_levels"]] == [3, 20]
    assert levels.column("energy (pJ)") == [0.75, 25.0]
    assert levels.column("used (%)") == [each["share"] for each in report["memory_levels"]]
    bases = page.tables["energy", "Energy by basis"]
    assert list(zip(bases.texts("basis"), bases.column("energy (pJ)"), strict=True)) == [
        ("measured", 150.25), ("assumed", 42.0), ("all that is known", 192.25),
    ]  # fmt: skip
    ann = page.tables["energy", "Against the ANN of the same shape"]
    assert ann.column("energy (pJ)") == [192.25, report["ann"]["energy_pj"]]
    assert sum(value or 0 for value in page.tables["energy", "Samples by energy"].column("samples")) == 4


def test_every_basis_has_a_meaning_in_order_of_strength() -> None:
    assert tuple(MEANINGS) == BASES


def test_the_papers_account_stands_apart(page: ReadPage) -> None:
    assert page.text.index("Against the ANN of the same shape") < page.text.index("Compute only, as papers count it")
    assert "never beside the energies above" in page.text


def test_time_is_that_of_the_data(page: ReadPage) -> None:
    cycle = full()["cycle"]
    steps = page.tables["latency", "Time of steps"]
    assert steps.column("time (ns)") == cycle["step"]["values"]
    cores = page.tables["latency", "Time of each core"]
    for each in ("sending", "receiving", "stalled", "idle"):
        assert cores.column(f"{each} (ns)") == [core[each] for core in cycle["cores"]]
    assert cores.column("busy (%)") == [150 / 400, 140.75 / 400]
    assert cores.column("queue peak (messages)") == [2, 2]
    latencies = page.tables["latency", "Samples by latency"]
    assert latencies.column("samples") == [1, 1, 0, 2]
    assert latencies.column("from (ns)")[0] == 168.0
    assert latencies.column("to (ns)")[-1] == 180.25
    timeline = page.tables["timeline", "Time of each core in these steps"]
    assert timeline.column("sending (ns)") == [3 * 14.0, 3 * 12.0]
    assert timeline.column("receiving (ns)") == pytest.approx([3 * 19.75, 3 * 30.5])
    assert timeline.column("sending (%)") == pytest.approx([42 / 120, 36 / 120])
    assert "+25.00%" in page.text  # exact over fast


def test_the_chip_is_that_of_the_data(page: ReadPage) -> None:
    load = page.tables["chip", "Load of the cores"]
    assert load.column("core") == [0, 1]
    assert load.column("busy (%)") == [0.375, 140.75 / 400]
    links = page.tables["chip", "Links"]
    assert [row[1] for row in links.rows[0]] == [0, 1, 1234, 12.5, 3.75, 2]
    messages = page.tables["chip", "Messages of the cores"]
    assert messages.column("messages in") == [7, 8]


def test_spikes_and_accuracy_are_those_of_the_data(page: ReadPage) -> None:
    spikes = page.tables["spikes", "Spikes by layer"]
    assert spikes.column("spikes drawn") == [2, 0]
    assert spikes.column("neurons shown") == [3, 5]
    assert spikes.column("first of them (step)") == [1, None]
    drift = page.tables["accuracy", "Float against integer"]
    assert drift.column("same spikes (%)") == [0.9825, 0.5]
    assert drift.column("threshold error (%)") == [None, None]
    depth = page.tables["accuracy", "In integers up to a layer, float behind it"]
    assert depth.column("change (%)") == [0, -0.03125]
    assert "8 bits: 87.50% against 90.62% float over 64 samples." in page.text
    widths = page.tables["accuracy", "Accuracy by weight bits"]
    assert widths.headings == ["scales per", "quantizer", "8 bits (%)", "2 bits (%)", "as built"]
    assert [text for text, _ in widths.rows[0]] == ["channel", "max", "87.50", "no (1)", "8 bits"]
    assert "(1) hidden: needs 3 bits" in page.text
    assert "lava is not installed" in page.text


def test_others_are_compared() -> None:
    sentence = "hidden: needs 9 neurons, small has 8; choose a larger chip"
    unfit = refused("tiny", "small", CapacityError(sentence), 2)
    one, page = estimated(1), ReadPage(to_html(full(), [estimated(1), unfit]))
    table = page.tables["compare", "Per sample"]
    assert table.texts("what") == ["tiny on toy, T = 2", "tiny on toy, T = 1", "tiny on small, T = 2"]
    assert table.column("energy (pJ)") == [192.25, one["energy_pj"]["total"], None]
    assert sentence in page.text
    assert "T = 2 over T = 1" in page.text


def test_what_is_not_there_is_said() -> None:
    page = ReadPage(to_html(estimated()))
    assert page.panels() == ["summary", "layers", "energy", "latency"]
    for missing in ("the timeline of the cores", "the spike raster", "accuracy and drift", "load and traffic"):
        assert missing in page.text.partition("Not in this report")[2]
    assert "mean counts" in page.text


def test_nothing_unknown_is_taken_for_zero() -> None:
    report = full()
    report["missing"] = report["missing_energies"] = ["events.spike_out.energy_pj"]
    report["energy_pj"] |= {"total": None, "soma": None}
    report["layers"][0] |= {"energy_pj": None, "known_energy_pj": 7.5, "missing": report["missing"]}
    report["layers"][0]["energy_parts_pj"] |= {"soma": None}
    report["cycle"]["step"]["values"][0] = math.nan
    report["cycle"]["cores"][0]["sending"] = None
    report["cycle"]["throughput_per_s"] = None
    html = to_html(report)
    page = ReadPage(html)
    assert "incomplete: needs events.spike_out.energy_pj" in page.text
    parts = page.tables["energy", "Energy by part"]
    assert parts.texts("energy (pJ)")[1] == parts.texts("energy (pJ)")[-1] == "incomplete"
    assert parts.column("energy (pJ)")[1] is None
    assert page.tables["layers", "Layers"].texts("energy (pJ)") == ["incomplete", "36.75", "incomplete"]
    assert page.tables["layers", "Layers"].column("known energy (pJ)") == [7.5, 36.75, 44.25]
    assert len(page.tables["latency", "Time of steps"].rows) == 9
    assert page.tables["latency", "Time of each core"].texts("sending (ns)")[0] == "–"
    assert not re.search(r"\b(nan|inf|None|undefined)\b", page.text)
    numbers = [value for table in page.tables.values() for row in table.rows for _, value in row if value is not None]
    assert all(map(math.isfinite, numbers))
    assert not re.search(r"\b(nan|NaN|inf|Infinity|None)\b", html[html.index("<main>") : html.index("<script")])


def renamed(value: Any) -> Any:
    """The same data, with every name and note replaced."""
    if isinstance(value, dict):
        return {key: renamed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [renamed(each) for each in value]
    return (
        EVIL if isinstance(value, str) and value not in ("ns", "accuracy", "exact", "equal", "unavailable") else value
    )


def test_names_are_escaped_everywhere() -> None:
    report = renamed(full())
    html = to_html(report, [copy.deepcopy(report)])
    page = ReadPage(html)
    assert page.panels() == ALL
    assert len(page.scripts) == 3  # data, Plotly, and the page's own
    assert {tag for tag, _ in page.elements}.isdisjoint({"img", "iframe", "object", "link", "base", "form", "b"})
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "<img src=x onerror=alert(2)>" in page.text  # as text
    ((_, data),) = [script for script in page.scripts if script[0].get("id") == "explored"]
    assert EVIL in [trace["name"] for figure in json.loads(data).values() for trace in figure["data"]]
    assert not set(data) & set("<>&")


@pytest.mark.parametrize("report", [estimated, full])
def test_the_page_loads_nothing(report: Any) -> None:
    html = to_html(report())
    page = ReadPage(html)
    policy = next(str(each["content"]) for _, each in page.elements if each.get("http-equiv"))
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy
    assert "unsafe-inline" not in policy.replace("style-src 'unsafe-inline'", "")
    assert "unsafe-eval" not in policy
    for attributes, script in page.scripts:
        if "type" not in attributes:
            digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy
    packed = "".join(script for attributes, script in page.scripts if attributes.get("id") == "plotly")
    assert re.fullmatch(r"[A-Za-z0-9+/=]*", packed)
    plain = html.replace(packed, "") if packed else html
    assert not re.search(r"https?:|//[a-z]|src=|@import|url\((?!#p\d\))", plain.replace("// ", ""))
    for _, attributes in page.elements:
        assert attributes.get("href", "#").startswith("#")  # type: ignore[union-attr]


def test_sizes() -> None:
    """A report without a run of the cycle engine has nothing to explore, and so carries no Plotly."""
    assert len(to_html(estimated()).encode()) < 60_000
    assert 1_500_000 < len(to_html(full()).encode()) < 2_500_000
    assert len(to_html(large()).encode()) < 5_000_000


def test_the_same_data_gives_the_same_bytes() -> None:
    assert to_html(full(), [estimated(1)]) == to_html(copy.deepcopy(full()), [estimated(1)])


def test_every_drawing_has_words_and_numbers(page: ReadPage) -> None:
    drawings = [each for tag, each in page.elements if tag == "svg" and each.get("role") == "img"]
    figures = [each for tag, each in page.elements if tag == "figure"]
    assert len(drawings) == len(figures) > 10
    assert all(len(str(each["aria-label"])) > 10 for each in drawings)
    folded = [tag for tag, _ in page.elements if tag == "details"]
    assert len(folded) == len(figures) - 2  # those of the comparison stand below their table


def test_one_step_and_one_sample_can_be_drawn() -> None:
    report = full()
    report["raster"] |= {
        "steps": 1,
        "populations": [{"name": "a", "neurons": 1, "shown": 1, "total": 1, "spikes": [[0, 0]]}],
    }
    cycle = report["cycle"]
    cycle["step"] |= {"values": [0.0], "shown": [0]}
    cycle["latency"] |= {"values": [168.0], "std": None}
    cycle["links"] = []
    page = ReadPage(to_html(report))
    assert page.tables["spikes", "Spikes by layer"].column("spikes drawn") == [1]
    assert page.tables["latency", "Samples by latency"].column("samples") == [1]
    assert ("chip", "Links") not in page.tables


def test_a_chip_of_cycles_has_no_nanoseconds() -> None:
    report = full()
    report["cycle"]["unit"] = "cycles"
    page = ReadPage(to_html(report))
    assert page.tables["latency", "Time of steps"].column("time (cycles)")[0] == 40.0
    assert "400 cycles" in page.text
