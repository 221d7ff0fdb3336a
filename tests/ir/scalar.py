"""A second interpreter, of Python numbers in nested loops: one neuron, one step, one sample at a time.

It shares the node classes with the package and none of its arithmetic. Values are dictionaries from an index tuple to a
number. Integer graphs use Python's integers, float graphs its floats (exact on the generated networks).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import (
    ENCODERS,
    Add,
    AvgPool2d,
    AxonDelay,
    BatchNorm,
    Concat,
    Conv2d,
    ConvTranspose2d,
    DirectEncoder,
    Dropout,
    FixedPoint,
    Flatten,
    HybridEncoder,
    Identity,
    Linear,
    MaxPool2d,
    Neuron,
    Node,
    PadChannels,
    PoissonEncoder,
    Readout,
    Recurrent,
    Reshape,
    Scale,
    Shape,
    SumPool2d,
    Threshold,
)

Number = int | float
Index = tuple[int, ...]
Values = dict[Index, Number]

MASK = (1 << 64) - 1


def indices(shape: Shape) -> Iterator[Index]:
    return itertools.product(*map(range, shape))


def at(parameter: np.ndarray, index: Index) -> Any:
    """One neuron's parameter: scalar, per channel or per neuron."""
    if parameter.ndim == 0:
        return parameter.item()
    return parameter[index[: parameter.ndim]].item()


