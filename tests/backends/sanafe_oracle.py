"""SANA-FE itself on an exported file, and what the cycle engine wants to know of the same run."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurocompile.backends.export.sanafe import write_sanafe
from neurocompile.ir.interpret import SomaState, interpret
from neurocompile.ir.nodes import ENCODERS, SPIKING, Array
from neurocompile.ir.populations import populations
from neurocompile.program import Program

sanafe: Any = pytest.importorskip("sanafe", reason="pip install sanafe, to compare with SANA-FE itself")


@dataclass(frozen=True)
class Totals:
    """Of a run of one sample. Times (s) and energies (J) are as SANA-FE gives them; ``time_s`` with barriers."""

    fired: int
    packets: int
    synaptic_events: int
    hops: int
    energy_j: float
    time_s: float


@dataclass(frozen=True)
class Found:
    """The totals as they are; the notes of the export; the messages of each step, if they were asked for."""

    totals: Totals
    notes: list[str]
    messages: list[list[dict[str, Any]]]


def simulate(program: Program, sample: Array, timing: str, *, messages: bool) -> Found:
    """All steps of ``sample``. ``timing``: SANA-FE's model. ``messages``: to tell each of them takes it long."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.yaml"
        notes = write_sanafe(replace(program, calibration=np.asarray(sample, np.float32)[None]), path)
        architecture = sanafe.load_arch(str(path))
        network = sanafe.load_net(str(path), architecture)
    chip = sanafe.SpikingChip(architecture)
    chip.load(network)
    steps = program.mapped.timesteps + program.phase_steps
    found = chip.sim(steps, timing_model=timing, perf_trace=True, message_trace=messages or None)
    totals = Totals(
        found["neurons_fired"],
        found["packets_sent"],
        found["spikes"],
        sum(found["perf_trace"]["hops"]),
        found["energy"]["total"],
        found["sim_time"],
    )
    return Found(totals, notes, found["message_trace"] or [])


def events_of(program: Program, sample: Array) -> dict[str, Array]:
    """What each encoder and spiking soma sends, (1, T, *shape)."""
    graph = program.integer
    trace = interpret(graph, sample[None])
    return {name: trace.events[name] for name in graph.of_kind(*ENCODERS, *SPIKING)}


def awake_of(program: Program, events: dict[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Whose state is other than zero before an update: in the steps of the sample, (1, T, *shape), and in those after
    it, (D - phase, *shape). By the interpreter's somas."""
    graph = program.mapped
    everyone = populations(graph)
    depth = max(population.soma.phase for population in everyone)
    awake, leftover = {}, {}
    for population in everyone:
        state = SomaState(population.soma, population.shape, 1, np.dtype(np.int64))
        arriving = [projection.arriving(events[projection.source]) for projection in population.projections]
        before, after = [], []
        for t in range(graph.timesteps):
            before.append(state.membrane != 0)
            sums = [
                projection.apply(sent[:, t].astype(np.int64))
                for projection, sent in zip(population.projections, arriving, strict=True)
            ]
            state.step(np.sum(sums, axis=0))
        membrane = state.membrane
        for _ in range(depth - population.soma.phase):
            after.append(membrane[0] != 0)
            membrane = state._decay(membrane, getattr(population.soma, "leak", np.array(0)))
        awake[population.name] = np.stack(before, axis=1)
        leftover[population.name] = np.array(after, np.bool_).reshape(len(after), *population.shape)
    return awake, leftover
