"""The whole flow on one screen: source -> graph -> passes -> integers -> mapping -> program; then run."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from neurocompile.backends.base import Backend, Explains, Progress, Samples, Streams, joined
from neurocompile.backends.functional import FunctionalBackend
from neurocompile.backends.reference import ReferenceBackend
from neurocompile.costs.activity import Activity
from neurocompile.costs.baselines import ann_layers
from neurocompile.costs.per_sample import SampleCounter
from neurocompile.errors import GraphError, InputError, ProfileError
from neurocompile.hardware.profile import Profile, load_profile
from neurocompile.hardware.target import Target, load_target
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace, check_fit, check_samples, saturated
from neurocompile.ir.nodes import SPIKING, Array, Relu
from neurocompile.ir.verify import verify
from neurocompile.mapping import map_graph
from neurocompile.mapping.legality import check_neurons
from neurocompile.passes.base import Pass, PassManager
from neurocompile.passes.batchnorm import FuseBatchNorm
from neurocompile.passes.cleanup import RemoveIdentity
from neurocompile.passes.convert import Convert, one_step
from neurocompile.passes.delays import LowerDelays
from neurocompile.passes.maxpool import LowerMaxPool
from neurocompile.passes.pooling import FoldPooling
from neurocompile.passes.pools_behind_relus import MoveMaxPools
from neurocompile.passes.projections import SplitProjections
from neurocompile.passes.quantize import Numerics, Quantize
from neurocompile.passes.reset import ResetToZero
from neurocompile.passes.stateless import Stateless
from neurocompile.passes.transposed import LowerTransposed
from neurocompile.program import Options, Program, check_name
from neurocompile.recording import ArrayHash, Recording
from neurocompile.reports.conversion import ConversionLoss, LossMeter

if TYPE_CHECKING:
    from torch import Tensor, nn

AfterPass = Callable[[str, Graph, float], None]

#: the conversion loss is measured on so many calibration samples, or on those that take so many multiplications
_LOSS_SAMPLES = 64
_LOSS_OPERATIONS = 1 << 38


def compile(
    model: nn.Module,
    example_input: Tensor | Array,
    *,
    timesteps: int,
    target: str = "loihi2-sim",
    name: str | None = None,
    options: Options | None = None,
) -> Program:
    """Compile a trained module: its forward may be one time step, loop over time, or take whole sequences.

    ``example_input``: a batch of typical inputs as forward takes it, (N, *shape) or with time on any axis, such as
    (T, N, *shape). It gives the shape and the range of analog input. How the module was read is in the program's notes.
    """
    read_module = frontend().read_module
    source = read_module(model, example_input, timesteps, name or type(model).__name__.lower())
    return compile_graph(
        source.graph, load_target(target), calibration=source.calibration, options=options, notes=source.notes
    )


def frontend() -> ModuleType:
    """The frontend, which needs torch; InputError where that is not installed."""
    try:
        from neurocompile.frontend import checkpoint
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise InputError("networks are read with torch, which is missing; pip install 'neurocompile[torch]'") from error
    return checkpoint


def compile_graph(
    graph: Graph,
    target: Target,
    *,
    calibration: Array | None = None,
    options: Options | None = None,
    after_pass: AfterPass | None = None,
    notes: tuple[str, ...] = (),
) -> Program:
    """A traced graph to a program; ``notes`` say how it was read. GraphError or CapacityError, with the layer and the
    remedy, where that cannot be.

    A graph that was trained in integers is of stage "integer" already: it is mapped as it is.
    """
    try:
        profile = load_profile(target.profile)
    except ProfileError as error:
        raise ProfileError(f"target {target.name}: {error}") from error
    return _compile(graph, target, profile, calibration, options or Options(), after_pass, notes)


def retarget(program: Program, profile: Profile) -> Program:
    """The same trained network, compiled with the same options for another chip."""
    return _compile(program.trained, program.target, profile, program.calibration, program.options, None, program.notes)


def _compile(
    graph: Graph,
    target: Target,
    profile: Profile,
    calibration: Array | None,
    options: Options,
    after_pass: AfterPass | None,
    notes: tuple[str, ...],
) -> Program:
    check_name(graph.name)
    if calibration is not None:
        check_samples(graph, calibration)
        with np.errstate(over="ignore"):
            calibration = np.asarray(calibration, np.float32)
        check_samples(graph, calibration)  # what is too large for float32 has become infinite
    network = graph
    if graph.stage == "integer":
        options.check_unused(graph.name)
        verify(graph)
        integer = graph
    else:
        network = spiking_network(graph, options, calibration, after_pass)
        spiking = PassManager(lowering(options), after_pass).run(network)
        check_neurons(spiking, profile)
        quantize = make_quantizer(profile, target, options, calibration)
        integer = PassManager((quantize,), after_pass).run(spiking)
    mapping = map_graph(integer, profile)
    loss = None
    if options.convert is not None and calibration is not None:
        most = _LOSS_OPERATIONS // (sum(layer.operations for layer in ann_layers(integer)) * graph.timesteps)
        loss = _conversion_loss(graph, network, calibration[: max(1, min(_LOSS_SAMPLES, most))])
    return Program(graph.name, target, profile, graph, integer, mapping, calibration, options, notes, loss)


def spiking_network(
    graph: Graph, options: Options, calibration: Array | None, after_pass: AfterPass | None = None
) -> Graph:
    """The float network that is compiled: ``graph``, or what conversion makes of it. GraphError where it has ReLUs and
    none is wanted."""
    if options.convert is not None:
        return PassManager(_conversion(options, calibration), after_pass).run(graph)
    relus = graph.of_kind(Relu)
    if relus:
        raise GraphError(
            f"{relus[0]}: a ReLU sends values, not spikes ({len(relus)} of them in network {graph.name!r}); convert "
            "the network (build --convert --calibration FILE.npy, or Options(convert=Conversion())), or train one of "
            "spiking neurons"
        )
    return graph


def _conversion(options: Options, calibration: Array | None) -> tuple[Pass, ...]:
    assert options.convert is not None
    convert = Convert(options.convert, calibration)
    if FunctionalBackend().unavailable() is None:
        from neurocompile.backends.functional.products import fast_linear

        convert = Convert(options.convert, calibration, fast_linear)
    return (RemoveIdentity(), MoveMaxPools(), convert)


def _conversion_loss(trained: Graph, network: Graph, samples: Array) -> ConversionLoss:
    engine = make_backend(default_backend())
    assert isinstance(engine, Streams)
    ann, meter = one_step(trained, samples), LossMeter(network)
    meter.add(*(joined(graph, list(engine.batches(graph, samples))) for graph in (ann, network)))
    return meter.loss(f"{len(samples)} calibration samples")


def make_quantizer(profile: Profile, target: Target, options: Options, calibration: Array | None) -> Quantize:
    """The pass from floats to integers, with the functional engine's products where that engine can run."""
    weight_bits = target.options.weight_bits if options.bits is None else options.bits
    numerics = numerics_of(profile, weight_bits, target.options.payload_bits)
    choices = options.quantizer_choices(target, calibrated=calibration is not None)
    if FunctionalBackend().unavailable() is None:
        from neurocompile.backends.functional.products import fast_product

        return Quantize(numerics, calibration, **choices, product=fast_product)
    return Quantize(numerics, calibration, **choices)


