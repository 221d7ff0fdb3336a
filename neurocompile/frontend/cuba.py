"""Chains of Loihi's CUBA neurons, as lava-dl trains and exchanges them, as integer graphs.

lava-dl quantizes while it trains, so there is no float network behind these: what is read is the integer network
itself. Its arithmetic is that of Loihi and of Lava's fixed-point ``LIF``. With a spike's sum of weights x, decays d of
4096, and everything in units of 1/64 of a weight::

    u = trunc(u * (4096 - iDecay) / 4096) + 64*x       wraps at 24 bits
    v = trunc(v * (4096 - vDecay) / 4096) + u + 64*b   clipped to 24 bits
    s = v > 64*vThMant;  v = 0 where s

lava-dl and Lava let each layer take one time step; a graph's layers all run within one, and mapping gives them their
phases. So a layer fires at step t of a presentation where Lava's fires at step t + its depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from neurocompile.errors import GraphError
from neurocompile.ir.bounds import input_range, state_range
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import (
    Add,
    Array,
    Conv2d,
    DirectEncoder,
    Encoder,
    FixedPoint,
    Flatten,
    Input,
    Linear,
    Neuron,
    Node,
    Pair,
    Readout,
    Recurrent,
    Scale,
    Shape,
    Soma,
    SumPool2d,
    magnitude,
    per_channel,
)
from neurocompile.ir.populations import populations
from neurocompile.ir.verify import verify

FRACTION_BITS = 6  # of a state, below the weight's unit
DECAY_ONE = 4096
_UNIT = 1 / (1 << FRACTION_BITS)  # of a state, in weights
#: the highest threshold that Loihi has; lava-dl gives it (or the next power) to neurons that are to integrate only
HIGHEST_THRESHOLD = (1 << 17) - 1
_LARGEST_THRESHOLD = 1 << 18
_LARGEST_BIAS = 1 << 12  # Lava's mantissa has 13 bits, sign included
_WIDEST_SUM = 40  # in bits, which the IR computes exactly in any unit of a state


@dataclass(frozen=True)
class Cuba:
    """A layer's neurons, in the device's numbers. Decays are whole numbers of 0 to 4096, () or (channels,);
    ``threshold`` is vThMant, None where they integrate and never fire. ``fraction_bits``: how far a sum of weights is
    shifted to enter the state, whose unit stays 1/64 of a weight."""

    current_decay: Array
    voltage_decay: Array
    threshold: int | None
    fraction_bits: int = FRACTION_BITS

    def check(self, layer: str) -> None:
        """GraphError where a number is beyond what the device has."""
        for name, decay in (("current (iDecay)", self.current_decay), ("voltage (vDecay)", self.voltage_decay)):
            if decay.min() < 0 or decay.max() > DECAY_ONE:
                raise GraphError(
                    f"{layer}: its {name} decay ranges from {decay.min()} to {decay.max()}; it must lie in 0 to "
                    f"{DECAY_ONE}, so mend the file"
                )
        if self.threshold is not None and not 0 <= self.threshold <= _LARGEST_THRESHOLD:
            raise GraphError(
                f"{layer}: its threshold (vThMant) is {self.threshold}; it must lie in 0 to {_LARGEST_THRESHOLD}, so "
                "mend the file"
            )


#: what a dense layer has where none is given: all input is summed, and no sum can pass the threshold
INTEGRATOR = Cuba(np.array(0), np.array(DECAY_ONE), None)


@dataclass
class Chain:
    """Layers from the input to the output, added one by one; ``finish`` gives the graph.

    ``names``: what nodes shall be called instead of what they are called here. ``encoder``: of the input, where nothing
    else says it (None: spikes, 0 or 1). ``unit``: what one of a readout's membrane is to who reads it, where that is
    known. Every method may raise GraphError, which names the layer.
    """

    name: str
    timesteps: int
    names: dict[str, str] = field(default_factory=dict)
    encoder: Encoder | None = None
    unit: float | None = None
    _nodes: list[tuple[str, Node, tuple[str, ...]]] = field(default_factory=list)
    _end: str = ""
    _shape: Shape = ()
    _flat: bool = False
    _delays: Array | None = None

    @property
    def shape(self) -> Shape:
        """What the next layer reads."""
        return (int(np.prod(self._shape)),) if self._flat else self._shape

    @property
    def started(self) -> bool:
        return bool(self._nodes)

    def start(self, shape: Shape, encoder: Encoder | None = None) -> None:
        """Where samples of ``shape`` enter."""
        encoder = encoder or self.encoder or DirectEncoder(scale=1.0, low=0, high=1)
        self._nodes = [("input", Input(shape=shape), ()), ("spikes", encoder, ("input",))]
        self._end, self._shape = "spikes", shape

    def flatten(self) -> None:
        """Let the next layer read a vector."""
        self._flat = True

    def layer(
        self,
        layer: str,
        operators: Sequence[tuple[str, Node]],
        neuron: Cuba,
        *,
        bias: Array | None = None,
        current_bias: Array | None = None,
        recurrent: Array | None = None,
        delays: Array | None = None,
        input_delays: Array | None = None,
    ) -> None:
        """A population called ``layer``. ``operators``: (name, node) from what is read to the neurons, one of them
        weighted. ``bias``, which goes into the membrane, and ``current_bias``, which goes into the current: in units of
        the state, () or (channels,) or one per neuron. ``recurrent``: (neurons, neurons), from its own spikes of the
        step before. ``delays``: of its axons, in steps; ``input_delays``: of those that it reads.
        """
        neuron.check(layer)
        total = np.zeros((), np.int64) if current_bias is None else current_bias.astype(np.int64)
        if bias is not None and bias.any():
            if neuron.current_decay.min() < DECAY_ONE:
                raise GraphError(
                    f"{layer}: it has a bias, which lava-dl adds to the membrane, and a current that decays by "
                    f"{int(neuron.current_decay.min())}/{DECAY_ONE} a step, through which this compiler's bias would "
                    "run; train without norm, or with current_decay=1"
                )
            total = total + bias.astype(np.int64)
        if magnitude(total) >= _LARGEST_BIAS << FRACTION_BITS:
            raise GraphError(
                f"{layer}: it has a bias of {magnitude(total) >> FRACTION_BITS}, limit {_LARGEST_BIAS - 1}, which is "
                "what Lava's mantissa holds; train with smaller biases"
            )
        if input_delays is not None:
            own = np.zeros((), np.int64) if self._delays is None else self._delays
            every = np.broadcast_to(per_channel(own, self._shape), self._shape)
            self._delays = every.ravel() + input_delays
        self._project(layer, operators)
        if recurrent is not None:
            self._recur(layer, recurrent)
        leak = (DECAY_ONE - neuron.voltage_decay).astype(np.int64)
        current_leak = (DECAY_ONE - neuron.current_decay).astype(np.int64)
        fixed = FixedPoint(fraction_bits=neuron.fraction_bits, accumulator_bits=_WIDEST_SUM)
        if neuron.threshold is None:
            soma: Soma = Readout(leak=leak, current_leak=current_leak, bias=total, fixed=fixed, unit=self.unit or _UNIT)
        else:
            soma = Neuron(
                # thresholds are positive; an integer above zero is at least one
                threshold=np.array(neuron.threshold << FRACTION_BITS or 1),
                compare="above" if neuron.threshold else "at_or_above",
                leak=leak,
                current_leak=current_leak,
                bias=total,
                reset="set",
                reset_value=np.zeros((), np.int64),
                fixed=fixed,
            )
        self._add(layer, soma, self._end)
        self._delays = delays

    def average(self, layer: str, groups: int) -> None:
        """The mean rate of ``groups`` groups of neurons, as a readout that counts their spikes."""
        self.flatten()
        (neurons,) = self.shape
        if groups < 1 or neurons % groups:
            raise GraphError(f"{layer}: {neurons} neurons cannot be averaged in {groups} groups of one size")
        size = neurons // groups
        self._project(layer, [(f"{layer}.synapse", linear(np.repeat(np.eye(groups, dtype=np.int64), size, axis=1)))])
        soma = Readout(
            leak=np.array(DECAY_ONE),
            current_leak=np.zeros((), np.int64),
            bias=np.zeros((), np.int64),
            fixed=FixedPoint(fraction_bits=FRACTION_BITS, accumulator_bits=_WIDEST_SUM),
            unit=self.unit or _UNIT / size,
        )
        self._add(layer, soma, self._end)

    def finish(self) -> Graph:
        """The integer graph, which ends in the last layer's spikes, or in its membrane where it never fires."""
        if self._delays is not None and self._delays.any():
            raise GraphError(
                f"{self._end}: its axons delay spikes by up to {int(self._delays.max())} time steps, and it is the "
                "last layer, which nothing reads; give it delay=False"
            )
        named = [
            (self._named(name), node, tuple(self._named(each) for each in reads)) for name, node, reads in self._nodes
        ]
        graph = _with_readout(
            Graph(self.name, "integer", self.timesteps, named, (self._named(self._end),)), self.unit or _UNIT
        )
        draft = graph.edit()
        for population in populations(graph):
            bits = input_range(graph, population).bits
            if bits > _WIDEST_SUM:
                raise GraphError(f"{population.name}: its sums of inputs need {bits} bits, limit {_WIDEST_SUM}")
            assert population.soma.fixed is not None
            fixed = replace(population.soma.fixed, accumulator_bits=bits)
            draft.replace(population.name, replace(population.soma, fixed=fixed))
        graph = draft.finish()
        verify(graph)
        return graph

    def _named(self, name: str) -> str:
        return self.names.get(name, name)

    def _add(self, name: str, node: Node, *reads: str) -> None:
        self._nodes.append((name, node, reads))
        self._end = name
        self._shape = _output_shape(name, node, self._shape)

    def _project(self, layer: str, operators: Sequence[tuple[str, Node]]) -> None:
        if isinstance(self._nodes[-1][1], Readout):
            raise GraphError(
                f"{layer}: it reads {self._end}, which integrates and never fires; give that neurons that fire, or end "
                "the network there"
            )
        self._delayed()
        if self._flat and len(self._shape) > 1:
            self._add(f"{layer}.flatten", Flatten(), self._end)
        self._flat = False
        for name, node in operators:
            self._add(name, node, self._end)

    def _recur(self, layer: str, weight: Array) -> None:
        """The sum of what comes forward, which is at the end, and what the layer's own spikes bring back."""
        forward = self._end
        self._nodes += [
            (f"{layer}.before", Recurrent(shape=self._shape), (layer,)),
            (f"{layer}.recurrent", linear(weight), (f"{layer}.before",)),
        ]
        self._add(f"{layer}.sum", Add(), forward, f"{layer}.recurrent")

    def _delayed(self) -> None:
        """What the last layer sent reaches the next one later, by each neuron's own number of steps."""
        delays, self._delays = self._delays, None
        if delays is None or not delays.any():
            return
        # what takes as long as a presentation never arrives, and need not be remembered for longer
        delays = np.minimum(delays.astype(np.int64), self.timesteps)
        if delays.size == np.prod(self._shape):  # of each neuron, not of each channel
            delays = delays.reshape(self._shape)
        least = int(delays.min())
        extra = delays - least
        past = Recurrent(shape=self._shape, steps=least, axon_steps=extra if extra.any() else None)
        self._add(f"{self._end}.delay", past, self._end)


