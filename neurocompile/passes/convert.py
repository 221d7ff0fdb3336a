"""An artificial network (ANN) becomes a spiking one whose spike counts stand for activations.

Each ReLU becomes a neuron without leak that fires where its membrane reaches the threshold v and keeps what is above it
(reset by subtraction: Rueckauer et al. 2017). Its T steps with the inputs x[t], from u = 0, add up to

    v * (number of spikes) = sum of x[t] - u[T]                                                               (1)

So let a spike have the size v: ``Scale(v)`` stands behind each neuron. The mean of what its readers see is v times the
rate of firing, which by (1) is the mean input up to u[T]/T, as far as that lies in [0, v]; a neuron whose mean input is
below 0 is silent in the long run, and above v it fires at every step. All else between two ReLUs is linear, so means
pass it as values pass the ANN: weights and biases stay as they are (a bias counts at every step, as activations do),
and the branches of an Add or a Concat may have thresholds of their own, since each brings its activations in the ANN's
own unit. A readout adds up T times the ANN's result. The sizes are no extra work: ``split_projections`` multiplies them
into the weights behind. (Dividing each neuron's weights by its threshold gives thresholds of one and the weights
``w * v_before / v``: the weight normalisation of Diehl et al. 2015 and Rueckauer et al. 2017 is the same network.)

How far can it be off? Let an input stay within D of its course: ``|x[1] + ... + x[t] - t*a| <= D`` for all t, and let
0 <= a <= v. After a spike u >= 0, and from there it falls by 2D at most; while u >= v there is a spike at each step, so
it rises by 2D at most: ``-2D <= u[t] < v + 2D``. By (1) what a neuron sends stays within ``v + 3D`` of its course; so
does that of a neuron with a < 0, whose course is 0. Constant input has D = 0, weights multiply by their magnitudes, and
a sum adds. Hence, layer by layer, a bound c for every neuron and output of a network without max pools, which depends
on weights and thresholds alone: ``|v * rate - a| <= c / T``. The first layer's is c = v, and its spikes are counted
exactly: floor(T*a / v).

What is left to choose is v. Too small cuts activations off at v; too large lets neurons count in coarse steps v/T.

- "max": the largest activation of the layer on the calibration samples (Diehl et al. 2015);
- "percentile": that percentile of its activations above zero: one outlier does not set it (Rueckauer et al. 2017);
- "sequential": the largest input at any one step to the layer in the network of neurons that was made so far, running
  on the samples for T steps (Rathi et al. 2020, Algorithm 1). It allows for bursts, so it is larger.

The shift (Deng & Gu 2021): floor(T*a / v) falls short by half a spike on average, in every layer anew. With v/2 more
over a presentation, as a bias of v/(2T), it is rounded: floor(T*a / v + 1/2). In the bound, D grows by v/2.

A max pool of spikes is an OR: the steps at which any of them fires, which are as many as those of the busiest neuron
only where the others fire at the same steps. It overestimates, the more the larger the window.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np

from neurocompile.errors import GraphError, InputError
from neurocompile.ir.graph import Draft, Graph
from neurocompile.ir.interpret import Product, SomaState, check_samples, encode, interpret, linear
from neurocompile.ir.nodes import (
    ENCODERS,
    SPIKING,
    Array,
    Conv2d,
    DirectEncoder,
    Linear,
    MaxPool2d,
    Neuron,
    PoissonEncoder,
    Readout,
    Relu,
    Scale,
    per_channel,
)

Balance = Literal["max", "percentile", "sequential"]
Per = Literal["layer", "channel"]
Encoder = Literal["direct", "poisson"]

#: more samples than this add little to what a threshold is chosen by; IIR-SNN takes as many
MOST_SAMPLES = 512
#: numbers of float64 that are kept or made at once: 256 MiB
_MOST_VALUES = 1 << 25
#: multiplications of "sequential", which runs the network for all time steps: some minutes
_MOST_PRODUCTS = 1 << 39


@dataclass(frozen=True)
class Conversion:
    """How an ANN becomes a spiking network.

    ``balance``: how thresholds are chosen. ``percentile``: for the balance of that name. ``per``: one threshold per
    "layer" or per "channel". ``encoder``: samples enter as they are ("direct"), or as Poisson spikes with sign whose
    rate is the value, relative to the largest of the calibration samples. ``shift``: counts are rounded, not cut off.
    """

    balance: Balance = "percentile"
    percentile: float = 99.9
    per: Per = "layer"
    encoder: Encoder = "direct"
    shift: bool = True

    def __post_init__(self) -> None:
        for name, kind in (("balance", Balance), ("per", Per), ("encoder", Encoder)):
            value, choices = getattr(self, name), get_args(kind)
            if value not in choices:
                raise InputError(f"conversion: {name} is {value!r:.60}; choose one of {', '.join(choices)}")
        if not isinstance(self.percentile, (int, float)) or not 0 < self.percentile <= 100:
            raise InputError(f"conversion: percentile is {self.percentile!r:.60}; choose a number above 0, at most 100")
        if not isinstance(self.shift, bool):
            raise InputError(f"conversion: shift is {self.shift!r:.60}; choose True or False")


@dataclass(frozen=True)
class Convert:
    """``calibration``: samples (N, *shape) or (N, T, *shape). ``product`` may compute linear nodes as
    ``interpret.linear`` does, but faster.

    GraphError where the network is no ANN that can be converted, InputError where there are no samples.
    """

    name: ClassVar[str] = "convert"
    choices: Conversion = Conversion()
    calibration: Array | None = None
    product: Product = linear

    def __post_init__(self) -> None:
        if self.calibration is None:
            raise InputError(
                "the conversion of an ANN chooses its thresholds with typical samples and there are none; give some "
                "(build --calibration FILE.npy)"
            )

    def run(self, graph: Graph) -> Graph:
        assert self.calibration is not None
        check_ann(graph)
        draft = graph.edit()
        if self.choices.encoder == "poisson":
            _encode_as_spikes(graph, draft, float(np.abs(check_samples(graph, self.calibration)).max()))
        encoded = draft.finish()
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused
            if self.choices.balance == "sequential":
                thresholds = _Sequential(encoded, self).thresholds()
            else:
                thresholds = self._thresholds_of_activations(graph)
        draft = encoded.edit()
        for name, threshold in thresholds.items():
            draft.replace(name, self.neuron(threshold, graph.timesteps))
            _amplify(draft, name, threshold)
        return draft.finish()

    def neuron(self, threshold: Array, timesteps: int) -> Neuron:
        bias = threshold / (2 * timesteps) if self.choices.shift else np.zeros(())
        return Neuron(threshold=threshold, bias=bias, compare="at_or_above")

    def threshold(self, name: str, rows: Array) -> Array:
        """One per row of activations (channels or 1, values). A channel that is silent gets the layer's, a silent layer
        any."""
        if not np.isfinite(rows).all():
            raise GraphError(f"{name}: its activations on the calibration samples are not finite; check both")
        share = self.choices.percentile if self.choices.balance == "percentile" else 100.0
        levels = np.array([np.percentile(row[row > 0], share) if (row > 0).any() else 0.0 for row in rows])
        levels = np.where(levels > 0, levels, levels.max() or 1.0)
        return levels if self.choices.per == "channel" else levels[0]

    def rows(self, values: Array) -> Array:
        """(N, T, channels, ...) -> what has a threshold of its own, (channels or 1, values)."""
        if self.choices.per == "layer":
            return values.reshape(1, -1)
        channels: Array = np.moveaxis(values, 2, 0)
        return channels.reshape(len(channels), -1)

    def _thresholds_of_activations(self, graph: Graph) -> dict[str, Array]:
        assert self.calibration is not None
        ann = one_step(graph, self.calibration)
        relus = ann.of_kind(Relu)
        sizes = sum(math.prod(ann.shape(name)) for name in relus)
        samples = self.calibration[: max(1, min(MOST_SAMPLES, _MOST_VALUES // (sizes * ann.timesteps)))]
        activations = interpret(ann, samples, product=self.product).events
        return {name: self.threshold(name, self.rows(activations[name])) for name in relus}


def check_ann(graph: Graph) -> None:
    """GraphError unless ``graph`` is a network of ReLUs alone."""
    relus, neurons = graph.of_kind(Relu), graph.of_kind(*SPIKING)
    if not relus:
        raise GraphError(f"network {graph.name!r} has no ReLU to convert; build it without --convert")
    if neurons:
        raise GraphError(
            f"{neurons[0]}: a spiking neuron in a network to be converted, whose ReLUs (such as {relus[0]}) would send "
            "it spikes in place of the values that it was trained with; convert a network of ReLUs alone"
        )
    for name, node in graph.items():
        if isinstance(node, PoissonEncoder):
            raise GraphError(f"{name}: a Poisson encoder in an ANN; leave it out, and build with --encoder poisson")
        if isinstance(node, ENCODERS) and not isinstance(node, DirectEncoder):
            raise GraphError(f"{name}: a {node.kind} in an ANN, which computes with values that stay; leave it out")
        if isinstance(node, Readout) and not ((node.leak == 1).all() and (node.current_leak == 0).all()):
            raise GraphError(
                f"{name}: this readout forgets, so that spikes count by when they come; a network to be converted "
                "needs leak=1 and current_leak=0"
            )


def one_step(graph: Graph, samples: Array) -> Graph:
    """The ANN for ``samples`` (N, *shape): nothing changes from step to step, so one is enough. For (N, T, *shape) the
    network as it is."""
    (source, *_) = graph.of_kind(*ENCODERS)
    if samples.ndim > len(graph.shape(source)) + 1:
        return graph
    draft = graph.edit()
    draft.timesteps = 1
    return draft.finish()


def _encode_as_spikes(graph: Graph, draft: Draft, largest: float) -> None:
    """Spikes of the size of the largest value, whose rate is the value's share of it."""
    for name in graph.of_kind(DirectEncoder):
        draft.replace(name, PoissonEncoder(gain=1 / (largest or 1.0)))
        _amplify(draft, name, np.array(largest or 1.0))


