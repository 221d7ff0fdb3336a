"""Float to integer: scales, codes, thresholds, formats, and what does not fit."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile import coding
from neurocompile.errors import CapacityError, InputError
from neurocompile.ir.bounds import input_range, state_range
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import (
    Add,
    Array,
    Conv2d,
    DctEncoder,
    DirectEncoder,
    Flatten,
    HybridEncoder,
    Input,
    Linear,
    Neuron,
    Node,
    PoissonEncoder,
    Readout,
    Scale,
    Threshold,
)
from neurocompile.ir.populations import populations
from neurocompile.ir.verify import verify
from neurocompile.passes.quantize import Numerics, Quantize
from neurocompile.passes.scales import largest_weight
from tests.networks import integer_networks, lower, networks, numerics
from tests.passes.helpers import Triple, lif, net


def quantize(*nodes: Triple, calibration: Array | None = None, widths: Numerics | None = None, **choices: Any) -> Graph:
    """direct -> nodes, lowered and quantized."""
    after = Quantize(widths or Numerics(), calibration).run(lower(net(*nodes, **choices)))
    verify(after)
    return after


def weight(graph: Graph, name: str) -> Array:
    node = graph.node(name)
    assert isinstance(node, (Conv2d, Linear, Scale))
    return node.weight


def soma(graph: Graph, name: str = "out") -> Any:
    return graph.node(name)


def reals(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


# ------------------------------------------------------------------------------------------------ weights and scales


@pytest.mark.parametrize("bits", range(2, 9))
def test_every_channel_uses_its_whole_range(bits: int) -> None:
    conv = Conv2d(weight=reals(5, 2, 3, 3) * np.array([1e-4, 0.1, 1, 7, 900])[:, None, None, None])
    nodes: tuple[Triple, ...] = (
        ("lif", lif(0.5), ("direct",)),
        ("conv", conv, ("lif",)),
        ("out", lif(1e-3), ("conv",)),
    )
    after = quantize(*nodes, widths=Numerics(weight_bits=bits, state_bits=32), shape=(2, 4, 4))
    codes, largest = weight(after, "conv").astype(int), 2 ** (bits - 1) - 1
    assert codes.dtype.kind == "i"
    assert np.abs(codes).max(axis=(1, 2, 3)).tolist() == [largest] * 5
    step = np.abs(conv.weight).max(axis=(1, 2, 3), keepdims=True) / largest
    assert (np.abs(codes * step - conv.weight) <= step / 2 * (1 + 1e-12)).all()
    assert after.node("conv").weight_bits == bits


def test_one_bit_is_the_sign_and_the_scale_the_mean() -> None:
    fc = Linear(weight=np.array([[1.0, -3.0, 0.0], [0.5, 0.5, 0.5]]))
    after = quantize(
        ("lif", lif(0.5), ("direct",)), ("fc", fc, ("lif",)), ("out", lif(6.0), ("fc",)), shape=(3,),
        widths=Numerics(weight_bits=1, fraction_bits=4),
    )  # fmt: skip
    assert weight(after, "fc").tolist() == [[1, -1, 0], [1, 1, 1]]
    # means of 2 and 0.5: thresholds of 3 and 12, in sixteenths
    assert soma(after).threshold.tolist() == [3 * 16, 12 * 16]


def test_thresholds_biases_and_resets_are_in_the_channel_s_unit() -> None:
    fc = Linear(weight=np.array([[2.0, 1.0], [-0.5, 0.25]]), bias=np.array([1.0, -0.125]))
    node = lif(3.0, reset="set", reset_value=np.array(-0.5))
    after = quantize(
        ("lif", lif(0.5), ("direct",)), ("fc", fc, ("lif",)), ("out", node, ("fc",)), widths=Numerics(weight_bits=4)
    )
    # scales 7/2 and 14, states in 64ths
    assert weight(after, "fc").tolist() == [[7, 4], [-7, 4]]
    assert soma(after).threshold.tolist() == [3 * 3.5 * 64, 3 * 14 * 64]
    assert soma(after).bias.tolist() == [3.5 * 64, -0.125 * 14 * 64]
    assert soma(after).reset_value.tolist() == [-0.5 * 3.5 * 64, -0.5 * 14 * 64]
    assert soma(after).fixed.fraction_bits == 6


def test_the_least_membrane_is_in_the_channel_s_unit_and_no_lower_than_states_go() -> None:
    fc = Linear(weight=np.array([[2.0, 1.0], [-0.5, 0.25]]))
    for lowest, expected in ((-0.5, [-0.5 * 3.5 * 64, -0.5 * 14 * 64]), (-1e308, [1 - (1 << 23)] * 2), (0.0, 0)):
        node = lif(3.0, membrane_min=np.array(lowest))
        after = quantize(
            ("lif", lif(0.5), ("direct",)), ("fc", fc, ("lif",)), ("out", node, ("fc",)), widths=Numerics(weight_bits=4)
        )
        assert weight(after, "fc").tolist() == [[7, 4], [-7, 4]]  # whatever the minimum, it costs no precision
        assert soma(after).membrane_min.tolist() == expected


def test_competing_outputs_share_one_scale() -> None:
    fc = Linear(weight=np.array([[2.0, 1.0], [-0.5, 0.25]]), bias=np.array([1.0, -0.125]))
    after = quantize(("lif", lif(), ("direct",)), ("fc", fc, ("lif",)), ("out", Readout(), ("fc",)))
    assert weight(after, "fc").tolist() == [[127, 64], [-32, 16]]
    assert soma(after).unit == 2 / 127
    assert soma(after).bias.tolist() == [64, -8]
    assert soma(after).fixed.fraction_bits == 0  # nothing decays, so nothing would be truncated


def test_a_leaky_readout_carries_fraction_bits() -> None:
    fc = Linear(weight=np.array([[2.0, 1.0]]))
    after = quantize(("lif", lif(), ("direct",)), ("fc", fc, ("lif",)), ("out", Readout(leak=np.array(0.5)), ("fc",)))
    assert soma(after).fixed.fraction_bits == 6
    assert soma(after).unit == 2 / 127 / 64
    assert soma(after).leak == 2048


def test_projections_that_meet_share_the_scale_of_their_channel() -> None:
    """Channel 0 is ruled by the skip's weights, channel 1 by the layer's."""
    a, b = np.array([[1.0, 0.5], [8.0, 4.0]]), np.array([[-2.0, 1.0], [2.0, -1.0]])
    after = quantize(
        ("x", lif(), ("direct",)), ("y", lif(), ("direct",)), ("fa", Linear(weight=a), ("x",)),
        ("fb", Linear(weight=b), ("y",)), ("sum", Add(), ("fa", "fb")), ("out", lif(4.0), ("sum",)),
        widths=Numerics(weight_bits=5),
    )  # fmt: skip
    assert weight(after, "fa").tolist() == [[8, 4], [15, 8]]
    assert weight(after, "fb").tolist() == [[-15, 8], [4, -2]]
    assert soma(after).threshold.tolist() == [4 * 7.5 * 64, 4 * 15 / 8 * 64]


def test_an_identity_skip_has_the_scale_of_each_channel() -> None:
    """Channel 0: 4 is the largest weight, so its unit is 4/7. Channel 1: the skip's own 1, so its unit is 1/7."""
    after = quantize(
        ("x", lif(), ("direct",)), ("fc", Linear(weight=np.array([[4.0, 0.0], [0.0, 0.5]])), ("x",)),
        ("sum", Add(), ("fc", "x")), ("out", lif(), ("sum",)), widths=Numerics(weight_bits=4),
    )  # fmt: skip
    assert weight(after, "fc").tolist() == [[7, 0], [0, 4]]
    assert weight(after, "x.to.out").tolist() == [2, 7]
    assert soma(after).threshold.tolist() == [7 / 4 * 64, 7 * 64]