def _output_shape(name: str, node: Node, shape: Shape) -> Shape:
    try:
        return node.output_shape(shape)
    except GraphError as error:
        raise GraphError(f"{name}: {error}") from None


def _with_readout(graph: Graph, unit: float) -> Graph:
    """``graph`` with a readout for its last neurons, where these have the highest threshold and can never pass it:
    lava-dl's layers that are to integrate only."""
    (output,) = graph.outputs
    soma = graph.node(output)
    assert isinstance(soma, (Neuron, Readout))
    if isinstance(soma, Readout) or soma.threshold.max() < HIGHEST_THRESHOLD << FRACTION_BITS:
        return graph
    if graph.consumers(output):
        return graph  # its spikes come back to it
    draft = graph.edit()
    readout = Readout(leak=soma.leak, current_leak=soma.current_leak, bias=soma.bias, fixed=soma.fixed, unit=unit)
    draft.replace(output, readout)
    integrates = draft.finish()
    population = populations(integrates)[-1]
    _, membrane = state_range(population, input_range(integrates, population), graph.timesteps)
    fixed = population.soma.fixed
    assert fixed is not None
    highest = min(int(membrane.high.max()), (1 << (fixed.state_bits - 1)) - 1)
    return integrates if highest <= soma.threshold.min() else graph


