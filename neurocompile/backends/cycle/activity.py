"""Which neuron fires, and whose update is active, at each chip step: spikes moved to when the chip deals with them."""

from __future__ import annotations

from collections.abc import Mapping as Map

import numpy as np

from neurocompile.backends.cycle.plan import Plan, Sender
from neurocompile.costs.activity import reached
from neurocompile.errors import InputError
from neurocompile.ir.nodes import ANALOG, ENCODERS, SPIKING, Array, Node, per_channel
from neurocompile.ir.populations import Population
from neurocompile.mapping.synapses import payload_bits


class ChipActivity:
    """The spikes of N samples of T steps, laid out by ``plan`` and chip step: as many steps as are asked for at once,
    so that all of them never lie twice in memory.

    InputError where an array is missing or of another shape.
    """

    def __init__(
        self, plan: Plan, events: Map[str, Array], awake: Map[str, Array] | None, leftover: Map[str, Array] | None
    ) -> None:
        self.plan, self.events, self.awake, self.leftover = plan, events, awake, leftover or {}
        self.samples = _check(plan, events, awake)
        self.own_steps = self.samples * plan.graph.timesteps
        self.steps = self.own_steps + plan.depth
        self.numbers = {sender.name: sender.numbers for sender in plan.senders if not sender.of_biases}

    def fired(self, start: int, stop: int) -> Array:
        """uint8 (steps, neurons): the messages of each neuron to each of its cores, chip steps start to stop."""
        chunk = np.zeros((stop - start, int(self.plan.neurons[-1])), np.uint8)
        for sender in self.plan.senders:
            own, there = self._span(sender.phase, start, stop)
            if sender.of_biases:
                chunk[there, sender.numbers] = 1
            elif sender.name in self.events:
                values = _in_turn(self.events[sender.name])[own].reshape(-1, len(sender.numbers))
                chunk[there, sender.numbers] = self._messages(sender, values, own.start)
        return chunk

    def _messages(self, sender: Sender, values: Array, first: int) -> Array:
        """How many messages of its kind the sender's ``values`` (steps, neurons) are; ``first``: the own step of the
        first."""
        if sender.kind == "bits":
            return _set_bits(self.plan.graph.node(sender.name), values)
        fired: Array = values != 0
        if sender.kind == "events":
            return fired
        begins = (first + np.arange(len(values))) % self.plan.graph.timesteps == 0
        fired &= (begins if sender.kind == "values" else ~begins)[:, None]
        return fired

    def updated(self, start: int, stop: int) -> Array:
        """bool (steps, neurons of the chip): whose update is active; every update of what keeps no state counts."""
        timesteps = self.plan.graph.timesteps
        chunk = np.zeros((stop - start, int(self.plan.neurons[-2])), np.bool_)
        for population in self.plan.stateful_populations:
            name, phase = population.name, population.soma.phase
            own, there = self._span(phase, start, stop)
            if own.start < own.stop:
                first = own.start // timesteps
                active = self._active(population, slice(first, -(-own.stop // timesteps)))
                chunk[there, self.numbers[name]] = active[own.start - first * timesteps : own.stop - first * timesteps]
            if name in self.leftover:
                after = self.leftover[name].reshape(-1, population.neurons)
                own, there = self._span(phase + self.own_steps, start, stop, len(after))
                chunk[there, self.numbers[name]] = after[own]
        return chunk

    def _span(self, begin: int, start: int, stop: int, length: int | None = None) -> tuple[slice, slice]:
        """Of ``length`` steps (None: those of all samples) that begin at chip step ``begin``: those from chip step
        ``start`` to ``stop``, and their places among these."""
        low, high = max(start - begin, 0), min(stop - begin, self.own_steps if length is None else length)
        high = max(low, high)
        return slice(low, high), slice(low + begin - start, high + begin - start)

    def _active(self, population: Population, samples: slice) -> Array:
        """bool (n * T, neurons): an event arrives, it fires, a bias drives it or, if told of, its state is not zero."""
        shape = population.shape
        active = per_channel(np.asarray(getattr(population.soma, "bias", 0.0)) != 0, shape)
        for projection in population.projections:
            sent = projection.arriving(self.events[projection.source][samples] != 0)
            active = active | reached(projection, _in_turn(sent))
        if population.name in self.events:
            active = active | (_in_turn(self.events[population.name][samples]) != 0)
        if self.awake is not None:
            active = active | _in_turn(self.awake[population.name][samples])
        return np.broadcast_to(active, (len(active), *shape)).reshape(len(active), -1)


def _check(plan: Plan, events: Map[str, Array], awake: Map[str, Array] | None) -> int:
    """The number of samples; InputError where an array is missing or of another shape."""
    graph = plan.graph
    samples: int | None = None
    wanted = [(name, "events", events) for name in graph.of_kind(*ENCODERS, *SPIKING)]
    if awake is not None:
        wanted += [(population.name, "awake states", awake) for population in plan.stateful_populations]
    for name, kind, arrays in wanted:
        if name not in arrays:
            raise InputError(f"{name}: the cycle engine has no {kind} of it; record them with the run")
        shape = arrays[name].shape
        samples = shape[0] if samples is None else samples
        expected = (samples, graph.timesteps, *graph.shape(name))
        if shape != expected or not samples:
            raise InputError(f"{name}: {kind} have shape {shape}, expected {expected}; run the network again")
    return int(samples or 0)


def _set_bits(node: Node, values: Array) -> Array:
    whole = values.astype(np.int64)
    if isinstance(node, ANALOG) and node.low < 0:
        whole = whole & ((1 << payload_bits(node)) - 1)
    counts: Array = np.bitwise_count(np.abs(whole)).astype(np.uint8)
    return counts


def _in_turn(values: Array) -> Array:
    """(N, T, *shape) -> (N * T, *shape)."""
    return values.reshape(-1, *values.shape[2:])
