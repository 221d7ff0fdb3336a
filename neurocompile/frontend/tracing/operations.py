"""What torch's functions become when a network is followed: the table.

Names are those of ``tracer.function_name``: ``add`` stands for ``torch.add``, ``Tensor.add`` and ``+``. Operations that
only move batch and time change the axes of a symbol; those that compute emit a node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from neurocompile.frontend.tracing.arithmetic import add, div, largest, left_out, mul, neg, reduce, sub
from neurocompile.frontend.tracing.axes import (
    cat,
    chunk,
    expand,
    flatten,
    getitem,
    movedim,
    permute,
    repeat,
    reshape,
    select,
    setitem,
    split,
    squeeze,
    stack,
    to_shape,
    transpose,
    unbind,
    unflatten,
    unsqueeze,
)
from neurocompile.frontend.tracing.layers import (
    adaptive,
    addmm,
    avg_pool2d,
    batch_norm,
    clamp,
    conv2d,
    conv_transpose2d,
    dropout,
    interpolate,
    linear,
    matmul,
    max_pool2d,
    on_rows,
    pad,
    relu,
)
from neurocompile.frontend.tracing.symbolic import Refusal, Symbol, sizes
from neurocompile.ir.nodes import (
    AvgPool2d,
    MaxPool2d,
)
from neurocompile.snn.tracing import INSTEAD

if TYPE_CHECKING:
    from neurocompile.frontend.tracing.tracer import Tracer

Operation = Callable[..., Any]


def instead(name: str, default: str | None = "one of the layers in the README's table") -> str | None:
    """What to use in place of torch's layer or function ``name``."""
    if name in _COMPARISONS:
        return "a layer of neurons, such as neurocompile.snn.LIF, which compares its membrane"
    if name in _RANDOM:
        return "neurocompile.snn.PoissonEncoder, whose draws every engine repeats"
    return INSTEAD.get(name, default)


_COMPARISONS = frozenset(["gt", "ge", "lt", "le", "eq", "ne", "greater", "less", "heaviside", "where", "sign"])
_RANDOM = frozenset(["rand_like", "randn_like", "bernoulli", "bernoulli_", "poisson", "uniform_", "normal_"])

#: what looks at the values of a tensor, by torch's own names: ``float(x)`` does, ``x.float()`` does not
CONTROL = frozenset(
    [
        *("__bool__", "__int__", "__float__", "__complex__", "__index__", "__array__", "__contains__"),
        *("item", "tolist", "numpy", "equal", "allclose", "nonzero"),
    ]
)


def _natively(function: Callable[..., Any]) -> Operation:
    def call(*args: Any, **kwargs: Any) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            return function(*args, **kwargs)

    return call


#: what may be asked of a symbol without looking at values: it answers as a tensor on the CPU would
METADATA: dict[str, Operation] = {
    "get shape": _natively(lambda x: x.shape),
    "get ndim": _natively(lambda x: x.ndim),
    "get dtype": _natively(lambda x: x.dtype),
    "get layout": _natively(lambda x: x.layout),
    "get itemsize": _natively(lambda x: x.itemsize),
    "get device": lambda _: torch.device("cpu"),
    "get requires_grad": lambda _: False,
    "set requires_grad": lambda *_: None,
    "get grad": lambda _: None,
    "get grad_fn": lambda _: None,
    "get is_leaf": lambda _: True,
    "get is_cuda": lambda _: False,
    "get is_meta": lambda _: False,
    "get is_sparse": lambda _: False,
    "get is_quantized": lambda _: False,
    "get is_nested": lambda _: False,
    "is_contiguous": lambda *_, **__: True,
    "is_floating_point": lambda _: True,
    "is_complex": lambda _: False,
    "get_device": lambda _: -1,
    "size": _natively(lambda x, *args, **kwargs: x.size(*args, **kwargs)),
    "dim": _natively(lambda x: x.dim()),
    "ndimension": _natively(lambda x: x.dim()),
    "numel": _natively(lambda x: x.numel()),
    "nelement": _natively(lambda x: x.numel()),
    "len": _natively(len),
    "element_size": _natively(lambda x: x.element_size()),
    "hash": lambda x: id(x),
    "repr": lambda x, **_: f"<tensor of shape {tuple(sizes(x))}>",
    "format": lambda x, _: f"<tensor of shape {tuple(sizes(x))}>",
}


def _zeros(tracer: Tracer, input: Symbol, *shape: Any, **kwargs: Any) -> Tensor:  # noqa: ARG001
    target = shape[0] if len(shape) == 1 and isinstance(shape[0], Sequence) else shape
    return torch.zeros(*(target or sizes(input)), dtype=kwargs.get("dtype"))


