"""The shipped profiles, and the arithmetic that a profile offers."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from neurocompile.errors import ProfileError
from neurocompile.hardware import BASES, Profile, Quantity, json_schema, load_profile, profile_to_dict, weakest_basis
from neurocompile.resources import find_profile, list_profiles

LOIHI = load_profile("loihi1-davies2018")
LOIHI2 = load_profile("loihi2")
CMOS = load_profile("cmos45-int32")


def quantities(record: object, path: str = "") -> Iterator[tuple[str, Quantity]]:
    """Every quantity of a record, with its path."""
    if isinstance(record, Quantity):
        yield path, record
    elif isinstance(record, BaseModel):
        for name in type(record).model_fields:
            yield from quantities(getattr(record, name), f"{path}.{name}")
    elif isinstance(record, tuple):
        for index, item in enumerate(record):
            yield from quantities(item, f"{path}[{index}]")


@pytest.mark.parametrize("name", list_profiles())
def test_every_shipped_number_says_where_it_comes_from(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert profile.notes
    found = list(quantities(profile))
    assert len(found) > 20
    for path, quantity in found:
        assert quantity.source.strip(), path
        if quantity.basis == "assumed":
            assert quantity.note, f"{path} is assumed and must say why"


@pytest.mark.parametrize("name", list_profiles())
def test_strict_reader_agrees_with_plain_yaml(name: str) -> None:
    plain = yaml.safe_load(find_profile(name).read_text(encoding="utf-8"))
    assert Profile.from_mapping(plain) == load_profile(name)


@pytest.mark.parametrize("name", list_profiles())
def test_saved_copy_reads_back_equal(name: str) -> None:
    profile = load_profile(name)
    assert Profile.from_mapping(json.loads(json.dumps(profile_to_dict(profile)))) == profile


@pytest.mark.parametrize("name", list_profiles())
def test_limit_and_memory_tell_the_same_size(name: str) -> None:
    profile = load_profile(name)
    limit = profile.limits.synaptic_memory_words
    sizes = [m.size_words for m in profile.memory if m.per == "core" and "synapses" in m.holds]
    assert not sizes or (limit is not None and [size and size.value for size in sizes] == [limit.value])


def test_saved_copy_is_checked_too() -> None:
    data = profile_to_dict(LOIHI)
    data["events"]["synaptic_op"]["energy_pj"]["unit"] = "nJ"
    with pytest.raises(ProfileError, match=r"^program\.json: events\.synaptic_op\.energy_pj\.unit: .*'nJ'.*'pJ'"):
        Profile.from_mapping(data, "program.json")
    with pytest.raises(ProfileError, match=r"^profile: top level: found a list"):
        Profile.from_mapping([])
    with pytest.raises(ProfileError, match=r"^profile: \?: unknown key"):
        Profile.from_mapping({"\ud800": 1})


def test_a_profile_is_frozen_through_and_through() -> None:
    assert hash(LOIHI) == hash(load_profile("loihi1-davies2018"))
    with pytest.raises(ValidationError, match="frozen"):
        LOIHI.name = "other"  # type: ignore[misc]


def test_loihi2_says_first_that_its_energies_are_assumed() -> None:
    assert "assumed equal to loihi1-davies2018" in LOIHI2.notes[0]
    priced = [q for path, q in quantities(LOIHI2) if path.endswith(("_pj", "_ns"))]
    assert {q.basis for q in priced} == {"assumed"}
    original = {path: q for path, q in quantities(LOIHI) if path.endswith(("_pj", "_ns"))}
    assert [q.value for q in priced] == [q.value for q in original.values()]
    assert original.pop(".noc.link_time_ns").basis == "derived"
    assert {q.basis for q in original.values()} == {"simulated"}


def test_loihi_facts() -> None:
    assert LOIHI.topology is not None
    assert (LOIHI.topology.tiles, LOIHI.topology.cores) == (32, 128)
    assert LOIHI.numerics.threshold_range == (0, (2**17 - 1) << 6)
    assert LOIHI2.numerics.threshold_range == (-(2**23), 2**23 - 1)
    assert LOIHI.limits.neurons is not None
    assert LOIHI.limits.neurons.count == 1024


def test_loihi_by_sanafes_numbers_is_the_same_chip_with_none_of_the_others_prices() -> None:
    sanafe = load_profile("loihi1-sanafe")
    for part in ("topology", "limits", "synapses", "numerics", "neuron", "memory"):
        assert getattr(sanafe, part) == getattr(LOIHI, part), part
    priced = [q for path, q in quantities(sanafe) if path.endswith(("_pj", "_ns"))]
    assert all("SANA-FE" in q.source for q in priced)
    assert sanafe.barrier is not None
    # a step function: a time holds until SANA-FE's table has another
    times = [sanafe.barrier.barrier_ns(tiles) for tiles in range(1, 33)]
    assert times == [600, 1000, 1000, *[1400] * 25, *[1800] * 4]
    assert "no static power" in " ".join(sanafe.notes)


@pytest.mark.parametrize(("name", "mac", "add"), [("cmos45-fp32", 4.6, 0.9), ("cmos45-int32", 3.2, 0.1)])
def test_cmos_operations(name: str, mac: float, add: float) -> None:
    profile = load_profile(name)
    ops, events = profile.ops, profile.events
    assert ops.mac_energy_pj is not None
    assert ops.add_energy_pj is not None
    assert (ops.mac_energy_pj.value, ops.add_energy_pj.value) == (mac, add)
    costs = [events.synaptic_op, events.graded_op, events.neuron_update_active, events.stateless_update]
    assert [c and c.energy_pj and c.energy_pj.value for c in costs] == [add, mac, mac, add]


def test_an_event_of_none_of_its_own_is_priced_as_the_plain_one() -> None:
    assert LOIHI.events.graded_op is LOIHI.events.synaptic_op
    assert LOIHI.events.stateless_update is LOIHI.events.neuron_update_active


@pytest.mark.parametrize(
    ("synapses", "sparse", "bits"),
    [
        (0, False, 0),
        (1, False, 64),
        (10, False, 128),
        (64, False, 576),
        (65, False, 640),
        (1, True, 64),
        (10, True, 192),
        (64, True, 1216),
    ],
)
def test_axon_words_published_examples(synapses: int, sparse: bool, bits: int) -> None:
    assert LOIHI.synapses.axon_words(synapses, 8, sparse=sparse) * 64 == bits


def words_bit_by_bit(synapses: int, bits: int, header: int, block: int | None, word: int) -> int:
    """Second derivation: write entry after entry into words, opening a new block where the last is full."""
    words = free = in_block = 0
    for _ in range(synapses):
        to_write = bits
        if in_block == 0:
            free = 0  # a block starts on a word of its own
            to_write += header
        while to_write > 0:
            if free == 0:
                words, free = words + 1, word
            written = min(free, to_write)
            free, to_write = free - written, to_write - written
        in_block = (in_block + 1) % block if block else 1
    return words


@given(synapses=st.integers(0, 400), bits=st.integers(1, 32), sparse=st.booleans())
def test_axon_words_second_derivation(synapses: int, bits: int, sparse: bool) -> None:
    expected = words_bit_by_bit(synapses, bits + 10 * sparse, 10, 64, 64)
    assert LOIHI.synapses.axon_words(synapses, bits, sparse=sparse) == expected
    assert CMOS.synapses.axon_words(synapses, bits) == words_bit_by_bit(synapses, bits, 0, None, 64)


def test_axon_words_refusals() -> None:
    with pytest.raises(ValueError, match="-1 synapses"):
        LOIHI.synapses.axon_words(-1, 8)
    with pytest.raises(ValueError, match="0 bits"):
        LOIHI.synapses.axon_words(1, 0)
    with pytest.raises(ProfileError, match="index_bits is null"):
        CMOS.synapses.axon_words(1, 8, sparse=True)


def test_barrier() -> None:
    barrier = LOIHI.barrier
    assert barrier is not None
    assert barrier.max_tiles == 32
    assert barrier.barrier_ns(1) == 113
    assert barrier.barrier_ns(32) == 465
    assert barrier.barrier_ns(2) == pytest.approx(113 + 352 / 31)
    times = [barrier.barrier_ns(tiles) for tiles in range(1, 33)]
    assert times == sorted(times)


@pytest.mark.parametrize("tiles", [0, 33])
def test_barrier_is_not_extrapolated(tiles: int) -> None:
    assert LOIHI.barrier is not None
    with pytest.raises(ProfileError, match=f"{tiles} tiles, known from 1 to 32"):
        LOIHI.barrier.barrier_ns(tiles)


def test_weakest_basis() -> None:
    assert BASES == ("architectural", "measured", "simulated", "fitted", "derived", "assumed")
    assert weakest_basis(["measured", "architectural"]) == "measured"
    assert weakest_basis(BASES) == "assumed"
    assert weakest_basis(iter(["fitted", "simulated"])) == "fitted"
    with pytest.raises(ValueError, match="empty"):
        weakest_basis([])


def test_schema_tells_units() -> None:
    schema = json_schema()
    assert schema["additionalProperties"] is False
    assert "pJ" in schema["$defs"]["Cost"]["properties"]["energy_pj"]["description"]
