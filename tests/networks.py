"""Generated networks: Hypothesis strategies of whole graphs, and of samples for them.

Every number in them is a small dyadic fraction (weights are quarters, leaks sixteenths, batch norms scale by powers of
two, average pools have 1, 2, 4, 8 or 16 members), so that float64 computes them without any rounding. Two graphs that
mean the same therefore agree bit for bit, however the sums are ordered: no tolerance, no thresholds passed by an ulp.

``networks`` gives traced graphs. With ``exact=True`` the leaks are 0 or 1 and ``EXACT`` quantizes without any error.
``integer_networks`` and ``mapped_networks`` are carried through the passes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from neurocompile.errors import CapacityError
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import (
    ENCODERS,
    Add,
    Array,
    AvgPool2d,
    AxonDelay,
    BatchNorm,
    Concat,
    Conv2d,
    ConvTranspose2d,
    DctEncoder,
    DirectEncoder,
    Dropout,
    Flatten,
    HybridEncoder,
    Identity,
    Input,
    Linear,
    MaxPool2d,
    Neuron,
    Node,
    Pair,
    PoissonEncoder,
    Readout,
    Recurrent,
    Reshape,
    Scale,
    Shape,
)
from neurocompile.ir.populations import Population
from neurocompile.passes.base import Pass, PassManager
from neurocompile.passes.batchnorm import FuseBatchNorm
from neurocompile.passes.cleanup import RemoveIdentity
from neurocompile.passes.delays import LowerDelays
from neurocompile.passes.maxpool import LowerMaxPool
from neurocompile.passes.pooling import FoldPooling
from neurocompile.passes.projections import SplitProjections
from neurocompile.passes.quantize import Numerics, Quantize
from neurocompile.passes.retime import Retime
from neurocompile.passes.stateless import Stateless
from neurocompile.passes.transposed import LowerTransposed

#: encoders whose values are dyadic fractions, if the samples are
ENCODED = ("direct", "hybrid", "poisson")
#: those that draw no random numbers, and so send the same whatever a sample's number
STEADY = ("direct", "hybrid")

#: from a traced graph to a spiking one
LOWERING: tuple[Pass, ...] = (
    RemoveIdentity(), LowerDelays(), LowerTransposed(), Stateless(), LowerMaxPool(), FuseBatchNorm(), FoldPooling(),
    SplitProjections(),
)  # fmt: skip


@dataclass(frozen=True)
class ExactQuantize(Quantize):
    """Multiplies every weight by 16, which makes integers of those of ``networks(exact=True)``."""

    def _scale(self, population: Population, sizes: Array, bits: int) -> Array:  # noqa: ARG002
        return np.array(16.0)


#: analog input of ``networks(exact=True)`` is in whole numbers up to 127, so that eight bits hold it as it is
EXACT = ExactQuantize(
    Numerics(weight_bits=8, weight_exponent_max=0, payload_bits=8, state_bits=36, accumulator_bits=36)
)


class Builder:
    """Collects nodes and knows their shapes. Arrays come from ``rng``; choices are drawn, so that they shrink."""

    def __init__(
        self, draw: DrawFn, rng: np.random.Generator, steps: int, *, exact: bool, encoders: tuple[str, ...]
    ) -> None:
        self.draw, self.rng, self.steps, self.exact, self.encoders = draw, rng, steps, exact, encoders
        self.nodes: dict[str, tuple[Node, tuple[str, ...]]] = {}
        self.shapes: dict[str, Shape] = {}
        self.closed: set[str] = set()  # neurons that a max pool of currents feeds, to which nothing can be added
        self.depths: dict[str, int] = {}  # how many neurons are passed to get here; what comes back is left out

    def pick(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def add(self, name: str, node: Node, *inputs: str) -> str:
        unique, count = name, 0
        while unique in self.nodes:
            count += 1
            unique = f"{name}{count}"
        self.shapes[unique] = node.output_shape(*(self.shapes[source] for source in inputs))
        self.nodes[unique] = (node, inputs)
        before = max((self.depths[source] for source in inputs), default=0)
        self.depths[unique] = 0 if isinstance(node, Recurrent) else before + isinstance(node, Neuron)
        return unique

    def fractions(self, low: float, high: float, shape: Shape, step: float = 0.25) -> Array:
        """Multiples of ``step`` from ``low`` to ``high``."""
        return self.rng.integers(round(low / step), round(high / step), size=shape, endpoint=True) * step

    def parameter(self, low: float, high: float, shape: Shape, step: float = 0.25) -> Array:
        """A parameter of a soma: one value, one per channel, or one per neuron."""
        return self.fractions(low, high, self.pick((), shape[:1], shape), step)

    # ---------------------------------------------------------------------------------------------- linear pieces

    def nothing(self, source: str) -> str:
        """Sometimes an identity or a dropout behind ``source``."""
        node = self.pick(None, None, None, Identity(), Dropout())
        return source if node is None else self.add("nothing", node, source)

    def late(self, source: str) -> str:
        """Sometimes a delay behind ``source``: of one number of steps, or of one for each channel or neuron; not all
        are so long that nothing ever arrives."""
        shape = self.shapes[source]
        if self.pick(True, True, True, False) or not isinstance(self.nodes[source][0], (Neuron, *ENCODERS)):
            return source
        steps = self.rng.integers(0, 4, self.pick((), shape[:1], shape))
        return self.add("late", AxonDelay(steps=steps if steps.min() < self.steps else steps - steps.min()), source)

    def conv(self, source: str, channels: int | None = None, *, same: bool = False, kernel: Pair | None = None) -> str:
        """A convolution; ``same`` keeps height and width."""
        within, height, width = self.shapes[source]
        kernel = kernel or self.pick((3, 3), (1, 1), (2, 3))
        if same:
            kernel, dilation, stride = self.pick((3, 3), (1, 1), (3, 1)), (1, 1), (1, 1)
            padding = (kernel[0] // 2, kernel[1] // 2)
        else:
            dilation = self.pick((1, 1), (1, 1), (2, 1))
            stride = self.pick((1, 1), (2, 2), (1, 2))
            padding = self.pick((0, 0), (1, 1), (0, 1))
        reach = tuple(each * (size - 1) + 1 for each, size in zip(dilation, kernel, strict=True))
        if reach[0] > height + 2 * padding[0] or reach[1] > width + 2 * padding[1]:
            kernel, dilation = (1, 1), (1, 1)
        channels = channels or self.pick(2, 1, 4, 3)
        groups = self.pick(1, 2, 2) if within % 2 == 0 and channels % 2 == 0 else 1
        weight = self.weights((channels, within // groups, *kernel))
        bias = self.pick(None, self.fractions(-1, 1, (channels,)))
        return self.add(
            "conv",
            Conv2d(weight=weight, bias=bias, stride=stride, padding=padding, dilation=dilation, groups=groups),
            source,
        )

    def linear(self, source: str, features: int) -> str:
        if len(self.shapes[source]) > 1:
            source = self.add("flatten", Flatten(), source)
        weight = self.weights((features, *self.shapes[source]))
        return self.add("linear", Linear(weight=weight, bias=self.pick(None, self.fractions(-1, 1, weight.shape[:1]))),
                        source)  # fmt: skip

    def weights(self, shape: Shape) -> Array:
        """A third of them zero, a channel sometimes silent."""
        step = 1.0 if self.exact else 0.25
        weight = self.fractions(-2, 2, shape, step) * (self.rng.random(shape) < 0.7)
        if self.pick(False, False, False, True):
            weight[0] = 0
        return weight

    def pool(self, source: str, *, padded: bool) -> str:
        """An average pool, where an image is large enough."""
        shape = self.shapes[source]
        if len(shape) != 3 or min(shape[1:]) < 2:
            return source
        kernel = self.pick((2, 2), (1, 2), (2, 1))
        padding = self.pick((0, 0), (kernel[0] // 2, kernel[1] // 2)) if padded else (0, 0)
        return self.add("pool", AvgPool2d(kernel=kernel, stride=self.pick(kernel, (1, 1)), padding=padding), source)

    def largest(self, source: str) -> str:
        """A max pool, where an image is large enough."""
        shape = self.shapes[source]
        if len(shape) != 3 or min(shape[1:]) < 3:
            return source
        kernel = self.pick((2, 2), (3, 2), (1, 2))
        node = MaxPool2d(
            kernel=kernel, stride=self.pick(kernel, (1, 1), (2, 2)), padding=self.pick((0, 0), (0, 1)),
            dilation=self.pick((1, 1), (1, 1), (1, 2)),
        )  # fmt: skip
        return self.add("largest", node, source)

    def norm(self, source: str) -> str:
        """A batch norm whose factor is a power of two, of any sign, or zero."""
        channels = self.shapes[source][:1]
        deviation = self.rng.choice([0.5, 1.0, 2.0], channels)
        signs = self.pick([1.0, 0.5, -1.0], [1.0, -1.0, 0.0])
        gamma = self.rng.choice([sign for sign in signs if not self.exact or sign != 0.5], channels)
        if self.exact:
            deviation = np.ones(channels)
        mean = self.fractions(-1, 1, channels)
        node = BatchNorm(
            gamma=gamma, beta=self.fractions(-1, 1, channels), mean=mean, variance=deviation**2 - 0.25, epsilon=0.25
        )
        return self.add("norm", node, source)

    # -------------------------------------------------------------------------------------------- somas and blocks

    def encoder(self, source: str) -> str:
        kind = self.pick(*self.encoders)
        if kind == "poisson":
            return self.add(kind, PoissonEncoder(gain=self.pick(1.0, 0.5), seed=self.pick(0, 7)), source)
        if kind == "hybrid":
            low, high = (-127.0, 127.0) if self.exact else self.pick((0.0, 1.0), (-1.0, 1.0), (-0.25, 0.25))
            return self.add(kind, HybridEncoder(timesteps=self.steps, minimum=low, maximum=high), source)
        sides = self.shapes[source][1:]
        if kind == "dct" and math.gcd(*sides) > 1:
            return self.add(kind, DctEncoder(block=math.gcd(*sides)), source)
        return self.add("direct", DirectEncoder(limit=127.0 if self.exact else 1.0), source)

    def leak(self, shape: Shape) -> Array:
        if self.exact:
            return self.rng.integers(0, 1, size=self.pick((), shape[:1], shape), endpoint=True).astype(np.float64)
        return self.pick(np.array(1.0), np.array(0.0), self.parameter(0, 1, shape, 1 / 16))

    def neuron(self, source: str, *, plain: bool = False) -> str:
        """A neuron with any choice, some of them recurrent; ``plain``: binary spikes."""
        shape = self.shapes[source]
        reset = self.pick("subtract", "set", "none")
        node = Neuron(
            threshold=self.parameter(0.25, 3, shape),
            leak=self.leak(shape),
            current_leak=self.pick(np.array(0.0), self.leak(shape)),
            bias=self.pick(np.array(0.0), self.parameter(-1, 1, shape)),
            reset_value=self.parameter(-1, 1, shape) if reset == "set" else np.array(0.0),
            order=self.pick("integrate_first", "integrate_first", "fire_first"),
            compare=self.pick("above", "at_or_above"),
            reset=reset,
            leaky_reset=True if reset == "none" else self.pick(True, False),
            membrane_min=self.pick(None, None, self.parameter(-2, 0, shape)),
            spikes="binary" if plain else self.pick("binary", "binary", "signed", "graded"),
            max_payload=self.pick(1, 3, 7),
            single_spike=self.pick(False, False, True),
        )
        name = self.add("neuron", node, source)
        if self.pick(False, False, True):
            self.bring_back(name, name)
        if self.pick(False, False, True):
            self.bring_back_far(name)
        return name

    def bring_back_far(self, sender: str) -> None:
        """To an earlier neuron of the same shape, if there is one, as late as a chip needs it to be."""
        somas = [name for name, (node, _) in self.nodes.items() if isinstance(node, Neuron) and name not in self.closed]
        soma = self.pick(*(name for name in somas if self.shapes[name] == self.shapes[sender]))
        self.bring_back(sender, soma, self.depths[sender] - self.depths[soma] + self.pick(1, 1, 2))

    def bring_back(self, sender: str, soma: str, steps: int = 1) -> None:
        """A recurrent projection, from everyone to everyone of their vicinity or one to one."""
        shape = self.shapes[sender]
        extra = self.rng.integers(0, 3, self.pick(shape[:1], shape))
        mixed = self.pick(False, False, True) and extra.max() > extra.min()
        axon_steps = extra - extra.min() if mixed else None
        back = self.nothing(self.add("back", Recurrent(shape=shape, steps=steps, axon_steps=axon_steps), sender))
        if self.pick(True, False):
            weight = self.fractions(-2, 2, self.pick((), shape[:1], shape), 1.0 if self.exact else 0.25)
            back = self.add("scale", Scale(weight=weight), back)
        else:
            image, channels = len(shape) == 3, self.shapes[soma][0]
            back = self.norm(back) if self.pick(False, False, True) else back
            back = self.conv(back, channels, same=True) if image else self.linear(back, math.prod(shape))
            back = self.add("line", Reshape(shape=shape), back) if len(shape) == 2 else back
            back = self.norm(back) if self.pick(False, False, True) else back
        node, (source,) = self.nodes[soma]
        self.nodes[soma] = (node, (self.add("add", Add(), source, back),))

    def visual(self, source: str) -> str:
        """conv -> [norm] -> neuron -> max pool -> [max pool]; of one time step the pool may stand before the neuron."""
        if len(self.shapes[source]) != 3:
            return self.layer(source)
        x = self.conv(source, same=True)
        x = self.norm(x) if self.pick(False, True) else x
        if self.steps == 1 and self.pick(True, False):
            x = self.largest(self.largest(self.nothing(x)) if self.pick(True, False) else x)
            x = self.norm(x) if self.pick(False, True) else x
            node = Neuron(
                threshold=self.fractions(0.25, 3, self.pick((), self.shapes[x][:1])),
                bias=self.fractions(-1, 1, self.pick((), self.shapes[x][:1])),
                compare=self.pick("above", "at_or_above"),
            )  # fmt: skip
            name = self.add("neuron", node, x)
            self.closed.add(name)
            return name
        x = self.largest(self.nothing(self.neuron(x, plain=True)))
        x = self.largest(x) if self.pick(False, False, True) else x
        return self.layer(self.norm(x) if self.pick(False, False, True) else x)

    def enlarged(self, source: str) -> str:
        """[join ->] transposed convolution -> [norm] [pool] -> neuron, where an image is small enough."""
        shape = self.shapes[source]
        if len(shape) != 3 or math.prod(shape) > 64:
            return self.layer(source)
        x = self.norm(source) if self.pick(False, False, True) else source
        kernel, dilation = self.pick((2, 2), (3, 2), (4, 4), (1, 1)), self.pick((1, 1), (1, 1), (2, 1))
        stride = self.pick((2, 2), (1, 2), (2, 3))
        sizes = [
            step * (size - 1) + d * (k - 1) + 1
            for step, size, d, k in zip(stride, shape[1:], dilation, kernel, strict=True)
        ]
        pads = self.pick((0, 0), (1, 1), (1, 0))
        padding = tuple(pad if size > 2 * pad else 0 for pad, size in zip(pads, sizes, strict=True))
        groups = self.pick(1, 2) if shape[0] % 2 == 0 else 1
        weight = self.weights((shape[0], self.pick(1, 2), *kernel))
        node = ConvTranspose2d(
            weight=weight, bias=self.pick(None, self.fractions(-1, 1, (weight.shape[1] * groups,))),
            stride=stride, padding=(padding[0], padding[1]), output_padding=self.pick((0, 0), (0, 1)),
            dilation=dilation, groups=groups,
        )  # fmt: skip
        x = self.add("enlarged", node, self.nothing(x))
        x = self.norm(x) if self.pick(False, True) else x
        return self.neuron(self.pool(x, padded=False) if self.pick(False, False, True) else x)

    def layer(self, source: str) -> str:
        """source -> [pool] [norm] -> conv or linear -> [norm] [pool] [flatten] -> neuron."""
        image = len(self.shapes[source]) == 3
        x = self.nothing(self.late(source))
        if image and self.pick(False, True):
            x = self.pool(x, padded=True)
        convolve = image and self.pick(True, True, False)
        if self.pick(False, False, True):
            x = self.norm(x)
        x = self.conv(x) if convolve else self.linear(x, self.pick(1, 3, 5))
        if self.pick(True, True, False):
            x = self.norm(self.nothing(x))
        if convolve and self.pick(False, True):
            x = self.pool(self.nothing(x), padded=False)
        if convolve and self.pick(False, False, True):
            x = self.add("flatten", Flatten(), x)
        return self.neuron(self.nothing(x))

    def joined(self, source: str) -> str:
        """A dense block: what a layer sends beside what it read, or the sums of two layers side by side; then a pool, a
        batch norm, and a layer or nothing but the neuron."""
        image = len(self.shapes[source]) == 3
        if len(self.shapes[source]) == 2:
            source = self.add("flatten", Flatten(), source)
        if self.pick(True, False):
            mine = self.conv(source, same=True) if image else self.linear(source, self.pick(1, 4))
            parts = [source, self.neuron(mine)]
        else:
            parts = [self.conv(source, same=True) if image else self.linear(source, size) for size in (2, 3)]
        x = self.add(
            "join", Concat(), *self.draw(st.permutations(parts)), *([source] if self.pick(False, True) else [])
        )
        if image and self.pick(False, True):
            x = self.pool(x, padded=False)
        if self.pick(False, True):
            x = self.norm(x)
        if not self.sends(*parts):
            return self.neuron(x)
        layer = self.pick(None, self.conv if image else None, self.linear)
        if layer is not None:
            x = self.linear(x, self.pick(1, 4)) if layer == self.linear else self.conv(x)
        return self.neuron(x)

    def sends(self, *names: str) -> bool:
        """Whether all of them are encoders or neurons, so that weights may follow."""
        return all(isinstance(self.nodes[name][0], (Neuron, *ENCODERS)) for name in names)

    def sequence(self, source: str) -> str:
        """A convolution along one axis, between neurons whose channels have one axis."""
        x = source
        if len(self.shapes[source]) == 3 and self.pick(True, False):
            channels, *size = self.shapes[source]
            x = self.neuron(self.add("line", Reshape(shape=(channels, size[0] * size[1])), source))
        channels, *size = self.shapes[x]
        x = self.add("map", Reshape(shape=(channels, 1, math.prod(size))), x)
        if self.shapes[x][2] > 1 and self.pick(False, True):
            x = self.add("pool", AvgPool2d(kernel=(1, 2), stride=(1, 1), padding=(0, self.pick(0, 1))), x)
        x = self.conv(x, kernel=self.pick((1, 1), (1, 3), (1, 2)))
        x = self.norm(x) if self.pick(False, True) else x
        channels, height, width = self.shapes[x]
        x = self.add("line", Reshape(shape=self.pick((channels, height * width), (channels * height * width,))), x)
        return self.neuron(x)

    def unfolded(self, source: str) -> str:
        """A linear layer whose outputs become a map, as decoders begin."""
        shape = self.pick((2, 2, 2), (1, 3, 2), (3, 2))
        x = self.add("unfold", Reshape(shape=shape), self.linear(source, math.prod(shape)))
        return self.neuron(self.norm(x) if self.pick(False, True) else x)

    def residual(self, source: str) -> str:
        """conv -> neuron -> conv + skip -> neuron; the skip is the source itself or a strided 1x1 convolution."""
        if len(self.shapes[source]) != 3:
            return self.layer(source)
        channels = self.shapes[source][0]
        source = self.late(source)
        x = self.conv(source, channels, same=True)
        if self.pick(False, True):
            x = self.neuron(x)
        else:
            x = self.norm(x)
            return self.neuron(self.add("add", Add(), x, source))
        if self.pick(False, True):
            return self.neuron(self.add("add", Add(), self.conv(x, channels, same=True), source))
        wide = self.pick(1, 2, 4)
        stride = self.pick((2, 2), (1, 2))
        down = [
            self.norm(self.add("conv", Conv2d(weight=self.weights((wide, channels, 1, 1)), stride=stride), each))
            for each in (x, source)
        ]
        return self.neuron(self.add("add", Add(), *down))

    def shared(self, source: str) -> str:
        """One layer read by two neurons, whose spikes are added; sometimes the second inhibits or excites the first."""
        image = len(self.shapes[source]) == 3
        x = self.conv(source) if image else self.linear(source, self.pick(2, 4))
        x = self.norm(x) if self.pick(False, False, True) else x
        ends = [self.neuron(x, plain=True), self.neuron(x)]
        if self.pick(False, False, True):
            self.bring_back(ends[1], ends[0])
        return self.add("add", Add(), *ends, *([ends[0]] if self.pick(False, False, True) else []))


@st.composite
def networks(
    draw: DrawFn,
    *,
    timesteps: int | None = None,
    exact: bool = False,
    encoders: tuple[str, ...] = ENCODED,
    readout: bool | None = None,
    depth: int = 3,
) -> Graph:
    """A traced graph; see the module. ``encoders``: those to draw from; what "dct" sends is no dyadic fraction.
    ``readout``: whether it ends in one (None: either)."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = timesteps or draw(st.sampled_from((1, 2, 3, 4, 6)))
    build = Builder(draw, rng, steps, exact=exact, encoders=encoders)
    image = build.pick(True, True, False)
    shape = (build.pick(1, 2, 2, 3), build.pick(3, 4, 6, 8), build.pick(3, 5, 6)) if image else (build.pick(1, 4, 6),)
    x = build.encoder(build.add("input", Input(shape=shape)))
    for _ in range(build.pick(*range(1, depth + 1), 0)):
        x = build.pick(
            build.layer, build.layer, build.residual, build.residual, build.shared, build.joined, build.sequence,
            build.unfolded, build.visual, build.enlarged,
        )(x)  # fmt: skip
    outputs: list[str] = []
    if readout if readout is not None else build.pick(True, False):
        x = build.linear(build.pool(x, padded=True) if build.pick(False, True) else x, build.pick(1, 3))
        leak, current_leak = build.leak(build.shapes[x]), build.pick(np.array(0.0), build.leak(build.shapes[x]))
        bias = build.pick(np.array(0.0), build.parameter(-1, 1, build.shapes[x]))
        outputs.append(build.add("readout", Readout(leak=leak, current_leak=current_leak, bias=bias), x))
    else:
        outputs.append(build.layer(x))
    somas = [name for name, (node, _) in build.nodes.items() if isinstance(node, Neuron) and name not in outputs]
    if somas and build.pick(False, False, True):
        outputs.append(build.pick(*somas))
    triples = [(name, node, inputs) for name, (node, inputs) in build.nodes.items()]
    return Graph("generated", "traced", steps, triples, tuple(outputs))


