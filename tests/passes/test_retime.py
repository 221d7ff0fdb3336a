"""Chip time: phases, delays, and the skip that is too long."""

from __future__ import annotations

import numpy as np
import pytest

from neurocompile.errors import GraphError
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import Add, Delay, Linear, Neuron, Readout, Recurrent, Soma
from neurocompile.ir.verify import verify
from neurocompile.passes.quantize import Numerics, Quantize
from neurocompile.passes.retime import Retime
from tests.networks import lower
from tests.passes.helpers import Triple, assert_same, lif, net, quarters, samples_of


def skipping(depth: int) -> Graph:
    """direct -> n0 -> n1 ... -> n(depth-1), and n0 added to the last: an integer graph."""
    nodes: list[Triple] = [
        ("fc0", Linear(weight=quarters(2, 2), bias=quarters(2)), ("direct",)),
        ("n0", lif(0.5), ("fc0",)),
    ]
    for number in range(1, depth):
        layer = Linear(weight=quarters(2, 2, seed=number) + np.eye(2) * 2)
        nodes += [(f"fc{number}", layer, (f"n{number - 1}",)), (f"n{number}", lif(0.5), (f"fc{number}",))]
    nodes += [("sum", Add(), ("n0", f"n{depth - 1}")), ("out", lif(0.5), ("sum",))]
    return Quantize(Numerics(weight_bits=4)).run(lower(net(*nodes, steps=3)))


def phases(graph: Graph) -> dict[str, int]:
    return {name: node.phase for name, node in graph.items() if isinstance(node, Soma)}


def delays(graph: Graph) -> dict[str, int]:
    return {name: node.steps for name, node in graph.items() if isinstance(node, Delay)}


def test_phases_are_depths_and_skips_wait() -> None:
    after = Retime().run(skipping(3))
    verify(after)
    assert after.stage == "mapped"
    assert phases(after) == {"n0": 1, "n1": 2, "n2": 3, "out": 4}
    assert delays(after) == {
        "fc0.delay": 1, "fc1.delay": 1, "fc2.delay": 1, "n0.to.out.delay": 3, "n2.to.out.delay": 1,
    }  # fmt: skip


@pytest.mark.parametrize("depth", [2, 3, 5])
@pytest.mark.parametrize("samples", [1, 4])
def test_pipelined_samples_give_the_spikes_of_logical_time(depth: int, samples: int) -> None:
    graph = skipping(depth)
    stream = samples_of(graph, samples)
    assert interpret(graph, stream).events["out"].any()
    assert_same(graph, Retime().run(graph), stream)


def test_several_readouts_of_different_phase() -> None:
    nodes: list[Triple] = [
        ("fc", Linear(weight=quarters(3, 2)), ("direct",)), ("early", Readout(leak=np.array(0.5)), ("fc",)),
        ("lif", lif(0.5), ("direct",)), ("fc2", Linear(weight=quarters(2, 2)), ("lif",)),
        ("late", Readout(bias=quarters(2)), ("fc2",)),
    ]  # fmt: skip
    graph = Quantize().run(lower(net(*nodes, outputs=("early", "late"))))
    after = Retime().run(graph)
    assert phases(after) == {"early": 1, "lif": 1, "late": 2}
    assert_same(graph, after, samples_of(graph, 5))


def test_a_neuron_that_fires_before_its_first_sample_disturbs_nobody() -> None:
    """Its bias makes it fire while the pipe is still filling; the next soma starts afresh at its own phase."""
    nodes: list[Triple] = [("a", lif(0.5), ("direct",))]
    for name, source in (("b", "a"), ("c", "b"), ("d", "c")):
        nodes.append((name, lif(0.75, bias=np.array(0.5)), (source,)))
    graph = Quantize().run(lower(net(*nodes, outputs=("d",), steps=2)))
    assert_same(graph, Retime().run(graph), samples_of(graph, 4))


