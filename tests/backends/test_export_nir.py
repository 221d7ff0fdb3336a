"""NIR out, and back in: the very same graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile.backends.export.nir import to_nir, write_nir
from neurocompile.frontend.nir import read_nir
from neurocompile.ir.graph import Graph
from neurocompile.passes.base import PassManager
from neurocompile.passes.batchnorm import FuseBatchNorm
from neurocompile.passes.cleanup import RemoveIdentity
from tests.networks import integer_networks, lower, networks

nir = pytest.importorskip("nir")

DT = 1e-3


def fused(graph: Graph) -> Graph:
    return PassManager((RemoveIdentity(), FuseBatchNorm())).run(graph)


def same(graph: Graph) -> Graph:
    return graph


def returns(graph: Graph, path: Path) -> list[str]:
    """Export and import ``graph``, in memory and through a file; the notes of the export."""
    assert read_nir(to_nir(graph, dt=DT))[0].hash == graph.hash
    notes = write_nir(SimpleNamespace(trained=graph, integer=graph), path, dt=DT)
    again, told = read_nir(path)
    assert again.hash == graph.hash
    assert again.stage == graph.stage
    assert any("written by neurocompile" in note for note in told)
    return notes


@pytest.mark.parametrize("stage", [same, fused, lower])
@settings(max_examples=40)
@given(data=st.data())
def test_float_graphs_return_the_same(
    stage: Callable[[Graph], Graph], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    returns(stage(data.draw(networks())), tmp_path_factory.mktemp("nir") / "net.nir")


@settings(max_examples=60)
@given(graph=integer_networks())
def test_integer_graphs_return_the_same(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> None:
    returns(graph, tmp_path_factory.mktemp("nir") / "net.nir")
