"""Float against integer, and every engine against the interpreter: what ``neurocompile verify`` measures.

Samples go through in chunks, of which only counts and predicted classes are kept, so that their number does not matter.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from neurocompile import driver
from neurocompile.backends.base import Progress, Samples, Streams, joined
from neurocompile.backends.reference import ReferenceBackend
from neurocompile.errors import CapacityError, InputError
from neurocompile.ir.bounds import input_range, state_range
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace, check_fit, saturated
from neurocompile.ir.nodes import ENCODERS, SPIKING, Array, Node, Readout, Soma
from neurocompile.ir.populations import populations
from neurocompile.mapping.synapses import fan_out, full_box
from neurocompile.passes.base import PassManager
from neurocompile.passes.convert import one_step
from neurocompile.passes.quantization_error import QuantizationError, quantization_errors
from neurocompile.passes.scales import Quantizer, Scales
from neurocompile.program import Options, Program
from neurocompile.reports.conversion import LossMeter
from neurocompile.reports.drift import (
    FORMAT,
    NO_LAYER,
    LayerCounts,
    OutputErrors,
    Predictions,
    Score,
    class_of,
    conclusion,
    depth_data,
)

if TYPE_CHECKING:
    from torch import Tensor

#: the weight bits that are tried, where nobody says which
WIDTHS = (8, 6, 4, 3, 2)
#: how many samples go through what takes many runs, where nobody says how many
SWEEP_SAMPLES = 1000

#: the slow engines are compared on so many samples, or on those that take so many dense synaptic operations or bytes
_EXACT_SAMPLES = 512
_EXACT_OPERATIONS = 1 << 36
_EXACT_BYTES = 1 << 29
#: what the events of one part of the samples may take
_PART_BYTES = 1 << 28

Watch = Callable[[str], Progress | None]


def verify_program(
    program: Program,
    samples: Samples | Tensor,
    *,
    labels: Array | Tensor | None = None,
    bits: Sequence[int] = WIDTHS,
    quick: bool = False,
    exact_limit: int | None = None,
    sweep_limit: int = SWEEP_SAMPLES,
    data: str | None = None,
    progress: Watch | None = None,
) -> dict[str, Any]:
    """The drift report of samples (N, *shape) or (N, T, *shape), which ``data`` describes.

    ``quick`` leaves out what takes many runs: where along the depth it is lost, and the table of weight widths
    (``bits``). Both take the first ``sweep_limit`` samples. ``exact_limit``: how many samples the engines are compared
    on (None: as many as the slow ones do in reasonable time). ``progress(phase)`` gives the callback for a phase.
    """
    watch = progress or (lambda _: None)
    samples, labels = driver.as_samples(samples), None if labels is None else driver.as_array(labels)
    check_fit(program.integer, tuple(samples.shape), samples.dtype)
    driver.check_labels(program.integer, samples, labels)
    for name, limit in (("exact_limit", exact_limit), ("sweep_limit", sweep_limit)):
        if limit is not None and limit < 1:
            raise InputError(f"{name} is {limit}; give at least one sample")
    quick = quick or not program.quantized  # without a float network, nothing is lost anywhere
    variants = [] if quick else _variants(program, bits)
    engine = driver.make_backend(driver.default_backend())
    assert isinstance(engine, Streams)
    exact = min(len(samples), _exact_samples(program.integer) if exact_limit is None else exact_limit)
    engines = _compare_engines(program, np.asarray(samples[:exact]), watch)
    few = 0 if quick else min(len(samples), sweep_limit)
    if program.quantized:
        drift, trained = _drift(program, samples, labels, few, engine, watch("layers"))
    else:
        drift = _without_float(program, samples, labels, engine, watch("layers"))
    widths = None
    if few:
        few_labels = None if labels is None else labels[:few]
        widths = _widths(program, samples, few_labels, trained[:few], variants, engine, watch("widths"))
    report = {
        "format": FORMAT,
        "data": data or f"{len(samples):,} samples given in memory",
        "samples": len(samples),
        "timesteps": program.integer.timesteps,
        "bits": program.weight_bits,
        "engines": engines,
        **drift,
        "widths": widths,
    }
    return {**report, "conclusion": conclusion(report)}


# ------------------------------------------------------------------------------------------------------------- engines


def _exact_samples(graph: Graph) -> int:
    """How many samples the interpreter and Lava do in reasonable time and memory; two, so that one follows another."""
    operations = sum(
        int(fan_out(projection, full_box(population.shape)).sum())
        for population in populations(graph)
        for projection in population.projections
    )
    neurons = sum(population.neurons for population in populations(graph))
    most = min(_EXACT_OPERATIONS // max(operations, 1), _EXACT_BYTES // (8 * neurons))
    return max(2, min(_EXACT_SAMPLES, most // graph.timesteps))


def _compare_engines(program: Program, samples: Array, watch: Watch) -> dict[str, Any]:
    """Per engine: its ``state``, on how many samples, and where it first differs or why it is not there."""
    reference = ReferenceBackend()
    expected = reference.run(program.integer, samples, progress=watch("reference"))

    def compared(found: Trace) -> dict[str, Any]:
        difference = first_difference(program.integer, expected, found)
        return {"state": "differs" if difference else "equal", "samples": len(samples), "difference": difference}

    engines = {}
    for name, graph in (("functional", program.integer), ("chip time", program.mapped), ("lava", program.mapped)):
        try:
            engine = reference if name == "chip time" else driver.make_backend(name)
        except InputError as error:
            engines[name] = {"state": "unavailable", "samples": 0, "reason": str(error)}
        else:
            timeout_s = program.target.options.lava_timeout_s
            engines[name] = compared(engine.run(graph, samples, timeout_s=timeout_s, progress=watch(name)))
    return engines


def first_difference(graph: Graph, expected: Trace, found: Trace) -> str | None:
    """Where the first layer that differs does so first; None where the traces are equal bit for bit."""
    for what, kind, mine, theirs in (
        ("events", "sends", expected.events, found.events),
        ("outputs", "gives", expected.outputs, found.outputs),
    ):
        if mine.keys() != theirs.keys():
            return f"{what} are of {', '.join(sorted(theirs))} and not of {', '.join(sorted(mine))}"
        for name in (each for each in graph if each in mine):
            one, other = mine[name], theirs[name]
            if one.shape != other.shape:
                return f"{name} {kind} an array of shape {other.shape} and not {one.shape}"
            if not np.array_equal(one, other):
                place = tuple(map(int, np.argwhere(one != other)[0]))
                where = f"sample {place[0]}" + (f", step {place[1]}" if kind == "sends" else "")
                neuron = place[2:] if kind == "sends" else place[1:]
                return f"{name} {kind} {other[place]} and not {one[place]} ({where}, neuron {neuron})"
    return None


# --------------------------------------------------------------------------------------------------- layers and depth


@dataclass(frozen=True)
class _Part:
    """Some samples of the set; ``first`` is the number of the first."""

    first: int
    samples: Array


class _Runs:
    """The engine, and the progress of work on ``samples`` that runs ``runs`` samples in all."""

    def __init__(self, engine: Streams, progress: Progress | None, samples: int, runs: int) -> None:
        self.engine, self._progress = engine, progress
        self._samples, self._runs, self._done = samples, runs, 0

    def trace(
        self, graph: Graph, part: _Part, given: Mapping[str, Array] | None = None, keep: Collection[str] = ()
    ) -> Trace:
        """The outputs, and the events of the spiking somas ``keep`` in one or two bytes each."""
        outputs: dict[str, list[Array]] = {}
        events: dict[str, list[Array]] = {}
        for batch in self.engine.batches(graph, part.samples, first_sample=part.first, events=bool(keep), given=given):
            for name in graph.outputs:
                outputs.setdefault(name, []).append(batch.outputs[name])
            for name in keep:
                events.setdefault(name, []).append(batch.events[name].astype(_narrow(graph.node(name)), copy=False))
            self.advance(len(batch.outputs[graph.outputs[0]]))
        return Trace(_joined(outputs), _joined(events))

    def advance(self, samples: int) -> None:
        """So many samples have been run, or will not be."""
        self._done += samples
        if self._progress:
            self._progress(self._done * self._samples // self._runs, self._samples)


def _narrow(node: Node) -> type[np.signedinteger[Any]]:
    """What holds the events of a spiking soma, which are whole numbers in float networks too."""
    most = node.max_payload if isinstance(node, SPIKING) and node.spikes == "graded" else 1
    return np.int8 if most < 1 << 7 else np.int16 if most < 1 << 15 else np.int64


def _joined(parts: dict[str, list[Array]]) -> dict[str, Array]:
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def _parts(graph: Graph, samples: Samples, count: int) -> Iterator[_Part]:
    """The first ``count`` samples, in parts whose events, float and integer, have room."""
    neurons = sum(math.prod(graph.shape(name)) for name in graph.of_kind(*SPIKING, *ENCODERS))
    size = max(1, _PART_BYTES // (16 * neurons * graph.timesteps))
    for first in range(0, count, size):
        yield _Part(first, np.asarray(samples[first : min(first + size, count)]))


def _drift(
    program: Program,
    samples: Samples,
    labels: Array | None,
    few: int,
    engine: Streams,
    progress: Progress | None,
) -> tuple[dict[str, Any], Array]:
    """All but the widths, and the classes (N,) that the float network gives. ``few``: how many samples show the depth,
    which takes many runs."""
    trained_graph, graph = _trained(program), program.integer
    loss = LossMeter(trained_graph) if program.options.convert else None
    spiking = PassManager(driver.lowering(program.options)).run(trained_graph)
    alone, stubs = isolated(graph)
    layers, chain = graph.of_kind(*SPIKING), _chain(graph)
    # what the passes have made into populations, such as max pools, sends nothing yet in the graph that was traced
    made = [name for name in layers if name not in trained_graph or not isinstance(trained_graph.node(name), SPIKING)]
    known = [name for name in layers if name not in made]
    counts = {name: LayerCounts(name) for name in layers}
    errors = {name: OutputErrors(name) for name in graph.outputs}
    first, units = graph.outputs[0], {name: _unit(graph, name) for name in graph.outputs}
    as_trained, as_integer = Predictions(), Predictions()
    depth = [Predictions() for _ in (NO_LAYER, *chain)]
    clipped = 0
    runs = _Runs(engine, progress, len(samples), (3 + bool(made)) * len(samples) + len(chain) * few)
    for part in _parts(graph, samples, len(samples)):
        trained, integer = runs.trace(trained_graph, part, keep=known), runs.trace(graph, part, keep=layers)
        if made:
            trained.events.update(runs.trace(spiking, part, keep=made).events)
        if loss:
            ann = one_step(program.trained, part.samples)
            loss.add(joined(ann, list(engine.batches(ann, part.samples, first_sample=part.first))), trained)
        isolating = runs.trace(alone, part, {stub: trained.events[name] for stub, name in stubs.items()}, layers)
        for name, layer in counts.items():
            layer.add(trained.events[name], integer.events[name], isolating.events[name])
        for name, error in errors.items():
            both = (each.outputs[name] * units[name] for each in (integer, isolating))
            error.add(trained.outputs[name], *both)
        clipped += saturated(graph, part.samples)
        wanted = trained.outputs[first]
        as_trained.add(wanted, wanted)
        result = integer.outputs[first] * units[first]
        as_integer.add(result, wanted)
        rest = few - part.first
        if rest > 0:
            shown = _Part(part.first, part.samples[:rest])
            for count, predictions in enumerate(depth[:-1]):
                # the first layers send what they send in the integer network, and the float network goes on from there
                given = {name: integer.events[name][:rest] for name in chain[:count]}
                predictions.add(runs.trace(spiking, shown, given).outputs[first], wanted[:rest])
            depth[-1].add(result[:rest], wanted[:rest])
    classes = as_trained.classes
    score, score_trained = (Score.of(each.classes, classes, labels) for each in (as_integer, as_trained))
    scales = program.quantizer_choices["scales"]
    quantization = {each.name: each for each in quantization_errors(spiking, graph, scales)}
    plain = {name: dataclasses.asdict(error) for name, error in quantization.items()}
    ways = list(zip((NO_LAYER, *chain), depth, strict=True))
    report = {
        "conversion": loss.loss(f"{len(samples):,} samples", labels).model_dump() if loss else None,
        "accuracy_float": score_trained.accuracy,
        "accuracy_integer": score.accuracy,
        "output_agreement": score.agreement,
        "layers": [{**plain[name], **counts[name].row()} for name in layers],
        "outputs": [{**plain[name], **errors[name].row()} for name in graph.outputs],
        "saturation": {
            "inputs": {"clipped": clipped, "values": math.prod(samples.shape)},
            "weights": _clipped_weights(spiking, quantization),
            "states": _overflows(graph),
        },
        "depth": depth_data(ways, classes[:few], None if labels is None else labels[:few]) if few else None,
    }
    return report, classes


def _trained(program: Program) -> Graph:
    """The float network that integers are compared with: as trained, or as converted from the ANN that was."""
    return driver.spiking_network(program.trained, program.options, program.calibration)


def _without_float(
    program: Program, samples: Samples, labels: Array | None, engine: Streams, progress: Progress | None
) -> dict[str, Any]:
    """The same for a network that was trained in integers: there is nothing to compare them with."""
    graph = program.integer
    predictions, clipped = Predictions(), 0
    runs = _Runs(engine, progress, len(samples), len(samples))
    for part in _parts(graph, samples, len(samples)):
        result = runs.trace(graph, part).outputs[graph.outputs[0]]
        predictions.add(result, result)
        clipped += saturated(graph, part.samples)
    return {
        "accuracy_float": None,
        "accuracy_integer": Score.of(predictions.classes, predictions.classes, labels).accuracy,
        "output_agreement": None,
        "layers": [],
        "outputs": [],
        "saturation": {
            "inputs": {"clipped": clipped, "values": math.prod(samples.shape)},
            "weights": {"clipped_share": 0.0, "weights": sum(_weights(graph).values())},
            "states": _overflows(graph),
        },
        "depth": None,
    }


def isolated(graph: Graph) -> tuple[Graph, dict[str, str]]:
    """``graph`` with every sender of spikes a second time: the second, which the readers read, is to be given what it
    sends, so that the first shows what its layer alone makes of that. Returns {second: first} too."""
    draft = graph.edit()
    stubs = {}
    for name in graph.of_kind(*SPIKING):
        if graph.consumers(name):
            stub = draft.add(f"{name}.given", graph.node(name), draft.inputs(name))
            draft.redirect(name, stub)
            stubs[stub] = name
    draft.outputs = tuple(graph.of_kind(Soma))
    return draft.finish(), stubs


def _chain(graph: Graph) -> list[str]:
    """The layers up to the first output, in order of flow: what can change it."""
    order = list(graph)
    output = graph.outputs[0]
    return [*(name for name in graph.of_kind(*SPIKING) if order.index(name) < order.index(output)), output]


def _unit(graph: Graph, name: str) -> float:
    """What one of an integer output is in the float network."""
    node = graph.node(name)
    return node.unit if isinstance(node, Readout) else 1.0


def _overflows(graph: Graph) -> dict[str, Any]:
    """States that wrapped or were clipped: none, where that is proved, and else nobody knows."""
    for population in populations(graph):
        fixed = population.soma.fixed
        assert fixed is not None
        inputs = input_range(graph, population)
        needed = max(each.bits for each in state_range(population, inputs, graph.timesteps))
        if inputs.bits > fixed.accumulator_bits or needed > fixed.state_bits:
            return {"overflows": None, "reason": f"{population.name} is not proved to fit its widths"}
    return {"overflows": 0, "reason": "proved never to overflow"}


def _weights(graph: Graph) -> dict[str, int]:
    """How many weights other than zero each population has."""
    return {
        population.name: sum(int(np.count_nonzero(each.weighted.weight)) for each in population.projections)
        for population in populations(graph)
    }


def _clipped_weights(spiking: Graph, errors: Mapping[str, QuantizationError]) -> dict[str, Any]:
    """The share of all weights other than zero that are beyond the largest code."""
    weights = _weights(spiking)
    total = sum(weights.values())
    clipped = sum(errors[name].clipped_share * count for name, count in weights.items())
    return {"clipped_share": clipped / max(total, 1), "weights": total}


# -------------------------------------------------------------------------------------------------------------- widths


def _variants(program: Program, bits: Sequence[int]) -> list[Options]:
    """Every way of quantizing, at every width."""
    if not bits or len(set(bits)) < len(bits):
        raise InputError(f"bits are {', '.join(map(str, bits)) or 'none'}; give each width once, such as 8,4,2")
    return [
        dataclasses.replace(program.options, bits=width, quantizer=quantizer, scales=scales)
        for scales in get_args(Scales)
        for quantizer in get_args(Quantizer)
        for width in bits
    ]


def _widths(
    program: Program,
    samples: Samples,
    labels: Array | None,
    trained: Array,
    variants: Sequence[Options],
    engine: Streams,
    progress: Progress | None,
) -> dict[str, Any]:
    """The same network quantized otherwise, on as many samples as ``trained``, the float network's classes, has."""
    count = len(trained)
    spiking = PassManager(driver.lowering(program.options)).run(_trained(program))
    choices = program.quantizer_choices
    built = (program.weight_bits, choices["quantizer"], choices["scales"])
    runs = _Runs(engine, progress, count, len(variants) * count)
    rows = []
    for options in variants:
        row: dict[str, Any] = {
            "bits": options.bits,
            "quantizer": options.quantizer,
            "scales": options.scales,
            "own": (options.bits, options.quantizer, options.scales) == built,
            "accuracy": None,
            "agreement": None,
            "error": None,
        }
        try:
            graph = _quantized(program, spiking, options)
        except (CapacityError, InputError) as error:  # too wide for the chip, or no samples to calibrate with
            row["error"] = str(error)
            runs.advance(count)
        else:
            parts = _parts(graph, samples, count)
            found = [class_of(runs.trace(graph, part).outputs[graph.outputs[0]]) for part in parts]
            row |= Score.of(np.concatenate(found), trained, labels).plain()
        rows.append(row)
    return {
        "samples": count,
        "measure": "agreement" if labels is None else "accuracy",
        "float": Score.of(trained, trained, labels).value,
        "variants": rows,
    }


def _quantized(program: Program, spiking: Graph, options: Options) -> Graph:
    """The integer graph that a build with these options would have."""
    quantize = driver.make_quantizer(program.profile, program.target, options, program.calibration)
    return PassManager((quantize,)).run(spiking)
