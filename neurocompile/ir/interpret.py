"""The interpreter: slow, obvious, and the definition of what a graph means.

Float graphs are computed in float64, integer graphs in int64. Graphs up to the integer stage run all their layers
within one time step, sample by sample. A mapped graph runs in chip time: samples stream through one after the other,
every soma clears itself when a new sample reaches it (and ignores what delays still bring from the last one), and the
results are taken ``phase`` steps later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurocompile import coding
from neurocompile.errors import InputError
from neurocompile.ir import fixedpoint
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import (
    ANALOG,
    ENCODERS,
    SPIKING,
    Add,
    Analog,
    Array,
    AvgPool2d,
    AxonDelay,
    BatchNorm,
    Concat,
    Conv2d,
    ConvTranspose2d,
    DctEncoder,
    Delay,
    Dropout,
    Flatten,
    HybridEncoder,
    Identity,
    Input,
    Linear,
    MaxPool2d,
    Neuron,
    Node,
    PadChannels,
    PoissonEncoder,
    Readout,
    Recurrent,
    Relu,
    Reshape,
    Scale,
    Shape,
    Soma,
    SumPool2d,
    Threshold,
    per_channel,
)
from neurocompile.random import uniform24


@dataclass(frozen=True)
class Trace:
    """What a run gave. ``outputs``: per output, (N, *shape): a readout's last membrane, a spiking soma's spike sums.
    ``events``: per encoder, spiking soma and ReLU, (N, T, *shape): what it sent at every step."""

    outputs: dict[str, Array]
    events: dict[str, Array]


def check_fit(graph: Graph, shape: Shape, dtype: np.dtype[Any]) -> None:
    """InputError unless samples of this shape and dtype fit the graph, whatever their values."""
    (name,) = graph.of_kind(Input)
    wanted, steps = graph.shape(name), graph.timesteps
    if dtype.kind not in "biuf":
        raise InputError(f"input has dtype {dtype}; give real or integer numbers")
    in_time = graph.of_kind(HybridEncoder, DctEncoder) if steps > 1 else []
    if shape[1:] not in ((wanted,) if in_time else (wanted, (steps, *wanted))):
        whole = f"(N, {', '.join(map(str, wanted))})"
        also = f", since {in_time[0]} lays one picture out in time" if in_time else f" or (N, {steps}, {whole[4:]}"
        raise InputError(f"input has shape {shape}; {graph.name!r} takes {whole}{also}")
    if not shape[0]:
        raise InputError(f"input has shape {shape}: no samples; give at least one")


def check_samples(graph: Graph, samples: Array) -> Array:
    """``samples`` as (N, T or 1, *shape) float64; InputError where they do not fit the graph."""
    check_fit(graph, samples.shape, samples.dtype)
    (name,) = graph.of_kind(Input)
    if samples.ndim == len(graph.shape(name)) + 1:
        samples = samples[:, None]
    values = samples.astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"input has {int((~np.isfinite(values)).sum())} NaN or infinite values; repair the data")
    return values


def encode(graph: Graph, name: str, samples: Array, first_sample: int = 0) -> Array:
    """What encoder ``name`` sends for ``samples`` (N, T or 1, *shape): (N, T, *shape), float64 or whole int64."""
    node, steps, shape = graph.node(name), graph.timesteps, graph.shape(name)
    count = len(samples)
    if isinstance(node, PoissonEncoder):
        numbers = np.arange(first_sample, first_sample + count)
        size = int(np.prod(shape))
        draws = np.stack([uniform24(node.seed, numbers, t, size).reshape(count, *shape) for t in range(steps)], axis=1)
        fired = draws < np.abs(samples) * node.gain * 2**24
        spikes: Array = np.where(fired, np.sign(samples), 0.0).astype(np.int64)
        return spikes
    assert isinstance(node, ANALOG)
    sent = laid_out(node, samples, steps)
    if node.scale is not None:
        sent = np.clip(np.rint(sent * node.scale), node.low, node.high).astype(np.int64)
    return np.broadcast_to(sent, (count, steps, *shape))


def laid_out(node: Analog, samples: Array, steps: int) -> Array:
    """What an encoder of values sends before they are made integers: float64 (N, T or 1, *shape)."""
    match node:
        case HybridEncoder() if steps > 1:
            times = coding.spike_times(samples, steps, node.minimum, node.maximum)
            return np.concatenate([samples, *((times == t).astype(np.float64) for t in range(2, steps + 1))], axis=1)
        case DctEncoder():
            return np.concatenate([coding.frequency_part(samples, node.block, t) for t in range(steps)], axis=1)
    return samples


def saturated(graph: Graph, samples: Array) -> int:
    """How many values are beyond the integer code of the graph's encoders, and so clipped: of the samples, or of what
    an encoder that lays them out in time sends."""
    values = check_samples(graph, samples)
    count = 0
    for node in map(graph.node, graph.of_kind(*ANALOG)):
        if isinstance(node, ANALOG) and node.scale is not None:
            codes = np.rint(laid_out(node, values, graph.timesteps) * node.scale)
            count += int(((codes < node.low) | (codes > node.high)).sum())
    return count


def linear(node: Node, *inputs: Array) -> Array:
    """One linear node (or ReLU) on a batch (N, *shape), in the dtype of the inputs."""
    (x, *others) = inputs
    dtype = x.dtype
    match node:
        case Conv2d():
            y = _shifted(_convolve(x, node.weight.astype(dtype, copy=False), node), node)
            return y if node.bias is None else y + node.bias.astype(dtype)[:, None, None]
        case ConvTranspose2d():
            y = _transposed(x, node)
            return y if node.bias is None else y + node.bias.astype(dtype)[:, None, None]
        case Linear():
            y = _shifted(x @ node.weight.astype(dtype, copy=False).T, node)
            return y if node.bias is None else y + node.bias.astype(dtype)
        case Scale():
            y = _shifted(x * per_channel(node.weight, x.shape[1:]).astype(dtype, copy=False), node)
            return y if node.bias is None else y + per_channel(node.bias, x.shape[1:]).astype(dtype)
        case SumPool2d():
            return _pool(x, node.kernel, node.stride, node.padding)
        case AvgPool2d():
            mean: Array = _pool(x, node.kernel, node.stride, node.padding) / (node.kernel[0] * node.kernel[1])
            return mean
        case MaxPool2d():
            lowest = -np.inf if dtype.kind == "f" else np.iinfo(dtype).min
            largest: Array = _windows(x, node.kernel, node.stride, node.padding, node.dilation, lowest).max(axis=(4, 5))
            return largest
        case BatchNorm():
            normed: Array = x * per_channel(node.factor, x.shape[1:]) + per_channel(node.shift, x.shape[1:])
            return normed
        case Flatten():
            return x.reshape(len(x), -1)
        case Reshape():
            return x.reshape(len(x), *node.shape)
        case Add():
            return sum(others, start=x)
        case Concat():
            return np.concatenate(inputs, axis=1)
        case PadChannels():
            return np.pad(x, ((0, 0), (node.before, node.after), *((0, 0),) * (x.ndim - 2)))
        case Identity() | Dropout():
            return x
        case Relu():
            positive: Array = np.maximum(x, 0)
            return positive
    raise AssertionError(f"{node.kind} is not a linear node")


def _shifted(sums: Array, node: Conv2d | Linear | Scale) -> Array:
    """The sums of weights, in the unit that the projection's exponent gives them."""
    return sums * (1 << node.weight_exponent) if node.weight_exponent else sums


