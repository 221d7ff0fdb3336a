"""The drift report: how far a network in integers is from the float network that was trained, and where that begins.

The report is one plain dictionary (``drift_data``), which ``--json`` prints; everything here makes or shows it. All
shares are from 0 to 1 and stand with what they are shares of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurocompile.ir.nodes import Array
from neurocompile.reports.conversion import said
from neurocompile.reports.wording import NOTHING, number, percent

FORMAT = "neurocompile.drift/1"
Report = dict[str, Any]


@dataclass
class LayerCounts:
    """Spikes of one layer, float and integer, counted over batches.

    ``isolated``: the spikes of the integer layer when it is given what the float network's layers send. Where they
    agree and the others do not, the layer only hands on what it got.
    """

    name: str
    neuron_steps: int = 0
    equal: int = 0
    equal_isolated: int = 0
    neuron_samples: int = 0
    equal_counts: int = 0
    active_float: int = 0
    active_integer: int = 0

    def add(self, trained: Array, integer: Array, isolated: Array) -> None:
        """Count a batch: events (N, T, *shape) each."""
        self.neuron_steps += trained.size
        self.equal += int((trained == integer).sum())
        self.equal_isolated += int((trained == isolated).sum())
        self.neuron_samples += trained[:, 0].size
        counts = (events.sum(axis=1, dtype=np.int64) for events in (trained, integer))
        self.equal_counts += int(np.equal(*counts).sum())
        self.active_float += int(np.count_nonzero(trained))
        self.active_integer += int(np.count_nonzero(integer))

    def row(self) -> Report:
        """``agreement``, ``isolated_agreement`` and the rates: shares of all neuron-steps. ``count_agreement``: the
        share of neurons, sample by sample, whose events have one sum over the presentation."""
        return {
            "name": self.name,
            "neuron_steps": self.neuron_steps,
            "agreement": self.equal / self.neuron_steps,
            "isolated_agreement": self.equal_isolated / self.neuron_steps,
            "count_agreement": self.equal_counts / self.neuron_samples,
            "rate_float": self.active_float / self.neuron_steps,
            "rate_integer": self.active_integer / self.neuron_steps,
        }


@dataclass
class OutputErrors:
    """Differences of one output, in the float network's unit, summed over batches."""

    name: str
    values: int = 0
    error: float = 0.0
    isolated_error: float = 0.0
    magnitude: float = 0.0

    def add(self, trained: Array, integer: Array, isolated: Array) -> None:
        """Count a batch: results (N, *shape) each."""
        self.values += trained.size
        self.error += float(np.abs(integer - trained).sum())
        self.isolated_error += float(np.abs(isolated - trained).sum())
        self.magnitude += float(np.abs(trained).sum())

    def row(self) -> Report:
        return {
            "name": self.name,
            "mean_error": self.error / self.values,
            "mean_isolated_error": self.isolated_error / self.values,
            "mean_magnitude": self.magnitude / self.values,
        }


@dataclass(frozen=True)
class Score:
    """How good the predicted classes (N,) are: ``accuracy`` where there are labels, and ``agreement``, the share of
    samples that get the float network's class."""

    accuracy: float | None
    agreement: float

    @classmethod
    def of(cls, predicted: Array, trained: Array, labels: Array | None) -> Score:
        accuracy = None if labels is None else float((predicted == labels).mean())
        return cls(accuracy, float((predicted == trained).mean()))

    @property
    def value(self) -> float:
        return self.agreement if self.accuracy is None else self.accuracy

    def plain(self) -> Report:
        return {"accuracy": self.accuracy, "agreement": self.agreement}


class Predictions:
    """What one way of running the network gives, over batches: the class of each sample, and its output's error."""

    def __init__(self) -> None:
        self._classes: list[Array] = []
        self._error, self._magnitude = 0.0, 0.0

    def add(self, outputs: Array, trained: Array) -> None:
        """Count a batch: results (N, *shape), these and the float network's, in its unit."""
        self._classes.append(class_of(outputs))
        self._error += float(np.abs(outputs - trained).sum())
        self._magnitude += float(np.abs(trained).sum())

    @property
    def classes(self) -> Array:
        """The class (N,) of each sample."""
        return np.concatenate(self._classes)

    @property
    def output_error(self) -> float | None:
        """The mean difference from the float network's output, as a share of its mean size."""
        return self._error / self._magnitude if self._magnitude else None


def class_of(outputs: Array) -> Array:
    """The class (N,) of the largest output."""
    largest: Array = outputs.reshape(len(outputs), -1).argmax(axis=1)
    return largest


#: what stands for no layer at all in the rows of the depth
NO_LAYER = "(none)"