def test_a_skip_beyond_what_the_chip_delays_is_refused_with_its_path() -> None:
    graph = skipping(4)
    assert Retime(max_delay_steps=3).run(graph).hash == Retime().run(graph).hash
    with pytest.raises(
        GraphError,
        match="out: spikes of n0 must wait 4 steps for those that come by direct -> n0 -> n1 -> n2 -> n3 -> out, "
        "the chip delays by at most 2 besides the one that they take; shorten the skip, or put a neuron on its way",
    ):
        Retime(max_delay_steps=2).run(graph)


def brought_back(*edges: tuple[str, str], late: int = 1, spread: int = 0, steps: int = 4) -> Graph:
    """direct -> a -> c -> out and direct -> b -> out, plus a recurrent projection for each (source, target) of
    ``edges``, ``late`` steps late and for its second neuron ``spread`` more: an integer graph."""
    past = Recurrent(shape=(2,), steps=late, axon_steps=np.array([0, spread]) if spread else None)
    somas: dict[str, list[str]] = {"a": ["direct"], "b": ["direct"], "c": ["a"], "out": ["b", "c"]}
    nodes: list[Triple] = []
    for seed, (name, sources) in enumerate(somas.items()):
        ends = []
        for place, source in enumerate(sources):
            layer = Linear(weight=quarters(2, 2, seed=4 * seed + place) + np.eye(2))
            nodes.append((f"{source}.{name}", layer, (source,)))
            ends.append(f"{source}.{name}")
        for source, target in edges:
            if target == name:
                back, synapses = f"{source}.before.{name}", f"{source}.back.{name}"
                nodes.append((back, past, (source,)))
                nodes.append((synapses, Linear(weight=quarters(2, 2, seed=seed) * 4), (back,)))
                ends.append(synapses)
        nodes += [(f"{name}.in", Add(), tuple(ends)), (name, lif(0.5), (f"{name}.in",))]
    return Quantize(Numerics(weight_bits=4)).run(lower(net(*nodes, steps=steps)))


def waits_of(graph: Graph) -> dict[str, int]:
    return {name: node.wait for name, node in graph.items() if isinstance(node, Recurrent) and node.wait}


