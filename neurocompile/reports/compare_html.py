"""A comparison as one HTML file: energy against latency, bars by part, every number, refusals and notes in full."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neurocompile.reports.compare import (
    HIDDEN,
    PARTS,
    Comparison,
    gaps,
    notes,
    pareto_lines,
    refusals,
    row_of,
    saved_lines,
    standing,
)
from neurocompile.reports.page import Block, Column, Figure, Notes, Page, Tab, Table, Text, charts, render
from neurocompile.reports.page.blocks import Value
from neurocompile.reports.pareto import pareto
from neurocompile.reports.wording import percent

#: the markers of the scatter, in the order of their series
_STANDINGS = ("yes", "dominated", "takes no part")
_LEGEND = ("on the Pareto front", "dominated", "takes no part: something is unknown")
_REST = "known share of incomplete parts"


def comparison_html(comparison: Comparison) -> str:
    """The page of a comparison; every text from outside is escaped."""
    columns = comparison["columns"]
    tabs = [
        Tab("front", "Energy and latency", _front(comparison)),
        Tab("parts", "Parts", [_parts(comparison), _latencies(comparison)]),
        Tab("numbers", "Numbers", [_numbers(comparison)]),
    ]
    if comparison["across_timesteps"]:
        tabs.append(Tab("steps", "Time steps", _across(comparison)))
    tabs.append(Tab("chips", "Chips", _chips(comparison)))
    programs, profiles = ({column[name]: 0 for column in columns} for name in ("program", "profile"))
    title = f"{', '.join(programs)} on {', '.join(profiles)}"
    return render(Page(f"Comparison: {title}", "per sample", tabs))


def _front(comparison: Comparison) -> list[Block]:
    points, front = _points(comparison)
    blocks: list[Block] = []
    if items := notes(comparison):
        blocks.append(Notes(items))
    if refused := refusals(comparison):
        blocks.append(Notes(refused, title="No numbers"))
    if points:
        drawing = charts.scatter(points, x=("latency", "ns"), y=("energy", "pJ"), front=front, series=_LEGEND)
        blocks.append(Figure("Energy against latency", drawing, "Lower and further left is better; the percentage is "
                             "the accuracy. The dashed line is the front of energy and latency alone; ≥ marks an "
                             "energy that is only known to be at least so much."))  # fmt: skip
    blocks.append(Notes([*pareto_lines(comparison), *gaps(comparison)], title="Pareto front"))
    return blocks


def _points(comparison: Comparison) -> tuple[list[tuple[str, float, float, int]], list[tuple[float, float]]]:
    """(label, latency, energy, series) of what can be drawn, and the corners of the front of those two alone."""
    energies, bounds = _values(comparison, "energy_pj"), row_of(comparison, "energy_pj")["at_least"]
    latencies, accuracies = _values(comparison, "latency_ns"), _values(comparison, "accuracy")
    stands = standing(comparison)
    points = []
    for number, (name, latency) in enumerate(zip(_short(comparison), latencies, strict=True)):
        energy = bounds[number] if energies[number] is None else energies[number]
        if energy is None or latency is None:
            continue
        right = f" ({percent(accuracies[number])})" if accuracies[number] is not None else ""
        bound = "≥ " if energies[number] is None else ""
        points.append((f"{bound}{name}{right}", latency, energy, _STANDINGS.index(stands[number])))
    pairs = [(a, b) for a, b in zip(latencies, energies, strict=True) if a is not None and b is not None]
    flat = pareto([{"latency_ns": a, "energy_pj": b, "accuracy": None} for a, b in pairs])["points"]
    return points, [pair for pair, point in zip(pairs, flat, strict=True) if point["front"]]


def _short(comparison: Comparison) -> list[str]:
    """What tells the columns apart: their chips, where all are one program's; else their whole headings."""
    columns = comparison["columns"]
    profiles = [column["profile"] for column in columns]
    one = len({(column["program"], column["folder"]) for column in columns}) == 1
    return profiles if one and len(set(profiles)) == len(profiles) else [column["heading"] for column in columns]


