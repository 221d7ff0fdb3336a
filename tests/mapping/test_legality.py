"""Every feature and every width: what passes, and the whole sentence where something does not."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from mapping_cases import FIXED, a_profile, conv, dense, neuron, one_layer, quantity, readout

from neurocompile.errors import CapacityError
from neurocompile.hardware import Profile, load_profile
from neurocompile.ir.graph import Graph, Stage
from neurocompile.ir.nodes import (
    Delay,
    DirectEncoder,
    FixedPoint,
    Linear,
    PoissonEncoder,
    Readout,
    Recurrent,
    Soma,
    Threshold,
)
from neurocompile.mapping import check_neurons

LOIHI1 = load_profile("loihi1-davies2018")
LOIHI2 = load_profile("loihi2")


def net(soma: Soma, timesteps: int = 4, stage: str | None = None) -> Graph:
    graph = one_layer((4,), [dense(3, 4)], soma, PoissonEncoder())
    draft = graph.edit()
    triples = ((name, draft.node(name), draft.inputs(name)) for name in graph)
    return Graph("net", stage or "integer", timesteps, triples, ("lif",))  # type: ignore[arg-type]


def refused(graph: Graph, profile: Profile) -> str:
    with pytest.raises(CapacityError) as refusal:
        check_neurons(graph, profile)
    return str(refusal.value)


def threshold(**fields: Any) -> Threshold:
    return Threshold(
        **{"threshold": np.array([10, -3, 0]), "bias": np.array(0), "fixed": FixedPoint(accumulator_bits=22)} | fields
    )


# ----------------------------------------------------------------------------------------------------------- resets


def test_loihi_2_takes_every_neuron() -> None:
    for fields in (
        {}, {"reset": "none"}, {"reset": "set", "reset_value": np.array(-64)}, {"leaky_reset": False},
        {"order": "fire_first"}, {"compare": "at_or_above"}, {"single_spike": True}, {"spikes": "signed"},
        {"reset": "set", "leaky_reset": False}, {"membrane_min": np.array(-64)},
        {"spikes": "graded"}, {"leak": np.array(4000), "current_leak": np.array(1000)},
    ):  # fmt: skip
        check_neurons(net(neuron(**fields)), LOIHI2)
    check_neurons(net(readout()), LOIHI2)
    check_neurons(net(threshold()), LOIHI2)


def test_a_subtractive_reset_has_three_remedies() -> None:
    for stage in ("spiking", "integer"):
        assert refused(net(neuron(), stage=stage), LOIHI1) == (
            "lif: it subtracts its threshold when it fires, and loihi1-davies2018 has no such reset, only zero; "
            "train at T = 1 (a stateless network needs no reset), build with --reset zero, or choose a chip with "
            "subtractive reset, such as loihi2"
        )


def test_a_reset_to_zero_passes_where_zero_or_any_value_can_be_set() -> None:
    to_zero = net(neuron(reset="set"))
    check_neurons(to_zero, LOIHI1)
    check_neurons(to_zero, a_profile(neuron={"resets": ["set"]}))
    assert refused(to_zero, a_profile(neuron={"resets": []})) == (
        "lif: it resets to zero, and loihi2 has no reset; choose a chip that resets to zero, such as loihi2"
    )


def test_other_resets_are_refused() -> None:
    assert refused(net(neuron(reset="set", reset_value=np.array(-64))), LOIHI1) == (
        "lif: it resets to a value other than zero, and loihi1-davies2018 has no such reset, only zero; reset to "
        "zero, or choose a chip that resets to any value, such as loihi2"
    )
    assert refused(net(neuron(reset="none")), LOIHI1) == (
        "lif: it does not reset, and loihi1-davies2018 has no such reset, only zero; train with a reset to zero, "
        "or choose a chip that can go without a reset, such as loihi2"
    )


def test_nothing_follows_a_reset_in_one_step() -> None:
    check_neurons(net(neuron(), timesteps=1), LOIHI1)
    check_neurons(net(threshold(), timesteps=1), LOIHI1)
    check_neurons(net(readout()), LOIHI1)


def test_a_leak_on_the_reset() -> None:
    leaky = a_profile(neuron={"leaky_reset": [True]})
    unleaked = a_profile(neuron={"leaky_reset": [False]})
    leak = np.array(4000)
    check_neurons(net(neuron(leaky_reset=False)), leaky)  # nothing leaks, so that both are the same
    check_neurons(net(neuron(leak=leak)), leaky)
    check_neurons(net(neuron(leak=leak, reset="set")), unleaked)
    assert refused(net(neuron(leak=leak, leaky_reset=False)), leaky) == (
        "lif: its threshold is subtracted without leak, and loihi2 subtracts it with leak; train with "
        "leaky_reset=True or a leak of one, or choose a chip with both"
    )
    assert "subtracted with leak, and loihi2 subtracts it without" in refused(net(neuron(leak=leak)), unleaked)


def test_a_late_reset_to_a_value() -> None:
    """It differs from one at once whether or not anything leaks."""
    assert refused(net(neuron(reset="set", leaky_reset=False)), LOIHI1) == (
        "lif: it resets a step after it has fired, and loihi1-davies2018 resets at once; train with "
        "leaky_reset=True, or choose a chip that has both, such as loihi2"
    )
    check_neurons(net(neuron(reset="set", leaky_reset=False), timesteps=1), LOIHI1)


# ------------------------------------------------------------------------------------------------------ other features


def test_a_least_membrane() -> None:
    lowest = np.array(-64)
    assert refused(net(neuron(reset="set", membrane_min=lowest)), LOIHI1) == (
        "lif: its membrane has a least value, and loihi1-davies2018 has no such limit; train without membrane_min, "
        "or choose a chip that has it, such as loihi2"
    )
    check_neurons(net(neuron(reset="set", membrane_min=lowest), timesteps=1), LOIHI1)


def test_orders_spikes_and_single_spikes() -> None:
    zero = {"reset": "set"}
    assert refused(net(neuron(order="fire_first", **zero)), LOIHI1) == (
        "lif: its order is fire_first, and loihi1-davies2018 has integrate_first; train with order "
        "'integrate_first', or choose a chip with programmable neurons, such as loihi2"
    )
    assert refused(net(neuron(spikes="signed", **zero)), LOIHI1) == (
        "lif: its spikes are signed, and loihi1-davies2018 has binary spikes; train with binary spikes, or "
        "choose a chip with signed spikes, such as loihi2"
    )
    assert "its spikes are graded" in refused(net(threshold(spikes="graded", threshold=np.array(5))), LOIHI1)
    assert refused(net(neuron(single_spike=True, **zero)), LOIHI1) == (
        "lif: it fires at most once per presentation, and loihi1-davies2018 cannot hold a neuron back; train without "
        "single_spike, or choose a chip that has it, such as loihi2"
    )


def test_a_payload_that_is_too_wide() -> None:
    nibble = a_profile(numerics={"payload_bits": quantity(4, "bits")})
    check_neurons(net(neuron(spikes="graded", max_payload=15)), nibble)
    assert refused(net(neuron(spikes="graded", max_payload=16)), nibble) == (
        "lif: its spikes carry up to 16 (5 bits), and loihi2 carries 4 bits; lower max_payload to 15 or choose a "
        "chip with a wider payload"
    )


def test_comparisons_wait_for_integers() -> None:
    strict = a_profile(neuron={"compares": ["above"]})
    soma = neuron(compare="at_or_above")
    check_neurons(net(soma, stage="spiking"), strict)
    assert refused(net(soma), strict) == (
        "lif: it fires where u is at_or_above its threshold, and loihi2 compares by above; train with "
        "compare='above' or choose a chip that has both, such as loihi2"
    )


def delayed(steps: int) -> Graph:
    graph = net(readout())
    draft = graph.edit()
    draft.add("wait", Delay(steps=steps), ("code",))
    draft.replace("op0", draft.node("op0"), ("wait",))
    draft.replace("lif", dataclasses.replace(readout(), phase=steps))
    return draft.finish("mapped")


def test_delays() -> None:
    check_neurons(delayed(63), LOIHI2)
    assert refused(delayed(64), LOIHI2) == (
        "op0: spikes of code must wait 64 steps for it, and loihi2 delays by 62 at most, besides the one that they "
        "take; shorten the path that runs beside this skip connection, or choose a chip with longer delays"
    )
    none = a_profile(neuron={"max_delay_steps": quantity(0, "steps")})
    check_neurons(delayed(1), none)  # the step that every message takes
    assert "delays by 0 at most" in refused(delayed(2), none)
    check_neurons(delayed(1000), a_profile(neuron={"max_delay_steps": None}))


def late(*delays: int, wait: int = 0, stage: Stage = "integer") -> Graph:
    """Four source neurons; the chip's steps are their delays and ``wait``."""
    graph = net(readout())
    draft = graph.edit()
    extra = np.array(delays) - min(delays)
    past = Recurrent(shape=(4,), steps=min(delays), axon_steps=extra if extra.any() else None, wait=wait)
    draft.add("late", past, ("code",))
    draft.replace("op0", draft.node("op0"), ("late",))
    draft.replace("lif", dataclasses.replace(readout(), phase=wait))
    return draft.finish(stage)