def depth_data(ways: Sequence[tuple[str, Predictions]], trained: Array, labels: Array | None) -> Report:
    """Where along the depth it is lost.

    ``ways``: layers in order of flow, each with what comes of it and all before it in integers and the others in float;
    ``NO_LAYER`` comes first. ``trained``: the classes (N,) of the network as it was trained. ``change`` is what the
    layer does to the accuracy (to the agreement, without labels): the samples ``won`` less those ``lost``.
    """
    wanted = trained if labels is None else labels
    before, rows = trained == wanted, []
    for layer, way in ways:
        right = way.classes == wanted
        lost, won = int((before & ~right).sum()), int((right & ~before).sum())
        rows.append(
            {
                "layer": layer,
                **Score.of(way.classes, trained, labels).plain(),
                "change": (won - lost) / len(right),
                "lost": lost,
                "won": won,
                "output_error": way.output_error,
            }
        )
        before = right
    worst = min(rows, key=lambda row: row["change"])
    return {
        "samples": len(trained),
        "measure": "agreement" if labels is None else "accuracy",
        "rows": rows,
        "worst": worst["layer"] if worst["change"] < 0 else None,
    }


def conclusion(report: Report) -> str:
    """What it comes to, in one sentence."""
    wrong = [name for name, engine in report["engines"].items() if engine["state"] == "differs"]
    if wrong:
        return f"{' and '.join(wrong)}: not bit for bit like the interpreter; trust no number here until that is mended"
    bits, samples = report["bits"], _samples(report["samples"])
    if report["output_agreement"] is None:
        right = report["accuracy_integer"]
        found = f" with {percent(right)} right" if right is not None else ""
        return f"trained in integers ({bits} bits), so there is no float network to drift from: {samples}{found}"
    if report["accuracy_float"] is not None:
        total = report["accuracy_integer"] - report["accuracy_float"]
        said = f"{bits} bits: {percent(report['accuracy_integer'])} against {percent(report['accuracy_float'])} float"
        said += f" over {samples}"
    else:
        total = report["output_agreement"] - 1
        said = f"{bits} bits: {percent(report['output_agreement'])} of {samples} get the float network's class"
    depth = report["depth"]
    if depth is None or total >= 0:
        return said
    worst = next(row for row in depth["rows"] if row["layer"] == depth["worst"])
    where = "before any weight is rounded" if worst["layer"] == NO_LAYER else f"in {worst['layer']}"
    counts = f"{_samples(worst['lost'])} lost, {worst['won']:,} won"
    if depth["samples"] < report["samples"]:
        counts += f", of the first {depth['samples']:,}"
    return f"{said}; most is lost {where} ({100 * worst['change']:+.2f} points: {counts})"


# -------------------------------------------------------------------------------------------------------- in a terminal


_EXPLAINED = (
    "Same spikes: share of neuron-steps that are equal, float and integer; on float spikes: the same, where the layer "
    "is given what the float network sends, so that the rest is inherited. Rates: spikes per neuron and step."
)


def print_drift(report: Report, console: Console | None = None) -> None:
    (console or Console()).print(render(report))


def render(report: Report) -> Group:
    """Layers, depth, widths, engines, and the conclusion."""
    parts: list[RenderableType] = _conversion(report)
    if report["layers"]:
        parts += [_layers(report), Text(_EXPLAINED, style="dim")]
    parts += [
        *map(Text, output_lines(report)),
        *map(Text, saturation_lines(report["saturation"])),
    ]
    if report["depth"]:
        parts += [Text(), _depth(report)]
    if report["widths"]:
        parts += [Text(), *_widths(report)]
    parts += [Text(), *map(Text, _engine_lines(report)), Text(), Text(report["conclusion"], style="bold")]
    return Group(*parts)