def lowering(options: Options) -> tuple[Pass, ...]:
    """The passes from a traced graph to a spiking one, in order."""
    return (
        RemoveIdentity(),
        LowerDelays(),  # before what looks from a soma for its nearest layer
        *((ResetToZero(),) if options.reset_zero else ()),
        LowerTransposed(),
        Stateless(),  # before batch norms are fused, so that theirs move into thresholds
        LowerMaxPool(),
        FuseBatchNorm(),
        FoldPooling(),
        SplitProjections(),
    )


def pass_names(options: Options) -> list[str]:
    """All passes of a build, in order."""
    conversion = (RemoveIdentity.name, MoveMaxPools.name, Convert.name) if options.convert else ()
    return [*conversion, *(each.name for each in lowering(options)), Quantize.name]


def numerics_of(profile: Profile, weight_bits: int, payload_bits: int) -> Numerics:
    """The widths that a profile offers, for the chosen weights and analog input; ProfileError where they are beyond the
    compiler's."""
    try:
        return _numerics_of(profile, weight_bits, payload_bits)
    except InputError as error:
        raise ProfileError(f"{profile.name}: numerics: {error}") from error


def _numerics_of(profile: Profile, weight_bits: int, payload_bits: int) -> Numerics:
    chip = profile.numerics
    return Numerics(
        weight_bits=weight_bits,
        weight_exponent_max=chip.weight_exponent_range.maximum if chip.weight_exponent_range else 0,
        payload_bits=payload_bits,
        state_bits=chip.state_bits.count,
        fraction_bits=chip.fraction_bits.count,
        fraction_bits_fixed=chip.fraction_bits_fixed,
        decay_bits=max(1, chip.decay_bits.count),  # a chip without leaks has refused them
        threshold_bits=chip.threshold_range[1].bit_length() + 1,
        threshold_step_bits=chip.threshold_step_bits.count,
        bias_bits=chip.bias_bits.count,
        bias_max=((1 << chip.bias_bits.count) - 1) << chip.bias_exponent_max.count,
        accumulator_bits=chip.accumulator_bits.count,
        current_overflow=chip.current_overflow,
        membrane_overflow=chip.membrane_overflow,
    )


