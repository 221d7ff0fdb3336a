"""From a PyTorch module to its :class:`~neurocompile.snn.wiring.Wiring`, by ``torch.fx``."""

from __future__ import annotations

import linecache
import operator
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from neurocompile.errors import GraphError, InputError, NeurocompileError
from neurocompile.snn.build import WiredModule
from neurocompile.snn.fields import check
from neurocompile.snn.layers import FUNCTIONS, LAYERS, MODULE_TYPES, Config, describe, pair
from neurocompile.snn.state import Stateful
from neurocompile.snn.wiring import ModuleSpec, Op, Step, Wiring

INSTEAD = {
    "MaxPool2d": "AvgPool2d",
    "AdaptiveMaxPool2d": "AdaptiveAvgPool2d",
    "LPPool2d": "AvgPool2d",
    "LayerNorm": "BatchNorm1d or BatchNorm2d, for it divides by what each sample has, and no synapse does",
    "GroupNorm": "BatchNorm2d",
    "InstanceNorm2d": "BatchNorm2d",
    "SyncBatchNorm": "BatchNorm2d",
    "Conv1d": "Conv2d with a kernel of height 1",
    "Conv3d": "Conv2d",
    "ConvTranspose2d": "Conv2d",
    "LSTM": "neurocompile.snn.Recurrent",
    "GRU": "neurocompile.snn.Recurrent",
    "RNN": "neurocompile.snn.Recurrent",
    "AlphaDropout": "Dropout",
    "max_pool2d": "F.avg_pool2d",
    "layer_norm": "nn.BatchNorm2d, for it divides by what each sample has, and no synapse does",
    "group_norm": "BatchNorm2d",
    "conv2d": "nn.Conv2d",
    "linear": "nn.Linear",
    "batch_norm": "nn.BatchNorm2d",
    "matmul": "nn.Linear",
    "cat": "torch.add, or one wider layer",
    "mean": "nn.AdaptiveAvgPool2d(1)",
    "mul": "the weights of the layer before",
    "truediv": "the weights of the layer before",
    "sub": "torch.add with the negated weights of the layer before",
    "dropout2d": "nn.Dropout2d",
}
_ACTIVATIONS = (
    "ReLU ReLU6 LeakyReLU PReLU ELU SELU CELU GELU SiLU Mish Hardswish Sigmoid Tanh Softplus "
    "relu relu_ relu6 leaky_relu elu selu gelu silu hardswish sigmoid tanh"
)
INSTEAD |= dict.fromkeys(_ACTIVATIONS.split(), "neurocompile.snn.LIF (replace_relu converts nn.ReLU)")
INSTEAD |= dict.fromkeys(
    ("Softmax", "LogSoftmax", "softmax", "log_softmax"), "no softmax at all: the largest readout stays the largest"
)


def trace(model: nn.Module) -> Wiring:
    """Describe what ``model`` does in one time step.

    The model may be an ``nn.Sequential`` or have a ``forward`` of its own, with one input and one output, made of the
    layers of :data:`~neurocompile.snn.layers.LAYERS`, ``+``, ``torch.add``, flattening that keeps the batch axis,
    ``F.avg_pool2d``, ``F.adaptive_avg_pool2d`` and ``F.dropout``.

    Raises:
        GraphError: naming every operation that is not supported, with what to use instead; or the line of code that
            cannot be followed because it depends on the values of tensors.
    """
    if isinstance(model, WiredModule):
        # Its steps stand; its layers may have been exchanged since.
        specs = {path: ModuleSpec(*describe(path, model.get_submodule(path))) for path in model.wiring.modules}
        return Wiring(specs, model.wiring.steps, model.wiring.output)
    return _Reader(model, *fx_graph(model)).read()


def fx_graph(model: nn.Module) -> tuple[fx.Graph, dict[str, str]]:
    """The fx graph of ``model`` in eval mode, with torch's and our layers as leaves, and each node's scope.

    Raises:
        GraphError: ``forward`` does something that cannot be traced.
    """
    kind = type(model).__name__
    if isinstance(model, tuple(MODULE_TYPES)):
        raise GraphError(f"{kind}: the model is a single layer; wrap it: nn.Sequential(model)")
    tracer = _Tracer()
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        graph = tracer.trace(model)
    except NeurocompileError:
        raise
    except Exception as problem:  # whatever the user's forward() raises when it meets a proxy
        raise GraphError(
            f"{kind}: forward() cannot be followed {_place(problem)}: {str(problem).splitlines()[0].rstrip('.')}; "
            "let every operation and shape be independent of tensor values, and decide in __init__"
        ) from problem
    finally:
        for module, training in modes.items():
            module.training = training
    return graph, {name: scope[0] for name, scope in tracer.node_name_to_scope.items()}


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (Stateful, *MODULE_TYPES)) or super().is_leaf_module(m, module_qualified_name)


