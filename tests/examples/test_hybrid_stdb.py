"""The recipe of hybrid conversion and STDB, at a tiny setting."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import hybrid_stdb as recipe
import pytest
import torch
from recipes.data import Data, Stored, load
from recipes.training import Bar
from torch import nn

from neurocompile import snn
from neurocompile.errors import InputError
from tests.small_runs import StoppedError, assert_equal_checkpoints, cut, stopping, write_cifar10

TINY = ["--width", "0.03", "--effort", "0.2", "--timesteps", "8", "--large-t", "16", "--batch", "32"]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of the digits, and a short balancing."""

    def load_few(name: str, root: Path | None, **more: Any) -> Data:
        return cut(load(name, root, **more), train=64, test=32)

    monkeypatch.setattr(recipe, "load", load_few)
    monkeypatch.setitem(
        recipe.SETTINGS, "digits", replace(recipe.SETTINGS["digits"], balanced=16, balance_steps=60, scaled=32)
    )


def run(monkeypatch: pytest.MonkeyPatch, out: Path, *flags: str) -> dict[str, Any]:
    monkeypatch.setattr(sys, "argv", ["hybrid_stdb.py", *TINY, "--out", str(out), *flags])
    recipe.main()
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


def weights(path: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["model"]
    return {name: value for name, value in state.items() if name.endswith("weight")}


# ---------------------------------------------------------------------------------------------------------- the whole


@pytest.mark.slow
@pytest.mark.lava
@pytest.mark.usefixtures("few")
def test_both_networks_compile_and_every_engine_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(monkeypatch, tmp_path, "--compare", "2", "--leak", "0.9", "--scale", "0.5")
    (one,) = found["runs"]
    converted, trained = (snn.load(tmp_path / "seed0" / f"{name}.pt") for name in ("converted", "stdb"))
    for name, loaded, leak in (("converted", converted, 1.0), ("stdb", trained, 0.9)):
        on_target = one["compiled"][name]
        assert on_target["equal"]
        assert set(on_target["engines"]) == {"functional", "chip time", "lava", "cycle"}
        assert on_target["compared"] == 2
        assert loaded.timesteps == 8
        layers = {path: each for path, each in loaded.model.named_modules() if isinstance(each, snn.LIF)}
        assert {each.order for each in layers.values()} == {"fire_first"}
        assert not any(each.leaky_reset for each in layers.values())
        assert {round(float(each.leak), 6) for each in layers.values()} == {leak}
        for path, layer in layers.items():
            # thresholds stay as they were scaled
            assert float(layer.threshold) == pytest.approx(0.5 * one["thresholds"][path])
        assert any(isinstance(each, snn.PoissonEncoder) for each in loaded.model.modules())
        program = json.loads((tmp_path / "seed0" / f"{name}-loihi2-sim" / "program.json").read_text())
        assert "PoissonEncoder" in json.dumps(program)
    ann = weights(tmp_path / "seed0" / "ann.state.pt")
    same = [torch.equal(value, converted.model.state_dict()[name]) for name, value in ann.items()]
    moved = [torch.equal(value, trained.model.state_dict()[name]) for name, value in ann.items()]
    assert all(same)
    assert not any(moved)
    table = (tmp_path / "results.md").read_text()
    assert "| vgg5 x 0.03 | digits, here | 8 |" in table
    assert "| vgg5 | cifar10, paper | 75 | 87.88 | 87.64 | 84.56 | 86.91 | 0.76 |" in table


@pytest.mark.usefixtures("few")
def test_an_interrupted_run_gives_what_it_would_have_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ("--target", "", "--window", "3", "--balance", "percentile")
    whole = run(monkeypatch, tmp_path / "whole", *flags)
    # an epoch has two steps: it stops within the second
    with monkeypatch.context() as patched:
        patched.setattr(recipe, "stdb_step", stopping(recipe.stdb_step, 3))
        with pytest.raises(StoppedError):
            run(monkeypatch, tmp_path / "again", *flags)
    assert not (tmp_path / "again" / "results.json").exists()
    assert len(torch.load(tmp_path / "again" / "seed0" / "stdb.state.pt", weights_only=True)["losses"]) == 1
    assert run(monkeypatch, tmp_path / "again", *flags) == whole
    for name in ("converted", "stdb"):
        assert_equal_checkpoints(*(tmp_path / each / "seed0" / f"{name}.pt" for each in ("whole", "again")))
    assert whole["runs"][0]["compiled"] == {}


@pytest.mark.usefixtures("few")
def test_the_ann_serves_other_choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(monkeypatch, tmp_path, "--target", "")
    (tmp_path / "seed0" / "stdb.state.pt").unlink()
    before = (tmp_path / "seed0" / "ann.state.pt").stat().st_mtime_ns
    second = run(monkeypatch, tmp_path, "--target", "", "--surrogate", "linear")
    assert (tmp_path / "seed0" / "ann.state.pt").stat().st_mtime_ns == before
    for column in ("ann", "large", "reduced"):
        assert first["runs"][0][column] == second["runs"][0][column]
    with pytest.raises(InputError, match="was begun with surrogate 'linear' and not 'exponential'; give another --out"):
        run(monkeypatch, tmp_path, "--target", "", "--surrogate", "exponential")


@pytest.mark.usefixtures("few")
def test_only_the_stem_of_a_residual_network_is_balanced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(monkeypatch, tmp_path, "--target", "", "--arch", "resnet8", "--scale", "0.5")
    (one,) = found["runs"]
    assert list(one["thresholds"]) == ["neuron1", "neuron2", "neuron3"]
    state = snn.load(tmp_path / "seed0" / "stdb.pt").model.state_dict()
    thresholds = {name.removesuffix(".threshold"): float(v) for name, v in state.items() if name.endswith("threshold")}
    for name, threshold in one["thresholds"].items():
        assert thresholds.pop(name) == pytest.approx(0.5 * threshold)
    assert set(thresholds.values()) == {1.0}
    assert len(thresholds) == 4


@pytest.mark.slow
def test_cifar_10_from_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar10(tmp_path, 8)
    monkeypatch.setitem(recipe.SETTINGS, "cifar10", replace(recipe.SETTINGS["cifar10"], balanced=4, balance_steps=120))
    flags = ["--dataset", "cifar10", "--effort", "0.001", "--width", "0.06", "--batch", "16", "--target"]
    found = run(monkeypatch, tmp_path / "out", *flags, "", "--data-root", str(tmp_path))
    assert found["recipe"]["timesteps"] == 8
    assert found["published"]["stdb"] == 86.91
    loaded = snn.load(tmp_path / "out" / "seed0" / "stdb.pt")
    assert loaded.input_shape == (3, 32, 32)
    assert loaded.calibration is not None
    assert float(loaded.calibration.min()) < 0  # normalised, so that Poisson spikes have signs
    assert float(loaded.calibration.abs().max()) <= 1


# ---------------------------------------------------------------------------------------------------------- its parts


def test_the_reduced_t_is_that_of_table_1() -> None:
    def steps(*flags: str) -> tuple[int, int, int]:
        read = recipe.read_recipe(flags)
        return read.timesteps, read.large_t, read.window

    assert steps() == (recipe.SETTINGS["digits"].timesteps, 250, recipe.SETTINGS["digits"].timesteps)
    assert steps("--dataset", "cifar10") == (75, 2500, 75)
    assert steps("--dataset", "cifar10", "--arch", "resnet20") == (250, 2500, 250)
    assert steps("--dataset", "cifar100", "--arch", "vgg16") == (125, 2500, 125)
    assert steps("--dataset", "imagenet", "--arch", "vgg16", "--timesteps", "90", "--window", "30") == (90, 2500, 30)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--timesteps 0", "--timesteps is 0, limit 1 at least; give a number of time steps"),
        ("--timesteps 9 --large-t 8", "--large-t is 8, limit 9 (--timesteps) at least; give more time steps"),
        ("--timesteps 9 --window 10", "--window is 10, limit 1 to 9 (--timesteps); give a number of time steps"),
        ("--window 0 --timesteps 9", "--window is 0, limit 1 to 9 (--timesteps); give a number of time steps"),
        ("--scale 0", "--scale is 0.0, limit above 0 and finite; give a factor such as 0.7"),
        ("--scale nan", "--scale is nan, limit above 0 and finite; give a factor such as 0.7"),
        ("--leak 0", "--leak is 0.0, limit above 0 to 1; give 1, or somewhat less such as 0.99"),
        ("--leak 1.5", "--leak is 1.5, limit above 0 to 1; give 1, or somewhat less such as 0.99"),
    ],
)
def test_flags_out_of_range_are_refused(flags: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        recipe.read_recipe(flags.split())


def test_what_is_won_back() -> None:
    def one(ann: float, large: float, reduced: float, stdb: float) -> recipe.Run:
        return recipe.Run(0, recipe.Trained(ann, large, reduced, stdb, {}, 1.0, reduced, {}, {}), {})

    runs = [one(0.96, 0.94, 0.86, 0.92), one(0.98, 0.96, 0.92, 0.92)]
    assert recipe.won_back(runs[:1], "large") == pytest.approx(0.06 / 0.08)
    assert recipe.won_back(runs[:1], "ann") == pytest.approx(0.06 / 0.10)
    assert recipe.won_back(runs, "large") == pytest.approx(0.06 / 0.12)
    assert recipe.won_back([one(0.9, 0.8, 0.8, 0.9)], "large") is None


def test_the_scale_is_the_first_of_the_best() -> None:
    """A network that is right just where its threshold is 0.6 of what was found, or less."""

    class Right(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.neuron1 = snn.LIF(1.0)
            self.readout = snn.Readout()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            right = float(self.neuron1.threshold) <= 2.0 * 0.6 + 1e-6
            answers = torch.zeros(len(x), 10)
            answers[:, 0] = 0.5
            wanted = nn.functional.one_hot(x[:, 0, 0, 0].long(), 10)
            return answers + wanted * right

    labels = torch.tensor([1, 2, 3])
    digits = load("digits", None, scaled=True).train
    assert isinstance(digits, Stored)
    images = replace(digits, pixels=labels.view(3, 1, 1, 1).float(), labels=labels)
    data = Data("three", images, images, 10, (1, 1, 1), 3.0, 0.0, 3.0)
    chosen = recipe.read_recipe(["--timesteps", "1"])
    assert recipe.best_scale(chosen, Right(), {"neuron1": 2.0}, data) == 0.6


def test_a_leak_changes_nothing_but_the_leak() -> None:
    chosen = recipe.read_recipe(["--width", "0.02"])
    network = recipe.spiking(chosen, load("digits", None, scaled=True), 0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    recipe.set_leaks(network, 0.9)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {f"neuron{number}.leak" for number in range(1, 6)}


def test_windows_shorten_what_backpropagation_sees() -> None:
    """One window is plain backpropagation through time of the last answer."""
    data = load("digits", None, scaled=True)
    x, labels = data.train.take(8)
    gradients = []
    for window in ("12", "4"):
        chosen = recipe.read_recipe(["--width", "0.02", "--timesteps", "12", "--window", window])
        network = snn.models.seeded(recipe.spiking(chosen, data, 0), 0).eval()
        recipe.set_thresholds(network, {f"neuron{number}": 1.0 for number in range(1, 6)}, 0.2)
        recipe.stdb_step(chosen)(network, x, labels)
        gradients.append({name: each.grad for name, each in network.named_parameters()})
        if window == "12":
            network.zero_grad()
            nn.functional.cross_entropy(snn.run(network, x, 12), labels).backward()
            for name, each in network.named_parameters():
                assert each.grad is not None
                assert torch.equal(each.grad, gradients[0][name]), name
    assert not torch.equal(gradients[0]["linear6.weight"], gradients[1]["linear6.weight"])


def test_balancing_by_percentile_gives_lower_thresholds() -> None:
    data = load("digits", None, scaled=True)
    found = []
    for balance in ("max", "percentile"):
        read = recipe.read_recipe(["--balance", balance])
        chosen = replace(read, settings=replace(read.settings, balanced=4, balance_steps=120))
        network = snn.models.seeded(recipe.spiking(chosen, data, 0), 0).eval()
        found.append(recipe.balance(chosen, network, data, Bar()))
    assert found[0]["neuron1"] > found[1]["neuron1"] > 0
