"""Biases that the host sends, on chips whose neurons would add their own at every step and not at a sample's alone."""

from __future__ import annotations

import numpy as np

from neurocompile.ir.nodes import Array, Neuron, Readout, Shape, Soma, Threshold, per_channel
from neurocompile.ir.populations import Population


def biases(population: Population) -> Array:
    """Per neuron, row-major, in state units, what has to be added at the steps of a sample.

    That of a neuron without state stands in its threshold, unless it would then fire without input, at every step.
    """
    soma = population.soma
    if isinstance(soma, Threshold):
        return np.maximum(-crossing(population, soma), 0)
    return flat(soma.bias if isinstance(soma, (Neuron, Readout)) else np.array(0), population.shape)


def crossing(population: Population, soma: Threshold) -> Array:
    """Per neuron, what the sum of the weights must be above, its bias counted in."""
    threshold = flat(soma.threshold, population.shape).astype(np.int64) - flat(soma.bias, population.shape)
    above: Array = threshold * signs(population) - equal(soma)
    return above


def signs(population: Population) -> Array:
    """-1 for neurons whose comparison points the other way, which looks at what is negated on both sides."""
    soma = population.soma
    flips = soma.flip if isinstance(soma, Threshold) else np.array(False)
    return np.where(flat(flips, population.shape), -1, 1)


def equal(soma: Soma) -> int:
    """What an integer threshold is lowered by, so that ``>`` means ``>=``."""
    return int(isinstance(soma, (Neuron, Threshold)) and soma.compare == "at_or_above")


def flat(parameter: Array, shape: Shape) -> Array:
    """A parameter per neuron, row-major."""
    return np.broadcast_to(per_channel(parameter, shape), shape).ravel()
