"""This report beside others: across chips, or across numbers of time steps."""

from __future__ import annotations

from collections.abc import Sequence

from neurocompile.reports.compare import compare, saved_accesses
from neurocompile.reports.data import Report
from neurocompile.reports.page import Block, Column, Facts, Figure, Table, charts
from neurocompile.reports.page.blocks import Value
from neurocompile.reports.wording import times

_COLUMNS = {
    "energy_pj": Column("energy", "pJ", bar=True),
    "known_energy_pj": Column("known energy", "pJ"),
    "latency_ns": Column("latency", "ns", bar=True),
    "throughput_per_s": Column("throughput", "samples/s"),
    "cores": Column("cores"),
    "synaptic_ops": Column("synaptic ops"),
    "spikes": Column("spikes"),
    "memory_accesses": Column("memory accesses", "words"),
    "state_memory_words": Column("state memory", "words"),
    "weakest_basis": Column("weakest number used"),
}


def compare_tab(reports: Sequence[Report]) -> list[Block]:
    """Every report is a row; one of a network that a chip cannot hold shows why instead of numbers."""
    if len(reports) < 2:
        return []
    table = compare(reports)
    found = {row["name"]: row["values"] for row in table["rows"]}
    names = [_name(report) for report in reports]
    rows: list[tuple[Value, ...]] = [
        (name, *(found[key][index] for key in _COLUMNS)) for index, name in enumerate(names)
    ]
    blocks: list[Block] = [Table("Per sample", [Column("what"), *_COLUMNS.values()], rows)]
    refusals = [(name, report["error"]) for name, report in zip(names, reports, strict=True) if "error" in report]
    if refusals:
        blocks.append(Facts("Does not fit", refusals))
    lacking = [
        (name, ", ".join(report["missing"])) for name, report in zip(names, reports, strict=True) if report["missing"]
    ]
    if lacking:
        blocks.append(Facts("Incomplete: needs", lacking))
    for title, key, unit in (("Energy", "known_energy_pj", "pJ"), ("Latency", "latency_ns", "ns")):
        drawing = charts.bars(list(zip(names, found[key], strict=True)), unit)
        said = "What is known of it, per sample." if key == "known_energy_pj" else "Per sample."
        blocks.append(Figure(title, drawing, said))
    saved = saved_accesses(reports)
    if saved:
        blocks.append(
            Facts(
                "What fewer time steps save in memory accesses",
                [(f"{each['profile']}, T = {each['timesteps']} over T = {each['than']}",
                  f"{times(each['counted'])} as counted, {times(each['dense'])} if all is touched at every step")
                 for each in saved],
            )
        )  # fmt: skip
    return blocks


def _name(report: Report) -> str:
    steps = f", T = {report['timesteps']}" if "timesteps" in report else ""
    return f"{report['program']} on {report['profile']}{steps}"
