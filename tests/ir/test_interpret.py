"""The interpreter, against traces worked by hand and against a second, scalar implementation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile.errors import InputError
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret, linear, saturated
from neurocompile.ir.nodes import (
    Add,
    Array,
    AxonDelay,
    Conv2d,
    DctEncoder,
    Delay,
    DirectEncoder,
    FixedPoint,
    HybridEncoder,
    Input,
    Linear,
    Neuron,
    Node,
    PoissonEncoder,
    Readout,
    Recurrent,
    Scale,
    Soma,
    Threshold,
)
from neurocompile.ir.verify import verify
from neurocompile.random import uniform24
from tests.ir import scalar
from tests.networks import ENCODED, integer_networks, networks, samples_for


def one_soma(soma: Soma, steps: int, *, shape: tuple[int, ...] = (1,), stage: str = "spiking", **encoder: Any) -> Graph:
    """input -> direct encoder -> soma, which gets the samples as they are."""
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=shape), ()),
        ("direct", DirectEncoder(**encoder), ("input",)),
        ("soma", soma, ("direct",)),
    ]
    return Graph("one", stage, steps, nodes, ("soma",))


def spikes(inputs: list[float], **choices: Any) -> list[float]:
    """The spikes of one float neuron, threshold 1 unless said otherwise, for these inputs."""
    node = Neuron(**{"threshold": np.array(1.0)} | {name: _array(value) for name, value in choices.items()})
    trace = interpret(one_soma(node, len(inputs)), np.array(inputs)[None, :, None])
    return trace.events["soma"][0, :, 0].tolist()


def _array(value: Any) -> Any:
    return np.array(value) if type(value) is float else value


# Each row: inputs, the choices, the spikes; the membranes after integration (u) are worked in the comment.
BY_HAND: dict[str, tuple[list[float], dict[str, Any], list[float]]] = {
    # u: .5 1 1.5>1 | 1.5-1+.5=1 1.5
    "subtract, above": ([0.5, 0.5, 0.5, 0.5, 0.5], {}, [0, 0, 1, 0, 1]),
    # u: .5 1>=1 | 0+.5 1>=1 | .5
    "subtract, at or above": ([0.5] * 5, {"compare": "at_or_above"}, [0, 1, 0, 1, 0]),
    # u: 1.5 | (1.5-1)/2+1=1.25 | .125+1=1.125 | .0625+1
    "the leak acts on the remainder": ([1.5, 1, 1, 1], {"leak": 0.5}, [1, 1, 1, 1]),
    # u: 1.5 | .75-1+1=.75 | .375+1=1.375 | .6875-1+.5=.1875
    "the leak does not act on the subtracted": (
        [1.5, 1, 1, 0.5],
        {"leak": 0.5, "leaky_reset": False},
        [1, 0, 1, 0],
    ),
    # u: 2 -> .25 | 1.25 -> .25 | .5 | .75 | 1.0 not above
    "set to a value": ([2, 1, 0.25, 0.25, 0.25], {"reset": "set", "reset_value": 0.25}, [1, 1, 0, 0, 0]),
    # u: 2 -> -.5 | .5 | 1.0 | 1.5
    "set below zero": ([2, 1, 0.5, 0.5], {"reset": "set", "reset_value": -0.5}, [1, 0, 0, 1]),
    # u: 2 | 2 | 1 not above | 2
    "no reset": ([2, 0, -1, 1], {"reset": "none"}, [1, 1, 0, 1]),
    # i: 1 .5 .25 .125; u: 1 1.5 -> .5 | .75 | .875
    "current memory": ([1, 0, 0, 0], {"current_leak": 0.5}, [0, 1, 0, 0]),
    # u: .5 1 1.5 -> .5 | 1 (input 0, bias .5)
    "bias": ([0, 0, 0, 0], {"bias": 0.5}, [0, 0, 1, 0]),
    # the bias is part of the current: i = .5 .75 .875; u = .5 1.25 -> .25 | 1.125
    "bias with current memory": ([0, 0, 0], {"bias": 0.5, "current_leak": 0.5}, [0, 1, 1]),
    # u before each step: 0 2 (2-1)+0=1 1 -> fires on the last step's membrane, one later
    "fire first": ([2, 0, 0, 0], {"order": "fire_first"}, [0, 1, 0, 0]),
    # stored u: 2 | (2-1)*.5+1=1.5 | (1.5-1)*.5=.25
    "fire first, leaky": ([2, 1, 0, 0], {"order": "fire_first", "leak": 0.5}, [0, 1, 1, 0]),
    # stored u: 2 | 1-1+1=1 | .5
    "fire first, un-leaked": (
        [2, 1, 0, 0],
        {"order": "fire_first", "leak": 0.5, "leaky_reset": False},
        [0, 1, 0, 0],
    ),
    # u: 1.5 | .25, not .75+1.75 | .125+1 | .25
    "set a step later": (
        [1.5, 1.75, 1, 9, 0.75],
        {"leak": 0.5, "reset": "set", "reset_value": 0.25, "leaky_reset": False},
        [1, 0, 1, 0, 0],
    ),
    # u: 2 | 1.25, which fires at once | 1.25 | 1.25
    "set a step later, above the threshold": (
        [2, 0, -9, 0],
        {"reset": "set", "reset_value": 1.25, "leaky_reset": False},
        [1, 1, 1, 1],
    ),
    # i: 2 1 .5 .25 .125; u: 2 | 0, but the current goes on | .5 | .75 | .875 | 1.4375
    "set a step later, current memory": (
        [2, 0, 0, 0, 0, 0.5],
        {"current_leak": 0.5, "reset": "set", "leaky_reset": False},
        [1, 0, 0, 0, 0, 1],
    ),
    # u: -2 | -.5 | 1 | 2 | .5
    "set a step later, signed": (
        [-2, 9, 1.5, 1, 9],
        {"spikes": "signed", "reset": "set", "reset_value": 0.5, "leaky_reset": False},
        [-1, 0, 0, 1, 0],
    ),
    # u: 3.5 | .5 | 2.5
    "set a step later, graded": (
        [3.5, 9, 2],
        {"spikes": "graded", "reset": "set", "reset_value": 0.5, "leaky_reset": False},
        [3, 0, 2],
    ),
    # stored u: 2 | .5, not 2*.5+9 | .25+1 | .5
    "fire first, set a step later": (
        [2, 9, 1, 9, 0],
        {"order": "fire_first", "leak": 0.5, "reset": "set", "reset_value": 0.5, "leaky_reset": False},
        [0, 1, 0, 1, 0],
    ),
    # u: -3, left -1 | 1 | 1.25 -> .25
    "least membrane": ([-3, 2, 0.25, 0], {"membrane_min": -1.0}, [0, 0, 1, 0]),
    # u: 2 -> -3 -> -1 | 1 | 1.5
    "least membrane, set below": ([2, 2, 0.5], {"membrane_min": -1.0, "reset": "set", "reset_value": -3.0}, [1, 0, 1]),
    # u: -3 fires, -2 -> -.5 | .5 | 1.5: it fires before it is raised
    "least membrane, signed": ([-3, 1, 1], {"membrane_min": -0.5, "spikes": "signed"}, [-1, 0, 1]),
    # u: -3 -> -.5 | -.5+1+1 = 1.5: what was subtracted is still owed
    "least membrane, signed, a step later": (
        [-3, 1, 0],
        {"membrane_min": -0.5, "spikes": "signed", "leaky_reset": False},
        [-1, 1, 0],
    ),
    # stored u: -3 -> -.5 | 1.5 | .5
    "least membrane, fire first": (
        [-3, 2, 0, 0],
        {"membrane_min": -0.5, "spikes": "signed", "order": "fire_first"},
        [0, 0, 1, 0],
    ),
    # stored u: 2 -> 2 | -3+1 -> -.5 | 1 | 1.5
    "least membrane, fire first, set below": (
        [2, 1, 1.5, 0.5, 0],
        {"membrane_min": -0.5, "order": "fire_first", "reset": "set", "reset_value": -3.0},
        [0, 1, 0, 0, 1],
    ),
    # stored u: 2 | .5*.5+1 = 1.25 | .5*.5 = .25
    "fire first, set": (
        [2, 1, 0, 0],
        {"order": "fire_first", "leak": 0.5, "reset": "set", "reset_value": 0.5},
        [0, 1, 1, 0],
    ),
    # u: -1.5 -> -.5 | -1 not below -1 | .5 | 1.5
    "signed": ([-1.5, -0.5, 1.5, 1], {"spikes": "signed"}, [-1, 0, 0, 1]),
    # u: -1 -> 0 | 1 -> 0 | -3 -> -2 -> -2 -> -1
    "signed, at or above": ([-1, 1, -3, 0], {"spikes": "signed", "compare": "at_or_above"}, [-1, 1, -1, -1]),
    # u: -2 -> -(.5) | -.5+1 = .5 | 1.5 -> .5
    "signed, set": ([-2, 1, 1], {"spikes": "signed", "reset": "set", "reset_value": 0.5}, [-1, 0, 1]),
    # u: 3.5 -> 3, .5 | 2.5 -> 2, .5 | .5
    "graded": ([3.5, 2, 0], {"spikes": "graded"}, [3, 2, 0]),
    # a multiple itself is not above: u: 3 -> 2, 1 | 1 -> 0 | 9 -> 8 > 5 -> 5, 4 | 4 -> 3
    "graded, above, capped": ([3, 0, 8, 0], {"spikes": "graded", "max_payload": 5}, [2, 0, 5, 3]),
    # u: 3 -> 3 | 0 | 9 -> 5, 4 | 4 -> 4
    "graded, at or above": (
        [3, 0, 9, 0],
        {"spikes": "graded", "max_payload": 5, "compare": "at_or_above"},
        [3, 0, 5, 4],
    ),
    # never below zero
    "graded, negative": ([-9, 10.5], {"spikes": "graded"}, [0, 1]),
    # u: 2 -> 1 | 3 fires no more, is not reset | 3
    "single spike": ([2, 2, 0], {"single_spike": True}, [1, 0, 0]),
    # a single graded event may bear several
    "single spike, graded": ([2.5, 9], {"single_spike": True, "spikes": "graded"}, [2, 0]),
    # -2 uses up the only one
    "single spike, signed": ([-2, 9], {"single_spike": True, "spikes": "signed"}, [-1, 0]),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_neuron_by_hand(name: str) -> None:
    inputs, choices, expected = BY_HAND[name]
    assert spikes(inputs, **choices) == expected


def test_every_choice_of_a_neuron_is_worked_by_hand() -> None:
    worked = {
        field: {choices.get(field) for _, choices, _ in BY_HAND.values()}
        for field in ("reset", "spikes", "order", "leaky_reset")
    }
    assert worked == {
        "reset": {None, "set", "none"},
        "spikes": {None, "signed", "graded"},
        "order": {None, "fire_first"},
        "leaky_reset": {None, False},
    }


def test_readout_by_hand() -> None:
    node = Readout(leak=np.array(0.5), current_leak=np.array(0.5), bias=np.array(1.0))
    # i: 2+1=3, 1.5+0+1=2.5, 1.25-1+1=1.25; u: 3, 1.5+2.5=4, 2+1.25
    trace = interpret(one_soma(node, 3), np.array([2.0, 0, -1])[None, :, None])
    assert trace.outputs["soma"].tolist() == [[3.25]]
    assert "soma" not in trace.events


def test_a_spiking_output_is_the_sum_of_its_spikes() -> None:
    node = Neuron(threshold=np.array(1.0), spikes="graded")
    trace = interpret(one_soma(node, 3), np.array([3.5, 2, 0])[None, :, None])
    assert trace.outputs["soma"].tolist() == [[5]]


def looped(weight: int, stage: str) -> Graph:
    """A neuron of threshold 3 that adds up its input and ``weight`` times its own last spike; a readout counts."""
    chip = stage == "mapped"
    fixed = FixedPoint(decay_bits=1)
    whole = {"leak": np.array(2), "current_leak": np.array(0), "bias": np.array(0), "fixed": fixed}
    one = {"weight_bits": 8, "weight": np.array(1)}
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=(1,)), ()), ("direct", DirectEncoder(scale=1.0, low=-9, high=9), ("input",)),
        ("wait", Delay(steps=1), ("direct",)), ("in", Scale(**one), ("wait" if chip else "direct",)),
        ("before", Recurrent(shape=(1,)), ("soma",)),
        ("back", Scale(weight=np.array(weight), weight_bits=8), ("before",)), ("sum", Add(), ("in", "back")),
        ("soma", Neuron(threshold=np.array(3), reset_value=np.array(0), phase=int(chip), **whole), ("sum",)),
        ("later", Delay(steps=1), ("soma",)), ("count", Scale(**one), ("later" if chip else "soma",)),
        ("readout", Readout(phase=2 * int(chip), **whole), ("count",)),
    ]  # fmt: skip
    kept = [(name, node, sources) for name, node, sources in nodes if chip or not isinstance(node, Delay)]
    graph = Graph("looped", stage, 4, kept, ("readout",))
    verify(graph)
    return graph


@pytest.mark.parametrize("stage", ["integer", "mapped"])
def test_recurrence_by_hand(stage: str) -> None:
    """The last spike of the first sample is not felt by the second, in logical time or on a chip."""
    samples = np.array([[4, 0, 0, 1], [3, 0, 0, 1]])[..., None]
    # first u: 4 -> 1 | 1+3=4 -> 1 | 1+3=4 -> 1 | 1+3+1=5 -> spike; second: 3 not above | 3 | 3 | 4
    trace = interpret(looped(3, stage), samples)
    assert trace.events["soma"][..., 0].tolist() == [[1, 1, 1, 1], [0, 0, 0, 1]]
    assert trace.outputs["readout"].tolist() == [[4], [1]]
    # a spike holds back the next: u: 4 -> 1 | 1-3=-2 | -2 | -1
    assert interpret(looped(-3, stage), samples).events["soma"][0, :, 0].tolist() == [1, 0, 0, 0]


def echoes(stage: str, wait: int) -> Graph:
    """Two neurons that fire at each input, the first heard 1 step later and the second 3, by a soma that works ``wait``
    steps after them."""
    chip = stage == "mapped"
    whole = {"leak": np.array(2), "current_leak": np.array(0), "bias": np.array(0), "fixed": FixedPoint(decay_bits=1)}
    fires = Neuron(threshold=np.array(1), reset_value=np.array(0), reset="set", compare="at_or_above", phase=int(chip),
                   **whole)  # fmt: skip
    past = Recurrent(shape=(2,), steps=1, axon_steps=np.array([0, 2]), wait=wait if chip else 0)
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=(2,)), ()), ("direct", DirectEncoder(scale=1.0, low=0, high=1), ("input",)),
        ("wait", Delay(steps=1), ("direct",)),
        ("in", Scale(weight=np.array(1), weight_bits=8), ("wait" if chip else "direct",)), ("fires", fires, ("in",)),
        ("past", past, ("fires",)),
        ("fc", Linear(weight=np.array([[1, 10]]), weight_bits=8), ("past",)),
        ("hears", Neuron(threshold=np.array(1), spikes="graded", max_payload=99, reset_value=np.array(0), reset="set",
                         compare="at_or_above", phase=(1 + wait) * chip, **whole), ("fc",)),
    ]  # fmt: skip
    kept = [each for each in nodes if chip or not isinstance(each[1], Delay)]
    graph = Graph("echoes", stage, 4, kept, ("hears",))
    verify(graph)
    return graph


@pytest.mark.parametrize(("stage", "wait"), [("integer", 0), ("mapped", 0), ("mapped", 3), ("mapped", 7)])
def test_delays_of_neurons_by_hand(stage: str, wait: int) -> None:
    """What is late by more than is left of a sample is never heard, by whomever, also not by the sample after it."""
    samples = np.array([[[1, 1], [0, 0], [1, 0], [1, 1]], [[0, 0], [0, 1], [0, 0], [0, 0]], [[1, 1]] * 4])
    heard = interpret(echoes(stage, wait), samples).events["hears"][..., 0]
    assert heard.tolist() == [[0, 1, 0, 1 + 10], [0, 0, 0, 0], [0, 1, 1, 1 + 10]]


def test_a_delay_anywhere_among_linear_nodes_by_hand() -> None:
    """Of values, with a bias in them: nothing comes before their first step."""
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=(3,)), ()), ("direct", DirectEncoder(), ("input",)),
        ("fc", Linear(weight=np.eye(3), bias=np.full(3, 0.5)), ("direct",)),
        ("late", AxonDelay(steps=np.array([0, 1, 9])), ("fc",)),
        ("readout", Readout(leak=np.array(1.0)), ("late",)),
    ]  # fmt: skip
    graph = Graph("late", "traced", 2, nodes, ("readout",))
    assert interpret(graph, np.array([[[1, 2, 3], [4, 5, 6]]])).outputs["readout"].tolist() == [[6, 2.5, 0]]


def test_integer_arithmetic_by_hand() -> None:
    """Fraction bits 2, leak 3/4 of 2**2: u = trunc(u*3/4) + 4x."""
    fixed = FixedPoint(state_bits=6, fraction_bits=2, decay_bits=2, membrane_overflow="clip", current_overflow="wrap")
    node = Readout(leak=np.array(3), current_leak=np.array(0), bias=np.array(-1), fixed=fixed)
    graph = one_soma(node, 4, stage="integer", scale=1.0, low=-99, high=99)
    # i: 4*3-1=11 | -9 | 27 | 4*9-1=35 -> wraps to 35-64=-29
    # u: 11 | trunc(8.25)-9=-1 | trunc(-.75)+27=27 | trunc(20.25)-29=-9
    assert interpret(graph, np.array([3.0, -2, 7, 9])[None, :, None]).outputs["soma"].tolist() == [[-9]]
    # u: 27 | 20+27=47 -> clips to 31 | 23+11 -> 31 | 23-9=14
    assert interpret(graph, np.array([7.0, 7, 3, -2])[None, :, None]).outputs["soma"].tolist() == [[14]]


@pytest.mark.parametrize("parameter", ["threshold", "leak", "current_leak", "bias", "reset_value", "membrane_min"])
@pytest.mark.parametrize("wide", [False, True])
def test_parameters_per_channel_and_per_neuron(parameter: str, wide: bool) -> None:
    """A network of neurons with one parameter each is the networks of one neuron, side by side."""
    shape = (2, 2, 3)
    rng = np.random.default_rng(1)
    own = rng.integers(1, 9, size=shape if wide else shape[:1]) / (-8 if parameter == "membrane_min" else 8)
    choices: dict[str, Any] = {"threshold": np.array(0.5), "reset": "set", parameter: own}
    inputs = rng.integers(-8, 9, size=(1, 4, *shape)) / 8
    events = interpret(one_soma(Neuron(**choices), 4, shape=shape), inputs).events["soma"]
    for index in np.ndindex(shape):
        alone = choices | {parameter: np.array(own[index] if wide else own[index[0]])}
        single = interpret(one_soma(Neuron(**alone), 4), inputs[(slice(None), slice(None), *index)][..., None])
        assert events[(0, slice(None), *index)].tolist() == single.events["soma"][0, :, 0].tolist()


def test_threshold_per_channel_flip() -> None:
    node = Threshold(threshold=np.array([0.5, -0.5]), flip=np.array([False, True]), bias=np.array([0.0, 0.25]))
    graph = one_soma(node, 1, shape=(2,))
    inputs = np.array([[0.5, -0.75], [0.75, -1.0], [0.25, 0.0]])
    # channel 0: x > .5; channel 1: x + .25 < -.5
    assert interpret(graph, inputs).outputs["soma"].tolist() == [[0, 0], [1, 1], [0, 0]]


def test_poisson_spikes_are_the_counted_draws() -> None:
    node = PoissonEncoder(gain=0.5, seed=3)
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=(40,)), ()),
        ("poisson", node, ("input",)),
        ("readout", Readout(), ("poisson",)),
    ]
    graph = Graph("poisson", "spiking", 5, nodes, ("readout",))
    samples = np.linspace(-1, 1, 80).reshape(2, 40)
    events = interpret(graph, samples, first_sample=6).events["poisson"]
    for sample in range(2):
        for t in range(5):
            fired = uniform24(3, sample + 6, t, 40) < np.abs(samples[sample]) * 0.5 * 2**24
            assert np.array_equal(events[sample, t], np.where(fired, np.sign(samples[sample]), 0))
    assert set(np.unique(events)) == {-1, 0, 1}
    assert np.array_equal(interpret(graph, samples[1:], first_sample=7).events["poisson"], events[1:])


def test_an_integer_code_rounds_half_to_even_and_saturates() -> None:
    graph = one_soma(
        Readout(leak=np.array(4096), current_leak=np.array(0), bias=np.array(0), fixed=FixedPoint()), 1,
        stage="integer", shape=(6,), scale=2.0, low=-3, high=3,
    )  # fmt: skip
    samples = np.array([[0.25, 0.75, -0.25, 1.6, -9, 9]])
    assert interpret(graph, samples).events["direct"].tolist() == [[[0, 2, 0, 3, -3, 3]]]
    assert saturated(graph, samples) == 2


def in_time(encoder: Node, shape: tuple[int, ...], steps: int) -> Graph:
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=shape), ()), ("code", encoder, ("input",)), ("out", Readout(), ("code",)),
    ]  # fmt: skip
    return Graph("coded", "spiking", steps, nodes, ("out",))


def test_hybrid_coding_is_the_value_and_then_one_spike() -> None:
    # T = 4, and 2 for the largest: 4 - 2·(x + 1)/2
    encoder = HybridEncoder(timesteps=4, minimum=-1.0, maximum=1.0)
    samples = np.array([[-2.0, -1.0, 0.0, 0.25, 1.0, 3.0]])
    values = [samples[0].tolist(), [0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]]
    assert interpret(in_time(encoder, (6,), 4), samples).events["code"].tolist() == [values]
    coded = replace(encoder, scale=32.0, low=-31, high=63)
    codes = [[-31, -31, 0, 8, 32, 63], *((np.array(values[1:]) * 32).tolist())]
    assert interpret(in_time(coded, (6,), 4), samples, dtype=np.float64).events["code"].tolist() == [codes]
    assert saturated(in_time(coded, (6,), 4), samples) == 3


def test_frequencies_are_coded_one_by_one() -> None:
    encoder = DctEncoder(block=2, scale=16.0, low=-20, high=20)
    graph = in_time(encoder, (1, 2, 2), 6)
    samples = np.array([[[[4.0, 2.0], [1.0, -3.0]]]])
    # a quarter of: the sum, 4; left less right, 6; above less below, 8; one diagonal less the other, -2
    mean, across, down, both = [[16, 16], [16, 16]], [[24, -24], [24, -24]], [[32, 32], [-32, -32]], [[-8, 8], [8, -8]]
    codes = np.clip([mean, across, down, both, mean, across], -20, 20)
    found = interpret(graph, samples, dtype=np.float64).events["code"]
    assert found[0, :, 0].tolist() == codes.tolist()
    assert saturated(graph, samples) == 12


@pytest.mark.parametrize("encoder", [HybridEncoder(timesteps=3), DctEncoder(block=1)])
def test_one_picture_is_laid_out_in_time_and_no_sequence(encoder: Node) -> None:
    graph = in_time(encoder, (1, 4, 4), 3)
    message = (
        r"^input has shape \(2, 3, 1, 4, 4\); 'coded' takes \(N, 1, 4, 4\), since code lays one picture out in time$"
    )
    with pytest.raises(InputError, match=message):
        interpret(graph, np.zeros((2, 3, 1, 4, 4)))


def test_one_frame_for_all_steps_is_that_frame_at_each_step() -> None:
    graph = one_soma(Neuron(threshold=np.array(1.0), leak=np.array(0.5)), 4, shape=(3,))
    frame = np.array([[0.75, 0.5, -1], [2, 0, 1]])
    assert np.array_equal(
        interpret(graph, frame).events["soma"], interpret(graph, np.repeat(frame[:, None], 4, axis=1)).events["soma"]
    )


def test_progress_counts_steps() -> None:
    graph = one_soma(Readout(), 3)
    seen: list[tuple[int, int]] = []
    interpret(graph, np.zeros((1, 1)), progress=lambda *step: seen.append(step))
    assert seen == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 4)), r"shape \(2, 4\); 'one' takes \(N, 3\) or \(N, 2, 3\)"),
        (np.zeros((2, 5, 3)), r"shape \(2, 5, 3\)"),
        (np.zeros(3), r"shape \(3,\)"),
        (np.zeros((0, 3)), "no samples"),
        (np.array([["a", "b", "c"]]), "dtype"),
        (np.zeros((2, 3), complex), "complex128"),
        (np.array([[0, np.nan, 1.0]]), "1 NaN or infinite"),
        (np.array([[np.inf, -np.inf, 1.0]]), "2 NaN or infinite"),
    ],
)
def test_samples_that_do_not_fit_are_refused(samples: Array, message: str) -> None:
    with pytest.raises(InputError, match=message):
        interpret(one_soma(Readout(), 2, shape=(3,)), samples)


def test_dense_and_convolution_by_hand() -> None:
    dense = Linear(weight=np.array([[1.0, 2], [3, 4]]), bias=np.array([0.5, 0]))
    assert linear(dense, np.array([[1.0, -1]])).tolist() == [[-0.5, -1]]
    image = np.arange(9.0).reshape(1, 1, 3, 3)
    conv = Conv2d(weight=np.array([[[[1.0, 10], [100, 1000]]]]), stride=(2, 1), padding=(1, 0))
    # rows -1,0 and 1,2; columns 0,1 and 1,2: cross-correlation, not flipped
    assert linear(conv, image).tolist() == [[[[1000, 2100], [7643, 8754]]]]


def assert_equals_scalar(graph: Graph, samples: Array, first_sample: int) -> None:
    trace = interpret(graph, samples, first_sample=first_sample)
    outputs, events = scalar.run(graph, samples, first_sample)
    assert trace.events.keys() == events.keys()
    for name, series in trace.events.items():
        expected = np.array([[scalar.dense(step, graph.shape(name)) for step in sample] for sample in events[name]])
        assert np.array_equal(series, expected), f"events of {name}"
    for name, result in trace.outputs.items():
        expected = np.array([scalar.dense(sample, graph.shape(name)) for sample in outputs[name]])
        assert np.array_equal(result, expected), f"output {name}"


@settings(max_examples=40)
@given(st.data())
def test_float_networks_equal_the_scalar_interpreter(data: st.DataObject) -> None:
    graph = data.draw(networks(depth=2))
    assert_equals_scalar(graph, data.draw(samples_for(graph, most=2)), data.draw(st.integers(0, 3)))


@settings(max_examples=40)
@given(st.data())
def test_integer_networks_equal_the_scalar_interpreter(data: st.DataObject) -> None:
    graph = data.draw(integer_networks(depth=2, encoders=ENCODED))
    assert_equals_scalar(graph, data.draw(samples_for(graph, most=2)), data.draw(st.integers(0, 3)))


@settings(max_examples=60)
@given(st.data())
def test_integer_networks_run_in_float64_too(data: st.DataObject) -> None:
    graph = data.draw(integer_networks())
    samples = data.draw(samples_for(graph))
    whole, real = interpret(graph, samples), interpret(graph, samples, dtype=np.float64)
    assert all(array.dtype == np.int64 for array in whole.outputs.values())
    for name, events in whole.events.items():
        assert np.array_equal(events, real.events[name]), name
    for name, result in whole.outputs.items():
        assert np.array_equal(result, real.outputs[name]), name
