"""The whole flow on one screen: source -> graph -> passes -> integers -> mapping -> program; then run and verify."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from neurocompile.backends.base import Backend, Progress
from neurocompile.backends.reference import ReferenceBackend
from neurocompile.costs.activity import Activity
from neurocompile.errors import InputError, ProfileError
from neurocompile.hardware.profile import Profile, load_profile
from neurocompile.hardware.target import Target, load_target
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace, check_samples, saturated
from neurocompile.ir.nodes import SPIKING, Array, Readout
from neurocompile.mapping import map_graph
from neurocompile.mapping.legality import check_neurons
from neurocompile.passes.base import Pass, PassManager
from neurocompile.passes.batchnorm import FuseBatchNorm
from neurocompile.passes.cleanup import RemoveIdentity
from neurocompile.passes.pooling import FoldPooling
from neurocompile.passes.projections import SplitProjections
from neurocompile.passes.quantize import Numerics, Quantize
from neurocompile.passes.reset import ResetToZero
from neurocompile.passes.stateless import Stateless
from neurocompile.program import Options, Program, check_name

if TYPE_CHECKING:
    from torch import Tensor, nn

AfterPass = Callable[[str, Graph, float], None]


def compile(
    model: nn.Module,
    example_input: Tensor | Array,
    *,
    timesteps: int,
    target: str = "loihi2-sim",
    name: str | None = None,
    options: Options | None = None,
) -> Program:
    """Compile a trained module whose forward is one time step.

    ``example_input``: a batch of typical inputs (N, *shape), which gives the shape and the range of analog input.
    """
    read_module = frontend().read_module
    source = read_module(model, example_input, timesteps, name or type(model).__name__.lower())
    return compile_graph(source.graph, load_target(target), calibration=source.calibration, options=options)


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
) -> Program:
    """A traced graph to a program. GraphError or CapacityError, with the layer and the remedy, where that cannot be."""
    try:
        profile = load_profile(target.profile)
    except ProfileError as error:
        raise ProfileError(f"target {target.name}: {error}") from error
    return _compile(graph, target, profile, calibration, options or Options(), after_pass)


def retarget(program: Program, profile: Profile) -> Program:
    """The same trained network, compiled with the same options for another chip."""
    return _compile(program.trained, program.target, profile, program.calibration, program.options, None)


def _compile(
    graph: Graph,
    target: Target,
    profile: Profile,
    calibration: Array | None,
    options: Options,
    after_pass: AfterPass | None,
) -> Program:
    check_name(graph.name)
    if calibration is not None:
        check_samples(graph, calibration)
        with np.errstate(over="ignore"):
            calibration = np.asarray(calibration, np.float32)
        check_samples(graph, calibration)  # what is too large for float32 has become infinite
    spiking = PassManager(lowering(options), after_pass).run(graph)
    check_neurons(spiking, profile)
    weight_bits = target.options.weight_bits if options.bits is None else options.bits
    numerics = numerics_of(profile, weight_bits, target.options.payload_bits)
    integer = PassManager((Quantize(numerics, calibration),), after_pass).run(spiking)
    mapping = map_graph(integer, profile)
    return Program(graph.name, target, profile, graph, integer, mapping, calibration, options)


def lowering(options: Options) -> tuple[Pass, ...]:
    """The passes from a traced graph to a spiking one, in order."""
    return (
        RemoveIdentity(),
        *((ResetToZero(),) if options.reset_zero else ()),
        Stateless(),  # before batch norms are fused, so that theirs move into thresholds
        FuseBatchNorm(),
        FoldPooling(),
        SplitProjections(),
    )


def pass_names(options: Options) -> list[str]:
    """All passes of a build, in order."""
    return [*(each.name for each in lowering(options)), Quantize.name]


def numerics_of(profile: Profile, weight_bits: int, payload_bits: int) -> Numerics:
    """The widths that a profile offers, for the chosen weights and analog input."""
    chip = profile.numerics
    return Numerics(
        weight_bits=weight_bits,
        weight_exponent_max=chip.weight_exponent_range.maximum if chip.weight_exponent_range else 0,
        payload_bits=payload_bits,
        state_bits=chip.state_bits.count,
        fraction_bits=chip.fraction_bits.count,
        fraction_bits_fixed=chip.fraction_bits_fixed,
        decay_bits=chip.decay_bits.count,
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
    """What a program did with some samples. ``spikes``: how often its neurons fired, all samples and steps together;
    ``saturated``: how many input values were beyond the integer code and were clipped."""

    backend: str
    trace: Trace
    activity: Activity
    seconds: float
    accuracy: float | None
    spikes: int
    saturated: int

    def summary(self) -> dict[str, Any]:
        return {
            "backend": self.backend,
            "samples": self.activity.samples,
            "accuracy": self.accuracy,
            "spikes": self.spikes,
            "spike_hash": hash_arrays(self.trace.events),
            "output_hash": hash_arrays(self.trace.outputs),
            "saturated_inputs": self.saturated,
            "seconds": self.seconds,
        }


def hash_arrays(arrays: dict[str, Array]) -> str:
    """sha256 over names and int64 arrays, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name], np.int64).tobytes())
    return digest.hexdigest()


