"""Which synapses have a weight other than zero, for chips that skip the others or do not store them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurocompile.ir.nodes import MOVES, Array, Conv2d, Linear, Node, PadChannels, Scale, Shape, SumPool2d, per_channel
from neurocompile.ir.populations import Projection
from neurocompile.mapping.synapses import Box, box_index


def nonzero_fan_out(projection: Projection, box: Box) -> Array:
    """int64 over the source's shape: synapses of each source neuron into ``box`` whose weight is not zero; paths where
    pools overlap. ``synapses.fan_out`` counts all.

    The box is followed back through the projection: whatever a node adds up, the way back spreads.
    """
    return _followed_back(projection.operators, projection.source_shape, box)


def nonzero_fan_out_behind_pools(projection: Projection, box: Box) -> Array:
    """The same of the values that the weights read, of that shape: each stands for the neurons of its window."""
    place, shape = projection.operators.index(projection.weighted), projection.source_shape
    for node in projection.operators[:place]:
        shape = node.output_shape(shape)
    return _followed_back(projection.operators[place:], shape, box)


def _followed_back(operators: Sequence[Node], shape: Shape, box: Box) -> Array:
    shapes = [shape]
    for node in operators:
        shapes.append(node.output_shape(shapes[-1]))
    paths: Array = np.zeros(shapes.pop(), np.float64)  # exact, and products of floats are fast
    paths[box_index(box)] = 1
    for node, before in zip(reversed(operators), reversed(shapes), strict=True):
        paths = _back(node, paths, before)
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
            rows = np.flatnonzero(paths)  # a box has few of them, and matrices are large
            spread: Array = paths.ravel()[rows] @ (node.weight[rows] != 0)
            return spread.reshape(shape)
        case Scale():
            kept: Array = paths * per_channel(node.weight != 0, shape)
            return kept
    assert isinstance(node, MOVES)
    return paths.reshape(shape)


def _windows_back(node: Conv2d, paths: Array, shape: Shape) -> Array:
    groups, (outputs, _, rows, columns) = node.groups, node.weight.shape
    grouped = paths.reshape(groups, outputs // groups, -1)
    there = grouped.any(axis=(0, 2))  # a box has few channels
    grouped = grouped[:, there]
    weight = node.weight.reshape(groups, outputs // groups, -1, rows, columns)[:, there]
    # (rows, columns, groups, inputs, outputs), in that order in memory, so that products are fast
    joined = np.ascontiguousarray(np.transpose(weight != 0, (3, 4, 0, 2, 1))).astype(np.float64)
    spread = node.spread(shape)
    (pad_y, pad_x), (height, width) = node.padding, paths.shape[1:]
    padded = np.zeros((groups, joined.shape[3], spread[1] + 2 * pad_y, spread[2] + 2 * pad_x))
    for row in range(rows):
        for column in range(columns):
            part = joined[row, column] @ grouped
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