def test_a_flattened_convolution_has_one_scale() -> None:
    conv = Conv2d(weight=np.array([1.0, 0.25]).reshape(2, 1, 1, 1))
    after = quantize(
        ("x", lif(), ("direct",)), ("conv", conv, ("x",)), ("flat", Flatten(), ("conv",)), ("out", lif(), ("flat",)),
        shape=(1, 2, 2), widths=Numerics(weight_bits=4),
    )  # fmt: skip
    assert weight(after, "conv").ravel().tolist() == [7, 2]


@pytest.mark.parametrize("stateless", [False, True])
def test_a_channel_without_weights_still_compares_its_bias(stateless: bool) -> None:
    fc = Linear(weight=np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]), bias=np.array([0.3, 0.1, 0.0]))
    after = quantize(
        ("x", lif(), ("direct",)), ("fc", fc, ("x",)), ("out", lif(0.2), ("fc",)), steps=1 if stateless else 4,
    )  # fmt: skip
    spikes = interpret(after, np.zeros((1, 2))).outputs["out"]
    assert spikes.tolist() == ([[1, 0, 0]] if stateless else [[4, 1, 0]])  # 0.3, 0.4 .. and 0.1, 0.2, 0.3, 0.2


def test_a_soma_without_any_weight_bias_or_threshold() -> None:
    fc = Linear(weight=np.zeros((2, 2)))
    after = quantize(("x", lif(), ("direct",)), ("fc", fc, ("x",)), ("out", Readout(), ("fc",)))
    assert interpret(after, np.ones((1, 2))).outputs["out"].tolist() == [[0, 0]]


