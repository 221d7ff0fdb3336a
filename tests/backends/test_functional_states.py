"""Which neurons hold a state, against the interpreter's own states."""

from __future__ import annotations

from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from neurocompile.backends.functional.states import awake_states
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import SomaState, Trace, interpret
from neurocompile.ir.nodes import Array, Threshold
from neurocompile.ir.populations import Population, populations
from tests.networks import integer_networks, samples_for


def states(graph: Graph, population: Population, trace: Trace, rest: int) -> tuple[Array, Array]:
    """bool (N, T, *shape), and (rest, *shape) after the last sample, by the interpreter's own steps."""
    terms = []
    for projection in population.projections:
        arrived = projection.arriving(trace.events[projection.source]).astype(np.int64)
        flat = projection.apply(arrived.reshape(-1, *arrived.shape[2:]))
        terms.append(flat.reshape(*arrived.shape[:2], *population.shape))
    arriving = sum(terms)
    state = SomaState(population.soma, population.shape, len(arriving), np.dtype(np.int64))
    remembers = bool(np.any(getattr(population.soma, "current_leak", 0)))

    def awake() -> Array:
        return (state.membrane != 0) | ((state.current != 0) & remembers)

    flags = []
    for t in range(graph.timesteps):
        flags.append(awake())
        state.step(arriving[:, t])
    after = []
    soma = population.soma
    for _ in range(rest):
        after.append(awake()[-1])
        state.current = state._decay(state.current, soma.current_leak)
        state.membrane = state._decay(state.membrane, soma.leak) + (state.current if remembers else 0)
    return np.stack(flags, axis=1), np.array(after, np.bool_).reshape(rest, *population.shape)


@given(st.data())
def test_states_are_those_of_the_interpreter(data: st.DataObject) -> None:
    graph = data.draw(integer_networks())
    trace = interpret(graph, data.draw(samples_for(graph)))
    stateful = [each for each in populations(graph) if graph.timesteps > 1 and not isinstance(each.soma, Threshold)]
    depth = len(populations(graph)) + 1
    phases = {each.name: index for index, each in enumerate(populations(graph))} | {"": depth}
    with mock.patch("neurocompile.backends.functional.states._BATCH_NEURONS", data.draw(st.sampled_from((1, 1 << 22)))):
        awake, leftover = awake_states(graph, trace.events, phases)
    assert awake.keys() == leftover.keys() == {each.name for each in stateful}
    for each in stateful:
        during, after = states(graph, each, trace, depth - phases[each.name])
        assert np.array_equal(awake[each.name], during)
        assert np.array_equal(leftover[each.name], after)
