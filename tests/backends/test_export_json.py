"""The JSON of a program: everything is in it, and a reader who knows nothing of us can use it."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile.backends.export.plain import graph_of, to_document, write_json
from neurocompile.driver import compile_graph
from neurocompile.errors import InputError
from neurocompile.hardware.profile import Profile, load_profile
from neurocompile.hardware.target import load_target
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import Conv2d, DirectEncoder, Flatten, Input, Linear, Readout
from neurocompile.ir.populations import populations
from neurocompile.mapping.mapping import Mapping
from neurocompile.program import Program
from tests.networks import networks, samples_for
from tests.passes.helpers import lif, quarters


@pytest.fixture(scope="module")
def program() -> Program:
    nodes = [
        ("input", Input(shape=(1, 4, 4)), ()),
        ("encoder", DirectEncoder(), ("input",)),
        ("conv", Conv2d(weight=quarters(2, 1, 3, 3), padding=(1, 1)), ("encoder",)),
        ("lif", lif(0.5, leak=np.array(0.75)), ("conv",)),
        ("flatten", Flatten(), ("lif",)),
        ("linear", Linear(weight=quarters(3, 32)), ("flatten",)),
        ("readout", Readout(), ("linear",)),
    ]
    return compile_graph(Graph("a net", "traced", 3, nodes, ("readout",)), load_target("loihi2-sim"))


@pytest.fixture
def document(program: Program, tmp_path: Path) -> dict[str, Any]:
    assert write_json(program, tmp_path / "x.json") == []
    plain: dict[str, Any] = json.loads((tmp_path / "x.json").read_text())
    return plain


@pytest.mark.parametrize("label", ["trained", "integer", "mapped"])
def test_every_graph_can_be_made_again(program: Program, document: dict[str, Any], label: str) -> None:
    again = graph_of(document, label)
    assert again.hash == document["hashes"][label] == getattr(program, label).hash


@given(st.data())
@settings(max_examples=30)
def test_generated_graphs_can_be_made_again(data: st.DataObject) -> None:
    graph = data.draw(networks())
    program = compile_graph(graph, load_target("reference"))
    again = graph_of(json.loads(json.dumps(to_document(program))), "mapped")
    assert again.hash == program.mapped.hash
    sample = data.draw(samples_for(graph))
    for name, output in interpret(program.mapped, sample).outputs.items():
        assert np.array_equal(output, interpret(again, sample).outputs[name])


def test_mapping_and_profile_can_be_made_again(program: Program, document: dict[str, Any]) -> None:
    mapping = Mapping.from_plain(document["mapping"])
    assert mapping == program.mapping
    profile = Profile.from_mapping(document["profile"])
    assert profile == load_profile("loihi2")
    mapping.check(graph_of(document, "integer"), profile)


def test_a_reader_who_knows_nothing_of_us(program: Program, document: dict[str, Any]) -> None:
    """The integers of one layer from the text alone, as ``docs/export.md`` describes them."""
    (node,) = [each for each in document["graphs"]["integer"]["nodes"] if each["name"] == "linear"]
    array = document["arrays"][node["fields"]["weight"]["array"]]
    raw = base64.b64decode(array["base64"])
    size = {"int8": 1, "int16": 2, "int32": 4, "int64": 8}[array["dtype"]]
    found = [int.from_bytes(raw[at : at + size], "little", signed=True) for at in range(0, len(raw), size)]
    weight = program.integer.node("linear")
    assert isinstance(weight, Linear)
    assert found == weight.weight.ravel().tolist()
    assert array["shape"] == [3, 32]
    assert (node["kind"], node["inputs"]) == ("Linear", ["flatten"])


def test_axons_and_synapses_of_every_slice(program: Program, document: dict[str, Any]) -> None:
    slices = document["mapping"]["slices"]
    found = [(slices[each["slice"]]["population"], each["source"], each["steps"]) for each in document["axons"]]
    assert found == [("lif", "encoder", 1), ("readout", "lif", 1)]
    assert [each["most_steps"] for each in document["axons"]] == [1, 1]
    assert [each["synapses"] for each in document["axons"]] == [2 * 100, 3 * 32]
    assert [each["axons_in"] for each in document["axons"]] == [16, 32]
    assert document["phases"] == {each.name: each.soma.phase for each in populations(program.mapped)}


def test_equal_arrays_are_written_once_and_always_the_same(program: Program, tmp_path: Path) -> None:
    document = to_document(program)
    texts = [(each["dtype"], tuple(each["shape"]), each["base64"]) for each in document["arrays"].values()]
    assert len(texts) == len(set(texts))
    assert list(document["arrays"]) == [f"a{index}" for index in range(len(texts))]
    for name in ("a", "b"):
        write_json(program, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d: d.update(version=2), "not neurocompile.export of version 1"),
        (lambda d: d.update(format="other"), "not neurocompile.export of version 1"),
        (lambda d: d.pop("arrays"), "are damaged"),
        (lambda d: d["graphs"].pop("integer"), "graph 'integer' are damaged"),
        (lambda d: d["arrays"]["a0"].update(base64="%%"), "are damaged"),
        (lambda d: d["arrays"]["a0"].update(shape=[7]), "are damaged"),
        (lambda d: d["arrays"]["a0"].update(dtype="thing"), "are damaged"),
        (lambda d: d["graphs"]["integer"].update(timesteps="x"), "timesteps"),
    ],
)
def test_damaged_files_are_refused(document: dict[str, Any], change: Callable[[Any], Any], match: str) -> None:
    damaged = copy.deepcopy(document)
    change(damaged)
    with pytest.raises(InputError, match=match):
        graph_of(damaged, "integer")
