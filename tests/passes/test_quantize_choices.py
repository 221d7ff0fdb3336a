"""How weights get their scales: percentile, least error, one per layer; and what calibration makes of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile.errors import CapacityError, InputError
from neurocompile.hardware import target
from neurocompile.ir.bounds import input_range, state_range
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import Add, Array, Conv2d, Flatten, Linear, Neuron, Readout, Recurrent, Threshold
from neurocompile.ir.populations import Population, Projection, populations
from neurocompile.ir.verify import verify
from neurocompile.passes import calibrate
from neurocompile.passes.calibrate import Layer, sample_count
from neurocompile.passes.quantize import Numerics, Quantize
from neurocompile.passes.scales import Magnitudes, Quantizer, Scales, largest_weight
from tests.networks import lower, networks, numerics, samples_for
from tests.passes.helpers import Triple, lif, net

QUANTIZERS: tuple[Quantizer, ...] = get_args(Quantizer)


def quantize(graph: Graph, bits: int = 4, calibration: Array | None = None, **choices: Any) -> Graph:
    after = Quantize(Numerics(weight_bits=bits), calibration, **choices).run(graph)
    verify(after)
    return after


def one_layer(weight: Array, node: Neuron | Threshold | Readout | None = None, steps: int = 3) -> Graph:
    """Spikes of a layer without errors, then ``weight``."""
    features = weight.shape[1]
    return lower(
        net(
            ("in", Linear(weight=np.eye(features)), ("direct",)), ("x", lif(0.5), ("in",)),
            ("fc", Linear(weight=weight), ("x",)), ("out", node or lif(), ("fc",)), shape=(features,), steps=steps,
        )
    )  # fmt: skip


def weight(graph: Graph, name: str = "fc") -> Array:
    node = graph.node(name)
    assert isinstance(node, (Conv2d, Linear))
    return node.weight


def spread(rows: int, synapses: int, seed: int = 0) -> Array:
    """Weights with long tails, which a scale that follows the largest serves badly."""
    return np.random.default_rng(seed).laplace(size=(rows, synapses))


# ---------------------------------------------------------------------------------------------------- weights alone


def test_a_percentile_clips_what_is_above_it() -> None:
    """Of 1 .. 10, 100 the 90th percentile is 10, which gets the code 7; zeros are no weights."""
    values = np.array([[*range(1, 11), 100, *[0] * 89]], float)
    codes = weight(quantize(one_layer(values), quantizer="percentile", percentile=90))
    assert codes[0, :11].tolist() == [1, 1, 2, 3, 4, 4, 5, 6, 6, 7, 7]
    assert weight(quantize(one_layer(values), quantizer="percentile", percentile=100))[0, 9] == 1


def test_a_percentile_of_no_weights() -> None:
    assert not weight(quantize(one_layer(np.zeros((2, 3))), quantizer="percentile")).any()


def dequantized(codes: Array, float_weight: Array) -> Array:
    """What codes stand for, at the best of all scales."""
    factor = (codes * float_weight).sum(axis=1) / np.maximum(np.square(codes.astype(float)).sum(axis=1), 1)
    values: Array = codes * factor[:, None]
    return values


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_least_error_beats_the_largest_weight_in_every_channel(bits: int) -> None:
    values = spread(6, 200)
    errors = {
        name: np.square(dequantized(weight(quantize(one_layer(values), bits, quantizer=name)), values) - values).sum(1)
        for name in ("max", "mse")
    }
    assert (errors["mse"] < errors["max"]).all()


def test_least_error_is_that_of_an_exhaustive_search() -> None:
    """Channel by channel, over a finer grid than the quantizer's: within two per cent of the best."""
    values = spread(4, 60, seed=3)
    for row, codes in zip(values, weight(quantize(one_layer(values), 3, quantizer="mse")), strict=True):
        steps = np.abs(row).max() / 3 * np.linspace(0.05, 1, 2000)
        least = min(np.square(np.clip(np.rint(row / step), -3, 3) * step - row).sum() for step in steps)
        found = np.square(dequantized(codes[None], row[None])[0] - row).sum()
        assert found <= 1.02 * least


def test_weights_that_are_codes_already_are_never_clipped() -> None:
    values = np.array([[7.0, -3, 1, 0], [1, 2, 3, 7]]) / 8
    for name in ("max", "mse"):
        assert weight(quantize(one_layer(values), quantizer=name)).tolist() == (values * 8).tolist()


