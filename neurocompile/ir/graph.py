"""The graph: named nodes, ordered inputs, known shapes. Only this file touches networkx."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator
from typing import Literal, get_args

import networkx as nx

from neurocompile.errors import GraphError
from neurocompile.ir.nodes import Node, Recurrent, Shape

Stage = Literal["traced", "fused", "spiking", "integer", "mapped"]
STAGES: tuple[Stage, ...] = get_args(Stage)


class Graph:
    """An immutable network of ``Node`` values.

    Iterating gives the names in a topological order that depends on the order of construction only. ``timesteps`` is
    T, the number of time steps of one presentation. ``outputs`` are the somas whose results the user wants. A cycle is
    legal through ``Recurrent`` nodes of at least one step only; within it these stand in the order as if they read
    nothing.
    """

    def __init__(
        self,
        name: str,
        stage: Stage,
        timesteps: int,
        nodes: Iterable[tuple[str, Node, tuple[str, ...]]],
        outputs: tuple[str, ...],
    ) -> None:
        if stage not in STAGES:
            raise GraphError(f"graph {name!r}: stage {stage!r} is not one of {', '.join(STAGES)}")
        if type(timesteps) is not int or timesteps < 1:
            raise GraphError(f"graph {name!r}: timesteps is {timesteps!r}; it must be a whole number of at least 1")
        self.name = name
        self.stage: Stage = stage
        self.timesteps = timesteps
        self.outputs = outputs
        self._net: nx.DiGraph[str] = nx.DiGraph()
        inputs: dict[str, tuple[str, ...]] = {}
        for position, (node_name, node, sources) in enumerate(nodes):
            if node_name in inputs:
                raise GraphError(f"graph {name!r}: two nodes are named {node_name!r}; names must differ")
            self._net.add_node(node_name, node=node, position=position)
            inputs[node_name] = sources
        for node_name, sources in inputs.items():
            for source in sources:
                if source not in inputs:
                    raise GraphError(f"{node_name}: its input {source!r} is not a node of graph {name!r}")
                self._net.add_edge(source, node_name)
        for output in outputs:
            if output not in inputs:
                raise GraphError(f"graph {name!r}: output {output!r} is not one of its nodes")
        self._inputs = inputs
        self._order = self._topological_order()
        self._shapes = self._infer_shapes()

    def _topological_order(self) -> tuple[str, ...]:
        past = [(source, name) for name in self._inputs if self._recurs(name) for source in self._inputs[name]]
        if past:
            loops = enumerate(nx.strongly_connected_components(self._net))
            loop = {name: number for number, names in loops for name in names}
            self._net.remove_edges_from(edge for edge in past if loop[edge[0]] == loop[edge[1]])
        if not nx.is_directed_acyclic_graph(self._net):
            cycle = [edge[0] for edge in nx.find_cycle(self._net)]
            raise GraphError(
                f"graph {self.name!r} has a cycle: {' -> '.join([*cycle, cycle[0]])}; lead one of its connections "
                "through a Recurrent node, which makes it arrive one time step later, or remove it"
            )
        position = nx.get_node_attributes(self._net, "position")
        return tuple(nx.lexicographical_topological_sort(self._net, key=position.__getitem__))

    def _recurs(self, name: str) -> bool:
        """Whether ``name`` needs nothing of its source's step to give its own."""
        node = self.node(name)
        return isinstance(node, Recurrent) and node.steps > 0

    def _infer_shapes(self) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {}
        for name in self._order:
            node, sources = self.node(name), self._inputs[name]
            wanted = node.arity
            if (not sources) if wanted is None else (len(sources) != wanted):
                count = "one or more" if wanted is None else wanted or "no"
                raise GraphError(f"{name}: {node.kind} takes {count} inputs, has {len(sources)}")
            known = () if self._recurs(name) else sources
            shapes[name] = self._checked_shape(name, [shapes[source] for source in known])
        for name in self.of_kind(Recurrent):
            self._checked_shape(name, [shapes[source] for source in self._inputs[name]])
        return shapes

    def _checked_shape(self, name: str, inputs: list[Shape]) -> Shape:
        try:
            return self.node(name).output_shape(*inputs)
        except GraphError as error:
            raise GraphError(f"{name}: {error}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._order)

    def __contains__(self, name: object) -> bool:
        return name in self._inputs

    def node(self, name: str) -> Node:
        node: Node = self._net.nodes[name]["node"]
        return node

    def items(self) -> Iterator[tuple[str, Node]]:
        return ((name, self.node(name)) for name in self._order)

    def inputs(self, name: str) -> tuple[str, ...]:
        return self._inputs[name]

    def consumers(self, name: str) -> tuple[str, ...]:
        """The nodes that read ``name``, in order; a node that reads it twice stands once."""
        return tuple(consumer for consumer in self._order if name in self._inputs[consumer])

    def shape(self, name: str) -> Shape:
        return self._shapes[name]

    def of_kind(self, *kinds: type[Node]) -> list[str]:
        return [name for name, node in self.items() if isinstance(node, kinds)]

    def edit(self) -> Draft:
        return Draft(self)

    @functools.cached_property
    def hash(self) -> str:
        """sha256 of the text form and of every array's bytes: equal for equal graphs."""
        from neurocompile.ir.text import to_text

        digest = hashlib.sha256(to_text(self).encode())
        for name in self:
            for _, array in self.node(name).arrays():
                digest.update(array.tobytes())
        return digest.hexdigest()


class Draft:
    """A mutable copy that a pass edits and then turns into a new graph. Arrays are shared, never copied."""

    def __init__(self, graph: Graph) -> None:
        self.name, self.stage, self.timesteps, self.outputs = graph.name, graph.stage, graph.timesteps, graph.outputs
        self._nodes: dict[str, tuple[Node, tuple[str, ...]]] = {
            name: (node, graph.inputs(name)) for name, node in graph.items()
        }

    def add(self, name: str, node: Node, inputs: tuple[str, ...]) -> str:
        """Add a node under ``name``, or under ``name.2``, ``name.3`` … where that is taken; returns the name."""
        unique, count = name, 2
        while unique in self._nodes:
            unique, count = f"{name}.{count}", count + 1
        self._nodes[unique] = (node, inputs)
        return unique

    def replace(self, name: str, node: Node, inputs: tuple[str, ...] | None = None) -> None:
        self._nodes[name] = (node, self._nodes[name][1] if inputs is None else inputs)

    def redirect(self, old: str, new: str) -> None:
        """Let every reader of ``old`` read ``new``."""
        for name, (node, inputs) in list(self._nodes.items()):
            if name != new:
                self._nodes[name] = (node, tuple(new if source == old else source for source in inputs))
        self.outputs = tuple(new if output == old else output for output in self.outputs)

    def remove(self, name: str) -> None:
        """Remove a node that nobody reads any more."""
        del self._nodes[name]

    def bypass(self, name: str) -> None:
        """Remove a node of one input and let its readers read that input."""
        (source,) = self._nodes[name][1]
        self.redirect(name, source)
        self.remove(name)

    def inputs(self, name: str) -> tuple[str, ...]:
        return self._nodes[name][1]

    def node(self, name: str) -> Node:
        return self._nodes[name][0]

    def readers(self, name: str) -> list[str]:
        """The nodes that read ``name``."""
        return [reader for reader, (_, inputs) in self._nodes.items() if name in inputs]

    def finish(self, stage: Stage | None = None) -> Graph:
        triples = ((name, node, inputs) for name, (node, inputs) in self._nodes.items())
        return Graph(self.name, stage or self.stage, self.timesteps, triples, self.outputs)
