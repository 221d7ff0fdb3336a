"""The pass manager: order, stopping, verification, and what it tells its listener."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from neurocompile.errors import GraphError, InputError
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Dropout, Identity
from neurocompile.passes.base import PassManager
from neurocompile.passes.cleanup import RemoveIdentity
from tests.networks import LOWERING
from tests.passes.helpers import lif, net


@dataclass(frozen=True)
class Rename:
    """Adds its own name to the graph's."""

    suffix: str

    @property
    def name(self) -> str:
        return self.suffix

    def run(self, graph: Graph) -> Graph:
        nodes = ((name, node, graph.inputs(name)) for name, node in graph.items())
        return Graph(graph.name + self.suffix, graph.stage, graph.timesteps, nodes, graph.outputs)


@dataclass(frozen=True)
class Spoil:
    name: ClassVar[str] = "spoil"

    def run(self, graph: Graph) -> Graph:
        return graph.edit().finish("spiking")


GRAPH = net(("out", lif(), ("direct",)))


def test_passes_run_in_the_order_of_the_tuple() -> None:
    assert PassManager((Rename(".a"), Rename(".b"))).run(GRAPH).name == "net.a.b"


def test_it_stops_after_the_named_pass() -> None:
    passes = (Rename(".a"), Rename(".b"), Rename(".c"))
    assert PassManager(passes).run(GRAPH, stop_after=".b").name == "net.a.b"


def test_an_unknown_stop_is_refused_before_anything_runs() -> None:
    with pytest.raises(
        InputError, match="pass 'fold' is not in the pipeline; choose one of remove_identity, lower_transposed"
    ):
        PassManager((*LOWERING,)).run(GRAPH, stop_after="fold")


def test_the_graph_is_verified_first() -> None:
    with pytest.raises(GraphError, match="out: the network ends in a Dropout"):
        PassManager(()).run(net(("out", Dropout(), ("direct",))))


def test_an_illegal_result_is_a_fault_of_ours_and_names_the_passes() -> None:
    with pytest.raises(AssertionError, match=r"pass spoil \(after .a, remove_identity\) made an illegal graph: out: "):
        PassManager((Rename(".a"), RemoveIdentity(), Spoil())).run(GRAPH)


def test_the_listener_hears_of_every_pass() -> None:
    heard: list[tuple[str, str, bool]] = []
    listener = lambda name, graph, seconds: heard.append((name, graph.name, 0 <= seconds < 5))  # noqa: E731
    PassManager((Rename(".a"), Rename(".b")), listener).run(GRAPH)
    assert heard == [(".a", "net.a", True), (".b", "net.a.b", True)]


def test_identities_and_dropout_go() -> None:
    graph = net(
        ("drop", Dropout(), ("direct",)), ("id", Identity(), ("drop",)), ("out", lif(), ("id",)),
        ("end", lif(), ("id",)),
        outputs=("out", "end"),
    )  # fmt: skip
    after = RemoveIdentity().run(graph)
    assert list(after) == ["input", "direct", "out", "end"]
    assert after.inputs("out") == after.inputs("end") == ("direct",)
    assert after.stage == "traced"
