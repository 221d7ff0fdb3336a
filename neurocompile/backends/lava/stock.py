"""Where a process that Lava ships says exactly what the graph says, and with which settings.

Each function gives the settings of the stock process, or the reason why ours must be used. The rules come from reading
the fixed-point models of lava-nc 0.10.0. In the stock LIF, states have 24 bits, six of them fractional: an input of one
is 64. It compares with ``>``, resets to zero and has one threshold and one leak for all neurons.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurocompile.ir.nodes import Array, Flatten, Linear, Neuron, Soma, Threshold
from neurocompile.ir.populations import Projection

Settings = dict[str, Any]

_FRACTION = 6  # fraction bits of the stock LIF's states
_DECAY = 12  # fraction bits of its leaks
_STATE = 1 << 23  # what its states stay below
_VTH = 1 << 17  # what its threshold stays below
_MANTISSA = 1 << 12  # what a bias's mantissa stays below
_EXPONENT = 7  # its largest exponent


def lif(soma: Soma, peak: int, timesteps: int) -> Settings | str:
    """Settings of ``LIFReset`` for a soma whose summed input never exceeds ``peak`` in magnitude.

    ``LIFReset`` clears its states where ``time_step % reset_interval == reset_offset``, and Lava counts from 1.
    """
    match soma:
        case Threshold():
            settings = _threshold(soma, peak)
        case Neuron():
            settings = _neuron(soma, peak, timesteps)
        case _:
            return "a readout never fires"
    if isinstance(settings, dict):
        settings |= {"reset_interval": timesteps, "reset_offset": (soma.phase + 1) % timesteps}
    return settings


def _threshold(soma: Threshold, peak: int) -> Settings | str:
    """No state: both leaks are zero. Thresholds that differ between neurons move into their biases."""
    if soma.spikes != "binary" or soma.flip.any():
        return "its comparison is not a plain one"
    strict = _strict(soma.threshold, soma.compare)
    bias = soma.bias.astype(np.int64)
    shared = _scalar(strict)
    if shared is None or shared < 0:
        strict, bias, shared = np.zeros(1, np.int64), _spread(bias, soma) - _spread(strict, soma), 0
    if shared >= _VTH:
        return f"threshold {shared} does not fit 17 bits"
    if (peak + _peak(bias)) << _FRACTION >= _STATE:
        return "its sum may not fit 24 bits"
    return _with_bias({"du": 4095, "dv": 4096, "vth": shared}, bias << _FRACTION)


def _neuron(soma: Neuron, peak: int, timesteps: int) -> Settings | str:
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
        soma.bias.astype(np.int64) << shift,
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


def _spread(parameter: Array, soma: Soma) -> Array:
    raise NotImplementedError
