"""What one of SANA-FE's somas is told to do what one of ours does, in its units."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from neurocompile.ir.nodes import Array, FixedPoint, Neuron, Readout, Soma, Threshold
from neurocompile.ir.populations import Population
from neurocompile.mapping.biases import crossing, equal, flat

#: what SANA-FE's somas count in
UNIT = 1 / 64
#: more than any state, in SANA-FE's units
_NEVER = 1e9


def owes(soma: Soma) -> bool:
    """Whether the reset may come one step later, because the leak does not act on it."""
    return (
        isinstance(soma, Neuron)
        and soma.reset == "subtract"
        and (not soma.leaky_reset or bool(np.all(soma.leak == (soma.fixed or FixedPoint()).one)))
    )


def early(soma: Soma | None) -> int:
    """How many steps before its own a neuron fires in SANA-FE."""
    return int(isinstance(soma, Neuron) and soma.order == "fire_first")


def _fraction_bits(population: Population) -> int:
    """Of the state below the weight's unit; a neuron without state compares the sum itself."""
    fixed = population.soma.fixed
    return 0 if fixed is None or isinstance(population.soma, Threshold) else fixed.fraction_bits


def weight_unit(population: Population) -> float:
    """What a weight of one adds to the potential."""
    return (1 << _fraction_bits(population)) * UNIT


def fires_at_rest(population: Population) -> bool:
    """Whether a neuron with state fires without input, which it does in SANA-FE before and after the sample too."""
    soma = population.soma
    return isinstance(soma, Neuron) and bool(np.any(soma.threshold < equal(soma)))


def settings(population: Population, timesteps: int) -> Iterator[tuple[int, int, str]]:
    """(start, stop, attributes) of runs of neurons that are the same."""
    thresholds, leaks, resets, mode = _soma(population, timesteps)
    rows = np.stack([np.broadcast_to(each, population.neurons) for each in (thresholds, leaks, resets)], axis=1)
    starts = [0, *(np.flatnonzero((rows[1:] != rows[:-1]).any(axis=1)) + 1).tolist(), len(rows)]
    for start, stop in itertools.pairwise(starts):
        threshold, leak, reset = rows[start].tolist()
        yield start, stop, f"threshold: {threshold}, leak_decay: {leak}, reset_mode: {mode}, reset: {reset}"


def _soma(population: Population, timesteps: int) -> tuple[Array, Array, Array, str]:
    """Thresholds, leaks, reset values (per neuron or one for all) and the mode of resetting, in SANA-FE's units."""
    soma, shape, zero = population.soma, population.shape, np.array(0.0)
    one = soma.fixed.one if soma.fixed else 1
    match soma:
        case Threshold():
            return np.maximum(crossing(population, soma), 0) * UNIT, zero, zero, "hard"
        case Readout():
            # in a single step nothing leaks, and what came before the sample must not count
            return np.array(_NEVER), zero if timesteps == 1 else flat(soma.leak, shape) / one, zero, "none"
        case Neuron():
            threshold = (flat(soma.threshold, shape).astype(np.int64) - equal(soma)) * UNIT
            mode = "none" if owes(soma) else {"subtract": "soft", "set": "hard", "none": "none"}[soma.reset]
            return threshold, flat(soma.leak, shape) / one, flat(soma.reset_value, shape) * UNIT, mode
    raise AssertionError(f"{soma.kind} is not a soma")
