"""The synapses of a projection one by one, for formats that list them."""

from __future__ import annotations

import math

import numpy as np

from neurocompile.errors import GraphError
from neurocompile.ir.nodes import MOVES, Array, Conv2d, Linear, Node, PadChannels, Scale, Shape, SumPool2d
from neurocompile.ir.populations import Projection
from neurocompile.mapping.biases import flat

#: entries of a sparse matrix: sources, targets, weights
_Entries = tuple[Array, Array, Array]


def synapses(projection: Projection) -> _Entries:
    """Sources, targets (both row-major) and int64 weights of all synapses, by source; paths that meet are one.

    A synapse counts whatever its weight, zero too; what a chip does not store is left out by who asks.
    """
    shape = projection.source_shape
    neurons = np.arange(math.prod(shape))
    entries = (neurons, neurons, np.ones(len(neurons), np.int64))
    for node in projection.operators:
        if not isinstance(node, MOVES):
            entries = _compose(entries, _entries(node, shape))
        shape = node.output_shape(shape)
    sources, targets, weights = entries
    size = math.prod(shape)
    pairs, which = np.unique(sources * size + targets, return_inverse=True)
    totals = np.zeros(len(pairs), np.int64)
    np.add.at(totals, which, weights)
    return pairs // size, pairs % size, totals


def _compose(first: _Entries, second: _Entries) -> _Entries:
    """The product of two sparse matrices: an entry for each path."""
    sources, middles, weights = first
    order = np.argsort(middles, kind="stable")
    sorted_middles = middles[order]
    starts = np.searchsorted(sorted_middles, second[0], side="left")
    counts = np.searchsorted(sorted_middles, second[0], side="right") - starts
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    picked = order[np.repeat(starts, counts) + offsets]
    return sources[picked], np.repeat(second[1], counts), weights[picked] * np.repeat(second[2], counts)


def _entries(node: Node, shape: Shape) -> _Entries:
    """One linear node as a sparse matrix."""
    match node:
        case Linear():
            outputs, inputs = node.weight.shape
            weights = node.weight.astype(np.int64).ravel() << node.weight_exponent
            return np.tile(np.arange(inputs), outputs), np.repeat(np.arange(outputs), inputs), weights
        case Scale():
            neurons = np.arange(math.prod(shape))
            return neurons, neurons, flat(node.weight, shape).astype(np.int64) << node.weight_exponent
        case SumPool2d():
            ones = np.ones((shape[0], 1, *node.kernel), np.int64)
            return _windows(shape, ones, shape[0], node.stride, node.padding, (1, 1))
        case Conv2d():
            weights = node.weight.astype(np.int64) << node.weight_exponent
            spread = node.spread(shape)
            windows = _windows(spread, weights, node.groups, node.stride, node.padding, node.dilation)
            return _compose(_apart(shape, spread, node.upsample), windows) if node.spreads else windows
        case PadChannels():
            neurons = np.arange(math.prod(shape))
            return neurons, neurons + node.before * math.prod(shape[1:]), np.ones(len(neurons), np.int64)
    raise GraphError(f"a {node.kind} stands in a projection, whose synapses cannot be listed; use --format json")


def _apart(shape: Shape, spread: Shape, upsample: tuple[int, int]) -> _Entries:
    """The values of maps of ``shape`` as they lie in maps of the shape ``spread``, among zeros."""
    channel, row, column = np.indices(shape)
    targets = (channel * spread[1] + row * upsample[0]) * spread[2] + column * upsample[1]
    neurons = np.arange(math.prod(shape))
    return neurons, targets.ravel(), np.ones(len(neurons), np.int64)


def _windows(
    shape: Shape,
    weights: Array,
    groups: int,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
) -> _Entries:
    """A convolution of ``shape`` with ``weights`` (outputs, inputs / groups, height, width)."""
    channels, height, width = shape
    outputs, per_group, kernel_h, kernel_w = weights.shape
    sizes = [
        (extent + 2 * pad - gap * (kernel - 1) - 1) // step + 1
        for extent, pad, gap, kernel, step in zip(
            (height, width), padding, dilation, (kernel_h, kernel_w), stride, strict=True
        )
    ]
    o, i, y, x, ky, kx = np.indices((outputs, per_group, *sizes, kernel_h, kernel_w), sparse=True)
    rows = y * stride[0] - padding[0] + ky * dilation[0]
    columns = x * stride[1] - padding[1] + kx * dilation[1]
    source_channel = o // (outputs // groups) * (channels // groups) + i
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    everything = np.broadcast_shapes(o.shape, i.shape, y.shape, x.shape, ky.shape, kx.shape)
    inside = np.broadcast_to(inside, everything)
    sources = np.broadcast_to((source_channel * height + rows) * width + columns, everything)[inside]
    targets = np.broadcast_to((o * sizes[0] + y) * sizes[1] + x, everything)[inside]
    return sources, targets, np.broadcast_to(weights[o, i, ky, kx], everything)[inside]