# ------------------------------------------------------------------------------------------------------ analog input


@pytest.mark.parametrize(
    ("values", "bits", "scale", "low", "high"),
    [
        (None, 8, 127.0, -127, 127),  # no samples: the declared limit of 1, signed
        ([0.0, 0.0], 8, 127.0, -127, 127),  # nothing to learn from
        ([0.0, 0.5], 8, 510.0, 0, 255),
        ([0.25, 2.0], 4, 7.5, 0, 15),
        ([-2.0, 0.5], 8, 63.5, -127, 127),
        ([-0.5, -0.25], 3, 6.0, -3, 3),
        ([-1.0, 1.0], 1, 1.0, -1, 1),
        ([0.0, 1.0], 1, 1.0, 0, 1),
    ],
)
def test_the_code_of_analog_input(values: list[float] | None, bits: int, scale: float, low: int, high: int) -> None:
    calibration = None if values is None else np.array([values])
    after = quantize(("out", lif(), ("direct",)), calibration=calibration, widths=Numerics(payload_bits=bits))
    encoder = after.node("direct")
    assert isinstance(encoder, DirectEncoder)
    assert (encoder.scale, encoder.low, encoder.high) == (scale, low, high)


def encoded(encoder: Node, *, shape: tuple[int, ...], steps: int, values: Any = None, bits: int = 8) -> Any:
    """The encoder that becomes of ``encoder`` in front of a neuron for each value."""
    nodes: list[Triple] = [("input", Input(shape=shape), ()), ("code", encoder, ("input",)), ("out", lif(), ("code",))]
    graph = lower(Graph("net", "traced", steps, nodes, ("out",)))
    calibration = None if values is None else np.asarray(values, np.float64)[None]
    return Quantize(Numerics(payload_bits=bits), calibration).run(graph).node("code")


@pytest.mark.parametrize(
    ("minimum", "maximum", "values", "bits", "scale", "low", "high"),
    [
        (0.0, 1.0, None, 8, 128.0, 0, 128),  # a power of two, so that a spike of one is exact, and one bit
        (-1.0, 1.0, None, 8, 64.0, -64, 64),
        (-2.0, 2.64, None, 8, 32.0, -84, 84),
        (0.0, 0.25, None, 8, 128.0, 0, 128),  # the spikes are what reaches furthest
        (0.0, 255.0, None, 8, 1.0, 0, 255),
        (0.0, 1.0, [0.0, 0.0], 8, 128.0, 0, 128),
        (-1.0, 1.0, [0.0, 0.5], 8, 128.0, 0, 128),  # the samples say that nothing is negative
        (0.0, 1.0, [-3.0, 0.5], 8, 32.0, -96, 96),
        (0.0, 1.0, None, 1, 1.0, 0, 1),
    ],
)
def test_the_code_of_hybrid_input(
    minimum: float, maximum: float, values: Any, bits: int, scale: float, low: int, high: int
) -> None:
    encoder = HybridEncoder(timesteps=3, minimum=minimum, maximum=maximum)
    found = encoded(encoder, shape=(2,), steps=3, values=values, bits=bits)
    assert (found.scale, found.low, found.high) == (scale, low, high)


