"""Geometry against explicit synapse matrices, and sizes of lists against rules written out slowly."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapping_cases import (
    Triple,
    a_profile,
    boxes,
    build,
    conv,
    dense,
    one_layer,
    projection_of,
    projections,
    quantity,
    readout,
    weights,
    with_ones,
)

from neurocompile.errors import GraphError
from neurocompile.hardware import Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import (
    Add,
    Conv2d,
    DctEncoder,
    Delay,
    DirectEncoder,
    Flatten,
    HybridEncoder,
    Input,
    Node,
    PadChannels,
    PoissonEncoder,
    Readout,
    Recurrent,
    Reshape,
    Scale,
    SumPool2d,
)
from neurocompile.ir.populations import Projection, populations
from neurocompile.mapping import synapses
from neurocompile.mapping.synapses import Box

PLAIN = a_profile(synapses={"shared_kernels": False})
SHARED = a_profile(synapses={"shared_kernels": True})


@functools.lru_cache(maxsize=64)
def matrix_of(projection: Projection) -> np.ndarray:
    """(targets, sources): paths of each pair, by running unit vectors through the operators with weights of one."""
    return _of_units(with_ones(projection))


def nonzero_matrix_of(projection: Projection) -> np.ndarray:
    """The same of the paths whose weight is not zero."""
    nodes = tuple(
        dataclasses.replace(node, weight=(node.weight != 0).astype(np.int64)) if node is projection.weighted else node
        for node in projection.nodes
    )
    return _of_units(dataclasses.replace(projection, nodes=nodes))


def _of_units(projection: Projection) -> np.ndarray:
    size = int(np.prod(projection.source_shape))
    units = np.eye(size, dtype=np.int64).reshape(size, *projection.source_shape)
    return projection.apply(units).reshape(size, -1).T


@functools.lru_cache(maxsize=64)
def window_of(projection: Projection) -> np.ndarray:
    """(pooled positions, sources): the pooling alone."""
    size = int(np.prod(projection.source_shape))
    values = np.eye(size, dtype=np.int64).reshape(size, *projection.source_shape)
    before = projection.nodes[: projection.nodes.index(projection.weighted)]
    pools = tuple(node for node in before if isinstance(node, (SumPool2d, Reshape)))
    return dataclasses.replace(projection, nodes=pools).apply(values).reshape(size, -1).T


def targets(box: Box, shape: tuple[int, ...]) -> list[int]:
    return [int(np.ravel_multi_index(index, shape)) for index in itertools.product(*(range(*span) for span in box))]


def words(count: int, bits: int = 8) -> int:
    """Loihi's blocks of up to 64 synapses with a header of 10 bits, in words of 64 bits."""
    total = 0
    while count > 0:
        total += -(-(min(count, 64) * bits + 10) // 64)
        count -= 64
    return total


def channel_shared(projection: Projection) -> bool:
    node = projection.weighted
    if isinstance(node, Scale):
        before = projection.operators[: projection.operators.index(node)]
        return node.weight.ndim < 2 and not any(isinstance(each, Flatten) for each in before[1:])
    return isinstance(node, Conv2d)


def slow_lists(
    projection: Projection, box: Box, shape: tuple[int, ...], profile: Profile, *, sparse: bool = False
) -> tuple[Counter[int], np.ndarray]:
    """(sizes of lists, size of the list that each source neuron points at), from the matrix and the rules' words.

    ``shape``: the soma's. ``sparse``: weights of zero are not in them."""
    rows = targets(box, shape)
    reach = (nonzero_matrix_of if sparse else matrix_of)(projection)[rows].sum(axis=0)
    pool = window_of(projection)
    if pool.sum(axis=0).max() > 1:
        return Counter(reach[reach > 0].tolist()), reach
    if profile.synapses.shared_kernels and channel_shared(projection):
        return _slow_shared(projection, rows, reach, pool, sparse=sparse)
    windows = {position: members for position, members in enumerate(pool) if members.any()}
    sizes = Counter(int(reach[members > 0][0]) for members in windows.values())
    del sizes[0]
    return sizes, reach


def _slow_shared(
    projection: Projection, rows: list[int], reach: np.ndarray, pool: np.ndarray, *, sparse: bool
) -> tuple[Counter[int], np.ndarray]:
    node = projection.weighted
    shape = projection.source_shape
    for each in projection.operators[: projection.operators.index(node)]:
        shape = each.output_shape(shape)
    grid = node.output_shape(shape)
    last = projection.operators[-1]
    if isinstance(last, PadChannels):
        padded = functools.reduce(
            lambda now, each: each.output_shape(now), projection.operators, projection.source_shape
        )
        first = last.before * int(np.prod(padded[1:]))
        rows = [row - first for row in rows if first <= row < first + int(np.prod(grid))]
    outputs = {row // int(np.prod(grid[1:])) for row in rows}
    if isinstance(node, Conv2d):
        kernel, stride, padding, dilation = node.weight.shape[2:], node.stride, node.padding, node.dilation
        groups, apart = node.groups, node.upsample
    else:
        kernel, stride, padding, dilation = (1, 1), (1, 1), (0, 0), (1, 1)
        groups, apart = shape[0], (1, 1)
    met = [  # the stride phases that an input can fall into
        {(at * gap + pad) % step for at in range(step)} for gap, pad, step in zip(apart, padding, stride, strict=True)
    ]
    of_key: dict[tuple[int, ...], int] = {}
    for channel, output, y, x in itertools.product(range(shape[0]), outputs, range(kernel[0]), range(kernel[1])):
        if channel // (shape[0] // groups) == output // (grid[0] // groups):
            if sparse and node.weight[output, channel % (shape[0] // groups), y, x] == 0:
                continue
            key = (channel, y * dilation[0] % stride[0], x * dilation[1] % stride[1])
            if key[1] in met[0] and key[2] in met[1]:
                of_key[key] = of_key.get(key, 0) + 1
    mine = np.zeros(len(reach), np.int64)
    for source in np.flatnonzero(reach):
        (position,) = np.flatnonzero(pool[:, source])
        index = np.unravel_index(position, shape)
        phase = [
            (int(at) * gap + pad) % step for at, gap, pad, step in zip(index[1:], apart, padding, stride, strict=False)
        ]
        mine[source] = of_key[(int(index[0]), *phase)] if len(shape) == 3 else of_key[(int(index[0]), 0, 0)]
    return Counter(of_key.values()), mine


@settings(max_examples=400, deadline=None)
@given(projections())
def test_fans_agree_with_the_explicit_matrix(case: tuple[Graph, Box]) -> None:
    graph, box = case
    projection = projection_of(graph)
    matrix = matrix_of(projection)[targets(box, graph.shape("lif"))]
    out = synapses.fan_out(projection, box)
    assert out.dtype == np.int64
    assert out.shape == projection.source_shape
    assert out.ravel().tolist() == matrix.sum(axis=0).tolist()
    assert synapses.axons_in([projection], box) == (matrix.sum(axis=0) > 0).sum()
    into = synapses.fan_in(projection, box)
    assert into.shape == tuple(stop - start for start, stop in box)
    assert into.ravel().tolist() == matrix.sum(axis=1).tolist()


#: from (2, 6, 6) to (4, 6, 6), and then to the same values in one row
SIDE_BY_SIDE: list[list[Node]] = [
    [conv(4, 2)],
    [conv(4, 2, 1)],
    [conv(4, 2, groups=2)],
    [conv(4, 2, padding=(2, 2), dilation=(2, 2))],
    [conv(1, 2, 1), PadChannels(before=2, after=1)],
    [Scale(weight=weights(2), weight_bits=8), PadChannels(before=1, after=1)],
    [SumPool2d(kernel=(3, 3), stride=(1, 1), padding=(1, 1)), conv(4, 2, 1)],
]
IN_A_ROW: list[list[Node]] = [
    [Flatten(), dense(20, 72), PadChannels(before=60, after=64)],
    [Reshape(shape=(1, 12, 6)), conv(2, 1), Flatten()],
]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_projections_of_one_source_share_its_axons(data: st.DataObject) -> None:
    """Also where they see its neurons in different shapes."""
    chains, in_a_row = SIDE_BY_SIDE, data.draw(st.booleans())
    if in_a_row:
        chains = [[*chain, Flatten()] for chain in SIDE_BY_SIDE if not isinstance(chain[-1], PadChannels)] + IN_A_ROW
    triples: list[Triple] = [("x", Input(shape=(2, 6, 6)), ()), ("code", PoissonEncoder(), ("x",))]
    ends = []
    for chain in data.draw(st.permutations(chains))[: data.draw(st.integers(2, 3))]:
        end = "code"
        for node in chain:
            triples.append((f"op{len(triples)}", node, (end,)))
            end = triples[-1][0]
        ends.append(end)
    graph = build([*triples, ("sum", Add(), tuple(ends)), ("lif", readout(), ("sum",))], ("lif",))
    (population,) = populations(graph)
    box = data.draw(boxes(population.shape))
    rows = targets(box, population.shape)
    sources = np.any([matrix_of(each)[rows].any(axis=0) for each in population.projections], axis=0)
    assert synapses.axons_in(population.projections, box) == sources.sum()
    assert (synapses.reached(population.projections, box).ravel() == sources).all()


@settings(max_examples=400, deadline=None)
@given(projections())
def test_lists_agree_with_the_rules_written_out(case: tuple[Graph, Box]) -> None:
    graph, box = case
    projection = projection_of(graph)
    for profile in (PLAIN, SHARED):
        sizes, pointed = slow_lists(projection, box, graph.shape("lif"), profile)
        assert synapses.lists(projection, box, profile) == dict(sizes)
        fetched = synapses.words_per_axon(projection, box, profile)
        assert fetched.shape == projection.source_shape
        assert fetched.ravel().tolist() == [words(int(size)) for size in pointed]


def test_fan_in_counts_padding_out() -> None:
    """A 3 x 3 kernel on 3 x 3 pixels of two channels: 4 positions at a corner, 6 at an edge, 9 in the middle."""
    projection = projection_of(one_layer((2, 3, 3), [conv(1, 2)]))
    assert synapses.fan_in(projection, ((0, 1), (0, 3), (0, 3))).tolist() == [[[8, 12, 8], [12, 18, 12], [8, 12, 8]]]


def test_a_convolution_by_hand() -> None:
    """16 channels to 32 at 3 x 3, 8 bits: 288 synapses per input channel are 4 blocks of 64 and one of 32."""
    projection = projection_of(one_layer((16, 8, 8), [conv(32, 16)]))
    box = synapses.full_box((32, 8, 8))
    assert synapses.lists(projection, box, SHARED) == {288: 16}
    assert SHARED.synapses.axon_words(288, synapses.entry_bits(projection)) == 4 * 9 + 5
    # each of 1024 source neurons its own: 4 corners, 24 at the edges and 36 within, of 4, 6 and 9 positions
    assert synapses.lists(projection, box, PLAIN) == {128: 16 * 4, 192: 16 * 24, 288: 16 * 36}


def test_stride_phases_by_hand() -> None:
    """Kernel 3 and stride 2: an even position of the padded input meets positions 0 and 2, an odd one position 1."""
    projection = projection_of(one_layer((1, 8, 8), [conv(4, 1, stride=(2, 2))]))
    box = synapses.full_box((4, 4, 4))
    assert synapses.lists(projection, box, SHARED) == {16: 1, 8: 2, 4: 1}


def test_a_pooling_window_shares_its_list() -> None:
    pool = SumPool2d(kernel=(2, 2), stride=(2, 2))
    projection = projection_of(one_layer((3, 4, 4), [pool, Flatten(), dense(10, 12)]))
    assert synapses.lists(projection, ((0, 10),), PLAIN) == {10: 12}
    assert synapses.axons_in([projection], ((0, 10),)) == 48
    assert synapses.words_per_axon(projection, ((0, 10),), PLAIN).sum() == 48 * words(10)


def test_overlapping_pools_store_a_list_per_neuron() -> None:
    pool = SumPool2d(kernel=(3, 3), stride=(1, 1))
    projection = projection_of(one_layer((1, 3, 4), [pool, conv(2, 1, 1)]))
    # one row of two windows: the two columns that both cover have two paths into each of two channels
    assert synapses.lists(projection, ((0, 2), (0, 1), (0, 2)), SHARED) == {4: 6, 2: 6}


@pytest.mark.parametrize(
    ("low", "high", "bits"),
    [(0, 1, 1), (0, 255, 8), (0, 256, 9), (-127, 127, 8), (-128, 127, 8), (-129, 1, 9), (-1, 0, 1)],
)
def test_payload_bits(low: int, high: int, bits: int) -> None:
    assert synapses.payload_bits(DirectEncoder(scale=1.0, low=low, high=high)) == bits


def test_bit_planes() -> None:
    binary = a_profile(base="loihi1-davies2018")
    nibble = a_profile(numerics={"payload_bits": quantity(4, "bits")})
    byte = DirectEncoder(scale=1.0, low=0, high=255)
    assert synapses.bit_planes(byte, binary) == 8
    assert synapses.bit_planes(byte, nibble) == 8
    assert synapses.bit_planes(byte, SHARED) == 1
    assert synapses.bit_planes(DirectEncoder(scale=1.0, low=0, high=1), binary) == 1
    assert synapses.bit_planes(DirectEncoder(), binary) == 1  # not quantized yet
    assert synapses.bit_planes(HybridEncoder(timesteps=4, scale=64.0, low=-127, high=127), binary) == 8
    assert synapses.bit_planes(DctEncoder(scale=64.0, low=-127, high=127), SHARED) == 1
    assert synapses.bit_planes(PoissonEncoder(), binary) == 2
    assert synapses.bit_planes(PoissonEncoder(), SHARED) == 1
    assert synapses.bit_planes(Readout(), binary) == 1


def test_a_delay_moves_no_synapse() -> None:
    graph = one_layer((2, 4, 4), [conv(3, 2)])
    plain = projection_of(graph)
    late = dataclasses.replace(plain, names=("wait", *plain.names), nodes=(Delay(steps=3), *plain.nodes))
    box = ((0, 2), (1, 3), (0, 4))
    assert synapses.lists(late, box, SHARED) == synapses.lists(plain, box, SHARED)
    assert (synapses.fan_out(late, box) == synapses.fan_out(plain, box)).all()


@pytest.mark.parametrize("operators", [[conv(3, 2)], [SumPool2d(kernel=(2, 2), stride=(2, 2)), Flatten(), dense(3, 8)]])
def test_neurons_share_a_list_only_where_they_share_a_delay(operators: list[Node]) -> None:
    graph = one_layer((2, 4, 4), operators)
    plain, box = projection_of(graph), synapses.full_box(graph.shape("lif"))

    def late(axon_steps: np.ndarray) -> Projection:
        past = Recurrent(shape=(2, 4, 4), axon_steps=axon_steps)
        return dataclasses.replace(plain, names=("late", *plain.names), nodes=(past, *plain.nodes))

    by_channel, by_neuron = late(np.arange(2)), late(np.arange(32).reshape(2, 4, 4))
    for profile in (PLAIN, SHARED):
        assert synapses.lists(by_channel, box, profile) == synapses.lists(plain, box, profile)
        reach = synapses.fan_out(plain, box)
        assert synapses.lists(by_neuron, box, profile) == Counter(reach.ravel().tolist())
        assert synapses.words_per_axon(by_neuron, box, profile).ravel().tolist() == [words(n) for n in reach.ravel()]
        assert (synapses.fan_in(by_neuron, box) == synapses.fan_in(plain, box)).all()  # delays multiply no synapse


def test_weights_without_a_width_are_refused() -> None:
    projection = projection_of(one_layer((4,), [dense(2, 4)]))
    bare = dataclasses.replace(projection, nodes=(dataclasses.replace(projection.nodes[0], weight_bits=None),))
    with pytest.raises(GraphError, match=r"op0: weight_bits is not declared; run the quantize pass"):
        synapses.words_per_axon(bare, ((0, 2),), PLAIN)


def test_a_source_of_two_axes_behind_a_flatten() -> None:
    projection = projection_of(one_layer((4, 5), [Flatten(), dense(3, 20)]))
    assert synapses.fan_out(projection, ((1, 3),)).tolist() == [[2] * 5] * 4
    assert synapses.axons_in([projection], ((1, 3),)) == 20
