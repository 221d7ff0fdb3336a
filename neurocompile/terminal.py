"""How each command's result looks in a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from neurocompile.console import stderr, stdout
from neurocompile.errors import InputError
from neurocompile.hardware import Profile, Quantity, leaves
from neurocompile.ir.graph import Graph
from neurocompile.ir.text import to_text
from neurocompile.reports.compare_terminal import print_comparison
from neurocompile.reports.conversion import said
from neurocompile.reports.drift import print_drift
from neurocompile.reports.terminal import print_report
from neurocompile.reports.wording import number, percent, spread, time_in


class PassWatcher:
    """Prints graphs and times while the passes run, on stderr: stdout is the command's own."""

    def __init__(self, names: Sequence[str], print_after: str | None, *, time_passes: bool) -> None:
        if print_after not in (None, "all", *names):
            raise InputError(f"--print-after is {print_after!r}; choose one of all, {', '.join(names)}")
        self._print_after, self._time_passes = print_after, time_passes
        self._times: list[tuple[str, float]] = []

    def __call__(self, name: str, graph: Graph, seconds: float) -> None:
        self._times.append((name, seconds))
        if self._print_after in (name, "all"):
            stderr.print(f"-- after {name}", markup=False)
            stderr.print(to_text(graph), markup=False, soft_wrap=True, end="")

    def finish(self) -> None:
        if not self._times and (self._print_after or self._time_passes):
            stderr.print("note: the network came in integers, so no pass ran", markup=False)
        if self._time_passes:
            for name, seconds in self._times:
                stderr.print(f"{seconds * 1e3:10.2f} ms  {name}", markup=False)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, words: int = 1) -> None:
    """A table whose first ``words`` columns are text and whose others are numbers."""
    table = Table(title=escape(title), title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < words else "right", overflow="fold")
    for row in rows:
        table.add_row(*(escape(text(cell)) for cell in row))
    stdout.print(table)


