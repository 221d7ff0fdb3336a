"""The geometry of a projection: which sources reach which neurons, and what their synapses take in memory.

Everything is structural: a weight counts whatever its value; what a chip leaves out of that is in ``stored``. A
projection factors into channels, rows and columns (a ``Linear`` is a convolution whose kernel covers its whole input, a
``Scale`` one of a single position per channel), so all counts come from small vectors per axis and no layer is ever
built as a matrix.

How synapses are stored. A message names a *list* of synapses in its target core:

* a convolution on a chip with shared kernels: per core, input channel and stride phase one list, of that phase's
  kernel positions x the box's output channels. A ``Scale`` of one weight per channel: one entry per channel;
* anything else: per source neuron that reaches the box one list, of its synapses there. The neurons of one pooling
  window point at one list;
* pooling windows that overlap: per source neuron one list, of its paths, whatever the chip shares;
* neurons of one channel with different delays: the same, since a delay is stored with the synapses.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neurocompile.errors import GraphError
from neurocompile.hardware.profile import Profile
from neurocompile.ir.nodes import (
    ANALOG,
    MOVES,
    Analog,
    Array,
    Conv2d,
    Linear,
    Node,
    PadChannels,
    PoissonEncoder,
    Shape,
    SumPool2d,
)
from neurocompile.ir.populations import Projection

#: a half-open range for each axis of a soma's shape
Box = tuple[tuple[int, int], ...]

#: kernel, stride, padding, dilation, upsample and end_padding along one axis
_Window = tuple[int, int, int, int, int, int]


def full_box(shape: Shape) -> Box:
    """All neurons of a soma of this shape."""
    return tuple((0, extent) for extent in shape)


def box_size(box: Box) -> int:
    """How many neurons a box holds."""
    return math.prod(stop - start for start, stop in box)


def box_index(box: Box) -> tuple[slice, ...]:
    """What picks a box out of an array over the soma's shape."""
    return tuple(slice(*span) for span in box)


def fan_out(projection: Projection, box: Box) -> Array:
    """int64 over the source's shape: synapses of each source neuron into ``box``; paths where pools overlap."""
    geometry = geometry_of(projection)
    synapses = sum(
        (_outer(geometry.reach(region)) for region in geometry.regions(box)),
        start=np.zeros(geometry.source, np.int64),
    )
    return synapses.reshape(projection.source_shape)


def reached(projections: Sequence[Projection], box: Box) -> Array:
    """bool over the source's shape: which have a synapse into ``box`` by any of ``projections``, all of one source."""
    neurons: Array = np.logical_or.reduce([fan_out(projection, box) > 0 for projection in projections])
    return neurons


def axons_in(projections: Sequence[Projection], box: Box) -> int:
    """Source neurons with a synapse into ``box`` by any of ``projections``, all of one source."""
    geometries = [geometry_of(projection) for projection in projections]
    if len({geometry.source for geometry in geometries}) > 1:  # they see it in different shapes
        return int(reached(projections, box).sum())
    counts = _tally([geometry.reach(region) for geometry in geometries for region in geometry.regions(box)])
    return sum(counts.values())


def fan_in(projection: Projection, box: Box) -> Array:
    """int64 over the box: the synapses that each of its neurons receives through this projection."""
    geometry = geometry_of(projection)
    received = np.zeros([stop - start for start, stop in box], np.int64)
    if regions := geometry.regions(box):
        inflow = np.concatenate([_outer(geometry.inflow(region)).ravel() for region in regions])
        first = max(geometry.first - box[0][0], 0)
        rows = inflow.reshape(-1, *received.shape[1:])
        received[first : first + len(rows)] = rows
    return received


def lists(projection: Projection, box: Box, profile: Profile) -> dict[int, int]:
    """How many lists of how many synapses the box's core stores: ``{synapses: lists}``."""
    geometry = geometry_of(projection)
    regions = geometry.regions(box)
    if _shares(geometry, profile):
        return _tally([(geometry.kernels(regions), *(axis.phases for axis in geometry.axes))])
    if geometry.own_lists:
        return _tally([geometry.reach(region) for region in regions])
    return _tally([geometry.pooled_reach(region) for region in regions])