def test_delays_of_neurons_are_bounded_by_their_differences_until_retiming() -> None:
    check_neurons(late(100, 100, 100, 100), LOIHI2)
    check_neurons(late(100, 162, 130, 100), LOIHI2)
    assert refused(late(100, 163, 130, 100), LOIHI2) == (
        "op0: spikes of code must wait 64 steps for it, and loihi2 delays by 62 at most, besides the one that they "
        "take; delay its neurons by at most 62 steps more than one another, or choose a chip with longer delays"
    )
    check_neurons(late(0, 62, 5, 5, wait=1, stage="mapped"), LOIHI2)
    assert "must wait 64 steps" in refused(late(0, 63, 5, 5, wait=1, stage="mapped"), LOIHI2)
    assert "must wait 64 steps" in refused(late(0, 62, 5, 5, wait=2, stage="mapped"), LOIHI2)


# ------------------------------------------------------------------------------------------------------------- widths


def test_weight_bits() -> None:
    narrow = a_profile(numerics={"weight_bits": quantity(4, "bits")})
    assert refused(net(readout()), narrow) == (
        "op0: its weights have 8 bits, and loihi2 stores 4; lower --bits to 4 or choose a chip with wider weights"
    )
    check_neurons(net(readout(), stage="spiking"), narrow)


