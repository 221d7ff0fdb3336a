"""How NIR networks are put together: sums, subgraphs, cycles, ends."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from neurocompile.errors import InputError
from neurocompile.frontend.nir.wiring import feedback, reached
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import Add, Linear, Neuron, Readout, Recurrent
from tests.frontend.nir.nir_cases import DT, chain, full, graph, lif, network, node, notes, read, sink, source

RNG = np.random.default_rng(3)
SAMPLES = RNG.integers(-2, 5, (2, 6, 2)) / 2


def dense(after: int, before: int) -> dict[str, Any]:
    return node("Linear", weight=RNG.integers(-4, 5, (after, before)) / 4)


def spikes(given: Graph, name: str) -> Any:
    return interpret(given, SAMPLES).events[name]


# ------------------------------------------------------------------------------------------------------------- sums


def test_several_edges_into_a_node_are_summed_whatever_their_order() -> None:
    nodes = {"input": source(2), "a": dense(3, 2), "b": dense(3, 2), "lif": lif(3), "output": sink()}
    edges = [("input", "a"), ("input", "b"), ("a", "lif"), ("b", "lif"), ("lif", "output")]
    hashes = set()
    for order in itertools.permutations(edges):
        given = read(network(dict(sorted(nodes.items(), key=lambda _: RNG.random())), list(order)))
        hashes.add(given.hash)
    assert len(hashes) == 1
    assert isinstance(given.node("lif.sum"), Add)
    assert given.inputs("lif.sum") == ("a", "b")


def test_an_edge_that_stands_twice_counts_once() -> None:
    nodes = {"input": source(2), "lif": lif(2), "output": sink()}
    once = [("input", "lif"), ("lif", "output")]
    assert read(network(nodes, [*once, once[0]])).hash == read(network(nodes, once)).hash


# -------------------------------------------------------------------------------------------------------- subgraphs


def test_subgraphs_are_flattened_at_any_depth() -> None:
    fc, out = dense(3, 2), dense(2, 3)
    inner = graph({"in": source(3), "lif": lif(3), "end": sink()}, [("in", "lif"), ("lif", "end")])
    middle = graph({"x": source(2), "fc": fc, "deep": inner, "y": sink()}, [("x", "fc"), ("fc", "deep"), ("deep", "y")])
    nodes = {"input": source(2), "sub": middle, "out": out, "last": lif(2), "output": sink()}
    edges = [("input", "sub"), ("sub", "out"), ("out", "last"), ("last", "output")]
    nested = read(network(nodes, edges))
    flat = read(chain(fc, lif(3), out, lif(2), shape=(2,)))
    assert [name for name in nested if isinstance(nested.node(name), (Linear, Neuron))] == [
        "sub.fc", "sub.deep.lif", "out", "last"
    ]  # fmt: skip
    np.testing.assert_array_equal(spikes(nested, "last"), spikes(flat, "3"))


def test_a_way_round_a_subgraph_that_only_passes_on_is_a_second_term() -> None:
    through = graph({"in": source(2), "out": sink()}, [("in", "out")])
    nodes = {"input": source(2), "sub": through, "lif": lif(2), "output": sink()}
    given = read(network(nodes, [("input", "sub"), ("sub", "lif"), ("input", "lif"), ("lif", "output")]))
    assert given.inputs("lif.sum") == ("input.encoder", "input.encoder")


def test_a_subgraph_of_two_ends_is_refused() -> None:
    inner = graph(
        {"a": source(2), "b": source(2), "lif": lif(2), "y": sink()}, [("a", "lif"), ("b", "lif"), ("lif", "y")]
    )
    nodes = {"input": source(2), "sub": inner, "output": sink()}
    with pytest.raises(InputError, match=r"sub \(NIRGraph\): it has 2 nodes of type Input, and an edge"):
        read(network(nodes, [("input", "sub"), ("sub", "output")]))


def test_names_that_clash_once_flattened_are_refused() -> None:
    inner = graph({"in": source(2), "lif": lif(2), "out": sink()}, [("in", "lif"), ("lif", "out")])
    nodes = {"input": source(2), "sub": inner, "sub.lif": lif(2), "output": sink()}
    with pytest.raises(InputError, match=r"two nodes are named 'sub\.lif' once subgraphs are flattened"):
        read(network(nodes, [("input", "sub"), ("sub", "sub.lif"), ("sub.lif", "output")]))


def test_subgraphs_that_read_themselves_are_refused() -> None:
    through = graph({"in": source(2), "out": sink()}, [("in", "out")])
    nodes = {"input": source(2), "a": through, "b": through, "lif": lif(2), "output": sink()}
    with pytest.raises(InputError, match="this end of a subgraph reads itself"):
        read(network(nodes, [("input", "lif"), ("a", "b"), ("b", "a"), ("a", "lif"), ("lif", "output")]))


# ------------------------------------------------------------------------------------------------------------ cycles


def recurrent(weight: Any, given: Any, threshold: float = 1.0) -> Any:
    """Spikes of LIF neurons (leak 0.5, gain 1) that get their own of the step before, by hand."""
    membrane, before, sent = np.zeros((2, 2)), np.zeros((2, 2)), []
    for t in range(6):
        membrane = membrane / 2 + given[:, t] + before @ weight.T
        before = (membrane > threshold).astype(np.float64)
        membrane = np.where(before > 0, 0.0, membrane)
        sent.append(before)
    return np.stack(sent, axis=1)


@pytest.mark.parametrize("nested", [False, True])
def test_feedback_through_weights_comes_a_step_later(nested: bool) -> None:
    weight = np.array([[0.5, -1.0], [1.0, 0.25]])
    loop = {"lif": lif(2), "w": node("Linear", weight=weight)}
    if nested:
        inner = graph({"x": source(2), **loop, "y": sink()}, [("x", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "y")])
        given = network({"input": source(2), "rnn": inner, "output": sink()}, [("input", "rnn"), ("rnn", "output")])
        name = "rnn.lif"
    else:
        edges = [("input", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "output")]
        given, name = network({"input": source(2), **loop, "output": sink()}, edges), "lif"
    result = read(given)
    assert isinstance(result.node(f"{name}.before"), Recurrent)
    assert result.inputs(f"{name}.before") == (name,)
    assert f"{name} -> {name} closes a cycle: its spikes arrive one time step later" in notes(given)
    np.testing.assert_array_equal(spikes(result, name), recurrent(weight, SAMPLES))


def test_a_neuron_may_read_itself() -> None:
    nodes = {"input": source(2), "lif": lif(2), "output": sink()}
    result = read(network(nodes, [("input", "lif"), ("lif", "lif"), ("lif", "output")]))
    np.testing.assert_array_equal(spikes(result, "lif"), recurrent(np.eye(2), SAMPLES))


def test_weights_that_are_read_forward_too_are_doubled() -> None:
    """fc brings lif's spikes to the next layer at once, and to lif itself a step later."""
    fc = dense(2, 2)
    nodes = {"input": source(2), "lif": lif(2), "fc": fc, "last": lif(2), "output": sink()}
    edges = [("input", "lif"), ("lif", "fc"), ("fc", "lif"), ("fc", "last"), ("last", "output")]
    result = read(network(nodes, edges))
    np.testing.assert_array_equal(spikes(result, "lif"), recurrent(fc["weight"], SAMPLES))
    feed = read(chain(lif(2), fc, lif(2), shape=(2,)))
    again = interpret(feed, SAMPLES, given={"0": spikes(result, "lif")}).events["2"]
    np.testing.assert_array_equal(spikes(result, "last"), again)


