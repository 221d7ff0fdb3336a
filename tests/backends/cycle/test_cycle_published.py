"""What others publish about their chips, reproduced: Xylo's and ODIN's cycles, Loihi's and TrueNorth's events.

The engine is given spikes, so that these need not be what the networks would do: they are drawn at random.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurocompile.backends.cycle.engine import simulate
from neurocompile.backends.cycle.result import CycleRun, Timing
from neurocompile.costs.activity import Activity
from neurocompile.costs.estimate import estimate
from neurocompile.errors import ProfileError
from neurocompile.hardware import Profile, load_profile, profile_to_dict
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace, interpret
from neurocompile.ir.nodes import (
    Add,
    Array,
    FixedPoint,
    Input,
    Linear,
    Neuron,
    Node,
    PoissonEncoder,
    Readout,
    Recurrent,
)
from neurocompile.ir.nodes.base import Reset
from neurocompile.ir.verify import verify
from neurocompile.mapping import map_graph
from neurocompile.passes.retime import Retime

FIXED = FixedPoint(state_bits=9, accumulator_bits=12)  # narrow enough for ODIN
TIMESTEPS = 4
SAMPLES = 5
TIMINGS: tuple[Timing, ...] = ("exact", "fast")


def network(
    inputs: int, hidden: int, outputs: int, fan_out: int | None = None, *, reset: Reset = "set", threshold: int = 100
) -> Graph:
    """inputs -> hidden -> outputs; with ``fan_out``, so many of each hidden neuron's recurrent weights are not zero."""
    state: dict[str, Any] = {
        "leak": np.array(FIXED.one), "current_leak": np.array(0), "bias": np.array(0), "fixed": FIXED,
    }  # fmt: skip
    spiking = Neuron(threshold=np.array(threshold), reset_value=np.array(0), reset=reset, **state)
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=(inputs,)), ()),
        ("encoder", PoissonEncoder(), ("input",)),
        ("fc1", Linear(weight=np.ones((hidden, inputs), np.int8), weight_bits=2), ("encoder",)),
    ]
    if fan_out is not None:
        ring = np.arange(hidden)[:, None] - np.arange(hidden)  # target, source
        weight = ((ring % hidden) < fan_out).astype(np.int8)
        nodes += [
            ("past", Recurrent(shape=(hidden,)), ("hidden",)),
            ("again", Linear(weight=weight, weight_bits=2), ("past",)),
            ("sum", Add(), ("fc1", "again")),
        ]
    nodes += [
        ("hidden", spiking, ("fc1" if fan_out is None else "sum",)),
        ("fc2", Linear(weight=np.ones((outputs, hidden), np.int8), weight_bits=2), ("hidden",)),
        ("readout", Readout(**state), ("fc2",)),
    ]
    graph = Graph("published", "integer", TIMESTEPS, nodes, ("readout",))
    verify(graph)
    return graph


def spikes(graph: Graph, rates: tuple[float, float], samples: int = SAMPLES) -> dict[str, Array]:
    """Random spikes of the inputs and of the hidden neurons, at these rates."""
    generator = np.random.default_rng(0)
    shapes = {name: (samples, TIMESTEPS, *graph.shape(name)) for name in ("encoder", "hidden")}
    return {
        name: (generator.random(shape) < rate).astype(np.int64)
        for (name, shape), rate in zip(shapes.items(), rates, strict=True)
    }


def ran(graph: Graph) -> Trace:
    """What the network itself does."""
    return interpret(graph, np.random.default_rng(1).random((SAMPLES, *graph.shape("input"))))


def timed(graph: Graph, events: dict[str, Array], profile: Profile, timing: Timing) -> CycleRun:
    mapping = map_graph(graph, profile)
    return simulate(Retime().run(graph), mapping, profile, events, timing=timing)


def priced(key: str, time_ns: float) -> Profile:
    """ReckOn with a time in place of each null."""
    data = profile_to_dict(load_profile("reckon"))
    data["events"][key]["time_ns"] = {"value": time_ns, "unit": "ns", "basis": "assumed", "source": "a test"}
    return Profile.from_mapping(data)


# ------------------------------------------------------------------------------------------------------- Xylo Audio 2


