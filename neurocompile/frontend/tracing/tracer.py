"""Follow a network: its own ``forward`` runs with symbolic tensors, and what it does is recorded.

Modules that a table knows are not entered; all others are, whatever Python they are made of. That is why neither
``torch.fx`` (which knows no shapes, so that ``for t in range(x.shape[0])`` stops it) nor ``torch.export`` (which takes
the layers apart) does it: docs/decisions/0010.
"""

from __future__ import annotations

import contextlib
import inspect
import linecache
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

from neurocompile.errors import GraphError
from neurocompile.frontend.cells import Cell, Handler, values
from neurocompile.frontend.tracing.calls import TracedCall
from neurocompile.frontend.tracing.operations import CONTROL, METADATA, OPERATIONS, instead
from neurocompile.frontend.tracing.recorder import Layer, Recorder
from neurocompile.frontend.tracing.symbolic import (
    Axes,
    Listed,
    Refusal,
    Symbol,
    Value,
    When,
    WrongLayoutError,
    fresh,
    in_order,
    leaves,
    sizes,
    symbol,
)
from neurocompile.ir.nodes import Array, Node, Recurrent, Scale


class Tracer:
    """One attempt to follow ``model``. ``batch``: the length of the batch axis of its symbols."""

    def __init__(self, model: nn.Module, recorder: Recorder, table: Mapping[str, Handler], batch: int) -> None:
        self.model, self.recorder, self.table, self.batch = model, recorder, table, batch
        self.timesteps = recorder.timesteps
        self.problems: list[str] = []
        self.notes: list[str] = []
        #: whether a layer would take the input if its axes lay otherwise
        self.misplaced = False
        self.watched: dict[str, Watched] = {}
        self._scopes: list[tuple[str, nn.Module]] = [("", model)]
        self._name: str | None = None
        self._arrays: dict[int, tuple[Tensor, Array]] = {}
        self.encoded: dict[str, int] = {}
        self._refused: set[str] = set()
        self._made: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}
        self._buffers: dict[int, _Buffer] = {}

    # ------------------------------------------------------------------------------------------------- following

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """While this is open, calls of the model's modules and torch's functions come here; the model is as it was
        afterwards."""
        with restored(self.model):
            self.model.eval()
            for path, module in self.model.named_modules():
                module.forward = self._watched(path, module)
            with _Watch(self), torch.no_grad():
                yield

    def _watched(self, path: str, module: nn.Module) -> Callable[..., Any]:
        handler, original = find_handler(self.table, module), module.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            self._scopes.append((path, module))
            try:
                if handler is None:
                    return original(*args, **kwargs)
                if path in self._refused:  # what comes of it at other time steps is no problem of its own
                    raise Listed
                result = handler(TracedCall(self, module, path, args, kwargs))
                self._note_spikes(path, result)
                return result
            except (Refusal, GraphError, Listed) as refusal:
                if isinstance(refusal, (GraphError, Listed)) and handler is None:
                    raise
                if not isinstance(refusal, Listed):
                    self._refused.add(path)
                    self.problem(f"{path or 'the model'} ({type(module).__name__}; {refusal})")
                self.misplaced |= isinstance(refusal, WrongLayoutError)
                shape = next((sizes(item) for item in leaves(args) if isinstance(item, Tensor)), ())
                return self.symbol(shape, None)
            finally:
                self._scopes.pop()

        # frameworks ask for the arguments of a module's forward to learn whether it takes a state
        forward.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
        return forward

    def _note_spikes(self, path: str, result: Any) -> None:
        for position, item in enumerate(leaves(result)):
            value = item.value if isinstance(item, Symbol) else None
            if value is not None and value.port == "out" and value.node in self.recorder.layers:
                self.watched.setdefault(value.node, Watched(path, position, value))

    def dispatch(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What torch would do at a call of ``func`` with a symbol among its arguments."""
        name = function_name(func)
        if name in METADATA and args and isinstance(args[0], Symbol):
            return METADATA[name](*args, **kwargs)
        if name == "getitem" and id(args[0]) in self._buffers and isinstance(args[1], int):
            buffer = self._buffers[id(args[0])]
            if buffer.axis == 0:
                return buffer.steps.get(args[1], torch.zeros(sizes(args[0])[1:]))
        if self._buffers and name != "setitem":
            args, kwargs = self.filled((args, kwargs))
        given = [item for item in leaves((args, kwargs)) if isinstance(item, Symbol)]
        if not given:
            return self._plain(name, func, args, kwargs)
        if getattr(func, "__name__", name) in CONTROL:
            raise GraphError(_cannot_follow(self.model, f"it looks at the values of a tensor ({name})"))
        try:
            if name not in OPERATIONS:
                raise Refusal(f"use {instead(name)}")
            if any(item.value is None for item in given):
                raise Listed
            try:
                return OPERATIONS[name](self, *args, **kwargs)
            except TypeError as problem:
                raise Refusal(str(problem)) from None
        except Refusal as refusal:
            self.problem(self._shown(name, refusal))
        except GraphError as error:
            where = self.name(name)
            self.problem(f"{error}" if str(error).startswith(where) else f"{where}: {error}")
        except Listed:
            pass
        return self._like_torch(func, args, kwargs)

    def _plain(self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A function of ordinary tensors runs; but a layer that reads zeros, where states start, is recorded."""
        first = args[0] if args else None
        layer = name in ("linear", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d")
        if layer and isinstance(first, Tensor) and first.ndim > 1 and len(first) == self.batch and not first.any():
            shape = tuple(first.shape[1:])
            zeros = self.symbol(first.shape, Value(self.recorder.zero(shape), "every", (("N",), *fresh(len(shape)))))
            return self.dispatch(func, (zeros, *args[1:]), kwargs)
        return func(*args, **kwargs)

    def _like_torch(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A result of the shape that torch would give, which stands for nothing."""

        def on_meta(item: Any) -> Any:
            if not isinstance(item, Tensor):
                return item
            return torch.empty(sizes(item), device="meta", dtype=item.dtype)

        try:
            with torch._C.DisableTorchFunctionSubclass():
                result = func(*tree_map(on_meta, args), **tree_map(on_meta, kwargs))
        except Exception:  # torch refuses what has been refused here already; any shape lets the rest be looked at
            result = next(item for item in leaves((args, kwargs)) if isinstance(item, Symbol))
        return tree_map(lambda item: self.symbol(sizes(item), None) if isinstance(item, Tensor) else item, result)

    def problem(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)

    def _shown(self, name: str, refusal: Refusal) -> str:
        path, module = self._scopes[-1]
        if path and not list(module.children()):
            kind = type(module).__name__
            near = None if name in OPERATIONS else instead(kind, None)
            return f"{path} ({kind}; {f'use {near}' if near else refusal})"
        return f"{path or 'forward()'}: {name} ({refusal})"

    # --------------------------------------------------------------------------------------- what operations use

    def write(self, buffer: Tensor, axis: int, step: int, x: Symbol) -> None:
        """``buffer[step] = x``, or along another axis: a tensor of the user's own that collects the time steps."""
        if id(buffer) not in self._buffers and bool(buffer.any()):
            raise Refusal("writes into a tensor that is not zero; collect time steps in a list and torch.stack it")
        kept = self._buffers.setdefault(id(buffer), _Buffer(buffer, axis, {}))
        if kept.axis != axis:
            raise Refusal("writes along two axes of a tensor; collect time steps in a list and torch.stack it")
        kept.steps[step] = x

    def filled(self, structure: Any) -> Any:
        """``structure`` with such tensors as the sequences that they have become."""

        def fill(item: Any) -> Any:
            if not isinstance(item, Tensor) or id(item) not in self._buffers:
                return item
            buffer = self._buffers[id(item)]
            return OPERATIONS["stack"](self, [buffer.steps[step] for step in sorted(buffer.steps)], buffer.axis)

        return tree_map(fill, structure)

    def kept(self, what: str, tensor: Tensor, make: Callable[[], Tensor]) -> Tensor:
        """What is made of a parameter, once."""
        if (what, id(tensor)) not in self._made:
            self._made[what, id(tensor)] = (tensor, make())
        return self._made[what, id(tensor)][1]

    def symbol(self, shape: tuple[int, ...], value: Value | None) -> Symbol:
        return symbol(shape, value, self.dispatch)

    @property
    def lengths(self) -> dict[Any, int]:
        return {"T": self.timesteps, "N": self.batch}

    def name(self, operation: str) -> str:
        """The name of a node made here: the layer's path, or its module's and the operation."""
        if self._name is not None:
            return self._name
        path, module = self._scopes[-1]
        if path and not list(module.children()):
            return path
        return f"{path}.{operation}" if path else operation

    @contextlib.contextmanager
    def named(self, name: str) -> Iterator[None]:
        """Nodes that are made here bear this name."""
        before, self._name = self._name, name
        try:
            yield
        finally:
            self._name = before

    def array(self, tensor: Tensor) -> Array:
        """A parameter's values; the same array for the same parameter."""
        if id(tensor) not in self._arrays:
            if tensor.is_complex():
                raise Refusal("complex numbers are not supported; save real weights")
            self._arrays[id(tensor)] = (tensor, values(tensor))
        return self._arrays[id(tensor)][1]

    def value(self, x: Any) -> Value:
        """What a symbol stands for, where it may be read: the spikes or sums themselves."""
        if not isinstance(x, Symbol):
            raise Refusal(f"reads a {type(x).__name__} that does not come from the input; give it a layer's")
        if x.value is None:
            raise Listed
        if x.value.port != "out":
            raise Refusal(
                f"reads the {x.value.port} of {x.value.node}; other layers can read its spikes only, so give it those"
            )
        if x.value.after:
            raise Refusal(f"reads the result of {x.value.after}; use it at the end of the network only")
        return x.value

    def in_time(self, values: list[Value]) -> tuple[When, list[str]]:
        """The time of an operation that joins values, and their nodes: what is older is read from the past."""
        whens = {value.when for value in values} - {"every"}
        if len(whens) <= 1:
            return (whens.pop() if whens else "every"), [value.node for value in values]
        steps = [when for when in whens if isinstance(when, int)]
        if len(steps) < len(whens):
            raise Refusal("joins single time steps with whole sequences; do it step by step")
        now = max(steps)
        nodes = []
        for value in values:
            node = value.node
            for _ in range(now - value.when if isinstance(value.when, int) else 0):
                node = self.recorder.past(node)
            nodes.append(node)
        return now, nodes

    def apply(self, operation: str, node: Node, x: Symbol, value: Value) -> Symbol:
        """A node of one input on a value whose features stand last, in order."""
        rank = len(self.recorder.shapes[value.node])
        made = self.recorder.emit(self.name(operation), node, (value.node,))
        shape = self.recorder.shapes[made]
        lead = len(value.axes) - rank
        axes = (*value.axes[:lead], *fresh(len(shape)))
        return self.symbol((*sizes(x)[:lead], *shape), Value(made, value.when, axes, factor=value.factor))

    # ------------------------------------------------------------------------------------------------- neurons

    def soma(self, name: str, cell: Cell, x: Symbol, axes: Axes) -> tuple[Layer, str]:
        """The layer called ``name``, and its input with gain and recurrent connection."""
        value = self.value(x)
        shape = self.recorder.shapes[value.node]
        if not in_order(axes, len(shape)):
            raise Refusal("its input has its axes in another order than (batch, channels, ...); permute them back")
        if name not in self.recorder.layers:
            self.recorder.start(name, Layer(cell.soma, shape))
        layer = self.recorder.layers[name]
        if layer.shape != shape:
            raise Refusal(f"is called with inputs of shape {layer.shape} and {shape}; make a layer for each place")
        base = name.removesuffix(".neuron")
        if cell.connection is not None:
            if value.when == "along" or isinstance(value.when, int):
                when: When = value.when
            else:
                when = len(layer.inputs)
            before = self.recorder.emit(f"{base}.before", Recurrent(shape=shape), (name,))
            back = self.symbol(sizes(x), Value(before, when, value.axes))
            with contextlib.ExitStack() as stack:
                if not isinstance(cell.connection, nn.Module):
                    stack.enter_context(self.named(f"{base}.connection"))
                returned = cell.connection(back)
            with self.named(f"{base}.sum"):
                x = x + returned  # type: ignore[assignment]
        if cell.gain is not None:
            with self.named(f"{base}.gain"):
                x = self.apply("gain", Scale(weight=cell.gain), x, self.value(x))
        return layer, self.recorder.encoded(self.value(x).node)


@dataclass(frozen=True)
class _Buffer:
    """A tensor of the user's own, kept so that nothing else gets its number; ``steps`` lie along ``axis``."""

    tensor: Tensor
    axis: int
    steps: dict[int, Symbol]


@dataclass(frozen=True)
class Watched:
    """Where the spikes of a layer are found when the network runs: in what the module at ``path`` returns, the item at
    ``position`` (of all in nested tuples), whose axes are those of ``value``."""

    path: str
    position: int
    value: Value


class _Watch(TorchFunctionMode):
    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.tracer.dispatch(func, args, kwargs or {})


def find_handler(table: Mapping[str, Handler], module: nn.Module) -> Handler | None:
    """The table's entry for the module's class, or for the one that it extends without changing what it does."""
    own: set[str] = set()
    for kind in type(module).__mro__:
        handler = table.get(f"{kind.__module__}.{kind.__qualname__}")
        if handler is not None:
            changed = own - {"__init__", "__doc__", "__module__", "__repr__", "extra_repr", "__firstlineno__"}
            return None if any(hasattr(kind, name) for name in changed) else handler
        own |= vars(kind).keys()
    return None


def function_name(func: Any) -> str:
    """``add`` for torch.add, Tensor.add and ``+``; ``iadd`` for ``+=``; ``get shape`` for a property."""
    name = getattr(func, "__name__", str(func))
    if name in ("__get__", "__set__"):
        return f"{name.strip('_')} {getattr(func.__self__, '__name__', '')}"
    return str(name).strip("_") if name.startswith("__") else str(name)


@contextlib.contextmanager
def restored(model: nn.Module) -> Iterator[None]:
    """Whatever is put into the model's modules while this is open is gone afterwards, and what was there is back."""
    kept = [
        (module, {key: value.copy() if isinstance(value, dict) else value for key, value in module.__dict__.items()})
        for module in model.modules()
    ]
    try:
        yield
    finally:
        for module, contents in kept:
            module.__dict__.clear()
            module.__dict__.update(contents)


def _cannot_follow(model: nn.Module, why: str) -> str:
    return (
        f"{type(model).__name__}: forward() cannot be followed {place()}: {why}; "
        "let every operation and shape be independent of tensor values, and decide in __init__"
    )


def place(problem: BaseException | None = None) -> str:
    """``at net.py:12 `if x.sum() > 0:` ``: the innermost line that is neither torch's nor ours."""
    ours = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]), "<")
    stack = traceback.extract_tb(problem.__traceback__) if problem else traceback.extract_stack()
    for frame in reversed(stack):
        if not frame.filename.startswith(ours):
            line = linecache.getline(frame.filename, frame.lineno or 0).strip()
            return f"at {Path(frame.filename).name}:{frame.lineno}" + (f" `{line}`" if line else "")
    return "by torch"