def analog(high: int) -> Graph:
    return one_layer((2, 4, 4), [conv(3, 2)], readout(), DirectEncoder(scale=1.0, low=0, high=high))


def test_bit_planes_need_weight_exponents() -> None:
    check_neurons(analog(255), LOIHI1)
    check_neurons(analog(255), LOIHI2)
    assert refused(analog(511), LOIHI1) == (
        "code: its analog input has 9 bits, and loihi1-davies2018 carries 0 bits per spike and shifts weights by "
        "-8 to 7; lower the input to 8 bits, encode it as Poisson spikes, or choose a chip with a wider payload"
    )
    rigid = a_profile(numerics={"payload_bits": quantity(2, "bits"), "weight_exponent_range": None})
    check_neurons(analog(3), rigid)
    assert refused(analog(4), rigid) == (
        "code: its analog input has 3 bits, and loihi2 carries 2 bits per spike and cannot shift weights; lower "
        "the input to 2 bits, encode it as Poisson spikes, or choose a chip with a wider payload"
    )


@pytest.mark.parametrize(
    ("what", "key", "fields"),
    [
        ("states", "state_bits", {}),
        ("sums of inputs", "accumulator_bits", {}),
        ("leaks", "decay_bits", {"leak": np.array(7)}),
    ],
)
def test_widths_of_states(what: str, key: str, fields: dict[str, Any]) -> None:
    graph = net(neuron(**fields))
    bits = getattr(FIXED, key)
    check_neurons(graph, a_profile(numerics={key: quantity(bits, "bits")}))
    assert refused(graph, a_profile(numerics={key: quantity(bits - 1, "bits")})) == (
        f"lif: its {what} have {bits} bits, and loihi2 has {bits - 1}; quantize the network for this chip or "
        "lower --bits"
    )


def test_leaks_without_decay_need_no_width() -> None:
    none = a_profile(numerics={"decay_bits": quantity(0, "bits")})
    check_neurons(net(neuron()), none)
    assert "its states decay, and loihi2 has no leak that takes off a share" in refused(
        net(readout_with(leak=np.array(4000))), none
    )


def readout_with(**fields: Any) -> Readout:
    return dataclasses.replace(readout(), **fields)


