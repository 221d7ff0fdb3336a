"""Put every max pool of an ANN right behind a ReLU, where it will read spikes once the ReLU is a neuron.

The largest of increasing functions is the increasing function of the largest, so a pool may change places with a ReLU
and with a batch norm that turns no channel round, and channel by channel with a Concat::

    relu(max x) = max relu(x)        factor*max(x) + shift = max(factor*x + shift)  for factor >= 0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neurocompile.errors import GraphError
from neurocompile.ir.graph import Draft, Graph
from neurocompile.ir.nodes import BatchNorm, Concat, MaxPool2d, Node, Relu


@dataclass(frozen=True)
class MoveMaxPools:
    """GraphError, with the layer and the remedy, where a max pool must read values that no ReLU gives."""

    name: ClassVar[str] = "move_max_pools"

    def run(self, graph: Graph) -> Graph:
        draft, pools = graph.edit(), graph.of_kind(MaxPool2d)
        for name in reversed(pools):
            _bring_relu(draft, name)
        for name in pools:
            _go_to_relu(draft, name)
        return draft.finish()


def _bring_relu(draft: Draft, pool: str) -> None:
    """A ReLU (with its batch norm) that is all that reads the pool goes before it."""
    (source,) = draft.inputs(pool)
    if isinstance(draft.node(source), Relu):
        return
    for kind in (BatchNorm, Relu):
        readers = draft.readers(pool)
        if len(readers) == 1 and isinstance(draft.node(readers[0]), kind) and _keeps_order(draft.node(readers[0])):
            (reader,) = readers
            draft.redirect(reader, pool)
            draft.replace(reader, draft.node(reader), draft.inputs(pool))
            draft.replace(pool, draft.node(pool), (reader,))


def _go_to_relu(draft: Draft, pool: str) -> None:
    """The pool goes back over what stands between a ReLU and it; a pool that it reads has done so already."""
    (source,) = draft.inputs(pool)
    node = draft.node(source)
    if isinstance(node, (Relu, MaxPool2d)):
        return
    if isinstance(node, Concat):
        parts = [draft.add(f"{pool}.{at}", draft.node(pool), (each,)) for at, each in enumerate(draft.inputs(source))]
        draft.replace(pool, node, tuple(parts))
    elif isinstance(node, BatchNorm) and _keeps_order(node):
        parts = [draft.add(f"{pool}.before", draft.node(pool), draft.inputs(source))]
        draft.replace(pool, node, tuple(parts))
    else:
        raise GraphError(
            f"{pool}: a max pool can become one of spikes only where it reads a ReLU, it reads {source} "
            f"({node.kind}); put a ReLU between, or use average pooling"
        )
    if not draft.readers(source):
        draft.remove(source)
    for part in parts:
        _go_to_relu(draft, part)


def _keeps_order(node: Node) -> bool:
    """Whether a larger input never has a smaller output."""
    return isinstance(node, Relu) or (isinstance(node, BatchNorm) and bool((node.factor >= 0).all()))
