"""Tiny networks, placed by hand, and a chip of which a test says only what matters to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from collections.abc import Mapping as Map
from typing import Any

import numpy as np

from neurocompile.backends.cycle.result import CycleRun
from neurocompile.hardware import Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import (
    ENCODERS,
    Add,
    Array,
    DirectEncoder,
    FixedPoint,
    Input,
    Linear,
    Neuron,
    Node,
    Readout,
    Scale,
    Soma,
)
from neurocompile.ir.verify import verify
from neurocompile.mapping.limits import CORE_LIMITS
from neurocompile.mapping.mapping import CoreSlice, Mapping
from neurocompile.passes.retime import Retime
from tests.costs.costs_cases import chip as toy
from tests.costs.costs_cases import quantity

#: an implementation of the cycle engine
Run = Callable[..., CycleRun]

FIXED = FixedPoint(state_bits=18, accumulator_bits=12)
ONE = np.array(FIXED.one)


def neuron(**fields: Any) -> Neuron:
    return Neuron(**{"threshold": np.array(5), "leak": ONE, "current_leak": np.array(0), "bias": np.array(0),
                     "reset_value": np.array(0), "reset": "set", "fixed": FIXED} | fields)  # fmt: skip


def readout() -> Readout:
    return Readout(leak=ONE, current_leak=np.array(0), bias=np.array(0), fixed=FIXED)


def dense(outputs: int, inputs: int) -> Linear:
    """All to all."""
    return Linear(weight=np.ones((outputs, inputs), np.int64), weight_bits=4)


def single(size: int) -> Scale:
    """One to one."""
    return Scale(weight=np.ones(size, np.int64), weight_bits=4)


class Net:
    """Collects an encoder named ``code`` and the populations that a test adds; ``graph`` is in chip time."""

    def __init__(self, inputs: int, timesteps: int = 1, encoder: Node | None = None) -> None:
        self.timesteps = timesteps
        self.nodes: dict[str, tuple[Node, tuple[str, ...]]] = {"input": (Input(shape=(inputs,)), ())}
        self.nodes["code"] = (encoder or DirectEncoder(scale=1.0, low=0, high=1), ("input",))

    def add(self, name: str, *chains: tuple[str, *tuple[Node, ...]], soma: Soma | None = None) -> Net:
        """A population, fed by chains: (source, operators...)."""
        ends = []
        for place, (source, *operators) in enumerate(chains):
            for depth, node in enumerate(operators):
                here = f"{name}.{place}.{depth}"
                self.nodes[here] = (node, (source,))
                source = here
            ends.append(source)
        if len(ends) > 1:
            self.nodes[f"{name}.sum"] = (Add(), tuple(ends))
            ends = [f"{name}.sum"]
        self.nodes[name] = (soma or neuron(), tuple(ends))
        return self

    @property
    def graph(self) -> Graph:
        read = {source for _, inputs in self.nodes.values() for source in inputs}
        ends = tuple(name for name, (node, _) in self.nodes.items() if isinstance(node, Soma) and name not in read)
        ends = ends or (list(self.nodes)[-1],)
        triples = [(name, node, inputs) for name, (node, inputs) in self.nodes.items()]
        graph = Graph("tiny", "integer", self.timesteps, triples, ends)
        verify(graph)
        mapped = Retime().run(graph)
        verify(mapped)
        return mapped


def chain(*sizes: int, timesteps: int = 1) -> Graph:
    """code -> l1 -> l2 -> ..., all to all."""
    net, before = Net(sizes[0], timesteps), "code"
    for place, (inputs, outputs) in enumerate(itertools.pairwise(sizes), start=1):
        net.add(f"l{place}", (before, dense(outputs, inputs)))
        before = f"l{place}"
    return net.graph


def placed(graph: Graph, profile: Profile, **cores: int | Sequence[tuple[int, int]]) -> Mapping:
    """``name=core``, or ``name=[(core, neurons), ...]`` for slices of so many neurons each."""
    per_tile = profile.topology.cores_per_tile.count if profile.topology else 1
    slices = []
    for name, where in cores.items():
        start, (size,) = 0, graph.shape(name)
        for core, count in [(where, size)] if isinstance(where, int) else where:
            needs = dict.fromkeys((limit.name for limit in CORE_LIMITS), 1) | {"neurons": count}
            slices.append(CoreSlice(name, ((start, start + count),), core, core // per_tile, needs))
            start += count
    mapping = Mapping(profile.name, tuple(slices))
    mapping.check(graph, profile)
    return mapping


def spikes(graph: Graph, samples: int = 1, **fired: Map[tuple[int, int], Any]) -> dict[str, Array]:
    """``name={(sample, step): neurons that fire}``, or ``{neuron: value}`` for what they send."""
    events = {}
    for name, node in graph.items():
        if isinstance(node, (*ENCODERS, Neuron)):
            events[name] = np.zeros((samples, graph.timesteps, *graph.shape(name)), np.int64)
    for name, at in fired.items():
        for (sample, step), neurons in at.items():
            values = neurons if isinstance(neurons, dict) else dict.fromkeys(neurons, 1)
            for number, value in values.items():
                events[name][sample, step, number] = value
    return events


def times(unit: str = "ns", **events: float) -> dict[str, Any]:
    return {name: cost(value, unit) for name, value in events.items()}


def cost(value: float, unit: str = "ns") -> dict[str, Any]:
    plain = {"energy_pj": None, "time_ns": None}
    return plain | {"time_ns" if unit == "ns" else "cycles": quantity(value, unit)}


def level(holds: str, *, read: float | None, write: float | None, included: bool = False) -> dict[str, Any]:
    """A memory of bytes."""
    nothing = {"energy_pj": None, "time_ns": None}
    return {
        "name": holds, "holds": [holds], "per": "core", "word_bits": quantity(8, "bits"), "size_words": None,
        "read": nothing if read is None else cost(read), "write": nothing if write is None else cost(write),
        "energy_in_events": included,
    }  # fmt: skip


def noc(
    hop: float = 0, *, south: float = 0, within: float = 0, link: float | None = None, buffers: int | None = None
) -> dict[str, Any]:
    return {
        "routing": "xy",
        "hop_east_west": cost(hop),
        "hop_north_south": cost(south),
        "within_tile": cost(within),
        "link_time_ns": None if link is None else quantity(link, "ns"),
        "buffer_messages": None if buffers is None else quantity(buffers, "messages"),
    }


def chip(mesh: tuple[int, int, int] = (1, 1, 1), *, unit: str = "ns", **given: Any) -> Profile:
    """``mesh``: rows, columns, cores per tile. What is a field of ``Events`` is a time; what is left out is none."""
    rows, columns, cores = mesh
    names = ("synaptic_op", "graded_synaptic_op", "neuron_update_active", "neuron_update_inactive",
             "neuron_update_stateless", "neuron_update_readout", "spike_out", "axon_out", "axon_in")  # fmt: skip
    events = dict.fromkeys(names) | times(unit, **{name: given.pop(name) for name in names if name in given})
    parts = {
        "topology": {
            "tile_rows": quantity(rows, "tiles"),
            "tile_columns": quantity(columns, "tiles"),
            "cores_per_tile": quantity(cores, "cores"),
        },
        "events": events,
        "memory": [],
        "noc": None,
        "barrier": None,
    }
    return toy(**parts | given)


# -------------------------------------------------------------------------------------------------- reading results


def row(run: CycleRun, core: int) -> int:
    return run.cores.core.tolist().index(core)


def of_core(run: CycleRun, core: int, *names: str) -> tuple[float, ...]:
    return tuple(getattr(run.cores, name)[row(run, core)] for name in names)


def spent(run: CycleRun, core: int) -> tuple[float, ...]:
    """(sending, receiving, stalled, idle)"""
    return of_core(run, core, "sending", "receiving", "stalled", "idle")


def at(run: CycleRun, step: int, core: int) -> tuple[float, ...]:
    """(sending end, receiving start, receiving end) within a chip step."""
    line, index = run.timeline, (step - run.timeline.first_step, row(run, core))
    return line.sending_end[index], line.receiving_start[index], line.receiving_end[index]


def links(run: CycleRun) -> dict[tuple[int, int], tuple[float, ...]]:
    """{(from tile, to tile): (messages, busy, wait, peak)}"""
    each = run.links
    rows = zip(each.source, each.target, each.messages, each.busy, each.wait, each.peak, strict=True)
    return {(int(a), int(b)): tuple(numbers) for a, b, *numbers in rows}
