"""examples/iir_snn.py at a tiny setting: the recipe is the paper's, its variants share, and a break changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import iir_snn
import numpy as np
import pytest
import torch
from iir_snn import Network, Trainer
from recipes import compiled
from recipes.data import Data, load
from recipes.options import Options, script
from recipes.training import Bar, Training
from torch import nn

from neurocompile import snn
from neurocompile.errors import InputError
from neurocompile.program import Program
from tests.small_runs import cut, write_cifar10

SCRIPT = Path(iir_snn.__file__)
GRADUAL = ["ann", "t5", "t5-4", "t5-4-3", "t5-4-3-2", "t5-4-3-2-1"]
TINY = ("--arch", "vgg6", "--width", "0.05", "--effort", "0.001")


def few(name: str, root: Path | None, **more: Any) -> Data:
    """The data set; of the digits, 96 images for training and 40 for tests."""
    data = load(name, root, **more)
    return cut(data, train=96, test=40) if name == "digits" else data


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iir_snn, "load", few)


def run(monkeypatch: pytest.MonkeyPatch, *flags: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, flags)])
    script(iir_snn.main)


def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


@pytest.fixture
def cifar10(tmp_path: Path) -> Path:
    """20 images of noise in each of the six files."""
    write_cifar10(tmp_path / "data", 20)
    return tmp_path / "data"


def trainer(folder: Path, *, leaky_reset: bool = False, **changes: Any) -> Trainer:
    given = {"dataset": "digits", "data_root": None, "arch": "vgg6", "width": 0.05, "device": torch.device("cpu")}
    more = {"out": folder, "seeds": (0,), "effort": 0.001, "batch": 64, "workers": 0, "compare": 2, "target": ""}
    options = Options(**{**given, **more, **changes})
    training = Training(folder, options.recipe(), 0, options.batch, options.device, Bar())
    return Trainer(options, few("digits", None), training, leaky_reset=leaky_reset)


# --------------------------------------------------------------------------------------------------------- the recipe


def test_variants_and_what_they_share() -> None:
    names = {variant: [each.name for each in iir_snn.row(variant, (5, 3, 1))] for variant in iir_snn.VARIANTS}
    assert names == {
        "gradual": GRADUAL,
        "skipped": ["ann", "t5", "t5-3", "t5-3-1"],
        "direct": ["ann", "t5", "t4", "t3", "t2", "t1"],
        "no-bn": [f"{name}-nbn" for name in GRADUAL],
        "pruned": ["ann", "t5-4-3-2-1-pruned"],
    }


def test_recipe_of_the_paper() -> None:
    """A.2.2: rates are divided by 5 at 0.45, 0.7, 0.9 of the ANN's epochs and 0.6, 0.8, 0.9 of the SNN's."""
    options = trainer(Path("unused"), dataset="cifar10", effort=1.0).options
    ann, one, last = (iir_snn.PAPER.stage(Network(path), options) for path in ((), (5,), (5, 1)))
    assert last == replace(one, name="t5-1")
    assert (ann.epochs, ann.learning_rate, ann.optimizer, ann.weight_decay) == (500, 0.01, "sgd", 5e-4)
    assert (one.epochs, one.learning_rate, one.optimizer, one.weight_decay) == (300, 1e-4, "adam", 0)
    assert [ann.rate(share) for share in (0, 0.449, 0.45, 0.7, 0.9)] == pytest.approx([1, 1, 0.2, 0.04, 0.008])
    assert [one.rate(share) for share in (0, 0.599, 0.6, 0.8, 0.9)] == pytest.approx([1, 1, 0.2, 0.04, 0.008])


@pytest.mark.parametrize("leaky_reset", [False, True])
def test_conversion(tmp_path: Path, leaky_reset: bool) -> None:
    made = trainer(tmp_path, leaky_reset=leaky_reset)
    ann = made.train(Network(()))
    assert isinstance(ann.get_submodule("norm1"), nn.BatchNorm2d)
    assert {each.p for each in ann.modules() if isinstance(each, snn.TimeConstantDropout)} == {0.5}
    x, _ = made.data.train.take(96)
    with torch.no_grad():
        before = ann.get_submodule("norm1")(ann.get_submodule("conv1")(x))  # what the first neurons get
    model = made._converted(ann, norm=True)
    neurons = [each for each in model.modules() if isinstance(each, snn.LIF)]
    assert len(neurons) == 5
    for neuron in neurons:
        assert (neuron.order, neuron.compare, neuron.reset) == ("integrate_first", "above", "subtract")
        assert neuron.leaky_reset == leaky_reset
        assert isinstance(neuron.threshold, nn.Parameter)
        assert isinstance(neuron.leak, nn.Parameter)
        assert neuron.threshold.shape == neuron.leak.shape == ()
        assert float(neuron.leak.detach()) == 1
    assert float(neurons[0].threshold.detach()) == pytest.approx(np.percentile(before, 90), rel=1e-4)
    assert {each.p for each in model.modules() if isinstance(each, snn.TimeConstantDropout)} == {0.2}
    assert not any(isinstance(each, nn.BatchNorm2d) for each in model.modules())


def test_each_network_begins_where_its_path_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With training that only counts, what a network is made of shows."""
    steps: list[str] = []

    def count(_self: Training, stage: Any, model: nn.Module, *_: Any, **__: Any) -> list[float]:
        steps.append(stage.name)
        with torch.no_grad():
            model.get_parameter("conv1.weight").add_(len(steps))
        return []

    monkeypatch.setattr(Training, "fit", count)
    made = trainer(tmp_path)
    weight = {
        name: made.train(network).get_submodule("conv1").weight.detach()
        for name, network in {
            "t5-3-1": Network((5, 3, 1)), "t1": Network((1,)), "pruned": Network((5, 3, 1), pruned=True),
        }.items()
    }  # fmt: skip
    assert steps == ["ann", "t5", "t5-3", "t5-3-1", "t1", "t5-3-1-pruned"]
    fused = snn.fuse_batchnorm(made.train(Network(()))).get_submodule("conv1").weight.detach()
    assert torch.equal(weight["t5-3-1"], fused + 2 + 3 + 4)
    assert torch.equal(weight["t1"], fused + 5)


