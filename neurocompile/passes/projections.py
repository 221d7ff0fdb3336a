"""Give every soma one chain of its own from each population that feeds it.

A chip has no place for what stands between two somas: only synapses. So sums and shared layers are distributed
(``W(a + b) = Wa + Wb``), each path from a source to a soma becomes a chain with exactly one weighted operator, and all
that the path adds when nothing spikes becomes the soma's bias (or moves the threshold of a stateless one). What is
delayed by as many steps as a presentation has never arrives, so it is left out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from neurocompile.errors import GraphError
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import linear
from neurocompile.ir.nodes import (
    ENCODERS,
    SPIKING,
    WEIGHTED,
    Add,
    Array,
    AxonDelay,
    Conv2d,
    Flatten,
    Input,
    Linear,
    Node,
    Recurrent,
    Scale,
    Shape,
    Soma,
    SumPool2d,
    Threshold,
    per_channel,
)
from neurocompile.passes.batchnorm import scale_inputs, scale_outputs

Step = tuple[str, Node]
#: a source, and the names of the linear nodes from it on, in order of flow
Path = tuple[str, tuple[str, ...]]

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
            for (source, names), count in paths[graph.inputs(soma)[0]].items():
                end = source
                for name, operator in _one_weighted(graph, soma, source, names, count):
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
            paths[name] = Counter({(source, (name,)): 1} if node.steps < graph.timesteps else {})
        elif isinstance(node, AxonDelay):
            raise GraphError(f"{name}: a delay stands among the synapses; run lower_delays before split_projections")
        elif not isinstance(node, (Input, Soma)):
            arriving: Counter[Path] = Counter()
            for source in graph.inputs(name):
                arriving.update(paths[source])
            if len(arriving) > _MOST_PATHS:
                raise GraphError(
                    f"{name}: {len(arriving):,} different paths of sums lead here, limit {_MOST_PATHS:,}; put neurons "
                    "between the sums"
                )
            added = () if isinstance(node, Add) else (name,)
            paths[name] = Counter({(source, names + added): count for (source, names), count in arriving.items()})
    return paths


def _one_weighted(graph: Graph, soma: str, source: str, names: tuple[str, ...], count: int) -> list[Step]:
    """The path, taken ``count`` times, as ``[Recurrent] SumPool2d* Flatten? weighted Flatten?``: the same map."""
    chain: list[Step] = []
    shapes: list[Shape] = [graph.shape(source)]
    where = f"{soma}: the path from {source}"
    past = graph.node(names[0]) if names else None
    if isinstance(past, Recurrent):
        _append(chain, shapes, names[0], _within(past, graph.timesteps), where)
        names = names[1:]
    if count > 1:
        _append(chain, shapes, f"{source}.to.{soma}", Scale(weight=np.array(float(count))), where)
    for name in names:
        node = graph.node(name)
        unbiased = replace(node, bias=None) if isinstance(node, (Conv2d, Linear)) else node
        _append(chain, shapes, name, unbiased, where)
    if not any(isinstance(node, WEIGHTED) for _, node in chain):
        chain.append((f"{source}.to.{soma}", Scale(weight=np.array(1.0))))
    return chain


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
    if isinstance(node, Flatten) and len(shapes[-1]) == 1:
        return
    if isinstance(last, Scale) and isinstance(node, (Flatten, SumPool2d)):
        # a scale commutes with what only moves or sums values of one channel
        if isinstance(node, SumPool2d) and last.weight.ndim > 1:
            raise GraphError(f"{where}: {name} pools values that {chain[-1][0]} scales one by one; swap the two")
        before = shapes[-1]
        scale_name, _ = pop()
        _append(chain, shapes, name, node, where)
        weight = last.weight
        if isinstance(node, Flatten) and weight.ndim:
            weight = np.broadcast_to(per_channel(weight, before), before).reshape(-1)
        _append(chain, shapes, scale_name, Scale(weight=weight), where)
        return
    if isinstance(last, Scale) and isinstance(node, (Conv2d, Linear, Scale)):
        before = shapes[-1]
        pop()
        _append(chain, shapes, name, _after_scale(last, node, before, f"{where}: {name}"), where)
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
    weighted = [each for each, operator in chain if isinstance(operator, WEIGHTED)]
    if weighted and isinstance(node, WEIGHTED):
        raise GraphError(
            f"{where} goes through the weights of {weighted[0]} and {name} with no neuron between; "
            "put a neuron there or merge the two layers"
        )
    push(name, node)


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
