"""The saved form: there and back, and every damage told in one sentence."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile.errors import GraphError, InputError
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Array
from neurocompile.ir.saved import from_plain, to_plain
from neurocompile.ir.text import to_text
from neurocompile.ir.verify import verify
from tests.ir.test_graph import small_network
from tests.networks import EXACT, lower, mapped_networks, networks

Plain = dict[str, Any]


def there_and_back(graph: Graph) -> Graph:
    structure, arrays = to_plain(graph)
    return from_plain(json.loads(json.dumps(structure)), {name: array.copy() for name, array in arrays.items()})


def assert_comes_back(graph: Graph) -> None:
    again = there_and_back(graph)
    assert again.hash == graph.hash
    assert to_text(again) == to_text(graph)
    assert list(again) == list(graph)
    for name, node in graph.items():
        for (field, before), (_, after) in zip(node.arrays(), again.node(name).arrays(), strict=True):
            assert before.dtype == after.dtype, field
            assert np.array_equal(before, after), field
        assert dict(_plain(node)) == dict(_plain(again.node(name)))


def _plain(node: object) -> list[tuple[str, object]]:
    return [(name, value) for name, value in vars(node).items() if not isinstance(value, np.ndarray)]


@settings(max_examples=25)
@given(networks())
def test_float_graphs_come_back_the_same(graph: Graph) -> None:
    assert_comes_back(graph)
    assert_comes_back(lower(graph))


@settings(max_examples=25)
@given(mapped_networks())
def test_integer_graphs_come_back_the_same(graphs: tuple[Graph, Graph]) -> None:
    for graph in graphs:
        assert_comes_back(graph)


def saved() -> tuple[Plain, dict[str, Array]]:
    return to_plain(EXACT.run(lower(small_network())))


def node(structure: Plain, kind: str) -> Plain:
    found: Plain = next(entry for entry in structure["nodes"] if entry["kind"] == kind)
    return found


def damage(path: str, value: Any) -> Callable[[Plain], None]:
    """Sets ``kind.field`` of a node, or a key of the graph."""

    def change(structure: Plain) -> None:
        kind, _, field = path.partition(".")
        entry = node(structure, kind)["fields"] if field else structure
        entry[field or kind] = value

    return change


def without(*keys: str) -> Callable[[Plain], None]:
    def change(structure: Plain) -> None:
        for key in keys[:-1]:
            structure = node(structure, key) if isinstance(structure.get("nodes"), list) else structure[key]
        del structure[keys[-1]]

    return change


DAMAGES: list[tuple[Callable[[Plain], None], str]] = [
    (without("name"), "graph: key 'name' is missing; the file is damaged"),
    (without("nodes"), "graph: key 'nodes' is missing"),
    (without("Neuron", "inputs"), r"graph.nodes\[\d\]: key 'inputs' is missing"),
    (without("Neuron", "fields", "threshold"), r"graph.nodes\[\d\]: .*missing 1 required .*'threshold'"),
    (damage("timesteps", "4"), "graph.timesteps is '4'; it must be int"),
    (damage("timesteps", True), "graph.timesteps is True"),
    (damage("timesteps", 0), "timesteps is 0"),
    (damage("stage", "done"), "graph.stage is 'done'; it must be one of traced"),
    (damage("outputs", [3]), "graph.outputs: names must be strings"),
    (damage("outputs", ["x"]), "output 'x' is not one of its nodes"),
    (damage("nodes", [7]), r"graph.nodes\[0\]: key 'name' is missing"),
    (lambda plain: node(plain, "Conv2d").update(kind="Conv9d"), "kind 'Conv9d' is unknown to this version"),
    (lambda plain: node(plain, "Conv2d").update(inputs=["nobody"]), "its input 'nobody' is not a node"),
    (lambda plain: node(plain, "Conv2d").update(fields=[]), "fields is .*; it must be dict"),
    (damage("Conv2d.colour", 1), "Conv2d has no field 'colour'; upgrade neurocompile"),
    (damage("Conv2d.stride", [1]), r"Conv2d.stride is \(1,\)"),
    (damage("Conv2d.stride", [0, 1]), r"Conv2d.stride is \(0, 1\)"),
    (damage("Conv2d.stride", [True, 1]), r"stride is \[True, 1\]; the file is damaged"),
    (damage("Conv2d.stride", None), "stride is None"),
    (damage("Conv2d.groups", 1.0), "groups is 1.0"),
    (damage("Conv2d.groups", 0), "Conv2d.groups is 0"),
    (damage("Conv2d.weight_bits", -3), "Conv2d.weight_bits is -3"),
    (damage("Conv2d.weight", {"array": "gone"}), "weight is {'array': 'gone'}; the file is damaged"),
    (damage("Conv2d.weight", {"array": ["gone"]}), "weight is {'array': "),
    (damage("Conv2d.weight", 3), "weight is 3"),
    (damage("Conv2d.weight", None), "weight is None"),
    (damage("Conv2d.weight", {"array": "lif/threshold"}), r"Conv2d.weight has shape \(\)"),
    (damage("Neuron.reset", "later"), "reset is 'later'"),
    (damage("Neuron.reset", ["set"]), r"reset is \['set'\]"),
    (damage("Neuron.leaky_reset", 1), "leaky_reset is 1"),
    (damage("Neuron.max_payload", 0), "Neuron.max_payload is 0"),
    (damage("Neuron.fixed", {"state_bits": 24}), "fixed is {'state_bits': 24}"),
    (damage("Readout.unit", "1"), "unit is '1'"),
    (damage("Readout.unit", float("nan")), "unit is nan"),
    (damage("Readout.unit", 10**400), "unit is 1000"),
    (damage("Input.shape", []), r"Input.shape is \(\)"),
    (damage("Input.shape", [1, 4.0, 4]), r"shape is \[1, 4.0, 4\]"),
]


@pytest.mark.parametrize(("change", "message"), DAMAGES)
def test_damage_is_told(change: Callable[[Plain], None], message: str) -> None:
    structure, arrays = saved()
    change(structure)
    with pytest.raises(InputError, match=message):
        from_plain(structure, arrays)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("state_bits", "24", "fixed.state_bits is '24'"),
        ("state_bits", 99, "FixedPoint.state_bits is 99"),
        ("membrane_overflow", "melt", "fixed.membrane_overflow is 'melt'"),
    ],
)
def test_a_damaged_format_is_told(field: str, value: object, message: str) -> None:
    structure, arrays = saved()
    node(structure, "Neuron")["fields"]["fixed"][field] = value
    with pytest.raises(InputError, match=message):
        from_plain(structure, arrays)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array(["a"]), "dtype <U1 is not a number"),
        (np.array(np.nan), "NaN"),
        (np.zeros(0), "holds no values"),
        (np.ones((7, 7)), r"Neuron.threshold has shape \(7, 7\)"),
        (np.array(1 + 1j), "complex128"),
    ],
)
def test_damaged_arrays_are_told(array: Array, message: str) -> None:
    structure, arrays = saved()
    with pytest.raises(InputError, match=message):
        from_plain(structure, arrays | {"lif/threshold": array})


def test_a_structure_that_is_no_mapping() -> None:
    with pytest.raises(InputError, match="graph: key 'name' is missing"):
        from_plain([], {})


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 70),
    st.sampled_from([10**30, -(10**30)]),
    st.floats(),
    st.sampled_from(["", "set", "wrap", "Conv2d", "Add", "Input", "lif", "fc/weight", "direct"]),
    st.lists(st.integers(-1, 5), max_size=4),
    st.just({}),
    st.builds(lambda name: {"array": name}, st.sampled_from(["fc/weight", "lif/threshold", "nothing", 3])),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to everything inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, inner in items for found in ((*path, key), *places(inner, (*path, key)))]


@settings(max_examples=300)
@given(data=st.data())
def test_random_damage_gives_a_graph_or_an_input_error(data: st.DataObject) -> None:
    """Whatever is changed, removed, doubled or renamed: a graph that ``verify`` accepts or refuses, or InputError."""
    structure, arrays = saved()
    for _ in range(data.draw(st.integers(1, 3))):
        *path, key = data.draw(st.sampled_from(places(structure)))
        holder: Any = structure
        for step in path:
            holder = holder[step]
        match data.draw(st.sampled_from(("change", "change", "remove", "double", "rename"))):
            case "change":
                holder[key] = data.draw(JUNK)
            case "remove":
                del holder[key]
            case "double" if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[key]))
            case "rename" if isinstance(holder, dict):
                holder["other"] = holder.pop(key)
        if not places(structure):
            break
    try:
        graph = from_plain(structure, arrays)
    except InputError:
        return
    with contextlib.suppress(GraphError):
        verify(graph)
