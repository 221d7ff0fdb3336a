"""What the cycle engine found, as the report's data: times in the run's unit, which is ns or clock cycles."""

from __future__ import annotations

from collections.abc import Mapping as Map
from typing import Any

import numpy as np

from neurocompile.backends.cycle.result import CycleRun
from neurocompile.costs.timed import Timed
from neurocompile.hardware.profile import Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import ENCODERS, SPIKING, Array
from neurocompile.mapping.mapping import Mapping

#: at most so many values of a kind are listed, evenly chosen
LISTED = 2000
#: neurons of a population in a raster, and its spikes, at most
RASTER_NEURONS = 200
RASTER_SPIKES = 4000

_ASYNCHRONOUS = "The chip has no clock: times are those of events, and not of cycles."
_CLOCKED = "Cycles are means of what an event takes, so that they need not be whole."
_FAST = "Fast timing: sums of each core's work, without the network."
_NO_LINK_TIME = "How long a message keeps a link busy is not known: links carry any number of messages at once."
_NO_BUFFERS = "The sizes of buffers are not known: they hold any number of messages, and no core waits."


def timed_of(run: CycleRun) -> Timed:
    """What costs want of the run."""
    unit_ns = run.unit_ns
    return Timed(
        samples=run.samples,
        steps=len(run.step_time),
        visits=run.visits,
        total_ns=None if unit_ns is None else run.total * unit_ns,
        latency_ns=None if unit_ns is None else run.sample_latency * unit_ns,
        throughput_per_s=_per_second(run),
    )


def cycle_section(run: CycleRun, mapping: Mapping, profile: Profile) -> dict[str, Any]:
    """``report["cycle"]``: JSON data without NaN."""
    topology = profile.topology
    columns = topology.tile_columns.count if topology else 1
    chosen = evenly(len(run.step_time), LISTED)
    held: dict[int, list[str]] = {}
    for each in mapping.slices:
        names = held.setdefault(each.core, [])
        if each.population not in names:
            names.append(each.population)
    return {
        "timing": run.timing,
        "unit": run.unit,
        "samples": run.samples,
        "steps": len(run.step_time),
        "depth": run.depth,
        "engines": run.engines,
        "total": run.total,
        "fast_total": run.fast_total,
        "difference": run.total / run.fast_total if run.timing == "exact" and run.fast_total else None,
        "barrier": run.barrier,
        "overruns": run.overruns,
        "step": {**spread(run.step_time), "values": run.step_time[chosen].tolist(), "shown": chosen.tolist()},
        "latency": {
            **spread(run.sample_latency),
            "values": run.sample_latency[evenly(run.samples, LISTED)].tolist(),
        },
        "throughput_per_s": _per_second(run),
        "cores": [
            {
                "core": int(core),
                "tile": int(run.cores.tile[index]),
                "row": int(run.cores.tile[index]) // columns,
                "column": int(run.cores.tile[index]) % columns,
                "populations": held[int(core)],
                **{
                    name: getattr(run.cores, name)[index].item()
                    for name in (
                        "sending", "receiving", "stalled", "idle", "messages_in", "messages_out", "queue_peak",
                        "queue_wait",
                    )
                },
            }
            for index, core in enumerate(run.cores.core)
        ],
        "links": [
            {
                "from": int(run.links.source[index]),
                "to": int(run.links.target[index]),
                **{name: getattr(run.links, name)[index].item() for name in ("messages", "busy", "wait", "peak")},
            }
            for index in range(len(run.links.source))
        ],
        "mesh": {
            "rows": topology.tile_rows.count if topology else 1,
            "columns": columns,
            "cores_per_tile": topology.cores_per_tile.count if topology else 1,
        },
        "timeline": _timeline(run),
        "notes": _notes(run, profile),
    }  # fmt: skip


def cycle_summary(run: CycleRun) -> dict[str, Any]:
    """The few numbers that a run prints."""
    return {
        "timing": run.timing,
        "unit": run.unit,
        "steps": len(run.step_time),
        "total": run.total,
        "fast_total": run.fast_total,
        "latency": spread(run.sample_latency),
        "throughput_per_s": _per_second(run),
        "overruns": run.overruns,
    }


def raster_section(graph: Graph, events: Map[str, Array], sample: int = 0) -> dict[str, Any]:
    """``report["raster"]``: spikes of one sample, (T, *shape), of some neurons of each population, evenly chosen."""
    populations = []
    for name in graph.of_kind(*ENCODERS, *SPIKING):
        values = events[name].reshape(graph.timesteps, -1)
        neurons = evenly(values.shape[1], RASTER_NEURONS)
        steps, places = np.nonzero(values[:, neurons])
        kept = evenly(len(steps), RASTER_SPIKES)
        spikes = np.stack([steps[kept], neurons[places[kept]]], axis=1)
        populations.append(
            {
                "name": name,
                "neurons": values.shape[1],
                "shown": len(neurons),
                "total": int(np.count_nonzero(values)),
                "spikes": spikes.tolist(),
            }
        )
    return {"sample": sample, "steps": graph.timesteps, "populations": populations}


def _timeline(run: CycleRun) -> dict[str, Any]:
    line = run.timeline
    return {
        "sample": line.first_step // run.timesteps,
        "first_step": line.first_step,
        "steps": [
            {"start": start, "length": length}
            for start, length in zip(line.start.tolist(), line.length.tolist(), strict=True)
        ],
        "cores": [
            {
                "core": int(core),
                "sending_end": line.sending_end[:, index].tolist(),
                "receiving_start": line.receiving_start[:, index].tolist(),
                "receiving_end": line.receiving_end[:, index].tolist(),
            }
            for index, core in enumerate(run.cores.core)
        ],
    }


def _notes(run: CycleRun, profile: Profile) -> list[str]:
    notes = [_ASYNCHRONOUS if profile.clock is None else _CLOCKED]
    if run.timing == "fast":
        notes.append(_FAST)
    elif profile.noc is not None:
        notes += [_NO_LINK_TIME] if profile.noc.link_time_ns is None else []
        notes += [_NO_BUFFERS] if profile.noc.buffer_messages is None else []
    return notes


def _per_second(run: CycleRun) -> float | None:
    per_unit = run.samples_per_unit
    return None if per_unit is None or run.unit_ns is None else per_unit * 1e9 / run.unit_ns


def spread(values: Array) -> dict[str, float]:
    return {
        "mean": float(values.mean()),
        "std": float(values.std()),
        "min": float(values.min()),
        "max": float(values.max()),
    }


def evenly(count: int, most: int) -> Array:
    """At most so many of ``count`` numbers, in order, evenly chosen."""
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).round().astype(np.int64)