def _windows(x: Array, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int],
             dilation: tuple[int, int] = (1, 1), outside: float = 0) -> Array:  # fmt: skip
    """(N, C, H, W) -> (N, C, out height, out width, kernel height, kernel width); what is padded is ``outside``."""
    (pad_h, pad_w), (dil_h, dil_w) = padding, dilation
    padded = np.pad(x, ((0, 0), (0, 0), (pad_h, pad_h), (pad_w, pad_w)), constant_values=outside)
    reach = (dil_h * (kernel[0] - 1) + 1, dil_w * (kernel[1] - 1) + 1)
    view = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
    return view[:, :, :: stride[0], :: stride[1], ::dil_h, ::dil_w]


def _convolve(x: Array, weight: Array, node: Conv2d) -> Array:
    if node.spreads:
        spread = np.zeros((len(x), *node.spread(x.shape[1:])), x.dtype)
        spread[:, :, *_places(x.shape[2:], node.upsample)] = x
        x = spread
    windows = _windows(x, (weight.shape[2], weight.shape[3]), node.stride, node.padding, node.dilation)
    parts = [
        np.tensordot(window, kernels, axes=((1, 4, 5), (1, 2, 3)))
        for window, kernels in zip(
            np.split(windows, node.groups, axis=1), np.split(weight, node.groups, axis=0), strict=True
        )
    ]
    return np.moveaxis(np.concatenate(parts, axis=3), 3, 1)


