"""The comparison with SANA-FE in docs/export.md: its commands and its script are taken from the page and run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_cases import Result
from torch import nn

from neurocompile import snn

PAGE = (Path(__file__).parents[2] / "docs/export.md").read_text(encoding="utf-8")
Cli = Callable[..., Result]


def convolutional() -> nn.Module:
    """With biases, also those of batch norms."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), snn.LIF(threshold=0.5, leak=0.875), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(64, 20), snn.LIF(threshold=0.25, leak=0.75), nn.Linear(20, 4), snn.Readout(),
    )  # fmt: skip


def of_many_cores() -> nn.Module:
    """A layer whose thresholds, one for each neuron, do not fit one core."""
    return nn.Sequential(
        snn.PoissonEncoder(),
        nn.Flatten(),
        nn.Linear(64, 160),
        snn.LIF(threshold=0.5),
        nn.Linear(160, 10),
        snn.Readout(),
    )


def of_one_step() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 24), snn.LIF(threshold=0.25), nn.Linear(24, 6), snn.Readout())


@pytest.mark.parametrize(
    ("make", "steps", "cores"), [(convolutional, 4, 3), (of_many_cores, 3, 8), (of_one_step, 1, 3)]
)
def test_the_comparison_of_the_page(
    make: Callable[[], nn.Module], steps: int, cores: int, cli: Cli, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sanafe", reason="pip install sanafe, to compare with SANA-FE itself")
    torch.manual_seed(3)
    samples = torch.rand(3, 1, 8, 8)
    np.save(place / "samples.npy", samples.numpy())
    snn.save(make().eval(), place / "net.pt", timesteps=steps, input_shape=(1, 8, 8), sample_input=samples)
    (block,) = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines():
        command, _, file = line.partition(" > ")
        result = cli(*shlex.split(command)[1:])
        assert result.status == 0, result.err
        if file:
            (place / file).write_text(result.out, encoding="utf-8")
    (script,) = (each for each in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "compared" in each)
    names: dict[str, Any] = {}
    exec(script, names)
    assert names["exact"]["cores"] == cores
    compared = names["compared"]
    for quantity in ("firings", "packets", "synaptic events", "hops"):
        ours, theirs = compared.pop(quantity)
        assert ours == theirs, quantity
    *equal, (ours, theirs) = compared.values()
    assert len(equal) == 2
    assert all(one == pytest.approx(other, rel=1e-9) for one, other in equal)
    assert ours == pytest.approx(theirs, rel=0.15)
    assert "time, ns: exact, detailed: " in capfd.readouterr().out
