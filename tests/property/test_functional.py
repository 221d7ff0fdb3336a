"""The functional engine on whole generated networks: every spike and every output is the interpreter's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from neurocompile.backends.functional import FunctionalBackend, plan
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace, interpret
from neurocompile.ir.nodes import SPIKING, Conv2d, Linear, Scale, Soma
from tests.networks import integer_networks, lower, mapped_networks, networks, samples_for

ENGINE = FunctionalBackend()


def assert_equal(found: Trace, expected: Trace) -> None:
    for mine, theirs in ((found.outputs, expected.outputs), (found.events, expected.events)):
        assert mine.keys() == theirs.keys()
        for name, array in theirs.items():
            np.testing.assert_array_equal(mine[name], array, err_msg=name)
            assert mine[name].dtype == array.dtype


@settings(max_examples=200)
@given(st.data())
def test_it_equals_the_interpreter(data: st.DataObject) -> None:
    graph = data.draw(integer_networks())
    samples = data.draw(samples_for(graph))
    first = data.draw(st.sampled_from((0, 5)))
    assert_equal(ENGINE.run(graph, samples, first_sample=first), interpret(graph, samples, first_sample=first))


@settings(max_examples=60)
@given(st.data())
def test_it_equals_the_interpreter_on_networks_of_one_time_step(data: st.DataObject) -> None:
    graph = data.draw(integer_networks(timesteps=1))
    samples = data.draw(samples_for(graph))
    assert_equal(ENGINE.run(graph, samples), interpret(graph, samples))


@settings(max_examples=40)
@given(st.data())
def test_it_runs_a_graph_in_chip_time_as_the_interpreter_does(data: st.DataObject) -> None:
    _, mapped = data.draw(mapped_networks())
    samples = data.draw(samples_for(mapped))
    assert_equal(ENGINE.run(mapped, samples), interpret(mapped, samples))


@st.composite
def narrowed(draw: DrawFn, graph: Graph) -> Graph:
    """The same network with states so narrow that they overflow, by wrapping or by clipping."""
    bits = draw(st.sampled_from((4, 6, 9)))
    overflow = st.sampled_from(("wrap", "clip"))
    draft = graph.edit()
    for name, node in graph.items():
        if isinstance(node, Soma) and node.fixed is not None:
            fixed = replace(
                node.fixed, state_bits=bits, current_overflow=draw(overflow), membrane_overflow=draw(overflow)
            )
            draft.replace(name, replace(node, fixed=fixed))
    return draft.finish()


@settings(max_examples=120)
@given(st.data())
def test_states_wrap_and_clip_as_in_the_interpreter(data: st.DataObject) -> None:
    graph = data.draw(narrowed(data.draw(integer_networks())))
    samples = data.draw(samples_for(graph))
    assert_equal(ENGINE.run(graph, samples), interpret(graph, samples))


@st.composite
def magnified(draw: DrawFn, graph: Graph) -> Graph:
    """The same network with weights so large that sums pass 2**24, and some 2**53."""
    draft = graph.edit()
    for name, node in graph.items():
        if isinstance(node, (Conv2d, Linear, Scale)):
            factor = draw(st.sampled_from((1, 1 << 8, 1 << 16, 1 << 22)))
            weight = node.weight.astype(np.int64) * factor
            exponent = draw(st.sampled_from((node.weight_exponent, 3, 15)))
            draft.replace(name, replace(node, weight=weight, weight_bits=32, weight_exponent=exponent))
    return draft.finish()


@settings(max_examples=120)
@given(st.data())
def test_large_sums_are_as_exact_as_small_ones(data: st.DataObject) -> None:
    graph = data.draw(magnified(data.draw(integer_networks())))
    samples = data.draw(samples_for(graph))
    assert_equal(ENGINE.run(graph, samples), interpret(graph, samples))


@settings(max_examples=60)
@given(st.data())
def test_a_presentation_in_parts_is_the_same_as_whole(data: st.DataObject) -> None:
    graph = data.draw(integer_networks())
    samples = data.draw(samples_for(graph))
    part_bytes, most_parts = data.draw(st.sampled_from(((1, 1), (64, 2), (1000, 1))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "_PART_BYTES", part_bytes)
        patch.setattr(plan, "_MOST_PARTS", most_parts)
        assert_equal(FunctionalBackend().run(graph, samples), interpret(graph, samples))


@settings(max_examples=60)
@given(st.data())
def test_a_population_that_is_given_sends_what_it_is_told(data: st.DataObject) -> None:
    graph = data.draw(integer_networks())
    samples = data.draw(samples_for(graph))
    name = data.draw(st.sampled_from(graph.of_kind(*SPIKING) or [""]))
    if not name:
        return
    shape = (len(samples), graph.timesteps, *graph.shape(name))
    spikes: Any = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 2, shape)
    expected = interpret(graph, samples, given={name: spikes})
    for index, trace in enumerate(ENGINE.batches(graph, samples, given={name: spikes}, batch=1)):
        one = slice(index, index + 1)
        for each, values in expected.events.items():
            np.testing.assert_array_equal(trace.events[each], values[one], err_msg=each)
        for each, values in expected.outputs.items():
            np.testing.assert_array_equal(trace.outputs[each], values[one], err_msg=each)


@settings(max_examples=60)
@given(st.data())
def test_float_graphs_run_as_in_the_interpreter(data: st.DataObject) -> None:
    """Their numbers are dyadic, so that no order of summation rounds."""
    graph = data.draw(networks())
    graph = lower(graph) if data.draw(st.booleans()) else graph
    samples = data.draw(samples_for(graph))
    expected = interpret(graph, samples)
    found = ENGINE.run(graph, samples)
    for name, values in expected.events.items():
        np.testing.assert_array_equal(found.events[name], values, err_msg=name)