def text(value: object) -> str:
    """Numbers as people read them: thousands apart, four figures, a dash for what is not known."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def show_build(result: dict[str, Any]) -> None:
    quantizer = "none: trained in integers"
    if result["quantizer"]:
        quantizer = f"{result['quantizer']}, a scale per {result['scales']}"
    rows = [
        ("time steps", result["timesteps"]),
        ("stateless", result["stateless"]),
        ("populations", result["populations"]),
        ("neurons", result["neurons"]),
        ("synapses", result["synapses"]),
        ("cores", result["cores"]),
        ("quantizer", quantizer),
        ("steps from input to output", result["phase_steps"]),
        ("graph hash", result["graph_hash"][:16]),
        ("seconds", result["seconds"]),
    ]
    _table(f"{result['name']} for {result['target']}", ("", result["profile"]), rows)
    stdout.print(f"program: {result['program']}", markup=False, soft_wrap=True)
    for note in result["notes"]:
        stdout.print(f"note: {note}", markup=False, soft_wrap=True)
    if result["conversion"]:
        stdout.print(f"converted from an ANN: {said(result['conversion'])}", markup=False, soft_wrap=True)
    narrower = [f"{layer} ({bits})" for layer, bits in result["weight_bits"].items() if bits < result["bits"]]
    if narrower and result["quantizer"]:
        stdout.print(
            f"note: fewer weight bits, because sums and states would not fit otherwise: {', '.join(narrower)}",
            markup=False,
            soft_wrap=True,
        )


def show_run(result: dict[str, Any]) -> None:
    rows = [
        ("samples", result["samples"]),
        ("accuracy", percent(result["accuracy"])),
        ("spikes", result["spikes"]),
        ("spike hash", result["spike_hash"][:16]),
        ("output hash", result["output_hash"][:16]),
        ("seconds", result["seconds"]),
    ]
    _table(result["program"], ("", result["backend"]), [*rows, *_chip_rows(result.get("cycle"))])
    if "kernels" in result:
        columns = tuple(result["kernels"][0])
        kernels = [tuple(row.values()) for row in result["kernels"]]
        _table(f"kernels of the {result['backend']} engine", columns, kernels, words=len(columns))
    if result["saturated_inputs"]:
        stderr.print(
            f"note: {result['saturated_inputs']:,} input values were beyond the calibrated range and were clipped; "
            "build again with --calibration data that covers them",
            markup=False,
        )


def _chip_rows(cycle: dict[str, Any] | None) -> list[tuple[str, Any]]:
    """What the cycle engine adds."""
    if cycle is None:
        return []
    show = time_in(cycle["unit"])
    per_second = cycle["throughput_per_s"]
    rows = [
        ("on the chip, all of it", show(cycle["total"])),
        ("latency of a sample", spread(cycle["latency"], show)),
        ("throughput", "unknown" if per_second is None else f"{number(per_second)} samples/s"),
    ]
    if cycle["timing"] == "exact":
        rows.append(("without the network", show(cycle["fast_total"])))
    if cycle["overruns"]:
        rows.append(("steps beyond the tick", f"{cycle['overruns']:,} of {cycle['steps']:,}"))
    return rows


def show_verify(result: dict[str, Any]) -> None:
    print_drift(result, stdout)


def show_report(result: dict[str, Any]) -> None:
    print_report(result, stdout)


def show_compare(result: dict[str, Any]) -> None:
    print_comparison(result, stdout)


def show_graph(result: dict[str, Any]) -> None:
    stdout.print(result["text"], markup=False, soft_wrap=True, end="")
    stdout.print(f"; hash {result['graph_hash']}", markup=False, soft_wrap=True)


def show_export(result: dict[str, Any]) -> None:
    stdout.print(f"{result['format']}: {result['file']} ({result['bytes']:,} bytes)", markup=False, soft_wrap=True)
    for note in result["notes"]:
        stdout.print(f"note: {note}", markup=False, soft_wrap=True)


def show_profiles(result: dict[str, Any]) -> None:
    rows = [
        (profile["name"], profile["title"], ", ".join(profile["neuron"]["resets"]), _cores(profile["topology"]))
        for profile in result["profiles"]
    ]
    _table("hardware profiles", ("name", "chip", "resets", "cores"), rows, words=3)


def _cores(topology: dict[str, Any] | None) -> int:
    if topology is None:
        return 1
    return math.prod(int(topology[key]["value"]) for key in ("tile_rows", "tile_columns", "cores_per_tile"))


def show_profile(result: dict[str, Any]) -> None:
    for plain in result["profiles"]:
        profile = Profile.from_mapping(plain)
        stdout.print(f"{profile.name}: {profile.title}", markup=False, soft_wrap=True)
        _show_notes(profile.notes)
        rows = [
            (key, f"{leaf.value:,} {leaf.unit}", leaf.basis, leaf.source)
            if isinstance(leaf, Quantity)
            else (key, _leaf(leaf), "", "")
            for key, leaf in leaves(profile)
        ]
        _table("facts", ("key", "value", "basis", "source"), rows, words=4)


def show_profile_check(result: dict[str, Any]) -> None:
    for fault in result["faults"]:
        stdout.print(fault, markup=False, soft_wrap=True)
    if not result["ok"]:
        return
    stdout.print(f"{result['file']}: well formed", markup=False, soft_wrap=True)
    _show_notes(result["notes"])
    counted = ", ".join(f"{count} {basis}" for basis, count in result["numbers"].items())
    stdout.print(f"{sum(result['numbers'].values())} numbers: {counted}", markup=False, soft_wrap=True)
    for need, keys in result["wanted"].items():
        says = f"incomplete for networks that need {', '.join(keys)}" if keys else "complete"
        stdout.print(f"{need.replace('_', ' ')}: {says}", markup=False, soft_wrap=True)


def show_profile_diff(result: dict[str, Any]) -> None:
    rows = [(each["key"], _leaf(each["a"]), _leaf(each["b"])) for each in result["differences"]]
    if not rows:
        stdout.print(f"{result['a']} and {result['b']} say the same", markup=False, soft_wrap=True)
        return
    _table("differences", ("key", result["a"], result["b"]), rows, words=3)


def _show_notes(notes: Sequence[str]) -> None:
    for note in notes:
        stdout.print(f"note: {note}", markup=False, soft_wrap=True)


def _leaf(leaf: Any) -> str:
    """A fact of a profile; a number with its unit and basis."""
    if isinstance(leaf, dict):
        return f"{leaf['value']:,} {leaf['unit']} ({leaf['basis']})"
    if isinstance(leaf, list | tuple):
        return ", ".join(map(text, leaf)) or "none"
    return "null" if leaf is None else str(leaf) if isinstance(leaf, str) else text(leaf)


def show_targets(result: dict[str, Any]) -> None:
    rows = [(target["name"], target["title"], target["profile"], target["backend"]) for target in result["targets"]]
    _table("targets", ("name", "what", "profile", "backend"), rows, words=4)


def show_doctor(result: dict[str, Any]) -> None:
    for check in result["checks"]:
        line = f"{'ok  ' if check['ok'] else 'FAIL'} {check['name']}: {check['found']}"
        stdout.print(line if check["ok"] else f"{line}; {check['remedy']}", markup=False, soft_wrap=True)
