"""Synapses with a weight other than zero, against the explicit matrix of all projections that can be."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from mapping_cases import conv, one_layer, projection_of, projections

from neurocompile.ir.graph import Graph
from neurocompile.ir.populations import Projection
from neurocompile.mapping import synapses
from neurocompile.mapping.synapses import Box
from neurocompile.mapping.weights import nonzero_fan_out


def with_weights(projection: Projection, weight: np.ndarray) -> Projection:
    nodes = tuple(
        dataclasses.replace(node, weight=weight) if node is projection.weighted else node for node in projection.nodes
    )
    return dataclasses.replace(projection, nodes=nodes)


@settings(max_examples=300)
@given(projections(), st.integers(0, 2**32 - 1), st.sampled_from((0.0, 0.5, 1.0)))
def test_paths_over_weights_that_are_not_zero(case: tuple[Graph, Box], seed: int, share: float) -> None:
    graph, box = case
    projection = projection_of(graph)
    rng = np.random.default_rng(seed)
    shape = projection.weighted.weight.shape
    kept = rng.random(shape) < share
    pruned = with_weights(projection, kept * rng.integers(1, 8, shape) * rng.choice((-1, 1), shape))
    size = int(np.prod(projection.source_shape))
    units = np.eye(size, dtype=np.int64).reshape(size, *projection.source_shape)
    paths = with_weights(projection, kept.astype(np.int64)).apply(units)
    into = paths[(slice(None), *synapses.box_index(box))].reshape(size, -1).sum(axis=1)
    found = nonzero_fan_out(pruned, box)
    assert found.dtype == np.int64
    assert found.shape == projection.source_shape
    assert found.ravel().tolist() == into.tolist()
    assert (found <= synapses.fan_out(projection, box)).all()


def test_by_hand() -> None:
    """A kernel with the left column pruned: of a row of three pixels, each reaches the middle of it and the right."""
    projection = projection_of(one_layer((1, 1, 3), [conv(1, 1, 3)]))
    weight = np.ones((1, 1, 3, 3), np.int64)
    weight[..., 0] = 0
    pruned = with_weights(projection, weight)
    # a pixel is the middle of its own window, and on the right of the window to its left, which the first has not
    assert nonzero_fan_out(pruned, ((0, 1), (0, 1), (0, 3))).tolist() == [[[1, 2, 2]]]
    assert synapses.fan_out(pruned, ((0, 1), (0, 1), (0, 3))).tolist() == [[[2, 3, 2]]]