@st.composite
def samples_for(draw: DrawFn, graph: Graph, *, most: int = 3) -> Array:
    """Samples (N, *shape), or (N, T, *shape) where the encoder takes them, in eighths of [-1, 1]; whole numbers up to 3
    where the input is exact."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lead: Shape = (draw(st.integers(1, most)),)
    if draw(st.booleans()) and not graph.of_kind(HybridEncoder, DctEncoder):
        lead = (*lead, graph.timesteps)
    (name,) = graph.of_kind(Input)
    encoders = [graph.node(each) for each in graph.of_kind(DirectEncoder, HybridEncoder)]
    whole = any(isinstance(node, (DirectEncoder, HybridEncoder)) and node.expected[1] > 1 for node in encoders)
    return rng.integers(-3 if whole else -8, 4 if whole else 9, size=(*lead, *graph.shape(name))) / (1 if whole else 8)


def lower(graph: Graph) -> Graph:
    """From traced to spiking."""
    return PassManager(LOWERING).run(graph)


@st.composite
def numerics(draw: DrawFn, **fixed: Any) -> Numerics:
    """Widths of a chip, wide enough for the generated networks."""
    return Numerics(
        **{
            "weight_bits": draw(st.integers(1, 8)),
            "payload_bits": draw(st.sampled_from((4, 8))),
            "fraction_bits": draw(st.sampled_from((0, 6))),
            "fraction_bits_fixed": draw(st.booleans()),
            "state_bits": 32,
            "threshold_bits": 24,
            "accumulator_bits": 24,
            "membrane_overflow": draw(st.sampled_from(("clip", "wrap"))),
        }
        | fixed
    )


@st.composite
def integer_networks(draw: DrawFn, widths: SearchStrategy[Numerics] | None = None, **options: Any) -> Graph:
    """A graph of stage "integer"; ``options`` are those of ``networks``. ``widths`` must be ample: what does not fit
    is drawn anew, which Hypothesis complains about when it is frequent."""
    graph = lower(draw(networks(**{"encoders": (*ENCODED, "dct"), **options})))
    chosen = draw(numerics() if widths is None else widths)
    try:
        return PassManager((Quantize(chosen),)).run(graph)
    except CapacityError:
        reject()


@st.composite
def mapped_networks(draw: DrawFn, **options: Any) -> tuple[Graph, Graph]:
    """(integer graph, the same in chip time)."""
    graph = draw(integer_networks(**options))
    return graph, PassManager((Retime(),)).run(graph)
