"""ANN to spiking network: counts of the first layer, the bound for all others, each way to choose thresholds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile.backends.functional import FunctionalBackend
from neurocompile.errors import CapacityError, GraphError, InputError
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret, linear
from neurocompile.ir.nodes import (
    BatchNorm,
    Conv2d,
    DirectEncoder,
    HybridEncoder,
    Input,
    Linear,
    MaxPool2d,
    Neuron,
    Node,
    PoissonEncoder,
    Readout,
    Relu,
    Scale,
)
from neurocompile.ir.verify import verify
from neurocompile.passes.base import PassManager
from neurocompile.passes.cleanup import RemoveIdentity
from neurocompile.passes.convert import Conversion, Convert, one_step
from neurocompile.passes.pools_behind_relus import MoveMaxPools
from neurocompile.passes.quantize import Quantize
from neurocompile.passes.retime import Retime
from tests.anns import anns, from_torch, small_ann
from tests.networks import LOWERING, lower, numerics, samples_for

Array = npt.NDArray[Any]
RNG = np.random.default_rng(0)


def chain(*nodes: Node, shape: tuple[int, ...], timesteps: int = 4) -> Graph:
    """input, encoder, n0, n1, ..., each reading the one before."""
    everyone = [("input", Input(shape=shape)), ("encoder", DirectEncoder())]
    everyone += [(f"n{index}", node) for index, node in enumerate(nodes)]
    triples = [(name, node, (everyone[at - 1][0],) if at else ()) for at, (name, node) in enumerate(everyone)]
    return Graph("ann", "traced", timesteps, triples, (everyone[-1][0],))


def converted(graph: Graph, samples: Array, **choices: Any) -> Graph:
    passes = (RemoveIdentity(), MoveMaxPools(), Convert(Conversion(**choices), samples))
    result = PassManager(passes).run(graph)
    assert not result.of_kind(Relu)
    return result


def thresholds(graph: Graph) -> dict[str, Array]:
    return {name: node.threshold for name, node in graph.items() if isinstance(node, Neuron)}


ONE = Linear(weight=np.eye(5))


@given(
    x=st.lists(st.integers(-16, 64), min_size=5, max_size=5),
    timesteps=st.sampled_from((1, 2, 4, 8)),
    shift=st.booleans(),
)
def test_the_first_layer_counts_exactly(x: list[int], timesteps: int, shift: bool) -> None:
    graph = chain(ONE, Relu(), ONE, Readout(), shape=(5,), timesteps=timesteps)
    values = np.array([x]) / 16
    network = converted(graph, np.full((1, 5), 2.0), balance="max", shift=shift)
    trace = interpret(network, values)
    counts = np.clip(np.floor(timesteps * values / 2 + (0.5 if shift else 0)), 0, timesteps)
    assert np.array_equal(trace.events["n1"].sum(axis=1), counts)
    assert np.array_equal(trace.outputs["n3"], 2 * counts)  # T times the ANN's result, as near as counts come


def reach(graph: Graph, *, shift: bool) -> dict[str, Array]:
    """For each node, how far the sum of what it sends can be from its course at any time: the bound of convert.py."""
    far: dict[str, Array] = {}
    for name, node in graph.items():
        inputs = [far[source][None] for source in graph.inputs(name) if source in far]
        match node:
            case Input():
                continue
            case DirectEncoder():
                far[name] = np.zeros(graph.shape(name))
            case Neuron():
                far[name] = node.threshold + 3 * (inputs[0][0] + node.threshold / 2 * shift)
            case Readout():
                far[name] = inputs[0][0]
            case Conv2d() | Linear():
                far[name] = linear(replace(node, weight=np.abs(node.weight), bias=None), *inputs)[0]
            case Scale():
                far[name] = inputs[0][0]  # what a spike counts for is in the neuron's reach already
            case BatchNorm():
                far[name] = inputs[0][0] * np.abs(node.factor).reshape(-1, *[1] * (inputs[0][0].ndim - 1))
            case _:
                far[name] = linear(node, *inputs)[0]
    return far


@settings(max_examples=60)
@given(data=st.data(), shift=st.booleans())
def test_no_neuron_is_further_off_than_the_bound(data: st.DataObject, shift: bool) -> None:
    """|v * spikes - T * activation| stays below a number that knows nothing of T, in every layer and at the output."""
    graph = data.draw(anns())
    (source,) = graph.of_kind(Input)
    samples = np.random.default_rng(data.draw(st.integers(0, 99))).integers(-8, 9, (3, *graph.shape(source))) / 8
    network = converted(graph, samples, balance="max", shift=shift)
    ann, spiking = interpret(graph, samples), interpret(network, samples)
    far = reach(network, shift=shift)
    for name, threshold in thresholds(network).items():
        sums = spiking.events[name].sum(axis=1) * threshold
        assert (np.abs(sums - ann.events[name].sum(axis=1)) <= far[name] + 1e-9).all(), name
    for name, wanted in ann.outputs.items():
        assert (np.abs(spiking.outputs[name] - wanted) <= far[name] + 1e-9).all(), name


def test_more_steps_come_closer() -> None:
    graph = from_torch(small_ann(), (1, 8, 8), 1)
    samples = RNG.uniform(0, 1, (20, 1, 8, 8))
    errors = []
    for timesteps in (4, 16, 64, 256):
        draft = graph.edit()
        draft.timesteps = timesteps
        at = draft.finish()
        wanted = interpret(graph, samples).outputs["readout"]
        found = interpret(converted(at, samples, balance="max"), samples).outputs["readout"] / timesteps
        errors.append(np.abs(found - wanted).mean() / np.abs(wanted).mean())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02


# ----------------------------------------------------------------------------------------------- to spikes and integers


@settings(max_examples=25)
@given(
    data=st.data(),
    balance=st.sampled_from(("max", "percentile", "sequential")),
    per=st.sampled_from(("layer", "channel")),
)
def test_lowering_changes_no_spike(data: st.DataObject, balance: str, per: str) -> None:
    graph = data.draw(anns())
    samples = data.draw(samples_for(graph))
    network = converted(graph, samples, balance=balance, per=per, percentile=100)
    # thresholds that are powers of two keep all numbers dyadic, whatever is multiplied into what
    draft = network.edit()
    for name, node in network.items():
        if isinstance(node, Neuron):
            even = np.exp2(np.rint(np.log2(node.threshold)))
            draft.replace(name, replace(node, threshold=even, bias=even / (2 * graph.timesteps)))
        elif isinstance(node, Scale):
            draft.replace(name, replace(node, weight=np.exp2(np.rint(np.log2(node.weight)))))
    network = draft.finish()
    spiking = lower(network)
    before, after = interpret(network, samples), interpret(spiking, samples)
    for name in before.events:
        assert np.array_equal(before.events[name], after.events[name]), name
    for name in before.outputs:
        assert np.array_equal(before.outputs[name], after.outputs[name]), name


@settings(max_examples=12)
@given(data=st.data(), encoder=st.sampled_from(("direct", "poisson")))
def test_all_engines_agree_on_its_integers(data: st.DataObject, encoder: str) -> None:
    graph = data.draw(anns())
    samples = data.draw(samples_for(graph))
    spiking = lower(converted(graph, samples, encoder=encoder))
    try:
        integer = PassManager((Quantize(data.draw(numerics()), samples),)).run(spiking)
    except CapacityError:
        return
    mapped = PassManager((Retime(),)).run(integer)
    expected = interpret(integer, samples)
    for trace in (FunctionalBackend().run(integer, samples), interpret(mapped, samples)):
        for name, events in expected.events.items():
            assert np.array_equal(events, trace.events[name]), name
        for name, output in expected.outputs.items():
            assert np.array_equal(output, trace.outputs[name]), name


def test_one_step_becomes_stateless() -> None:
    graph = from_torch(small_ann(), (1, 8, 8), 1)
    spiking = PassManager(LOWERING).run(converted(graph, RNG.uniform(0, 1, (4, 1, 8, 8))))
    assert not spiking.of_kind(Neuron)


# ----------------------------------------------------------------------------------------------------------- thresholds


def test_max_and_percentile_of_what_is_above_zero() -> None:
    graph = chain(ONE, Relu(), ONE, Readout(), shape=(5,))
    samples = np.array([[1.0, 2.0, 3.0, 4.0, -9.0], [5.0, 0.0, 0.0, 0.0, -1.0]])
    assert thresholds(converted(graph, samples, balance="max"))["n1"] == 5
    assert thresholds(converted(graph, samples, balance="percentile", percentile=50))["n1"] == 3
    channels = thresholds(converted(graph, samples, balance="max", per="channel"))["n1"]
    assert channels.tolist() == [5, 2, 3, 4, 5]  # a silent one gets the layer's
    silent = converted(graph, -np.abs(samples), balance="max")
    assert thresholds(silent)["n1"] == 1


def test_samples_of_every_step_count_step_by_step() -> None:
    graph = chain(ONE, Relu(), ONE, Readout(), shape=(5,), timesteps=4)
    samples = np.zeros((2, 4, 5))
    samples[1, 2, 3] = 7
    assert thresholds(converted(graph, samples, balance="max"))["n1"] == 7
    assert thresholds(converted(graph, samples, balance="sequential"))["n1"] == 7


@settings(max_examples=25)
@given(data=st.data(), per=st.sampled_from(("layer", "channel")), encoder=st.sampled_from(("direct", "poisson")))
def test_sequential_is_algorithm_1(data: st.DataObject, per: Any, encoder: Any) -> None:
    """Layer by layer the whole network runs anew, up to the layer whose threshold is wanted."""
    graph = data.draw(anns())
    samples = data.draw(samples_for(graph))
    choices = Conversion(balance="sequential", per=per, encoder=encoder)
    found = thresholds(converted(graph, samples, balance="sequential", per=per, encoder=encoder))
    convert = Convert(choices, samples)
    draft = PassManager((RemoveIdentity(),)).run(graph).edit()
    if encoder == "poisson":
        largest = float(np.abs(samples).max()) or 1.0
        draft.replace("direct", PoissonEncoder(gain=1 / largest))
        _put_behind(draft, "direct", Scale(weight=np.array(largest)))
    for name in graph.of_kind(Relu):
        # a ReLU that runs for T steps shows the summed input of each
        sums = interpret(draft.finish(), samples).events[name]
        rows = np.moveaxis(sums, 2, 0).reshape(sums.shape[2], -1) if per == "channel" else sums.reshape(1, -1)
        levels = rows.max(axis=1)
        levels = np.where(levels > 0, levels, levels.max() or 1.0)
        threshold = levels if per == "channel" else levels[0]
        np.testing.assert_allclose(found[name], threshold, rtol=1e-12)
        draft.replace(name, convert.neuron(found[name], graph.timesteps))
        _put_behind(draft, name, Scale(weight=found[name]))


def _put_behind(draft: Any, name: str, node: Node) -> None:
    new = draft.add(f"{name}.behind", node, (name,))
    draft.redirect(name, new)
    draft.replace(new, node, (name,))


def test_sequential_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = from_torch(small_ann(), (1, 8, 8), 4)
    samples = RNG.uniform(0, 1, (7, 1, 8, 8))
    whole = thresholds(converted(graph, samples, balance="sequential"))
    monkeypatch.setattr("neurocompile.passes.convert._MOST_VALUES", 4 * 256 * 3)
    parts = thresholds(converted(graph, samples, balance="sequential"))
    assert {name: float(value) for name, value in parts.items()} == {name: float(v) for name, v in whole.items()}


def test_sequential_takes_few_samples_of_large_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = chain(ONE, Relu(), ONE, Readout(), shape=(5,), timesteps=4)
    samples = np.array([[1.0] * 5, [2.0] * 5, [3.0] * 5])
    monkeypatch.setattr("neurocompile.passes.convert._MOST_PRODUCTS", 2 * 4 * 50)
    assert thresholds(converted(graph, samples, balance="sequential"))["n1"] == 2


def test_few_samples_are_taken_where_layers_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = chain(ONE, Relu(), ONE, Readout(), shape=(5,))
    samples = np.array([[1.0] * 5, [2.0] * 5, [3.0] * 5])
    monkeypatch.setattr("neurocompile.passes.convert._MOST_VALUES", 10)
    assert thresholds(converted(graph, samples, balance="max"))["n1"] == 2


# ------------------------------------------------------------------------------------------------------------- encoders


def test_poisson_spikes_have_the_sign_and_the_rate_of_the_values() -> None:
    graph = chain(ONE, Relu(), ONE, Readout(), shape=(5,), timesteps=2000)
    samples = np.array([[4.0, -4.0, 1.0, -2.0, 0.0]])
    network = converted(graph, samples, encoder="poisson", balance="max")
    sent = interpret(network, samples).events["encoder"]
    assert set(np.unique(sent)) <= {-1, 0, 1}
    np.testing.assert_allclose(sent.mean(axis=1) * 4, samples, atol=0.15)
    (size,) = network.consumers("encoder")
    node = network.node(size)
    assert isinstance(node, Scale)
    assert node.weight == 4
    assert not converted(graph, np.zeros((1, 5)), encoder="poisson").of_kind(DirectEncoder)


# ------------------------------------------------------------------------------------------------------------- refusals

SPIKE = Neuron(threshold=np.array(1.0))
SAMPLES = np.ones((1, 5))


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ((ONE, SPIKE, ONE, Readout()), "no ReLU to convert; build it without --convert"),
        ((ONE, Relu(), ONE, SPIKE, ONE, Readout()), "n3: a spiking neuron in a network to be converted"),
        ((ONE, Relu(), ONE, Readout(leak=np.array(0.5))), "n3: this readout forgets"),
        ((Linear(weight=np.eye(5) * 1e308), Relu(), ONE, Readout()), "n1: its activations .* are not finite"),
    ],
)
def test_what_cannot_be_converted(nodes: tuple[Node, ...], words: str) -> None:
    with pytest.raises(GraphError, match=words):
        Convert(Conversion(balance="max"), SAMPLES * 100).run(chain(*nodes, shape=(5,)))


def test_a_poisson_encoder_in_an_ann() -> None:
    draft = chain(ONE, Relu(), ONE, Readout(), shape=(5,)).edit()
    draft.replace("encoder", PoissonEncoder())
    with pytest.raises(GraphError, match=r"encoder: a Poisson encoder in an ANN.*--encoder poisson"):
        Convert(Conversion(), SAMPLES).run(draft.finish())


def test_an_encoder_in_time_in_an_ann() -> None:
    draft = chain(ONE, Relu(), ONE, Readout(), shape=(5,)).edit()
    draft.replace("encoder", HybridEncoder(timesteps=draft.timesteps))
    message = "^encoder: a HybridEncoder in an ANN, which computes with values that stay; leave it out$"
    with pytest.raises(GraphError, match=message):
        Convert(Conversion(), SAMPLES).run(draft.finish())


def test_without_samples() -> None:
    with pytest.raises(InputError, match=r"with typical samples and there are none.*--calibration"):
        Convert(Conversion())


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"balance": "best"}, "balance is 'best'; choose one of max, percentile, sequential"),
        ({"per": []}, r"per is \[\]; choose one of layer, channel"),
        ({"encoder": None}, "encoder is None; choose one of direct, poisson"),
        ({"percentile": 0}, "percentile is 0; choose a number above 0, at most 100"),
        ({"percentile": "9"}, "percentile is '9'"),
        ({"shift": 1}, "shift is 1; choose True or False"),
    ],
)
def test_choices_are_checked(choice: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Conversion(**choice)


# ------------------------------------------------------------------------------------------------------------- the node


def test_relus_are_legal_until_networks_must_spike() -> None:
    graph = chain(ONE, Relu(), ONE, Readout(), shape=(5,), timesteps=3)
    verify(graph)
    trace = interpret(graph, np.array([[-1.0, 0.0, 0.5, 2.0, -0.0]]))
    assert trace.events["n1"].tolist() == [[[0.0, 0.0, 0.5, 2.0, 0.0]] * 3]
    assert trace.outputs["n3"].tolist() == [[0.0, 0.0, 1.5, 6.0, 0.0]]
    draft = graph.edit()
    verify(draft.finish("fused"))
    with pytest.raises(GraphError, match="n1: a ReLU is not legal at stage 'spiking'; build with --convert"):
        verify(draft.finish("spiking"))


def test_one_step_is_enough_for_samples_that_do_not_change() -> None:
    graph = chain(ONE, Relu(), ONE, Readout(), shape=(5,), timesteps=3)
    assert one_step(graph, np.zeros((2, 5))).timesteps == 1
    assert one_step(graph, np.zeros((2, 3, 5))) is graph


def test_max_pools_stay_in_front_of_the_size_of_spikes() -> None:
    pool = MaxPool2d(kernel=(2, 2), stride=(2, 2))
    graph = chain(
        Conv2d(weight=np.ones((1, 1, 1, 1))),
        Relu(),
        pool,
        Conv2d(weight=np.ones((1, 1, 1, 1))),
        Readout(),
        shape=(1, 4, 4),
    )
    draft = graph.edit()
    convert = Convert(Conversion(balance="sequential"), np.ones((1, 1, 4, 4)), _with_max_pools)
    result = convert.run(draft.finish())
    assert result.inputs("n2") == ("n1",)
    assert isinstance(result.node(result.inputs("n3")[0]), Scale)
    assert isinstance(result.node("n1"), Neuron)


def _with_max_pools(node: Node, *inputs: Array) -> Array:
    if not isinstance(node, MaxPool2d):
        return linear(node, *inputs)
    (x,) = inputs
    windows = np.lib.stride_tricks.sliding_window_view(x, node.kernel, axis=(2, 3))
    return windows[:, :, :: node.stride[0], :: node.stride[1]].max(axis=(4, 5))
