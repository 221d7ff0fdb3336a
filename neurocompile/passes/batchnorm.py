"""Fuse batch norm into a neighbouring convolution or linear layer (Rueckauer et al. 2017).

after a layer :  factor*(W x + b) + shift = (factor*W) x + (factor*b + shift)
before a layer:  W (factor*x + shift) + b = (W*factor) x + (W shift + b)

Right before a soma, where no layer can take it (behind a sum of branches, or a layer that others read too, as in
residual networks whose norms come first), it becomes a ``Scale`` and the soma's bias.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from neurocompile.errors import GraphError
from neurocompile.ir.graph import Draft, Graph
from neurocompile.ir.nodes import (
    Array,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Flatten,
    Linear,
    Node,
    Scale,
    Soma,
    per_channel,
)

_LAYERS = (Conv2d, Linear)


@dataclass(frozen=True)
class FuseBatchNorm:
    """GraphError, with the layer and the remedy, where a batch norm cannot be fused exactly."""

    name: ClassVar[str] = "fuse_batchnorm"

    def run(self, graph: Graph) -> Graph:
        draft = graph.edit()
        for name in graph.of_kind(BatchNorm):
            producer = _producer(draft, name)
            only_somas = all(isinstance(draft.node(reader), Soma) for reader in draft.readers(name))
            if producer is not None and not (only_somas and _other_readers(draft, name, producer)):
                _fuse_into_producer(draft, name, producer)
            else:
                _fuse_into_consumers(graph, draft, name)
            draft.bypass(name)
        return draft.finish("fused")


def _is_plain_pool(node: Node) -> bool:
    return isinstance(node, AvgPool2d) and not any(node.padding)


def _producer(draft: Draft, name: str) -> str | None:
    """The layer whose output the batch norm sees, through pools that nobody else reads; None where there is none."""
    producer = draft.inputs(name)[0]
    while _is_plain_pool(draft.node(producer)) and len(draft.readers(producer)) == 1:
        (producer,) = draft.inputs(producer)
    return producer if isinstance(draft.node(producer), _LAYERS) else None


def _other_readers(draft: Draft, name: str, producer: str) -> list[str]:
    """Who else reads the layer whose output the batch norm ``name`` sees."""
    path = [name]
    while path[-1] != producer:
        path.append(draft.inputs(path[-1])[0])
    return [reader for reader in draft.readers(producer) if reader not in path]


def _fuse_into_producer(draft: Draft, name: str, producer: str) -> None:
    others = _other_readers(draft, name, producer)
    if others:
        raise GraphError(
            f"{name}: cannot be fused into {producer}, whose output {', '.join(others)} reads too; "
            "give the batch norm a layer of its own"
        )
    norm, layer = draft.node(name), draft.node(producer)
    assert isinstance(norm, BatchNorm)
    assert isinstance(layer, _LAYERS)
    draft.replace(producer, scale_outputs(layer, norm.factor, norm.shift))


def _fuse_into_consumers(graph: Graph, draft: Draft, name: str) -> None:
    """A batch norm after a neuron or a sum: every reader must be a layer or a soma, perhaps behind pools and a
    Flatten."""
    norm = draft.node(name)
    assert isinstance(norm, BatchNorm)
    for reader in draft.readers(name):
        factor, shift, through = norm.factor, norm.shift, reader
        while isinstance(draft.node(through), Flatten) or _is_plain_pool(draft.node(through)):
            if isinstance(draft.node(through), Flatten):
                repeats = int(np.prod(graph.shape(draft.inputs(through)[0])[1:]))
                factor, shift = np.repeat(factor, repeats), np.repeat(shift, repeats)
            behind = draft.readers(through)
            if len(behind) != 1:
                raise GraphError(f"{name}: {through} behind it feeds {', '.join(behind)}; fuse needs one layer there")
            (through,) = behind
        layer = draft.node(through)
        if isinstance(layer, Soma):
            _fuse_into_soma(graph, draft, through, factor, shift)
            continue
        if not isinstance(layer, _LAYERS):
            raise GraphError(
                f"{name}: stands between {graph.inputs(name)[0]} and {through} ({layer.kind}); a batch norm can be "
                "fused only next to a convolution, a linear layer or a neuron: move it there"
            )
        if isinstance(layer, Conv2d) and any(layer.padding) and shift.any():
            raise GraphError(
                f"{name}: cannot be fused into {through}, whose zero padding {layer.padding} would need another bias "
                "at the border than inside; put the batch norm after the convolution, or use padding=0"
            )
        draft.replace(through, scale_inputs(layer, factor, shift))


def _fuse_into_soma(graph: Graph, draft: Draft, name: str, factor: Array, shift: Array) -> None:
    (source,) = draft.inputs(name)
    soma = draft.node(name)
    bias = np.asarray(getattr(soma, "bias"), np.float64)  # noqa: B009 - every soma has one, the base does not
    shape = graph.shape(name)
    added = shift if bias.ndim <= 1 else per_channel(shift, shape)
    fields: dict[str, Any] = {"bias": bias + added}
    draft.replace(name, replace(soma, **fields), (draft.add(f"{name}.norm", Scale(weight=factor), (source,)),))


def scale_outputs(layer: Conv2d | Linear, factor: Array, shift: Array) -> Conv2d | Linear:
    """The layer that computes ``factor * layer(x) + shift``, per output channel."""
    bias = np.zeros(len(factor)) if layer.bias is None else layer.bias.astype(np.float64)
    weight = layer.weight * factor.reshape((-1,) + (1,) * (layer.weight.ndim - 1))
    return replace(layer, weight=weight, bias=factor * bias + shift)


def scale_inputs(layer: Conv2d | Linear, factor: Array, shift: Array) -> Conv2d | Linear:
    """The layer that computes ``layer(factor * x + shift)``, per input channel, away from any border."""
    if isinstance(layer, Linear):
        added = layer.weight @ shift
        weight = layer.weight * factor
    else:
        # group g of the outputs reads channels g*per_group ... of the inputs
        out, per_group = layer.weight.shape[:2]
        channel = np.arange(out)[:, None] // (out // layer.groups) * per_group + np.arange(per_group)
        added = (layer.weight.sum(axis=(2, 3), dtype=np.float64) * shift[channel]).sum(axis=1)
        weight = layer.weight * factor[channel][:, :, None, None]
    bias = added if layer.bias is None else layer.bias + added
    return replace(layer, weight=weight, bias=bias if bias.any() or layer.bias is not None else None)