class _NodeError(Exception):
    """Why one node is refused; collected, not shown."""


class _Reader:
    """Turns fx nodes into steps, gathering complaints as it goes."""

    def __init__(self, model: nn.Module, graph: fx.Graph, scopes: dict[str, str]) -> None:
        self.model = model
        self.graph = graph
        self.scopes = scopes
        self.modules: dict[str, ModuleSpec] = {}
        self.steps: dict[str, Step] = {}
        self.step_of: dict[fx.Node, str] = {}
        self.problems: list[str] = []

    def read(self) -> Wiring:
        kind = type(self.model).__name__
        placeholders = [node.name for node in self.graph.nodes if node.op == "placeholder"]
        if len(placeholders) != 1:
            raise GraphError(
                f"{kind}: forward() takes {len(placeholders)} inputs ({', '.join(placeholders) or 'none'}), limit 1; "
                "keep states in the layers and everything else in __init__"
            )
        for node in self.graph.nodes:
            if node.op == "output":
                output = node.args[0]
                continue
            try:
                self._read(node)
            except _NodeError as refusal:
                self.problems.append(str(refusal))
            except GraphError as problem:
                self.problems.append(f"{problem}")
        if self.problems:
            count = len(self.problems)
            what = "1 operation" if count == 1 else f"{count} operations"
            raise GraphError(f"{kind}: {what} cannot be compiled: {'; '.join(self.problems)}")
        if output not in self.step_of:
            raise GraphError(f"{kind}: forward() returns {_kind(output)}; return the one tensor of the last layer")
        return self._pruned(self.step_of[output])

    def _read(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self._add(node, "input", "input", "", (), {})
        elif node.op == "get_attr":
            raise _NodeError(f"{node.target} (a tensor used by itself; make it part of a layer)")
        elif node.op == "call_module":
            self._read_module(node, str(node.target))
        elif not _is_size(node):
            self._read_function(node)

    def _read_module(self, node: fx.Node, path: str) -> None:
        module = self.model.get_submodule(path)
        kind = type(module).__name__
        if type(module) not in MODULE_TYPES:
            near = next((MODULE_TYPES[base] for base in type(module).__mro__ if base in MODULE_TYPES), None)
            raise _NodeError(f"{path} ({kind}; use {INSTEAD.get(kind) or (near and f'{near} itself') or _any()})")
        if len(node.args) != 1 or node.kwargs or not isinstance(node.args[0], fx.Node):
            raise _NodeError(f"{path} ({kind} called with more than one tensor; give it just its input)")
        spec = ModuleSpec(*describe(path, module))
        if path in self.modules and LAYERS[spec.type].once:
            raise _NodeError(f"{path} ({kind} called twice, but it keeps state; make one for each place)")
        self.modules[path] = spec
        self._add(node, path, "module", path, (node.args[0],), {})

    def _read_function(self, node: fx.Node) -> None:
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
        reader = _FUNCTIONS.get(node.target)
        scope = self.scopes.get(node.name, "")
        shown = f"{scope or 'forward()'}: {name}"
        if reader is None:
            raise _NodeError(f"{shown} (use {INSTEAD.get(name) or _any()})")
        try:
            target, inputs, args = reader(*node.args, **node.kwargs)
            check(target, args, FUNCTIONS[target].fields)
        except (_NodeError, InputError, TypeError) as problem:  # TypeError: arguments torch does not know either
            raise _NodeError(f"{shown} ({problem})") from None
        if name in ("iadd", "add_") and len(inputs[0].users) > 1:
            raise _NodeError(f"{shown} (changes in place a tensor that is used again; write a + b)")
        self._add(node, f"{scope}.{target}" if scope else target, "function", target, inputs, args)

    def _add(self, node: fx.Node, name: str, op: Op, target: str, inputs: tuple[fx.Node, ...], args: Config) -> None:
        unique, count = name, 1
        while unique in self.steps:
            count += 1
            unique = f"{name}@{count}"
        # A refused producer has no step; the complaint about it is enough.
        names = tuple(self.step_of.get(item, "") for item in inputs)
        self.steps[unique] = Step(unique, op, target, names, args)
        self.step_of[node] = unique

    def _pruned(self, output: str) -> Wiring:
        """Without the steps that the output does not depend on (the input stays)."""
        needed = {output} | {name for name, step in self.steps.items() if step.op == "input"}
        for name, step in reversed(self.steps.items()):
            if name in needed:
                needed.update(step.inputs)
        steps = tuple(step for name, step in self.steps.items() if name in needed)
        called = {step.target for step in steps if step.op == "module"}
        return Wiring({path: spec for path, spec in self.modules.items() if path in called}, steps, output)


# Each reader has the signature of the torch function it stands for, so that Python sorts out the arguments.
_Read = tuple[str, tuple[fx.Node, ...], Config]


def _add(input: Any, other: Any, *, alpha: Any = 1) -> _Read:
    if not (isinstance(input, fx.Node) and isinstance(other, fx.Node)):
        raise _NodeError("adds a constant; put it into the bias of the layer before")
    if alpha != 1:
        raise _NodeError(f"alpha is {alpha}; scale the weights of the layer before instead")
    return "add", (input, other), {}


def _flatten(input: fx.Node, start_dim: Any = 0, end_dim: Any = -1) -> _Read:
    if (start_dim, end_dim) != (1, -1):
        raise _NodeError(f"flattens axes {start_dim} to {end_dim}; use flatten(1)")
    return "flatten", (input,), {}


def _view(input: fx.Node, *shape: Any) -> _Read:
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
    if len(sizes) != 2 or not _is_batch_size(sizes[0]) or sizes[1] != -1:
        raise _NodeError("reshapes in a way that may mix samples; use flatten(1)")
    return "flatten", (input,), {}


def _avg_pool2d(
    input: fx.Node,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: Any = False,
    count_include_pad: Any = True,
    divisor_override: Any = None,
) -> _Read:
    return (
        "avg_pool2d",
        (input,),
        {
            "kernel_size": pair(kernel_size),
            "stride": pair(kernel_size if stride is None else stride),
            "padding": pair(padding),
            "ceil_mode": ceil_mode,
            "count_include_pad": count_include_pad,
            "divisor_override": divisor_override,
        },
    )


def _adaptive_avg_pool2d(input: fx.Node, output_size: Any) -> _Read:
    return "adaptive_avg_pool2d", (input,), {"output_size": pair(output_size)}


def _dropout(input: fx.Node, p: Any = 0.5, training: Any = True, inplace: Any = False) -> _Read:  # noqa: ARG001
    if training:
        raise _NodeError("drops even in eval mode; pass training=self.training")
    return "dropout", (input,), {"p": float(p)}


_FUNCTIONS: dict[Any, Callable[..., _Read]] = {
    operator.add: _add,
    operator.iadd: _add,
    torch.add: _add,
    "add": _add,
    "add_": _add,
    torch.flatten: _flatten,
    "flatten": _flatten,
    "view": _view,
    "reshape": _view,
    torch.reshape: _view,
    F.avg_pool2d: _avg_pool2d,
    F.adaptive_avg_pool2d: _adaptive_avg_pool2d,
    F.dropout: _dropout,
}


def _is_size(node: Any) -> bool:
    """Whether a node asks for a shape or one of its entries: harmless by itself."""
    if not isinstance(node, fx.Node):
        return False
    if node.op == "call_method":
        return node.target == "size"
    if node.target is getattr:
        return node.args[1] == "shape"
    return node.target is operator.getitem and _is_size(node.args[0])


def _is_batch_size(node: Any) -> bool:
    """``x.size(0)``, ``x.shape[0]`` or ``x.size()[0]``."""
    if not (_is_size(node) and isinstance(node, fx.Node)):
        return False
    if node.op == "call_method":
        return node.args[1:] == (0,) or dict(node.kwargs) == {"dim": 0}
    return node.target is operator.getitem and node.args[1:] == (0,)


def _place(problem: BaseException) -> str:
    """``at net.py:12, `if x.sum() > 0:` ``: the innermost line that is neither torch's nor ours."""
    ours = (str(Path(torch.__file__).parent), str(Path(__file__).parent), "<")
    for frame in reversed(traceback.extract_tb(problem.__traceback__)):
        if not frame.filename.startswith(ours):
            line = linecache.getline(frame.filename, frame.lineno or 0).strip()
            return f"at {Path(frame.filename).name}:{frame.lineno}" + (f" `{line}`" if line else "")
    return "by torch.fx"


def _kind(value: object) -> str:
    if isinstance(value, tuple | list):
        return f"{len(value)} values"
    return "something other than a tensor" if not isinstance(value, fx.Node) else f"the result of {value.target}"


def _any() -> str:
    return "one of " + ", ".join(LAYERS)