# ------------------------------------------------------------------------------------------------------------- running


@dataclass(frozen=True)
class Run:
    """What a program did with some samples. ``outputs``: per output (N, *shape). ``seconds``: what it took.
    ``spikes``: how often its neurons fired, all samples and steps together; ``saturated``: how many input values were
    beyond the integer code and were clipped. ``spike_hash``, ``output_hash``: the ``ArrayHash`` of all events and of
    the outputs. ``events``: all of them, where the run was to record them."""

    backend: str
    outputs: dict[str, Array]
    activity: Activity
    seconds: float
    accuracy: float | None
    spikes: int
    saturated: int
    spike_hash: str
    output_hash: str
    events: Recording | None = None

    @property
    def trace(self) -> Trace:
        """Outputs, and the events (unpacked) where they were recorded."""
        return Trace(self.outputs, dict(self.events or {}))

    def summary(self) -> dict[str, Any]:
        return {
            "backend": self.backend,
            "samples": self.activity.samples,
            "accuracy": self.accuracy,
            "spikes": self.spikes,
            "spike_hash": self.spike_hash,
            "output_hash": self.output_hash,
            "saturated_inputs": self.saturated,
            "seconds": self.seconds,
        }


def make_backend(name: str, *, memory_bytes: int | None = None) -> Backend:
    """The engine called ``name``; InputError where it cannot run here. ``memory_bytes``: what it may take."""
    if memory_bytes is not None and name != "functional":
        raise InputError(f"--memory is for the functional engine, the backend is {name}; leave it out, or choose that")
    if name == "functional":
        backend: Backend = FunctionalBackend(memory_bytes=memory_bytes)
    elif name == "reference":
        backend = ReferenceBackend()
    elif name == "lava":
        from neurocompile.backends.lava import LavaBackend

        backend = LavaBackend()
    else:
        raise InputError(f"--backend is {name!r}; choose functional, reference or lava")
    if reason := backend.unavailable():
        raise InputError(reason)
    return backend


def default_backend() -> str:
    """The fastest engine that can run here: "functional", or "reference" where torch or numba is missing."""
    return "reference" if FunctionalBackend().unavailable() else "functional"


def explain(program: Program, backend: str | None = None) -> list[dict[str, Any]]:
    """How the engine computes each ``layer``, and ``why``; InputError where it has no choice."""
    engine = make_backend(backend or default_backend())
    if not isinstance(engine, Explains):
        raise InputError(f"--explain: the {engine.name} engine has no kernels to choose from; use --backend functional")
    return engine.explain(program.integer)


