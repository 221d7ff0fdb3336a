"""``neurocompile build`` on what the papers' own code saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_cases import Result

from tests.frontend import papers_nets

Cli = Callable[..., Result]


@pytest.mark.parametrize("form", ["hybrid", "learned"])
def test_build_and_run(cli: Cli, place: Path, form: papers_nets.Form) -> None:
    torch.save(papers_nets.document(papers_nets.vgg("VGG5"), form, timesteps=7), place / "snn_vgg5_cifar10_7.pth")
    samples = np.random.default_rng(1).uniform(-1, 1, (4, 3, 32, 32)).astype(np.float32)
    np.save(place / "images.npy", samples)
    built = cli("build", "snn_vgg5_cifar10_7.pth", "--calibration", "images.npy", "--out", "a", "--json").json
    assert (built["name"], built["timesteps"], built["populations"]) == ("snn_vgg5_cifar10_7", 7, 6)
    assert cli("run", "a", "--input", "images.npy", "--json").json["spikes"] > 0
    assert cli("build", "snn_vgg5_cifar10_7.pth", "--timesteps", 3, "--out", "b", "--json").json["timesteps"] == 3
    text = cli("inspect", "a", "--stage", "trained").out
    assert ("fire_first" in text, "PoissonEncoder" in text) == (form == "hybrid", form == "hybrid")


def test_what_is_missing_is_asked_for(cli: Cli, place: Path) -> None:
    saved = papers_nets.document(papers_nets.vgg("VGG5", channels=2), "learned")
    torch.save(saved, place / "x.pt")
    cli("build", "x.pt").refused("x.pt: ", "give --input-shape")
    del saved["timesteps"]
    torch.save(saved, place / "x.pt")
    cli("build", "x.pt", "--input-shape", "2,32,32").refused("x.pt: ", "give --timesteps")
    assert cli("build", "x.pt", "--input-shape", "2,32,32", "--timesteps", 1, "--json").json["stateless"] is True
    before = (place / "build/x-loihi2-sim/program.json").read_bytes()
    saved["state_dict"]["module.features.0.weight"][0] = torch.nan
    torch.save(saved, place / "x.pt")
    cli("build", "x.pt").refused("x.pt: tensor features.0.weight has 18 of 72 values NaN")
    assert (place / "build/x-loihi2-sim/program.json").read_bytes() == before
