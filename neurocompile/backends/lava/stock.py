"""Where a process that Lava ships says exactly what the graph says, and with which settings.

Each function gives the settings of the stock process, or the reason why ours must be used. The rules come from reading
the fixed-point models of lava-nc 0.10.0. In the stock LIF, states have 24 bits, six of them fractional: an input of one
is 64. It compares with ``>``, resets to zero and has one threshold and one leak for all neurons.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurocompile.ir.bounds import Interval, state_range
from neurocompile.ir.nodes import MOVES, Array, Linear, Neuron, Shape, Threshold, per_channel
from neurocompile.ir.populations import Population, Projection

Settings = dict[str, Any]

_STATE_BITS = 24  # what the stock LIF's states have, sign included
_FRACTION = 6  # how many of them are fractional
_DECAY = 12  # fraction bits of its leaks
_VTH = 1 << 17  # what its threshold stays below
_MANTISSA = 1 << 12  # what a bias's mantissa stays below
_EXPONENT = 7  # a bias's largest exponent


def lif(population: Population, inputs: Interval, timesteps: int) -> Settings | str:
    """Settings of ``LIFReset`` for a population whose summed input lies in ``inputs``.

    ``LIFReset`` clears its states where ``time_step % reset_interval == reset_offset``, and Lava counts from 1.
    """
    soma = population.soma
    settings: Settings | str = "a readout never fires"
    if inputs.bits + _FRACTION > _STATE_BITS:
        settings = "its current may wrap"  # Lava's wrap differs from ours in one value
    elif isinstance(soma, Threshold):
        settings = _threshold(soma, population.shape, inputs)
    elif isinstance(soma, Neuron):
        settings = _neuron(soma, population, inputs, timesteps)
    if isinstance(settings, dict):
        settings |= {"reset_interval": timesteps, "reset_offset": (soma.phase + 1) % timesteps}
    return settings


def _threshold(soma: Threshold, shape: Shape, inputs: Interval) -> Settings | str:
    """No state: both leaks are zero. Thresholds that differ between neurons move into their biases."""
    if soma.spikes != "binary" or soma.flip.any():
        return "its comparison is not a plain one"
    bias, strict = _spread(soma.bias, shape), _strict(soma.threshold, soma.compare)
    vth = _scalar(strict)
    if vth is None or not 0 <= vth < _VTH:
        bias, vth = bias - _spread(strict, shape), 0
    if (inputs + Interval(bias, bias)).bits + _FRACTION > _STATE_BITS:
        return "its sum may not fit 24 bits"
    return _with_bias({"du": 4095, "dv": 4096, "vth": vth}, bias << _FRACTION)


def _neuron(soma: Neuron, population: Population, inputs: Interval, timesteps: int) -> Settings | str:
    fixed = soma.fixed
    assert fixed is not None
    if soma.reset != "set" or soma.reset_value.any():
        return "it does not reset to zero"
    if soma.order != "integrate_first" or soma.spikes != "binary" or soma.single_spike:
        return "its order or its spikes are not the stock ones"
    if not soma.leaky_reset or soma.membrane_min is not None:
        return "its reset is late or its membrane has a least value"
    one = fixed.one
    leak, current_leak = _scalar(soma.leak), _scalar(soma.current_leak)
    if leak is None or current_leak is None:
        return "its leaks differ between neurons"
    if (leak << _DECAY) % one or (current_leak << _DECAY) % one:
        return f"its leaks have more than {_DECAY} bits"
    if current_leak and soma.bias.any():
        return "its bias runs through the current's leak"  # Lava adds it to the membrane alone
    # without decay all states scale alike; a decay truncates, so it needs the very fraction bits
    decays = not {leak, current_leak} <= {0, one}
    shift = _FRACTION - fixed.fraction_bits
    if shift < 0 or (decays and shift):
        return f"its states have {fixed.fraction_bits} fraction bits"
    current, membrane = state_range(population, inputs, timesteps)
    if current.bits > fixed.state_bits or current.bits + shift > _STATE_BITS:
        return "its current may wrap"
    bounded = membrane.bits <= fixed.state_bits and membrane.bits + shift <= _STATE_BITS
    if not bounded and (shift or fixed.state_bits != _STATE_BITS or fixed.membrane_overflow != "clip"):
        return "its membrane may overflow otherwise than Lava's"
    strict = _scalar(_strict(soma.threshold, soma.compare))
    if strict is None:
        return "its thresholds differ between neurons"
    unit = 1 << fixed.fraction_bits
    if bounded and not decays and not (soma.bias % unit).any():
        strict -= strict % unit  # every membrane is a multiple of the unit: it passes both or neither
    if strict % unit or not 0 <= strict < _VTH * unit:
        return f"its threshold, {strict}, is not a 17-bit multiple of {unit}"
    return _with_bias(
        {"du": 4095 - (current_leak << _DECAY) // one, "dv": 4096 - (leak << _DECAY) // one, "vth": strict // unit},
        _spread(soma.bias, population.shape) << shift,
    )


def dense(projection: Projection, low: int, high: int, sums: Interval) -> Settings | str:
    """Settings of ``Dense`` for a projection whose source sends ``low`` to ``high`` and which gives ``sums``.

    ``Dense`` truncates the lowest of nine bits where weights have both signs, so they go in doubled and the sum comes
    out halved (``weight_exp``). Ports are flat, hence a ``Flatten`` or ``Reshape`` needs nothing.
    """
    operators = [node for node in projection.operators if not isinstance(node, MOVES)]
    if len(operators) != 1 or not isinstance(operators[0], Linear):
        return "it is not one matrix"
    if projection.recurrent:
        return "its sums are dropped when a new sample begins"
    if projection.steps != 1:
        return f"its delay is {projection.steps}"
    if operators[0].weight_exponent:
        return "its weights have an exponent"
    weight = operators[0].weight.astype(np.int64)
    if np.abs(weight).max() > 127:
        return "its weights have more than 8 bits"
    if sums.bits + 1 > 32:
        return "its doubled sum may not fit 32 bits"
    # 0 stands for binary spikes; else bytes, as the chip's messages have
    message_bits = 0 if (low, high) == (0, 1) else 8 * (max(-low, high).bit_length() // 8 + 1)
    return {"weights": 2 * weight, "weight_exp": -1, "num_weight_bits": 8, "num_message_bits": message_bits}


def _strict(threshold: Array, compare: str) -> Array:
    """The threshold for a comparison by ``>``."""
    whole: Array = threshold.astype(np.int64) - (compare == "at_or_above")
    return whole


def _scalar(parameter: Array) -> int | None:
    """The one value of a parameter; None where there are several."""
    first = int(parameter.flat[0])
    return first if (parameter == first).all() else None


def _spread(parameter: Array, shape: Shape) -> Array:
    """A parameter's value at every neuron, int64 of ``shape``."""
    return np.broadcast_to(per_channel(parameter, shape), shape).astype(np.int64)


def _with_bias(settings: Settings, bias: Array) -> Settings | str:
    """Adds ``bias``, in the states' unit, as mantissa << exponent. Ports are flat, so are these."""
    bias = bias.ravel()
    exponents = np.arange(_EXPONENT + 1)[:, None]
    fits = (bias % (1 << exponents) == 0) & (np.abs(bias) >> exponents < _MANTISSA)
    if not fits.any(axis=0).all():
        return "a bias is no 13-bit mantissa with an exponent up to 7"
    exponent = fits.argmax(axis=0)
    return settings | {"bias_mant": bias >> exponent, "bias_exp": exponent}