def _filled(tracer: Tracer, input: Symbol, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ARG001
    *shape, number = [*args, *([kwargs["fill_value"]] if "fill_value" in kwargs else [])]
    target = shape[0] if shape else sizes(input)
    return torch.full(tuple(target), number)


def _same(tracer: Tracer, input: Symbol, *_: Any, **__: Any) -> Symbol:  # noqa: ARG001
    return input


def _cast(tracer: Tracer, input: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG001
    for item in (*args, *kwargs.values()):
        if isinstance(item, torch.dtype) and not item.is_floating_point:
            raise Refusal(f"turns into {item}; keep floating-point numbers")
    return input


def _whole_numbers(tracer: Tracer, input: Any, *_: Any, **__: Any) -> Any:  # noqa: ARG001
    raise Refusal("turns into whole numbers or truth values; keep floating-point numbers")


def _in_place(operation: Operation) -> Operation:
    """``x += y``: everybody who holds x sees the result."""

    def call(tracer: Tracer, input: Any, *args: Any, **kwargs: Any) -> Any:
        result = operation(tracer, input, *args, **kwargs)
        if not isinstance(input, Symbol):
            return result
        if sizes(result) != sizes(input):
            raise Refusal("changes in place the shape of a tensor; write a = a + b")
        input.value = result.value
        return input

    return call


def _swapped(operation: Operation) -> Operation:
    return lambda tracer, input, other: operation(tracer, other, input)


def _rdiv(tracer: Tracer, input: Any, other: Any) -> Any:  # noqa: ARG001
    raise Refusal("divides by a tensor that depends on the input; only fixed factors can be weights")


def _all(operation: Operation, names: str) -> dict[str, Operation]:
    return dict.fromkeys(names.split(), operation)


_WINDOW = ("kernel_size", "stride", "padding", "dilation", "output_padding")

OPERATIONS: dict[str, Operation] = {
    **_all(reshape, "view reshape _unsafe_view"),
    "view_as": lambda tracer, x, other: to_shape(tracer, x, list(sizes(other))),
    "reshape_as": lambda tracer, x, other: to_shape(tracer, x, list(sizes(other))),
    "flatten": flatten,
    "unflatten": unflatten,
    "permute": permute,
    **_all(transpose, "transpose swapaxes swapdims"),
    **_all(movedim, "movedim moveaxis"),
    "unsqueeze": unsqueeze,
    "squeeze": squeeze,
    "expand": expand,
    "expand_as": lambda tracer, x, other: expand(tracer, x, sizes(other)),
    **_all(repeat, "repeat tile"),
    "unbind": unbind,
    "chunk": chunk,
    "split": split,
    "select": select,
    "getitem": getitem,
    "setitem": setitem,
    "stack": stack,
    **_all(cat, "cat concat concatenate"),
    **_all(add, "add radd"),
    "sub": sub,
    "subtract": sub,
    "rsub": _swapped(sub),
    **_all(mul, "mul rmul multiply"),
    **_all(div, "div truediv true_divide divide"),
    **_all(_rdiv, "rdiv rtruediv reciprocal"),
    **_all(neg, "neg negative"),
    **_all(_in_place(add), "add_ iadd"),
    **_all(_in_place(sub), "sub_ isub"),
    **_all(_in_place(mul), "mul_ imul"),
    **_all(_in_place(div), "div_ idiv itruediv"),
    "sum": reduce(mean=False),
    "mean": reduce(mean=True),
    "max": largest,
    "amax": largest,
    **{name: left_out(name) for name in ("softmax", "log_softmax", "argmax", "sigmoid")},
    "linear": linear,
    **_all(matmul, "matmul mm"),
    "addmm": addmm,
    "conv2d": conv2d,
    "conv1d": on_rows(conv2d, "stride", "padding", "dilation", weighted=True),
    "conv_transpose2d": conv_transpose2d,
    "conv_transpose1d": on_rows(conv_transpose2d, "stride", "padding", "output_padding", "dilation", weighted=True),
    "batch_norm": batch_norm,
    "avg_pool2d": avg_pool2d,
    "avg_pool1d": on_rows(avg_pool2d, *_WINDOW),
    "max_pool2d": max_pool2d,
    "max_pool1d": on_rows(max_pool2d, *_WINDOW),
    "adaptive_avg_pool2d": adaptive(AvgPool2d, "adaptive_avg_pool2d"),
    "adaptive_max_pool2d": adaptive(MaxPool2d, "adaptive_max_pool2d"),
    "adaptive_avg_pool1d": on_rows(adaptive(AvgPool2d, "adaptive_avg_pool1d"), "output_size"),
    "adaptive_max_pool1d": on_rows(adaptive(MaxPool2d, "adaptive_max_pool1d"), "output_size"),
    "interpolate": interpolate,
    "relu": relu,
    "relu_": _in_place(relu),
    **_all(clamp, "clamp clamp_min clip"),
    **_all(dropout, "dropout dropout1d dropout2d dropout3d feature_dropout alpha_dropout feature_alpha_dropout"),
    "pad": pad,
    **_all(_zeros, "zeros_like new_zeros empty_like new_empty"),
    **_all(_filled, "full_like new_full"),
    **_all(_same, "detach detach_ clone contiguous cpu cuda requires_grad_ alias identity float double half bfloat16"),
    "get data": _same,
    **_all(_cast, "to type type_as"),
    **_all(_whole_numbers, "bool int long short byte char"),
}
