"""Reports side by side: one network on several chips, or one network at several numbers of time steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from neurocompile.errors import NeurocompileError
from neurocompile.reports.data import Report
from neurocompile.reports.wording import NOTHING, duration, energy, incomplete, number

FORMAT = "neurocompile.comparison/1"


def refused(program: str, profile: str, error: NeurocompileError) -> Report:
    """What stands for the report of a network that a chip cannot hold."""
    return {"program": program, "profile": profile, "error": str(error)}


def compare(reports: Sequence[Report]) -> dict[str, Any]:
    """Columns (one per report), rows of their numbers, and what fewer time steps save in memory accesses.

    A refused column has None throughout and its sentence under ``error``; None elsewhere says that a number of the
    profile is missing, which the column's ``missing`` names.
    """
    return {
        "format": FORMAT,
        "columns": [
            {
                "program": report["program"],
                "profile": report["profile"],
                "timesteps": report.get("timesteps"),
                "notes": report.get("notes", []),
                "missing": report.get("missing", []),
                "error": report.get("error"),
            }
            for report in reports
        ],
        "rows": [
            {"name": name, "values": [None if "error" in report else value(report) for report in reports]}
            for name, value in _ROWS.items()
        ],
        "saved_accesses": saved_accesses(reports),
    }


_ROWS: dict[str, Callable[[Report], Any]] = {
    "energy_pj": lambda report: report["energy_pj"]["total"],
    "known_energy_pj": lambda report: report["known_energy_pj"],
    "latency_ns": lambda report: report["latency_ns"],
    "throughput_per_s": lambda report: report["throughput_per_s"],
    "cores": lambda report: report["cores"],
    "synaptic_ops": lambda report: report["counters"]["synaptic_ops"] + report["counters"]["graded_synaptic_ops"],
    "spikes": lambda report: report["counters"]["spikes"],
    "memory_accesses": lambda report: report["memory_accesses"]["total"],
    "state_memory_words": lambda report: report["state_memory_words"],
    "weakest_basis": lambda report: report["weakest_basis"],
}


def saved_accesses(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """For programs of one shape on one chip at different T: accesses of each over those of the one with the least T.

    ``counted`` is what the chip does, where only spikes fetch weights; ``dense`` is the papers' rule, by which every
    weight and membrane is touched at every step.
    """
    families: dict[object, list[Report]] = {}
    for report in reports:
        if "error" not in report:
            shape = tuple((layer["name"], layer["neurons"]) for layer in report["layers"])
            families.setdefault((report["profile"], shape), []).append(report)
    result = []
    for family in families.values():
        least = min(family, key=lambda report: report["timesteps"])
        result += [
            {
                "profile": report["profile"],
                "timesteps": report["timesteps"],
                "than": least["timesteps"],
                "counted": _ratio(report["memory_accesses"]["total"], least["memory_accesses"]["total"]),
                "dense": _ratio(report["papers"]["memory_accesses"], least["papers"]["memory_accesses"]),
            }
            for report in family
            if report["timesteps"] > least["timesteps"]
        ]
    return result


def _ratio(more: float, less: float) -> float | None:
    return more / less if less else None


def render(reports: Sequence[Report]) -> Group:
    """The comparison as a table; the notes of the chips come first, and refusals stand below in full."""
    table = Table(pad_edge=False)
    table.add_column("per sample")
    for report in reports:
        table.add_column(Text(_heading(report)), justify="right", overflow="fold")
    for name, value in _SHOWN.items():
        table.add_row(Text(name), *(Text("does not fit" if "error" in each else value(each)) for each in reports))
    lines = [Text(f"{_heading(report)}: {report['error']}", style="red") for report in reports if "error" in report]
    lines += [
        Text(f"{_heading(report)}: {incomplete(report['missing'])}", style="yellow")
        for report in reports
        if report.get("missing")
    ]
    lines += [
        Text(f"{each['profile']}: T = {each['timesteps']} needs {number(each['counted'])} times the memory accesses of "
             f"T = {each['than']} as counted, {number(each['dense'])} times if everything is touched at every step")
        for each in saved_accesses(reports)
    ]  # fmt: skip
    return Group(*_notes(reports), table, *lines)


def print_comparison(reports: Sequence[Report], console: Console | None = None) -> None:
    (console or Console()).print(render(reports))


def _heading(report: Report) -> str:
    steps = f", T = {report['timesteps']}" if "timesteps" in report else ""
    return f"{report['program']} on {report['profile']}{steps}"


def _notes(reports: Sequence[Report]) -> list[Text]:
    """Each chip's own notes once; those that all reports share once, without a name."""
    seen: dict[str, list[str]] = {}
    for report in reports:
        for note in report.get("notes", []):
            profiles = seen.setdefault(note, [])
            if report["profile"] not in profiles:
                profiles.append(report["profile"])
    everyone = len({report["profile"] for report in reports if "error" not in report})
    ordered = sorted(seen.items(), key=lambda item: len(item[1]) == everyone > 1)  # a chip's own first
    return [
        Text(f"note: {note}" if len(profiles) == everyone else f"note: {', '.join(profiles)}: {note}", style="yellow")
        for note, profiles in ordered
    ]


def _energy(report: Report) -> str:
    """The total, or what is known of it: the lines below the table say what is missing."""
    total = report["energy_pj"]["total"]
    return f"at least {energy(report['known_energy_pj'])}" if total is None else energy(total)


def _time(text: str, value: float | None) -> str:
    return "unknown" if value is None else text


_SHOWN: dict[str, Callable[[Report], str]] = {
    "energy": _energy,
    "latency": lambda report: _time(duration(report["latency_ns"]), report["latency_ns"]),
    "throughput": lambda report: _time(f"{number(report['throughput_per_s'])}/s", report["throughput_per_s"]),
    "cores": lambda report: number(report["cores"]),
    "synaptic operations": lambda report: number(_ROWS["synaptic_ops"](report)),
    "spikes": lambda report: number(report["counters"]["spikes"]),
    "memory accesses (words)": lambda report: number(report["memory_accesses"]["total"]),
    "state memory (words)": lambda report: number(report["state_memory_words"]),
    "weakest number used": lambda report: report["weakest_basis"] or NOTHING,
}