def _places(sizes: Shape, apart: tuple[int, int], first: tuple[int, int] = (0, 0)) -> tuple[slice, ...]:
    """Rows and columns from ``first`` on, ``apart`` from each other, for so many values."""
    return tuple(
        slice(start, start + (size - 1) * step + 1, step) for start, size, step in zip(first, sizes, apart, strict=True)
    )


def _transposed(x: Array, node: ConvTranspose2d) -> Array:
    """Every value spreads its kernel over the output; then the padding is cut off."""
    grouped = node.weight.astype(x.dtype).reshape(node.groups, -1, *node.weight.shape[1:])
    images = x.reshape(len(x), node.groups, -1, *x.shape[2:])
    outputs, height, width = node.output_shape(x.shape[1:])
    (down, right), (pad_h, pad_w) = node.dilation, node.padding
    whole = np.zeros((len(x), outputs, height + 2 * pad_h, width + 2 * pad_w), x.dtype)
    for row, column in np.ndindex(*node.weight.shape[2:]):
        spread = np.einsum("ngihw,gio->ngohw", images, grouped[..., row, column])
        places = _places(x.shape[2:], node.stride, (row * down, column * right))
        whole[:, :, *places] += spread.reshape(len(x), outputs, *x.shape[2:])
    return whole[:, :, pad_h : pad_h + height, pad_w : pad_w + width]


