"""Reports side by side, as plain data: networks on chips, and one network at several numbers of time steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from neurocompile.errors import CapacityError, GraphError, NeurocompileError
from neurocompile.reports.data import Report
from neurocompile.reports.pareto import COORDINATES, pareto
from neurocompile.reports.wording import duration, energy, energy_delay, number, percent

FORMAT = "neurocompile.comparison/1"
Comparison = dict[str, Any]

#: what a report of a network that a chip cannot hold has in place of numbers
_UNKNOWN: Report = {
    "complete": False,
    "missing": [],
    "weakest_basis": None,
    "energy_pj": {"total": None},
    "latency_ns": None,
    "accuracy": None,
    "layers": [],
}


def refused(program: str, profile: str, error: NeurocompileError, timesteps: int | None = None) -> Report:
    """What stands for the report of a network that a chip cannot hold, or of a run that failed."""
    fits = not isinstance(error, CapacityError | GraphError)
    return {
        **_UNKNOWN,
        "program": program,
        "profile": profile,
        **({} if timesteps is None else {"timesteps": timesteps}),
        "error": str(error),
        "refusal": "failed" if fits else "does not fit",
    }


@dataclass(frozen=True)
class Row:
    """A quantity, as all renderings have it: ``name`` with its unit, ``label`` for people; ``unit`` says how it is
    shown ("": a count, "text": as it is).

    Where its value is None, ``at_least`` may know what it cannot be less than. ``instead`` is a text that says more
    than the number.
    """

    name: str
    label: str
    unit: str
    value: Callable[[Report], Any]
    at_least: Callable[[Report], float | None] = lambda _: None
    instead: Callable[[Report], str | None] = lambda _: None

    def shown(self, report: Report) -> str:
        if "error" in report:
            return str(report["refusal"])
        if text := self.instead(report):
            return text
        value, bound = self.value(report), self.at_least(report)
        if value is not None:
            return _SHOW[self.unit](value)
        return "unknown" if bound is None else f"at least {_SHOW[self.unit](bound)}"


_SHOW: dict[str, Callable[[Any], str]] = {
    "pJ": energy,
    "ns": duration,
    "pJ·ns": energy_delay,
    "%": percent,
    "1/s": lambda value: f"{number(value)}/s",
    "": number,
    "text": str,
}


def compare(reports: Sequence[Report]) -> Comparison:
    """Columns (one per report), rows of their numbers, the Pareto front, and what more time steps do.

    Per row ``values`` and, for those that are None, ``at_least``: what is known to be exceeded; None there too where
    nothing is known. ``shown`` has both as texts. A refused column has None throughout and its sentence under
    ``error``; None elsewhere says that a number of the profile is missing, which the column's ``missing`` names, or
    that there were no labels to measure an accuracy with.
    """
    headings = _headings(reports)
    rows = [_row(row, reports) for row in ROWS if row.name not in _OPTIONAL or _said(row, reports)]
    values = {row["name"]: row["values"] for row in rows}
    front = pareto([{name: values[name][column] for name in COORDINATES} for column in range(len(reports))])
    return {
        "format": FORMAT,
        "columns": [
            {
                "heading": heading,
                "program": report["program"],
                "folder": report.get("folder"),
                "profile": report["profile"],
                "timesteps": report.get("timesteps"),
                "timed": report.get("cycle") is not None,
                "notes": report.get("notes", []),
                "missing": report.get("missing", []),
                "refusal": report.get("refusal"),
                "error": report.get("error"),
            }
            for heading, report in zip(headings, reports, strict=True)
        ],
        "rows": rows,
        "pareto": front,
        "across_timesteps": across_timesteps(reports),
        "saved_accesses": saved_accesses(reports),
    }


def _row(row: Row, reports: Sequence[Report]) -> dict[str, Any]:
    values = [None if "error" in report else row.value(report) for report in reports]
    return {
        "name": row.name,
        "label": row.label,
        "unit": row.unit,
        "values": values,
        "at_least": [
            row.at_least(report) if value is None and "error" not in report else None
            for value, report in zip(values, reports, strict=True)
        ],
        "shown": [row.shown(report) for report in reports],
    }


def _said(row: Row, reports: Sequence[Report]) -> bool:
    """Whether an optional row says anything: some column has what others lack."""
    absent = _OPTIONAL[row.name]
    return any("error" not in report and row.value(report) != absent for report in reports)


def _headings(reports: Sequence[Report]) -> list[str]:
    """A name for each column, with its folder where two would have the same, and a number where that is not enough."""
    headings = [_heading(report) for report in reports]
    twice = Counter(headings)
    headings = [
        f"{heading} ({report['folder']})" if twice[heading] > 1 and report.get("folder") else heading
        for heading, report in zip(headings, reports, strict=True)
    ]
    twice = Counter(headings)
    seen: Counter[str] = Counter()
    for place, heading in enumerate(headings):
        if twice[heading] > 1:
            seen[heading] += 1
            headings[place] = f"{heading} #{seen[heading]}"
    return headings


def _heading(report: Report) -> str:
    steps = f", T = {report['timesteps']}" if report.get("timesteps") else ""
    return f"{report['program']} on {report['profile']}{steps}"


def _part(name: str) -> Row:
    value: Callable[[Report], Any] = lambda report: report["energy_pj"].get(name)  # noqa: E731
    return Row(f"{name}_pj", f"  {name}", "pJ", value, instead=_within if name == "memory" else lambda _: None)


def _within(report: Report) -> str | None:
    return None if report["energy_pj"]["levels"] else "in other parts"


def _no_basis(report: Report) -> str | None:
    return None if report["weakest_basis"] else "none"


def _known_energy_delay(report: Report) -> float | None:
    latency: float | None = report["latency_ns"]
    return None if latency is None else report["known_energy_pj"] * latency


def _cycle_latency(report: Report) -> float | None:
    cycle = report.get("cycle")
    return cycle["latency"]["mean"] if cycle and cycle["unit"] == "ns" else None


def _spread(report: Report) -> float | None:
    samples = report.get("samples")
    return samples["energy_pj"]["std"] if samples else None


def _synaptic_ops(report: Report) -> float:
    counters = report["counters"]
    return float(counters["synaptic_ops"] + counters["graded_synaptic_ops"])


#: how energy is told apart, in this order; "host" only where a profile has one
PARTS = ("synapse", "soma", "noc", "memory", "host", "static")

ROWS: tuple[Row, ...] = (
    Row("energy_pj", "energy", "pJ", lambda r: r["energy_pj"]["total"], at_least=lambda r: r["known_energy_pj"]),
    *map(_part, PARTS),
    Row("energy_std_pj", "  over samples, ±", "pJ", _spread),
    Row("known_energy_pj", "  known", "pJ", lambda r: r["known_energy_pj"]),
    Row("latency_ns", "latency", "ns", lambda r: r["latency_ns"]),
    Row("cycle_latency_ns", "  cycle engine", "ns", _cycle_latency),
    Row("throughput_per_s", "throughput", "1/s", lambda r: r["throughput_per_s"]),
    Row(
        "energy_delay_pj_ns",
        "energy × latency",
        "pJ·ns",
        lambda r: r["energy_delay_pj_ns"],
        at_least=_known_energy_delay,
    ),
    Row("accuracy", "accuracy", "%", lambda r: r.get("accuracy")),
    Row("cores", "cores", "", lambda r: r["cores"]),
    Row("synaptic_ops", "synaptic operations", "", _synaptic_ops),
    Row("spikes", "spikes", "", lambda r: r["counters"]["spikes"]),
    Row("memory_accesses", "memory accesses (words)", "", lambda r: r["memory_accesses"]["total"]),
    Row("state_memory_words", "state memory (words)", "", lambda r: r["state_memory_words"]),
    Row("weakest_basis", "weakest number used", "text", lambda r: r["weakest_basis"], instead=_no_basis),
    Row("data", "mean over", "text", lambda r: r["activity"]["data"]),
)

#: rows that stand only where some column has more to say than this
_OPTIONAL = {"host_pj": 0, "energy_std_pj": None, "cycle_latency_ns": None}
#: rows that people do not need: the others say it
HIDDEN = ("known_energy_pj",)


def _families(reports: Sequence[Report]) -> list[list[int]]:
    """Columns of one shape on one chip, by time steps, where those differ."""
    families: dict[object, list[int]] = {}
    for column, report in enumerate(reports):
        if "error" not in report:
            shape = tuple((layer["name"], layer["neurons"]) for layer in report["layers"])
            families.setdefault((report["profile"], shape), []).append(column)
    ordered = [sorted(family, key=lambda column: reports[column]["timesteps"]) for family in families.values()]
    return [family for family in ordered if reports[family[0]]["timesteps"] < reports[family[-1]]["timesteps"]]


def across_timesteps(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """Per network of one shape on one chip at different T: its ``columns`` in order of T, with their numbers."""
    return [
        {
            "profile": reports[family[0]]["profile"],
            "columns": family,
            "programs": [reports[column]["program"] for column in family],
            "timesteps": [reports[column]["timesteps"] for column in family],
            "rows": [_row(_NAMED[name], [reports[column] for column in family]) for name in _ACROSS],
        }
        for family in _families(reports)
    ]


_NAMED = {row.name: row for row in ROWS}
_ACROSS = ("memory_accesses", "energy_pj", "latency_ns", "accuracy")


def saved_accesses(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """For programs of one shape on one chip at different T: accesses of each over those of the one with the least T.

    ``counted`` is what the chip does, where only spikes fetch weights; ``dense`` is the papers' rule, by which every
    weight and membrane is touched at every step.
    """
    result = []
    for family in _families(reports):
        least, *others = (reports[column] for column in family)
        result += [
            {
                "program": report["program"],
                "profile": report["profile"],
                "timesteps": report["timesteps"],
                "than": least["timesteps"],
                "counted": _ratio(report["memory_accesses"]["total"], least["memory_accesses"]["total"]),
                "dense": _ratio(report["papers"]["memory_accesses"], least["papers"]["memory_accesses"]),
            }
            for report in others
            if report["timesteps"] > least["timesteps"]
        ]
    return result


def _ratio(more: float, less: float) -> float | None:
    return more / less if less else None


# ------------------------------------------------------------------------------------- what all renderings say in words


def row_of(comparison: Comparison, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in comparison["rows"] if row["name"] == name)
    return found


def notes(comparison: Comparison) -> list[str]:
    """Each chip's own notes once; those that all columns share last, without a name."""
    columns = comparison["columns"]
    seen: dict[str, list[str]] = {}
    for column in columns:
        for note in column["notes"]:
            profiles = seen.setdefault(note, [])
            if column["profile"] not in profiles:
                profiles.append(column["profile"])
    everyone = len({column["profile"] for column in columns if column["error"] is None})
    ordered = sorted(seen.items(), key=lambda item: len(item[1]) == everyone > 1)  # a chip's own first
    return [note if len(profiles) == everyone else f"{', '.join(profiles)}: {note}" for note, profiles in ordered]


