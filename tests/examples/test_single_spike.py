"""The recipe of single-spike hybrid encoding, at a tiny setting."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import single_spike as recipe
import torch
from recipes.data import Data, load
from recipes.training import Bar
from torch import nn

from neurocompile import snn
from neurocompile.errors import InputError
from neurocompile.program import Program
from tests.small_runs import StoppedError, assert_equal_checkpoints, cut, stopping, write_cifar10

TINY = ["--arch", "vgg6", "--width", "0.03", "--effort", "0.05", "--batch", "32"]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of the digits, a short balancing and few time steps."""

    def load_few(name: str, root: Path | None, **more: Any) -> Data:
        return cut(load(name, root, **more), train=64, test=40)

    monkeypatch.setattr(recipe, "load", load_few)
    monkeypatch.setattr(recipe, "CONVERTED_STEPS", 20)
    for dataset, settings in recipe.SETTINGS.items():
        long = replace(settings.long, epochs=settings.snn.epochs)
        small = replace(settings, balanced=16, balance_steps=8, rate=6, dct=16, long=long)
        monkeypatch.setitem(recipe.SETTINGS, dataset, small)


def run(monkeypatch: pytest.MonkeyPatch, out: Path, *flags: str) -> dict[str, Any]:
    monkeypatch.setattr(sys, "argv", ["single_spike.py", *TINY, "--out", str(out), *flags])
    recipe.main()
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


# ---------------------------------------------------------------------------------------------------------- the whole


@pytest.mark.slow
@pytest.mark.lava
@pytest.mark.usefixtures("few")
def test_what_is_proposed_compiles_and_every_engine_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(monkeypatch, tmp_path, "--networks", "cf", "--compare", "2")
    (one,) = found["runs"]
    assert [*one["networks"]] == ["c", "f"]
    for name in "cf":
        on_target = one["on_target"][name]
        assert on_target["equal"]
        assert on_target["compared"] == 2
        assert {"functional", "cycle", "lava"} < set(on_target["engines"])
        assert on_target["samples"] == 40
    # c fires as often as it likes, f once; in integers too, in every sample
    assert one["on_target"]["c"]["most_spikes"] > 1
    assert one["on_target"]["f"]["most_spikes"] == one["claims"]["most_spikes"] == 1
    program = Program.load(tmp_path / "seed0" / "f-loihi2-sim")
    assert "HybridEncoder" in {type(program.integer.node(name)).__name__ for name in program.integer}
    table = (tmp_path / "results.md").read_text()
    assert "| vgg6 x 0.03 | digits, here |" in table
    assert "| vgg16 | cifar100, paper | 71.02 | 70.38 | 66.46 |" in table
    assert "all engines equal on 2 samples" in table


