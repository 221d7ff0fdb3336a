"""Every pass on whole generated networks: what it removes is gone, and every spike stays where it was.

All numbers in these networks are small dyadic fractions, so both sides are computed without rounding and agree bit for
bit: no tolerance, and no membrane that is an ulp from its threshold. The one division (a batch norm moved into a
threshold) is correctly rounded, which keeps a comparison of such numbers exact too.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import (
    AvgPool2d,
    AxonDelay,
    BatchNorm,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Identity,
    Linear,
    MaxPool2d,
    Neuron,
    Readout,
    Recurrent,
    Threshold,
)
from neurocompile.ir.verify import verify
from neurocompile.passes.base import PassManager
from neurocompile.passes.retime import Retime
from tests.networks import EXACT, LOWERING, STEADY, lower, mapped_networks, networks, samples_for
from tests.passes.helpers import assert_same


def assert_gone(name: str, graph: Graph) -> None:
    """What each pass promises to remove."""
    neurons = [graph.node(each) for each in graph.of_kind(Neuron)]
    match name:
        case "remove_identity":
            assert not graph.of_kind(Identity, Dropout)
        case "stateless":
            fires_first = all(isinstance(node, Neuron) and node.order == "fire_first" for node in neurons)
            assert graph.timesteps > 1 or fires_first
            assert graph.timesteps == 1 or not graph.of_kind(Threshold)
        case "lower_transposed":
            assert not graph.of_kind(ConvTranspose2d)
        case "lower_max_pool":
            assert not graph.of_kind(MaxPool2d)
        case "fuse_batchnorm":
            assert not graph.of_kind(BatchNorm)
        case "fold_pooling":
            assert not graph.of_kind(AvgPool2d)
        case "split_projections":
            for layer in map(graph.node, graph.of_kind(Conv2d, Linear)):
                assert isinstance(layer, (Conv2d, Linear))
                assert layer.bias is None
            pasts = [node for _, node in graph.items() if isinstance(node, Recurrent)]
            assert all(node.steps < graph.timesteps >= node.longest for node in pasts)
        case "lower_delays":
            assert not graph.of_kind(AxonDelay)
        case _:
            raise AssertionError(name)


def check_each_pass(graph: Graph, data: st.DataObject) -> None:
    verify(graph)
    samples = data.draw(samples_for(graph))
    for each in LOWERING:
        after = each.run(graph)
        verify(after)
        assert_gone(each.name, after)
        assert_same(graph, after, samples, more=each.name == "lower_max_pool")
        graph = after


@settings(max_examples=150)
@given(st.data())
def test_each_pass_keeps_every_spike(data: st.DataObject) -> None:
    check_each_pass(data.draw(networks()), data)


@settings(max_examples=100)
@given(st.data())
def test_each_pass_keeps_every_spike_of_one_time_step(data: st.DataObject) -> None:
    check_each_pass(data.draw(networks(timesteps=1)), data)


@settings(max_examples=120)
@given(st.data())
def test_integers_spike_as_the_floats_where_quantizing_is_exact(data: st.DataObject) -> None:
    """Leaks of 0 and 1, weights that are sixteenths: traced float network == integer network, step by step."""
    graph = data.draw(networks(exact=True))
    samples = data.draw(samples_for(graph))
    whole = PassManager((EXACT,)).run(lower(graph))
    real, integer = interpret(graph, samples), interpret(whole, samples)
    for name, events in real.events.items():
        assert np.array_equal(events, integer.events[name]), name
    for name, result in real.outputs.items():
        node = whole.node(name)
        unit = node.unit if isinstance(node, Readout) else 1.0
        assert np.array_equal(result, integer.outputs[name] * unit), name


@settings(max_examples=100)
@given(st.data())
def test_chip_time_shows_the_spikes_of_logical_time(data: st.DataObject) -> None:
    """chip(t + phase) = logical(t), with up to four samples in the pipe."""
    graph, mapped = data.draw(mapped_networks())
    verify(mapped)
    assert_same(graph, mapped, data.draw(samples_for(graph, most=4)))


@settings(max_examples=30)
@given(st.data())
def test_a_sample_does_not_feel_those_before_it(data: st.DataObject) -> None:
    graph, mapped = data.draw(mapped_networks(encoders=(*STEADY, "dct")))
    samples = data.draw(samples_for(graph, most=4))
    together, alone = interpret(mapped, samples), interpret(mapped, samples[-1:])
    for name, events in alone.events.items():
        assert np.array_equal(together.events[name][-1:], events), name


@settings(max_examples=30)
@given(mapped_networks())
def test_the_same_network_gives_the_same_bytes(graphs: tuple[Graph, Graph]) -> None:
    graph, mapped = graphs
    assert Retime().run(graph).hash == mapped.hash
    assert graph.hash != mapped.hash
