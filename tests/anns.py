"""Artificial networks to convert: of torch modules by a small translation of our own, and generated ones."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from torch import Tensor, fx, nn

from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import (
    Add,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    DirectEncoder,
    Dropout,
    Flatten,
    Input,
    Linear,
    MaxPool2d,
    Node,
    Readout,
    Relu,
    Shape,
)
from tests.networks import Builder


def from_torch(model: nn.Module, shape: Shape, timesteps: int) -> Graph:
    """The traced graph of an ANN, with a readout at its end."""
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=shape), ()), ("encoder", DirectEncoder(), ("input",)),
    ]  # fmt: skip
    named: dict[Any, str] = {}
    for each in fx.symbolic_trace(model.eval()).graph.nodes:
        sources = tuple(named[one] for one in each.all_input_nodes)
        if each.op == "placeholder":
            named[each] = "encoder"
        elif each.op == "output":
            nodes.append(("readout", Readout(), sources))
        elif each.op == "call_function" and each.target is operator.add:
            named[each] = each.name
            nodes.append((each.name, Add(), sources))
        elif each.op == "call_method" and each.target == "flatten":
            named[each] = each.name
            nodes.append((each.name, Flatten(), sources))
        else:
            named[each] = str(each.target)
            nodes.append((named[each], _node(model.get_submodule(str(each.target))), sources))
    return Graph("ann", "traced", timesteps, nodes, ("readout",))


def _node(module: nn.Module) -> Node:
    def array(tensor: Tensor | None) -> Any:
        return None if tensor is None else tensor.detach().numpy()

    match module:
        case nn.Conv2d():
            return Conv2d(
                weight=array(module.weight), bias=array(module.bias), stride=module.stride, padding=module.padding
            )
        case nn.Linear():
            return Linear(weight=array(module.weight), bias=array(module.bias))
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return BatchNorm(
                gamma=array(module.weight), beta=array(module.bias), mean=array(module.running_mean),
                variance=array(module.running_var), epsilon=module.eps,
            )  # fmt: skip
        case nn.AvgPool2d(kernel_size=int(kernel)):
            return AvgPool2d(kernel=(kernel, kernel), stride=(kernel, kernel))
        case nn.MaxPool2d(kernel_size=int(kernel)):
            return MaxPool2d(kernel=(kernel, kernel), stride=(kernel, kernel))
        case nn.ReLU():
            return Relu()
        case nn.Flatten():
            return Flatten()
        case nn.Dropout() | nn.Identity():
            return Dropout()
    raise AssertionError(type(module))


def small_ann() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(24, 3),
    )  # fmt: skip


@st.composite
def anns(draw: DrawFn) -> Graph:
    """A generated ANN of dyadic numbers; ``Builder`` of generated networks with ReLUs for neurons."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    build = _Artificial(draw, rng, 2, exact=False, encoders=("direct",))
    image = build.pick(True, True, False)
    shape = (build.pick(1, 2), build.pick(4, 6), build.pick(3, 5)) if image else (build.pick(1, 4, 6),)
    x = build.encoder(build.add("input", Input(shape=shape)))
    for _ in range(build.pick(1, 2, 3)):
        x = build.pick(build.layer, build.layer, build.residual, build.shared)(x)
    x = build.linear(build.pool(x, padded=True) if build.pick(False, True) else x, build.pick(1, 3))
    readout = build.add("readout", Readout(), x)
    triples = [(name, node, inputs) for name, (node, inputs) in build.nodes.items()]
    return Graph("generated", "traced", draw(st.sampled_from((1, 2, 4, 8, 16))), triples, (readout,))


class _Artificial(Builder):
    def neuron(self, source: str, *, plain: bool = False) -> str:  # noqa: ARG002
        return self.add("relu", Relu(), source)

    def bring_back(self, sender: str, soma: str, steps: int = 1) -> None:
        """An ANN has no step before."""

    def late(self, source: str) -> str:
        return source  # for the same reason
