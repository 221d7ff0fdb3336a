"""Give every soma one chain of its own from each population that feeds it.

A chip has no place for what stands between two somas: only synapses. So sums, concatenations and shared layers are
distributed (``W(a + b) = Wa + Wb``, ``[V W](a, b) = Va + Wb``), each path from a source to a soma becomes a chain with
exactly one weighted operator, and all that the path adds when nothing spikes becomes the soma's bias (or moves the
threshold of a stateless one). What is delayed by as many steps as a presentation has never arrives, so it is left out.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from neurocompile.errors import GraphError
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import linear
from neurocompile.ir.nodes import (
    ENCODERS,
    MOVES,
    SPIKING,
    WEIGHTED,
    Add,
    Array,
    AxonDelay,
    Concat,
    Conv2d,
    Flatten,
    Input,
    Linear,
    Node,
    PadChannels,
    Recurrent,
    Reshape,
    Scale,
    Shape,
    Soma,
    SumPool2d,
    Threshold,
    per_channel,
)
from neurocompile.passes.batchnorm import scale_inputs, scale_outputs

Step = tuple[str, Node]
#: a source, and the linear nodes from it on, in order of flow: the name of each, and which of its inputs is taken
Path = tuple[str, tuple[tuple[str, int], ...]]

#: a checkpoint is not trusted, and sums of sums can have as many paths as one likes
_MOST_PATHS = 1024


@dataclass(frozen=True)
class SplitProjections:
    """GraphError where a path has two weighted layers with no neuron between, or cannot be one weighted operator."""

    name: ClassVar[str] = "split_projections"

    def run(self, graph: Graph) -> Graph:
        nodes: dict[str, tuple[Node, tuple[str, ...]]] = {}

        def add(name: str, node: Node, inputs: tuple[str, ...]) -> str:
            unique, count = name, 2
            while unique in nodes or (unique in graph and isinstance(graph.node(unique), (*ENCODERS, Soma))):
                unique, count = f"{name}.{count}", count + 1
            nodes[unique] = (node, inputs)
            return unique

        paths, resting = _paths(graph), _resting_inputs(graph)
        for soma, node in graph.items():
            if isinstance(node, (Input, *ENCODERS)):
                nodes[soma] = (node, graph.inputs(soma))
            if not isinstance(node, Soma):
                continue
            ends = []
            for (source, steps), count in paths[graph.inputs(soma)[0]].items():
                end = source
                for name, operator in _one_weighted(graph, soma, source, steps, count):
                    end = add(name, operator, (end,))
                ends.append(end)
            if not ends:
                raise GraphError(
                    f"{soma}: only delayed connections feed it, which bring nothing in {_steps(graph)}; remove it or "
                    "build with more time steps"
                )
            feeding = ends[0] if len(ends) == 1 else add(f"{soma}.sum", Add(), tuple(ends))
            nodes[soma] = (_with_bias(node, resting[graph.inputs(soma)[0]]), (feeding,))
        read = {source for _, inputs in nodes.values() for source in inputs}
        for soma in graph.of_kind(*ENCODERS, *SPIKING):
            if soma not in read and soma not in graph.outputs:
                raise GraphError(
                    f"{soma}: only delayed connections read it, which bring nothing in {_steps(graph)}; remove it or "
                    "build with more time steps"
                )
        triples = ((name, node, inputs) for name, (node, inputs) in nodes.items())
        return Graph(graph.name, "spiking", graph.timesteps, triples, graph.outputs)


def _steps(graph: Graph) -> str:
    return "one time step" if graph.timesteps == 1 else f"{graph.timesteps} time steps"


def _paths(graph: Graph) -> dict[str, Counter[Path]]:
    """Per node, the paths of linear nodes that end in it, and how often each is taken (``y + y`` takes one twice)."""
    paths: dict[str, Counter[Path]] = {}
    for name, node in graph.items():
        if isinstance(node, (*ENCODERS, *SPIKING)):
            paths[name] = Counter({(name, ()): 1})
        elif isinstance(node, Recurrent):
            (source,) = graph.inputs(name)
            paths[name] = Counter({(source, ((name, 0),)): 1} if node.steps < graph.timesteps else {})
        elif isinstance(node, AxonDelay):
            raise GraphError(f"{name}: a delay stands among the synapses; run lower_delays before split_projections")
        elif not isinstance(node, (Input, Soma)):
            arriving: Counter[Path] = Counter()
            for place, feeding in enumerate(graph.inputs(name)):
                step = () if isinstance(node, Add) else ((name, place),)
                arriving.update({(source, steps + step): count for (source, steps), count in paths[feeding].items()})
            if len(arriving) > _MOST_PATHS:
                raise GraphError(
                    f"{name}: {len(arriving):,} different paths of sums lead here, limit {_MOST_PATHS:,}; put neurons "
                    "between the sums"
                )
            paths[name] = arriving
    return paths


def _one_weighted(graph: Graph, soma: str, source: str, steps: tuple[tuple[str, int], ...], count: int) -> list[Step]:
    """The path, taken ``count`` times, as one chain of the grammar of ``populations``: the same map."""
    chain: list[Step] = []
    shapes: list[Shape] = [graph.shape(source)]
    where = f"{soma}: the path from {source}"
    past = graph.node(steps[0][0]) if steps else None
    if isinstance(past, Recurrent):
        _append(chain, shapes, steps[0][0], _within(past, graph.timesteps), where)
        steps = steps[1:]
    if count > 1:
        _append(chain, shapes, f"{source}.to.{soma}", Scale(weight=np.array(float(count))), where)
    part = _Part(0, shapes[0][0])
    for name, place in steps:
        node = graph.node(name)
        if isinstance(node, Concat):
            sizes = [graph.shape(each)[0] for each in graph.inputs(name)]
            part = _Part(sum(sizes[:place]) + part.first, sum(sizes))
            continue
        operator, part = part.take(node, shapes[-1], f"{where}: {name}")
        _append(chain, shapes, name, operator, where)
    if not any(isinstance(node, WEIGHTED) for _, node in chain):
        chain.append((f"{source}.to.{soma}", Scale(weight=np.array(1.0))))
    channels = shapes[-1][0]
    if channels != part.whole:
        pad = PadChannels(before=part.first, after=part.whole - part.first - channels)
        chain.append((f"{source}.in.{soma}", pad))
    return chain


@dataclass(frozen=True)
class _Part:
    """Which channels of a value come by a path: those from ``first`` on, of ``whole``. All others are zero."""

    first: int
    whole: int

    def take(self, node: Node, shape: Shape, where: str) -> tuple[Node, _Part]:
        """``node``, without its bias, for the part alone, whose shape is ``shape``; and which part that gives."""
        channels, size = shape[0], math.prod(shape[1:])
        if channels == self.whole:
            plain = replace(node, bias=None) if isinstance(node, WEIGHTED) else node
            return plain, _Part(0, node.output_shape(shape)[0])
        here = slice(self.first, self.first + channels)
        match node:
            case Linear():
                return replace(node, weight=node.weight[:, here], bias=None), _Part(0, len(node.weight))
            case Conv2d():
                return self._convolution(node, channels)
            case Scale():
                return replace(node, weight=node.weight[here] if node.weight.ndim else node.weight, bias=None), self
            case Flatten():
                return node, _Part(self.first * size, self.whole * size)
            case Reshape():
                inner = math.prod(node.shape[1:])
                if self.first * size % inner or channels * size % inner:
                    raise GraphError(
                        f"{where} gives the shape {node.shape}, whose channels mix parts that were concatenated; put a "
                        "neuron before it"
                    )
                moved = Reshape(shape=(channels * size // inner, *node.shape[1:]))
                return moved, _Part(self.first * size // inner, node.shape[0])
        return node, self

    def _convolution(self, node: Conv2d, channels: int) -> tuple[Node, _Part]:
        """The groups that see the part: whole groups stay groups, otherwise what a group does not see has weight 0."""
        outputs, per_group = len(node.weight) // node.groups, node.weight.shape[1]
        low, high = self.first // per_group, -(-(self.first + channels) // per_group)
        weight = node.weight[low * outputs : high * outputs]
        part = _Part(low * outputs, len(node.weight))
        if self.first % per_group == 0 and channels % per_group == 0:
            return replace(node, weight=weight, groups=high - low, bias=None), part
        dense = np.zeros((len(weight), (high - low) * per_group, *weight.shape[2:]), weight.dtype)
        for group in range(high - low):
            own = slice(group * outputs, (group + 1) * outputs)
            dense[own, group * per_group : (group + 1) * per_group] = weight[own]
        start = self.first - low * per_group
        return replace(node, weight=dense[:, start : start + channels], groups=1, bias=None), part


def _within(past: Recurrent, timesteps: int) -> Recurrent:
    """No delay is longer than a presentation: spikes that never arrive need not be remembered for longer."""
    if past.axon_steps is None:
        return past
    return replace(past, axon_steps=np.minimum(past.axon_steps.astype(np.int64), timesteps - past.steps))


def _append(chain: list[Step], shapes: list[Shape], name: str, node: Node, where: str) -> None:
    """Append ``node`` to ``chain``, merging it with what stands at the end. ``shapes[k]`` enters ``chain[k]``."""

    def push(name: str, node: Node) -> None:
        shapes.append(node.output_shape(shapes[-1]))
        chain.append((name, node))

    def pop() -> Step:
        shapes.pop()
        return chain.pop()

    last = chain[-1][1] if chain else None
    if isinstance(node, MOVES):
        target = node.output_shape(shapes[-1])
        if isinstance(last, MOVES):
            pop()
            last = chain[-1][1] if chain else None
        if target == shapes[-1]:
            return
        node = Flatten() if len(target) == 1 else Reshape(shape=target)
    if isinstance(last, Scale) and isinstance(node, (*MOVES, SumPool2d)):
        # a scale commutes with what only moves or sums values of one channel
        if isinstance(node, SumPool2d) and last.weight.ndim > 1:
            raise GraphError(f"{where}: {name} pools values that {chain[-1][0]} scales one by one; swap the two")
        before = shapes[-1]
        scale_name, _ = pop()
        _append(chain, shapes, name, node, where)
        weight = last.weight if isinstance(node, SumPool2d) else _moved(last.weight, before, shapes[-1])
        _append(chain, shapes, scale_name, Scale(weight=weight), where)
        return
    if isinstance(last, Scale) and isinstance(node, (Conv2d, Linear, Scale)):
        before = shapes[-1]
        pop()
        _append(chain, shapes, name, _after_scale(last, node, before, f"{where}: {name}"), where)
        return
    weighted = [each for each, operator in chain if isinstance(operator, WEIGHTED)]
    if isinstance(last, MOVES) and isinstance(node, Scale) and weighted:
        behind = shapes[-1]
        move_name, _ = pop()
        _append(chain, shapes, name, Scale(weight=_moved(node.weight, behind, shapes[-1])), where)
        push(move_name, last)
        return
    if isinstance(last, (Conv2d, Linear)) and isinstance(node, Scale) and node.weight.ndim <= 1:
        factor = np.broadcast_to(node.weight, last.weight.shape[:1])
        layer_name, _ = pop()
        push(layer_name, replace(scale_outputs(last, factor, np.zeros_like(factor)), bias=None))
        return
    if isinstance(last, Conv2d) and isinstance(node, SumPool2d):
        if any(node.padding):
            raise GraphError(f"{where}: {name} pads by {node.padding} what {chain[-1][0]} gives; use padding=0 there")
        layer_name, _ = pop()
        push(layer_name, pooled_convolution(last, node))
        return
    if weighted and isinstance(node, WEIGHTED):
        raise GraphError(
            f"{where} goes through the weights of {weighted[0]} and {name} with no neuron between; "
            "put a neuron there or merge the two layers"
        )
    earlier = [each for each, operator in chain[:-1] if not isinstance(operator, Recurrent)]
    if isinstance(last, MOVES) and isinstance(node, (Conv2d, SumPool2d)) and earlier:
        raise GraphError(f"{where}: {name} reads in another shape what {earlier[-1]} gives; put a neuron between")
    push(name, node)


def _moved(weight: Array, before: Shape, after: Shape) -> Array:
    """The weight of a ``Scale`` on values of shape ``before``, for the same values in the shape ``after``."""
    if not weight.ndim or (weight.ndim == 1 and before[0] == after[0]):
        return weight
    return uniform(np.broadcast_to(per_channel(weight, before), before).reshape(after))


def _after_scale(scale: Scale, node: Node, shape: Shape, where: str) -> Node:
    """``node`` with ``scale``, which feeds it, in its weights. ``shape`` is what passes between them."""
    if isinstance(node, Scale):
        one, other = scale.weight, node.weight
        if max(one.ndim, other.ndim) > 1:
            one, other = per_channel(one, shape), per_channel(other, shape)
        return Scale(weight=one * other)
    assert isinstance(node, (Conv2d, Linear))
    if scale.weight.ndim > 1:
        raise GraphError(f"{where} reads values that are scaled one by one; its kernel cannot hold that")
    factor = np.broadcast_to(scale.weight, shape[:1])
    return replace(scale_inputs(node, factor, np.zeros_like(factor)), bias=None)


def pooled_convolution(layer: Conv2d, pool: SumPool2d) -> Conv2d:
    """The one convolution that equals ``layer`` followed by ``pool`` (which must not pad).

    y[o] = sum_j sum_i w[i] x[(o*sp + j)*sc + i*d - p]: all offsets j*sc + i*d, summed into one larger kernel.
    """
    out, per_group, height, width = layer.weight.shape
    (stride_h, stride_w), (dil_h, dil_w) = layer.stride, layer.dilation
    size_h = (pool.kernel[0] - 1) * stride_h + (height - 1) * dil_h + 1
    size_w = (pool.kernel[1] - 1) * stride_w + (width - 1) * dil_w + 1
    weight = np.zeros((out, per_group, size_h, size_w))
    for row in range(pool.kernel[0]):
        for column in range(pool.kernel[1]):
            top, left = row * stride_h, column * stride_w
            weight[
                :, :, top : top + (height - 1) * dil_h + 1 : dil_h, left : left + (width - 1) * dil_w + 1 : dil_w
            ] += layer.weight
    stride = (stride_h * pool.stride[0], stride_w * pool.stride[1])
    return replace(layer, weight=weight, stride=stride, dilation=(1, 1))


def _resting_inputs(graph: Graph) -> dict[str, Array]:
    """What every node gives when no source sends anything: the biases on the way, float64, of its full shape."""
    resting: dict[str, Array] = {}
    for name, node in graph.items():
        if isinstance(node, (*ENCODERS, *SPIKING, Recurrent)):
            resting[name] = np.zeros(graph.shape(name))
        elif isinstance(node, (Input, Soma)):
            continue
        elif getattr(node, "bias", None) is None and not any(resting[source].any() for source in graph.inputs(name)):
            resting[name] = np.zeros(graph.shape(name))
        else:
            resting[name] = linear(node, *(resting[source][None] for source in graph.inputs(name)))[0]
    return resting


def _with_bias(node: Soma, added: Array) -> Soma:
    """``node`` with a constant input ``added`` (full shape) as its bias, kept as small as it is uniform."""
    if not added.any():
        return node
    per_neuron = np.asarray(getattr(node, "bias"), np.float64)  # noqa: B009 - every soma has one, the base does not
    bias = uniform(per_channel(per_neuron, added.shape) + added)
    if isinstance(node, Threshold) and node.spikes == "binary":
        moved = per_channel(node.threshold.astype(np.float64), added.shape) - per_channel(bias, added.shape)
        return replace(node, threshold=uniform(np.broadcast_to(moved, added.shape)), bias=np.zeros(()))
    fields: dict[str, Any] = {"bias": bias}
    return replace(node, **fields)


def uniform(values: Array) -> Array:
    """``values`` (full shape) as one number per channel where that says the same, else as they are."""
    flat = values.reshape(len(values), -1)
    return flat[:, 0] if (flat == flat[:, :1]).all() else values
