"""When: latency and the timeline of the cores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from neurocompile.reports.data import Report
from neurocompile.reports.page import Block, Column, Facts, Figure, Notes, Table, Text, charts
from neurocompile.reports.page.svg import shown
from neurocompile.reports.page.traces import Span, gantt
from neurocompile.reports.wording import NOTHING, duration, incomplete, number, spread, time_in

Cycle = dict[str, Any]
_LANES = ("sending: updates and messages out", "receiving: messages in")
_SPENT = ("sending", "receiving", "stalled", "idle")
#: so many cores are drawn one by one; the table has all
_MOST_CORES = 40


def latency_tab(report: Report) -> list[Block]:
    cycle = report.get("cycle")
    if cycle is None:
        return _estimate(report)
    blocks: list[Block] = [Notes(cycle["notes"], "What the cycle engine counts")] if cycle["notes"] else []
    blocks += [Facts("The run", _run(cycle)), *_samples(cycle), *_steps(cycle), _cores(cycle)]
    return blocks


def _estimate(report: Report) -> list[Block]:
    latency, throughput = report["latency_ns"], report["throughput_per_s"]
    rows = [
        ("latency", incomplete(report["missing_times"]) if latency is None else duration(latency)),
        (
            "time step",
            incomplete(report["missing_times"]) if report["step_ns"] is None else duration(report["step_ns"]),
        ),
        ("steps", f"{report['latency_steps']:,}"),
        (
            "throughput",
            incomplete(report["missing_times"]) if throughput is None else f"{number(throughput)} samples/s",
        ),
    ]
    said = "Without a run of the cycle engine, time is that of the busiest core on mean counts."
    return [Text(said), Facts("Estimate", rows)]


def _run(cycle: Cycle) -> list[tuple[str, str]]:
    unit = cycle["unit"]
    step = cycle["step"]
    return [
        ("samples", f"{cycle['samples']:,}, one after the other without a gap"),
        ("time steps", f"{cycle['steps']:,}, of which {cycle['depth']:,} fill the layers"),
        ("timing", cycle["timing"]),
        ("time of the whole run", shown(cycle["total"], unit)),
        ("  by fast timing (no network)", shown(cycle["fast_total"], unit)),
        ("  exact over fast", NOTHING if cycle["difference"] is None else f"{cycle['difference'] - 1:+.2%}"),
        ("time step", spread(step, time_in(unit))),
        ("  of which barrier", shown(cycle["barrier"], unit)),
        ("steps longer than the chip's tick", f"{cycle['overruns']:,}"),
        (
            "throughput",
            "unknown" if cycle["throughput_per_s"] is None else f"{number(cycle['throughput_per_s'])} samples/s",
        ),
    ]


def _samples(cycle: Cycle) -> list[Block]:
    unit, latency = cycle["unit"], cycle["latency"]
    values = [value for value in latency["values"] if value is not None]
    if not values:
        return []
    edges, counts = charts.distribution(values)
    table = Table(
        "Samples by latency",
        [Column("from", unit), Column("to", unit), Column("samples")],
        list(zip(edges, edges[1:], counts, strict=False)),
    )
    drawing = charts.histogram(values, unit, "latency of a sample")
    return [
        Figure(
            "Latency of the samples",
            drawing,
            f"{spread(latency, time_in(unit))}; mean ± standard deviation. Columns say how many samples.",
            table,
        )
    ]


def _steps(cycle: Cycle) -> list[Block]:
    unit, step = cycle["unit"], cycle["step"]
    pairs = [(at, value) for at, value in zip(step["shown"], step["values"], strict=True) if value is not None]
    if not pairs:
        return []
    places, values = [at for at, _ in pairs], [value for _, value in pairs]
    drawing = charts.lines(
        places, [("step", values)], unit=unit, x_title="time step of the chip", title="time of a step"
    )
    some = "" if len(places) == cycle["steps"] else f" {len(places):,} of {cycle['steps']:,} steps are shown."
    table = Table("Time of steps", [Column("step"), Column("time", unit)], pairs)
    explore = {
        "data": [{"type": "scatter", "mode": "lines", "x": places, "y": _rounded(values), "name": "step"}],
        "layout": {
            "xaxis": {"title": {"text": "time step of the chip"}},
            "yaxis": {"title": {"text": f"time ({unit})"}},
        },
    }
    return [Figure("Time of every step", drawing, f"{spread(step, time_in(unit))}.{some}", table, explore)]


def _cores(cycle: Cycle) -> Figure:
    unit = cycle["unit"]
    cores = sorted(cycle["cores"], key=lambda core: core["idle"])
    drawn = [(core_name(core), [core[each] for each in _SPENT[:-1]]) for core in cores[:_MOST_CORES]]
    table = Table(
        "Time of each core",
        [Column("core"), Column("layers"), *(Column(each, unit) for each in _SPENT), Column("busy", "%", bar=True),
         Column("queue wait", unit), Column("queue peak", "messages")],
        [
            (core["core"], ", ".join(core["populations"]), *(core[each] for each in _SPENT), busy(core),
             core["queue_wait"], core["queue_peak"])
            for core in cycle["cores"]
        ],
    )  # fmt: skip
    said = (
        "Sums over the run: each core sends, receives, or waits for the network (stalled); in the rest, which is not "
    )
    said += "drawn, it has nothing to do (idle)."
    if cycle.get("engines", 1) > 1:
        said += " A core has two engines, which work at the same time; their times are added."
    if len(cores) > _MOST_CORES:
        said += f" The {_MOST_CORES} busiest of {len(cores):,} cores are drawn; the table has all."
    return Figure("What the cores do", charts.stacked(drawn, _SPENT[:-1], unit), said, table)


def core_name(core: dict[str, Any]) -> str:
    return f"{core['core']} {', '.join(core['populations'])}".strip()


def busy(core: dict[str, Any]) -> float | None:
    """The share of a core's time in which it sends or receives."""
    spent = [core[each] for each in _SPENT]
    if None in spent or not sum(spent):
        return None
    return float((core["sending"] + core["receiving"]) / sum(spent))