RECURRENT: dict[str, tuple[list[tuple[str, str]], dict[str, int], dict[str, int]]] = {
    "to itself": ([("a", "a")], {"a": 1, "b": 1, "c": 2, "out": 3}, {}),
    "to those beside": ([("a", "b"), ("b", "a")], {"a": 1, "b": 1, "c": 2, "out": 3}, {}),
    "to a later one": ([("a", "out")], {"a": 1, "b": 1, "c": 2, "out": 3}, {"a.before.out": 2}),
    # nothing leads from b to a or c, so b can wait for c
    "to an earlier one beside": ([("c", "b")], {"a": 1, "b": 2, "c": 2, "out": 3}, {}),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_a_recurrent_projection_has_a_step_of_its_own(name: str) -> None:
    edges, expected, waits = RECURRENT[name]
    graph = brought_back(*edges)
    after = Retime().run(graph)
    verify(after)
    assert phases(after) == expected
    assert waits_of(after) == waits
    stream = samples_of(graph, 6)
    assert_same(graph, after, stream)
    felt, alone = interpret(graph, stream), interpret(brought_back(), stream)
    assert all((felt.events[target] != alone.events[target]).any() for _, target in edges)


@pytest.mark.parametrize(
    ("edges", "path"),
    [([("c", "a")], "a -> c -> a"), ([("out", "a"), ("b", "b")], "a -> c -> out -> a")],
)
def test_what_comes_from_further_on_is_refused_with_its_path(edges: list[tuple[str, str]], path: str) -> None:
    graph = brought_back(*edges)
    assert interpret(graph, samples_of(graph)).events["out"].any()  # in logical time it has a meaning
    with pytest.raises(GraphError) as refusal:
        Retime().run(graph)
    loop = path.split(" -> ")[1:]
    turns = [[*loop[place:], *loop[:place], loop[place]] for place in range(len(loop))]
    assert str(refusal.value) in [
        f"{turn[0]}: its spikes come back by {' -> '.join(turn)}, which takes {len(loop)} time steps on a chip, one "
        f"for each projection, and 1 in the network; bring them back {len(loop) - 1} steps later, or to a layer nearer "
        "to the one that they come from"
        for turn in turns
    ]


FAR: dict[str, tuple[tuple[str, str], int, dict[str, int], dict[str, int]]] = {
    # two projections lead from a to c and back; three steps give the loop one to spare
    "just in time": (("c", "a"), 2, {"a": 1, "b": 1, "c": 2, "out": 3}, {"c.before.a": -1}),
    "with one to spare": (("c", "a"), 3, {"a": 1, "b": 1, "c": 2, "out": 3}, {"c.before.a": -1}),
    "around everything": (("out", "a"), 3, {"a": 1, "b": 1, "c": 2, "out": 3}, {"out.before.a": -2}),
}


@pytest.mark.parametrize("spread", [0, 2])
@pytest.mark.parametrize("name", FAR)
def test_what_is_late_enough_may_come_from_further_on(name: str, spread: int) -> None:
    edge, late, expected, waits = FAR[name]
    graph = brought_back(edge, late=late, spread=spread, steps=7)
    after = Retime().run(graph)
    verify(after)
    assert (phases(after), waits_of(after)) == (expected, waits)
    stream = samples_of(graph, 6)
    assert_same(graph, after, stream)
    felt, alone = interpret(graph, stream), interpret(brought_back(steps=7), stream)
    assert (felt.events[edge[1]] != alone.events[edge[1]]).any()


def test_a_loop_must_be_as_late_as_it_is_long() -> None:
    with pytest.raises(GraphError, match=r"which takes 3 time .* and 2 in the network; bring them back 1 steps later,"):
        Retime().run(brought_back(("out", "a"), late=2, spread=5))  # some neurons are late enough, not all


def late_input(late: int) -> Graph:
    """direct -> a -> b -> out, and direct to out ``late`` steps late."""
    nodes: list[Triple] = [("a", lif(0.5), ("direct",)), ("b", lif(0.5), ("a",))]
    nodes += [("late", Recurrent(shape=(2,), steps=late, axon_steps=np.array([0, 2])), ("direct",))]
    nodes += [("sum", Add(), ("b", "late")), ("out", lif(0.5), ("sum",))]
    return Quantize().run(lower(net(*nodes, steps=9)))


def test_delays_forward_take_the_place_of_waits_but_none_is_below_a_step() -> None:
    for late in (1, 4):
        graph = late_input(late)
        after = Retime().run(graph)
        verify(after)
        assert phases(after) == {"a": 1, "b": 2, "out": 3}
        assert waits_of(after) == {"late": 3}
        assert_same(graph, after, samples_of(graph, 4))


def test_a_soma_of_late_input_alone_works_as_early_as_it_can() -> None:
    nodes: list[Triple] = [("a", lif(0.5), ("direct",)), ("b", lif(0.5), ("a",)), ("c", lif(0.5), ("b",))]
    nodes += [("late", Recurrent(shape=(2,), steps=3), ("c",)), ("out", lif(0.5), ("late",))]
    graph = Quantize().run(lower(net(*nodes, steps=6)))
    after = Retime().run(graph)
    assert phases(after) == {"a": 1, "b": 2, "c": 3, "out": 1}
    assert_same(graph, after, samples_of(graph, 4))


def test_the_chip_bounds_waits_and_delays_together() -> None:
    graph = late_input(4)
    assert Retime(max_delay_steps=8).run(graph).hash == Retime().run(graph).hash
    with pytest.raises(
        GraphError,
        match="out: spikes of direct must wait 9 steps, 6 of their own and 3 for those that come by direct -> a -> b "
        "-> out, the chip delays by at most 7 besides the one that they take; shorten the skip, or delay them",
    ):
        Retime(max_delay_steps=7).run(graph)


def test_nothing_else_changes() -> None:
    graph = skipping(3)
    after = Retime().run(graph)
    for name, node in graph.items():
        same = after.node(name)
        assert {**vars(same), "phase": 0} == {**vars(node), "phase": 0} if isinstance(node, Neuron) else same is node