def test_fixed_fraction_bits() -> None:
    fixed = a_profile(numerics={"fraction_bits_fixed": True})
    three = FixedPoint(state_bits=20, fraction_bits=3)
    decaying = neuron(leak=np.array(4000), fixed=three)
    check_neurons(net(decaying), LOIHI2)
    assert refused(net(decaying), fixed) == (
        "lif: its states carry 3 fraction bits and decay, and loihi2 has 6; quantize the network for this chip"
    )
    check_neurons(net(neuron(fixed=three)), fixed)  # nothing decays: all values times 8
    check_neurons(net(threshold(fixed=FixedPoint(fraction_bits=0))), fixed)
    wide = FixedPoint(state_bits=22, fraction_bits=3)
    assert "its states have 25 bits, and loihi2 has 24" in refused(net(neuron(fixed=wide)), fixed)


def test_thresholds_in_range_and_step() -> None:
    zero = {"reset": "set"}
    check_neurons(net(neuron(threshold=np.array((1 << 23) - 64), **zero)), LOIHI1)
    assert refused(net(neuron(threshold=np.array([640, 1 << 23, 640]), **zero)), LOIHI1) == (
        "lif: it has a threshold of 8,388,608 state units, and loihi1-davies2018 has 0 to 8,388,544; lower "
        "--bits, which lowers thresholds with the weights, or choose a chip with wider thresholds"
    )
    assert refused(net(neuron(threshold=np.array(650), **zero)), LOIHI1) == (
        "lif: it has a threshold of 650 state units, and loihi1-davies2018 has multiples of 64; quantize the "
        "network for this chip"
    )


def test_a_stateless_threshold_may_lean_on_its_bias() -> None:
    """Below zero by up to 4095 * 2**7 state units, which are 64 to a weight."""
    lowest = -(4095 * 128) // 64
    check_neurons(net(threshold(threshold=np.array(lowest)), timesteps=1), LOIHI1)
    check_neurons(net(threshold(threshold=np.array(0), bias=np.array(-lowest)), timesteps=1), LOIHI1)
    check_neurons(net(threshold(threshold=np.array(-lowest), flip=np.array(True)), timesteps=1), LOIHI1)
    highest = ((1 << 23) - 64 + 4095 * 128) // 64
    check_neurons(net(threshold(threshold=np.array(highest)), timesteps=1), LOIHI1)
    turned = net(threshold(threshold=np.array([highest, 5]).repeat([1, 2]), flip=np.array([True, False, False])), 1)
    assert "it has a threshold of -8,912,704 state units" in refused(turned, LOIHI1)
    too_low = net(threshold(threshold=np.array(lowest - 1)), timesteps=1)
    assert refused(too_low, LOIHI1).startswith(
        "lif: it has a threshold of -524,224 state units, and loihi1-davies2018 has -524,160 to 8,912,704; lower --bits"
    )


def test_biases_are_a_mantissa_and_an_exponent() -> None:
    for bias in (0, 1, -4095, 4096, 4095 * 128, -8190):
        check_neurons(net(neuron(bias=np.array(bias), reset="set")), LOIHI1)
    for bias in (4097, -8191, 4096 * 128):
        assert refused(net(neuron(bias=np.array(bias), reset="set")), LOIHI1) == (
            f"lif: it has a bias of {bias:,} state units, and loihi1-davies2018 has 12 bits times 2^0 to 2^7; "
            "lower --bits, which lowers biases with the weights, or train without bias"
        )
    none = a_profile(numerics={"bias_bits": quantity(0, "bits")})
    assert "it has a bias, and loihi2 has none" in refused(net(neuron(bias=np.array(1))), none)
    check_neurons(net(neuron()), none)
    graded = threshold(spikes="graded", threshold=np.array(5), bias=np.array(1))
    assert "it has a bias of 1" in refused(net(graded), none)


def test_a_spiking_graph_in_floats_is_checked_for_its_neurons_only() -> None:
    graph = net(readout())
    draft = graph.edit()
    draft.replace("op0", Linear(weight=np.ones((3, 4))))
    draft.replace(
        "lif", dataclasses.replace(neuron(), threshold=np.array(0.5), leak=np.array(0.9), fixed=None, reset="set")
    )
    check_neurons(draft.finish("spiking"), LOIHI1)