def run(
    program: Program,
    samples: Samples | Tensor,
    *,
    labels: Array | Tensor | None = None,
    backend: str | None = None,
    data: str | None = None,
    record: bool = False,
    per_sample: bool = False,
    memory_bytes: int | None = None,
    progress: Progress | None = None,
) -> Run:
    """Run samples (N, *shape) or (N, T, *shape) on a backend (None: ``default_backend``). ``data`` says what they are.

    Samples that are no array, such as ``samples.load_samples`` gives, are read as they are needed. Events are counted
    and forgotten, unless ``record`` is given. ``per_sample``: the activity also has the counters of each sample on the
    program's chip. ``memory_bytes`` is what the functional engine may take.
    """
    samples, labels = as_samples(samples), None if labels is None else as_array(labels)
    graph = program.integer
    check_fit(graph, tuple(samples.shape), samples.dtype)
    check_labels(graph, samples, labels)
    engine = make_backend(backend or default_backend(), memory_bytes=memory_bytes)
    data = data or f"{len(samples)} samples given in memory"
    outputs: dict[str, list[Array]] = {name: [] for name in graph.outputs}
    activity: Activity | None = None
    spikes, results = ArrayHash(), ArrayHash()
    events = Recording(graph) if record else None
    counter = SampleCounter(program.mapped, program.mapping, program.profile) if per_sample else None
    clipped, start = 0, time.perf_counter()
    for first, trace in _batches(engine, program, samples, progress):
        count = len(trace.outputs[graph.outputs[0]])
        for name, values in trace.outputs.items():
            outputs[name].append(values.astype(np.int64, copy=False))
        seen = Activity.of(graph, trace, data, counter and counter.begin(count))
        activity = activity + seen if activity else seen
        spikes.update(trace.events)
        results.update(trace.outputs)
        clipped += saturated(graph, samples[first : first + count])
        if events is not None:
            events.add(trace.events)
        del trace  # so that its arrays are not there beside those of the next batch
    seconds = time.perf_counter() - start
    assert activity is not None  # there are samples: that is checked
    if counter is not None:
        activity = dataclasses.replace(activity, each=counter.result())
    whole = {name: np.concatenate(parts) for name, parts in outputs.items()}
    activity = dataclasses.replace(activity, correct=correct(Trace(whole, {}), labels))
    return Run(
        backend=engine.name,
        outputs=whole,
        activity=activity,
        seconds=seconds,
        accuracy=activity.accuracy,
        spikes=sum(int(activity.events[name].sum()) for name in graph.of_kind(*SPIKING)),
        saturated=clipped,
        spike_hash=spikes.hexdigest(),
        output_hash=results.hexdigest(),
        events=events,
    )


def _batches(
    engine: Backend, program: Program, samples: Samples, progress: Progress | None
) -> Iterator[tuple[int, Trace]]:
    """(number of the first sample, trace) of consecutive batches; one of all samples from engines without batches."""
    if not isinstance(engine, Streams):
        timeout_s = program.target.options.lava_timeout_s
        yield 0, engine.run(program.mapped, as_array(samples[:]), timeout_s=timeout_s, progress=progress)
        return
    first = 0
    for trace in engine.batches(program.integer, samples, progress=progress):
        count = len(next(iter(trace.outputs.values())))
        yield first, trace
        first += count
        del trace


def as_array(values: Any) -> Array:
    """Arrays, torch's tensors, lists of numbers and ``Samples`` as arrays."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def as_samples(values: Any) -> Samples:
    """``Samples`` as they are, and whatever else ``as_array`` takes as an array."""
    samples: Samples = values
    return samples if isinstance(values, Samples) and not hasattr(values, "detach") else as_array(values)


def correct(trace: Trace, labels: Array | None) -> int | None:
    """How many samples have the largest output at their label; None without labels."""
    if labels is None:
        return None
    (scores, *_) = trace.outputs.values()
    return int((scores.reshape(len(scores), -1).argmax(axis=1) == labels).sum())


def accuracy(trace: Trace, labels: Array | None) -> float | None:
    """The share of samples whose largest output is that of their label; None without labels."""
    right = correct(trace, labels)
    return None if labels is None or right is None else right / len(labels)


def check_labels(graph: Graph, samples: Samples, labels: Array | None) -> None:
    """InputError unless there is one label per sample, each the index of one of the network's (first) outputs."""
    if labels is None:
        return
    if labels.shape != (len(samples),) or labels.dtype.kind not in "iu":
        raise InputError(
            f"labels have shape {labels.shape} and dtype {labels.dtype}; give integers of shape ({len(samples)},)"
        )
    classes = math.prod(graph.shape(graph.outputs[0]))
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise InputError(
            f"labels range from {labels.min()} to {labels.max()}; the network has {classes} outputs, "
            f"so give labels from 0 to {classes - 1}"
        )
