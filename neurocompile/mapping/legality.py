"""What a chip's neurons can do: each feature and each width is checked here, from the profile's data alone.

Every refusal is one sentence: the layer, what it needs, what the chip has, and what to do.
"""

from __future__ import annotations

import numpy as np

from neurocompile.errors import CapacityError
from neurocompile.hardware.profile import Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import ANALOG, Array, Neuron, Readout, Soma, Threshold, per_channel
from neurocompile.ir.populations import Projection, populations
from neurocompile.mapping.synapses import bit_planes


def check_neurons(graph: Graph, profile: Profile) -> None:
    """Whether the chip has what each neuron asks for; CapacityError names the first layer that it cannot serve.

    On a graph of stage "spiking" this is about the neuron model only, so that a build can be refused early; integer
    and mapped graphs are also checked for widths. Comparisons are checked on integers, where ``u >= v`` can be
    written as ``u > v - 1``.
    """
    for population in populations(graph):
        _check_model(population.name, population.soma, graph.timesteps, profile)
        for projection in population.projections:
            _check_delay(projection, graph, profile)
    if graph.stage == "spiking":
        return
    for name in graph.of_kind(*ANALOG):
        _check_planes(name, graph, profile)
    for population in populations(graph):
        _check_compare(population.name, population.soma, profile)
        for projection in population.projections:
            _check_weights(projection, graph, profile)
        _check_numbers(population.name, population.soma, population.shape, profile)


def _refusal(layer: str, need: str, profile: Profile, has: str, remedy: str) -> CapacityError:
    return CapacityError(f"{layer}: {need}, and {profile.name} {has}; {remedy}")


_RESET_REMEDIES = {
    "subtract": "train at T = 1 (a stateless network needs no reset), build with --reset zero, or choose a chip with "
    "subtractive reset, such as loihi2",
    "set": "reset to zero, or choose a chip that resets to any value, such as loihi2",
    "zero": "choose a chip that resets to zero, such as loihi2",
    "none": "train with a reset to zero, or choose a chip that can go without a reset, such as loihi2",
}
_RESET_NEEDS = {
    "subtract": "it subtracts its threshold when it fires",
    "set": "it resets to a value other than zero",
    "zero": "it resets to zero",
    "none": "it does not reset",
}


def _check_model(name: str, soma: Soma, timesteps: int, profile: Profile) -> None:
    """A readout never fires, a Threshold keeps nothing, and at T = 1 nothing follows a reset."""
    if isinstance(soma, Neuron | Readout):
        _check_state(name, soma, profile)
    if isinstance(soma, Readout):
        return
    if isinstance(soma, Neuron | Threshold):
        _check_spikes(name, soma, profile)
    if not isinstance(soma, Neuron):
        return
    chip = profile.neuron
    if soma.order not in chip.orders:
        raise _refusal(
            name,
            f"its order is {soma.order}",
            profile,
            f"has {', '.join(chip.orders)}",
            f"train with order {chip.orders[0]!r}, or choose a chip with programmable neurons, such as loihi2",
        )
    if timesteps == 1:
        return
    reset = "zero" if soma.reset == "set" and not soma.reset_value.any() else soma.reset
    if reset not in chip.resets and not (reset == "zero" and "set" in chip.resets):
        has = f"has no such reset, only {', '.join(chip.resets)}" if chip.resets else "has no reset"
        raise _refusal(name, _RESET_NEEDS[reset], profile, has, _RESET_REMEDIES[reset])
    if reset == "subtract" and soma.leaky_reset not in chip.leaky_reset and _decays(soma):
        needs, has = ("without", "with") if chip.leaky_reset == (True,) else ("with", "without")
        raise _refusal(
            name,
            f"its threshold is subtracted {needs} leak",
            profile,
            f"subtracts it {has} leak",
            f"train with leaky_reset={not soma.leaky_reset} or a leak of one, or choose a chip with both",
        )
    if soma.reset == "set" and not soma.leaky_reset and False not in chip.leaky_reset:
        raise _refusal(
            name,
            "it resets a step after it has fired",
            profile,
            "resets at once",
            "train with leaky_reset=True, or choose a chip that has both, such as loihi2",
        )
    if soma.membrane_min is not None and not chip.membrane_min:
        raise _refusal(
            name,
            "its membrane has a least value",
            profile,
            "has no such limit",
            "train without membrane_min, or choose a chip that has it, such as loihi2",
        )
    if soma.single_spike and not chip.single_spike:
        raise _refusal(
            name,
            "it fires at most once per presentation",
            profile,
            "cannot hold a neuron back",
            "train without single_spike, or choose a chip that has it, such as loihi2",
        )


