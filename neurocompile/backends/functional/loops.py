"""The hot loops: somas of a batch, all their time steps, in float64.

Float64 holds every integer below 2**53, so it computes what the interpreter computes in int64 where ``somas.py`` has
proved the widths; and a decay is one multiplication and one truncation, which vector units have for floats alone.
The neurons of a block stay in the nearest cache for all steps; each small loop is one that compilers vectorize.

Arrays: ``x`` (samples, steps or 1, neurons), the synaptic sums; one step stands for the same at every step. ``spikes``
(samples, steps, neurons) is written. ``parameters`` (rows, width) float64 has a value for each neuron of a block of
``width`` neurons, the same for all blocks, or one for each neuron of the layer: ``layout``.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from neurocompile.backends.compiled import compiled
from neurocompile.ir.nodes import Array

BINARY, SIGNED, GRADED = 0, 1, 2
SUBTRACT, SET, NONE = 0, 1, 2
#: rows of a state array
MEMBRANE, CURRENT, LAST, FIRED = 0, 1, 2, 3
STATES = 4

#: rows of the parameters of neurons (leaks as fractions, 1 where nothing decays), and of thresholds
THRESHOLD, LEAK, CURRENT_LEAK, BIAS, RESET_VALUE, MEMBRANE_MIN = 0, 1, 2, 3, 4, 5
SIGN, SHIFT = 1, 2

#: neurons of a block: a dozen float64 arrays of them fit the nearest cache
BLOCK = 512


def layout(parameters: list[Array], neurons: int) -> Array:
    """Rows for the loops, from parameters that have one value, one for each channel (channels vary fastest), or one for
    each of ``neurons``."""
    period = max(len(each) for each in parameters)
    if period <= BLOCK:
        period *= BLOCK // period
    else:
        period = neurons
    return np.stack([np.resize(each, period) for each in parameters]).astype(np.float64)


class Rule(NamedTuple):
    """What ``ir.nodes.Neuron`` and its ``FixedPoint`` say, in numbers."""

    unit: float  # a synaptic sum of one, in state units: 2**fraction_bits
    fire_first: bool
    at_or_above: bool
    spikes: int
    max_payload: float
    reset: int
    leaky_reset: bool
    single_spike: bool
    half: float  # 2**(state_bits - 1)
    wrap_current: bool
    wrap_membrane: bool
    decays: bool  # whether any membrane leaks
    current_decays: bool  # whether any synaptic current has memory
    has_minimum: bool


@numba.njit(inline="always")
def _fit(state: Array, half: float, wrap: bool) -> None:
    """``fixedpoint.fit`` in place."""
    if wrap:
        for j in range(len(state)):
            state[j] = state[j] - 2 * half * np.floor((state[j] + half) / (2 * half))
    else:
        most = half - 1
        for j in range(len(state)):
            kept = state[j] if state[j] < most else most
            state[j] = kept if kept > -most else -most


@numba.njit(inline="always")
def _fire(u: Array, v: Array, sent: Array, spikes: int, at_or_above: bool, max_payload: float) -> None:
    """``fixedpoint.fire`` into ``sent``."""
    if spikes == GRADED:
        for j in range(len(u)):
            # exact: a quotient of integers below 2**53 is never rounded across a whole number
            count = np.floor(u[j] / v[j]) if at_or_above else np.ceil(u[j] / v[j]) - 1
            count = count if count > 0 else 0.0
            sent[j] = count if count < max_payload else max_payload
    elif spikes == SIGNED:
        for j in range(len(u)):
            if at_or_above:
                sent[j] = (1.0 if u[j] >= v[j] else 0.0) - (1.0 if -u[j] >= v[j] else 0.0)
            else:
                sent[j] = (1.0 if u[j] > v[j] else 0.0) - (1.0 if -u[j] > v[j] else 0.0)
    elif at_or_above:
        for j in range(len(u)):
            sent[j] = 1.0 if u[j] >= v[j] else 0.0
    else:
        for j in range(len(u)):
            sent[j] = 1.0 if u[j] > v[j] else 0.0


@compiled
def run_neurons(x: Array, spikes: Array, states: Array, parameters: Array, rule: Rule) -> None:
    """``SomaState.step`` of a ``Neuron`` for every sample and step, each sample starting from zero.

    ``states`` (samples, STATES, neurons) are read before the first step and written after the last, so that a
    presentation can be run in parts; with no samples in it every run is a whole presentation.
    """
    samples, steps, neurons = spikes.shape
    given = x.shape[1]
    keeps = states.shape[0] > 0
    width = parameters.shape[1]
    block = width if width <= BLOCK else BLOCK
    room = np.empty((6, block))
    for start in range(0, neurons, block):
        size = min(block, neurons - start)
        stop = start + size
        u, current, last, fired = room[0, :size], room[1, :size], room[2, :size], room[3, :size]
        sent, left = room[4, :size], room[5, :size]
        first = 0 if block == width else start
        v, keep_u = parameters[THRESHOLD, first : first + size], parameters[LEAK, first : first + size]
        keep_i, b = parameters[CURRENT_LEAK, first : first + size], parameters[BIAS, first : first + size]
        at_reset, lowest = parameters[RESET_VALUE, first : first + size], parameters[MEMBRANE_MIN, first : first + size]
        for s in range(samples):
            if keeps:
                u[:], current[:] = states[s, MEMBRANE, start:stop], states[s, CURRENT, start:stop]
                last[:], fired[:] = states[s, LAST, start:stop], states[s, FIRED, start:stop]
            else:
                u[:], current[:], last[:], fired[:] = 0.0, 0.0, 0.0, 0.0
            for t in range(steps):
                arriving = x[s, t if given > 1 else 0, start:stop]
                if rule.fire_first:
                    _fire(u, v, sent, rule.spikes, rule.at_or_above, rule.max_payload)
                    if rule.single_spike:
                        _once(sent, fired)
                if rule.current_decays:
                    for j in range(size):
                        current[j] = np.trunc(current[j] * keep_i[j]) + arriving[j] * rule.unit + b[j]
                else:
                    for j in range(size):
                        current[j] = arriving[j] * rule.unit + b[j]
                _fit(current, rule.half, rule.wrap_current)
                if rule.fire_first:
                    if rule.leaky_reset:
                        _reset(u, sent, v, at_reset, rule.reset)
                        for j in range(size):
                            u[j] = np.trunc(u[j] * keep_u[j]) + current[j]
                    else:
                        for j in range(size):
                            u[j] = np.trunc(u[j] * keep_u[j]) + current[j]
                        _reset(u, sent, v, at_reset, rule.reset)
                    _fit(u, rule.half, rule.wrap_membrane)
                else:
                    if rule.decays:
                        for j in range(size):
                            left[j] = np.trunc(u[j] * keep_u[j])
                    else:
                        left[:] = u
                    for j in range(size):
                        u[j] = left[j] + current[j]
                    if not rule.leaky_reset:
                        _reset(u, last, v, at_reset, rule.reset)
                    _fit(u, rule.half, rule.wrap_membrane)
                    _fire(u, v, sent, rule.spikes, rule.at_or_above, rule.max_payload)
                    if rule.single_spike:
                        _once(sent, fired)
                    if not rule.leaky_reset:
                        last[:] = sent
                    elif rule.reset != NONE:
                        _reset(u, sent, v, at_reset, rule.reset)
                        _fit(u, rule.half, rule.wrap_membrane)
                if rule.has_minimum:
                    for j in range(size):
                        u[j] = u[j] if u[j] > lowest[j] else lowest[j]
                out = spikes[s, t, start:stop]
                for j in range(size):
                    out[j] = sent[j]
            if keeps:
                states[s, MEMBRANE, start:stop], states[s, CURRENT, start:stop] = u, current
                states[s, LAST, start:stop], states[s, FIRED, start:stop] = last, fired


@numba.njit(inline="always")
def _once(sent: Array, fired: Array) -> None:
    """A neuron that has fired before fires no more."""
    for j in range(len(sent)):
        sent[j] = 0.0 if fired[j] != 0.0 else sent[j]
        fired[j] = 1.0 if sent[j] != 0.0 else fired[j]


@numba.njit(inline="always")
def _reset(u: Array, sent: Array, v: Array, at_reset: Array, kind: int) -> None:
    if kind == SUBTRACT:
        for j in range(len(u)):
            u[j] = u[j] - sent[j] * v[j]
    elif kind == SET:
        for j in range(len(u)):
            target = at_reset[j] if sent[j] > 0.0 else -at_reset[j]
            u[j] = target if sent[j] != 0.0 else u[j]


@compiled
def run_plain_neurons(
    x: Array, spikes: Array, parameters: Array, unit: float, passes_by: float, leaky_reset: bool
) -> None:
    """``run_neurons`` for the usual neuron: integrates first, binary spikes, subtracts, without memory of the current,
    and proved never to overflow. One pass over a block in place of six: a fourth of the time.

    To pass is to exceed the threshold, or with ``passes_by`` = 1 to reach it: the numbers are whole.
    """
    samples, steps, neurons = spikes.shape
    given = x.shape[1]
    width = parameters.shape[1]
    block = width if width <= BLOCK else BLOCK
    room = np.empty((2, block))
    for s in range(samples):
        for start in range(0, neurons, block):
            size = min(block, neurons - start)
            stop = start + size
            u, owed = room[0, :size], room[1, :size]
            first = 0 if block == width else start
            v, keep_u = parameters[THRESHOLD, first : first + size], parameters[LEAK, first : first + size]
            b = parameters[BIAS, first : first + size]
            u[:], owed[:] = 0.0, 0.0
            for t in range(steps):
                arriving = x[s, t if given > 1 else 0, start:stop]
                out = spikes[s, t, start:stop]
                if leaky_reset:
                    for j in range(size):
                        integrated = np.trunc(u[j] * keep_u[j]) + (arriving[j] * unit + b[j])
                        fires = integrated + passes_by > v[j]
                        out[j] = fires
                        u[j] = integrated - v[j] if fires else integrated
                else:
                    for j in range(size):
                        integrated = np.trunc(u[j] * keep_u[j]) - owed[j] + (arriving[j] * unit + b[j])
                        fires = integrated + passes_by > v[j]
                        out[j] = fires
                        owed[j] = v[j] if fires else 0.0
                        u[j] = integrated


@compiled
def run_thresholds(
    x: Array, spikes: Array, parameters: Array, at_or_above: bool, kind: int, max_payload: float
) -> None:
    """``SomaState.step`` of a ``Threshold``; a comparison that is flipped has a SIGN of -1, on both of its sides."""
    samples, steps, neurons = spikes.shape
    width = parameters.shape[1]
    block = width if width <= BLOCK else BLOCK
    room = np.empty((3, block))
    for start in range(0, neurons, block):
        size = min(block, neurons - start)
        u, sent, v = room[0, :size], room[1, :size], room[2, :size]
        first = 0 if block == width else start
        direction, b = parameters[SIGN, first : first + size], parameters[SHIFT, first : first + size]
        for j in range(size):
            v[j] = parameters[THRESHOLD, first + j] * direction[j]
        for s in range(samples):
            for t in range(steps):
                arriving = x[s, t, start : start + size]
                for j in range(size):
                    u[j] = (arriving[j] + b[j]) * direction[j]
                _fire(u, v, sent, kind, at_or_above, max_payload)
                out = spikes[s, t, start : start + size]
                for j in range(size):
                    out[j] = sent[j]


def no_states() -> Array:
    """What ``run_neurons`` takes where a presentation is run whole."""
    return np.empty((0, STATES, 1))