def test_projections_that_meet_are_clipped_together() -> None:
    """One scale serves both, so the error of both decides; the large weights of one row are few."""
    a, b = spread(3, 40, seed=1), spread(3, 40, seed=2)
    graph = lower(
        net(
            ("x", lif(), ("direct",)), ("y", lif(), ("direct",)), ("fa", Linear(weight=a), ("x",)),
            ("fb", Linear(weight=b), ("y",)), ("sum", Add(), ("fa", "fb")), ("out", lif(4.0), ("sum",)), shape=(40,),
        )
    )  # fmt: skip
    both = {}
    for name in ("max", "mse"):
        after = quantize(graph, 3, quantizer=name)
        codes = np.concatenate([weight(after, "fa"), weight(after, "fb")], axis=1)
        values = np.concatenate([a, b], axis=1)
        both[name] = np.square(dequantized(codes, values) - values).sum(axis=1)
    assert (both["mse"] < both["max"]).all()


def test_errors_count_in_the_float_network_s_unit() -> None:
    """With codes of -1, 0 and 1 a thousand weights of 0.45 would clip at 0.45, forty of 1 would not clip at all: which
    of them decides is a question of what a code of their source stands for."""
    rows = np.full((1, 1000), 0.45), np.full((1, 40), 1.0)
    spikes, analog = (Magnitudes(rows, np.array([1.0, unit]), shared=True) for unit in (1.0, 1000.0))
    none = np.zeros(2, np.int64)
    assert spikes.least_error_clip(none, 2) == pytest.approx(0.45, rel=0.08)
    assert analog.least_error_clip(none, 2) == 1
    assert spikes.least_error_clip(np.array([0, 1]), 2) == pytest.approx(0.9, rel=0.08)  # 0.45 beside 1 / 2


@pytest.mark.parametrize("quantizer", ["max", "percentile", "mse"])
def test_one_scale_per_layer(quantizer: Quantizer) -> None:
    """Equal weights have equal codes wherever they are, and one threshold stays one."""
    values = np.array([[8.0, 1, 2], [1, 0.5, 2]])
    after = quantize(one_layer(values), quantizer=quantizer, scales="tensor", percentile=100)
    codes = weight(after)
    assert codes[0, 1] == codes[1, 0]
    assert codes[0, 2] == codes[1, 2]
    node = after.node("out")
    assert isinstance(node, Neuron)
    assert node.threshold.shape == ()
    if quantizer == "max":
        assert codes.tolist() == [[7, 1, 2], [1, 0, 2]]
        assert node.threshold == 7 / 8 * 64


def test_one_bit_has_no_size_to_choose() -> None:
    values = spread(3, 20)
    assert all(
        (weight(quantize(one_layer(values), 1, quantizer=name)) == np.sign(values)).all()
        for name in ("max", "percentile", "mse")
    )


# -------------------------------------------------------------------------------------------------------- calibration


def events(graph: Graph, samples: Array) -> dict[str, Array]:
    return interpret(graph, samples).events


def binary_samples(count: int, features: int, seed: int = 5) -> Array:
    return np.random.default_rng(seed).integers(0, 2, (count, features)).astype(float)


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("bits", [2, 3])
def test_calibration_keeps_more_spikes_than_the_largest_weight_also_of_samples_that_it_never_saw(
    steps: int, bits: int
) -> None:
    graph = one_layer(spread(12, 60), lif(2.0), steps=steps)
    seen, unseen = binary_samples(64, 60), binary_samples(200, 60, seed=6)
    agreement = {}
    for name in ("max", "calibrated"):
        after = quantize(graph, bits, seen, quantizer=name)
        agreement[name] = [(events(graph, each)["out"] == events(after, each)["out"]).mean() for each in (seen, unseen)]
    assert agreement["calibrated"][0] > agreement["max"][0] + 0.02
    assert agreement["calibrated"][1] > agreement["max"][1] + 0.02


def test_calibration_leaves_alone_what_has_no_error() -> None:
    """Weights that are codes: every spike is right already."""
    values = np.array([[7.0, -3, 1, 0], [1, 2, 3, 7]]) / 8
    graph, seen = one_layer(values, lif(0.5)), binary_samples(16, 4)
    plain, calibrated = (quantize(graph, 4, seen, quantizer=name) for name in ("max", "calibrated"))
    assert plain.hash == calibrated.hash


