"""Interval analysis: no sum and no state ever leaves its range, and the ranges are no wider than they must be where
that can be told by trying everything."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile.ir.bounds import Interval, input_range, projection_range, sent_range, state_range
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import SomaState, interpret
from neurocompile.ir.nodes import (
    Array,
    Conv2d,
    DctEncoder,
    DirectEncoder,
    FixedPoint,
    Flatten,
    HybridEncoder,
    Input,
    Linear,
    Neuron,
    Node,
    PoissonEncoder,
    Readout,
    Scale,
    Soma,
    SumPool2d,
    Threshold,
)
from neurocompile.ir.populations import Population, Projection, populations
from tests.networks import integer_networks, samples_for


def interval(low: Any, high: Any) -> Interval:
    return Interval(np.array(low, np.int64), np.array(high, np.int64))


@pytest.mark.parametrize(
    ("low", "high", "bits"), [(0, 0, 2), (0, 1, 2), (-1, 1, 2), (-2, 0, 3), (0, 3, 3), (-4, 3, 4), (-127, 128, 9)]
)
def test_bits(low: int, high: int, bits: int) -> None:
    assert interval([low], [high]).bits == bits
    assert -low <= 2 ** (bits - 1) - 1 >= high


def test_arithmetic() -> None:
    total = interval([1, -2], [3, 4]) + interval([0, 5], [1, 6])
    assert (total.low.tolist(), total.high.tolist()) == ([1, 3], [4, 10])
    hull = interval([1, -2], [3, 4]) | interval([0, 5], [1, 6])
    assert (hull.low.tolist(), hull.high.tolist()) == ([0, -2], [3, 6])


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (DirectEncoder(scale=1.0, low=0, high=255), (0, 255)),
        (DirectEncoder(scale=1.0, low=3, high=5), (0, 5)),  # before the first sample there is nothing, which is zero
        (DirectEncoder(scale=1.0, low=-7, high=7), (-7, 7)),
        (HybridEncoder(timesteps=1, scale=64.0, low=0, high=255), (0, 255)),
        (DctEncoder(scale=1.0, low=-7, high=7), (-7, 7)),
        (PoissonEncoder(), (-1, 1)),
        (Neuron(threshold=np.array(1)), (0, 1)),
        (Neuron(threshold=np.array(1), spikes="signed"), (-1, 1)),
        (Neuron(threshold=np.array(1), spikes="graded", max_payload=9), (0, 9)),
        (Threshold(threshold=np.array(1)), (0, 1)),
        (Threshold(threshold=np.array(1), spikes="signed"), (-1, 1)),
        (Threshold(threshold=np.array(1), spikes="graded", max_payload=3), (0, 3)),
    ],
)
def test_what_a_source_sends(node: Node, expected: tuple[int, int]) -> None:
    triples: list[tuple[str, Node, tuple[str, ...]]] = [("input", Input(shape=(1, 4, 4)), ())]
    if isinstance(node, Soma):
        triples.append(("direct", DirectEncoder(), ("input",)))
    triples.append(("source", node, (triples[-1][0],)))
    assert sent_range(Graph("g", "spiking", 1, triples, ()), "source") == expected


CHAINS: list[tuple[tuple[int, ...], tuple[Node, ...]]] = [
    ((4,), (Linear(weight=np.array([[3, -2, 0, 1], [-1, -1, 2, 0]])),)),
    ((2, 2, 2), (Conv2d(weight=np.array([[[[2, -1]], [[-3, 1]]]]), padding=(0, 1), groups=1),)),
    ((2, 2, 2), (Conv2d(weight=np.array([[[[2, -1]]], [[[-3, 1]]]]), groups=2), Flatten())),
    ((1, 3, 3), (SumPool2d(kernel=(2, 2), stride=(1, 1)), Flatten(), Linear(weight=np.array([[1, -1, 0, 2]])))),
    ((3,), (Scale(weight=np.array([2, -2, 0])),)),
]


@pytest.mark.parametrize(("shape", "operators"), CHAINS)
@pytest.mark.parametrize("sent", [(0, 1), (-1, 1)])
def test_the_range_of_a_projection_contains_every_sum_and_is_attained(
    shape: tuple[int, ...], operators: tuple[Node, ...], sent: tuple[int, int]
) -> None:
    encoder = DirectEncoder(scale=1.0, low=sent[0], high=sent[1])
    graph = Graph("g", "integer", 1, [("input", Input(shape=shape), ()), ("direct", encoder, ("input",))], ())
    names = tuple(f"op{number}" for number in range(len(operators)))
    projection = Projection("direct", shape, names, operators)
    size = int(np.prod(shape))
    rows = np.array(list(itertools.product(sorted({0, *sent}), repeat=size)))[:20000]
    sums = projection.apply(rows.reshape(-1, *shape))
    found = projection_range(graph, projection)
    assert (sums >= found.low).all()
    assert (sums <= found.high).all()
    pooled = any(isinstance(node, SumPool2d) for node in operators)  # overlapping windows are not independent
    if not pooled and len(rows) < 20000:
        assert np.array_equal(sums.min(axis=0), found.low)
        assert np.array_equal(sums.max(axis=0), found.high)


@dataclass
class Watched(SomaState):
    """Remembers every current and every membrane that it held, before any width cut it."""

    currents: list[Array] = field(default_factory=list)
    membranes: list[Array] = field(default_factory=list)

    def _integrate(self, x: Array, leak: Array, bias: Array) -> Array:
        current = super()._integrate(x, leak, bias)
        self.currents.append(current)
        return current

    def _store(self, membrane: Array) -> None:
        self.membranes.append(membrane)
        super()._store(membrane)


def assert_contained(soma: Neuron | Readout, shape: tuple[int, ...], inputs: Interval, series: Array) -> None:
    """``series``: (N, T, *shape) sums within ``inputs``."""
    currents, membranes = state_range(Population("soma", soma, shape, ()), inputs, series.shape[1])
    state = Watched(soma, shape, len(series), np.dtype(np.int64))
    for t in range(series.shape[1]):
        state.step(series[:, t])
    for held, allowed in ((state.currents, currents), (state.membranes, membranes)):
        assert (np.array(held) >= allowed.low).all()
        assert (np.array(held) <= allowed.high).all()


@st.composite
def somas(draw: st.DrawFn) -> Neuron | Readout:
    fixed = FixedPoint(state_bits=40, fraction_bits=draw(st.sampled_from((0, 2))), decay_bits=4, accumulator_bits=40)
    leaks: dict[str, Any] = {
        "leak": np.array(draw(st.integers(0, 16))),
        "current_leak": np.array(draw(st.sampled_from((0, 0, 5, 16)))),
        "bias": np.array(draw(st.integers(-9, 9))),
        "fixed": fixed,
    }
    if draw(st.integers(0, 6)) == 0:
        return Readout(**leaks)
    reset = draw(st.sampled_from(("subtract", "set", "none")))
    return Neuron(
        threshold=np.array(draw(st.integers(1, 30))),
        reset_value=np.array(draw(st.integers(-50, 50))),
        reset=reset,
        leaky_reset=reset == "none" or draw(st.booleans()),
        membrane_min=draw(st.none() | st.integers(-40, 0).map(np.array)),
        order=draw(st.sampled_from(("integrate_first", "fire_first"))),
        compare=draw(st.sampled_from(("above", "at_or_above"))),
        spikes=draw(st.sampled_from(("binary", "signed", "graded"))),
        max_payload=draw(st.sampled_from((1, 2, 9))),
        single_spike=draw(st.booleans()),
        **leaks,
    )


@settings(max_examples=300)
@given(soma=somas(), low=st.integers(-12, 3), span=st.integers(0, 15), seed=st.integers(0, 2**32 - 1))
def test_no_state_leaves_its_range(soma: Neuron | Readout, low: int, span: int, seed: int) -> None:
    """Sums are chosen against the neuron: extremes, runs of extremes, and anything between."""
    rng = np.random.default_rng(seed)
    high, steps = low + span, 6
    anything = rng.integers(low, high + 1, size=(60, steps, 1))
    extremes = np.array(list(itertools.product((low, high), repeat=steps)))[:, :, None]
    gentle = np.clip(rng.integers(-2, 3, size=(30, steps, 1)), low, high)
    assert_contained(soma, (1,), interval([low], [high]), np.concatenate([anything, extremes, gentle]))


@settings(max_examples=40)
@given(soma=somas())
def test_no_state_leaves_its_range_whatever_the_input(soma: Neuron | Readout) -> None:
    """All of 4^5 sequences of sums."""
    series = np.array(list(itertools.product((-3, 0, 2, 4), repeat=5)))[:, :, None]
    assert_contained(soma, (1,), interval([-3], [4]), series)


def test_the_range_of_a_readout_is_attained() -> None:
    soma = Readout(
        leak=np.array(8), current_leak=np.array(4), bias=np.array(3), fixed=FixedPoint(decay_bits=4, fraction_bits=1)
    )
    _, membranes = state_range(Population("soma", soma, (1,), ()), interval([-5], [7]), 3)
    state = Watched(soma, (1,), 2, np.dtype(np.int64))
    for _ in range(3):
        state.step(np.array([[-5], [7]]))
    assert membranes.low.tolist() == state.membranes[-1][0].tolist()
    assert membranes.high.tolist() == state.membranes[-1][1].tolist()


def test_a_graded_subtraction_counts_no_spike_that_cannot_be() -> None:
    """With at most 10 coming in and a threshold of 6, one spike at a time is subtracted, not the largest payload."""
    soma = Neuron(
        threshold=np.array(6), leak=np.array(0), current_leak=np.array(0), bias=np.array(0), spikes="graded",
        leaky_reset=False, fixed=FixedPoint(),
    )  # fmt: skip
    _, membranes = state_range(Population("soma", soma, (1,), ()), interval([0], [10]), 4)
    assert membranes.low.item() >= -10


@settings(max_examples=40)
@given(st.data())
def test_no_sum_of_a_network_leaves_its_range(data: st.DataObject) -> None:
    graph = data.draw(integer_networks())
    events = interpret(graph, data.draw(samples_for(graph))).events
    for population in populations(graph):
        bounds = input_range(graph, population)
        total: Any = 0
        for projection in population.projections:
            sent = events[projection.source]
            assert sent.min() >= sent_range(graph, projection.source)[0]
            assert sent.max() <= sent_range(graph, projection.source)[1]
            flat = sent.reshape(-1, *projection.source_shape)
            part = projection.apply(flat)
            range_of_part = projection_range(graph, projection)
            assert (part >= range_of_part.low).all()
            assert (part <= range_of_part.high).all()
            total = total + part
        assert (total >= bounds.low).all()
        assert (total <= bounds.high).all()
        if isinstance(population.soma, (Neuron, Readout)):
            series = total.reshape(-1, graph.timesteps, *population.shape)
            assert_contained(population.soma, population.shape, bounds, series)


def test_stateless_somas_keep_no_state() -> None:
    soma = Threshold(threshold=np.array(5), fixed=FixedPoint())
    for kept in state_range(Population("soma", soma, (1,), ()), interval([-9], [9]), 1):
        assert (kept.low.item(), kept.high.item()) == (0, 0)
