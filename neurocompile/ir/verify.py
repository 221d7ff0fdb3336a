"""What each stage of the graph allows. ``verify`` runs after every pass; an error names the node and the rule."""

from __future__ import annotations

import re

from neurocompile.errors import GraphError
from neurocompile.ir.graph import Graph, Stage
from neurocompile.ir.nodes import (
    ANALOG,
    ENCODERS,
    SPIKING,
    WEIGHTED,
    Add,
    AvgPool2d,
    AxonDelay,
    BatchNorm,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Delay,
    Dropout,
    Flatten,
    HybridEncoder,
    Identity,
    Input,
    Linear,
    MaxPool2d,
    Node,
    PadChannels,
    Readout,
    Recurrent,
    Relu,
    Reshape,
    Scale,
    Soma,
    SumPool2d,
)
from neurocompile.ir.populations import populations

_SOURCES = (Input, *ENCODERS)
_SOMAS = (*SPIKING, Readout)
_LINEAR = (Conv2d, Linear, Scale, AvgPool2d, SumPool2d, Flatten, Reshape, Add, Concat)
_SPIKING = (*_SOURCES, *_SOMAS, Conv2d, Linear, Scale, SumPool2d, Flatten, Reshape, PadChannels, Add, Recurrent)

LEGAL: dict[Stage, tuple[type[Node], ...]] = {
    "traced": (
        *(*_SOURCES, *_SOMAS, *_LINEAR, Relu, Recurrent, AxonDelay),
        *(BatchNorm, Dropout, Identity, MaxPool2d, ConvTranspose2d),
    ),
    "fused": (*_SOURCES, *_SOMAS, *_LINEAR, Relu, Recurrent, AxonDelay),
    "spiking": _SPIKING,
    "integer": _SPIKING,
    "mapped": (*_SPIKING, Delay),
}


def verify(graph: Graph) -> None:
    """Check ``graph`` against its own stage. GraphError names the first node that breaks a rule."""
    _check_kinds(graph)
    _check_ends(graph)
    if graph.stage in ("spiking", "integer", "mapped"):
        _check_projections(graph)
    if graph.stage in ("integer", "mapped"):
        _check_integers(graph)
    if graph.stage == "mapped":
        _check_phases(graph)


def _check_kinds(graph: Graph) -> None:
    legal = LEGAL[graph.stage]
    for name, node in graph.items():
        if isinstance(node, Relu) and Relu not in legal:
            raise GraphError(f"{name}: a ReLU is not legal at stage {graph.stage!r}; build with --convert")
        if not isinstance(node, legal):
            raise GraphError(f"{name}: {node.kind} is not legal at stage {graph.stage!r}")


def _check_ends(graph: Graph) -> None:
    inputs = graph.of_kind(Input)
    if len(inputs) != 1:
        raise GraphError(f"graph {graph.name!r} has {len(inputs)} inputs; it must have exactly one")
    for reader in graph.consumers(inputs[0]):
        if not isinstance(graph.node(reader), ENCODERS):
            raise GraphError(f"{reader}: {graph.node(reader).kind} reads the input; an encoder must stand between")
    for encoder in graph.of_kind(*ENCODERS):
        if not isinstance(graph.node(graph.inputs(encoder)[0]), Input):
            raise GraphError(f"{encoder}: an encoder must read the input, not {graph.inputs(encoder)[0]}")
        node = graph.node(encoder)
        if isinstance(node, HybridEncoder) and node.timesteps != graph.timesteps:
            raise GraphError(
                f"{encoder}: it codes a picture in {node.timesteps} time steps, and the network has {graph.timesteps}; "
                f"build with --timesteps {node.timesteps}, or train with HybridEncoder(timesteps={graph.timesteps})"
            )
    for name in graph.of_kind(Recurrent):
        (source,) = graph.inputs(name)
        if not isinstance(graph.node(source), (*SPIKING, *ENCODERS)):
            raise GraphError(
                f"{name}: a Recurrent reads {source} ({graph.node(source).kind}); it must read a spiking neuron or an "
                "encoder itself"
            )
        node = graph.node(name)
        if isinstance(node, Recurrent) and node.wait and graph.stage != "mapped":
            raise GraphError(f"{name}: it waits {node.wait} steps in chip time, which the retime pass is yet to make")
    if not graph.outputs:
        raise GraphError(f"graph {graph.name!r} has no outputs; it must end in a Readout or a spiking neuron")
    for output in graph.outputs:
        if not isinstance(graph.node(output), Soma):
            raise GraphError(
                f"{output}: the network ends in a {graph.node(output).kind}; end it in a Readout "
                "(neurocompile.snn.Readout) or in a spiking neuron"
            )
    for name, node in graph.items():
        if not graph.consumers(name) and name not in graph.outputs:
            raise GraphError(f"{name}: nobody reads this {node.kind}; remove it or make it an output")
        if isinstance(node, Readout) and graph.consumers(name):
            raise GraphError(
                f"{name}: a Readout is read by {graph.consumers(name)[0]}; readouts never fire, use a neuron"
            )


