"""Pieces that share cores: joint limits, counted a second time and slowly, and programs that run as before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapping_cases import a_profile, recurrent, residual
from test_partition import NEEDS, rows_of
from test_synapses import matrix_of

from neurocompile import driver
from neurocompile.errors import CapacityError, InputError
from neurocompile.hardware import Profile, profile_to_dict
from neurocompile.hardware.target import load_target
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import Conv2d, DirectEncoder, Flatten, Input, Linear, Neuron, Readout
from neurocompile.ir.populations import populations
from neurocompile.mapping import Mapping, map_graph
from neurocompile.mapping.partition import Piece
from neurocompile.mapping.place import place
from neurocompile.program import Program

LARGEST = ("fan_in", "words_per_axon")  # the others add up


def together(pieces: list[dict[str, int]]) -> dict[str, int]:
    return {
        name: max(each[name] for each in pieces) if name in LARGEST else sum(each[name] for each in pieces)
        for name in NEEDS
    }


def slow(needs: list[dict[str, int]], cores: int, limits: dict[str, int]) -> list[int] | None:
    """The first core with room, or a core of its own as soon as there are enough for the rest."""
    held: list[list[dict[str, int]]] = [[] for _ in range(cores)]
    placed = []
    for index, each in enumerate(needs):
        empty = [core for core in range(cores) if not held[core]]
        rooms = [
            core
            for core in range(cores)
            if all(together([*held[core], each])[name] <= limit for name, limit in limits.items())
        ]
        if len(empty) >= len(needs) - index:
            rooms = empty
        if not rooms:
            return None
        held[rooms[0]].append(each)
        placed.append(rooms[0])
    return placed


@settings(max_examples=200)
@given(st.data())
def test_pieces_go_where_the_rule_says(data: st.DataObject) -> None:
    limits = {name: data.draw(st.integers(4, 12)) for name in data.draw(st.sets(st.sampled_from(NEEDS)))}
    needs = [
        {name: data.draw(st.integers(0, min(limits.get(name, 12), 6))) for name in NEEDS}
        for _ in range(data.draw(st.integers(1, 12)))
    ]
    cores = data.draw(st.integers(1, 6))
    pieces = [Piece(f"p{index}", ((0, 1),), each) for index, each in enumerate(needs)]
    profile = a_profile(cores=cores, limits=limits)
    assert profile.topology is not None
    expected = slow(needs, profile.topology.cores, limits)
    if expected is not None:
        assert [each.core for each in place(pieces, profile)] == expected
        return
    with pytest.raises(CapacityError, match=rf"the network has {len(pieces)} pieces that do not fit"):
        place(pieces, profile)


def true_needs(graph: Graph, mapping: Mapping, core: int) -> dict[str, int]:
    """What a core really needs, from explicit matrices: no source, message or threshold counts twice."""
    everyone = {population.name: population for population in populations(graph)}
    rows = {index: rows_of(each.box, everyone[each.population].shape) for index, each in enumerate(mapping.slices)}
    sources: set[tuple[str, int]] = set()
    messages: set[tuple[str, int, int]] = set()
    thresholds: set[int] = set()
    neurons = 0
    for index, each in enumerate(mapping.slices):
        population = everyone[each.population]
        for projection in population.projections:
            reaching = matrix_of(projection)[rows[index]].any(axis=0)
            if each.core == core:
                sources |= {(projection.source, int(neuron)) for neuron in np.flatnonzero(reaching)}
            for other, source in enumerate(mapping.slices):
                if source.core == core and source.population == projection.source:
                    messages |= {(projection.source, row, each.core) for row in rows[other] if reaching[row]}
        if each.core == core:
            neurons += len(rows[index])
            if not isinstance(population.soma, Readout):
                values = np.asarray(population.soma.threshold)
                values = values if values.ndim != 1 else values.reshape(-1, *(1,) * (len(population.shape) - 1))
                thresholds |= set(np.broadcast_to(values, population.shape).ravel()[rows[index]].tolist())
    return {"neurons": neurons, "axons_in": len(sources), "axons_out": len(messages), "thresholds": len(thresholds)}


@settings(max_examples=40)
@given(
    st.sampled_from([residual, recurrent]),
    st.sampled_from([1, 2, 3, 4, 8]),
    st.fixed_dictionaries(
        {},
        optional={
            "neurons": st.integers(40, 400),
            "axons_in": st.integers(100, 500),
            "axons_out": st.integers(60, 900),
            "synaptic_memory_words": st.integers(60, 300),
            "thresholds": st.integers(2, 9),
        },
    ),
)
def test_no_core_holds_more_than_it_can(network: Any, cores: int, limits: dict[str, int]) -> None:
    graph, profile = network(), a_profile(cores=cores, limits=limits)
    try:
        mapping = map_graph(graph, profile)
    except CapacityError as error:
        assert any(each in str(error) for each in ("the network has", "a core with a single neuron"))  # noqa: PT017
        return
    mapping.check(graph, profile)  # every neuron once
    assert mapping == map_graph(graph, profile)
    if profile.topology is not None and len(mapping.slices) <= profile.topology.cores:
        assert [each.core for each in mapping.slices] == list(range(len(mapping.slices)))
    for core, slices in mapping.by_core().items():
        needs = together([each.needs for each in slices])
        assert all(needs[name] <= limit for name, limit in limits.items())
        for name, need in true_needs(graph, mapping, core).items():
            assert need <= needs[name], "sums are upper bounds"


def test_a_network_shares_the_one_core_that_there_is() -> None:
    mapping = map_graph(residual(), a_profile(cores=1, limits={"neurons": 322}))
    assert [(each.population, each.core) for each in mapping.slices] == [("n1", 0), ("n2", 0), ("n3", 0), ("out", 0)]
    with pytest.raises(CapacityError) as refusal:
        map_graph(residual(), a_profile(cores=1, limits={"neurons": 321}))
    assert str(refusal.value) == (
        "the network has 4 pieces that do not fit 1 core of loihi2, even where they share them (322 neurons, limit "
        "321); most are of n1 (1), n2 (1), n3 (1): make these smaller, lower --bits, or choose a chip with more cores"
    )


def test_no_more_pieces_share_than_must() -> None:
    """Four populations on three cores: 144 + 144 neurons are too many for one, 24 fit beside the first."""
    mapping = map_graph(residual(), a_profile(cores=3, limits={"neurons": 168}))
    assert [each.core for each in mapping.slices] == [0, 1, 0, 2]
    mapping = map_graph(residual(), a_profile(cores=3, limits={"neurons": 400}))
    assert [each.core for each in mapping.slices] == [0, 0, 1, 2]


def test_a_core_that_is_too_full_is_refused() -> None:
    profile = a_profile(cores=1, limits={"thresholds": 9, "fan_in": 64})
    mapping = map_graph(residual(), profile)
    mapping.check(residual(), profile)
    with pytest.raises(InputError, match=r"mapping: core 0 holds 9 thresholds, limit 8 \(loihi2\); build the program"):
        mapping.check(residual(), a_profile(cores=1, limits={"thresholds": 8, "fan_in": 64}))
    with pytest.raises(
        Exception, match=r"mapping: core 0 holds 64 synapses into one neuron, limit 63 \(loihi2\); build"
    ):
        mapping.check(residual(), a_profile(cores=1, limits={"fan_in": 63}))


# ------------------------------------------------------------------------------------------------- through the driver


def quarters(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(sum(shape)).integers(-8, 9, shape) / 4


def compiled(profile: Profile, folder: Path) -> Program:
    path = folder / f"chip-{profile.topology.cores if profile.topology else 0}.yaml"
    path.write_text(json.dumps(profile_to_dict(profile)), encoding="utf-8")
    graph = Graph(
        "net",
        "traced",
        4,
        [
            ("input", Input(shape=(1, 5, 5)), ()),
            ("encoder", DirectEncoder(limit=1.0), ("input",)),
            ("conv", Conv2d(weight=quarters(2, 1, 3, 3)), ("encoder",)),
            ("first", Neuron(threshold=np.array(0.75), leak=np.array(0.5)), ("conv",)),
            ("again", Conv2d(weight=quarters(2, 2, 3, 3), padding=(1, 1)), ("first",)),
            ("second", Neuron(threshold=np.array(0.5)), ("again",)),
            ("flatten", Flatten(), ("second",)),
            ("linear", Linear(weight=quarters(3, 18)), ("flatten",)),
            ("readout", Readout(), ("linear",)),
        ],
        ("readout",),
    )
    return driver.compile_graph(graph, load_target("reference").model_copy(update={"profile": str(path)}))


def test_a_program_on_one_core_does_what_it_does_on_many(tmp_path: Path) -> None:
    one = compiled(a_profile(cores=1, limits={"neurons": 18 + 18 + 3, "axons_in": 25 + 18 + 18}), tmp_path)
    many = compiled(a_profile(cores=8, limits={"neurons": 9}), tmp_path)
    assert (one.mapping.cores, many.mapping.cores) == (1, 5)
    assert [each.population for each in one.mapping.slices] == ["first", "second", "readout"]
    samples = quarters(6, 4, 1, 5, 5) / 2
    meant = interpret(one.integer, samples)
    assert meant.events["second"].any()
    assert not meant.events["second"].all()
    in_chip_time = interpret(one.mapped, samples)
    for program in (one, many):
        for backend in ("reference", "functional"):
            ran = driver.run(program, samples, backend=backend, record=True)
            for name, events in ran.trace.events.items():
                assert np.array_equal(events, meant.events[name]), (backend, name)
            assert np.array_equal(ran.outputs["readout"], meant.outputs["readout"])
    for name, events in in_chip_time.events.items():
        assert np.array_equal(events, meant.events[name]), name
    one.save(tmp_path / "program")
    assert Program.load(tmp_path / "program").mapping == one.mapping
