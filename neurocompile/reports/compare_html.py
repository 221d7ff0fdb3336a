"""A comparison as one HTML file: energy against latency, bars by part, every number, refusals and notes in full."""

from __future__ import annotations

import math
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
from neurocompile.reports.page import Block, Column, Figure, Notes, Page, Tab, Table, charts, render
from neurocompile.reports.page.blocks import Value
from neurocompile.reports.pareto import pareto
from neurocompile.reports.wording import percent

#: the markers of the scatter, in the order of their series
_STANDINGS = ("yes", "dominated", "takes no part")
_LEGEND = ("on the Pareto front", "dominated", "takes no part: something is unknown")
_AXES = ("latency_ns", "energy_pj", "accuracy")
#: more points than these are labelled by number
_NAMED_POINTS = 6
#: points closer than this, in decades, share a label
_TOGETHER = 0.03
_REST = "known share of incomplete parts"


_Point = tuple[str, float, float, int]


def comparison_html(comparison: Comparison) -> str:
    """The page of a comparison; every text from outside is escaped."""
    columns = comparison["columns"]
    tabs = [
        Tab("front", "Energy and latency", _front(comparison)),
        Tab("parts", "Parts", [_parts(comparison), _latencies(comparison)]),
        Tab("numbers", "Numbers", _numbers(comparison)),
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
        table = Table(
            "Points",
            [Column("number"), Column("per sample"), Column("latency", "ns"), Column("energy", "pJ"),
             Column("accuracy", "%"), Column("on the Pareto front")],
            [(str(number), column["heading"], *(_cell(row_of(comparison, name), number) for name in _AXES), stands)
             for number, (column, stands) in enumerate(zip(comparison["columns"], standing(comparison), strict=True))],
        )  # fmt: skip
        said = ("Lower and further left is better; the percentage is the accuracy. The dashed line is the front of "
                "energy and latency alone; ≥ marks an energy that is only known to be at least so much. Points that "
                "lie together share a label")  # fmt: skip
        if len(comparison["columns"]) > _NAMED_POINTS:  # nobody should have to open a table to read the figure
            blocks += [
                Figure("Energy against latency", drawing, f"{said}; numbers are those of the table below."),
                table,
            ]
        else:
            blocks.append(Figure("Energy against latency", drawing, f"{said}.", table))
    blocks.append(Notes([*pareto_lines(comparison), *gaps(comparison)], title="Pareto front"))
    return blocks


def _points(comparison: Comparison) -> tuple[list[_Point], list[tuple[float, float]]]:
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
    return _apart(points), [pair for pair, point in zip(pairs, flat, strict=True) if point["front"]]


def _apart(points: Sequence[_Point]) -> list[_Point]:
    """The points, of which those that lie together have one label, at the first of them."""
    groups: list[list[_Point]] = []
    for point in points:
        for group in groups:
            (_, x, y, _), (_, its_x, its_y, _) = point, group[0]
            if max(_decades(x, its_x), _decades(y, its_y)) < _TOGETHER:
                group.append(point)
                break
        else:
            groups.append([point])
    return [
        ("; ".join(name for name, *_ in group) if first else "", latency, energy, series)
        for group in groups
        for first, (_, latency, energy, series) in zip([True] + [False] * len(group), group, strict=False)
    ]


def _decades(one: float, other: float) -> float:
    if one <= 0 or other <= 0:
        return 0.0 if one == other else math.inf
    return abs(math.log10(one / other))


def _short(comparison: Comparison) -> list[str]:
    """What tells the columns apart: their numbers, where they are many; their chips, where all are one program's."""
    columns = comparison["columns"]
    profiles = [column["profile"] for column in columns]
    if len(columns) > _NAMED_POINTS:
        return [str(number) for number in range(len(columns))]
    one = len({(column["program"], column["folder"]) for column in columns}) == 1
    return profiles if one and len(set(profiles)) == len(profiles) else [column["heading"] for column in columns]


def _parts(comparison: Comparison) -> Block:
    """Energy by part, stacked. Where a part is not known, what is known of it has a series of its own."""
    rows = {row["name"]: row["values"] for row in comparison["rows"]}
    parts = [part for part in PARTS if f"{part}_pj" in rows]
    stacks: list[tuple[str, list[float | None]]] = []
    for number, heading in _drawn(comparison):
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
    said = f"≥: not all is known.{_left_out(comparison)}"
    return Figure("Energy by part", charts.stacked(stacks, series, "pJ"), said, table)


def _marked(values: Sequence[float | None], incomplete: bool) -> list[float | None]:
    return list(values if incomplete else values[:-1])


def _latencies(comparison: Comparison) -> Block:
    values = _values(comparison, "latency_ns")
    rows = [(heading, values[number]) for number, heading in _drawn(comparison)]
    table = Table("Latency", [Column("per sample"), Column("latency", "ns")], rows)
    said = f"From the first step of a sample to its result.{_left_out(comparison)}"
    return Figure("Latency", charts.bars(rows, "ns"), said, table)


def _numbers(comparison: Comparison) -> list[Block]:
    """One line per column, one field per quantity; bounds and refusals are words, which sort behind the numbers."""
    parts = [f"{part}_pj" for part in PARTS]
    rows = [row for row in comparison["rows"] if row["name"] not in HIDDEN]
    return [
        _table("Cost", comparison, [row for row in rows if row["name"] in _COST]),
        _table("Energy by part", comparison, [row for row in rows if row["name"] in parts]),
        _table("Work", comparison, [row for row in rows if row["name"] not in (*_COST, *parts)]),
    ]


_COST = ("energy_pj", "energy_std_pj", "latency_ns", "cycle_latency_ns", "throughput_per_s", "energy_delay_pj_ns",
         "accuracy")  # fmt: skip


def _table(title: str, comparison: Comparison, rows: Sequence[dict[str, Any]]) -> Table:
    fields = [Column("per sample"), *(Column(row["label"].strip(), _UNITS.get(row["unit"], row["unit"]))
                                      for row in rows)]  # fmt: skip
    lines = [
        (column["heading"], *(_cell(row, number) for row in rows))
        for number, column in enumerate(comparison["columns"])
    ]
    return Table(title, fields, lines)


_UNITS = {"text": ""}


def _cell(row: dict[str, Any], number: int) -> Value:
    value: Value = row["values"][number]
    worded = value is None or (row["name"] == "memory_pj" and row["shown"][number] == "in other parts")
    shown: str = row["shown"][number]
    return shown if worded else value


def _across(comparison: Comparison) -> list[Block]:
    """Accesses, energy and latency over T, each with its own axis."""
    blocks: list[Block] = [Notes(saved_lines(comparison))]
    for family in comparison["across_timesteps"]:
        steps = family["timesteps"]
        for row in family["rows"]:
            title = f"{row['label']} against T, on {family['profile']}"
            unit = row["unit"]
            lines = [(family["programs"][place], each, _cell(row, place)) for place, each in enumerate(steps)]
            table = Table(title, [Column("program"), Column("T"), Column(row["label"], unit)], lines)
            if all(value is None for value in row["values"]):
                blocks.append(table)
                continue
            drawing = charts.lines(steps, [(row["label"], row["values"])], unit=unit, x_title="T", title=row["label"])
            unknown = "Points that are not drawn are unknown." if None in row["values"] else ""
            blocks.append(Figure(title, drawing, unknown, table))
    return blocks


def _chips(comparison: Comparison) -> list[Block]:
    """The notes of each chip, once."""
    found: dict[str, list[str]] = {}
    for column in comparison["columns"]:
        items = found.setdefault(column["profile"], [])
        items += [note for note in column["notes"] if note not in items]
    return [Notes(items or ["no notes"], title=profile) for profile, items in found.items()]


def _drawn(comparison: Comparison) -> list[tuple[int, str]]:
    """(number, heading) of the columns that have numbers."""
    return [(number, column["heading"]) for number, column in enumerate(comparison["columns"]) if not column["refusal"]]


def _left_out(comparison: Comparison) -> str:
    refused = [f"{column['heading']} ({column['refusal']})" for column in comparison["columns"] if column["refusal"]]
    return f" Not drawn: {'; '.join(refused)}." if refused else ""


def _values(comparison: Comparison, name: str) -> list[float | None]:
    values: list[float | None] = row_of(comparison, name)["values"]
    return values
