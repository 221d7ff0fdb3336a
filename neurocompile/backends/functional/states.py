"""Which neurons hold a state at each step: what a chip that skips neurons at rest wants to know of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from neurocompile.backends.functional import loops
from neurocompile.backends.functional.execute import arriving, inward, sums
from neurocompile.backends.functional.plan import Layer, Plan
from neurocompile.backends.functional.somas import NeuronLoop, channels_first, physical
from neurocompile.costs.memory import is_stateful
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import SomaState
from neurocompile.ir.nodes import Array, Neuron, Readout

#: neuron-steps of one population that are looked at together
_BATCH_NEURONS = 1 << 22


def awake_states(
    graph: Graph, events: Mapping[str, Array], phases: Mapping[str, int]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """For each soma that keeps a state: whether it is other than zero before each update.

    ``events``: all that is sent, (N, T, *shape), of an integer graph. The first result is bool (N, T, *shape); the
    second goes on where the last sample ends, bool (D - phase, *shape) with ``phases`` and the deepest D of them: there
    nothing arrives and nothing fires, states leak.
    """
    plan = Plan.of(graph)
    layers = [layer for layer in plan.layers if is_stateful(layer.population.soma, graph.timesteps)]
    parts: dict[str, list[Array]] = {layer.name: [] for layer in layers}
    leftover: dict[str, Array] = {}
    samples = len(next(iter(events.values())))
    batch = max(1, _BATCH_NEURONS // (graph.timesteps * max(math.prod(graph.shape(name)) for name in events)))
    for start in range(0, samples, batch):
        sent = {name: inward(values[start : start + batch], plan.dtypes[name]) for name, values in events.items()}
        for layer in layers:
            flags, states = _presentation(layer, sent, graph.timesteps)
            parts[layer.name].append(channels_first(flags, layer.population.shape))
            if start + batch >= samples:
                rest = _rest(layer, states, max(phases.values()) - phases[layer.name])
                leftover[layer.name] = channels_first(rest, layer.population.shape)
    return {layer.name: np.concatenate(parts.pop(layer.name)) for layer in layers}, leftover


def _presentation(layer: Layer, sent: Mapping[str, Array], timesteps: int) -> tuple[Array, Array]:
    """bool (N, T, neurons), channels fastest; and membrane and current of the last sample at the end, (2, neurons)."""
    sources = [arriving(product, sent, timesteps) for product in layer.products]
    count, neurons = len(sources[0]), layer.population.neurons
    state = layer.runner.begin(count, whole=False)
    flags = np.empty((count, timesteps, neurons), np.bool_)
    written = np.empty((count, 1, neurons), layer.dtype)
    for t in range(timesteps):
        flags[:, t] = (_membrane_and_current(layer, state) != 0).any(axis=0)
        terms = [
            sums(product, source[:, t : t + 1] if source.shape[1] > 1 else source)
            for product, source in zip(layer.products, sources, strict=True)
        ]
        total = terms[0]
        for term in terms[1:]:
            total = np.add(total, term, dtype=layer.sum_dtype, casting="unsafe")
        layer.runner.advance(total, 1, written, state)
    return flags, _membrane_and_current(layer, state)[:, -1]


def _membrane_and_current(layer: Layer, state: Array | SomaState) -> Array:
    """(2, N, neurons), channels fastest."""
    if isinstance(layer.runner, NeuronLoop):
        assert not isinstance(state, SomaState)
        values = np.stack([state[:, loops.MEMBRANE], state[:, loops.CURRENT]])
        remembers = layer.runner.rule.current_decays
    else:
        assert isinstance(state, SomaState)
        both = [np.moveaxis(each, 1, -1).reshape(len(each), -1) for each in (state.membrane, state.current)]
        values = np.stack(both)
        remembers = bool(np.any(getattr(layer.population.soma, "current_leak", 0)))
    return values if remembers else values * np.array([1, 0]).reshape(2, 1, 1)


def _rest(layer: Layer, states: Array, steps: int) -> Array:
    """bool (steps, neurons): whether what is left of ``states`` (2, neurons) is other than zero, as it leaks."""
    soma = layer.population.soma
    assert isinstance(soma, Neuron | Readout)
    one = soma.fixed.one if soma.fixed else 1
    neurons, shape = states.shape[1], layer.population.shape
    leaks = [np.resize(physical(each, shape) / one, neurons) for each in (soma.leak, soma.current_leak)]
    membrane, current = states.astype(np.float64)
    flags = np.zeros((steps, neurons), np.bool_)
    for step in range(steps):
        flags[step] = (membrane != 0) | (current != 0)
        current = np.trunc(current * leaks[1])
        membrane = np.trunc(membrane * leaks[0]) + current
    return flags