def test_pruned_weights_stay_zero(tmp_path: Path) -> None:
    model = trainer(tmp_path).train(Network((1,), pruned=True))
    weights = [each.weight for each in model.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    assert zeros == round(0.9 * sum(weight.numel() for weight in weights))


# --------------------------------------------------------------------------------------------------------- the script


def test_all_variants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, *TINY, "--target", "", "--variants", ",".join(iir_snn.VARIANTS), "--out", tmp_path)
    found = results(tmp_path)
    assert found["rows"] == {
        variant: [each.name for each in iir_snn.row(variant, (5, 3, 1))] for variant in iir_snn.VARIANTS
    }
    assert found["networks"].keys() == {name for names in found["rows"].values() for name in names}
    for name, network in found["networks"].items():
        (each,) = network["found"]
        assert 0 <= each["accuracy"] <= 1
        if not name.startswith("ann"):
            assert list(each["neurons"]) == list(each["rates"]) == [f"neuron{number}" for number in range(1, 6)]
            assert each["alpha"] > 0
            assert (tmp_path / "seed0" / f"{name}.pt").is_file()
    text = (tmp_path / "results.md").read_text()
    assert "| variant | network | data | ANN | T5 | T4 | T3 | T2 | T1 |" in text
    assert "| gradual | VGG6 | CIFAR-10, paper | 91.59 | 90.61 | 90.52 | 90.40 | 90.05 | 89.10 |" in text
    assert "| direct | VGG6 | CIFAR-10, paper |  | 90.15 | 90.08 | 89.91 | 89.35 | 88.64 |" in text


def test_seeds_and_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(
        monkeypatch, *TINY, "--target", "", "--seeds", "0,1", "--variants", "skipped", "--path", "6,2",
        "--out", tmp_path,
    )  # fmt: skip
    found = results(tmp_path)
    assert found["seeds"] == [0, 1]
    assert found["rows"] == {"skipped": ["ann", "t6", "t6-2"]}
    made = {name: network["found"] for name, network in found["networks"].items()}
    loaded = snn.load(tmp_path / "seed1" / "t6-2.pt")
    assert (loaded.timesteps, loaded.input_shape) == (2, (1, 8, 8))
    one = made["t6-2"][1]
    assert loaded.metadata["accuracy"] == one["accuracy"]
    neuron = loaded.model.get_submodule("neuron1")
    assert one["neurons"]["neuron1"] == [float(neuron.threshold.detach()), float(neuron.leak.detach())]
    x, labels = load("digits", None).test.take(40)
    assert one["accuracy"] == pytest.approx(float((snn.run(loaded.model, x, 2).argmax(1) == labels).float().mean()))
    text = (tmp_path / "results.md").read_text()
    assert "| variant | network | data | ANN | T6 | T2 | T1 |" in text
    accuracies = [100 * each["accuracy"] for each in made["t6-2"]]
    assert f"{np.mean(accuracies):.2f} ± {np.std(accuracies, ddof=1):.2f}" in text