def _check_projections(graph: Graph) -> None:
    for population in populations(graph):
        for projection in population.projections:
            kinds = [node.kind for node in projection.nodes]
            if not _GRAMMAR.fullmatch("".join(_LETTERS.get(kind, "?") for kind in kinds)):
                raise GraphError(
                    f"{population.name}: the projection from {projection.source} is {' -> '.join(kinds) or 'empty'}; "
                    "it must be [Recurrent | Delay] Reshape? SumPool2d* Flatten? (Conv2d | Linear | Scale) Flatten? "
                    "PadChannels?"
                )
            if getattr(projection.weighted, "bias", None) is not None:
                raise GraphError(f"{projection.name}: its bias must stand in the soma {population.name} from here on")


#: a letter for each kind of a projection's nodes, and what they may spell: see ``populations``
_LETTERS = {
    "Recurrent": "R", "Delay": "D", "Flatten": "F", "Reshape": "F", "SumPool2d": "S", "Conv2d": "C", "Linear": "L",
    "Scale": "L", "PadChannels": "P",
}  # fmt: skip
_GRAMMAR = re.compile("[RD]?F?(S*C|S*F?L)F?P?")


def _check_integers(graph: Graph) -> None:
    for name, node in graph.items():
        for field, array in node.arrays():
            if array.dtype.kind not in "iub":
                raise GraphError(
                    f"{name}: {field} has dtype {array.dtype}; at stage {graph.stage!r} it must be integer"
                )
        if isinstance(node, WEIGHTED):
            if node.weight_bits is None:
                raise GraphError(f"{name}: weight_bits is not declared")
            # two's complement; but one bit means {-1, +1}
            half = 1 << (node.weight_bits - 1)
            low, high = (-half, half - 1) if node.weight_bits > 1 else (-1, 1)
            if node.weight.min() < low or node.weight.max() > high:
                worst = int(node.weight.min() if node.weight.min() < low else node.weight.max())
                raise GraphError(f"{name}: a weight of {worst} does not fit {node.weight_bits} bits ({low} to {high})")
        if isinstance(node, Soma) and node.fixed is None:
            raise GraphError(f"{name}: its fixed-point format is not declared")
        if isinstance(node, ANALOG) and node.scale is None:
            raise GraphError(f"{name}: its integer scale is not declared")


def _check_phases(graph: Graph) -> None:
    """Both ends of every projection agree on when a spike arrives: phase(soma) = phase(source) + steps, less those that
    it is late by in the network itself. On its way it is for at least one step."""
    for population in populations(graph):
        for projection in population.projections:
            source = graph.node(projection.source)
            start = source.phase if isinstance(source, SPIKING) else 0
            late = projection.past.steps if projection.past else 0
            if projection.steps < 1 or start + projection.steps - late != population.soma.phase:
                raise GraphError(
                    f"{population.name}: phase {population.soma.phase}, but spikes of {projection.source} "
                    f"(phase {start}) arrive after {projection.steps} steps; run the retime pass"
                )