def _check_state(name: str, soma: Neuron | Readout, profile: Profile) -> None:
    """What a state needs that some chips do not have at all, at any width."""
    if _decays(soma) and not profile.numerics.decay_bits.count:
        raise _refusal(
            name,
            "its states decay",
            profile,
            "has no leak that takes off a share",
            "train integrate-and-fire neurons (leak=1, no current_leak), or choose a chip with leaks, such as loihi2",
        )
    if soma.bias.any() and not profile.numerics.bias_bits.count:
        raise _refusal(
            name,
            "it has a bias",
            profile,
            "has none",
            "train without bias, or choose a chip that has it, such as loihi2",
        )


def _check_spikes(name: str, soma: Neuron | Threshold, profile: Profile) -> None:
    chip, payload = profile.neuron, profile.numerics.payload_bits.count
    if soma.spikes not in chip.spikes:
        raise _refusal(
            name,
            f"its spikes are {soma.spikes}",
            profile,
            f"has {', '.join(chip.spikes)} spikes",
            f"train with {chip.spikes[0]} spikes, or choose a chip with {soma.spikes} spikes, such as loihi2",
        )
    bits = soma.max_payload.bit_length()
    if soma.spikes == "graded" and bits > payload:
        raise _refusal(
            name,
            f"its spikes carry up to {soma.max_payload} ({bits} bits)",
            profile,
            f"carries {payload} bits",
            f"lower max_payload to {(1 << payload) - 1} or choose a chip with a wider payload",
        )


def _check_delay(projection: Projection, graph: Graph, profile: Profile) -> None:
    """A message takes one step by itself, and its delay besides. Before retiming only differences of delays are known:
    what all spikes share may take fewer steps on the chip, where the soma works on a sample earlier than its source."""
    longest = profile.neuron.max_delay_steps
    needed = projection.most_steps - (0 if graph.stage == "mapped" else projection.steps - 1)
    if longest is not None and needed > 1 + longest.count:
        remedy = "shorten the path that runs beside this skip connection"
        if projection.past:
            remedy = f"delay its neurons by at most {longest.count} steps more than one another"
        raise _refusal(
            projection.name,
            f"spikes of {projection.source} must wait {needed} steps for it",
            profile,
            f"delays by {longest.count} at most, besides the one that they take",
            f"{remedy}, or choose a chip with longer delays",
        )


def _check_compare(name: str, soma: Soma, profile: Profile) -> None:
    if isinstance(soma, Neuron | Threshold) and soma.compare not in profile.neuron.compares:
        has = ", ".join(profile.neuron.compares)
        raise _refusal(
            name,
            f"it fires where u is {soma.compare} its threshold",
            profile,
            f"compares by {has}",
            f"train with compare={profile.neuron.compares[0]!r} or choose a chip that has both, such as loihi2",
        )


def _check_weights(projection: Projection, graph: Graph, profile: Profile) -> None:
    """The width of the weights, and the power of two that they are multiplied by."""
    node = projection.weighted
    bits, limit = node.weight_bits or 0, profile.numerics.weight_bits.count
    if bits > limit:
        raise _refusal(
            projection.name,
            f"its weights have {bits} bits",
            profile,
            f"stores {limit}",
            f"lower --bits to {limit} or choose a chip with wider weights",
        )
    exponents = profile.numerics.weight_exponent_range
    # a value that travels as bit planes shifts its weights by up to one less than their number already
    shift = node.weight_exponent + bit_planes(graph.node(projection.source), profile) - 1
    if node.weight_exponent and (exponents is None or shift > exponents.maximum):
        has = "cannot shift weights" if exponents is None else f"shifts weights by {exponents.maximum} at most"
        raise _refusal(
            projection.name,
            f"its weights are shifted by {shift} bits",
            profile,
            has,
            "quantize the network for this chip",
        )


def _check_planes(name: str, graph: Graph, profile: Profile) -> None:
    """Bit planes need weights shifted by 0 to one less than their number."""
    planes, exponents = bit_planes(graph.node(name), profile), profile.numerics.weight_exponent_range
    if planes == 1 or (exponents is not None and exponents.minimum <= 0 and planes - 1 <= exponents.maximum):
        return
    payload = profile.numerics.payload_bits.count
    has = (
        "cannot shift weights" if exponents is None else f"shifts weights by {exponents.minimum} to {exponents.maximum}"
    )
    most = max(1, payload, 0 if exponents is None or exponents.minimum > 0 else exponents.maximum + 1)
    raise _refusal(
        name,
        f"its analog input has {planes} bits",
        profile,
        f"carries {payload} bits per spike and {has}",
        f"lower the input to {most} bits, encode it as Poisson spikes, or choose a chip with a wider payload",
    )


