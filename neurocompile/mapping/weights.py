"""Which synapses have a weight other than zero, for chips that skip the others: all else in mapping is structural."""

from __future__ import annotations

import numpy as np

from neurocompile.ir.nodes import MOVES, Array, Conv2d, Linear, Node, PadChannels, Scale, Shape, SumPool2d, per_channel
from neurocompile.ir.populations import Projection
from neurocompile.mapping.synapses import Box, box_index


def nonzero_fan_out(projection: Projection, box: Box) -> Array:
    """int64 over the source's shape: synapses of each source neuron into ``box`` whose weight is not zero; paths where
    pools overlap. ``synapses.fan_out`` counts all.

    The box is followed back through the projection: whatever a node adds up, the way back spreads.
    """
    shapes = [projection.source_shape]
    for node in projection.operators:
        shapes.append(node.output_shape(shapes[-1]))
    paths: Array = np.zeros(shapes.pop(), np.float64)  # exact, and products of floats are fast
    paths[box_index(box)] = 1
    for node, shape in zip(reversed(projection.operators), reversed(shapes), strict=True):
        paths = _back(node, paths, shape)
    return paths.astype(np.int64)


def _back(node: Node, paths: Array, shape: Shape) -> Array:
    """Paths from each output of ``node`` -> paths from each of its inputs, of ``shape``."""
    match node:
        case PadChannels():
            return paths[node.before : node.before + shape[0]]
        case SumPool2d():
            every = np.ones((shape[0], 1, *node.kernel))
            return _windows_back(Conv2d(weight=every, stride=node.stride, padding=node.padding, groups=shape[0]),
                                 paths, shape)  # fmt: skip
        case Conv2d():
            return _windows_back(node, paths, shape)
        case Linear():
            spread: Array = paths.ravel() @ (node.weight != 0)
            return spread.reshape(shape)
        case Scale():
            kept: Array = paths * per_channel(node.weight != 0, shape)
            return kept
    assert isinstance(node, MOVES)
    return paths.reshape(shape)


def _windows_back(node: Conv2d, paths: Array, shape: Shape) -> Array:
    groups, (outputs, _, rows, columns) = node.groups, node.weight.shape
    joined = (node.weight != 0).astype(np.float64).reshape(groups, outputs // groups, -1, rows, columns)
    spread = node.spread(shape)
    (pad_y, pad_x), (height, width) = node.padding, paths.shape[1:]
    padded = np.zeros((groups, joined.shape[2], spread[1] + 2 * pad_y, spread[2] + 2 * pad_x))
    grouped = paths.reshape(groups, outputs // groups, -1)
    for row in range(rows):
        for column in range(columns):
            part = np.swapaxes(joined[..., row, column], 1, 2) @ grouped
            top, left = row * node.dilation[0], column * node.dilation[1]
            padded[
                :,
                :,
                top : top + (height - 1) * node.stride[0] + 1 : node.stride[0],
                left : left + (width - 1) * node.stride[1] + 1 : node.stride[1],
            ] += part.reshape(groups, -1, height, width)
    inner = padded[
        ...,
        pad_y : pad_y + (shape[1] - 1) * node.upsample[0] + 1 : node.upsample[0],
        pad_x : pad_x + (shape[2] - 1) * node.upsample[1] + 1 : node.upsample[1],
    ]
    return inner.reshape(shape)
