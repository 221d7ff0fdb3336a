"""The graph of a module, for tests that are not about how it was read."""

from __future__ import annotations

from torch import nn

from neurocompile.frontend import presentation
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Shape


def from_module(module: nn.Module, input_shape: Shape, timesteps: int, name: str) -> Graph:
    return presentation.from_module(module, input_shape, timesteps, name).graph
