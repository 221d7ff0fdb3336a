"""A report on a terminal. Names from files are shown as they are: nothing in them is taken for markup."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from neurocompile.reports import summary
from neurocompile.reports.data import Report
from neurocompile.reports.wording import energy, number


def render(report: Report) -> Group:
    """Notes first, then costs, work, layers and comparisons."""
    notes = [Text(f"note: {note}", style="yellow") for note in report["notes"]]
    heading = [Text(summary.title(report), style="bold"), Text(summary.subtitle(report), style="dim")]
    return Group(
        *notes,
        Text(),
        *heading,
        _pairs(summary.cost_rows(report)),
        _pairs(summary.work_rows(report)),
        _layers(report),
        _pairs(summary.baseline_rows(report)),
    )


def print_report(report: Report, console: Console | None = None) -> None:
    (console or Console()).print(render(report))


def _pairs(rows: summary.Rows) -> RenderableType:
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    return Group(table, Text())


LAYER_COLUMNS = ("layer", "kind", "neurons", "cores", "spikes/neuron", "synaptic ops", "accesses", "energy")


def layer_cells(layer: Report) -> tuple[str, ...]:
    """One layer's row, as texts in the order of ``LAYER_COLUMNS``."""
    total = layer["energy_pj"]
    return (
        layer["name"],
        layer["kind"],
        number(layer["neurons"]),
        number(layer["cores"]),
        number(layer["spikes_per_neuron"]),
        number(layer["synaptic_ops"] + layer["graded_synaptic_ops"]),
        number(layer["memory_accesses"]["total"]),
        "incomplete" if total is None else energy(total),
    )


def _layers(report: Report) -> RenderableType:
    table = Table(pad_edge=False)
    for index, column in enumerate(LAYER_COLUMNS):
        table.add_column(column, justify="left" if index < 2 else "right", overflow="fold")
    for layer in report["layers"]:
        table.add_row(*map(Text, layer_cells(layer)))
    return Group(table, Text())
