"""A transposed convolution becomes a convolution of its input with zeros put between the values.

``y[r*stride + k*dilation - padding] += w[k] x[r]`` is, with the kernel turned round, a window of stride 1 over values
that lie ``stride`` apart, padded by what the kernel reaches less ``padding``. Where that is negative, the kernel gets
zeros at both of its ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import Conv2d, ConvTranspose2d


@dataclass(frozen=True)
class LowerTransposed:
    """Before batch norms are fused, since they know convolutions only."""

    name: ClassVar[str] = "lower_transposed"

    def run(self, graph: Graph) -> Graph:
        draft = graph.edit()
        for name, node in graph.items():
            if isinstance(node, ConvTranspose2d):
                draft.replace(name, as_convolution(node))
        return draft.finish()


def as_convolution(node: ConvTranspose2d) -> Conv2d:
    """The convolution that gives the same."""
    inputs, outputs, *kernel = node.weight.shape
    grouped = node.weight.reshape(node.groups, inputs // node.groups, outputs, *kernel)
    turned = grouped.swapaxes(1, 2).reshape(-1, inputs // node.groups, *kernel)[:, :, ::-1, ::-1]
    reach = [step * (size - 1) for step, size in zip(node.dilation, kernel, strict=True)]
    rows, columns = (
        max(0, -(-(padding - far) // step))
        for padding, far, step in zip(node.padding, reach, node.dilation, strict=True)
    )
    return Conv2d(
        weight=np.pad(turned, ((0, 0), (0, 0), (rows, rows), (columns, columns))),
        bias=node.bias,
        padding=(
            reach[0] + rows * node.dilation[0] - node.padding[0],
            reach[1] + columns * node.dilation[1] - node.padding[1],
        ),
        dilation=node.dilation,
        groups=node.groups,
        upsample=node.stride,
        end_padding=node.output_padding,
    )
