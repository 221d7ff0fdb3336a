"""NIR's rows: graphs of the package ``nir``, written to files, read, and compared with their equations by hand."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from neurocompile.errors import InputError
from neurocompile.frontend.nir import layers, read_nir
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import Array, Neuron, Readout, Threshold
from tests.frontend.frameworks.rows import NIR, Row
from tests.frontend.nir.nir_cases import DT
from tests.frontend.nir.test_nir_nodes import equations
from tests.frontend.nir.test_nir_wiring import recurrent

nir = pytest.importorskip("nir", reason="nir is not installed: its graphs are NOT compared")
pytest.importorskip("h5py", reason="h5py is not installed: nir cannot write files")

TIMESTEPS = 6


def _each(value: float) -> Array:
    return np.full(2, float(value))


def _summed(*nodes: Any) -> Any:
    """A graph in which all ``nodes`` read the input, and their outputs meet."""
    ends = {"input": nir.Input({"input": np.array([2])}), "output": nir.Output({"output": np.array([2])})}
    parts = {f"part{number}": node for number, node in enumerate(nodes)}
    edges = [edge for name in parts for edge in (("input", name), (name, "output"))]
    return nir.NIRGraph({**ends, **parts}, edges)


def _cycle(neuron: Any, weight: Any) -> Any:
    """Neurons whose own spikes come back to them through ``weight``."""
    ends = {"input": nir.Input({"input": np.array([2])}), "output": nir.Output({"output": np.array([2])})}
    edges = [("input", "neuron"), ("neuron", "weight"), ("weight", "neuron"), ("neuron", "output")]
    return nir.NIRGraph({**ends, "neuron": neuron, "weight": weight}, edges)


def _parts(row: Row) -> list[Any]:
    names = {"nir": nir, "np": np, "DT": DT, "each": _each, "summed": _summed, "cycle": _cycle}
    found: list[Any] = eval(row.code, names)
    return found


def _written(parts: list[Any], row: Row, path: Path) -> Path:
    """A file of the ``parts``, one behind the other."""
    names = ["input", *(f"part{number}" for number in range(len(parts))), "output"]
    ends = nir.Input({"input": np.array(row.shape)}), nir.Output({"output": np.array(row.shape)})
    nodes = dict(zip(names, (ends[0], *parts, ends[1]), strict=True))
    nir.write(path, nir.NIRGraph(nodes, list(itertools.pairwise(names)), type_check=False))
    return path


def _by_hand(part: Any, x: Array) -> Array:
    """What ``part`` makes of x (N, T, *shape) by NIR's definition of it; of integrators, the membranes."""
    kind = type(part).__name__
    if kind in ("IF", "LIF", "CubaLIF", "I", "LI", "CubaLI"):
        fields = {name: value for name, value in vars(part).items() if isinstance(value, np.ndarray)}
        if kind == "IF" and (part.r == 1).all():
            fields["r"] = part.r / DT
        return equations(x, **fields)[kind in ("I", "LI", "CubaLI")]
    frames = torch.tensor(x).flatten(0, 1)
    match kind:
        case "Threshold":
            return (x > part.threshold).astype(np.float64)
        case "Linear" | "Affine":
            return np.asarray(x @ part.weight.T + getattr(part, "bias", 0.0))
        case "Scale":
            return np.asarray(x * part.scale)
        case "Conv1d" | "Conv2d":
            convolve: Any = getattr(functional, kind.lower())
            weight, bias = torch.tensor(part.weight), torch.tensor(part.bias)
            made = convolve(frames, weight, bias, part.stride, part.padding, part.dilation, part.groups)
        case "AvgPool2d" | "SumPool2d":
            kernel, stride, padding = (tuple(getattr(part, f).tolist()) for f in ("kernel_size", "stride", "padding"))
            factor = kernel[0] * kernel[1] if kind == "SumPool2d" else 1
            made = factor * functional.avg_pool2d(frames, kernel, stride, padding)
        case "Flatten":
            made = frames.flatten(part.start_dim + 1, part.end_dim + 1)
        case "Delay":
            return _delayed(x, part.delay)
        case "NIRGraph":
            return _graph_by_hand(part, x)
        case _:
            pytest.fail(f"no equation of {kind}")
    return made.unflatten(0, x.shape[:2]).numpy()


def _delayed(x: Array, seconds: Array) -> Array:
    later = np.zeros_like(x)
    for neuron, steps in enumerate(np.rint(seconds / DT).astype(int)):
        later[:, steps:, neuron] = x[:, : TIMESTEPS - steps, neuron]
    return later


def _graph_by_hand(graph: Any, x: Array) -> Array:
    inner = {name: node for name, node in graph.nodes.items() if type(node).__name__ not in ("Input", "Output")}
    if "weight" in inner:  # of ``_cycle``
        return np.asarray(recurrent(inner["weight"].weight, x))
    if "part0" in inner:  # of ``_summed``
        return np.sum([_by_hand(node, x) for node in inner.values()], axis=0)
    for node in inner.values():  # one behind the other
        x = _by_hand(node, x)
    return x


@pytest.mark.parametrize("row", [row for row in NIR if not row.refused], ids=str)
def test_supported_rows(row: Row, tmp_path: Path) -> None:
    parts = _parts(row)
    graph, _ = read_nir(_written(parts, row, tmp_path / "net.nir"), timesteps=TIMESTEPS, dt=DT)
    samples = np.random.default_rng(3).integers(-2, 5, (2, TIMESTEPS, *row.shape)) / 2
    expected = samples
    for part in parts:
        expected = _by_hand(part, expected)
    assert expected.any()
    trace = interpret(graph, samples)
    firing = graph.of_kind(Neuron, Threshold)
    if firing:
        assert not expected.all()
        np.testing.assert_array_equal(trace.events[firing[-1]], expected)
    else:
        (readout,) = graph.of_kind(Readout)
        np.testing.assert_array_equal(trace.outputs[readout], expected[:, -1])


@pytest.mark.parametrize("row", [row for row in NIR if row.refused], ids=str)
def test_refused_rows(row: Row, tmp_path: Path) -> None:
    path = _written(_parts(row), row, tmp_path / "net.nir")
    with pytest.raises(InputError) as refused:
        read_nir(path, timesteps=TIMESTEPS, dt=DT)
    assert row.refused in str(refused.value)


def test_every_node_of_nir_has_a_row() -> None:
    assert {row.layer for row in NIR if not row.refused} == {*layers.MAKERS, "NIRGraph"}