def _table(columns: Sequence[str], *, words: int = 1) -> Table:
    """``words``: how many columns, from the left, are text."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < words else "right", overflow="fold")
    return table


def _titled(title: str, table: Table) -> Group:
    return Group(Text(title, style="bold"), table)


def _conversion(report: Report) -> list[RenderableType]:
    """What stands before integers: the ANN against the spiking network in floats; nothing where none was converted."""
    loss = report.get("conversion")
    if loss is None:
        return []
    table = _table(("layer", "threshold", "rate", "ANN's mean\nactivation", "error", "correlation"))
    for row in loss["layers"]:
        correlation = NOTHING if row["correlation"] is None else f"{row['correlation']:.4f}"
        cells = (number(row["threshold"]), f"{row['rate']:.4f}", number(row["activation"]), percent(row["error"]))
        table.add_row(*map(Text, (row["name"], *cells, correlation)))
    lines = [f"{said(loss)}"]
    if loss["accuracy_ann"] is not None:
        integer = percent(report["accuracy_integer"])
        lines.append(
            f"accuracy: ANN {percent(loss['accuracy_ann'])}, spiking in floats {percent(loss['accuracy'])}, "
            f"in integers {integer}"
        )
    return [_titled("ANN against the spiking network in floats: threshold * rate for activation", table),
            *map(Text, lines), Text()]  # fmt: skip


def _layers(report: Report) -> Group:
    columns: dict[str, Callable[[Report], str]] = {
        "layer": lambda row: row["name"],
        "same\nspikes": lambda row: percent(row["agreement"]),
        "on float\nspikes": lambda row: percent(row["isolated_agreement"]),
        "same\ncounts": lambda row: percent(row["count_agreement"]),
        "rate\nfloat": lambda row: f"{row['rate_float']:.4f}",
        "rate\ninteger": lambda row: f"{row['rate_integer']:.4f}",
        "weight\nerror": lambda row: percent(row["weight_error"]),
        "threshold\nerror": lambda row: percent(row["threshold_error_mean"]),
    }
    if report["timesteps"] == 1:
        del columns["same\ncounts"]  # of one spike at most
    table = _table(tuple(columns))
    for row in report["layers"]:
        table.add_row(*(Text(cell(row)) for cell in columns.values()))
    return _titled(f"float against integer, {report['data']}", table)


def output_lines(report: Report) -> list[str]:
    return [
        f"output {row['name']}: mean size {number(row['mean_magnitude'])}, mean error {number(row['mean_error'])}, "
        f"on float spikes {number(row['mean_isolated_error'])}"
        for row in report["outputs"]
    ]


def saturation_lines(saturation: Report) -> list[str]:
    inputs, weights, states = saturation["inputs"], saturation["weights"], saturation["states"]
    return [
        f"clipped: {inputs['clipped']:,} of {inputs['values']:,} input values; {percent(weights['clipped_share'])} of "
        f"{weights['weights']:,} weights; sums and states: {states['reason']}"
    ]


def _depth(report: Report) -> Group:
    depth = report["depth"]
    measure = depth["measure"]
    said = "accuracy" if measure == "accuracy" else "same class\nas float"
    table = _table(("integer\nup to", said, "change,\npoints", "samples\nlost", "samples\nwon", "output\nerror", ""))
    for row in depth["rows"]:
        table.add_row(
            Text(row["layer"]),
            percent(row[measure]),
            f"{100 * row['change']:+.2f}",
            f"{row['lost']:,}",
            f"{row['won']:,}",
            percent(row["output_error"]),
            "<- worst" if row["layer"] == depth["worst"] else "",
        )
    return _titled(f"in integers up to a layer, float behind it, {_first(depth['samples'], report)}", table)


def _widths(report: Report) -> list[RenderableType]:
    """One row per way of quantizing, one column per width. What is refused stands below in full."""
    widths = report["widths"]
    measure = widths["measure"]
    said = "accuracy" if measure == "accuracy" else "share of samples with the float network's class"
    reference = f", float {percent(widths['float'])}" if measure == "accuracy" else ""
    columns = list(dict.fromkeys(variant["bits"] for variant in widths["variants"]))
    table = _table(("scales per", "quantizer", *(f"{bits} bits" for bits in columns)), words=2)
    refusals: list[str] = []

    def cell(variant: Report) -> str:
        if variant["error"] is not None:
            if variant["error"] not in refusals:
                refusals.append(variant["error"])
            return f"no ({refusals.index(variant['error']) + 1})"
        return percent(variant[measure]) + ("*" if variant["own"] else "")

    for scales, quantizer in dict.fromkeys((variant["scales"], variant["quantizer"]) for variant in widths["variants"]):
        cells = {
            variant["bits"]: cell(variant)
            for variant in widths["variants"]
            if (variant["scales"], variant["quantizer"]) == (scales, quantizer)
        }
        table.add_row(scales, quantizer, *(cells[bits] for bits in columns))
    notes = ["* as the program was built"] if any(variant["own"] for variant in widths["variants"]) else []
    notes += [f"({index}) {sentence}" for index, sentence in enumerate(refusals, 1)]
    title = f"{said} by weight bits, {_first(widths['samples'], report)}{reference}"
    return [_titled(title, table), *(Text(note, style="dim") for note in notes)]


def _first(samples: int, report: Report) -> str:
    """Which samples: all of them, or the first few."""
    if samples == report["samples"]:
        return f"all {_samples(samples)}"
    return f"the first {samples:,} of {_samples(report['samples'])}"


def _samples(count: int) -> str:
    return f"{count:,} sample{'' if count == 1 else 's'}"


def _engine_lines(report: Report) -> list[str]:
    lines = ["engines against the interpreter, every spike and output:"]
    for name, engine in report["engines"].items():
        if engine["state"] == "unavailable":
            lines.append(f"  {name}: unavailable, {engine['reason']}")
            continue
        found = f": {engine['difference']}" if engine["difference"] else ""
        lines.append(f"  {name}: {engine['state']}, {_first(engine['samples'], report)}{found}")
    return lines