def _pool(x: Array, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> Array:
    total: Array = _windows(x, kernel, stride, padding).sum(axis=(4, 5))
    return total


Product = Callable[..., Array]  # as ``linear``


@dataclass
class SomaState:
    """The state of one soma for a batch, and its step."""

    node: Soma
    shape: Shape
    batch: int
    dtype: np.dtype[np.generic]
    current: Array = field(init=False)
    membrane: Array = field(init=False)
    last: Array = field(init=False)
    fired: Array = field(init=False)

    def __post_init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        zero = np.zeros((self.batch, *self.shape), self.dtype)
        self.current, self.membrane, self.last, self.fired = zero, zero, zero, zero.astype(np.bool_)

    def _of(self, parameter: Array) -> Array:
        return per_channel(parameter, self.shape).astype(self.dtype)

    def _decay(self, state: Array, leak: Array) -> Array:
        if self.node.fixed is None:
            product: Array = state * self._of(leak)
            return product
        return fixedpoint.decay(state, self._of(leak), self.node.fixed.decay_bits)

    def _integrate(self, x: Array, leak: Array, bias: Array) -> Array:
        """The synaptic current of this step."""
        fixed = self.node.fixed
        if fixed is not None:
            x = x * (1 << fixed.fraction_bits)
        current = self._decay(self.current, leak) + x + self._of(bias)
        if fixed is not None:
            current = fixedpoint.fit(current, fixed.state_bits, fixed.current_overflow)
        self.current = current
        return current

    def _store(self, membrane: Array) -> None:
        fixed = self.node.fixed
        if fixed is not None:
            membrane = fixedpoint.fit(membrane, fixed.state_bits, fixed.membrane_overflow)
        self.membrane = membrane

    def step(self, x: Array) -> Array:
        """One time step: the spikes of a spiking soma, the membrane of a readout."""
        node = self.node
        match node:
            case Readout():
                self._store(self._decay(self.membrane, node.leak) + self._integrate(x, node.current_leak, node.bias))
                return self.membrane
            case Threshold():
                return fixedpoint.fire(
                    x + self._of(node.bias), self._of(node.threshold), compare=node.compare, spikes=node.spikes,
                    max_payload=node.max_payload, flip=per_channel(node.flip, self.shape),
                )  # fmt: skip
            case Neuron(order="integrate_first"):
                current = self._integrate(x, node.current_leak, node.bias)
                integrated = self._decay(self.membrane, node.leak) + current
                self._store(integrated if node.leaky_reset else self._reset(node, integrated, self.last))
                self.last = spikes = self._fire(node)
                if node.leaky_reset:
                    self._store(self._reset(node, self.membrane, spikes))
                self._raise_to_minimum(node)
                return spikes
            case Neuron():
                spikes = self._fire(node)
                current = self._integrate(x, node.current_leak, node.bias)
                if node.leaky_reset:
                    self._store(self._decay(self._reset(node, self.membrane, spikes), node.leak) + current)
                else:
                    self._store(self._reset(node, self._decay(self.membrane, node.leak) + current, spikes))
                self._raise_to_minimum(node)
                return spikes
        raise AssertionError(f"{node.kind} is not a soma")

    def _fire(self, node: Neuron) -> Array:
        spikes = fixedpoint.fire(
            self.membrane, self._of(node.threshold), compare=node.compare, spikes=node.spikes,
            max_payload=node.max_payload,
        )  # fmt: skip
        if node.single_spike:
            spikes = np.where(self.fired, np.zeros((), self.dtype), spikes)
            self.fired = self.fired | (spikes != 0)
        return spikes

    def _reset(self, node: Neuron, membrane: Array, spikes: Array) -> Array:
        if node.reset == "subtract":
            subtracted: Array = membrane - spikes * self._of(node.threshold)
            return subtracted
        if node.reset == "set":
            target = np.sign(spikes) * self._of(node.reset_value)
            replaced: Array = np.where(spikes != 0, target, membrane)
            return replaced
        return membrane

    def _raise_to_minimum(self, node: Neuron) -> None:
        if node.membrane_min is not None:
            self.membrane = np.maximum(self.membrane, self._of(node.membrane_min))


def interpret(
    graph: Graph,
    samples: Array,
    *,
    first_sample: int = 0,
    dtype: type[np.generic] | None = None,
    progress: Callable[[int, int], None] | None = None,
    product: Product = linear,
    given: Mapping[str, Array] | None = None,
) -> Trace:
    """Run ``samples``: (N, *shape), the same at every step, or (N, T, *shape).

    ``first_sample`` is the number of the first sample, which stochastic encoders draw by. ``dtype`` may be float64 to
    run an integer graph in floating point (same values while they stay below 2**53). ``progress(done, total)`` is
    called after every time step. ``product`` may compute linear nodes in another way than ``linear``, and populations
    that are ``given`` send these events (N, T, *shape) in place of their own, for those who look into a network (not
    in chip time). InputError where the samples do not fit the graph.
    """
    samples = check_samples(graph, samples)
    integer = graph.stage in ("integer", "mapped")
    number = np.dtype(dtype or (np.int64 if integer else np.float64))
    encoders = {name: encode(graph, name, samples, first_sample) for name in graph.of_kind(*ENCODERS)}
    if graph.stage == "mapped":
        return _stream(graph, {name: events.astype(number) for name, events in encoders.items()}, number, progress)
    machine = _Machine(graph, len(samples), number, product)
    sources = {**encoders, **(given or {})}
    steps = []
    for t in range(graph.timesteps):
        steps.append(machine.step({name: events[:, t].astype(number) for name, events in sources.items()}))
        if progress:
            progress(t + 1, graph.timesteps)
    sent = {name: np.stack([step[name] for step in steps], axis=1) for name in graph.of_kind(*SPIKING, Relu)}
    outputs = {name: _result(graph, name, np.stack([step[name] for step in steps], axis=1)) for name in graph.outputs}
    return Trace(outputs, {**encoders, **sent})


def _stream(
    graph: Graph, encoders: dict[str, Array], number: np.dtype[np.generic], progress: Callable[[int, int], None] | None
) -> Trace:
    """Chip time: one long run of N*T steps plus the depth; somas clear themselves at ``(t - phase) % T == 0``."""
    steps = graph.timesteps
    count = len(next(iter(encoders.values())))
    phases = {name: node.phase for name, node in graph.items() if isinstance(node, Soma)}
    total = count * steps + max(phases.values())
    machine = _Machine(graph, 1, number, linear)
    kept: dict[str, list[Array]] = {name: [] for name in phases}
    for t in range(total):
        for name, phase in phases.items():
            if (t - phase) % steps == 0:
                machine.somas[name].clear()
        sources = {
            name: events[t // steps, t % steps][None] if t < count * steps else np.zeros((1, *events.shape[2:]), number)
            for name, events in encoders.items()
        }
        values = machine.step(sources)
        for name, phase in phases.items():
            if phase <= t < phase + count * steps:
                kept[name].append(values[name][0])
        if progress:
            progress(t + 1, total)
    series = {name: np.stack(rows).reshape(count, steps, *graph.shape(name)) for name, rows in kept.items()}
    sent = {name: series[name] for name in graph.of_kind(*SPIKING)}
    return Trace({name: _result(graph, name, series[name]) for name in graph.outputs}, {**encoders, **sent})


def _result(graph: Graph, name: str, series: Array) -> Array:
    """(N, T, *shape) -> (N, *shape)."""
    if isinstance(graph.node(name), Readout):
        return series[:, -1]
    total: Array = series.sum(axis=1)
    return total


class _Past:
    """What a delay in the network's own time keeps: what its source sent, of any number of steps that still matters.

    ``phase``: when its reader works on a sample, ``wait`` steps after its source; both 0 in logical time.
    """

    def __init__(self, node: Recurrent | AxonDelay, shape: Shape, timesteps: int, wait: int, phase: int) -> None:
        self.delays = per_channel(node.delays, shape)
        self.distinct = [int(delay) for delay in np.unique(self.delays) if delay < timesteps]
        self.timesteps, self.wait, self.phase = timesteps, wait, phase
        self.most_ago = max((wait + delay for delay in self.distinct), default=0)
        self.kept: list[Array] = []  # the newest first

    def arriving(self, step: int, now: Array, nothing: Array) -> Array:
        """What arrives at ``step`` of the run: spikes of the reader's own sample, and ``nothing`` of the one before.
        ``now``: what the source sends at this step, which matters where a delay is none."""
        t = (step - self.phase) % self.timesteps
        arrived = nothing
        for delay in self.distinct:
            ago = self.wait + delay
            if delay <= t and ago <= len(self.kept):
                sent = self.kept[ago - 1] if ago else now
                arrived = np.where(self.delays == delay, sent, arrived)
        return arrived

    def keep(self, sent: Array) -> None:
        self.kept.insert(0, sent)
        del self.kept[self.most_ago :]


class _Machine:
    """All nodes of a graph, stepped together."""

    def __init__(self, graph: Graph, batch: int, number: np.dtype[np.generic], product: Product) -> None:
        self.graph, self.number, self.product = graph, number, product
        self.somas = {
            name: SomaState(node, graph.shape(name), batch, number)
            for name, node in graph.items()
            if isinstance(node, Soma)
        }
        self.lines = {
            name: [np.zeros((batch, *graph.shape(name)), number)] * node.steps
            for name, node in graph.items()
            if isinstance(node, Delay)
        }
        self.pasts = {
            name: _past(graph, name, node) for name, node in graph.items() if isinstance(node, (Recurrent, AxonDelay))
        }
        self.batch, self.steps = batch, 0

    def step(self, given: dict[str, Array]) -> dict[str, Array]:
        """The value of every node, where encoders and other ``given`` nodes have those of this step."""
        values: dict[str, Array] = {}
        for name, node in self.graph.items():
            if isinstance(node, Input):
                continue
            if name in given:
                values[name] = given[name]
                continue
            if name in self.pasts:
                nothing = np.zeros((self.batch, *self.graph.shape(name)), self.number)
                now = values.get(self.graph.inputs(name)[0], nothing)
                values[name] = self.pasts[name].arriving(self.steps, now, nothing)
                continue
            inputs = [values[source] for source in self.graph.inputs(name)]
            if isinstance(node, Soma):
                values[name] = self.somas[name].step(inputs[0])
            elif isinstance(node, Delay):
                values[name] = self.lines[name][0]
                self.lines[name] = [*self.lines[name][1:], inputs[0]]
            else:
                values[name] = self.product(node, *inputs)
        for name, past in self.pasts.items():
            past.keep(values[self.graph.inputs(name)[0]])
        self.steps += 1
        return values


def _past(graph: Graph, name: str, node: Recurrent | AxonDelay) -> _Past:
    wait = phase = 0
    if graph.stage == "mapped" and isinstance(node, Recurrent):
        source = graph.node(graph.inputs(name)[0])
        wait = node.wait
        phase = wait + (source.phase if isinstance(source, Soma) else 0)
    return _Past(node, graph.shape(name), graph.timesteps, wait, phase)