def words_per_axon(projection: Projection, box: Box, profile: Profile) -> Array:
    """int64 over the source's shape: words fetched in the box's core when a message of that source neuron arrives."""
    geometry = geometry_of(projection)
    synapses = fan_out(projection, box)
    if _shares(geometry, profile):
        kernels = geometry.kernels(geometry.regions(box))
        stored = _outer([kernels, *(axis.positions for axis in geometry.axes)]).reshape(synapses.shape)
        synapses = np.where(synapses > 0, stored, 0)
    sizes, which = np.unique(synapses, return_inverse=True)
    words = [profile.synapses.axon_words(int(size), entry_bits(projection)) for size in sizes]
    return np.array(words, np.int64)[which].reshape(synapses.shape)


def shares_kernels(projection: Projection, profile: Profile) -> bool:
    """Whether its weights are stored once per core for all positions."""
    return _shares(geometry_of(projection), profile)


def entry_bits(projection: Projection) -> int:
    """Bits of one stored synapse."""
    bits = projection.weighted.weight_bits
    if bits is None:
        raise GraphError(f"{projection.name}: weight_bits is not declared; run the quantize pass before mapping")
    return bits


def payload_bits(encoder: Analog) -> int:
    """Bits of what an integer encoder sends, two's complement where it may be negative."""
    signed = encoder.low < 0
    largest = max(encoder.high, -encoder.low - 1 if signed else 1)
    return largest.bit_length() + signed


def bit_planes(source: Node, profile: Profile) -> int:
    """The in-axons, and the copies of its lists, that one neuron of a projection's ``source`` needs in a core.

    An analog input of b bits reaches a chip whose spikes carry fewer as b binary axons, one per bit, whose weights
    the weight exponent shifts: exact, and the top bit of a signed input has its weights negated. Signed Poisson
    spikes reach a chip without signed spikes as two binary axons, the second with its weights negated.
    """
    payload = profile.numerics.payload_bits.count
    if isinstance(source, ANALOG) and source.scale is not None:
        bits = payload_bits(source)
        return bits if bits > max(payload, 1) else 1
    if isinstance(source, PoissonEncoder):
        return 1 if "signed" in profile.neuron.spikes or payload >= 2 else 2
    return 1


# --------------------------------------------------------------------------------------------------------- geometry


@dataclass(frozen=True)
class _Axis:
    """One axis of a projection behind the channels. Matrices count paths."""

    pool: Array  # (pooled, source)
    kernel: Array  # (target, pooled), 0 or 1
    phases: Array  # kernel positions of each stride phase
    positions: Array  # (source,): kernel positions of the phase that the neuron falls into
    paths: Array  # (target, source)


