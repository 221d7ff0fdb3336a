"""Fuse batch norm into a neighbouring convolution or linear layer (Rueckauer et al. 2017).

after a layer :  factor*(W x + b) + shift = (factor*W) x + (factor*b + shift)
before a layer:  W (factor*x + shift) + b = (W*factor) x + (W shift + b)

Where neither is exact, as behind a neuron whose spikes go straight to another, behind a Concat, or before zero padding,
it becomes a ``Scale`` of one weight and one bias per channel, which ``split_projections`` brings into weights and
biases, those of single neurons where need be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from neurocompile.ir.graph import Draft, Graph
from neurocompile.ir.nodes import Array, AvgPool2d, BatchNorm, Conv2d, Flatten, Linear, Node, Scale

_LAYERS = (Conv2d, Linear)


@dataclass(frozen=True)
class FuseBatchNorm:
    name: ClassVar[str] = "fuse_batchnorm"

    def run(self, graph: Graph) -> Graph:
        draft = graph.edit()
        for name in graph.of_kind(BatchNorm):
            norm = draft.node(name)
            assert isinstance(norm, BatchNorm)
            layers = _fused_producer(draft, name, norm) or _fused_consumers(graph, draft, name, norm)
            for layer, fused in layers.items():
                draft.replace(layer, fused)
            if layers:
                draft.bypass(name)
            else:
                draft.replace(name, Scale(weight=norm.factor, bias=norm.shift if norm.shift.any() else None))
        return draft.finish("fused")


def _is_plain_pool(node: Node) -> bool:
    return isinstance(node, AvgPool2d) and not any(node.padding)


def _fused_producer(draft: Draft, name: str, norm: BatchNorm) -> dict[str, Node]:
    """The layer whose output the batch norm alone sees, perhaps through pools, with it; empty where there is none."""
    reader, producer = name, draft.inputs(name)[0]
    while draft.readers(producer) == [reader]:
        layer = draft.node(producer)
        if isinstance(layer, _LAYERS):
            return {producer: scale_outputs(layer, norm.factor, norm.shift)}
        if not _is_plain_pool(layer):
            break
        reader, (producer,) = producer, draft.inputs(producer)
    return {}


def _fused_consumers(graph: Graph, draft: Draft, name: str, norm: BatchNorm) -> dict[str, Node]:
    """The layers that read the batch norm, perhaps through pools and a Flatten, with it; empty where a reader is none,
    or is one that pads with zeros what is not zero."""
    layers: dict[str, Node] = {}
    for reader in draft.readers(name):
        factor, shift, through = norm.factor, norm.shift, reader
        while isinstance(draft.node(through), Flatten) or _is_plain_pool(draft.node(through)):
            if isinstance(draft.node(through), Flatten):
                repeats = int(np.prod(graph.shape(draft.inputs(through)[0])[1:]))
                factor, shift = np.repeat(factor, repeats), np.repeat(shift, repeats)
            behind = draft.readers(through)
            if len(behind) != 1:
                return {}
            (through,) = behind
        layer = draft.node(through)
        padded = isinstance(layer, Conv2d) and (any(layer.padding) or layer.spreads)
        if not isinstance(layer, _LAYERS) or (padded and shift.any()):
            return {}
        layers[through] = scale_inputs(layer, factor, shift)
    return layers


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