def xylo_cycles(inputs: int, hidden: int, outputs: int, fan_out: float, p_in: float, p_hidden: float) -> float:
    """Rockpool's model of the mean cycles of a time step (syns61201), without aliases."""
    return (
        inputs * (p_in * hidden * 3.5 + 1)
        + hidden * (fan_out * 7 * p_hidden + 3)
        + hidden * p_hidden * (1 + 8 * outputs)
        + hidden * (19 + 3 * p_hidden)
        + 12 * outputs
    )


@pytest.mark.parametrize("timing", TIMINGS)
@pytest.mark.parametrize("rates", [(0.0, 0.0), (0.1, 0.02), (0.5, 0.3), (1.0, 1.0)])
@pytest.mark.parametrize(
    ("inputs", "hidden", "outputs", "fan_out"),
    [(2, 3, 1, None), (16, 100, 8, None), (16, 40, 8, 0), (5, 7, 3, 2), (16, 130, 8, 32), (16, 64, 4, 64)],
)
def test_xylo(
    inputs: int, hidden: int, outputs: int, fan_out: int | None, rates: tuple[float, float], timing: Timing
) -> None:
    """Exactly: the formula's means over the steps of the run, times the steps, are the cycles of the run."""
    graph = network(inputs, hidden, outputs, fan_out, reset="subtract")
    events = spikes(graph, rates)
    run = timed(graph, events, load_profile("xylo-a2"), timing)
    steps = len(run.step_time)
    p_in = events["encoder"].sum() / (inputs * steps)
    p_hidden = events["hidden"].sum() / (hidden * steps)
    assert run.unit == "cycles"
    assert run.total == pytest.approx(steps * xylo_cycles(inputs, hidden, outputs, fan_out or 0, p_in, p_hidden), 1e-12)
    assert run.unit_ns == 20  # 50 MHz


def test_xylo_worst_case() -> None:
    """What Rockpool takes for the clock that a network needs: every input and every neuron fires at every step."""
    graph = network(16, 100, 8, 20, reset="subtract")
    run = timed(graph, spikes(graph, (1, 1)), load_profile("xylo-a2"), "exact")
    # 16 (350 + 1) + 100 (140 + 3) + 100 (1 + 64) + 100 (19 + 3) + 96 in a step in which all layers work
    assert run.step_time.max() == 5616 + 14300 + 6500 + 2200 + 96


# --------------------------------------------------------------------------------------------------------------- ODIN


@pytest.mark.parametrize("timing", TIMINGS)
@pytest.mark.parametrize("fan_out", [None, 1, 10])
@pytest.mark.parametrize("rates", [(0.0, 0.0), (0.2, 0.1), (1.0, 1.0)])
def test_odin(rates: tuple[float, float], fan_out: int | None, timing: Timing) -> None:
    """1 + 512 cycles for a spike, whatever the number of its synapses, and 512 for a time reference of all neurons."""
    graph = network(12, 10, 3, fan_out)
    events = spikes(graph, rates)
    run = timed(graph, events, load_profile("odin"), timing)
    handled = int(sum(each.sum() for each in events.values()))
    assert run.unit == "cycles"
    assert run.total == 512 * len(run.step_time) + 513 * handled
    assert run.cores.messages_in.tolist() == [handled]


@pytest.mark.parametrize(("inputs", "neurons"), [(1, 1), (1, 200), (28, 200)])
def test_odin_takes_as_long_for_any_number_of_neurons(inputs: int, neurons: int) -> None:
    graph = network(inputs, neurons, 1)
    quiet = {name: np.zeros_like(each) for name, each in spikes(graph, (0, 0)).items()}
    assert set(timed(graph, quiet, load_profile("odin"), "exact").step_time) == {512}
    quiet["encoder"][0, 0, 0] = 1
    assert timed(graph, quiet, load_profile("odin"), "exact").step_time.tolist()[:2] == [1025, 512]


def test_odin_pays_for_whole_rows() -> None:
    """12.7 pJ for each of the 256 synapses that a spike goes through, in use or not, and for nothing else."""
    graph = network(6, 20, 3, threshold=9)
    trace, profile = ran(graph), load_profile("odin")
    costs = estimate(Retime().run(graph), map_graph(graph, profile), Activity.of(graph, trace, "at random"), profile)
    handled = trace.events["encoder"].sum() + trace.events["hidden"].sum()
    assert trace.events["hidden"].any()
    assert costs.total_pj == pytest.approx(12.7 * 256 * handled / SAMPLES)


# ------------------------------------------------------------------------------------------------------------- ReckOn