def test_hybrid_input_of_one_step_is_coded_as_direct_input() -> None:
    found = encoded(HybridEncoder(timesteps=1, minimum=-0.5, maximum=0.25), shape=(2,), steps=1)
    assert (found.scale, found.low, found.high) == (254.0, -127, 127)


def test_values_too_large_for_a_code_beside_spikes_of_one() -> None:
    message = (
        "^code: its values reach 300 beside spikes of 1, and 8-bit codes that have both reach 255; scale the samples "
        "down and train again, or choose a target with more payload_bits$"
    )
    with pytest.raises(CapacityError, match=message):
        encoded(HybridEncoder(timesteps=2, maximum=300.0), shape=(2,), steps=2)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_no_frequency_of_expected_pictures_is_beyond_its_code(seed: int, block: int) -> None:
    """Pictures of the most extreme values, without samples to tell what comes."""
    found = encoded(DctEncoder(block=block, limit=2.0), shape=(1, block, block), steps=block**2)
    assert (found.low, found.high) == (-127, 127)
    pictures = np.random.default_rng(seed).choice([-2.0, 2.0], (8, 1, block, block))
    for basis in coding.frequencies(block):  # and those that a frequency makes most of
        vertical, horizontal = (np.array(coding.cosines(block, each)) for each in basis)
        pictures = np.concatenate([pictures, 2 * np.sign(np.outer(vertical, horizontal))[None, None]])
    parts = np.concatenate([coding.frequency_part(pictures, block, step) for step in range(block**2)])
    assert np.abs(parts * found.scale).max() == pytest.approx(127)


def test_frequencies_are_scaled_by_what_samples_hold() -> None:
    picture = np.array([[[4.0, 2.0], [1.0, -3.0]]]) / 4  # of which the largest part is 2/4
    found = encoded(DctEncoder(block=2), shape=(1, 2, 2), steps=4, values=picture)
    assert (found.scale, found.low, found.high) == (pytest.approx(254.0), -127, 127)


def test_the_scale_of_the_input_is_absorbed_by_the_first_layer() -> None:
    """Input codes are x * 510, so weights of 127 stand for 2 * 510 of them."""
    fc = Linear(weight=np.array([[2.0, -1.0]]))
    after = quantize(("fc", fc, ("direct",)), ("out", Readout(), ("fc",)), calibration=np.array([[0.0, 0.5]]))
    assert weight(after, "fc").tolist() == [[127, -64]]
    assert soma(after).unit == pytest.approx(2 / 127 / 510)
    result = interpret(after, np.array([[0.5, 0.25]])).outputs["out"].item() * soma(after).unit
    assert result == pytest.approx(3 * (2 * 0.5 - 0.25), rel=0.01)


def test_calibration_must_fit_the_graph() -> None:
    with pytest.raises(InputError, match=r"input has shape \(1, 5\)"):
        quantize(("out", lif(), ("direct",)), calibration=np.zeros((1, 5)))


def test_poisson_input_needs_no_scale() -> None:
    nodes: list[Triple] = [
        ("input", Input(shape=(2,)), ()),
        ("rate", PoissonEncoder(), ("input",)),
        ("fc", Linear(weight=np.array([[1.0, 0.5]])), ("rate",)),
        ("out", Readout(), ("fc",)),
    ]
    after = Quantize().run(lower(Graph("net", "traced", 4, nodes, ("out",))))
    verify(after)
    assert weight(after, "fc").tolist() == [[127, 64]]
    assert after.node("rate") is nodes[1][1]


