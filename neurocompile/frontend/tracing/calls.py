"""One call of a layer that a table knows: time steps are counted, states checked, and its place in the graph found."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

from torch import Tensor, nn

from neurocompile.frontend.cells import Cell, Fired
from neurocompile.frontend.tracing.symbolic import (
    Axes,
    Listed,
    Refusal,
    Symbol,
    Value,
    When,
    WrongLayoutError,
    fresh,
    sizes,
)
from neurocompile.ir.nodes import DctEncoder, DirectEncoder, Encoder, HybridEncoder

if TYPE_CHECKING:
    from neurocompile.frontend.tracing.tracer import Tracer


@dataclass(frozen=True)
class TracedCall:
    """See ``cells.Call``. ``name`` is the layer's name in the graph, where that is not the module's path."""

    tracer: Tracer
    module: nn.Module
    path: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def step(
        self, cell: Cell, x: Tensor, state: tuple[Tensor | None, ...] | None = None, name: str | None = None
    ) -> Fired:
        tracer, layer_name = self.tracer, name or self.path
        now = len(tracer.recorder.layers[layer_name].inputs) if layer_name in tracer.recorder.layers else 0
        x = self._input(x)
        value = tracer.value(x)
        if value.axes[:1] != (("N",),) or value.when == "along":
            raise WrongLayoutError("takes one time step at a time, and its input has all of them; call it step by step")
        self._check_state(layer_name, state, now)
        for _ in range(now - value.when if isinstance(value.when, int) else 0):
            x = tracer.symbol(sizes(x), Value(tracer.recorder.past(value.node), now, value.axes))
        if isinstance(value.when, tuple):
            raise Refusal("reads a sum over time steps; give it each step")
        if isinstance(value.when, int) and value.when > now:
            raise Refusal(f"is at step {now} and reads what comes at step {value.when}; call it once per time step")
        layer, source = tracer.soma(layer_name, cell, x, value.axes)
        layer.inputs.append(source)
        tracer.recorder.place(layer_name)
        return self._fired(layer_name, sizes(x), now, value.axes)

    def sequence(
        self, cell: Cell, x: Tensor, axis: int, state: tuple[Tensor | None, ...] | None = None, name: str | None = None
    ) -> Fired:
        tracer, layer_name = self.tracer, name or self.path
        x = self._input(x)
        value = tracer.value(x)
        if tracer.timesteps == 1 and value.when == "every" and not value.axes[axis]:
            # an axis of length one, such as unsqueeze makes it, is the one time step
            at = axis % len(value.axes)
            value = replace(value, when="along", axes=(*value.axes[:at], ("T",), *value.axes[at + 1 :]))
            x = tracer.symbol(sizes(x), value)
        if value.when != "along" or value.axes[axis] != ("T",):
            where = {0: "(T, N, ...)", 1: "(N, T, ...)"}.get(axis, "(N, ..., T)")
            raise WrongLayoutError(f"takes all time steps at once, as {where}; its input is none such")
        if layer_name in tracer.recorder.layers:
            raise Refusal("is called twice with whole sequences, but it keeps state; make a layer for each place")
        self._check_state(layer_name, state, 0)
        last = x.movedim(axis, 0) if axis not in (0, 1) else x
        axes = tracer.value(last).axes
        layer, source = tracer.soma(layer_name, cell, last, axes)  # type: ignore[arg-type]
        layer.inputs += [source] * tracer.timesteps
        tracer.recorder.place(layer_name)
        return self._fired(layer_name, sizes(x), "along", value.axes)

    def encode(self, encoder: Encoder, x: Tensor) -> Tensor:
        tracer = self.tracer
        value = tracer.value(x)
        if value.node != tracer.recorder.input_name:
            raise Refusal("encodes what is no input of the network; let it read that itself")
        if value.when != "every" and isinstance(encoder, (HybridEncoder, DctEncoder)):
            raise Refusal("lays one picture out in time, and its input has time steps already; give it one picture")
        node = tracer.recorder.emit(self.path, encoder, (value.node,))
        when = value.when
        if when == "every" and not isinstance(encoder, DirectEncoder):  # what it sends is not the same at every step
            when = tracer.encoded[node] = tracer.encoded.get(node, -1) + 1
        return tracer.symbol(sizes(x), replace(value, node=node, when=when))

    def named(self, name: str) -> AbstractContextManager[None]:
        return self.tracer.named(name)

    def note(self, text: str) -> None:
        if (line := f"{self.path}: {text}") not in self.tracer.notes:
            self.tracer.notes.append(line)

    def refuse(self, reason: str) -> NoReturn:
        raise Refusal(reason)

    def _input(self, x: Any) -> Symbol:
        """A layer that reads zeros at its first step reads what others sent before."""
        if isinstance(x, Tensor) and not isinstance(x, Symbol) and x.ndim > 1 and not x.any():
            shape = tuple(x.shape[1:])
            return self.tracer.symbol(
                sizes(x), Value(self.tracer.recorder.zero(shape), "every", (("N",), *fresh(len(shape))))
            )
        if not isinstance(x, Symbol):
            raise Refusal("reads something that does not come from the network's input")
        return x

    def _check_state(self, name: str, state: tuple[Any, ...] | None, now: int) -> None:
        for tensor in state or ():
            if isinstance(tensor, Symbol):
                value = tensor.value
                if value is None:
                    raise Listed
                if value.factor != 1:
                    raise Refusal("its state is multiplied between two time steps; let the layer's own leak do that")
                if value.node == name and value.when == now - 1:
                    continue
                raise Refusal(f"starts step {now} from another state than it left at step {now - 1}; pass that on")
            if now and tensor is not None:
                raise Refusal(f"its state is set anew at step {now}; states start at zero and are passed on")
            if tensor is not None and tensor.numel() and bool(tensor.any()):
                raise Refusal("its state does not start at zero; start it there")
        if now and state and all(tensor is None for tensor in state):
            raise Refusal(
                f"its state is forgotten at step {now}; pass on what the step before returned, and where it is called "
                "in several places, make a layer for each"
            )

    def _fired(self, name: str, shape: tuple[int, ...], when: When, axes: Axes) -> Fired:
        tracer = self.tracer
        rank = len(tracer.recorder.shapes[name])
        labels = iter(fresh(rank))
        fixed = tuple(next(labels) if axis and isinstance(axis[0], int) else axis for axis in axes)
        out = Value(name, when, fixed)
        return Fired(
            tracer.symbol(shape, out),
            tracer.symbol(shape, Value(name, when, fixed, "membrane")),
            tracer.symbol(shape, Value(name, when, fixed, "current")),
        )