def test_reckon_publishes_no_times() -> None:
    graph = network(4, 5, 2)
    with pytest.raises(
        ProfileError, match=r"^reckon: the cycle engine needs events\.neuron_update_inactive\.time_ns, "
    ):
        timed(graph, spikes(graph, (0.5, 0.5)), load_profile("reckon"), "exact")
    with pytest.raises(ProfileError, match=r"events\.synaptic_op\.time_ns"):
        timed(graph, spikes(graph, (0.5, 0.5)), priced("neuron_update_inactive", 1), "exact")


# ------------------------------------------------------------------------------------------------------------ Loihi 1


@pytest.mark.parametrize("rates", [(0.0, 0.0), (0.3, 0.2), (1.0, 1.0)])
def test_loihi_times_of_table_2(rates: tuple[float, float]) -> None:
    """Hidden neurons on one core, readouts on another of the same tile; a step is as long as the longest of the four
    sides of the two cores, and the barrier of one tile."""
    inputs, hidden, outputs = 6, 20, 3
    graph = network(inputs, hidden, outputs)
    events = spikes(graph, rates)
    run = timed(graph, events, load_profile("loihi1-davies2018"), "fast")
    steps = len(run.step_time)
    sent = {name: each.sum(axis=2).ravel() for name, each in events.items()}
    arriving = np.zeros((2, steps))  # messages at each core, at each chip step
    arriving[0, :-2], arriving[1, 1:-1] = sent["encoder"], sent["hidden"]
    # one message reaches all neurons of the next layer, which are updated a step later; without any, only those that
    # fire are active
    active = np.zeros((2, steps))
    active[0, 1:-1] = np.where(sent["encoder"], hidden, sent["hidden"])
    active[1, 2:] = np.where(sent["hidden"], outputs, 0)
    neurons = np.array([[hidden], [outputs]])
    updates = 8.4 * active + 5.3 * (neurons - active)
    receiving = 3.5 * arriving * neurons
    assert run.step_time == pytest.approx(113 + np.maximum(updates, receiving).max(axis=0))


def test_loihi_energies_of_table_2() -> None:
    """Each count of a run times its energy: 23.6 pJ, 81 or 52 pJ, 1.7 pJ within the tile, 104 mW all the while."""
    hidden, outputs, samples = 20, 3, SAMPLES
    graph = network(6, hidden, outputs, threshold=9)
    trace, profile = ran(graph), load_profile("loihi1-davies2018")
    costs = estimate(Retime().run(graph), map_graph(graph, profile), Activity.of(graph, trace, "at random"), profile)
    inputs, fired = trace.events["encoder"], trace.events["hidden"]
    assert fired.any()
    ops = inputs.sum() * hidden + fired.sum() * outputs
    # an event reaches all neurons of the next layer; nobody fires without one
    active = inputs.any(axis=2).sum() * hidden + fired.any(axis=2).sum() * outputs
    updates = samples * TIMESTEPS * (hidden + outputs)
    assert costs.step_ns is not None
    known = {part: energy for part, energy in costs.energy_pj.parts.items() if energy}
    assert known == {
        "synapse": pytest.approx(23.6 * ops / samples),
        "soma": pytest.approx((81 * active + 52 * (updates - active)) / samples),
        "noc": pytest.approx(1.7 * fired.sum() / samples),
        "static": pytest.approx(104 * TIMESTEPS * costs.step_ns),
    }


# ---------------------------------------------------------------------------------------------------------- TrueNorth


def test_truenorth_pays_for_synaptic_events_and_nothing_else() -> None:
    """26 pJ for each spike and each synapse that it finds; a weight of zero is none."""
    graph = network(6, 20, 3, 7, threshold=9)
    trace, profile = ran(graph), load_profile("truenorth")
    costs = estimate(Retime().run(graph), map_graph(graph, profile), Activity.of(graph, trace, "at random"), profile)
    synaptic_events = trace.events["encoder"].sum() * 20 + trace.events["hidden"].sum() * (3 + 7)
    assert trace.events["hidden"].any()
    assert costs.total_pj == pytest.approx(26 * synaptic_events / SAMPLES)
    assert costs.energy_pj.part("synapse") == costs.total_pj
    run = simulate(Retime().run(graph), map_graph(graph, profile), profile, trace.events)
    assert set(run.step_time) == {1e6}  # the tick of 1 ms
    assert run.overruns == 0
