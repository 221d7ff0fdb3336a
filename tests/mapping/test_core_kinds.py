"""Chips whose cores are not all alike: each piece lies where it fits, and each limit is that of its own core."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapping_cases import a_profile, conv, dense, neuron, one_layer, recurrent, residual
from test_packing import together
from test_partition import NEEDS

from neurocompile.errors import CapacityError, InputError
from neurocompile.hardware import load_profile
from neurocompile.ir.nodes import Flatten
from neurocompile.mapping import map_graph
from neurocompile.mapping.limits import core_limits
from neurocompile.mapping.partition import Piece, partition
from neurocompile.mapping.place import place

Needs = dict[str, int]
SPECK = load_profile("speck2")
#: core 2 has more memory, cores 3 and 4 have more neurons
MIXED = a_profile(
    cores=8,
    limits={"neurons": 80, "synaptic_memory_words": 40},
    kinds=[([2], {"synaptic_memory_words": 60}), ([3, 4], {"neurons": 150})],
)


def fits(needs: Needs, limits: Needs) -> bool:
    return all(needs[name] <= limit for name, limit in limits.items())


def slow(needs: list[Needs], limits: list[Needs]) -> list[int] | None:
    """The rule written out: all that is left on cores of their own, the first such choice, as soon as there is one;
    until then each on the first core with room."""
    held: list[list[Needs]] = [[] for _ in limits]
    placed: list[int] = []
    for index, each in enumerate(needs):
        rest = needs[index:]
        free = [core for core in range(len(limits)) if not held[core]]
        for chosen in itertools.permutations(free, len(rest)):  # in lexicographic order
            if all(fits(one, limits[core]) for one, core in zip(rest, chosen, strict=True)):
                return [*placed, *chosen]
        rooms = [core for core in range(len(limits)) if fits(together([*held[core], each]), limits[core])]
        if not rooms:
            return None
        held[rooms[0]].append(each)
        placed.append(rooms[0])
    return placed


@settings(max_examples=150)
@given(st.data())
def test_pieces_go_where_the_rule_says(data: st.DataObject) -> None:
    cores = data.draw(st.integers(1, 4))
    topology = a_profile(cores=cores).topology
    assert topology is not None
    kind_of = [data.draw(st.integers(0, 2)) for _ in range(topology.cores)]
    names = ["neurons", "synaptic_memory_words", "fan_in"]
    amounts = st.fixed_dictionaries({name: st.integers(2, 9) for name in names})
    common, *own = data.draw(st.lists(amounts, min_size=3, max_size=3))
    kinds = [([core for core, kind in enumerate(kind_of) if kind == index + 1], own[index]) for index in range(2)]
    profile = a_profile(cores=cores, limits=common, kinds=[kind for kind in kinds if kind[0]])
    limits = [(common, *own)[kind] for kind in kind_of]
    assert [core_limits(profile, core) for core in range(topology.cores)] == limits
    needs = [
        {name: data.draw(st.integers(0, 6)) if name in names else 1 for name in NEEDS}
        for _ in range(data.draw(st.integers(1, 5)))
    ]
    pieces = [Piece(f"p{index}", ((0, 1),), each) for index, each in enumerate(needs)]
    expected = slow(needs, limits)
    if expected is None:
        with pytest.raises(CapacityError):
            place(pieces, profile)
        return
    assert [each.core for each in place(pieces, profile)] == expected


@settings(max_examples=40)
@given(
    st.sampled_from([residual, recurrent]),
    st.lists(
        st.fixed_dictionaries(
            {}, optional={"neurons": st.integers(10, 300), "synaptic_memory_words": st.integers(6, 200)}
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_no_core_holds_more_than_its_kind_can(network: object, own: list[Needs]) -> None:
    graph = network()  # type: ignore[operator]
    profile = a_profile(
        cores=16,
        limits={"neurons": 40, "synaptic_memory_words": 40, "axons_in": 300},
        kinds=[([2 * index, 2 * index + 1], each) for index, each in enumerate(own)],
    )
    try:
        mapping = map_graph(graph, profile)
    except CapacityError as error:
        assert any(each in str(error) for each in ("find no room on loihi2", "a core with a single neuron"))  # noqa: PT017
        return
    mapping.check(graph, profile)  # every neuron once
    assert mapping == map_graph(graph, profile)
    for core, slices in mapping.by_core().items():
        limits = {"neurons": 40, "synaptic_memory_words": 40, "axons_in": 300} | (
            own[core // 2] if core // 2 < len(own) else {}
        )
        assert fits(together([each.needs for each in slices]), limits)


def test_nothing_is_cut_that_a_core_of_some_kind_can_hold() -> None:
    """Twice 144 neurons of 10 and 16 words, 24 of 36 and 10 of 48."""
    mapping = map_graph(residual(), MIXED)
    assert [(each.population, each.neurons, each.core) for each in mapping.slices] == [
        ("n1", 144, 3), ("n2", 144, 4), ("n3", 24, 0), ("out", 10, 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("outputs", "inputs", "kernel", "size", "core"),
    [(16, 4, 3, 64, 0), (32, 1024, 1, 32, 3), (64, 1024, 1, 16, 5), (16, 1024, 1, 32, 0)],
)
def test_a_layer_of_speck_needs_both_memories_on_one_core(
    outputs: int, inputs: int, kernel: int, size: int, core: int
) -> None:
    """64 Ki neurons; 32 Ki and 32 Ki weights; 64 Ki weights and 16 Ki neurons; 16 Ki of each."""
    graph = one_layer((inputs, size, size), [conv(outputs, inputs, kernel)], neuron())
    (placed,) = place(partition(graph, SPECK), SPECK)
    assert placed.core == core, placed.needs


def test_cores_are_compared_with_their_own_limits() -> None:
    mapping = map_graph(residual(), MIXED)
    mapping.check(residual(), MIXED)
    plain = mapping.to_plain()
    plain["slices"][3] |= {"core": 0, "tile": 0}
    moved = type(mapping).from_plain(plain)
    with pytest.raises(
        InputError, match=r"mapping: core 0 holds .* words of synaptic memory, limit 40 \(loihi2\); build"
    ):
        moved.check(residual(), MIXED)


def test_a_neuron_that_fits_no_kind_is_refused() -> None:
    profile = a_profile(cores=4, limits={"axons_in": 20}, kinds=[([1, 2], {"axons_in": 63}), ([3], {"axons_in": 40})])
    with pytest.raises(CapacityError) as refusal:
        partition(one_layer((64,), [dense(3, 64)]), profile)
    assert str(refusal.value).startswith(
        "lif: a core with a single neuron of it needs 64 input axons, limit 63 on cores 1/2 (loihi2); give the layer"
    )


def test_a_piece_without_a_core_of_its_kind_is_refused() -> None:
    graph = one_layer((2, 8, 8), [conv(4, 2), Flatten()], neuron())
    profile = a_profile(cores=4, limits={"neurons": 20}, kinds=[([1], {"neurons": 64}), ([3], {"neurons": 100})])
    with pytest.raises(CapacityError) as refusal:
        map_graph(graph, profile)
    assert str(refusal.value) == (
        "lif: 64 neurons find no room on loihi2, even where pieces share cores, limit 64 on core 1, 100 on core 3, 20 "
        "on other cores; make it or the layers before it smaller, lower --bits, or choose a chip with more cores"
    )
