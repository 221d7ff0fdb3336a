"""Max pools become populations of neurons without state.

A maximum of binary spikes is an OR: the window holds at least one spike. So a pool that reads spikes becomes a neuron
of its own for each window, at every time step, and nothing is lost.

A maximum of anything else is no sum of synapses. But a stateless neuron that reads it may compare first, since
``max(u) > v`` is ``OR(u > v)``, and where the comparison points the other way ``max(u) < v`` is ``AND(u < v)``: the
window holds as many spikes as values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurocompile.errors import GraphError
from neurocompile.ir.graph import Draft, Graph
from neurocompile.ir.interpret import linear
from neurocompile.ir.nodes import (
    ENCODERS,
    MOVES,
    SPIKING,
    Array,
    BatchNorm,
    Concat,
    Conv2d,
    Dropout,
    Identity,
    MaxPool2d,
    Node,
    Recurrent,
    SumPool2d,
    Threshold,
    per_channel,
)
from neurocompile.passes.projections import uniform

#: sums of spikes are whole, so that this and ``above`` mean "at least one"
_ANY = 0.5


@dataclass(frozen=True)
class LowerMaxPool:
    """GraphError, with the source and the remedy, where a pool reads something else than binary spikes and no stateless
    neuron can compare before it."""

    name: ClassVar[str] = "lower_max_pool"

    def run(self, graph: Graph) -> Graph:
        draft = graph.edit()
        other = _other_than_spikes(graph)
        pools = graph.of_kind(MaxPool2d)
        # the pool next to a neuron first: the one before it then stands next to what compares
        for name in reversed([pool for pool in pools if other[pool]]):
            _compare_first(graph, draft, name, other[name])
        for name in (pool for pool in pools if not other[pool]):
            window, (source,) = _window(graph, name), draft.inputs(name)
            total = draft.add(f"{name}.window", window, (source,))
            draft.replace(name, Threshold(threshold=np.array(_ANY)), (total,))
        return draft.finish()


def _other_than_spikes(graph: Graph) -> dict[str, str]:
    """Per node what makes its values something else than binary spikes of one step; empty where they are that."""
    found: dict[str, str] = {}
    for name, node in graph.items():
        if isinstance(node, SPIKING):
            found[name] = "" if node.spikes == "binary" else name
        elif isinstance(node, Recurrent):
            (soma,) = graph.inputs(name)
            spikes = getattr(graph.node(soma), "spikes", None)
            found[name] = "" if spikes == "binary" else soma
        elif isinstance(node, (Concat, MaxPool2d, Identity, Dropout, *MOVES)):
            found[name] = next((found[source] for source in graph.inputs(name) if found[source]), "")
        else:
            found[name] = name
    return found


def _window(graph: Graph, name: str) -> Node:
    """The sum over the windows of a max pool."""
    pool, channels = graph.node(name), graph.shape(name)[0]
    assert isinstance(pool, MaxPool2d)
    if pool.dilation == (1, 1):
        return SumPool2d(kernel=pool.kernel, stride=pool.stride, padding=pool.padding)
    ones = np.ones((channels, 1, *pool.kernel))
    return Conv2d(weight=ones, stride=pool.stride, padding=pool.padding, dilation=pool.dilation, groups=channels)


def _compare_first(graph: Graph, draft: Draft, name: str, source: str) -> None:
    """Let the stateless neurons that read the pool ``name``, perhaps through a batch norm, compare each value, and then
    pool what they say."""
    window = _window(graph, name)
    (values,) = draft.inputs(name)
    for reader in draft.readers(name):
        norm, compared, turned = draft.node(reader), values, np.array(False)
        somas = [reader]
        if isinstance(norm, BatchNorm):  # where its factor is negative, the largest value becomes the smallest
            draft.replace(reader, norm, (values,))
            somas, compared, turned = draft.readers(reader), reader, norm.factor < 0
        for soma in somas:
            node = draft.node(soma)
            if (
                not isinstance(node, Threshold)
                or node.spikes != "binary"
                or max(node.threshold.ndim, node.bias.ndim) > 1
            ):
                raise _refusal(graph, name, source, soma)
            single = draft.add(f"{soma}.unpooled", node, (compared,))
            total = draft.add(f"{soma}.window", window, (single,))
            needed = _needed(graph, name, window, np.logical_xor(node.flip, turned))
            draft.replace(soma, Threshold(threshold=needed), (total,))
    draft.remove(name)


def _needed(graph: Graph, name: str, window: Node, every: Array) -> Array:
    """How many spikes a window must have more than: none, or all but one in the channels that need ``every`` one."""
    if not every.any():
        return np.array(_ANY)
    members = linear(window, np.ones((1, *graph.shape(graph.inputs(name)[0]))))[0]
    return uniform(np.where(per_channel(every, members.shape), members - _ANY, _ANY))


def _refusal(graph: Graph, name: str, source: str, reader: str) -> GraphError:
    node = graph.node(source)
    if isinstance(node, ENCODERS):
        return GraphError(
            f"{name}: it takes the maximum of what {source} ({node.kind}) sends, which need not be 0 or 1; pool the "
            "data beforehand, or use AvgPool2d"
        )
    if isinstance(node, SPIKING):
        return GraphError(
            f"{name}: it takes the maximum of the {node.spikes} spikes of {source}, which is no OR; train with binary "
            "spikes, or use AvgPool2d"
        )
    return GraphError(
        f"{name}: it takes the maximum of what {source} ({node.kind}) gives, which is no sum of synapses, and {reader} "
        "is no neuron without state that could compare first, with one threshold per channel; put the pool behind the "
        "neuron and train again, or use AvgPool2d"
    )
