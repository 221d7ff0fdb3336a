"""Which neuron fires, and whose update is active, at each chip step: spikes moved to when the chip deals with them."""

from __future__ import annotations

import functools
from collections.abc import Mapping as Map

import numpy as np

from neurocompile.backends.cycle.plan import Plan, Sender
from neurocompile.costs.activity import reached
from neurocompile.costs.memory import is_stateful
from neurocompile.errors import InputError
from neurocompile.ir.nodes import ENCODERS, SPIKING, Array, DirectEncoder, Node, per_channel
from neurocompile.ir.populations import Population
from neurocompile.mapping.synapses import payload_bits


class ChipActivity:
    """The spikes of N samples of T steps, laid out by ``plan`` and chip step."""

    def __init__(
        self, plan: Plan, events: Map[str, Array], awake: Map[str, Array] | None, leftover: Map[str, Array] | None
    ) -> None:
        self.plan = plan
        self.samples = _check(plan, events)
        self.steps = self.samples * plan.graph.timesteps + plan.depth
        self.messages = [self._messages(sender, events) for sender in plan.senders]
        fired = {name: values != 0 for name, values in events.items()}
        self.active = {
            population.name: _active(population, fired, None if awake is None else awake.get(population.name))
            for population in plan.populations
            if is_stateful(population.soma, plan.graph.timesteps)
        }
        self.leftover = leftover or {}

    def fired(self, start: int, stop: int) -> Array:
        """uint8 (steps, neurons): the messages of each neuron to each of its cores, chip steps start to stop."""
        plan = self.plan
        chunk = np.zeros((stop - start, int(plan.neurons[-1])), np.uint8)
        for sender, own in zip(plan.senders, self.messages, strict=True):
            low, high = max(start, sender.phase), min(stop, sender.phase + len(own))
            if low < high:
                chunk[low - start : high - start, sender.numbers] = own[low - sender.phase : high - sender.phase]
        return chunk

    def updated(self, start: int, stop: int) -> Array:
        """bool (steps, neurons of the chip): whose update is active; every update of what keeps no state counts."""
        plan = self.plan
        chunk = np.zeros((stop - start, int(plan.neurons[-2])), np.bool_)
        for sender in plan.senders:
            if sender.name not in self.active or sender.of_biases:
                continue
            own = self.active[sender.name]
            after = self.leftover.get(sender.name)
            if after is not None:
                own = np.concatenate([own, after.reshape(len(after), own.shape[1])])
            low, high = max(start, sender.phase), min(stop, sender.phase + len(own))
            if low < high:
                chunk[low - start : high - start, sender.numbers] = own[low - sender.phase : high - sender.phase]
        return chunk

    def _messages(self, sender: Sender, events: Map[str, Array]) -> Array:
        """uint8 (N * T, neurons); none of what never fires."""
        name = sender.name
        if sender.of_biases:
            return np.ones((self.samples * self.plan.graph.timesteps, 1), np.uint8)
        if name not in events:
            return np.zeros((0, len(sender.numbers)), np.uint8)
        values = _in_turn(events[name]).reshape(-1, int(np.prod(events[name].shape[2:])))
        if not sender.in_bits:
            flags: Array = (values != 0).astype(np.uint8)
            return flags
        return _set_bits(self.plan.graph.node(name), values)


def _check(plan: Plan, events: Map[str, Array]) -> int:
    """The number of samples; InputError where an array is missing or of another shape."""
    graph = plan.graph
    samples: int | None = None
    for name in graph.of_kind(*ENCODERS, *SPIKING):
        if name not in events:
            raise InputError(f"{name}: the cycle engine has no events of it; record them with the run")
        shape = events[name].shape
        samples = shape[0] if samples is None else samples
        expected = (samples, graph.timesteps, *graph.shape(name))
        if shape != expected or not samples:
            raise InputError(f"{name}: events have shape {shape}, expected {expected}; run the network again")
    return int(samples or 0)


def _set_bits(node: Node, values: Array) -> Array:
    whole = values.astype(np.int64)
    if isinstance(node, DirectEncoder) and node.low < 0:
        whole = whole & ((1 << payload_bits(node)) - 1)
    counts: Array = np.bitwise_count(np.abs(whole)).astype(np.uint8)
    return counts


def _active(population: Population, fired: Map[str, Array], awake: Array | None) -> Array:
    """bool (N * T, neurons): an event arrives, it fires, a bias drives it or, if asked for, its state is not zero."""
    shape = population.shape
    arrived: Array = functools.reduce(
        np.logical_or,
        (
            reached(projection, _in_turn(projection.arriving(fired[projection.source])))
            for projection in population.projections
        ),
    )
    bias = per_channel(np.asarray(getattr(population.soma, "bias", 0.0)) != 0, shape)
    active: Array = np.broadcast_to(arrived, (len(arrived), *shape)) | bias
    if population.name in fired:
        active = active | _in_turn(fired[population.name])
    if awake is not None:
        active = active | _in_turn(awake)
    flat: Array = active.reshape(len(active), -1)
    return flat


def _in_turn(values: Array) -> Array:
    """(N, T, *shape) -> (N * T, *shape)."""
    return values.reshape(-1, *values.shape[2:])
