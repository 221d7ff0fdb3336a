"""The command line as a user meets it: ``cli("build", "tiny.pt")`` in a folder of its own."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_cases import INPUT_SHAPE, TIMESTEPS, USER_CODE, Result, leftovers, tiny_network

from neurocompile import snn
from neurocompile.cli import main


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, its state dict, samples, labels and a program of it; to be copied, not changed."""
    folder = tmp_path_factory.mktemp("shelf")
    model = tiny_network()
    samples = torch.rand(6, *INPUT_SHAPE, generator=torch.Generator().manual_seed(1))
    snn.save(model, folder / "tiny.pt", timesteps=TIMESTEPS, input_shape=INPUT_SHAPE, sample_input=samples)
    torch.save(model.state_dict(), folder / "state.pt")
    np.save(folder / "x.npy", samples.numpy())
    np.save(folder / "y.npy", np.arange(6) % 4)
    with pytest.raises(SystemExit) as end:
        main(["build", str(folder / "tiny.pt"), "--out", str(folder / "program"), "--quiet"])
    assert end.value.code == 0
    return folder


@pytest.fixture
def place(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with all of that and ``usernets.py`` in it."""
    folder = tmp_path / "place"
    shutil.copytree(shelf, folder)
    (folder / "usernets.py").write_text(USER_CODE)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return folder


@pytest.fixture
def cli(place: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Runs a command in this process; whatever it does, nothing hidden is left in the current folder."""

    def call(*words: object) -> Result:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        out, err = capfd.readouterr()
        assert "Traceback" not in err or "--debug" in words
        assert leftovers(place) == []
        return Result(int(end.value.code or 0), out, err)

    return call