# --------------------------------------------------------------------------------------------------------- thresholds

FINE = st.integers(-60, 60).map(lambda value: value / 8)


@settings(max_examples=150)
@given(
    rows=st.lists(st.lists(st.integers(-8, 8).map(lambda v: v / 4), min_size=3, max_size=3), min_size=1, max_size=3),
    threshold=FINE,
    bias=FINE,
    compare=st.sampled_from(("above", "at_or_above")),
    flip=st.booleans(),
    bits=st.integers(1, 8),
)
def test_a_stateless_comparison_loses_nothing_beyond_its_weights(
    rows: list[list[float]], threshold: float, bias: float, compare: Any, flip: bool, bits: int
) -> None:
    """Every input: the integer spike is the comparison, in fractions, of what the codes stand for."""
    node = Threshold(threshold=np.array(threshold), bias=np.array(bias), flip=np.array(flip), compare=compare)
    nodes: list[Triple] = [
        ("fc0", Linear(weight=np.eye(3)), ("direct",)),
        ("x", Threshold(threshold=np.array(0.5)), ("fc0",)),
        ("fc", Linear(weight=np.array(rows)), ("x",)),
        ("out", node, ("fc",)),
    ]
    after = quantize(*nodes, widths=Numerics(weight_bits=bits), steps=1, shape=(3,))
    codes = weight(after, "fc")
    for row, channel in zip(rows, codes.tolist(), strict=True):
        sizes = [abs(Fraction(value)) for value in row if value]
        if bits == 1:
            step = sum(sizes, Fraction(0)) / max(len(sizes), 1)
        else:
            step = max(sizes, default=Fraction(0)) / (2 ** (bits - 1) - 1)
        place = rows.index(row)
        for x in itertools.product((0, 1), repeat=3):
            total = step * sum(code * value for code, value in zip(channel, x, strict=True))
            difference = (Fraction(threshold) - Fraction(bias) - total) * (1 if flip else -1)
            expected = difference > 0 or (difference == 0 and compare == "at_or_above")
            if difference == 0 and (2 ** (bits - 1) - 1) not in (0, 1):
                continue  # a tie in exact arithmetic may be none after S = largest / size is rounded
            spikes = interpret(after, np.array([x], float)).outputs["out"]
            assert spikes[0, place] == int(expected), (row, x)


@pytest.mark.parametrize(
    ("compare", "flip", "expected"),
    [("above", False, 3), ("at_or_above", False, 4), ("above", True, 4), ("at_or_above", True, 3)],
)
def test_the_integer_threshold_by_hand(compare: Any, flip: bool, expected: int) -> None:
    """A threshold of 3.5 weight units: > 3.5 is > 3, >= 3.5 is >= 4, < 3.5 is < 4, <= 3.5 is <= 3."""
    node = Threshold(threshold=np.array(0.5), compare=compare, flip=np.array(flip))
    fc = Linear(weight=np.array([[1.0, 1.0]]))
    nodes: tuple[Triple, ...] = (("x", lif(), ("direct",)), ("fc", fc, ("x",)), ("out", node, ("fc",)))
    after = quantize(*nodes, widths=Numerics(weight_bits=4), steps=1)
    assert soma(after).threshold.tolist() == [expected]
    assert soma(after).bias == 0


def test_a_threshold_out_of_reach_stays_out_of_reach() -> None:
    fc = Linear(weight=np.array([[1.0, -1.0], [1.0, -1.0]]))
    node = Threshold(threshold=np.array([1e30, -1e30]), compare="above")
    after = quantize(("x", lif(), ("direct",)), ("fc", fc, ("x",)), ("out", node, ("fc",)), steps=1)
    assert soma(after).threshold.tolist() == [128, -128]