def test_feedback_over_two_layers() -> None:
    nodes = {
        "input": source(2), "a": lif(2), "up": dense(2, 2), "b": lif(2), "down": dense(2, 2), "output": sink(),
    }  # fmt: skip
    edges = [("input", "a"), ("a", "up"), ("up", "b"), ("b", "down"), ("down", "a"), ("b", "output")]
    result = read(network(nodes, edges))
    assert [result.inputs(name) for name in result.of_kind(Recurrent)] == [("b",)]
    assert result.inputs("down") == ("b.before",)
    assert "b -> a closes a cycle" in notes(network(nodes, edges))


def lead_back(readers: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Of a network of somas, all of which read each other directly; ``in`` is the input."""
    sources = {name: tuple(sorted(a for a, nexts in readers.items() if name in nexts)) for name in readers}
    somas = set(readers) - {"in"}
    return feedback(reached(sources, somas), somas, ["in"])


@pytest.mark.parametrize(
    ("readers", "back"),
    [
        ({"in": {"a"}, "a": {"b"}, "b": {"a"}}, {("b", "a")}),
        ({"in": {"z"}, "z": {"a"}, "a": {"z"}}, {("a", "z")}),
        ({"in": {"a"}, "a": {"a", "b"}, "b": {"b"}}, {("a", "a"), ("b", "b")}),
        # the input enters at both: neither comes first
        ({"in": {"a", "b"}, "a": {"b"}, "b": {"a"}}, {("a", "b"), ("b", "a")}),
        # a skip around b does not make b -> c lead back
        ({"in": {"a"}, "a": {"b", "c"}, "b": {"c"}, "c": {"a"}}, {("c", "a")}),
        # nor does one that enters a cycle further on: nearer the input comes first
        ({"in": {"a", "d"}, "a": {"b"}, "d": {"e"}, "e": {"c"}, "b": {"c"}, "c": {"b"}}, {("c", "b")}),
        ({"in": {"a"}, "a": {"b"}, "b": {"c"}, "c": {"d"}, "d": {"b", "a"}}, {("d", "b"), ("d", "a")}),
        ({"in": {"a"}, "a": {"b"}, "b": set()}, set()),
    ],
)
def test_which_connections_lead_back(readers: dict[str, set[str]], back: set[tuple[str, str]]) -> None:
    assert lead_back(readers) == back


def test_no_cycle_is_left_in_any_small_network() -> None:
    names = ["a", "b", "c", "d"]
    rng = np.random.default_rng(0)
    for _ in range(300):
        chosen = rng.random((4, 4)) < 0.4
        readers = {
            name: {other for k, other in enumerate(names) if row[k]} for name, row in zip(names, chosen, strict=True)
        }
        readers["in"] = {name for name in names if rng.random() < 0.5} or {"a"}
        back = lead_back(readers)
        forward = {name: {other for other in nexts if (name, other) not in back} for name, nexts in readers.items()}
        while forward:
            ends = [name for name, nexts in forward.items() if not nexts & forward.keys()]
            assert ends, (readers, back)
            for name in ends:
                del forward[name]


def test_a_cycle_without_a_neuron_is_refused() -> None:
    nodes = {"input": source(2), "a": dense(2, 2), "b": dense(2, 2), "lif": lif(2), "output": sink()}
    edges = [("input", "a"), ("a", "b"), ("b", "a"), ("b", "lif"), ("lif", "output")]
    with pytest.raises(InputError, match="no spiking neuron is in this cycle"):
        read(network(nodes, edges))


# -------------------------------------------------------------------------------------------------------------- ends


def test_neurons_are_outputs_themselves() -> None:
    nodes = {"input": source(2), "a": lif(2), "b": lif(2), "out1": sink(), "out2": sink()}
    edges = [("input", "a"), ("a", "b"), ("a", "out1"), ("b", "out2")]
    assert read(network(nodes, edges)).outputs == ("a", "b")


def test_what_is_no_neuron_is_summed_over_time() -> None:
    fc = dense(3, 2)
    result = read(chain(lif(2), fc, shape=(2,)))
    assert result.outputs == ("output",)
    sums = spikes(result, "0").sum(axis=1) @ fc["weight"].T
    np.testing.assert_array_equal(interpret(result, SAMPLES).outputs["output"], sums)


def test_what_nobody_reads_is_an_output() -> None:
    nodes = {"input": source(2), "a": lif(2), "fc": dense(3, 2)}
    given = network(nodes, [("input", "a"), ("input", "fc")])
    assert read(given).outputs == ("a", "fc.total")
    assert "nobody reads a: it is taken as an output" in notes(given)


def test_a_readout_tells_its_v_leak() -> None:
    part = node("LI", tau=full(2 * DT, 2), r=full(1, 2), v_leak=full(0.5, 2))
    assert isinstance(read(chain(part, shape=(2,))).node("0"), Readout)
    assert "0: its results are relative to v_leak; add 0.5 to each" in notes(chain(part, shape=(2,)))


REFUSED: list[tuple[dict[str, Any], list[tuple[str, str]], str]] = [
    (
        {"a": lif(2), "output": sink()},
        [("a", "output")],
        "the network has 0 Input nodes that are read",
    ),
    (
        {"x": source(2), "y": source(2), "a": lif(2), "output": sink()},
        [("x", "a"), ("y", "a"), ("a", "output")],
        "the network has 2 Input nodes that are read (x, y); it must have one",
    ),
    (
        {"input": source(2), "li": node("LI", tau=full(1, 2), r=full(1, 2), v_leak=full(0, 2)), "a": lif(2)},
        [("input", "li"), ("li", "a")],
        "li (LI): others read its membrane, and only spikes can be sent",
    ),
    (
        {"input": source(2), "a": lif(2), "b": lif(2), "output": sink()},
        [("input", "a"), ("a", "output"), ("b", "output")],
        "b (LIF): nothing leads to it; connect it or remove it",
    ),
    (
        {"input": source(2), "a": lif(2), "b": lif(2), "output": sink()},
        [("input", "a"), ("a", "output"), ("b", "b")],
        "b (LIF): no way leads to it from the input",
    ),
    (
        {"input": source(2), "a": lif(2), "output": sink(), "other": sink()},
        [("input", "a"), ("a", "output")],
        "other (Output): nothing leads to it",
    ),
    (
        {"input": source(2), "a": dense(2, 2), "b": dense(3, 2), "c": lif(1), "output": sink()},
        [("input", "a"), ("input", "b"), ("a", "c"), ("b", "c"), ("c", "output")],
        "its inputs have shapes (2,), (3,); they must be the same",
    ),
    ({"input": source(2), "output": sink()}, [("input", "gone")], "edge input -> gone: gone is not a node"),
    ({"input": source(0), "a": lif(2)}, [("input", "a")], "input (Input): "),
    (
        {"input": node("Input", shape=None), "a": lif(2)},
        [("input", "a")],
        "its shape is not stated; give --input",
    ),
    ({"input": source(2), "a\n": lif(2)}, [("input", "a\n")], "its name is not printable text"),
]


@pytest.mark.parametrize(("nodes", "edges", "message"), REFUSED)
def test_refusals(nodes: dict[str, Any], edges: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(InputError) as error:
        read(network(nodes, edges))
    assert message in str(error.value)


def test_generated_names_keep_off_those_of_the_file() -> None:
    nodes = {"input": source(2), "input.encoder": lif(2), "input.encoder.before": dense(2, 2), "output": sink()}
    edges = [
        ("input", "input.encoder"), ("input.encoder", "input.encoder.before"),
        ("input.encoder.before", "input.encoder"), ("input.encoder", "output"),
    ]  # fmt: skip
    result = read(network(nodes, edges))
    assert result.inputs("input.encoder.2") == ("input",)
    assert result.inputs("input.encoder.before") == ("input.encoder.before.2",)


# ------------------------------------------------------------------------------------------------- shapes, time steps


@pytest.mark.parametrize("parts", [[dense(3, 2), lif(3)], [node("Scale", scale=np.array([1.0, 2.0]))]])
def test_a_batch_of_one_in_the_input_is_dropped(parts: list[dict[str, Any]]) -> None:
    given = network(
        {"input": source(1, 2), **{str(k): part for k, part in enumerate(parts)}},
        [("input", "0"), *([("0", "1")] if len(parts) > 1 else [])],
    )
    assert read(given).shape("input") == (2,)
    assert "the input's shape (1, 2) has a batch of one in front: taken as (2,)" in notes(given)


def test_the_input_shape_can_be_given() -> None:
    given = network({"input": source(8, 2), "a": lif(2)}, [("input", "a")])
    assert read(given, input_shape=(2,)).shape("input") == (2,)
    assert "the input's shape is (2,), as --input-shape says (the file says (8, 2))" in notes(given, input_shape=(2,))


def test_where_the_time_step_is_from() -> None:
    nodes, edges = {"input": source(2), "a": lif(2)}, [("input", "a")]
    assert "ASSUMED: one time step is 0.0001 s, for neither the file nor --dt states it" in notes(
        network(nodes, edges, dt=None)
    )
    assert "one time step is 0.0005 s, as the file states" in notes(network(nodes, edges, dt=5e-4))
    assert "one time step is 0.0002 s, as --dt says (the file's metadata say 0.0005)" in notes(
        network(nodes, edges, dt=5e-4), dt=2e-4
    )
    neuron = read(network(nodes, edges, dt=None), dt=DT / 2).node("a")
    assert isinstance(neuron, Neuron)
    assert neuron.leak == 0.75


@pytest.mark.parametrize("stated", [0.0, -1.0, np.inf, np.nan, "fast", np.ones(2)])
def test_a_senseless_time_step_is_refused(stated: Any) -> None:
    nodes, edges = {"input": source(2), "a": lif(2)}, [("input", "a")]
    with pytest.raises(InputError, match="which must be positive seconds; give --dt"):
        read(network(nodes, edges, dt=stated))
    if isinstance(stated, float):
        with pytest.raises(InputError, match=r"--dt is .*; it must be a positive number of seconds"):
            read(network(nodes, edges, dt=None), dt=stated)


def test_time_steps_must_be_given() -> None:
    with pytest.raises(InputError, match="does not say how many time steps it runs; give --timesteps"):
        read(chain(lif(2), shape=(2,)), timesteps=None)  # type: ignore[arg-type]