def _parts(comparison: Comparison) -> Block:
    """Energy by part, stacked. Where a part is not known, what is known of it has a series of its own."""
    rows = {row["name"]: row["values"] for row in comparison["rows"]}
    parts = [part for part in PARTS if f"{part}_pj" in rows]
    stacks: list[tuple[str, list[float | None]]] = []
    for number, heading in enumerate(_names(comparison)):
        values = [rows[f"{part}_pj"][number] for part in parts]
        if rows["energy_pj"][number] is None:
            known = rows["known_energy_pj"][number]
            rest = None if known is None else max(0.0, known - sum(value or 0 for value in values))
            stacks.append((heading, [*values, rest or None]))
        else:  # a part that the profile does not have is no unknown one
            stacks.append((heading, [*(value or 0 for value in values), 0]))
    incomplete = any(values[-1] for _, values in stacks)
    stacks = [(heading, _marked(values, incomplete)) for heading, values in stacks]
    series = [*parts, *([_REST] if incomplete else [])]
    table = Table(
        "Energy by part",
        [Column("per sample"), *(Column(name, "pJ") for name in series)],
        [(heading, *values) for heading, values in stacks],
    )
    return Figure("Energy by part", charts.stacked(stacks, series, "pJ"), "Of each column; ≥: not all is known.", table)


def _marked(values: Sequence[float | None], incomplete: bool) -> list[float | None]:
    return list(values if incomplete else values[:-1])


def _latencies(comparison: Comparison) -> Block:
    rows = list(zip(_names(comparison), _values(comparison, "latency_ns"), strict=True))
    table = Table("Latency", [Column("per sample"), Column("latency", "ns")], rows)
    return Figure("Latency", charts.bars(rows, "ns"), "From the first step of a sample to its result.", table)


def _numbers(comparison: Comparison) -> Block:
    """One line per column, one field per quantity; bounds and refusals are words, which sort behind the numbers."""
    rows = [row for row in comparison["rows"] if row["name"] not in HIDDEN]
    fields = [Column("per sample"), *(Column(row["label"].strip(), _UNITS.get(row["unit"], row["unit"]))
                                      for row in rows), Column("on the Pareto front")]  # fmt: skip
    lines = [
        (heading, *(_cell(row, number) for row in rows), stands)
        for number, (heading, stands) in enumerate(zip(_headings(comparison), standing(comparison), strict=True))
    ]
    return Table("All numbers", fields, lines)


_UNITS = {"text": ""}


def _cell(row: dict[str, Any], number: int) -> Value:
    value: Value = row["values"][number]
    worded = value is None or (row["name"] == "memory_pj" and row["shown"][number] == "in other parts")
    shown: str = row["shown"][number]
    return shown if worded else value


def _across(comparison: Comparison) -> list[Block]:
    """Accesses, energy and latency over T, each with its own axis."""
    blocks: list[Block] = [Text(line) for line in saved_lines(comparison)]
    for family in comparison["across_timesteps"]:
        steps = family["timesteps"]
        for row in family["rows"]:
            title = f"{row['label']} against T, on {family['profile']}"
            unit = row["unit"]
            table = Table(title, [Column("T"), Column(row["label"], unit)],
                          [(each, _cell(row, place)) for place, each in enumerate(steps)])  # fmt: skip
            if all(value is None for value in row["values"]):
                blocks.append(table)
                continue
            drawing = charts.lines(steps, [(row["label"], row["values"])], unit=unit, x_title="T", title=row["label"])
            blocks.append(Figure(title, drawing, "Points that are not drawn are unknown.", table))
    return blocks


def _chips(comparison: Comparison) -> list[Block]:
    """The notes of each chip, once."""
    found: dict[str, list[str]] = {}
    for column in comparison["columns"]:
        items = found.setdefault(column["profile"], [])
        items += [note for note in column["notes"] if note not in items]
    return [Notes(items or ["no notes"], title=profile) for profile, items in found.items()]


def _headings(comparison: Comparison) -> list[str]:
    return [column["heading"] for column in comparison["columns"]]


def _names(comparison: Comparison) -> list[str]:
    """Headings that say why there is no bar."""
    return [
        f"{column['heading']}: {column['refusal']}" if column["refusal"] else column["heading"]
        for column in comparison["columns"]
    ]


def _values(comparison: Comparison, name: str) -> list[float | None]:
    values: list[float | None] = row_of(comparison, name)["values"]
    return values