@pytest.mark.parametrize("threshold", [np.array(0.5), reals(2) ** 2 + 0.1, reals(2, 2, 2) ** 2 + 0.1])
@pytest.mark.parametrize("bias", [np.array(0.25), reals(2, seed=3), reals(2, 2, 2, seed=3)])
def test_thresholds_and_biases_of_any_shape(threshold: Array, bias: Array) -> None:
    """Two channels of 2x2, so that a parameter per channel must not be spread along the width."""
    node = Threshold(threshold=threshold, bias=bias, flip=np.array([False, True]))
    after = quantize(("x", lif(0.5), ("direct",)), ("out", node, ("x",)), shape=(2, 2, 2), steps=1)
    samples = np.array(list(itertools.product((0.0, 1.0), repeat=8))).reshape(-1, 2, 2, 2)
    before = lower(net(("x", lif(0.5), ("direct",)), ("out", node, ("x",)), shape=(2, 2, 2), steps=1))
    assert np.array_equal(interpret(after, samples).outputs["out"], interpret(before, samples).outputs["out"])


# ------------------------------------------------------------------------------------------------- formats and widths


def rated(*nodes: Triple, features: int = 1, steps: int = 4, widths: Numerics) -> Graph:
    """Poisson spikes, "rate", instead of analog input: a source that sends -1, 0 or 1."""
    triples: list[Triple] = [("input", Input(shape=(features,)), ()), ("rate", PoissonEncoder(), ("input",)), *nodes]
    after = Quantize(widths).run(lower(Graph("net", "traced", steps, triples, ("out",))))
    verify(after)
    return after


def driven(state_bits: int, steps: int = 4, **choices: Any) -> Graph:
    """One neuron under a weight of 127 for ``steps`` steps, never reset: up to 127*steps*2**fraction_bits."""
    fc = Linear(weight=np.array([[1.0]]))
    node = lif(0.5, reset="none")
    widths = Numerics(state_bits=state_bits, threshold_bits=state_bits, **choices)
    return rated(("fc", fc, ("rate",)), ("out", node, ("fc",)), steps=steps, widths=widths)


@pytest.mark.parametrize(("state_bits", "fraction"), [(24, 6), (16, 6), (15, 5), (12, 2), (10, 0)])
def test_states_get_the_most_fraction_bits_that_fit(state_bits: int, fraction: int) -> None:
    """4 * 127 = 508 needs ten bits with the sign."""
    assert soma(driven(state_bits)).fixed.fraction_bits == fraction


def test_a_layer_whose_state_cannot_hold_its_weights_gets_narrower_ones() -> None:
    """5 * 127 needs 11 bits with the sign, 5 * 63 ten, and the layer says that its weights have seven."""
    after = driven(10, steps=5)
    assert weight(after, "fc").tolist() == [[63]]
    assert after.node("fc").weight_bits == 7
    assert soma(after).fixed.fraction_bits == 0


def test_a_state_that_cannot_fit_is_refused_with_its_bits() -> None:
    """With four bits, the least: 20 * 7 needs nine bits with the sign."""
    with pytest.raises(
        CapacityError,
        match="out: its state may need 9 bits over 20 time steps with 4-bit weights, the chip has 8; build with",
    ):
        driven(8, steps=20)
    assert soma(driven(8, steps=20, weight_bits=3)).fixed.state_bits == 8  # the remedy works
    with pytest.raises(CapacityError, match="the chip has 8; use fewer time steps or a smaller fan-in, or choose"):
        driven(8, steps=1000)
    with pytest.raises(CapacityError, match="out: its state may need 12 bits over 4 time steps with 4-bit weights"):
        driven(11, fraction_bits_fixed=True)


def test_a_sum_that_cannot_fit_is_refused_with_its_bits() -> None:
    fc = Linear(weight=np.ones((1, 20)))
    nodes: tuple[Triple, ...] = (("fc", fc, ("rate",)), ("out", Readout(), ("fc",)))
    assert rated(*nodes, features=20, widths=Numerics(accumulator_bits=13)).node("fc").weight_bits == 8  # 20*127 = 2540
    assert rated(*nodes, features=20, widths=Numerics(accumulator_bits=12)).node("fc").weight_bits == 7
    with pytest.raises(
        CapacityError,
        match="out: its synaptic sum needs 9 bits with 4-bit weights, the accumulator has 8; build with --bits 3 or",
    ):
        rated(*nodes, features=20, widths=Numerics(accumulator_bits=8))
    assert rated(*nodes, features=20, widths=Numerics(accumulator_bits=8, weight_bits=3)).node("fc").weight_bits == 3