def test_goes_on_after_an_interruption(tmp_path: Path, cifar10: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On CIFAR-10's format, killed by Ctrl-C in a real process."""
    flags = ("--dataset", "cifar10", "--data-root", cifar10, "--arch", "resnet8", "--width", "0.04", "--batch", "32",
             "--effort", "0.02", "--variants", "skipped", "--path", "2,1", "--target", "")  # fmt: skip
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(monkeypatch, *flags, "--out", whole)
    assert set(results(whole)["networks"]) == {"ann", "t2", "t2-1"}

    state = broken / "seed0" / "t2.state.pt"
    process = subprocess.Popen(
        [sys.executable, SCRIPT, *map(str, flags), "--out", broken],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    until = time.monotonic() + 120
    while not state.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors == "error: interrupted; run it again to go on from the last finished epoch\n"
    assert not (broken / "results.json").exists()

    run(monkeypatch, *flags, "--out", broken)
    for name in ("results.json", "results.md", "seed0/t2.pt", "seed0/t2-1.pt"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name


ROOT = SCRIPT.parents[1]


@pytest.mark.slow
@pytest.mark.lava
def test_networks_on_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = (*TINY, "--compare", "2", "--variants", "skipped,pruned", "--path", "2,1", "--out", tmp_path)
    run(monkeypatch, *flags)
    made = results(tmp_path)["networks"]
    for name in ("t2", "t2-1", "t5-4-3-2-1-pruned"):
        (each,) = made[name]["found"]
        built = each["compiled"]
        assert built["engines"] == dict.fromkeys(("functional", "chip time", "lava", "cycle"), "equal")
        assert (built["samples"], built["compared"]) == (40, 2)
        assert abs(built["accuracy"] - each["accuracy"]) < 0.2
        program = Program.load(tmp_path / "seed0" / f"{name}-loihi2-sim")
        assert program.stateless == (name != "t2")
        assert built["synapses"] == program.summary()["synapses"]
    dense, sparse = (made[name]["found"][0]["compiled"] for name in ("t2", "t5-4-3-2-1-pruned"))
    assert sparse["synapses"] < 0.5 * dense["synapses"]
    assert sparse["nonzero_synapses"] < 0.5 * dense["nonzero_synapses"]
    assert "| 1 of 1 |" in (tmp_path / "results.md").read_text()

    # what is known is not found again, unless it was of something else
    before = (tmp_path / "results.json").read_bytes()
    (tmp_path / "results.json").unlink()
    monkeypatch.setattr(compiled.commands, "build", None)
    run(monkeypatch, *flags)
    assert (tmp_path / "results.json").read_bytes() == before
    kept = tmp_path / "seed0" / "t2-loihi2-sim.json"
    for text in (kept.read_text().replace('"of": "', '"of": "another'), "{", "[]"):
        kept.write_text(text)
        with pytest.raises(TypeError):
            run(monkeypatch, *flags)


def test_vgg16_on_cifar(tmp_path: Path, cifar10: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "--dataset", "cifar10", "--data-root", cifar10, "--arch", "vgg16", "--width", "0.03",
        "--batch", "32", "--effort", "0.001", "--variants", "skipped", "--path", "1", "--target", "",
        "--out", tmp_path)  # fmt: skip
    (each,) = results(tmp_path)["networks"]["t1"]["found"]
    assert len(each["rates"]) == 15


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            ("--variants", "gradual,fast"),
            "--variants has 'fast'; give some of gradual, skipped, direct, no-bn, pruned",
        ),
        *(
            (("--path", path), f"--path is '{path}'; give falling numbers of time steps from 1 up, such as 5,3,1")
            for path in ("", "5,x", "5,5", "1,3", "3,0", "5,-1", "999999")
        ),
        (
            ("--arch", "vgg16"),
            "vgg16: input_shape (1, 8, 8) leaves nothing to pool at pooling 4: 8 x 8, limit 16 x 16 at least; "
            "give larger pictures or take a shallower network",
        ),
        (
            ("--target", "loihi3"),
            "target 'loihi3': there is none of that name; did you mean loihi2-sim or loihi1-sim? choose from "
            "loihi1-sanafe, loihi1-sim, loihi2-sim, reference, or give a path that ends in .yaml",
        ),
        (
            ("--dataset", "cifar10"),
            "cifar10: no folder is given; give the one that holds cifar-10-batches-bin (--data-root)",
        ),
    ],
)  # fmt: skip
def test_refusals(
    flags: tuple[str, ...], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, *flags, "--out", tmp_path / "out")
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: {sentence}\n"
    assert not (tmp_path / "out").exists()


def test_a_layer_that_is_mostly_silent_takes_the_next_percentile() -> None:
    """Of the inputs -8, -7, ..., 11 the 90th percentile is above 0; shifted down by 10.2, the 95th is not."""
    for shift, percentile in ((0.0, 90.0), (9.5, 95.0), (10.2, 99.0)):
        layer = nn.Linear(1, 1)
        nn.init.ones_(layer.weight)
        nn.init.constant_(layer.bias, -shift)
        model = nn.Sequential(layer, snn.LIF(1.0))
        samples = torch.arange(-8.0, 12.0)[:, None]
        assert iir_snn._set_thresholds(model, samples) == percentile
        assert float(model[1].threshold) == pytest.approx(np.percentile(samples - shift, percentile))
    nn.init.constant_(layer.bias, -20.0)
    with pytest.raises(InputError, match=r"the 99\.9th percentile of its input is -.*, limit above 0"):
        iir_snn._set_thresholds(model, samples)