def _decays(soma: Neuron | Readout) -> bool:
    """Whether any state loses a part of itself at a step; one that is kept or dropped whole does not."""
    one = soma.fixed.one if soma.fixed else 1
    return any(bool(((leak != 0) & (leak != one)).any()) for leak in (soma.leak, soma.current_leak))


def _check_numbers(name: str, soma: Soma, shape: tuple[int, ...], profile: Profile) -> None:
    fixed, chip = soma.fixed, profile.numerics
    if fixed is None:
        return
    shift = chip.fraction_bits.count - fixed.fraction_bits if chip.fraction_bits_fixed else 0
    keeps = isinstance(soma, Neuron | Readout)
    if isinstance(soma, Neuron | Readout) and _decays(soma):
        if shift:
            raise _refusal(
                name,
                f"its states carry {fixed.fraction_bits} fraction bits and decay",
                profile,
                f"has {chip.fraction_bits.count}",
                "quantize the network for this chip",
            )
        _check_width(name, "leaks", fixed.decay_bits, chip.decay_bits.count, profile)
    _check_width(name, "states", fixed.state_bits + (max(shift, 0) if keeps else 0), chip.state_bits.count, profile)
    _check_width(name, "sums of inputs", fixed.accumulator_bits, chip.accumulator_bits.count, profile)
    assert isinstance(soma, Neuron | Readout | Threshold)
    if isinstance(soma, Threshold) and soma.spikes == "binary":
        # a threshold and a bias are one number here: what the one cannot hold goes into the other
        _check_threshold(name, _scaled(_level(soma, shape), shift), profile, slack=_largest_bias(profile))
        return
    if isinstance(soma, Neuron | Threshold):
        _check_threshold(name, _scaled(soma.threshold, shift), profile, slack=0)
    _check_bias(name, _scaled(soma.bias, shift), profile)


def _check_width(name: str, what: str, bits: int, limit: int, profile: Profile) -> None:
    if bits > limit:
        raise _refusal(
            name,
            f"its {what} have {bits} bits",
            profile,
            f"has {limit}",
            "quantize the network for this chip or lower --bits",
        )


def _scaled(values: Array, shift: int) -> Array:
    """``values`` in the chip's state units, exact as float64 below 2**53."""
    return np.ldexp(values.astype(np.float64), shift)


def _level(soma: Threshold, shape: tuple[int, ...]) -> Array:
    """What a stateless sum is compared with. A comparison that points the other way has its weights negated."""
    level = per_channel(soma.threshold, shape) - per_channel(soma.bias, shape).astype(np.int64)
    turned: Array = np.where(per_channel(soma.flip, shape), -level, level)
    return turned


def _check_threshold(name: str, levels: Array, profile: Profile, slack: int) -> None:
    """``slack``: how far a level may lie outside the range, which a bias makes up for."""
    low, high = profile.numerics.threshold_range
    step = 1 << profile.numerics.threshold_step_bits.count
    outside = levels[(levels < low - slack) | (levels > high + slack)]
    if outside.size:
        raise _refusal(
            name,
            f"it has a threshold of {outside.flat[0]:,.0f} state units",
            profile,
            f"has {low - slack:,} to {high + slack:,}",
            "lower --bits, which lowers thresholds with the weights, or choose a chip with wider thresholds",
        )
    between = levels[levels % step != 0]
    if between.size:
        raise _refusal(
            name,
            f"it has a threshold of {between.flat[0]:,.6g} state units",
            profile,
            f"has multiples of {step}",
            "quantize the network for this chip",
        )


def _largest_bias(profile: Profile) -> int:
    numerics = profile.numerics
    return ((1 << numerics.bias_bits.count) - 1) << numerics.bias_exponent_max.count


def _check_bias(name: str, biases: Array, profile: Profile) -> None:
    """A bias is a mantissa times a power of two."""
    bits, exponents = profile.numerics.bias_bits.count, profile.numerics.bias_exponent_max.count
    magnitude = np.abs(biases)
    needed = np.frexp(magnitude)[1] - bits  # the least exponent whose mantissa fits
    exponent = np.clip(needed, 0, exponents)
    wrong = biases[(needed > exponents) | (np.ldexp(magnitude, -exponent) % 1 != 0)]
    if wrong.size == 0:
        return
    has = f"has {bits} bits times 2^0 to 2^{exponents}" if bits else "has no bias"
    raise _refusal(
        name,
        f"it has a bias of {wrong.flat[0]:,.6g} state units",
        profile,
        has,
        "lower --bits, which lowers biases with the weights, or train without bias",
    )