def test_small_weights_that_meet_large_ones_keep_their_precision() -> None:
    """Weights of 1 beside weights of 1/16 (2^4 less): the large ones carry an exponent, the small have whole codes."""
    after = quantize(
        ("x", lif(), ("direct",)), ("y", lif(), ("direct",)), ("large", Linear(weight=np.eye(2)), ("x",)),
        ("small", Linear(weight=np.array([[1.0, -0.5], [0.25, 1.0]]) / 16), ("y",)), ("sum", Add(), ("large", "small")),
        ("out", lif(), ("sum",)), widths=Numerics(weight_bits=8),
    )  # fmt: skip
    assert weight(after, "small").tolist() == [[127, -64], [32, 127]]
    assert weight(after, "large").tolist() == [[127, 0], [0, 127]]
    assert (after.node("large").weight_exponent, after.node("small").weight_exponent) == (4, 0)
    assert soma(after).threshold.tolist() == [127 * 16 * 64, 127 * 16 * 64]


def test_analog_input_never_has_an_exponent() -> None:
    """A chip without graded spikes spends its exponents on the bits of the input."""
    after = quantize(
        ("x", lif(), ("direct",)), ("analog", Linear(weight=np.eye(2) * 1e5), ("direct",)),
        ("fc", Linear(weight=np.eye(2)), ("x",)), ("sum", Add(), ("analog", "fc")), ("out", lif(), ("sum",)),
    )  # fmt: skip
    assert after.node("analog").weight_exponent == after.node("fc").weight_exponent == 0
    assert weight(after, "analog").tolist() == [[127, 0], [0, 127]]


def test_without_exponents_the_large_weights_rule() -> None:
    after = quantize(
        ("x", lif(), ("direct",)), ("y", lif(), ("direct",)), ("large", Linear(weight=np.eye(2)), ("x",)),
        ("small", Linear(weight=np.eye(2) / 16), ("y",)), ("sum", Add(), ("large", "small")), ("out", lif(), ("sum",)),
        widths=Numerics(weight_bits=8, weight_exponent_max=0),
    )  # fmt: skip
    assert weight(after, "small").tolist() == [[8, 0], [0, 8]]
    assert after.node("large").weight_exponent == 0


def test_a_threshold_far_above_the_weights_costs_weight_codes_not_correctness() -> None:
    """A threshold of 2^21 weights: with codes of 127 no state could hold it; the scale gives way."""
    fc = Linear(weight=np.array([[1.0, 0.5]]))
    nodes: tuple[Triple, ...] = (("x", lif(), ("direct",)), ("fc", fc, ("x",)), ("out", lif(2.0**17), ("fc",)))
    after = quantize(*nodes, widths=Numerics(state_bits=24, threshold_bits=20))
    assert soma(after).threshold.max() < 2**19
    assert weight(after, "fc").max() < 127


def test_a_threshold_never_exceeds_the_chip_s_width_even_if_no_state_reaches_it() -> None:
    fc = Linear(weight=np.array([[1.0]]))
    nodes: tuple[Triple, ...] = (("x", lif(), ("direct",)), ("fc", fc, ("x",)), ("out", lif(1000.0), ("fc",)))
    after = quantize(*nodes, shape=(1,), widths=Numerics(threshold_bits=20), steps=2)
    assert soma(after).fixed.fraction_bits == 2  # 127000 needs 18 bits with the sign
    assert soma(after).threshold.tolist() == [127000 * 4]