@pytest.mark.parametrize("bias", [np.zeros(12), np.full(12, 0.25)])
def test_a_layer_of_one_threshold_keeps_one(bias: Array) -> None:
    """With one scale a layer needs one threshold on the chip; what each channel errs by goes into its bias."""
    graph, seen = one_layer(spread(12, 60), lif(2.0, bias=bias)), binary_samples(64, 60)
    plain, calibrated = (quantize(graph, 2, seen, quantizer=name, scales="tensor") for name in ("max", "calibrated"))
    nodes = [each.node("out") for each in (plain, calibrated)]
    assert all(isinstance(node, Neuron) and node.threshold.shape == () for node in nodes)
    assert isinstance(nodes[1], Neuron)
    assert (len(np.unique(nodes[1].bias)) > 6) == bool(bias.any())
    found = [(events(graph, seen)["out"] == events(each, seen)["out"]).mean() for each in (plain, calibrated)]
    assert found[1] > found[0]


def test_thresholds_of_their_own_are_tuned_one_by_one_in_a_layer_of_one_scale() -> None:
    graph = one_layer(spread(12, 60), lif(np.full(12, 2.0)))
    after = quantize(graph, 2, binary_samples(64, 60), quantizer="calibrated", scales="tensor")
    node = after.node("out")
    assert isinstance(node, Neuron)
    assert len(np.unique(node.threshold)) > 3


def test_tuned_thresholds_are_multiples_of_the_chip_s_step() -> None:
    graph, seen = one_layer(spread(12, 60), lif(2.0)), binary_samples(64, 60)
    node = Quantize(Numerics(weight_bits=2, threshold_step_bits=5), seen, "calibrated").run(graph).node("out")
    assert isinstance(node, Neuron)
    assert len(np.unique(node.threshold)) > 3
    assert not (node.threshold % 32).any()


def test_a_constant_error_is_left_to_the_threshold_where_there_is_one() -> None:
    """Weights of 1, read by sums that are always 2, become 3: every sum errs by 4."""
    for node, expected in ((lif(), 0.0), (Readout(), 16.0)):
        population = populations(one_layer(np.ones((1, 2)), node))[-1]
        layer = Layer(population, np.zeros(0), np.zeros(0), {"x": np.ones((5, 3, 2))}, Projection.apply)
        (projection,) = population.projections
        codes = replace(projection.weighted, weight=np.full((1, 2), 3, np.int8), weight_bits=4)
        changed = replace(projection, nodes=(codes,))
        assert layer.scatter([changed], np.ones(1), np.ones(1)).tolist() == [expected]


@dataclass(frozen=True)
class Watched(Quantize):
    """Compares each layer before and after calibration, given the same inputs, and keeps what it was given."""

    seen: dict[str, tuple[Array, dict[str, Array]]] = field(default_factory=dict)
    late: dict[str, list[Array]] = field(default_factory=dict)

    def _calibrate(self, graph: Graph, layer: Layer, plain: Population, source_scale: dict[str, float]) -> Population:
        chosen = super()._calibrate(graph, layer, plain, source_scale)
        assert layer.error(chosen) <= layer.error(plain)
        sources = {projection.source for projection in plain.projections if not projection.recurrent}
        self.seen[plain.name] = layer.target, {source: layer.events[source] for source in sources}
        self.late[plain.name] = [each.arriving(layer.events[each.source]) for each in plain.projections if each.past]
        return chosen


@pytest.mark.parametrize("steps", [1, 4])
def test_a_layer_sees_what_its_integer_sources_send_and_matches_what_the_float_network_does(steps: int) -> None:
    layers: list[Triple] = []
    for index, source in enumerate(("direct", "n0", "n1", "n2")):
        layers += [
            (f"f{index}", Linear(weight=spread(40, 40, seed=index)), (source,)),
            (f"n{index}" if index < 3 else "out", lif(3.0), (f"f{index}",)),
        ]
    graph, samples = lower(net(*layers, shape=(40,), steps=steps)), binary_samples(16, 40)
    watched = Watched(Numerics(weight_bits=2), samples, "calibrated")
    after = watched.run(graph)
    before, now = interpret(graph, samples), interpret(after, samples)
    assert list(watched.seen) == ["n0", "n1", "n2", "out"]
    for name, (goal, sources) in watched.seen.items():
        assert np.array_equal(goal, before.events[name])
        assert not np.array_equal(goal, now.events[name])
        assert all(np.array_equal(events, now.events[source]) for source, events in sources.items())


