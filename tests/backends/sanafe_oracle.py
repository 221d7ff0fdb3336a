"""SANA-FE itself on an exported file, and its totals without what our chip does not have: biases that are spikes."""

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


def load(program: Program, sample: Array) -> Any:
    """The chip, with the network on it and the spikes of ``sample`` in its input neurons."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.yaml"
        write_sanafe(replace(program, calibration=np.asarray(sample, np.float32)[None]), path)
        architecture = sanafe.load_arch(str(path))
        network = sanafe.load_net(str(path), architecture)
    chip = sanafe.SpikingChip(architecture)
    chip.load(network)
    return chip


def simulate(program: Program, sample: Array, timing: str) -> tuple[Totals, dict[str, Any]]:
    """All steps of ``sample``: the totals as they are, and everything that SANA-FE says. ``timing``: its model."""
    steps = program.mapped.timesteps + program.phase_steps
    found = load(program, sample).sim(steps, timing_model=timing, perf_trace=True, message_trace=True)
    totals = Totals(
        found["neurons_fired"],
        found["packets_sent"],
        found["spikes"],
        sum(found["perf_trace"]["hops"]),
        found["energy"]["total"],
        found["sim_time"],
    )
    return totals, found


def without_biases(program: Program, totals: Totals, found: dict[str, Any]) -> Totals:
    """The totals of the *simple* model without the spikes that are biases: all their messages are told in the trace,
    and what they cost is what the profile says of their way and their synapses, which are of one kind here."""
    profile = program.profile
    assert profile.noc is not None
    assert profile.barrier is not None
    columns, rows = profile.noc.hop_east_west.energy_pj, profile.noc.hop_north_south.energy_pj
    synapse = profile.events.synaptic_op
    assert columns
    assert rows
    assert synapse
    assert synapse.energy_pj
    barrier_s = profile.barrier.barrier_ns(program.mapping.tiles) * 1e-9
    time_s = 0.0
    ours: list[dict[str, Any]] = []
    fired = set()
    for step, messages in enumerate(found["message_trace"]):
        sending: dict[int, float] = {0: 0.0}
        receiving: dict[int, float] = {0: 0.0}
        for each in messages:
            if each["src_neuron_group_id"].endswith("__bias"):
                fired.add((step, each["src_neuron_group_id"]))
                ours.append(each)
                continue
            sending[each["src_core_id"]] = sending.get(each["src_core_id"], 0.0) + each["generation_delay"]
            receiving[each["dest_core_id"]] = receiving.get(each["dest_core_id"], 0.0) + each["processing_delay"]
        time_s += max(max(sending.values()), max(receiving.values())) + barrier_s
    ways = sum(abs(each["src_x"] - each["dest_x"]) for each in ours) * columns.value
    ways += sum(abs(each["src_y"] - each["dest_y"]) for each in ours) * rows.value
    events = sum(each["spikes"] for each in ours)
    return Totals(
        totals.fired - len(fired),
        totals.packets - len(ours),
        totals.synaptic_events - events,
        totals.hops - sum(each["hops"] for each in ours),
        totals.energy_j - (ways + events * synapse.energy_pj.value) * 1e-12,
        time_s,
    )


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
