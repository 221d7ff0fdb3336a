"""What sparse lists leave out, against explicit matrices of the weights that are not zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapping_cases import a_profile, build, conv, dense, neuron, one_layer, projection_of, projections, readout
from test_synapses import PLAIN, SHARED, nonzero_matrix_of, slow_lists, targets
from test_weights import with_weights

from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Add, DirectEncoder, Flatten, Input, Node, Scale, SumPool2d
from neurocompile.ir.populations import Projection, populations
from neurocompile.mapping import stored, synapses
from neurocompile.mapping.partition import partition
from neurocompile.mapping.synapses import Box

DENSE_ONLY = a_profile(synapses={"index_bits": None})


def pruned(projection: Projection, share: float, seed: int = 0) -> Projection:
    """The same, with so many of its weights left, rounded down; which ones is drawn."""
    shape = projection.weighted.weight.shape
    weight = np.zeros(int(np.prod(shape)), np.int16)
    weight[np.random.default_rng(seed).permutation(weight.size)[: int(share * weight.size)]] = -3
    return with_weights(projection, weight.reshape(shape))


def words(count: int) -> int:
    """Loihi's blocks of up to 64 synapses of 8 + 10 bits with a header of 10 bits, in words of 64 bits."""
    total = 0
    while count > 0:
        total += -(-(min(count, 64) * 18 + 10) // 64)
        count -= 64
    return total


@settings(max_examples=400, deadline=None)
@given(projections(), st.integers(0, 2**32 - 1), st.sampled_from((0.0, 0.1, 0.4)))
def test_sparse_lists_hold_what_is_not_zero(case: tuple[Graph, Box], seed: int, share: float) -> None:
    graph, box = case
    shape = graph.shape("lif")
    projection = pruned(projection_of(graph), share, seed)
    if isinstance(projection.weighted, Scale):
        assert not stored.is_sparse(projection, SHARED)
        return
    matrix = nonzero_matrix_of(projection)[targets(box, shape)]
    for profile in (PLAIN, SHARED):
        assert stored.is_sparse(projection, profile)
        out = stored.fan_out(projection, box, profile)
        assert out.shape == projection.source_shape
        assert out.ravel().tolist() == matrix.sum(axis=0).tolist()
        assert stored.reached([projection], box, profile).ravel().tolist() == (matrix.sum(axis=0) > 0).tolist()
        assert stored.axons_in([projection], box, profile) == (matrix.sum(axis=0) > 0).sum()
        into = stored.fan_in(projection, box, profile)
        assert into.shape == tuple(stop - start for start, stop in box)
        assert into.ravel().tolist() == matrix.sum(axis=1).tolist()
        sizes, pointed = slow_lists(projection, box, shape, profile, sparse=True)
        assert stored.lists(projection, box, profile) == dict(sizes)
        fetched = stored.words_per_axon(projection, box, profile)
        assert fetched.shape == projection.source_shape
        assert fetched.ravel().tolist() == [words(int(size)) for size in pointed]


@settings(max_examples=100, deadline=None)
@given(projections())
def test_dense_lists_hold_all(case: tuple[Graph, Box]) -> None:
    """Four of five weights are not zero; and nothing is sparse on a chip that has no sparse lists."""
    graph, box = case
    projection = projection_of(graph)
    for each, profile in ((projection, PLAIN), (projection, SHARED), (pruned(projection, 0.1), DENSE_ONLY)):
        if projection.nonzero * 18 < projection.weighted.weight.size * 8:
            continue  # of a single weight, or so few that most are zero
        assert not stored.is_sparse(each, profile)
        assert (stored.fan_out(each, box, profile) == synapses.fan_out(each, box)).all()
        assert (stored.fan_in(each, box, profile) == synapses.fan_in(each, box)).all()
        assert stored.axons_in([each], box, profile) == synapses.axons_in([each], box)
        assert stored.lists(each, box, profile) == synapses.lists(each, box, profile)
        assert (stored.words_per_axon(each, box, profile) == synapses.words_per_axon(each, box, profile)).all()
        assert stored.list_words(each, 20, profile) == 3  # 20 * 8 + 10 bits


@pytest.mark.parametrize(("left", "sparse"), [(0, True), (15, True), (16, False), (36, False)])
def test_where_sparse_lists_begin(left: int, sparse: bool) -> None:
    """36 weights of 8 bits are 288 bits, as many as 16 of 8 + 10 bits: sparse lists must be smaller."""
    projection = projection_of(one_layer((4,), [dense(9, 4)]))
    weight = np.zeros(36, np.int16)
    weight[:left] = 1
    assert stored.is_sparse(with_weights(projection, weight.reshape(9, 4)), PLAIN) == sparse


def by_hand() -> tuple[Projection, Box]:
    """3 x 3 kernels from two channels to two: of the first channel the centre to both, of the second nothing."""
    projection = projection_of(one_layer((2, 4, 4), [conv(2, 2)]))
    weight = np.zeros((2, 2, 3, 3), np.int16)
    weight[:, 0, 1, 1] = (5, -5)
    return with_weights(projection, weight), synapses.full_box((2, 4, 4))


def test_a_shared_kernel_by_hand() -> None:
    projection, box = by_hand()
    assert stored.lists(projection, box, SHARED) == {2: 1}
    assert stored.lists(projection, box, PLAIN) == {2: 16}
    assert stored.axons_in([projection], box, SHARED) == 16  # no neuron of the second channel has one
    assert stored.fan_in(projection, box, SHARED).ravel().tolist() == [1] * 32
    assert stored.lists(projection, ((0, 1), (0, 4), (0, 4)), SHARED) == {1: 1}
    assert synapses.lists(projection, box, SHARED) == {18: 2}


def test_the_neurons_of_a_window_still_share_a_list() -> None:
    pool = SumPool2d(kernel=(2, 2), stride=(2, 2))
    projection = projection_of(one_layer((3, 4, 4), [pool, Flatten(), dense(10, 12)]))
    weight = np.zeros((10, 12), np.int16)
    weight[:, 0] = 1
    weight[0, 1] = 1
    projection = with_weights(projection, weight)
    assert stored.lists(projection, ((0, 10),), PLAIN) == {10: 1, 1: 1}
    assert stored.axons_in([projection], ((0, 10),), PLAIN) == 8


def needs(weight: np.ndarray[Any, Any], **profile: Any) -> list[dict[str, int]]:
    """Of two layers, 16 neurons of the first into the second by ``weight``."""
    first: list[tuple[str, Node, tuple[str, ...]]] = [
        ("x", Input(shape=(16,)), ()),
        ("code", DirectEncoder(scale=1.0, low=0, high=1), ("x",)),
        ("a", dense(16, 16), ("code",)),
        ("first", neuron(), ("a",)),
        ("b", dense(*weight.shape), ("first",)),
        ("second", readout(), ("b",)),
    ]
    draft = build(first, ("second",)).edit()
    draft.replace("b", with_weights(projection_of(draft.finish(), "second"), weight).weighted)
    return [piece.needs for piece in partition(draft.finish(), a_profile(limits={}, **profile))]


def test_what_a_core_needs() -> None:
    """One weight in ten is left, in two of sixteen columns: two neurons send, and the others have nobody to send to."""
    weight = np.zeros((20, 16), np.int16)
    weight[:16, 3] = weight[:16, 7] = 9
    first, second = needs(weight)
    assert (first["axons_out"], second["axons_in"], second["fan_in"]) == (2, 2, 2)
    assert second["synaptic_memory_words"] == 2 * words(16)
    assert second["words_per_axon"] == words(16) == 5
    first, second = needs(weight, synapses={"index_bits": None})
    assert (first["axons_out"], second["axons_in"], second["fan_in"]) == (16, 16, 16)
    assert second["synaptic_memory_words"] == 16 * 3  # 20 * 8 + 10 bits


def test_a_layer_without_weights_needs_neurons_only() -> None:
    _, second = needs(np.zeros((20, 16), np.int16))
    assert second == {"neurons": 20, "axons_in": 0, "axons_out": 0, "synaptic_memory_words": 0, "words_per_axon": 0,
                      "fan_in": 0, "thresholds": 0}  # fmt: skip


def test_dense_and_sparse_projections_of_one_source_share_its_axons() -> None:
    graph = build(
        [
            ("x", Input(shape=(6,)), ()),
            ("code", DirectEncoder(scale=1.0, low=0, high=1), ("x",)),
            ("a", dense(4, 6), ("code",)),
            ("b", dense(4, 6), ("code",)),
            ("sum", Add(), ("a", "b")),
            ("out", readout(), ("sum",)),
        ],
        ("out",),
    )
    (population,) = populations(graph)
    full, other = population.projections
    few = with_weights(other, np.eye(4, 6, dtype=np.int16))
    box = ((0, 4),)
    assert stored.axons_in([few], box, PLAIN) == 4
    assert stored.axons_in([full, few], box, PLAIN) == 6