# ------------------------------------------------------------------------------------------------------------ timeline


def timeline_tab(report: Report) -> list[Block]:
    """What every core does in the steps of one sample."""
    cycle = report.get("cycle")
    if cycle is None:
        return []
    timeline = cycle["timeline"]
    if not timeline or not timeline["steps"] or not timeline["cores"]:
        return []
    unit, steps = cycle["unit"], timeline["steps"]
    names = {core["core"]: core_name(core) for core in cycle["cores"]}
    begin = steps[0]["start"]
    starts = [step["start"] - begin for step in steps]
    rows = [
        (names.get(core["core"], str(core["core"])), [_sending(core, starts), _receiving(core, starts)])
        for core in timeline["cores"]
    ]
    spans = [
        (f"step {timeline['first_step'] + index}", (start, start + step["length"]))
        for index, (start, step) in enumerate(zip(starts, steps, strict=True))
    ]
    whole = spans[-1][1][1]
    table = Table(
        "Time of each core in these steps",
        [Column("core"), Column("sending", unit), Column("receiving", unit), Column("sending", "%"),
         Column("receiving", "%")],
        [(name, *(_sum(lane) for lane in lanes), *(_sum(lane) / whole if whole else None for lane in lanes))
         for name, lanes in rows],
    )  # fmt: skip
    drawing = gantt(rows, _LANES, spans, unit)
    sample = f"Sample {timeline['sample']}, steps {timeline['first_step']} to {timeline['first_step'] + len(steps) - 1}"
    said = f"{sample}, {shown(whole, unit)} in all. In each row the upper lane is sending, the lower one receiving; "
    said += "what is left of a step is barrier and waiting."
    return [
        Figure("Timeline of the cores", drawing, said, table, _explored(rows, spans, unit)),
        Table(
            "Steps",
            [Column("step"), Column("start", unit), Column("length", unit)],
            [(timeline["first_step"] + index, start, step["length"])
             for index, (start, step) in enumerate(zip(starts, steps, strict=True))],
        ),
    ]  # fmt: skip


def _sending(core: dict[str, Any], starts: Sequence[float]) -> list[Span]:
    """Sending begins with the step."""
    return [(start, start + (end or 0)) for start, end in zip(starts, core["sending_end"], strict=True)]


def _receiving(core: dict[str, Any], starts: Sequence[float]) -> list[Span]:
    ends = zip(starts, core["receiving_start"], core["receiving_end"], strict=True)
    return [(start + (first or 0), start + (last or 0)) for start, first, last in ends]


def _sum(spans: Sequence[Span]) -> float:
    return sum(end - start for start, end in spans)


def _rounded(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def _explored(
    rows: Sequence[tuple[str, Sequence[Sequence[Span]]]], steps: Sequence[tuple[str, Span]], unit: str
) -> dict[str, Any]:
    """One path per lane, which Plotly draws at once, and an invisible map of all steps and cores for what the pointer
    says: thousands of bars would take it many seconds."""
    height = min(1600, max(400, 60 + 22 * len(rows)))
    pixels = height / max(1, len(rows))
    shapes = [
        {
            "type": "path",
            "series": lane,
            "line": {"width": max(1.5, min(14.0, 0.33 * pixels))},
            "path": "".join(
                f"M{start:.6g},{row - 0.18 + 0.36 * lane:g}H{end:.6g}"
                for row, (_, lanes) in enumerate(rows)
                for start, end in lanes[lane]
                if end > start
            ),
        }
        for lane in range(len(_LANES))
    ]
    said = f"%{{customdata[0]}}<br>sending %{{customdata[1]:.4~g}} {unit}, receiving %{{customdata[2]:.4~g}} {unit}"
    pointed = {
        "type": "heatmap",
        "opacity": 0,
        "x": _rounded([*(start for _, (start, _) in steps), steps[-1][1][1]]),
        "y": list(range(len(rows))),
        "z": [[0] * len(steps) for _ in rows],
        "customdata": [
            [[name, *_rounded([end - start for start, end in lengths])] for name, *lengths in zip(
                (name for name, _ in steps), *lanes, strict=True)]
            for _, lanes in rows
        ],
        "hovertemplate": said,
        "name": "",
    }  # fmt: skip
    often = math.ceil(14 / pixels)
    names = {row: name for row, (name, _) in enumerate(rows) if row % often == 0}
    return {
        "data": [
            pointed,
            *(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": [None],
                    "y": [None],
                    "name": name,
                    "series": lane,
                    "line": {"width": 6},
                }
                for lane, name in enumerate(_LANES)
            ),  # for the legend
        ],
        "layout": {
            "shapes": [shape for shape in shapes if shape["path"]],
            "xaxis": {"title": {"text": f"time ({unit})"}},
            "yaxis": {"tickvals": list(names), "ticktext": list(names.values()), "range": [len(rows) - 0.5, -0.5]},
            "height": height,
        },
    }