def make_backend(name: str) -> Backend:
    """The engine called ``name``; InputError where it cannot run here."""
    if name == "reference":
        backend: Backend = ReferenceBackend()
    elif name == "lava":
        from neurocompile.backends.lava import LavaBackend

        backend = LavaBackend()
    else:
        raise InputError(f"--backend is {name!r}; choose reference or lava")
    if reason := backend.unavailable():
        raise InputError(reason)
    return backend


def run(
    program: Program,
    samples: Array | Tensor,
    *,
    labels: Array | Tensor | None = None,
    backend: str | None = None,
    data: str | None = None,
    progress: Progress | None = None,
) -> Run:
    """Run samples (N, *shape) or (N, T, *shape) on a backend (None: the target's). ``data`` says what they are."""
    samples, labels = as_array(samples), None if labels is None else as_array(labels)
    check_labels(program.integer, samples, labels)
    engine = make_backend(backend or program.target.backend)
    graph = program.integer if engine.name == "reference" else program.mapped
    start = time.perf_counter()
    trace = engine.run(graph, samples, timeout_s=program.target.options.lava_timeout_s, progress=progress)
    seconds = time.perf_counter() - start
    activity = Activity.of(program.integer, trace, data or f"{len(samples)} samples given in memory")
    return Run(
        backend=engine.name,
        trace=trace,
        activity=activity,
        seconds=seconds,
        accuracy=accuracy(trace, labels),
        spikes=sum(int(activity.events[name].sum()) for name in program.integer.of_kind(*SPIKING)),
        saturated=saturated(program.integer, samples),
    )


def as_array(values: Array | Tensor) -> Array:
    """Arrays, torch's tensors and lists of numbers as arrays."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def accuracy(trace: Trace, labels: Array | None) -> float | None:
    """The share of samples whose largest output is that of their label; None without labels."""
    if labels is None:
        return None
    (scores, *_) = trace.outputs.values()
    return float((scores.reshape(len(scores), -1).argmax(axis=1) == labels).mean())


def check_labels(graph: Graph, samples: Array, labels: Array | None) -> None:
    """InputError unless there is one label per sample, each the index of one of the network's (first) outputs."""
    if labels is None:
        return
    if labels.shape != samples.shape[:1] or labels.dtype.kind not in "iu":
        raise InputError(
            f"labels have shape {labels.shape} and dtype {labels.dtype}; give integers of shape {samples.shape[:1]}"
        )
    classes = math.prod(graph.shape(graph.outputs[0]))
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise InputError(
            f"labels range from {labels.min()} to {labels.max()}; the network has {classes} outputs, "
            f"so give labels from 0 to {classes - 1}"
        )


def verify_program(
    program: Program,
    samples: Array | Tensor,
    *,
    labels: Array | Tensor | None = None,
    progress: Callable[[str], Progress | None] | None = None,
) -> dict[str, Any]:
    """Float against integer, layer by layer, and every engine against the interpreter, bit for bit.

    ``progress(engine)`` gives the progress callback for an engine's run.
    """

    def watch(engine: str) -> Progress | None:
        return progress(engine) if progress else None

    samples, labels = as_array(samples), None if labels is None else as_array(labels)
    check_labels(program.integer, samples, labels)
    reference = ReferenceBackend()
    trained = reference.run(program.trained, samples, progress=watch("float"))
    integer = reference.run(program.integer, samples, progress=watch("reference"))
    engines = {"reference": _compared(integer, reference.run(program.mapped, samples, progress=watch("chip time")))}
    try:
        lava = make_backend("lava")
    except InputError:
        engines["lava"] = "unavailable"
    else:
        timeout_s = program.target.options.lava_timeout_s
        engines["lava"] = _compared(
            integer, lava.run(program.mapped, samples, timeout_s=timeout_s, progress=watch("lava"))
        )
    return {
        "samples": len(samples),
        "engines": engines,
        "layers": [
            {
                "name": name,
                "agreement": float((trained.events[name] == integer.events[name]).mean()),
                "rate_float": float((trained.events[name] != 0).mean()),
                "rate_integer": float((integer.events[name] != 0).mean()),
            }
            for name in program.integer.of_kind(*SPIKING)
        ],
        "outputs": [_output_error(program.integer, name, trained, integer) for name in program.integer.outputs],
        "accuracy_float": accuracy(trained, labels),
        "accuracy_integer": accuracy(integer, labels),
    }


def _compared(expected: Trace, found: Trace) -> str:
    same = all(
        set(one) == set(other) and all(np.array_equal(one[name], other[name]) for name in one)
        for one, other in ((expected.outputs, found.outputs), (expected.events, found.events))
    )
    return "equal" if same else "differs"


def _output_error(graph: Graph, name: str, trained: Trace, integer: Trace) -> dict[str, Any]:
    """How far the integer outputs are from the float ones, in the float network's unit."""
    node = graph.node(name)
    unit = node.unit if isinstance(node, Readout) else 1.0
    error = np.abs(integer.outputs[name] * unit - trained.outputs[name])
    return {
        "name": name,
        "mean_error": float(error.mean()),
        "mean_magnitude": float(np.abs(trained.outputs[name]).mean()),
    }
