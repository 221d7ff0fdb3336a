"""Pieces tile every population exactly and keep every limit, with needs counted again from explicit matrices."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapping_cases import LIMITS, a_profile, build, conv, dense, neuron, one_layer, readout, recurrent, residual
from test_synapses import matrix_of, slow_lists, words

from neurocompile.errors import CapacityError
from neurocompile.hardware import Profile, load_profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Add, DirectEncoder, Flatten, Input, Readout, Scale, SumPool2d
from neurocompile.ir.populations import populations
from neurocompile.mapping.partition import Piece, partition

NEEDS = [*LIMITS, "words_per_axon"]


def rows_of(box: tuple[tuple[int, int], ...], shape: tuple[int, ...]) -> list[int]:
    return [int(np.ravel_multi_index(index, shape)) for index in itertools.product(*(range(*span) for span in box))]


def recount(graph: Graph, pieces: tuple[Piece, ...], profile: Profile) -> list[dict[str, int]]:
    """The needs of every piece, slowly. Bit planes are left out: these networks have none."""
    everyone = {population.name: population for population in populations(graph)}
    counted = []
    for piece in pieces:
        population = everyone[piece.population]
        rows = rows_of(piece.box, population.shape)
        axons_out = total = longest = 0
        sources: set[tuple[str, int]] = set()
        inflow = np.zeros(len(rows), np.int64)
        for projection in population.projections:
            matrix = matrix_of(projection)[rows]
            sources |= {(projection.source, int(neuron)) for neuron in np.flatnonzero(matrix.any(axis=0))}
            inflow += matrix.sum(axis=1)
            sizes, _ = slow_lists(projection, piece.box, population.shape, profile)
            total += sum(count * words(size) for size, count in sizes.items())
            longest = max(longest, *(words(size) for size in sizes))
        for other in pieces:
            messages: set[int] = set()  # a neuron sends the piece one, by whatever projections
            for projection in everyone[other.population].projections:
                if projection.source == piece.population:
                    block = matrix_of(projection)[rows_of(other.box, everyone[other.population].shape)]
                    messages |= {row for row in rows if block[:, row].any()}
            axons_out += len(messages)
        soma = population.soma
        thresholds = set()
        if not isinstance(soma, Readout):
            values = np.asarray(soma.threshold)
            values = values if values.ndim != 1 else values.reshape(-1, *(1,) * (len(population.shape) - 1))
            thresholds = set(np.broadcast_to(values, population.shape).ravel()[rows].tolist())
        counted.append(
            {
                "neurons": len(rows),
                "axons_in": len(sources),
                "axons_out": axons_out,
                "synaptic_memory_words": total,
                "words_per_axon": longest,
                "fan_in": int(inflow.max()),
                "thresholds": len(thresholds),
            }
        )
    return counted


def check(graph: Graph, pieces: tuple[Piece, ...], limits: dict[str, int], profile: Profile) -> None:
    for population in populations(graph):
        seen = Counter(
            row
            for piece in pieces
            if piece.population == population.name
            for row in rows_of(piece.box, population.shape)
        )
        assert seen == Counter(range(population.neurons))
    order = [population.name for population in populations(graph)]
    assert [order.index(piece.population) for piece in pieces] == sorted(
        order.index(piece.population) for piece in pieces
    )
    for piece, needs in zip(pieces, recount(graph, pieces, profile), strict=True):
        assert piece.needs == needs
        for name, limit in limits.items():
            assert needs[name] <= limit


limit_sets = st.fixed_dictionaries(
    {},
    optional={
        "neurons": st.integers(4, 200),
        "axons_in": st.integers(60, 300),
        "axons_out": st.integers(12, 300),
        "synaptic_memory_words": st.integers(30, 300),
        "fan_in": st.integers(60, 90),
        "thresholds": st.integers(1, 6),
        "words_per_axon": st.integers(1, 6),
    },
)


@settings(max_examples=25, deadline=None)
@given(limit_sets, st.booleans())
def test_pieces_tile_and_keep_the_limits(limits: dict[str, int], shared: bool) -> None:
    profile = a_profile(limits=limits, synapses={"shared_kernels": shared})
    graph = residual()
    try:
        pieces = partition(graph, profile)
    except CapacityError as error:
        assert "a core with a single neuron of it needs" in str(error)  # noqa: PT017 - most sets of limits fit
        return
    check(graph, pieces, limits, profile)


@pytest.mark.parametrize(
    "limits",
    [{"neurons": 7}, {"axons_in": 70}, {"axons_out": 20}, {"synaptic_memory_words": 40}, {"thresholds": 2},
     {"words_per_axon": 2}, {"neurons": 50, "axons_in": 90, "axons_out": 50, "synaptic_memory_words": 60}],
)  # fmt: skip
@pytest.mark.parametrize("shared", [True, False])
def test_tight_limits_are_kept(limits: dict[str, int], shared: bool) -> None:
    profile = a_profile(limits=limits, synapses={"shared_kernels": shared})
    graph = residual()
    pieces = partition(graph, profile)
    assert len(pieces) > 4
    check(graph, pieces, limits, profile)


@pytest.mark.parametrize("limits", [{}, {"neurons": 9}, {"axons_out": 40}, {"neurons": 20, "axons_out": 60}])
def test_spikes_that_come_back_take_axons_too(limits: dict[str, int]) -> None:
    """The more pieces a population is cut into, the more of them its own spikes reach."""
    profile = a_profile(limits=limits)
    pieces = partition(recurrent(), profile)
    check(recurrent(), pieces, limits, profile)


def test_a_neuron_sends_one_message_to_a_piece() -> None:
    """Two projections of 16 neurons to the same 3: no more axons than one, but the memory and fan-in of both."""
    both = build(
        [
            ("x", Input(shape=(2, 8)), ()),
            ("code", DirectEncoder(scale=1.0, low=0, high=255), ("x",)),
            ("scale", Scale(weight=np.array(3), weight_bits=8), ("code",)),
            ("first", neuron(), ("scale",)),
            ("flat", Flatten(), ("first",)),
            ("a", dense(3, 16), ("flat",)),
            ("b", dense(3, 16), ("flat",)),
            ("sum", Add(), ("a", "b")),
            ("out", readout(), ("sum",)),
        ],
        ("out",),
    )
    first, out = partition(both, a_profile(limits={}))
    assert (first.needs["axons_out"], out.needs["axons_in"], out.needs["fan_in"]) == (16, 16, 32)
    assert out.needs["synaptic_memory_words"] == 2 * 16 * words(3)


def test_a_bit_plane_is_one_axon_for_all_projections() -> None:
    """A value of 8 bits that a core needs for two projections enters it by 8 axons, not by 16."""
    both = build(
        [
            ("x", Input(shape=(5,)), ()),
            ("code", DirectEncoder(scale=1.0, low=0, high=255), ("x",)),
            ("a", dense(3, 5), ("code",)),
            ("b", dense(3, 5), ("code",)),
            ("sum", Add(), ("a", "b")),
            ("out", readout(), ("sum",)),
        ],
        ("out",),
    )
    (piece,) = partition(both, a_profile(base="loihi1-davies2018", limits={}))
    assert (piece.needs["axons_in"], piece.needs["fan_in"]) == (5 * 8, 5 * 2 * 8)


def test_a_loop_that_no_cut_can_fit_is_refused() -> None:
    """Joined all to all, a piece needs an axon for each neuron of the population, however small the piece."""
    with pytest.raises(CapacityError, match=r"n\d: a core with a single neuron of it needs \d+ output axons, limit 11"):
        partition(recurrent(), a_profile(limits={"axons_out": 11}))


def test_a_soma_behind_a_flatten_is_cut_along_its_one_axis() -> None:
    graph = one_layer((2, 5, 5), [conv(4, 2), Flatten()], neuron())
    limits = {"neurons": 17, "axons_in": 40}
    profile = a_profile(limits=limits)
    pieces = partition(graph, profile)
    check(graph, pieces, limits, profile)


def test_nothing_is_cut_without_need() -> None:
    pieces = partition(residual(), a_profile(limits={}))
    assert [piece.population for piece in pieces] == ["n1", "n2", "n3", "out"]


def test_one_core_without_bounds_takes_whole_populations() -> None:
    graph = residual()
    assert len(partition(graph, load_profile("cmos45-int32"))) == len(populations(graph))
    limited = a_profile(base="cmos45-int32", limits={"neurons": 20})
    assert len(partition(graph, limited)) == len(populations(graph))


def test_the_axis_that_helps_is_cut() -> None:
    """Kernel memory shrinks with output channels, input axons with rows; where both do equally, channels go first."""
    graph = one_layer((2, 8, 8), [conv(4, 2)])
    by_memory = partition(graph, a_profile(limits={"synaptic_memory_words": 6}))
    assert [piece.box for piece in by_memory] == [((0, 2), (0, 8), (0, 8)), ((2, 4), (0, 8), (0, 8))]
    by_axons = partition(graph, a_profile(limits={"axons_in": 100}))
    assert [piece.box for piece in by_axons] == [((0, 4), (0, 4), (0, 8)), ((0, 4), (4, 8), (0, 8))]
    by_neurons = partition(graph, a_profile(limits={"neurons": 128}))
    assert [piece.box for piece in by_neurons] == [((0, 2), (0, 8), (0, 8)), ((2, 4), (0, 8), (0, 8))]


def test_bit_planes_multiply_axons_memory_and_fan_in() -> None:
    byte = DirectEncoder(scale=1.0, low=0, high=255)
    graph = one_layer((2, 8, 8), [conv(4, 2)], encoder=byte)
    (one,) = partition(graph, a_profile(limits={}))
    (eight,) = partition(graph, a_profile(base="loihi1-davies2018", limits={}))
    for name in ("axons_in", "synaptic_memory_words", "fan_in"):
        assert eight.needs[name] == 8 * one.needs[name]
    for name in ("neurons", "axons_out", "thresholds", "words_per_axon"):
        assert eight.needs[name] == one.needs[name]


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (
            {"axons_in": 63},
            "lif: a core with a single neuron of it needs 64 input axons, limit 63 (loihi2); give the layer "
            "fewer inputs (fewer channels, a smaller kernel, groups, fewer bits of analog input) or choose a "
            "chip with more input axons",
        ),
        (
            {"fan_in": 63},
            "lif: a core with a single neuron of it needs 64 synapses into one neuron, limit 63 (loihi2); give "
            "the layer fewer inputs (fewer channels, a smaller kernel or groups) or choose a chip with more fan-in",
        ),
        (
            {"synaptic_memory_words": 15},
            "lif: a core with a single neuron of it needs 16 words of synaptic memory, limit 15 (loihi2); lower "
            "--bits, give the layer fewer inputs, or choose a chip with more synaptic memory",
        ),
    ],
)
def test_a_neuron_that_fits_no_core_is_refused(limits: dict[str, int], sentence: str) -> None:
    pool = SumPool2d(kernel=(2, 2), stride=(2, 2))
    graph = one_layer((4, 4, 4), [pool, Flatten(), dense(9, 16)])
    with pytest.raises(CapacityError) as refusal:
        partition(graph, a_profile(limits=limits))
    assert str(refusal.value) == sentence


def test_a_list_too_long_for_one_axon_is_refused() -> None:
    graph = one_layer((1, 9, 9), [conv(1, 1, 9)])
    with pytest.raises(CapacityError, match=r"needs 12 words in one axon's list, limit 11 \(loihi2\); lower --bits or"):
        partition(graph, a_profile(limits={"words_per_axon": 11}))


def test_too_many_destinations_are_refused() -> None:
    graph = residual()
    limits = {"neurons": 4, "axons_out": 3}
    with pytest.raises(
        CapacityError, match=r"n\d: a core with a single neuron .* output axons, limit 3 .*layers that it"
    ):
        partition(graph, a_profile(limits=limits))


def test_a_readout_sends_nothing_and_has_no_threshold() -> None:
    (piece,) = partition(one_layer((4,), [dense(3, 4)], readout()), a_profile(limits={}))
    assert piece.needs == {
        "neurons": 3, "axons_in": 4, "axons_out": 0, "synaptic_memory_words": 4, "words_per_axon": 1, "fan_in": 4,
        "thresholds": 0,
    }  # fmt: skip


def test_needs_have_the_names_of_the_limits() -> None:
    (piece,) = partition(one_layer((4,), [dense(3, 4)]), a_profile(limits={}))
    assert set(piece.needs) == set(NEEDS)
