"""Cores, tiles and hops; the saved form of a mapping and all that it refuses."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from mapping_cases import a_profile, one_layer, quantity, readout, residual

from neurocompile.errors import CapacityError, InputError
from neurocompile.hardware import load_profile
from neurocompile.ir.nodes import Linear
from neurocompile.mapping import CoreSlice, Mapping, hops, map_graph

PROFILE = a_profile(cores=128, limits={"neurons": 72})
GOLDEN = {
    "profile_name": "loihi2",
    "slices": [
        {"population": "n1", "box": [[0, 2], [0, 6], [0, 6]], "core": 0, "tile": 0, "needs": {
            "neurons": 72, "axons_in": 72, "axons_out": 72, "synaptic_memory_words": 6, "words_per_axon": 3,
            "fan_in": 18, "thresholds": 2}},
        {"population": "n1", "box": [[2, 4], [0, 6], [0, 6]], "core": 1, "tile": 0, "needs": {
            "neurons": 72, "axons_in": 72, "axons_out": 72, "synaptic_memory_words": 6, "words_per_axon": 3,
            "fan_in": 18, "thresholds": 2}},
        {"population": "n2", "box": [[0, 2], [0, 6], [0, 6]], "core": 2, "tile": 0, "needs": {
            "neurons": 72, "axons_in": 72, "axons_out": 72, "synaptic_memory_words": 8, "words_per_axon": 3,
            "fan_in": 19, "thresholds": 4}},
        {"population": "n2", "box": [[2, 4], [0, 6], [0, 6]], "core": 3, "tile": 0, "needs": {
            "neurons": 72, "axons_in": 72, "axons_out": 72, "synaptic_memory_words": 8, "words_per_axon": 3,
            "fan_in": 19, "thresholds": 4}},
        {"population": "n3", "box": [[0, 6], [0, 2], [0, 2]], "core": 4, "tile": 1, "needs": {
            "neurons": 24, "axons_in": 144, "axons_out": 24, "synaptic_memory_words": 36, "words_per_axon": 4,
            "fan_in": 64, "thresholds": 1}},
        {"population": "out", "box": [[0, 10]], "core": 5, "tile": 1, "needs": {
            "neurons": 10, "axons_in": 24, "axons_out": 0, "synaptic_memory_words": 48, "words_per_axon": 2,
            "fan_in": 24, "thresholds": 0}},
    ],
}  # fmt: skip


def test_the_saved_form_is_golden_and_comes_back() -> None:
    mapping = map_graph(residual(), PROFILE)
    assert mapping.to_plain() == GOLDEN
    again = Mapping.from_plain(json.loads(json.dumps(mapping.to_plain())))
    assert again == mapping
    again.check(residual(), PROFILE)
    assert (mapping.cores, mapping.tiles) == (6, 2)
    assert [each.core for each in mapping.of("n2")] == [2, 3]
    assert mapping.slices[-1].neurons == 10
    assert len({*mapping.slices}) == 6


def test_mapping_is_the_same_every_time() -> None:
    assert map_graph(residual(), PROFILE) == map_graph(residual(), PROFILE)


def test_a_profile_without_a_mesh_is_one_core() -> None:
    profile = load_profile("cmos45-int32")
    mapping = map_graph(residual(), profile)
    assert (mapping.cores, mapping.tiles, len(mapping.slices)) == (1, 1, 4)
    mapping.check(residual(), profile)
    assert hops(0, 0, profile) == (0, 0)


def test_too_few_cores_are_refused() -> None:
    with pytest.raises(CapacityError) as refusal:
        map_graph(residual(), a_profile(cores=4, limits={"neurons": 36}))
    assert str(refusal.value) == (
        "the network has 10 pieces that do not fit 4 cores of loihi2, even where they share them (322 neurons, limit "
        "144); most are of n1 (4), n2 (4), n3 (1): make these smaller, lower --bits, or choose a chip with more cores"
    )


def test_pieces_that_leave_no_core_room_for_others_are_refused() -> None:
    """322 neurons are fewer than what four cores have; but a core with 72 of them has 9 left, and 10 are wanted."""
    with pytest.raises(
        CapacityError, match=r"has 6 pieces that .* 4 cores of loihi2, even where they share them; most"
    ):
        map_graph(residual(), a_profile(cores=4, limits={"neurons": 81}))


def test_features_are_checked_first() -> None:
    with pytest.raises(CapacityError, match=r"n1: it subtracts its threshold when it fires"):
        map_graph(residual(), load_profile("loihi1-davies2018"))


def test_hops_are_manhattan() -> None:
    """Tiles stand row by row, 8 to a row."""
    profile = load_profile("loihi2")
    assert hops(0, 7, profile) == (7, 0)
    assert hops(8, 0, profile) == (0, 1)
    assert hops(3, 30, profile) == hops(30, 3, profile) == (3, 3)
    assert hops(5, 5, profile) == (0, 0)


def changed(path: list[Any], value: Any) -> dict[str, Any]:
    plain: dict[str, Any] = copy.deepcopy(GOLDEN)
    at: Any = plain
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return plain


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (["profile_name"], 3, "mapping: "),
        (["slices"], {}, "mapping: "),
        (["extra"], 1, "mapping: .*profile_name, slices"),
        (["slices", 1], [], r"mapping.slices\[1\]: .*population, box, core, tile, needs"),
        (["slices", 1, "extra"], 0, r"mapping.slices\[1\]: "),
        (["slices", 1, "population"], 4, r"mapping.slices\[1\].population"),
        (["slices", 1, "core"], -1, r"mapping.slices\[1\].core"),
        (["slices", 1, "core"], True, r"mapping.slices\[1\].core"),
        (["slices", 1, "tile"], 0.0, r"mapping.slices\[1\].tile"),
        (["slices", 1, "box"], [], r"mapping.slices\[1\].box"),
        (["slices", 1, "box"], [[2, 2]], r"mapping.slices\[1\].box"),
        (["slices", 1, "box"], [[0, 1, 2]], r"mapping.slices\[1\].box"),
        (["slices", 1, "box"], [[-1, 2]], r"mapping.slices\[1\].box"),
        (["slices", 1, "box"], [["0", 2]], r"mapping.slices\[1\].box"),
        (["slices", 1, "needs"], [], r"mapping.slices\[1\].needs"),
        (["slices", 1, "needs"], {"neurons": 72}, r"mapping.slices\[1\].needs: .*keys neurons, axons_in, "),
        (["slices", 1, "needs", "neurons"], -2, r"mapping.slices\[1\].needs"),
        (["slices", 1, "needs", "neurons"], None, r"mapping.slices\[1\].needs"),
    ],
)
def test_a_damaged_file_is_refused(path: list[Any], value: Any, place: str) -> None:
    with pytest.raises(InputError, match=place + r".*the file is damaged, build it again"):
        Mapping.from_plain(changed(path, value))


@pytest.mark.parametrize("plain", [None, [], "mapping", {}, {"slices": []}])
def test_what_is_no_mapping_is_refused(plain: object) -> None:
    with pytest.raises(InputError, match=r"mapping: it must be a mapping with the keys profile_name, slices"):
        Mapping.from_plain(plain)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (["profile_name"], "loihi1", r"mapping: made for loihi1, read with loihi2; build"),
        (["slices", 0, "population"], "n9", r"mapping.slices\[0\]: 'n9' is no population"),
        (["slices", 0, "core"], 1, r"mapping: core 1 holds 144 neurons, limit 72 \(loihi2\); build"),
        (
            ["slices", 0, "core"],
            128,
            r"mapping.slices\[0\]: core 128 on tile 0 is not one of loihi2's 128 cores of 4 per tile",
        ),
        (["slices", 0, "tile"], 1, r"mapping.slices\[0\]: core 0 on tile 1 is not one of"),
        (["slices", 0, "box"], [[0, 2]], r"mapping: box \(\(0, 2\),\) is not within n1's shape \(4, 6, 6\)"),
        (["slices", 0, "box"], [[0, 2], [0, 6], [0, 7]], r"mapping: box .* is not within n1's shape"),
        (
            ["slices", 0, "box"],
            [[0, 2], [0, 6], [0, 5]],
            r"the slices of n1 hold 132 neurons, 132 of them different, .* 144",
        ),
        (
            ["slices", 0, "box"],
            [[1, 3], [0, 6], [0, 6]],
            r"the slices of n1 hold 144 neurons, 108 of them different, .* 144",
        ),
        (["slices", 5, "box"], [[0, 9]], r"the slices of out hold 9 neurons, 9 of them different, and it has 10"),
    ],
)
def test_a_mapping_of_another_graph_is_refused(path: list[Any], value: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Mapping.from_plain(changed(path, value)).check(residual(), PROFILE)


def test_slices_are_values() -> None:
    one = CoreSlice("n", ((0, 1),), 0, 0, {"neurons": 1})
    assert one == CoreSlice("n", ((0, 1),), 0, 0, {"neurons": 1})
    assert hash(one) == hash(CoreSlice("n", ((0, 1),), 0, 0, {}))


def test_weights_too_wide_stop_the_mapping() -> None:
    narrow = a_profile(numerics={"weight_bits": quantity(4, "bits")})
    graph = one_layer((4,), [Linear(weight=residual().node("fc").weight[:3, :4], weight_bits=8)], readout())
    with pytest.raises(CapacityError, match=r"op0: its weights have 8 bits, and loihi2 stores 4"):
        map_graph(graph, narrow)
