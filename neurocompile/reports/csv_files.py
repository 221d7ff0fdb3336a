"""Reports and comparisons as CSV, every number in full: what a spreadsheet or pandas loads."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from neurocompile.reports.compare import Comparison, standing
from neurocompile.reports.data import Report
from neurocompile.reports.timing import LISTED, evenly

Line = tuple[str, str, str, float | int | None, str]

#: a spreadsheet takes a text that begins so for a formula
_FORMULAS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")

#: what the cycle engine tells in its own unit, which is ns or cycles
_TIMES = {
    "total", "fast_total", "barrier", "mean", "std", "min", "max", "sending", "receiving", "stalled", "idle",
    "queue_wait", "busy", "wait",
}  # fmt: skip
#: pictures and reports of their own, which are not for tables; lists with a section of their own
_ELSEWHERE = {
    "layers", "memory_levels", "memory_traffic", "utilisation", "activity", "samples", "cycle", "raster", "drift",
    "conversion", "notes", "missing", "missing_energies", "missing_times",
}  # fmt: skip


def report_csv(report: Report) -> str:
    """``section,name,quantity,value,text``: one number or text per line. ``quantity`` is the key of the JSON report,
    with its path in it; ``value`` is empty where a number is unknown."""
    return _written(("section", "name", "quantity", "value", "text"), report_lines(report))


def comparison_csv(comparison: Comparison) -> str:
    """One line per program and profile, one field per quantity; empty where that is unknown, or refused."""
    columns, rows = comparison["columns"], comparison["rows"]
    bounded = [row for row in rows if any(bound is not None for bound in row["at_least"])]
    fields = (
        "column", "program", "profile", "timesteps", "folder",
        *(row["name"] for row in rows),
        *(f"{row['name']}_at_least" for row in bounded),
        "on_pareto_front", "dominated_by", "pareto", "missing", "error",
    )  # fmt: skip
    lines = [
        (
            number, column["program"], column["profile"], column["timesteps"], column["folder"],
            *(row["values"][number] for row in rows),
            *(row["at_least"][number] for row in bounded),
            point["front"], " ".join(map(str, point["dominated_by"])), stands, " ".join(column["missing"]),
            column["error"],
        )
        for number, (column, point, stands) in enumerate(
            zip(columns, comparison["pareto"]["points"], standing(comparison), strict=True)
        )
    ]  # fmt: skip
    return _written(fields, lines)


def report_lines(report: Report) -> Iterator[Line]:
    """The lines of ``report_csv``."""
    activity, samples, cycle = report["activity"], report.get("samples"), report.get("cycle")
    yield from _lines("network", "", {key: value for key, value in report.items() if key not in _ELSEWHERE})
    yield from _lines("network", "", {"data": activity["data"], "samples": activity["samples"]})
    for layer in report["layers"]:
        yield from _lines("layer", layer["name"], {key: value for key, value in layer.items() if key != "name"})
    for name, rate in activity["spike_rates"].items():
        yield "spike rate", name, "spikes_per_neuron", rate, ""
    for each in report["memory_traffic"]:
        name = f"{each['content']}: {each['level']}"
        yield from _lines("memory traffic", name, {"reads_words": each["reads"], "writes_words": each["writes"]})
    for level in report["memory_levels"]:
        yield from _lines("memory", level["name"], _without(level, "name"))
    for name, share in report["utilisation"].items():
        yield from _lines("utilisation", name, share)
    if samples:
        for quantity, statistics in samples.items():
            yield from _lines("samples", "", {quantity: statistics and _without(statistics, "values")})
        listed = evenly(activity["samples"], LISTED).tolist()
        for quantity, statistics in samples.items():
            for number, value in zip(listed, statistics["values"], strict=True) if statistics else ():
                yield "sample", str(number), quantity, value, ""
    if cycle:
        yield from _cycle(cycle)
    if converted := report.get("conversion"):
        yield from _lines("conversion", "", _without(converted, "layers"))
        for layer in converted["layers"]:
            yield from _lines("converted layer", layer["name"], _without(layer, "name"))
    for heading in ("notes", "missing"):
        for number, text in enumerate(report[heading]):
            yield heading, str(number), "text", None, text


def _cycle(cycle: Report) -> Iterator[Line]:
    unit = cycle["unit"]
    whole = _without(cycle, "cores", "links", "mesh", "timeline", "notes")
    whole |= {key: _without(cycle[key], "values", "shown") for key in ("step", "latency")}
    yield from _lines("cycle engine", "", _timed(whole, unit))
    for core in cycle["cores"]:
        yield from _lines("core", str(core["core"]), _timed(_without(core, "core"), unit))
    for link in cycle["links"]:
        yield from _lines("link", f"{link['from']} to {link['to']}", _timed(_without(link, "from", "to"), unit))
    for number, value in zip(cycle["step"]["shown"], cycle["step"]["values"], strict=True):
        yield "step", str(number), f"length_{unit}", value, ""
    for number, value in zip(evenly(cycle["samples"], LISTED).tolist(), cycle["latency"]["values"], strict=True):
        yield "latency", str(number), f"latency_{unit}", value, ""
    for number, text in enumerate(cycle["notes"]):
        yield "cycle engine notes", str(number), "text", None, text


def _without(plain: Report, *keys: str) -> Report:
    return {key: value for key, value in plain.items() if key not in keys}


def _timed(plain: Report, unit: str) -> Report:
    """With the unit of times in their names."""
    return {
        f"{key}_{unit}" if key in _TIMES else key: _timed(value, unit) if isinstance(value, dict) else value
        for key, value in plain.items()
    }


def _lines(section: str, name: str, plain: Report, path: str = "") -> Iterator[Line]:
    """The numbers and texts of nested dictionaries, by their path; lists of texts as one text."""
    for key, value in plain.items():
        quantity = f"{path}{key}"
        if isinstance(value, dict):
            yield from _lines(section, name, value, f"{quantity}.")
        elif isinstance(value, list | tuple):
            yield section, name, quantity, None, ", ".join(map(str, value))
        elif isinstance(value, str):
            yield section, name, quantity, None, value
        else:
            yield section, name, quantity, int(value) if isinstance(value, bool) else value, ""


def _written(fields: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows([_cell(cell) for cell in line] for line in lines)
    return out.getvalue()


def _cell(cell: Any) -> Any:
    """A text that a spreadsheet would run gets the apostrophe that makes it a text; a line break in it becomes a space.

    See OWASP, "CSV injection".
    """
    if not isinstance(cell, str):
        return cell
    line = " ".join(cell.split())
    return f"'{line}" if line.startswith(_FORMULAS) else line