@pytest.mark.parametrize("back", ["n", "out"])
def test_recurrent_connections_bring_the_float_network_s_spikes_of_the_step_before(back: str) -> None:
    """From the layer itself, or from one behind it."""
    graph = lower(
        net(
            ("f", Linear(weight=spread(20, 20)), ("direct",)), ("again", Recurrent(shape=(20,)), (back,)),
            ("g", Linear(weight=spread(20, 20, seed=1)), ("again",)), ("sum", Add(), ("f", "g")),
            ("n", lif(3.0), ("sum",)), ("h", Linear(weight=spread(20, 20, seed=2)), ("n",)),
            ("out", lif(3.0), ("h",)), shape=(20,), steps=5,
        )
    )  # fmt: skip
    samples = binary_samples(16, 20)
    before = interpret(graph, samples).events

    @dataclass(frozen=True)
    class Looking(Quantize):
        def _calibrate(self, graph: Graph, layer: Layer, plain: Population, source_scale: Any) -> Population:
            assert np.array_equal(layer.target, before[plain.name])
            if plain.name == "n":
                assert np.array_equal(layer.events[back], before[back])
            return super()._calibrate(graph, layer, plain, source_scale)

    Looking(Numerics(weight_bits=2), samples, "calibrated").run(graph)


@pytest.mark.parametrize("alone", [True, False])
def test_what_is_late_but_leads_forward_brings_what_the_integer_source_sends(alone: bool) -> None:
    """Though its source may be read by itself too, before it is chosen; it is chosen with the float spikes then."""
    again: list[Triple] = [("again", Recurrent(shape=(20,)), ("n",)), ("sum", Add(), ("f", "again"))]
    graph = lower(
        net(
            ("f", Linear(weight=spread(20, 20)), ("direct",)), *([] if alone else again),
            ("n", lif(3.0), ("f" if alone else "sum",)),
            ("late", Recurrent(shape=(20,), steps=2, axon_steps=np.arange(20) % 3), ("n",)),
            ("h", Linear(weight=spread(20, 20, seed=2)), ("late",)), ("out", lif(3.0), ("h",)), shape=(20,), steps=5,
        )
    )  # fmt: skip
    samples = binary_samples(16, 20)
    watched = Watched(Numerics(weight_bits=2), samples, "calibrated")
    after = watched.run(graph)
    before, now = interpret(graph, samples).events, interpret(after, samples).events
    goal, _ = watched.seen["out"]
    assert np.array_equal(goal, before["out"])
    (fed,) = watched.late["out"]
    assert not fed[:, :2].any()
    assert not np.array_equal(fed[:, 2:, ::3], before["n"][:, :-2, ::3])
    if alone:
        for neuron in range(20):
            wait = 2 + neuron % 3
            assert np.array_equal(fed[:, wait:, neuron], now["n"][:, :-wait, neuron])


@settings(max_examples=60)
@given(st.data())
def test_generated_networks_are_never_worse_for_it_and_cannot_overflow(data: st.DataObject) -> None:
    graph = lower(data.draw(networks()))
    widths = data.draw(numerics(threshold_step_bits=data.draw(st.sampled_from((0, 3)))))
    scales: Scales = data.draw(st.sampled_from(get_args(Scales)))
    samples = data.draw(samples_for(graph))
    try:
        after = Watched(widths, samples, "calibrated", scales).run(graph)
    except CapacityError:
        with pytest.raises(CapacityError):
            Quantize(widths, samples, scales=scales).run(graph)
        return
    verify(after)
    for population in populations(after):
        soma, fixed = population.soma, population.soma.fixed
        assert fixed is not None
        inputs = input_range(after, population)
        assert inputs.bits <= fixed.accumulator_bits == widths.accumulator_bits
        assert all(state.bits <= fixed.state_bits for state in state_range(population, inputs, after.timesteps))
        for projection in population.projections:
            bits = projection.weighted.weight_bits
            assert bits is not None
            assert np.abs(projection.weighted.weight.astype(int)).max() <= largest_weight(bits)
        if isinstance(soma, Neuron):
            assert soma.threshold.min() > 0
            assert not (soma.threshold % (1 << widths.threshold_step_bits)).any()
            assert int(soma.threshold.max()) < 2 ** (widths.threshold_bits - 1)


