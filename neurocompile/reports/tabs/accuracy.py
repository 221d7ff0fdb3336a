"""How good the network still is: against the float network, and against the ANN that it came from."""

from __future__ import annotations

from typing import Any

from neurocompile.reports import drift as words
from neurocompile.reports.conversion import said as conversion_said
from neurocompile.reports.data import Report
from neurocompile.reports.page import Block, Column, Facts, Figure, Key, Keys, Page, Tab, Table, Text, charts, render
from neurocompile.reports.page.blocks import Value
from neurocompile.reports.wording import percent

Drift = dict[str, Any]


def accuracy_tab(report: Report) -> list[Block]:
    """``report["drift"]`` is what ``neurocompile verify`` writes."""
    drift, accuracy = report.get("drift"), report.get("accuracy")
    blocks: list[Block] = []
    if accuracy is not None:
        blocks.append(Keys([Key("accuracy of this report's samples", f"{accuracy:.2%}", report["activity"]["data"])]))
    conversion = (drift or {}).get("conversion") or report.get("conversion")
    if drift:
        blocks += [Text(f"{drift['conclusion']}."), Keys(_keys(drift))]
        blocks += [*_layers(drift), *_depth(drift), *_widths(drift), _engines(drift)]
        lines = [*words.output_lines(drift), *words.saturation_lines(drift["saturation"])]
        blocks.append(Facts("Outputs and clipping", [_pair(line) for line in lines]))
    if conversion:
        blocks += _conversion(conversion)
    return blocks


def accuracy_page(report: Report) -> str:
    """The tab alone, as a page: what can be shown in a report is what can be shown so."""
    return render(Page("accuracy", "", [Tab("accuracy", "Accuracy", accuracy_tab(report))]))


def _pair(line: str) -> tuple[str, str]:
    name, _, rest = line.partition(": ")
    return name, rest


def _keys(drift: Drift) -> list[Key]:
    keys = [
        ("accuracy, float", drift["accuracy_float"], "as trained"),
        ("accuracy, integer", drift["accuracy_integer"], f"{drift['bits']} bits"),
        ("same class as float", drift["output_agreement"], f"of {drift['samples']:,} samples"),
    ]
    return [Key(name, percent(value), detail) for name, value, detail in keys if value is not None]


def _layers(drift: Drift) -> list[Block]:
    rows = drift["layers"]
    if not rows:
        return []
    columns = {
        "same spikes": "agreement",
        "on float spikes": "isolated_agreement",
        "same counts": "count_agreement",
        "weight error": "weight_error",
        "threshold error": "threshold_error_mean",
    }
    table = Table(
        "Float against integer",
        [Column("layer"), *(Column(name, "%") for name in columns), Column("rate float"), Column("rate integer")],
        [
            (row["name"], *(row.get(key) for key in columns.values()), row["rate_float"], row["rate_integer"])
            for row in rows
        ],
        note="Rates: spikes per neuron and step.",
    )
    drawing = charts.stacked([(row["name"], [1 - row["agreement"]]) for row in rows], [""], "%")
    said = (
        f"Share of neuron-steps whose spikes differ, float and integer, over {drift['data']}. “On float spikes” in the "
    )
    said += "table: the same where the layer is given what the float network sends, so that the rest is inherited."
    return [Figure("Drift by layer", drawing, said, table)]


def _depth(drift: Drift) -> list[Block]:
    depth = drift["depth"]
    if not depth:
        return []
    measure = depth["measure"]
    table = Table(
        "In integers up to a layer, float behind it",
        [Column("integer up to"), Column(measure, "%"), Column("change", "%"), Column("samples lost"),
         Column("samples won"), Column("output error", "%"), Column("remark")],
        [(row["layer"], row[measure], row["change"], row["lost"], row["won"], row["output_error"],
          "worst" if row["layer"] == depth["worst"] else "") for row in depth["rows"]],
    )  # fmt: skip
    drawing = charts.bars([(row["layer"], row[measure]) for row in depth["rows"]], "%")
    what = "Accuracy" if measure == "accuracy" else "Share of samples with the float network's class"
    said = f"{what} when all layers up to one are in integers, over {depth['samples']:,} samples."
    if depth["worst"] is not None:
        said += f" Most is lost at {depth['worst']}."
    return [Figure("Where along the depth it is lost", drawing, said, table)]


def _widths(drift: Drift) -> list[Block]:
    """One row per way of quantizing, one column per width; what is refused stands below in full."""
    widths = drift["widths"]
    if not widths:
        return []
    variants, measure = widths["variants"], widths["measure"]
    bits = list(dict.fromkeys(each["bits"] for each in variants))
    refusals = list(dict.fromkeys(each["error"] for each in variants if each["error"] is not None))
    cells: dict[tuple[str, str], dict[int, Value]] = {}
    built: dict[tuple[str, str], str] = {}
    for each in variants:
        way = each["scales"], each["quantizer"]
        refused = each["error"] is not None
        cells.setdefault(way, {})[each["bits"]] = (
            f"no ({refusals.index(each['error']) + 1})" if refused else each[measure]
        )
        if each["own"]:
            built[way] = f"{each['bits']} bits"
    table = Table(
        f"{measure.capitalize()} by weight bits",
        [
            Column("scales per"),
            Column("quantizer"),
            *(Column(f"{width} bits", "%") for width in bits),
            Column("as built"),
        ],
        [(*way, *(row.get(width) for width in bits), built.get(way, "")) for way, row in cells.items()],
        note=f"Over {widths['samples']:,} samples.",
    )
    blocks: list[Block] = [table]
    if refusals:
        blocks.append(Facts("Refused", [(f"({index})", sentence) for index, sentence in enumerate(refusals, 1)]))
    return blocks


def _engines(drift: Drift) -> Table:
    rows: list[tuple[Value, ...]] = [
        (name, engine["state"], engine["samples"], engine.get("difference") or engine.get("reason") or "")
        for name, engine in drift["engines"].items()
    ]
    columns = [Column("engine"), Column("against the interpreter"), Column("samples"), Column("why")]
    return Table("Engines, every spike and output", columns, rows)


def _conversion(loss: dict[str, Any]) -> list[Block]:
    columns = [Column("layer"), Column("threshold"), Column("rate"), Column("mean activation"), Column("error", "%"),
               Column("correlation")]  # fmt: skip
    keys = ("name", "threshold", "rate", "activation", "error", "correlation")
    rows = [tuple(row[key] for key in keys) for row in loss["layers"]]
    return [Table("ANN against the spiking network in floats", columns, rows, note=f"{conversion_said(loss)}.")]
