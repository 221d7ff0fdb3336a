"""How samples are presented to a network, and what of its answer is the result.

A network's ``forward`` may be one time step (with states inside, or passed in and out), or loop over time itself, or
take whole sequences with time on any axis. Which one it is shows when it is followed: each way is tried in turn, and
the first that goes through is it.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from neurocompile.errors import GraphError, NeurocompileError
from neurocompile.frontend.cells import Handler
from neurocompile.frontend.frameworks import TABLE
from neurocompile.frontend.tracing.recorder import Recorder
from neurocompile.frontend.tracing.symbolic import Axes, Symbol, Value, When, fresh, leaves
from neurocompile.frontend.tracing.tracer import Tracer, Watched, place
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Array, Readout, Scale, Shape
from neurocompile.snn.build import WiredModule

#: what networks call the number of time steps, where ``forward`` is told
_STEPS = frozenset(
    [
        *("num_steps", "n_steps", "nsteps", "steps", "timesteps", "time_steps", "num_timesteps", "n_timesteps"),
        *("num_time_steps", "time_window", "T"),
    ]
)
#: a step that calls a network once more shows what it reads of the step before, and one more that it stays so
_DRIVEN_STEPS = 3


@dataclass(frozen=True)
class Layout:
    """The axes of the tensor that ``forward`` is given, and whether it is called once per time step."""

    sample: Shape
    axes: Axes
    stepwise: bool = False

    @property
    def has_time(self) -> bool:
        return any("T" in labels for labels in self.axes)

    def shape(self, batch: int, timesteps: int) -> tuple[int, ...]:
        lengths: dict[Any, int] = {"N": batch, "T": timesteps, **dict(enumerate(self.sample))}
        return tuple(int(np.prod([lengths[label] for label in labels], dtype=int)) for labels in self.axes)

    def samples(self, batch: Array, timesteps: int) -> Array:
        """A batch of this layout as (N, *sample), or (N, T, *sample) where it has time."""
        if not self.has_time:
            return batch
        labels = [label for axis in self.axes for label in axis]
        lengths = {"T": timesteps, "N": batch.size // timesteps // math.prod(self.sample)} | dict(
            enumerate(self.sample)
        )
        single = batch.reshape([lengths[label] for label in labels])
        order = [labels.index(label) for label in ("N", "T", *range(len(self.sample)))]
        return single.transpose(order)

    def batch(self, samples: Array, timesteps: int) -> Array:
        """The inverse of ``samples``."""
        if not self.has_time:
            return samples
        if samples.ndim == len(self.sample) + 1:
            samples = np.broadcast_to(samples[:, None], (len(samples), timesteps, *self.sample))
        labels = [label for axis in self.axes for label in axis]
        order = ["N", "T", *range(len(self.sample))]
        moved = samples.transpose([order.index(label) for label in labels])
        return moved.reshape(self.shape(len(samples), timesteps))


@dataclass(frozen=True)
class Imported:
    """A traced graph, how it was read, what the user should know about that, and where the network itself shows the
    spikes of its layers. ``batch``: the length of the batch that it was followed with; some networks take no other."""

    module: nn.Module
    graph: Graph
    layout: Layout
    notes: tuple[str, ...]
    watched: Mapping[str, Watched]
    batch: int

    def run(self, samples: Array) -> None:
        """Present samples (N, *shape) or (N, T, *shape) to the network itself, as it was read."""
        steps, layout = self.graph.timesteps, self.layout
        dtype = next((p.dtype for p in self.module.parameters() if p.is_floating_point()), torch.float32)
        x = torch.from_numpy(np.ascontiguousarray(layout.batch(samples, steps))).to(dtype)
        taken = _parameters(self.module)
        told = taken.told(steps)
        if not layout.stepwise:
            self.module(x, **told, **taken.at_rest)
            return
        parts = x.unbind(layout.axes.index(("T",))) if layout.has_time else [x] * steps
        states = taken.at_rest
        for part in parts:
            states = _states(self.module, self.module(part, **told, **states), taken)


def from_module(
    module: nn.Module, input_shape: Shape, timesteps: int, name: str, *, batch: Shape | None = None
) -> Imported:
    """The traced graph of a network for samples of ``input_shape``.

    ``batch``: the whole shape of an example input, where there is one; its axes are then tried as (N, *sample), and as
    (T, N, *sample), (N, T, *sample), (N, *sample, T) and (N*T, *sample) where they fit,
    and ``input_shape`` is ignored.

    Raises:
        GraphError: everything in it that cannot be compiled, in one list with names and remedies; or the line of code
            that cannot be followed.
    """
    if type(timesteps) is not int or timesteps < 1:
        raise GraphError(f"graph {name!r}: timesteps is {timesteps!r}; it must be a whole number of at least 1")
    module = _unwrapped(module)
    failures: list[tuple[int, GraphError]] = []
    for layout, count in _layouts(input_shape, timesteps, batch):
        attempt = _Attempt(module, layout, timesteps, count, TABLE)
        try:
            return attempt.run(name)
        except GraphError as error:
            failures.append((attempt.progress, error))
    # the attempt that came furthest says most about what is wrong
    raise max(failures, key=lambda failure: failure[0])[1]


def _unwrapped(module: nn.Module) -> nn.Module:
    while isinstance(module, nn.DataParallel) or hasattr(module, "_orig_mod"):  # the latter: torch.compile
        module = module.get_submodule("module" if isinstance(module, nn.DataParallel) else "_orig_mod")
    for path, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise GraphError(
                f"{path or 'the model'}: is compiled by TorchScript; give the nn.Module that it was made of"
            )
    return module


def _layouts(input_shape: Shape, timesteps: int, batch: Shape | None) -> Iterator[tuple[Layout, int]]:
    """The layouts to try, with the length of the batch axis."""

    def sequences(sample: Shape) -> dict[str, Axes]:
        own = fresh(len(sample))
        return {
            "TN": (("T",), ("N",), *own),
            "NT": (("N",), ("T",), *own),
            "last": (("N",), *own, ("T",)),
            "merged": (("N", "T"), *own),
            "merged, time first": (("T", "N"), *own),
        }

    if batch is None:
        static = Layout(input_shape, (("N",), *fresh(len(input_shape))))
        yield static, 2
        for count in (2, 1):  # some networks are written for batches of one
            for axes in sequences(input_shape).values():
                yield Layout(input_shape, axes), count
        yield static, 1
        return
    sample = tuple(batch[1:])
    if sample:
        yield Layout(sample, (("N",), *fresh(len(sample)))), batch[0]
    if len(batch) > 2:
        literal = (
            (batch[0] == timesteps, "TN", tuple(batch[2:]), batch[1]),
            (batch[1] == timesteps, "NT", tuple(batch[2:]), batch[0]),
            (batch[-1] == timesteps, "last", tuple(batch[1:-1]), batch[0]),
        )
        for fits, kind, rest, count in literal:
            if fits:
                yield Layout(rest, sequences(rest)[kind]), count
                if kind != "last":
                    yield Layout(rest, sequences(rest)[kind], stepwise=True), count
    for kind in ("merged", "merged, time first"):
        if sample and batch[0] % timesteps == 0:
            yield Layout(sample, sequences(sample)[kind]), batch[0] // timesteps
    for kind in ("TN", "NT", "last"):
        if sample:
            yield Layout(sample, sequences(sample)[kind]), batch[0]


class _Attempt:
    """One way to present samples, tried."""

    def __init__(
        self, module: nn.Module, layout: Layout, timesteps: int, batch: int, table: Mapping[str, Handler]
    ) -> None:
        self.module, self.layout, self.timesteps, self.batch = module, layout, timesteps, batch
        self.taken = _parameters(module)
        self.inputs = self.taken.input
        self.recorder = Recorder(self.inputs, layout.sample, timesteps, static=not layout.has_time)
        self.tracer = Tracer(module, self.recorder, table, batch)
        self.driven = False

    @property
    def progress(self) -> int:
        """How far it came: layers of neurons count most."""
        if self.tracer.misplaced:
            return 0
        return 1000 * len(self.recorder.layers) + len(self.recorder.nodes)

    def run(self, name: str) -> Imported:
        with self.tracer.watching():
            try:
                result = self._follow()
            except NeurocompileError:
                raise
            except Exception as problem:  # whatever the user's forward() raises when it meets a symbol
                self._raise_problems()
                text = (str(problem).splitlines() or [type(problem).__name__])[0].rstrip(".")
                remedy = "let every operation and shape be independent of tensor values, and decide in __init__"
                if self.taken.states and "NoneType" in text:
                    remedy = (
                        f"what forward() takes besides its input ({', '.join(self.taken.states)}) are states, which "
                        "are None at the first time step; let them start at zero then"
                    )
                raise GraphError(
                    f"{type(self.module).__name__}: forward() cannot be followed {place(problem)}: {text}; {remedy}"
                ) from problem
        self._raise_problems()
        answers = _Answers(self.tracer, driven=self.driven)
        outputs = answers.of(result)
        graph = self.recorder.finish(name, outputs)
        layout = replace(self.layout, stepwise=self.driven)
        return Imported(self.module, graph, layout, tuple(self.tracer.notes), self.tracer.watched, self.batch)

    def _raise_problems(self) -> None:
        problems = self.tracer.problems
        if len(problems) == 1 and " (" not in problems[0].split(":")[0]:
            raise GraphError(problems[0])  # it is a sentence that begins with the layer's name
        if problems:
            what = "1 operation" if len(problems) == 1 else f"{len(problems)} operations"
            raise GraphError(f"{type(self.module).__name__}: {what} cannot be compiled: {'; '.join(problems)}")

    def _follow(self) -> Any:
        """What forward returns: at the last step that was run, where it is called step by step."""
        layout, shape = self.layout, self.layout.shape(self.batch, self.timesteps)
        when: When = "along" if layout.has_time else "every"
        x = self.tracer.symbol(shape, Value(self.inputs, when, layout.axes))
        parts = x.unbind(layout.axes.index(("T",))) if layout.stepwise else None
        told, states = self.taken.told(self.timesteps), self.taken.at_rest
        result = self.tracer.filled(self.module(x if parts is None else parts[0], **told, **states))
        steps = {name: len(layer.inputs) for name, layer in self.recorder.layers.items()}
        if layout.has_time and parts is None:
            self._check_steps(steps, self.timesteps)
            return result
        if set(steps.values()) <= {1}:
            self.driven = True
            for step in range(1, min(self.timesteps, _DRIVEN_STEPS)):
                if not steps and not states:
                    break
                states = _states(self.module, result, self.taken)
                result = self.tracer.filled(self.module(x if parts is None else parts[step], **told, **states))
            self._check_steps(
                {name: len(layer.inputs) for name, layer in self.recorder.layers.items()},
                min(self.timesteps, _DRIVEN_STEPS),
            )
            return result
        self._check_steps(steps, self.timesteps)
        return result

    def _check_steps(self, steps: dict[str, int], wanted: int) -> None:
        self._raise_problems()  # a layer that was refused has not been counted
        if not steps or set(steps.values()) == {wanted}:
            return
        counts = sorted(set(steps.values()))
        if len(counts) == 1:
            raise GraphError(
                f"{type(self.module).__name__}: forward() runs {counts[0]} time steps, timesteps is {self.timesteps}; "
                f"build with {counts[0]}, or change the network's; where a layer of neurons is called in several "
                "places, make a layer for each"
            )
        few, many = (min(steps, key=steps.__getitem__), max(steps, key=steps.__getitem__))
        raise GraphError(
            f"{type(self.module).__name__}: {few} is called {steps[few]} times and {many} {steps[many]} times; "
            "every layer of neurons must be called once per time step"
        )


@dataclass(frozen=True)
class _Parameters:
    """What ``forward`` takes: its input, the states behind it, and how many time steps there are."""

    input: str
    states: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()

    @property
    def at_rest(self) -> dict[str, Any]:
        return dict.fromkeys(self.states)

    def told(self, timesteps: int) -> dict[str, int]:
        return dict.fromkeys(self.steps, timesteps)


def _states(module: nn.Module, result: Any, taken: _Parameters) -> dict[str, Any]:
    """What a step returned, as the states that the next one is given."""
    count = len(taken.states)
    if not count:
        return {}
    if isinstance(result, tuple | list):
        if len(result) == 1 + count:
            return dict(zip(taken.states, result[1:], strict=True))
        if len(result) == 2 and isinstance(result[1], tuple | list) and len(result[1]) == count:
            return dict(zip(taken.states, result[1], strict=True))
    returned = len(result) if isinstance(result, tuple | list) else 1
    raise GraphError(
        f"{type(module).__name__}: forward() takes {count} states and returns {returned} values; return "
        "the output and then each state, in the same order"
    )


def _parameters(module: nn.Module) -> _Parameters:
    if isinstance(module, WiredModule):
        return _Parameters(module.wiring.steps[0].name)
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        return _Parameters("input")
    parameters = list(inspect.signature(module.forward).parameters.values())
    plain = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    if not plain:
        return _Parameters("input")
    further = [each for each in parameters if each.kind is not each.POSITIONAL_ONLY and each is not plain[0]]
    steps = tuple(each.name for each in further if each.name in _STEPS)
    states = [each.name for each in plain[1:] if each.default is each.empty or each.default is None]
    states = [name for name in states if name not in steps]
    return _Parameters(plain[0].name, tuple(states), steps)


_RESET = "but it fires and is reset, which a chip does not show; return its spikes, or let it integrate without reset"


class _Answers:
    """From what ``forward`` returned to the graph's outputs: spiking layers and readouts."""

    def __init__(self, tracer: Tracer, *, driven: bool) -> None:
        self.tracer, self.recorder, self.driven = tracer, tracer.recorder, driven
        self.steps = tracer.timesteps

    def of(self, result: Any) -> tuple[str, ...]:
        given = [leaf.value for leaf in leaves(_plain(result)) if isinstance(leaf, Symbol) and leaf.value is not None]
        results = {value.node: value for value in reversed(given) if value.port == "out"}
        results = dict(reversed(results.items()))
        for value in given:
            if value.port == "membrane" and value.node not in results and not self._read(value.node):
                self._as_readout(value.node)
                results[value.node] = value
        ends = {node: value for node, value in results.items() if not self._read(node)} or results
        if not ends:
            for value in given:  # a membrane that is left behind a reset comes as a current, so that nobody reads it
                raise GraphError(f"{value.node}: the result is a state of it, {_RESET}")
            raise GraphError(
                f"{type(self.tracer.model).__name__}: forward() returns {_kind(result)}; "
                "return the one tensor of the last layer"
            )
        return tuple(self._end(value) for value in ends.values())

    def _read(self, node: str) -> bool:
        """Whether another node reads it (its own recurrence aside)."""
        readers = [name for name, (_, inputs) in self.recorder.nodes.items() if node in inputs]
        feeds = [name for name, layer in self.recorder.layers.items() if layer.inputs and layer.inputs[-1] == node]
        return any(not name.startswith(f"{node.removesuffix('.neuron')}.before") for name in (*readers, *feeds))

    def _as_readout(self, name: str) -> None:
        """A layer whose membrane is the result, and whose spikes nobody reads, is a readout."""
        layer = self.recorder.layers[name]
        soma = layer.soma
        if isinstance(soma, Readout):
            return
        resets = soma.reset != "none" and self.steps > 1
        if resets or soma.order != "integrate_first":
            raise GraphError(f"{name}: its membrane is the network's result, {_RESET}")
        readout = Readout(leak=soma.leak, current_leak=soma.current_leak, bias=soma.bias)
        layer.soma = readout
        self.recorder.nodes[name] = (readout, ())

    def _end(self, value: Value) -> str:
        """The soma whose result stands for ``value``."""
        name, steps = value.node, tuple(range(self.steps))
        if value.after:
            self._note(f"{name}: {value.after} behind it is left out; it does not change which output is the largest")
        if isinstance(value.when, tuple) and value.when != steps:
            raise GraphError(f"{name}: the result sums steps {value.when} of {self.steps}; sum over all time steps")
        single = isinstance(value.when, int) and not self.driven and self.steps > 1
        if single and value.when != self.steps - 1:
            raise GraphError(f"{name}: the result is that of step {value.when}; return the last step, or all of them")
        layer = self.recorder.layers.get(name)
        if layer is None:
            return self._readout(value, last=single)
        if isinstance(layer.soma, Readout):
            if isinstance(value.when, tuple) and self.steps > 1:
                raise GraphError(
                    f"{name}: the result sums its membrane over the time steps; a readout gives its membrane at the "
                    "last step, so return that"
                )
            return name
        if single:
            self._note(f"{name}: forward() returns its spikes at the last step; the program gives their sum over all")
        if value.factor != 1:
            self._note(f"{name}: forward() returns {value.factor:.6g} times its spikes' sum; the program gives the sum")
        return name

    def _readout(self, value: Value, *, last: bool) -> str:
        """A readout behind a linear node: it sums over the time steps, or forgets all but the last."""
        name = value.node
        if value.factor != 1:
            name = self.recorder.emit(f"{name}.factor", Scale(weight=np.array(value.factor)), (name,))
        if not isinstance(value.when, tuple) and not last and self.steps > 1:
            self._note(f"{value.node}: forward() ends in it; its outputs are summed over the time steps")
        leak = np.array(0.0) if last else np.array(1.0)
        return self.recorder.emit(f"{value.node}.readout", Readout(leak=leak), (name,))

    def _note(self, text: str) -> None:
        self.tracer.notes.append(text)


def _plain(result: Any) -> Any:
    """The result with the fields of objects that hold tensors, such as a data class of states."""
    if hasattr(result, "__dataclass_fields__"):
        return {name: getattr(result, name) for name in result.__dataclass_fields__}
    return result


def _kind(value: object) -> str:
    if isinstance(value, tuple | list):
        return f"{len(value)} values, none of which comes from the input"
    return "something other than a tensor that comes from the input"