@pytest.mark.parametrize("step_bits", [0, 6, 9])
def test_thresholds_are_multiples_of_the_chip_s_step(step_bits: int) -> None:
    fc = Linear(weight=reals(4, 3))
    nodes: tuple[Triple, ...] = (("x", lif(), ("direct",)), ("fc", fc, ("x",)), ("out", lif(0.0001), ("fc",)))
    after = quantize(*nodes, shape=(3,), widths=Numerics(threshold_step_bits=step_bits))
    assert (soma(after).threshold % 2**step_bits == 0).all()
    assert soma(after).threshold.min() >= 2**step_bits


@given(st.integers(-(2**20), 2**20), st.integers(1, 13))
def test_biases_are_rounded_to_a_magnitude_times_a_power_of_two(value: int, bits: int) -> None:
    """In units of 1/127 of a weight, without fraction bits, so that the bias is ``value`` before it is rounded."""
    fc = Linear(weight=np.array([[127.0]]), bias=np.array([float(value)]))
    widths = Numerics(bias_bits=bits, fraction_bits=0, state_bits=32, threshold_bits=32)
    stored = soma(rated(("fc", fc, ("rate",)), ("out", lif(1.0), ("fc",)), widths=widths)).bias.item()
    magnitude = abs(stored)
    while magnitude and magnitude % 2 == 0:
        magnitude //= 2
    assert magnitude < 2**bits
    assert stored * value >= 0
    # the nearest of those with as many bits: half a step of its highest bits at most
    assert abs(stored - value) <= max(0, 2 ** (abs(value).bit_length() - bits) / 2)


def test_leaks_are_the_nearest_fractions() -> None:
    node = lif(0.5, leak=np.array([0.0, 0.3, 0.9, 1.0]), current_leak=np.array(1 / 3))
    after = quantize(("out", node, ("direct",)), shape=(4,))
    assert soma(after).leak.tolist() == [0, 1229, 3686, 4096]
    assert soma(after).current_leak == 1365


@pytest.mark.parametrize(
    "choices",
    [
        {"weight_bits": 0}, {"weight_bits": 9}, {"payload_bits": 0}, {"payload_bits": 17}, {"state_bits": 7},
        {"threshold_bits": 41}, {"fraction_bits": -1}, {"threshold_step_bits": 17}, {"decay_bits": 0},
        {"accumulator_bits": 64},
    ],
)  # fmt: skip
def test_widths_that_make_no_sense_are_refused(choices: dict[str, int]) -> None:
    (name,) = choices
    with pytest.raises(InputError, match=f"{name} is {choices[name]}; choose from"):
        Numerics(**choices)


# ---------------------------------------------------------------------------------------------- on generated networks


@settings(max_examples=60)
@given(st.data())
def test_every_generated_network_is_legal_and_cannot_overflow(data: st.DataObject) -> None:
    widths = data.draw(numerics())
    graph = data.draw(integer_networks(st.just(widths)))
    for population in populations(graph):
        fixed = population.soma.fixed
        assert fixed is not None
        inputs = input_range(graph, population)
        assert inputs.bits <= fixed.accumulator_bits == widths.accumulator_bits
        assert all(state.bits <= fixed.state_bits for state in state_range(population, inputs, graph.timesteps))
        for projection in population.projections:
            assert projection.weighted.weight.dtype == np.int8
            assert projection.weighted.weight_bits == widths.weight_bits
            assert np.abs(projection.weighted.weight.astype(int)).max() <= largest_weight(
                projection.weighted.weight_bits
            )
        if isinstance(population.soma, Neuron):
            assert population.soma.threshold.min() > 0
            assert int(population.soma.threshold.max()) < 2 ** (widths.threshold_bits - 1)


@settings(max_examples=25)
@given(networks(readout=True))
def test_quantizing_changes_no_structure(graph: Graph) -> None:
    before = lower(graph)
    try:
        after = Quantize(Numerics(state_bits=32)).run(before)
    except CapacityError:
        return
    assert list(after) == list(before)
    assert all(after.inputs(name) == before.inputs(name) for name in before)
    assert after.outputs == before.outputs
    assert all(type(after.node(name)) is type(before.node(name)) for name in before)
    kinds: set[type[Node]] = {type(node) for _, node in after.items()}
    assert Readout in kinds
