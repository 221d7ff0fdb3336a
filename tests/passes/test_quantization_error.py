"""How far the integers are from the floats, against sums by hand."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile.errors import CapacityError
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Add, Array, Linear, Readout, Threshold
from neurocompile.passes.quantization_error import QuantizationError, quantization_errors
from neurocompile.passes.quantize import Numerics, Quantize
from neurocompile.passes.scales import Quantizer
from tests.networks import lower, networks, samples_for
from tests.passes.helpers import Triple, lif, net


def layer(weight: Array, node: Any, bits: int = 4, steps: int = 3, **choices: Any) -> QuantizationError:
    """The row of "out", which "fc" feeds."""
    graph = lower(
        net(
            ("x", lif(0.5), ("direct",)), ("fc", Linear(weight=weight), ("x",)), ("out", node, ("fc",)),
            shape=(weight.shape[1],), steps=steps,
        )
    )  # fmt: skip
    after = Quantize(Numerics(weight_bits=bits), **choices).run(graph)
    rows = quantization_errors(graph, after, choices.get("scales", "channel"))
    assert [row.name for row in rows] == ["x", "out"]
    return rows[-1]


def test_what_is_exact_has_no_error() -> None:
    row = layer(np.array([[7.0, -3, 1], [1, 0, 3.5]]), lif(3.5))
    assert row == QuantizationError("out", 4, "channel", 0.0, 0.0, 0.0, 0.0)


def test_weights_by_hand() -> None:
    """Scale 7: 0.5 -> 3.5 -> 4, 1.25/7 -> 1; by least squares 66 / (7 + 2 + 1.25/7)."""
    weight = np.array([[1.0, 0.5, 1.25 / 7]])
    codes = np.array([7, 4, 1])
    fitted = codes * (weight[0] @ codes) / 66
    row = layer(weight, lif(1.0))
    expected = np.sqrt(np.square(fitted - weight).sum() / np.square(weight).sum())
    assert row.weight_error == pytest.approx(expected)
    assert row.clipped_share == 0


def test_what_is_clipped_is_counted() -> None:
    """Of 1 .. 10, 100 the 90th percentile is 10: one of eleven is beyond 10 * 7.5 / 7."""
    weight = np.array([[*range(1, 11), 100, 0, 0]], float)
    row = layer(weight, lif(50.0), quantizer="percentile", percentile=90)
    assert row.clipped_share == pytest.approx(1 / 11)
    assert row.weight_error > 0.8
    assert layer(weight, lif(50.0)).clipped_share == 0
    assert layer(weight, lif(50.0), bits=1).clipped_share == 0


def test_thresholds_by_hand() -> None:
    """Without fraction bits, at scales of 7 and 1: 1/3 -> 7/3 -> 2, 5.25 -> 5."""
    row = layer(
        np.array([[1.0, 1, 1], [7, 7, 7]]), Threshold(threshold=np.array([1 / 3, 5.25])), steps=1, bits=4
    )  # fmt: skip
    size = np.sqrt((1 / 9 + 5.25**2) / 2)
    assert row.threshold_error_max == pytest.approx(0.25 / size)
    assert row.threshold_error_mean == pytest.approx((1 / 21 + 0.25) / 2 / size)
    biased = Threshold(threshold=np.array([0.0, 5.0]), bias=np.array([-1 / 3, -0.25]))
    again = layer(np.array([[1.0, 1, 1], [7, 7, 7]]), biased, steps=1, bits=4)
    assert again.threshold_error_max == pytest.approx(row.threshold_error_max)


def test_one_scale_for_all() -> None:
    weight = np.array([[7.0, 1.0], [0.25, 0.5]])
    row = layer(weight, lif(1.0), scales="tensor")
    assert row.scales == "tensor"
    assert row.weight_error == pytest.approx(np.sqrt((0.25**2 + 0.5**2) / np.square(weight).sum()), rel=0.01)
    readout = layer(weight, Readout())
    assert (readout.scales, readout.threshold_error_max, readout.threshold_error_mean) == ("tensor", None, None)


def test_nothing_to_compare() -> None:
    row = layer(np.zeros((2, 2)), Threshold(threshold=np.zeros(2)), steps=1)
    assert row == QuantizationError("out", 4, "channel", 0.0, 0.0, None, None)


def test_a_threshold_out_of_reach_counts_as_far_as_the_sums_reach() -> None:
    row = layer(np.array([[1.0, -1.0]]), Threshold(threshold=np.array(1e30)), steps=1)
    assert row.threshold_error_max == 0


def test_exponents_and_analog_input_are_undone() -> None:
    nodes: tuple[Triple, ...] = (
        ("x", lif(0.5), ("direct",)), ("large", Linear(weight=np.eye(2)), ("x",)),
        ("small", Linear(weight=np.eye(2) / 16), ("y",)), ("y", lif(0.5), ("direct",)),
        ("sum", Add(), ("large", "small")), ("out", lif(), ("sum",)),
        ("fc", Linear(weight=np.array([[2.0, -1.0]])), ("direct",)), ("result", Readout(), ("fc",)),
    )  # fmt: skip
    graph = lower(net(*nodes, outputs=("out", "result")))
    after = Quantize(Numerics(), np.array([[0.0, 0.5]])).run(graph)
    rows = {row.name: row for row in quantization_errors(graph, after)}
    assert rows["out"].weight_error < 1e-12
    assert rows["result"].weight_error < 0.004


@settings(max_examples=40)
@given(st.data())
def test_eight_bits_are_nearer_than_three_whatever_the_network(data: st.DataObject) -> None:
    graph = lower(data.draw(networks()))
    samples = data.draw(samples_for(graph))
    errors = {}
    quantizers: tuple[Quantizer, ...] = ("mse", "calibrated")
    for quantizer, bits in itertools.product(quantizers, (8, 3)):
        try:
            after: Graph = Quantize(Numerics(weight_bits=bits, state_bits=32), samples, quantizer).run(graph)
        except CapacityError:
            return
        rows = quantization_errors(graph, after)
        assert all(np.isfinite([row.weight_error, row.threshold_error_max or 0.0]).all() for row in rows)
        assert all(0 <= row.clipped_share <= 1 for row in rows)
        errors[quantizer, bits] = sum(row.weight_error for row in rows)
    # calibration may prefer weights that are further off and sums that are nearer
    assert errors["mse", 8] <= errors["mse", 3] + 1e-12
