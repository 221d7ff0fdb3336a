"""Where a process that Lava ships says exactly what the graph says, and with which settings.

Each function gives the settings of the stock process, or the reason why ours must be used. The rules come from reading
the fixed-point models of lava-nc 0.10.0. In the stock LIF, states have 24 bits, six of them fractional: an input of one
is 64. It compares with ``>``, resets to zero and has one threshold and one leak for all neurons.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurocompile.ir.nodes import Array, Flatten, Linear, Neuron, Shape, Soma, Threshold, per_channel
from neurocompile.ir.populations import Projection

Settings = dict[str, Any]

_FRACTION = 6  # fraction bits of the stock LIF's states
_DECAY = 12  # fraction bits of its leaks
_STATE = 1 << 23  # what its states stay below
_VTH = 1 << 17  # what its threshold stays below
_MANTISSA = 1 << 12  # what a bias's mantissa stays below
_EXPONENT = 7  # its largest exponent


def lif(soma: Soma, shape: Shape, peak: int, timesteps: int) -> Settings | str:
    """Settings of ``LIFReset`` for a soma of ``shape`` whose summed input never exceeds ``peak`` in magnitude.

    ``LIFReset`` clears its states where ``time_step % reset_interval == reset_offset``, and Lava counts from 1.
    """
    settings: Settings | str
    match soma:
        case Threshold():
            settings = _threshold(soma, shape, peak)
        case Neuron():
            settings = _neuron(soma, shape, peak, timesteps)
        case _:
            return "a readout never fires"
    if isinstance(settings, dict):
        settings |= {"reset_interval": timesteps, "reset_offset": (soma.phase + 1) % timesteps}
    return settings


def _threshold(soma: Threshold, shape: Shape, peak: int) -> Settings | str:
    """No state: both leaks are zero. Thresholds that differ between neurons move into their biases."""
    if soma.spikes != "binary" or soma.flip.any():
        return "its comparison is not a plain one"
    bias, strict = _flat(soma.bias, shape), _strict(soma.threshold, soma.compare)
    vth = _scalar(strict)
    if vth is None or not 0 <= vth < _VTH:
        bias, vth = bias - _flat(strict, shape), 0
    if (peak + _peak(bias)) << _FRACTION >= _STATE:
        return "its sum may not fit 24 bits"
    return _with_bias({"du": 4095, "dv": 4096, "vth": vth}, bias << _FRACTION)


def _neuron(soma: Neuron, shape: Shape, peak: int, timesteps: int) -> Settings | str:
    fixed = soma.fixed
    assert fixed is not None
    if soma.reset != "set" or soma.reset_value.any():
        return "it does not reset to zero"
    if soma.order != "integrate_first" or soma.spikes != "binary" or soma.single_spike:
        return "its order or its spikes are not the stock ones"
    leak, current_leak = _scalar(soma.leak), _scalar(soma.current_leak)
    if leak is None or current_leak is None:
        return "its leaks differ between neurons"
    if current_leak and soma.bias.any():
        return "its bias runs through the current's leak"  # Lava adds it to the membrane alone
    one = fixed.one
    decays = not {leak, current_leak} <= {0, one}
    if (leak << _DECAY) % one or (current_leak << _DECAY) % one:
        return f"its leaks have more than {_DECAY} bits"
    shift = _FRACTION - fixed.fraction_bits
    if shift < 0 or decays and shift:
        return f"its states have {fixed.fraction_bits} fraction bits"  # a decay would truncate elsewhere
    # how far the states can come within one presentation
    bias = _peak(soma.bias)
    inflow = (peak << fixed.fraction_bits) + bias
    current = membrane = 0
    for _ in range(timesteps):
        current = current * current_leak // one + inflow
        membrane = membrane * leak // one + current
    limit = 1 << (fixed.state_bits - 1)
    if current >= limit or current << shift >= _STATE:
        return "its current may wrap"  # Lava's wrap leaves out one value
    bounded = membrane < limit and membrane << shift < _STATE
    if not bounded and (shift or fixed.state_bits != 24 or fixed.membrane_overflow != "clip"):
        return "its membrane may overflow otherwise than Lava's"
    strict = _scalar(_strict(soma.threshold, soma.compare))
    if strict is None:
        return "its thresholds differ between neurons"
    unit = 1 << fixed.fraction_bits
    if bounded and not decays and not (soma.bias % unit).any():
        strict -= strict % unit  # every membrane is a multiple of the unit: it passes both or neither
    if strict % unit or not 0 <= strict < _VTH * unit:
        return f"threshold {strict} is no multiple of {unit} of 17 bits"
    return _with_bias(
        {"du": 4095 - (current_leak << _DECAY) // one, "dv": 4096 - (leak << _DECAY) // one, "vth": strict // unit},
        _flat(soma.bias, shape) << shift,
    )


def _strict(threshold: Array, compare: str) -> Array:
    """The threshold for a comparison by ``>``."""
    whole: Array = threshold.astype(np.int64) - (compare == "at_or_above")
    return whole


def _scalar(parameter: Array) -> int | None:
    first = int(parameter.flat[0])
    return first if (parameter == first).all() else None


def _peak(parameter: Array) -> int:
    return int(np.abs(parameter.astype(np.int64)).max())


def _flat(parameter: Array, shape: Shape) -> Array:
    """A parameter's value at every neuron, int64 (neurons,)."""
    return np.broadcast_to(per_channel(parameter, shape), shape).astype(np.int64).ravel()


def _with_bias(settings: Settings, bias: Array) -> Settings | str:
    """Adds ``bias`` (neurons,), in the states' unit, as mantissa << exponent."""
    exponents = np.arange(_EXPONENT + 1)[:, None]
    fits = (bias % (1 << exponents) == 0) & (np.abs(bias) >> exponents < _MANTISSA)
    if not fits.any(axis=0).all():
        return "a bias has no 13-bit mantissa with an exponent up to 7"
    exponent = fits.argmax(axis=0)
    return settings | {"bias_mant": bias >> exponent, "bias_exp": exponent}


def dense(projection: Projection, low: int, high: int, peak: int) -> Settings | str:
    """Settings of ``Dense`` for a projection whose source sends ``low`` to ``high`` and whose sums reach ``peak``.

    ``Dense`` truncates the lowest of nine bits where weights have both signs, so they go in doubled and the sum comes
    out halved (``weight_exp``). Ports are flat, hence a ``Flatten`` needs nothing.
    """
    operators = [node for node in projection.operators if not isinstance(node, Flatten)]
    if len(operators) != 1 or not isinstance(operators[0], Linear):
        return "it is more than one matrix"
    if projection.steps != 1:
        return f"its delay is {projection.steps}"
    if _peak(operators[0].weight) > 127:
        return "its weights have more than 8 bits"
    if 2 * peak >= 1 << 31:
        return "its doubled sum may not fit 32 bits"
    # 0 stands for binary spikes; else bytes, as the chip's messages have
    message_bits = 0 if (low, high) == (0, 1) else 8 * (max(-low, high).bit_length() // 8 + 1)
    return {
        "weights": 2 * operators[0].weight.astype(np.int64),
        "weight_exp": -1,
        "num_weight_bits": 8,
        "num_message_bits": message_bits,
    }