def _amplify(draft: Draft, name: str, size: Array) -> None:
    """Let the readers of spikes see them in their size; a max pool takes the spikes themselves and hands them on."""
    pools = [each for each in draft.readers(name) if isinstance(draft.node(each), MaxPool2d)]
    others = [each for each in draft.readers(name) if each not in pools]
    if others:
        scale = draft.add(f"{name}.size", Scale(weight=size), (name,))
        for each in others:
            inputs = tuple(scale if source == name else source for source in draft.inputs(each))
            draft.replace(each, draft.node(each), inputs)
    for each in pools:
        _amplify(draft, each, size)


class _Sequential:
    """The network of neurons that is made layer by layer, and runs on the calibration samples as far as it goes."""

    def __init__(self, graph: Graph, convert: Convert) -> None:
        assert convert.calibration is not None
        self._graph, self._convert = graph, convert
        self._between = {name: _between(graph, name) for name in graph.of_kind(Relu)}
        widest = max(math.prod(graph.shape(name)) for name in graph)
        self._part = max(1, _MOST_VALUES // (widest * graph.timesteps))
        # spikes are kept in bytes, eight times as many
        most = min(MOST_SAMPLES, 8 * self._part, _MOST_PRODUCTS // max(1, _products(graph)))
        samples = convert.calibration[: max(1, most)]
        values = check_samples(graph, samples)
        self._count = len(samples)
        #: spikes (or analog values) of all steps, or of one that stands for all: (N, T or 1, *shape); and their size
        self._sent: dict[str, tuple[Array, Array]] = {}
        for name in graph.of_kind(*ENCODERS):
            steady = isinstance(graph.node(name), DirectEncoder) and values.shape[1] == 1
            sent = values if steady else encode(graph, name, values)
            self._sent[name] = (sent, np.ones(()))

    def thresholds(self) -> dict[str, Array]:
        thresholds: dict[str, Array] = {}
        for index, name in enumerate(self._between):
            kept = list(self._sums(name)) if self._count <= self._part else None  # else they are made twice
            largest = np.max([self._convert.rows(sums).max(axis=1) for sums in kept or self._sums(name)], axis=0)
            thresholds[name] = self._convert.threshold(name, largest[:, None])
            neuron = self._convert.neuron(thresholds[name], self._graph.timesteps)
            spikes = np.concatenate([self._fire(name, neuron, sums) for sums in kept or self._sums(name)])
            self._sent[name] = (spikes, thresholds[name])
            wanted = {source for later in list(self._between)[index + 1 :] for source in self._sources(later)}
            self._sent = {each: sent for each, sent in self._sent.items() if each in wanted}
        return thresholds

    def _sources(self, name: str) -> set[str]:
        inner = self._between[name]
        return {source for each in (*inner, name) for source in self._graph.inputs(each)} - set(inner)

    def _sums(self, name: str) -> Iterator[Array]:
        """The input of ReLU ``name``, (n, T or 1, *shape) of consecutive samples."""
        graph, sources = self._graph, self._sources(name)
        (feeding,) = graph.inputs(name)
        steps = max(self._sent[source][0].shape[1] for source in sources)
        for start in range(0, self._count, self._part):
            values: dict[str, Array] = {}
            for source in sources:
                sent, size = self._sent[source]
                shape = graph.shape(source)
                part = sent[start : start + self._part]
                frames = np.broadcast_to(part, (len(part), steps, *shape)).reshape(-1, *shape)
                values[source] = frames * per_channel(size, shape)
            for each in self._between[name]:
                values[each] = self._convert.product(graph.node(each), *(values[one] for one in graph.inputs(each)))
            yield values[feeding].reshape(-1, steps, *graph.shape(name))

    def _fire(self, name: str, neuron: Neuron, sums: Array) -> Array:
        """Its spikes, (n, T, *shape)."""
        steps = self._graph.timesteps
        state = SomaState(neuron, self._graph.shape(name), len(sums), np.dtype(np.float64))
        at = (sums[:, t if sums.shape[1] > 1 else 0] for t in range(steps))
        return np.stack([state.step(each).astype(np.int8) for each in at], axis=1)


def _products(graph: Graph) -> int:
    """Multiplications of a sample's presentation."""
    layers = ((name, node) for name, node in graph.items() if isinstance(node, (Conv2d, Linear)))
    return graph.timesteps * sum(math.prod(graph.shape(name)) * int(node.weight[0].size) for name, node in layers)


def _between(graph: Graph, name: str) -> list[str]:
    """The linear nodes that lead from encoders and ReLUs to ReLU ``name``, in order of flow."""
    wanted = set(graph.inputs(name))
    found: list[str] = []
    for each in reversed(list(graph)):
        if each in wanted and not isinstance(graph.node(each), (*ENCODERS, Relu)):
            found.insert(0, each)
            wanted |= set(graph.inputs(each))
    return found