@dataclass(frozen=True)
class Geometry:
    """A projection as a grouped convolution from ``source`` to ``grid``, both of as many axes. What the population
    sends comes in the shape ``source``; what the grid gives has the shape ``sums`` and is the soma's channels from
    ``first`` on."""

    source: Shape
    grid: Shape
    sums: Shape
    first: int
    groups: int
    axes: tuple[_Axis, ...]
    one_kernel: bool  # weights do not depend on the position
    delays_differ: bool  # those of one channel's neurons

    @property
    def own_lists(self) -> bool:
        """Whether each source neuron needs a list of its own."""
        return self.delays_differ or any(axis.pool.sum(axis=0).max() > 1 for axis in self.axes)

    def fed(self, box: Box) -> Box:
        """The part of a soma's box that the projection feeds, as a box of ``sums``; its first range may be empty."""
        (start, stop), *rest = box
        low, high = max(start - self.first, 0), min(stop - self.first, self.sums[0])
        return ((low, max(low, high)), *rest)

    def regions(self, box: Box) -> list[Box]:
        """The boxes of the grid that feed a soma's ``box``."""
        fed = self.fed(box)
        if self.groups == 1 and math.prod(self.grid[1:]) == 1:
            # all outputs have the same sources, so that it matters only how many there are
            return [((0, box_size(fed)), *full_box(self.grid[1:]))] if box_size(fed) else []
        return _regions(fed, self.sums, self.grid) if fed[0][0] < fed[0][1] else []

    def present(self, regions: Sequence[Box]) -> Array:
        """int64 (output channels,): 1 for those in ``regions``."""
        present = np.zeros(self.grid[0], np.int64)
        for (start, stop), *_ in regions:
            present[start:stop] = 1
        return present

    def kernels(self, regions: Sequence[Box]) -> Array:
        """(source channels,): to how many of the output channels in ``regions`` each is connected."""
        by_group = self.present(regions).reshape(self.groups, -1).sum(axis=1)
        return np.repeat(by_group, self.source[0] // self.groups)

    def channels(self, span: tuple[int, int]) -> Array:
        """(source channels,): to how many output channels within ``span`` each is connected."""
        per_group = self.grid[0] // self.groups
        starts = np.arange(self.groups) * per_group
        overlap = np.minimum(starts + per_group, span[1]) - np.maximum(starts, span[0])
        return np.repeat(np.maximum(overlap, 0), self.source[0] // self.groups)

    def reach(self, region: Box) -> list[Array]:
        """A vector per source axis, whose outer product is the synapses of each source neuron into ``region``."""
        spans = zip(self.axes, region[1:], strict=True)
        return [self.channels(region[0]), *(axis.paths[start:stop].sum(axis=0) for axis, (start, stop) in spans)]

    def pooled_reach(self, region: Box) -> list[Array]:
        """The same for the pooled positions, each of which stands for the neurons of its window."""
        spans = zip(self.axes, region[1:], strict=True)
        return [self.channels(region[0]), *(axis.kernel[start:stop].sum(axis=0) for axis, (start, stop) in spans)]

    def inflow(self, region: Box) -> list[Array]:
        """A vector per target axis, whose outer product is the synapses that each neuron of ``region`` receives."""
        channels = np.full(region[0][1] - region[0][0], self.source[0] // self.groups)
        spans = zip(self.axes, region[1:], strict=True)
        return [channels, *(axis.paths[start:stop].sum(axis=1) for axis, (start, stop) in spans)]


def geometry_of(projection: Projection) -> Geometry:
    node, operators = projection.weighted, projection.operators
    place = operators.index(node)
    before, behind = operators[:place], operators[place + 1 :]
    pools = [each for each in before if isinstance(each, SumPool2d)]
    source = projection.source_shape
    if before and isinstance(before[0], MOVES):
        source = before[0].output_shape(source)
    axes = []
    for index, extent in enumerate(source[1:]):
        windows = tuple((pool.kernel[index], pool.stride[index], pool.padding[index], 1, 1, 0) for pool in pools)
        last: _Window | None = None if isinstance(node, Linear) else (1, 1, 0, 1, 1, 0)
        if isinstance(node, Conv2d):
            fields = (node.stride, node.padding, node.dilation, node.upsample, node.end_padding)
            stride, padding, dilation, upsample, end = (field[index] for field in fields)
            last = (node.weight.shape[2 + index], stride, padding, dilation, upsample, end)
        axes.append(_axis(extent, windows, last))
    shape = projection.source_shape
    for each in before:
        shape = each.output_shape(shape)
    outputs, groups, one_kernel = source[0], source[0], False
    if isinstance(node, Conv2d):
        outputs, groups, one_kernel = node.weight.shape[0], node.groups, True
    elif isinstance(node, Linear):
        outputs, groups = node.weight.shape[0], 1
    elif node.weight.ndim <= 1:
        one_kernel = shape[0] == source[0]
    first, sums = 0, node.output_shape(shape)
    for each in behind:
        if isinstance(each, PadChannels):
            first = each.before
        else:
            sums = each.output_shape(sums)
    grid = (outputs, *(axis.paths.shape[0] for axis in axes))
    delays_differ = projection.past is not None and projection.past.delays.ndim > 1
    return Geometry(source, grid, sums, first, groups, tuple(axes), one_kernel, delays_differ)


@functools.lru_cache(maxsize=1024)
def _axis(size: int, pools: tuple[_Window, ...], last: _Window | None) -> _Axis:
    """``last`` is the weighted operator's window; None where it covers everything."""
    pool: Array = np.eye(size, dtype=np.int64)
    for window in pools:
        pool = _window_paths(pool.shape[0], window) @ pool
    pooled = pool.shape[0]
    kernel, stride, padding, dilation, upsample, _ = last = last or (pooled, 1, 0, 1, 1, 0)
    counts = np.bincount(np.arange(kernel) * dilation % stride, minlength=stride)
    positions = counts[(np.arange(pooled) * upsample + padding) % stride] @ pool
    paths = _window_paths(pooled, last)
    phases = counts[np.unique((np.arange(stride) * upsample + padding) % stride)]
    return _Axis(pool, paths, phases[phases > 0], positions, paths @ pool)


def _window_paths(size: int, window: _Window) -> Array:
    """(positions of the window, size): 1 where the window covers the element."""
    kernel, stride, padding, dilation, upsample, end = window
    extent = (size - 1) * upsample + 1 + end
    outputs = (extent + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    covered = np.arange(outputs)[:, None] * stride - padding + np.arange(kernel) * dilation
    matrix: Array = (covered[:, :, None] == np.arange(size) * upsample).sum(axis=1)
    return matrix


def _shares(geometry: Geometry, profile: Profile) -> bool:
    return profile.synapses.shared_kernels and geometry.one_kernel and not geometry.own_lists


def _regions(box: Box, shape: Shape, grid: Shape) -> list[Box]:
    """``box`` of ``shape``, which may have other axes than the grid for the same values, as boxes of the grid."""
    if shape == grid:
        return [box]
    if [extent for extent in shape if extent > 1] == [extent for extent in grid if extent > 1]:
        spans = iter([span for span, extent in zip(box, shape, strict=True) if extent > 1])
        return [tuple(next(spans) if extent > 1 else (0, 1) for extent in grid)]
    axis = len(shape) - 1
    while axis and box[axis] == (0, shape[axis]):
        axis -= 1
    inner = math.prod(shape[axis + 1 :])  # axes behind this one are whole, so that a range of it is one of values
    regions = []
    for lead in itertools.product(*(range(*span) for span in box[:axis])):
        line = 0
        for index, extent in zip(lead, shape, strict=False):
            line = line * extent + index
        start, stop = (line * shape[axis] + end for end in box[axis])
        regions += _unflatten(start * inner, stop * inner, grid)
    return regions


def _unflatten(start: int, stop: int, grid: Shape) -> list[Box]:
    """The boxes, in order, that make up ``start`` to ``stop`` of the flattened grid."""
    if start >= stop:
        return []
    if len(grid) == 1:
        return [((start, stop),)]
    inner = math.prod(grid[1:])
    first, last = -(-start // inner), stop // inner  # whole slabs are first to last
    if first > last:
        rest = _unflatten(start % inner, stop - last * inner, grid[1:])
        return [((last, last + 1), *region) for region in rest]
    head = _unflatten(start % inner, inner, grid[1:]) if start % inner else []
    tail = _unflatten(0, stop % inner, grid[1:])
    whole: list[Box] = [((first, last), *full_box(grid[1:]))] if last > first else []
    return [
        *(((first - 1, first), *region) for region in head),
        *whole,
        *(((last, last + 1), *region) for region in tail),
    ]


def _outer(vectors: Sequence[Array]) -> Array:
    return functools.reduce(np.multiply.outer, vectors)


def _tally(parts: Sequence[Sequence[Array]]) -> dict[int, int]:
    """``{value: how often}`` for the positive values of the sum of the parts' outer products, without building it."""
    if not parts:
        return {}
    axes = [np.unique(np.stack(vectors), axis=1, return_counts=True) for vectors in zip(*parts, strict=True)]
    values = sum(_outer([distinct[part] for distinct, _ in axes]) for part in range(len(parts)))
    counts = _outer([repeats for _, repeats in axes])
    tally: dict[int, int] = {}
    for value, count in zip(np.ravel(values).tolist(), counts.ravel().tolist(), strict=True):
        if value > 0:
            tally[value] = tally.get(value, 0) + count
    return tally