def splitmix(state: int, key: int) -> int:
    z = (state + (key + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def draw24(seed: int, *coordinates: int) -> int:
    state = splitmix(0, seed & MASK)
    for coordinate in coordinates:
        state = splitmix(state, coordinate)
    return state >> 40


# ------------------------------------------------------------------------------------------------- linear operators


def apply(node: Node, inputs: list[Values], shapes: list[Shape], out: Shape) -> Values:
    x, shape = inputs[0], shapes[0]
    match node:
        case Conv2d():
            return convolve(node, x, shape, out)
        case ConvTranspose2d():
            return transpose(node, x, shape, out)
        case Linear():
            return {
                (row,): sum(
                    node.weight[row, column].item() * 2**node.weight_exponent * x[column,] for column in range(shape[0])
                )
                + (0 if node.bias is None else node.bias[row].item())
                for (row,) in indices(out)
            }
        case Scale():
            return {
                index: at(node.weight, index) * 2**node.weight_exponent * x[index]
                + (0 if node.bias is None else at(node.bias, index))
                for index in indices(out)
            }
        case AvgPool2d() | SumPool2d():
            size = node.kernel[0] * node.kernel[1] if isinstance(node, AvgPool2d) else 1
            sums = {index: pooled(node, x, shape, index) for index in indices(out)}
            return {index: total / size for index, total in sums.items()} if size != 1 else sums
        case MaxPool2d():
            return {index: max(covered(node, x, shape, index)) for index in indices(out)}
        case BatchNorm():
            result: Values = {}
            for index in indices(out):
                gamma, beta, mean, variance = (
                    float(array[index[0]]) for array in (node.gamma, node.beta, node.mean, node.variance)
                )
                result[index] = gamma * (x[index] - mean) / math.sqrt(variance + node.epsilon) + beta
            return result
        case Flatten() | Reshape():
            return {index: x[before] for index, before in zip(indices(out), indices(shape), strict=True)}
        case Concat():
            firsts = [sum(each[0] for each in shapes[:place]) for place in range(len(shapes))]
            return {
                (first + index[0], *index[1:]): value
                for first, values in zip(firsts, inputs, strict=True)
                for index, value in values.items()
            }
        case PadChannels():
            return {index: x.get((index[0] - node.before, *index[1:]), 0) for index in indices(out)}
        case Add():
            return {index: sum(each[index] for each in inputs) for index in indices(out)}
        case Identity() | Dropout():
            return x
    raise AssertionError(node.kind)


def convolve(node: Conv2d, x: Values, shape: Shape, out: Shape) -> Values:
    outputs, per_group, kernel_h, kernel_w = node.weight.shape
    result: Values = {}
    for o, row, column in indices(out):
        total: Number = 0 if node.bias is None else node.bias[o].item()
        first = o // (outputs // node.groups) * per_group
        for i in range(per_group):
            for r in range(kernel_h):
                for c in range(kernel_w):
                    h, between = divmod(row * node.stride[0] + r * node.dilation[0] - node.padding[0], node.upsample[0])
                    w, beside = divmod(
                        column * node.stride[1] + c * node.dilation[1] - node.padding[1], node.upsample[1]
                    )
                    if not between and not beside and 0 <= h < shape[1] and 0 <= w < shape[2]:
                        total += node.weight[o, i, r, c].item() * 2**node.weight_exponent * x[first + i, h, w]
        result[o, row, column] = total
    return result


def transpose(node: ConvTranspose2d, x: Values, shape: Shape, out: Shape) -> Values:
    inputs, outputs, kernel_h, kernel_w = node.weight.shape
    result = {(o, h, w): 0 if node.bias is None else node.bias[o].item() for o, h, w in indices(out)}
    for i, row, column in indices(shape):
        for o, r, c in indices((outputs, kernel_h, kernel_w)):
            place = (
                i // (inputs // node.groups) * outputs + o,
                row * node.stride[0] + r * node.dilation[0] - node.padding[0],
                column * node.stride[1] + c * node.dilation[1] - node.padding[1],
            )
            if place in result:
                result[place] += node.weight[i, o, r, c].item() * x[i, row, column]
    return result


def pooled(node: AvgPool2d | SumPool2d, x: Values, shape: Shape, index: Index) -> Number:
    channel, row, column = index
    total: Number = 0
    for r in range(node.kernel[0]):
        for c in range(node.kernel[1]):
            h, w = row * node.stride[0] + r - node.padding[0], column * node.stride[1] + c - node.padding[1]
            if 0 <= h < shape[1] and 0 <= w < shape[2]:
                total += x[channel, h, w]
    return total


def covered(node: MaxPool2d, x: Values, shape: Shape, index: Index) -> Iterator[Number]:
    channel, *place = index
    for offsets in itertools.product(*map(range, node.kernel)):
        at = [
            position * stride + offset * dilation - padding
            for position, stride, offset, dilation, padding in zip(
                place, node.stride, offsets, node.dilation, node.padding, strict=True
            )
        ]
        if all(0 <= each < size for each, size in zip(at, shape[1:], strict=True)):
            yield x[channel, *at]


# -------------------------------------------------------------------------------------------------------- one soma


def decay(state: Number, leak: Number, fixed: FixedPoint | None) -> Number:
    if fixed is None:
        return leak * state
    assert isinstance(state, int)
    assert isinstance(leak, int)
    product = state * leak
    return product // 2**fixed.decay_bits if product >= 0 else -(-product // 2**fixed.decay_bits)


def fit(state: Number, fixed: FixedPoint | None, overflow: str) -> Number:
    if fixed is None:
        return state
    assert isinstance(state, int)
    largest = 2 ** (fixed.state_bits - 1) - 1
    if overflow == "clip":
        return max(-largest, min(largest, state))
    word = state & (2**fixed.state_bits - 1)
    return word - 2**fixed.state_bits if word > largest else word


def passes(u: Number, v: Number, compare: str) -> bool:
    return u > v if compare == "above" else u >= v


def fire(u: Number, threshold: Number, node: Neuron | Threshold) -> int:
    if node.spikes == "graded":
        k = 0
        while k < node.max_payload and passes(u, (k + 1) * threshold, node.compare):
            k += 1
        return k
    if passes(u, threshold, node.compare):
        return 1
    return -1 if node.spikes == "signed" and passes(-u, threshold, node.compare) else 0


class Cell:
    """One soma's one neuron."""

    def __init__(self, node: Neuron | Threshold | Readout, index: Index) -> None:
        self.node = node
        arrays = {name: at(array, index) for name, array in node.arrays()}
        self.leak, self.current_leak = arrays.get("leak"), arrays.get("current_leak")
        self.threshold, self.bias, self.flip = arrays.get("threshold"), arrays["bias"], arrays.get("flip")
        self.reset_value, self.lowest = arrays.get("reset_value"), arrays.get("membrane_min")
        self.current: Number = 0
        self.u: Number = 0
        self.last = 0
        self.has_fired = False

    def step(self, x: Number) -> Number:
        node = self.node
        if isinstance(node, Threshold):
            u = x + self.bias
            if self.flip:
                return int(self.threshold > u if node.compare == "above" else self.threshold >= u)
            return fire(u, self.threshold, node)
        fixed = node.fixed
        overflow = fixed.current_overflow if fixed else ""
        scaled = x * 2**fixed.fraction_bits if fixed else x
        self.current = fit(decay(self.current, self.current_leak, fixed) + scaled + self.bias, fixed, overflow)
        if isinstance(node, Readout):
            self.u = self.stored(decay(self.u, self.leak, fixed) + self.current)
            return self.u
        if node.order == "fire_first":
            spike = self.spike(node)
            if node.leaky_reset:
                u = decay(self.after(node, self.u, spike), self.leak, fixed) + self.current
            else:
                u = self.after(node, decay(self.u, self.leak, fixed) + self.current, spike)
            self.u = self.limited(self.stored(u))
            return spike
        u = decay(self.u, self.leak, fixed) + self.current
        self.u = self.stored(u if node.leaky_reset else self.after(node, u, self.last))
        self.last = spike = self.spike(node)
        if node.leaky_reset:
            self.u = self.stored(self.after(node, self.u, spike))
        self.u = self.limited(self.u)
        return spike

    def stored(self, u: Number) -> Number:
        return fit(u, self.node.fixed, self.node.fixed.membrane_overflow if self.node.fixed else "")

    def limited(self, u: Number) -> Number:
        return self.lowest if self.lowest is not None and u < self.lowest else u

    def spike(self, node: Neuron) -> int:
        if node.single_spike and self.has_fired:
            return 0
        spike = fire(self.u, self.threshold, node)
        self.has_fired = self.has_fired or spike != 0
        return spike

    def after(self, node: Neuron, u: Number, spike: int) -> Number:
        if spike == 0 or node.reset == "none":
            return u
        if node.reset == "subtract":
            return u - spike * self.threshold
        return self.reset_value if spike > 0 else -self.reset_value


# -------------------------------------------------------------------------------------------------------- the run


def encode(node: Node, value: float, integer: bool, *place: int) -> Number:
    if isinstance(node, PoissonEncoder):
        if draw24(node.seed, *place) < abs(value) * node.gain * 2**24:
            return 1 if value > 0 else -1
        return 0
    assert isinstance(node, (DirectEncoder, HybridEncoder))
    t = place[1]
    if isinstance(node, HybridEncoder) and t > 0:
        value = float(spike_time(node, value) == t + 1)
    if not integer:
        return float(value)
    assert node.scale is not None
    return max(node.low, min(node.high, round(value * node.scale)))


def spike_time(node: HybridEncoder, value: float) -> int:
    """Counted from 1."""
    low, high, steps = Fraction(node.minimum), Fraction(node.maximum), node.timesteps
    within = min(max(Fraction(value), low), high)
    return round(steps + Fraction(2 - steps) / (high - low) * (within - low))


def late(node: Recurrent | AxonDelay, index: Index) -> int:
    """By how many steps one neuron's spikes are late."""
    if isinstance(node, AxonDelay):
        return int(at(node.steps, index))
    return node.steps + (0 if node.axon_steps is None else int(at(node.axon_steps, index)))


def run(graph: Graph, samples: np.ndarray, first_sample: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """(outputs, events) as ``interpret`` gives them, as nested dictionaries: [name][sample][...][index]."""
    integer = graph.stage == "integer"
    per_step = samples.ndim == len(graph.shape(next(iter(graph)))) + 2
    outputs: dict[str, Any] = {name: [] for name in graph.outputs}
    events: dict[str, Any] = {}
    for number, sample in enumerate(samples):
        cells = {
            name: {index: Cell(node, index) for index in indices(graph.shape(name))}
            for name, node in graph.items()
            if isinstance(node, (Neuron, Threshold, Readout))
        }
        history: dict[str, list[Values]] = {name: [] for name in graph}
        for t in range(graph.timesteps):
            now: dict[str, Values] = {}
            for name, node in graph.items():
                sources, shape = graph.inputs(name), graph.shape(name)
                if not sources:
                    frame = sample[t] if per_step else sample
                    now[name] = {index: frame[index].item() for index in indices(shape)}
                elif isinstance(node, (Recurrent, AxonDelay)):
                    now[name] = {}
                    for index in indices(shape):
                        sent_at = t - late(node, index)
                        series = [*history[sources[0]], now.get(sources[0], {})][: t + 1]
                        now[name][index] = series[sent_at][index] if sent_at >= 0 else 0
                elif name in cells:
                    now[name] = {index: cell.step(now[sources[0]][index]) for index, cell in cells[name].items()}
                elif isinstance(node, ENCODERS):
                    now[name] = {
                        index: encode(node, now[sources[0]][index], integer, first_sample + number, t, place)
                        for place, index in enumerate(indices(shape))
                    }
                else:
                    shapes = [graph.shape(source) for source in sources]
                    now[name] = apply(node, [now[source] for source in sources], shapes, shape)
                history[name].append(now[name])
        for name, node in graph.items():
            if isinstance(node, (*ENCODERS, Neuron, Threshold)):
                events.setdefault(name, []).append(history[name])
        for name in outputs:
            series = history[name]
            readout = isinstance(graph.node(name), Readout)
            outputs[name].append(
                series[-1] if readout else {index: sum(step[index] for step in series) for index in series[0]}
            )
    return outputs, events


def dense(values: Values, shape: Shape) -> np.ndarray:
    array = np.zeros(shape)
    for index, value in values.items():
        array[index] = value
    return array