def refusals(comparison: Comparison) -> list[str]:
    """Why columns have no numbers, in full."""
    return _told(comparison, [column["error"] for column in comparison["columns"]])


def gaps(comparison: Comparison) -> list[str]:
    """What the incomplete columns lack."""
    missing = [column["missing"] for column in comparison["columns"]]
    return _told(comparison, [f"incomplete: needs {', '.join(keys)}" if keys else None for keys in missing])


def _told(comparison: Comparison, sentences: Sequence[str | None]) -> list[str]:
    """A sentence for each column, said once for all that share it."""
    whose: dict[str, list[str]] = {}
    for column, sentence in zip(comparison["columns"], sentences, strict=True):
        if sentence:
            whose.setdefault(sentence, []).append(column["heading"])
    return [f"{'; '.join(headings)}: {sentence}" for sentence, headings in whose.items()]


_COORDINATES = {"energy_pj": "energy", "latency_ns": "latency", "accuracy": "accuracy"}


def pareto_lines(comparison: Comparison) -> list[str]:
    """The front, who is dominated by whom, and who takes no part."""
    columns, points = comparison["columns"], comparison["pareto"]["points"]
    coordinates = comparison["pareto"]["coordinates"]
    without = "" if "accuracy" in coordinates else "; no accuracy is known (run with --labels)"
    front = [column["heading"] for column, point in zip(columns, points, strict=True) if point["front"]]
    lines = [f"Pareto front ({', '.join(_COORDINATES[name] for name in coordinates)}{without}): "
             f"{'; '.join(front) or 'nobody, for no point is known in full'}"]  # fmt: skip
    better = ["; ".join(columns[number]["heading"] for number in point["dominated_by"]) for point in points]
    lines += _told(comparison, [f"dominated by {names}" if names else None for names in better])
    lines += _told(comparison, [_unknown(column, point) for column, point in zip(columns, points, strict=True)])
    found = [number for number, column in enumerate(columns) if column["error"] is None]
    if len({row_of(comparison, "data")["values"][number] for number in found}) > 1:
        lines.append("careful: not all were measured on the same data (see: mean over)")
    if len({columns[number]["timed"] for number in found}) > 1:
        lines.append(
            "careful: the cycle engine has timed some and not others, which have the times of mean counts "
            "(see: cycle engine)"
        )
    return lines


def _unknown(column: dict[str, Any], point: dict[str, Any]) -> str | None:
    names = [_COORDINATES[name] for name in point["unknown"]]
    if not names or column["error"] is not None:
        return None
    return f"takes no part, for {' and '.join(names)} {'are' if names[1:] else 'is'} unknown"


def saved_lines(comparison: Comparison) -> list[str]:
    return [
        f"{each['program']} on {each['profile']}: T = {each['timesteps']} needs {number(each['counted'])} times the "
        f"memory accesses of T = {each['than']} as counted, {number(each['dense'])} times if everything is touched at "
        "every step"
        for each in comparison["saved_accesses"]
    ]


def standing(comparison: Comparison) -> list[str]:
    """Each column's place in the Pareto comparison, in a word."""
    words = {True: "yes", False: "dominated", None: "takes no part"}
    return [
        column["refusal"] or words[point["front"]]
        for column, point in zip(comparison["columns"], comparison["pareto"]["points"], strict=True)
    ]
