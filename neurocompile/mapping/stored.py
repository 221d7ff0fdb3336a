"""What a chip stores of a projection: every synapse that the geometry has, or only those with a weight other than zero.

A list of synapses is *dense* (a weight for each place, zero too) or *sparse* (weights, each with the index of its
place). On a chip that has sparse lists (``synapses.index_bits``), those of a projection are sparse where its weights
other than zero take fewer bits with their indices than all of them without: a network that was not pruned is stored
dense. What is not stored is not there: it takes no memory, no axon, no message and no operation.

The kernel that a core shares between positions is stored in lists too (one per input channel and stride phase), which
become sparse like any other. One-to-one synapses (``Scale``) are always stored. ``synapses`` has the geometry.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from neurocompile.hardware.profile import Profile
from neurocompile.ir.nodes import Array, Conv2d, Scale
from neurocompile.ir.populations import Projection
from neurocompile.mapping import synapses
from neurocompile.mapping.synapses import Box, box_index, entry_bits, geometry_of, shares_kernels
from neurocompile.mapping.weights import nonzero_fan_out, nonzero_fan_out_behind_pools


def is_sparse(projection: Projection, profile: Profile) -> bool:
    """Whether its lists leave zeros out."""
    index, node = profile.synapses.index_bits, projection.weighted
    if index is None or isinstance(node, Scale) or node.weight_bits is None:
        return False
    return projection.nonzero * (node.weight_bits + index.count) < node.weight.size * node.weight_bits


def fan_out(projection: Projection, box: Box, profile: Profile) -> Array:
    """int64 over the source's shape: stored synapses of each source neuron into ``box``; paths where pools overlap."""
    if is_sparse(projection, profile):
        return nonzero_fan_out(projection, box)
    return synapses.fan_out(projection, box)


def reached(projections: Sequence[Projection], box: Box, profile: Profile) -> Array:
    """bool over the source's shape: which have a synapse into ``box`` by any of ``projections``, all of one source."""
    neurons: Array = np.logical_or.reduce([fan_out(projection, box, profile) > 0 for projection in projections])
    return neurons


def axons_in(projections: Sequence[Projection], box: Box, profile: Profile) -> int:
    """Source neurons with a synapse into ``box`` by any of ``projections``, all of one source."""
    if any(is_sparse(projection, profile) for projection in projections):
        return int(reached(projections, box, profile).sum())
    return synapses.axons_in(projections, box)


def fan_in(projection: Projection, box: Box, profile: Profile) -> Array:
    """int64 over the box: the stored synapses that each of its neurons receives through this projection."""
    if is_sparse(projection, profile):
        received: Array = _nonzero_fan_in(projection)[box_index(box)]
        return received
    return synapses.fan_in(projection, box)


def lists(projection: Projection, box: Box, profile: Profile) -> dict[int, int]:
    """How many lists of how many synapses the box's core stores: ``{synapses: lists}``."""
    if not is_sparse(projection, profile):
        return synapses.lists(projection, box, profile)
    if shares_kernels(projection, profile):
        sizes = _kernel_lists(projection, box)
    elif geometry_of(projection).own_lists:
        sizes = nonzero_fan_out(projection, box)
    else:
        sizes = nonzero_fan_out_behind_pools(projection, box)
    found, counts = np.unique(sizes[sizes > 0], return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def list_words(projection: Projection, size: int, profile: Profile) -> int:
    """Memory words of one of its lists, of ``size`` synapses."""
    return profile.synapses.axon_words(size, entry_bits(projection), sparse=is_sparse(projection, profile))


def words_per_axon(projection: Projection, box: Box, profile: Profile) -> Array:
    """int64 over the source's shape: words fetched in the box's core when a message of that source neuron arrives."""
    if not is_sparse(projection, profile):
        return synapses.words_per_axon(projection, box, profile)
    stored = nonzero_fan_out(projection, box)
    if shares_kernels(projection, profile):
        stored = np.where(stored > 0, _kernel_list_of_each(projection, box), 0)
    sizes, which = np.unique(stored, return_inverse=True)
    words = [list_words(projection, int(size), profile) for size in sizes]
    return np.array(words, np.int64)[which].reshape(stored.shape)


@functools.lru_cache(maxsize=16)
def _nonzero_fan_in(projection: Projection) -> Array:
    """int64 over the soma's shape."""
    node = projection.weighted
    kept = dataclasses.replace(node, weight=(node.weight != 0).astype(np.int64), weight_exponent=0, bias=None)
    nodes = tuple(kept if each is node else each for each in projection.nodes)
    every = np.ones((1, *projection.source_shape), np.int64)
    received: Array = dataclasses.replace(projection, nodes=nodes).apply(every)[0]
    return received


# ------------------------------------------------------------------------------------------------------ shared kernels


def _kernel_lists(projection: Projection, box: Box) -> Array:
    """(source channels, phases of rows, of columns): stored entries of each list of a kernel. Phases that no input can
    fall into are left empty."""
    node = projection.weighted
    assert isinstance(node, Conv2d)
    geometry = geometry_of(projection)
    kept = (node.weight != 0) & geometry.present(geometry.regions(box))[:, None, None, None].astype(np.bool_)
    rows, columns = node.weight.shape[2:]
    per_position = kept.reshape(node.groups, -1, *node.weight.shape[1:]).sum(axis=1).reshape(-1, rows, columns)
    sizes = np.zeros((len(per_position), *node.stride), np.int64)
    for row in range(rows):
        for column in range(columns):
            phase = (row * node.dilation[0] % node.stride[0], column * node.dilation[1] % node.stride[1])
            sizes[(slice(None), *phase)] += per_position[:, row, column]
    for axis, stride in enumerate(node.stride):
        never = np.setdiff1d(np.arange(stride), _phases(node, axis, stride))
        sizes[(slice(None),) * (axis + 1) + (never,)] = 0
    return sizes


def _kernel_list_of_each(projection: Projection, box: Box) -> Array:
    """int64 over the source's shape: entries of the list that each neuron points at."""
    node, geometry = projection.weighted, geometry_of(projection)
    assert isinstance(node, Conv2d)
    pools = [axis.pool for axis in geometry.axes]
    rows, columns = (_phases(node, axis, len(pool)) for axis, pool in enumerate(pools))
    sizes = _kernel_lists(projection, box)[:, rows[:, None], columns]
    each: Array = np.swapaxes(np.swapaxes(sizes @ pools[1], 1, 2) @ pools[0], 1, 2)  # a neuron is in one window at most
    return each.reshape(projection.source_shape)


def _phases(node: Conv2d, axis: int, extent: int) -> Array:
    """(extent,): the stride phase that each position of the input falls into."""
    phases: Array = (np.arange(extent) * node.upsample[axis] + node.padding[axis]) % node.stride[axis]
    return phases