# ------------------------------------------------------------------------------------------------------------- weights


def _factored(weight: Array) -> tuple[Array, int, int]:
    """Integer ``weight`` as codes, their bits (two's complement) and the power of two that they are multiplied by."""
    weight = weight.astype(np.int64)
    union = int(np.bitwise_or.reduce(np.abs(weight), axis=None))
    exponent = min((union & -union).bit_length() - 1, 15) if union else 0
    codes = weight >> exponent
    bits = max(2, max(int(codes.max()), 0).bit_length() + 1, max(int(-codes.min() - 1), 0).bit_length() + 1)
    return codes.astype(np.int8 if bits <= 8 else np.int32), bits, exponent


def linear(weight: Array) -> Linear:
    """Whole ``weight`` (out, in)."""
    codes, bits, exponent = _factored(weight)
    return Linear(weight=codes, weight_bits=bits, weight_exponent=exponent)


def conv(
    weight: Array, *, stride: Pair = (1, 1), padding: Pair = (0, 0), dilation: Pair = (1, 1), groups: int = 1
) -> Conv2d:
    """Whole ``weight`` (out, in / groups, height, width)."""
    codes, bits, exponent = _factored(weight)
    return Conv2d(
        weight=codes, stride=stride, padding=padding, dilation=dilation, groups=groups, weight_bits=bits,
        weight_exponent=exponent,
    )  # fmt: skip