@settings(max_examples=30)
@given(st.data())
def test_every_quantizer_serves_generated_networks(data: st.DataObject) -> None:
    graph = lower(data.draw(networks(readout=True)))
    samples = data.draw(samples_for(graph))
    bits = data.draw(st.integers(1, 8))
    for quantizer in QUANTIZERS:
        try:
            after = Quantize(Numerics(weight_bits=bits, state_bits=32), samples, quantizer).run(graph)
        except CapacityError:
            continue
        verify(after)
        assert list(after) == list(graph)
        again = Quantize(Numerics(weight_bits=bits, state_bits=32), samples, quantizer).run(graph)
        assert again.hash == after.hash


def test_the_samples_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, seen = one_layer(spread(12, 60), lif(2.0)), binary_samples(100, 60)
    sizes: list[int] = []

    def product(projection: Projection, events: Array) -> Array:
        sizes.append(len(events))
        return projection.apply(events)

    calibrated = quantize(graph, 3, seen, quantizer="calibrated", product=product)
    assert set(sizes) == {64 * 3}
    assert quantize(graph, 3, seen[:64], quantizer="calibrated").hash == calibrated.hash

    monkeypatch.setattr(calibrate, "_MOST_SPREAD", 60 * 50)  # pieces change nothing
    sizes.clear()
    pieces = quantize(graph, 3, seen, quantizer="calibrated", product=product)
    assert set(sizes) == {50, 64 * 3 - 150}
    assert pieces.hash == calibrated.hash

    monkeypatch.setattr(calibrate, "_MOST_VALUES", 60 * 3 * 10)
    assert sample_count(graph) == 10
    monkeypatch.setattr(calibrate, "_MOST_VALUES", 1)
    assert sample_count(graph) == 1


def test_tuned_thresholds_that_no_state_holds_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, seen = one_layer(spread(12, 60), lif(2.0)), binary_samples(64, 60)
    untuned = quantize(graph, 3, seen, quantizer="calibrated")

    def far(_: Layer, quantized: Population, *__: Any, **___: Any) -> Any:
        assert isinstance(quantized.soma, Neuron)
        return replace(quantized.soma, reset_value=np.array(1 << 40), reset="set")

    monkeypatch.setattr(Layer, "threshold", far)
    after = quantize(graph, 3, seen, quantizer="calibrated")
    node = after.node("out")
    assert isinstance(node, Neuron)
    assert node.reset == "subtract"
    assert after.hash != untuned.hash


def test_flattened_convolutions_and_readouts_are_calibrated_too() -> None:
    rng = np.random.default_rng(2)
    graph = lower(
        net(
            ("x", lif(0.5), ("direct",)), ("conv", Conv2d(weight=rng.laplace(size=(4, 1, 3, 3))), ("x",)),
            ("flat", Flatten(), ("conv",)), ("mid", lif(2.0), ("flat",)),
            ("fc", Linear(weight=rng.laplace(size=(5, 64))), ("mid",)), ("out", Readout(), ("fc",)), shape=(1, 6, 6),
        )
    )  # fmt: skip
    seen = rng.integers(0, 2, (32, 1, 6, 6)).astype(float)
    expected = interpret(graph, seen).outputs["out"]
    error = {}
    for name in ("max", "calibrated"):
        after = quantize(graph, 2, seen, quantizer=name)
        node = after.node("out")
        assert isinstance(node, Readout)
        error[name] = np.square(interpret(after, seen).outputs["out"] * node.unit - expected).mean()
    assert error["calibrated"] < error["max"]


# ------------------------------------------------------------------------------------------------------------ choices


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"quantizer": "min"}, "quantizer is 'min'; choose one of max, percentile, mse, calibrated"),
        ({"scales": "row"}, "scales is 'row'; choose one of channel, tensor"),
        ({"percentile": 0.0}, "percentile is 0.0; choose a number above 0, at most 100"),
        ({"percentile": 101.0}, "percentile is 101.0; choose a number above 0, at most 100"),
        ({"percentile": float("nan")}, "percentile is nan; choose a number above 0, at most 100"),
        ({"quantizer": "calibrated"}, "'calibrated' needs typical samples and there are none; give some"),
    ],
)
def test_choices_that_are_none(choice: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Quantize(**choice)


def test_targets_offer_what_the_pass_knows() -> None:
    fields = target.Options.model_fields
    assert set(get_args(Quantizer)) | {None} == {
        each for part in get_args(fields["quantizer"].annotation) for each in (get_args(part) or (None,))
    }
    assert get_args(fields["scales"].annotation) == get_args(Scales)
