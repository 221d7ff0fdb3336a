"""A runnable network from a wiring."""

from __future__ import annotations

from torch import Tensor, nn

from neurocompile.errors import InputError
from neurocompile.snn.layers import FUNCTIONS, LAYERS
from neurocompile.snn.wiring import Wiring


class WiredModule(nn.Module):
    """A network that follows a wiring step by step; its state dict has the keys of the network it was taken from.

    Like every network here, calling it runs one time step. Made by :func:`build_module`.
    """

    def __init__(self, wiring: Wiring) -> None:
        super().__init__()
        self._wiring = wiring
        for path, spec in wiring.modules.items():
            *parents, last = path.split(".")
            holder: nn.Module = self
            for name in parents:
                if name not in holder._modules:
                    holder.add_module(name, nn.Module())
                holder = holder.get_submodule(name)
            if last in holder._modules or type(holder) not in (WiredModule, nn.Module):
                raise InputError(f"wiring: layer {path} would lie inside another layer; give it another path")
            try:
                holder.add_module(last, LAYERS[spec.type].make(**spec.config))
            except (ValueError, RuntimeError, KeyError, TypeError) as problem:
                raise InputError(f"wiring: layer {path} ({spec.type}) cannot be built: {_line(problem)}") from problem

    @property
    def wiring(self) -> Wiring:
        """The wiring that the network was built from."""
        return self._wiring

    def forward(self, x: Tensor) -> Tensor:
        values: dict[str, Tensor] = {}
        for step in self._wiring.steps:
            inputs = [values[name] for name in step.inputs]
            if step.op == "input":
                values[step.name] = x
            elif step.op == "module":
                values[step.name] = self.get_submodule(step.target)(*inputs)
            else:
                values[step.name] = FUNCTIONS[step.target].call(inputs, step.args, self.training)
        return values[self._wiring.output]


def build_module(wiring: Wiring) -> WiredModule:
    """Build the network that ``wiring`` describes, with fresh weights and thresholds and leaks of 1.

    Raises:
        InputError: settings contradict each other (groups that do not divide the channels, ...), or two layers
            claim the same path.
    """
    return WiredModule(wiring)


def _line(problem: Exception) -> str:
    return str(problem).splitlines()[0] if str(problem) else type(problem).__name__