@pytest.mark.usefixtures("few")
def test_spikes_on_target_are_counted_neuron_by_neuron(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the events that a whole run records."""
    flags = [*TINY, "--networks", "f", "--out", str(tmp_path)]
    chosen = recipe.read_recipe(flags)
    data = recipe.load("digits", None, scaled=True)
    with Bar() as bar:
        trained = recipe.train(chosen, data, 0, bar)
    layers = [*trained.networks["f"].layers]
    assert layers == [f"neuron{number}" for number in range(1, 6)]
    monkeypatch.setattr(recipe.compiled, "compile_and_compare", _only_build)
    counted = recipe.on_target(chosen, data, 0, "f", layers)
    program = Program.load(tmp_path / "seed0" / "f-loihi2-sim")
    events = recipe.driver.run(program, data.test.take(40)[0], record=True).events
    assert events is not None
    each = np.concatenate([events[layer].sum(axis=1, dtype=int).reshape(40, -1) for layer in layers], axis=1)
    assert counted.most == each.max() == 1
    assert counted.spikes == pytest.approx(each.mean())


def _only_build(path: Path, _data: Data, *, target: str, **_more: int) -> recipe.Compiled:
    recipe.compiled.commands.build(path, target=target, out=path.with_name(f"{path.stem}-{target}"), force=True)
    return recipe.Compiled()


@pytest.mark.usefixtures("few")
def test_an_interrupted_run_gives_what_it_would_have_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ("--target", "", "--networks", "ef", "--effort", "0.08")
    whole = run(monkeypatch, tmp_path / "whole", *flags)
    # an epoch has two steps: it stops within the second
    with monkeypatch.context() as patched:
        patched.setattr(recipe, "two_softmax", stopping(recipe.two_softmax, 3))
        with pytest.raises(StoppedError):
            run(monkeypatch, tmp_path / "again", *flags)
    assert not (tmp_path / "again" / "results.json").exists()
    assert len(torch.load(tmp_path / "again" / "seed0" / "snn-f.state.pt", weights_only=True)["losses"]) == 1
    assert run(monkeypatch, tmp_path / "again", *flags) == whole
    for name in "ef":
        assert_equal_checkpoints(*(tmp_path / each / "seed0" / f"{name}.pt" for each in ("whole", "again")))
    assert whole["runs"][0]["on_target"] == {}


@pytest.mark.usefixtures("few")
def test_the_ann_serves_other_time_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run(monkeypatch, tmp_path, "--target", "", "--networks", "c")
    before = (tmp_path / "seed0" / "ann.state.pt").stat().st_mtime_ns
    with pytest.raises(InputError, match=r"snn-c\.state\.pt: was begun with timesteps 5 and not 4; give another --out"):
        run(monkeypatch, tmp_path, "--target", "", "--networks", "c", "--timesteps", "4")
    second = run(monkeypatch, tmp_path, "--target", "", "--networks", "f", "--timesteps", "4")
    assert (tmp_path / "seed0" / "ann.state.pt").stat().st_mtime_ns == before
    assert first["runs"][0]["ann"] == second["runs"][0]["ann"]
    assert second["runs"][0]["networks"]["f"]["timesteps"] == 4


@pytest.mark.slow
@pytest.mark.usefixtures("few")
def test_cifar_from_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From noise in the binary format to programs."""
    write_cifar10(tmp_path, 40)
    monkeypatch.setattr(recipe.compiled, "compile_and_compare", _only_build)
    flags = ["--dataset", "cifar10", "--data-root", str(tmp_path), "--width", "0.02", "--effort", "0.005"]
    flags += ["--networks", "bdf"]
    (one,) = run(monkeypatch, tmp_path / "out", *flags)["runs"]
    assert {name: network["timesteps"] for name, network in one["networks"].items()} == {"b": 16, "d": 5, "f": 5}
    most = {name: target["most_spikes"] for name, target in one["on_target"].items()}
    assert most["b"] > 1
    assert most["d"] > 1
    assert most["f"] == 1


# ----------------------------------------------------------------------------------------------------------- the parts


def made(name: str, timesteps: int = 5) -> tuple[nn.Module, recipe.Recipe, Data]:
    chosen = recipe.read_recipe([*TINY, "--timesteps", str(timesteps)])
    data = load("digits", None, scaled=True)
    ann = recipe.models.seeded(recipe.make_ann(chosen, data), 0)
    thresholds = {f"neuron{number}": float(number) for number in range(1, 6)} | {"readout": 6.0}
    return recipe.spiking(chosen, ann, recipe.KINDS[name], thresholds, data), chosen, data


@pytest.mark.parametrize("name", recipe.KINDS)
def test_the_six_networks_are_those_of_fig_4(name: str) -> None:
    model, chosen, _ = made(name)
    scale = 1.0 if name in "ab" else chosen.settings.scale
    for number in range(1, 6):
        neuron = model.get_submodule(f"neuron{number}")
        assert isinstance(neuron, snn.LIF)
        assert neuron.threshold.item() == pytest.approx(scale * number)
        assert neuron.leak.item() == 1
        assert isinstance(neuron.threshold, nn.Parameter)
        assert isinstance(neuron.leak, nn.Parameter) == (name in "cdef")
        assert neuron.single_spike == (name in "ef")
        assert neuron.surrogate == snn.LinearSurrogate(0.3)
        assert not neuron.leaky_reset
    encoder = model.encoder
    kinds = {"a": snn.PoissonEncoder, "b": nn.Sequential, "c": snn.DirectEncoder, "e": snn.DirectEncoder}
    assert type(encoder) is kinds.get(name, snn.HybridEncoder)
    assert isinstance(model.readout, snn.TimedReadout) == (name in "df")
    if isinstance(model.readout, snn.TimedReadout):
        assert model.readout.crossing.threshold.item() == pytest.approx(scale * 6)
        assert model.readout.beta == 0.2
    assert not any(isinstance(each, nn.Linear | nn.Conv2d) and each.bias is not None for each in model.modules())


def test_conversion_finds_the_percentile_of_each_layers_inputs() -> None:
    """Worked by hand for the first layer, whose inputs are the same at every step, and for what fires at its
    threshold in the second."""
    chosen = recipe.read_recipe(TINY)
    chosen = replace(chosen, settings=replace(chosen.settings, balanced=32, balance_steps=3))
    data = load("digits", None, scaled=True)
    ann = recipe.models.seeded(recipe.make_ann(chosen, data), 0).eval()
    converted, thresholds = recipe.convert(chosen, ann, data, Bar())
    assert [*thresholds] == [*(f"neuron{number}" for number in range(1, 6)), "readout"]
    x = data.train.take(32)[0]
    with torch.no_grad():
        current = ann.conv1(x)
        first = float(np.percentile(current.numpy(), 99.7))
        assert thresholds["neuron1"] == pytest.approx(first, rel=1e-5)
        u, second = torch.zeros_like(current), []
        for _ in range(3):
            u = u + current
            spikes = (u > thresholds["neuron1"]).float()
            u = u - spikes * thresholds["neuron1"]
            second.append(float(np.percentile(ann.conv2(ann.pool1(spikes)).numpy(), 99.7)))
    assert thresholds["neuron2"] == pytest.approx(max(second), rel=1e-5)
    assert isinstance(converted.readout, snn.Readout)
    assert all(type(each) is snn.IF for name, each in converted.named_modules() if re.fullmatch(r"neuron\d", name))


def test_spikes_and_energies_are_those_of_the_equations() -> None:
    """Eqs. 24 and 25 with Table III, from the recorded spikes."""
    model, chosen, data = made("f")
    model.eval()
    x = data.test.take(len(data.test))[0]
    layers, mean, encoder, energy, ann_energy = recipe.spikes_and_energy(chosen, model, data, 5)
    spikes = {name: each for name, each in snn.record_spikes(model, x, 5).items() if name.startswith("neuron")}
    assert layers == {name: pytest.approx(float(each.sum()) / each[:, 0].numel()) for name, each in spikes.items()}
    total = sum(float(each.sum()) for each in spikes.values())
    assert mean == pytest.approx(total / sum(each[:, 0].numel() for each in spikes.values()))
    assert encoder == 1
    # channels 2, 4, 4 on 8 x 8, 4 x 4, 4 x 4; then 16 -> 123 -> 123 -> 10
    conv1, conv2, conv3 = 9 * 64 * 2, 9 * 16 * 2 * 4, 9 * 16 * 4 * 4
    rest = {"neuron1": conv2, "neuron2": conv3, "neuron3": 16 * 123, "neuron4": 123 * 123, "neuron5": 123 * 10}
    assert ann_energy == pytest.approx(3.2 * (conv1 + sum(rest.values())))
    # the first layer multiplies once and adds the one spike of each pixel
    adds = conv1 + sum(count * layers[name] for name, count in rest.items())
    assert energy == pytest.approx(3.2 * conv1 + 0.1 * adds)


@pytest.mark.parametrize(("name", "spikes"), [("a", 16 * 0.3), ("c", 0), ("d", 1), ("e", 0)])
def test_spikes_of_encoders_are_counted_apart(name: str, spikes: float) -> None:
    model, chosen, data = made(name)
    steps = chosen.steps(recipe.KINDS[name])
    model.eval()
    layers, _, encoder, _, _ = recipe.spikes_and_energy(chosen, model, data, steps)
    assert [*layers] == [f"neuron{number}" for number in range(1, 6)]
    # pixels of the digits are 0.3 on average
    assert encoder == pytest.approx(spikes, rel=0.1)


def test_dct_sends_one_round_of_the_picture_as_spikes() -> None:
    model, _, data = made("b")
    x = data.test.take(8)[0]
    sent = sum(model.encoder(x) for _ in range(16))
    # the sum of all frequencies is the picture, which the neurons round to sixteenths, but for what they still hold
    left = model.encoder.neuron.u
    assert torch.allclose(sent / 16 + left, x, atol=1e-5)


def test_claims_compare_f_with_c() -> None:
    def network(accuracy: float, spikes: float) -> recipe.Network:
        return recipe.Network(5, accuracy, {}, spikes, 0.0, 1.0, 2.0)

    trained = recipe.Trained(1.0, 1.0, {}, {"c": network(0.9, 0.8), "f": network(0.89, 0.2)})
    target = recipe.OnTarget(recipe.Compiled(), 0.2, 1)
    claims = recipe.claims(recipe.Run(0, trained, {"f": target}))
    assert claims == {
        "points_below_direct": pytest.approx(1.0),
        "times_fewer_spikes": pytest.approx(4.0),
        "most_spikes": 1,
    }
    alone = recipe.Trained(1.0, 1.0, {}, {"f": network(0.89, 0.2)})
    assert set(recipe.claims(recipe.Run(0, alone, {})).values()) == {None}


def test_a_network_that_does_not_fit_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = recipe.Compiled(refused="too large")
    monkeypatch.setattr(recipe.compiled, "compile_and_compare", lambda *_args, **_more: refused)
    chosen = recipe.read_recipe([*TINY, "--out", str(tmp_path)])
    found = recipe.on_target(chosen, load("digits", None, scaled=True), 0, "f", ["neuron1"])
    assert found == recipe.OnTarget(refused, None, None)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--timesteps", "1"), r"--timesteps is 1, limit 2 at least; hybrid encoding sends values at the first step"),
        (("--networks", "cg"), r"--networks is 'cg'; give some of abcdef, each once"),
        (("--networks", "ff"), r"--networks is 'ff'; give some of abcdef, each once"),
        (("--networks", ""), r"--networks is ''; give some of abcdef, each once"),
    ],
)
def test_flags_out_of_range_are_refused(flags: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        recipe.read_recipe(flags)


def test_the_recipe_of_the_paper() -> None:
    chosen = recipe.read_recipe(["--dataset", "cifar10", "--arch", "vgg16"])
    assert (chosen.options.width, chosen.timesteps) == (1.0, 5)
    assert [chosen.steps(kind) for kind in recipe.KINDS.values()] == [100, 48, 5, 5, 5, 5]
    assert [chosen.scale(kind) for kind in recipe.KINDS.values()] == [1, 1, 0.4, 0.4, 0.4, 0.4]
    stage = chosen.stage("f")
    assert [stage.rate((epoch + 0.5) / 150) for epoch in (0, 9, 10, 20)] == pytest.approx([1, 1, 0.1, 0.01])
    assert (stage.epochs, stage.learning_rate, stage.optimizer) == (150, 1e-4, "adam")
    assert (chosen.settings.balanced, chosen.settings.balance_steps, chosen.settings.scale) == (512, 200, 0.4)