def scale(weight: Array) -> Scale:
    """Whole ``weight``, element by element."""
    codes, bits, exponent = _factored(weight)
    return Scale(weight=codes, weight_bits=bits, weight_exponent=exponent)


def pool(layer: str, weight: int, kernel: Pair, shape: Shape) -> list[tuple[str, Node]]:
    """lava-dl's pool of ``shape``: sums of windows that do not overlap, times ``weight``.

    It appends ``size % kernel`` rows and columns of zeros, whether these complete a window or not. GraphError where it
    would mix channels, which it stacks on top of each other.
    """
    channels, height, width = shape
    rows, columns = height % kernel[0], width % kernel[1]
    if (height + rows) % kernel[0]:
        raise GraphError(
            f"{layer}: lava-dl pools {height} rows in windows of {kernel[0]} across the borders of channels; give it a "
            f"multiple of {kernel[0]} rows"
        )
    if 2 * columns < kernel[1]:
        columns = 0  # they complete no window, and what is left over counts nowhere
    if not rows and not columns:
        sums = SumPool2d(kernel=kernel, stride=kernel)
        return [(f"{layer}.pool", sums), (f"{layer}.synapse", scale(np.array(weight)))]
    # zeros at the end only: a kernel that begins with as many empty rows, behind the same number on either side
    taps = np.zeros((channels, 1, kernel[0] + rows, kernel[1] + columns), np.int64)
    taps[:, :, rows:, columns:] = weight
    return [(f"{layer}.synapse", conv(taps, stride=kernel, padding=(rows, columns), groups=channels))]
