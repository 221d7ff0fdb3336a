"""NIR out, and back in: the very same graph."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from neurocompile.backends.export.nir import to_nir, write_nir
from neurocompile.frontend.nir import read_nir
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import (
    Array,
    AvgPool2d,
    Conv2d,
    DirectEncoder,
    Flatten,
    Input,
    Linear,
    Neuron,
    Node,
    Readout,
)
from neurocompile.passes.base import PassManager
from neurocompile.passes.batchnorm import FuseBatchNorm
from neurocompile.passes.cleanup import RemoveIdentity
from tests.networks import integer_networks, lower, networks, samples_for

nir = pytest.importorskip("nir")

#: seconds, a power of two: nothing rounds on the way through a time constant
DT = 2.0**-10


def fused(graph: Graph) -> Graph:
    return PassManager((RemoveIdentity(), FuseBatchNorm())).run(graph)


def same(graph: Graph) -> Graph:
    return graph


def returns(graph: Graph, path: Path) -> list[str]:
    """Export and import ``graph``, in memory and through a file; the notes of the export."""
    assert read_nir(to_nir(graph, dt=DT))[0].hash == graph.hash
    notes = write_nir(SimpleNamespace(trained=graph, integer=graph), path, dt=DT)
    again, told = read_nir(path)
    assert again.hash == graph.hash
    assert again.stage == graph.stage
    assert any("written by neurocompile" in note for note in told)
    return notes


@pytest.mark.parametrize("stage", [same, fused, lower])
@settings(max_examples=20)
@given(data=st.data())
def test_float_graphs_return_the_same(
    stage: Callable[[Graph], Graph], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    returns(stage(data.draw(networks())), tmp_path_factory.mktemp("nir") / "net.nir")


@settings(max_examples=40)
@given(graph=integer_networks())
def test_integer_graphs_return_the_same(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> None:
    returns(graph, tmp_path_factory.mktemp("nir") / "net.nir")


# ------------------------------------------------------------------------------------------- what NIR itself says of it


@st.composite
def plain_networks(draw: DrawFn) -> Graph:
    """Networks of neurons that NIR knows, whose leaks are time constants of a power of two."""
    graph = draw(networks(poisson=False))
    draft = graph.edit()
    for name, node in graph.items():
        if not isinstance(node, (Neuron, Readout)):
            continue
        leak, current_leak = draw(st.sampled_from(((0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (0.5, 0.75), (0.875, 0.5))))
        leaks = {"leak": np.array(leak), "current_leak": np.array(current_leak)}
        if isinstance(node, Readout):
            draft.replace(name, dataclasses.replace(node, **leaks))
            continue
        reset = node.reset_value if leak < 1 else np.array(0.0)
        threshold, bias = node.threshold, node.bias
        draft.replace(name, Neuron(threshold=threshold, bias=bias, reset="set", reset_value=reset, **leaks))
    return draft.finish()


def without_metadata(network: nir.NIRGraph) -> nir.NIRGraph:
    return nir.NIRGraph(network.nodes, network.edges, metadata={"dt": DT}, type_check=False)


@settings(max_examples=60)
@given(data=st.data())
def test_what_nir_says_gives_the_same_spikes(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    graph = data.draw(plain_networks())
    samples = data.draw(samples_for(graph))
    notes = write_nir(SimpleNamespace(trained=graph, integer=graph), tmp_path_factory.mktemp("nir") / "net.nir", dt=DT)
    assume(not any("bias" in note for note in notes))
    network = without_metadata(to_nir(graph, dt=DT))
    assume(not any(isinstance(node, nir.Delay) for node in network.nodes.values()))
    read, told = read_nir(network, timesteps=graph.timesteps)
    assert told[0] == f"one time step is {DT:g} s, as the file states"
    ours, theirs = interpret(graph, samples), interpret(read, samples)
    same_values(theirs.outputs, ours.outputs)
    somas = [name for name, node in graph.items() if isinstance(node, Neuron)]
    same_values({name: theirs.events[name] for name in somas}, {name: ours.events[name] for name in somas})


def same_values(one: dict[str, Array], other: dict[str, Array]) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


# --------------------------------------------------------------------------------------------- other tools read it too


@st.composite
def feed_forward(draw: DrawFn) -> Graph:
    """Layers of neurons that NIR and SpikingJelly know; no membrane ever meets a threshold exactly."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from(((2, 6, 6), (1, 5, 4), (5,))))
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [("input", Input(shape=shape), ())]
    nodes.append(("encoder", DirectEncoder(), ("input",)))

    def weights(*sizes: int) -> Array:
        return rng.integers(-6, 9, sizes) / 4

    def neuron(name: str, source: str) -> str:
        threshold = np.array(rng.integers(1, 12) / 4 + 2**-20)
        leak, current = draw(st.sampled_from(((1.0, 0.0), (0.5, 0.0), (0.75, 0.0), (0.5, 0.5), (0.75, 0.5))))
        node = Neuron(threshold=threshold, leak=np.array(leak), current_leak=np.array(current), reset="set")
        nodes.append((name, node, (source,)))
        return name

    last = "encoder"
    if len(shape) == 3:
        nodes.append(("conv", Conv2d(weight=weights(3, shape[0], 3, 3), padding=(1, 1)), (last,)))
        nodes.append(("pool", AvgPool2d(kernel=(2, 2), stride=(2, 2)), (neuron("first", "conv"),)))
        nodes.append(("flatten", Flatten(), ("pool",)))
        last, shape = "flatten", (3 * (shape[1] // 2) * (shape[2] // 2),)
    nodes.append(("fc", Linear(weight=weights(4, *shape), bias=weights(4)), (last,)))
    nodes.append(("out", Linear(weight=weights(3, 4)), (neuron("second", "fc"),)))
    return Graph("plain", "traced", 5, nodes, (neuron("last", "out"),))


@settings(max_examples=30)
@given(graph=feed_forward(), seed=st.integers(0, 2**32 - 1))
def test_spikingjelly_reads_it(graph: Graph, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import nir_exchange

    path = tmp_path_factory.mktemp("nir") / "net.nir"
    notes = write_nir(SimpleNamespace(trained=graph, integer=graph), path, dt=DT)
    assert notes == []
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        net = nir_exchange.import_from_nir(path, dt=DT, dtype=torch.float64)
        samples = np.random.default_rng(seed).integers(0, 3, (2, 5, *graph.shape("input"))).astype(np.float64)
        state, spikes = None, []
        for t in range(5):
            out, state = net(torch.tensor(samples[:, t]), state)
            spikes.append(out.numpy())
    np.testing.assert_array_equal(np.stack(spikes, axis=1), interpret(graph, samples).events["last"])
