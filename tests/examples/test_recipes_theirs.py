"""Networks of ours in the papers' form: what is read back from it gives the same logits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recipes.theirs import Form, to_papers_form
from torch import nn

from neurocompile import snn
from neurocompile.errors import InputError
from neurocompile.frontend.checkpoint import read_checkpoint
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import Neuron
from neurocompile.snn import LIF, PoissonEncoder
from neurocompile.snn.models import default_neuron, resnet, seeded, tune_rates, vgg
from neurocompile.snn.running import run

learned = partial(LIF, 1.0, 0.875, learn_threshold=True, learn_leak=True)
hybrid = partial(LIF, 1.0, 0.875, order="fire_first", leaky_reset=False)
SAMPLES = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (4, 3, 32, 32))).float()


def make(make_network: Callable[..., nn.Sequential] = vgg, layers: int = 5, **settings: Any) -> nn.Sequential:
    settings = {"neuron": learned, "width": 1 / 16, **settings}
    return seeded(make_network(layers, **settings), 4)  # type: ignore[return-value]


def trained(model: nn.Sequential, timesteps: int, samples: torch.Tensor = SAMPLES) -> nn.Sequential:
    """Every layer fires, and has a threshold and, where it is learned, a leak of its own."""
    tune_rates(model, samples, timesteps, 0.2)
    for number, module in enumerate(each for each in model.modules() if isinstance(each, LIF)):
        if isinstance(module.leak, nn.Parameter) and module.leaky_reset:
            module.leak.data -= number / 64
    return model.eval()


def one_threshold_for_all_blocks(model: nn.Sequential) -> nn.Sequential:
    lifs = [each for name, each in model.named_modules() if isinstance(each, LIF) and name.startswith("block")]
    least = min(each.threshold for each in lifs)
    for each in lifs:
        each.threshold.copy_(least)
    return model


def same_logits(model: nn.Sequential, form: Form, timesteps: int, path: Path, samples: torch.Tensor = SAMPLES) -> None:
    shape = tuple(samples.shape[1:])
    torch.save(to_papers_form(model, form=form, timesteps=timesteps, input_shape=shape), path)
    graph = read_checkpoint(path, input_shape=shape).graph
    assert graph.timesteps == timesteps
    trace = interpret(graph, samples.double().numpy())
    for name in graph.of_kind(Neuron):
        assert 0 < trace.events[name].mean() < 1, name
    with torch.no_grad():
        wanted = run(model.double(), samples.double(), timesteps).numpy()
    assert np.ptp(wanted) > 0
    np.testing.assert_allclose(trace.outputs["readout"], wanted, rtol=0, atol=1e-9 * np.abs(wanted).max())


@pytest.mark.parametrize("layers", [5, 6, 9, 11, 16])
def test_vgg_learned(layers: int, tmp_path: Path) -> None:
    same_logits(trained(make(layers=layers), 3), "learned", 3, tmp_path / "vgg.pth")


@pytest.mark.parametrize("layers", [8, 12, 20])
def test_residual_learned(layers: int, tmp_path: Path) -> None:
    same_logits(trained(make(resnet, layers), 3), "learned", 3, tmp_path / "resnet.pth")


def test_hybrid(tmp_path: Path) -> None:
    for name, model, timesteps in (
        ("vgg5", make(neuron=hybrid, encoder=PoissonEncoder()), 12),
        ("vgg9", make(layers=9, neuron=hybrid, encoder=PoissonEncoder()), 24),
        ("resnet12", make(resnet, 12, neuron=hybrid, encoder=PoissonEncoder(0.9)), 30),
    ):
        trained(model, timesteps)
        if name == "resnet12":
            with pytest.raises(InputError, match=r"the thresholds of the blocks differ, and the hybrid form has one"):
                to_papers_form(model, form="hybrid", timesteps=timesteps)
            one_threshold_for_all_blocks(model)
        same_logits(model, "hybrid", timesteps, tmp_path / f"{name}.pth")


def test_folded_batch_norms_become_biases(tmp_path: Path) -> None:
    for network, layers in ((vgg, 5), (resnet, 12)):
        model = make(network, layers, batch_norm=True)
        for each in model.modules():
            if isinstance(each, nn.BatchNorm2d):
                nn.init.uniform_(each.running_mean, -0.1, 0.1)
                nn.init.uniform_(each.bias, -0.1, 0.1)
        fused = snn.fuse_batchnorm(model)
        assert isinstance(fused, nn.Sequential)
        same_logits(trained(fused, 2), "learned", 2, tmp_path / "fused.pth")
    # the code has biases everywhere or nowhere
    model = make()
    model.conv2.bias = nn.Parameter(torch.full((8,), 0.25))  # type: ignore[union-attr]
    saved = to_papers_form(model, form="learned", timesteps=2)
    assert saved["state_dict"]["module.features.0.bias"].eq(0).all()
    same_logits(trained(model, 2), "learned", 2, tmp_path / "one.pth")


def test_where_the_reset_may_be_either(tmp_path: Path) -> None:
    """Eq. 2 of IIR-SNN and its code differ in whether the leak acts on what is subtracted."""
    same_logits(trained(make(neuron=default_neuron), 4), "learned", 4, tmp_path / "one.pth")  # leaks are 1
    model = make(neuron=partial(LIF, 1.0, 0.5, leaky_reset=False))
    same_logits(trained(model, 1), "learned", 1, tmp_path / "step.pth")
    model = make(neuron=partial(LIF, 1.0, 1.0, order="fire_first"), encoder=PoissonEncoder())
    same_logits(trained(model, 12), "hybrid", 12, tmp_path / "hybrid.pth")


def test_other_sizes_of_samples(tmp_path: Path) -> None:
    samples = torch.from_numpy(np.random.default_rng(1).uniform(-1, 1, (2, 3, 48, 48))).float()
    model = trained(make(layers=9, input_shape=(3, 48, 48)), 2, samples)
    same_logits(model, "learned", 2, tmp_path / "n.pth", samples)
    with pytest.raises(InputError, match=r"--input-shape is 3,48,48, which gives 1,152 values where"):
        # what snn.models pools once more, the code does not
        to_papers_form(make(input_shape=(3, 48, 48)), form="learned", timesteps=2, input_shape=(3, 48, 48))


def test_what_the_file_holds() -> None:
    saved = to_papers_form(make(), form="learned", timesteps=3, accuracy=0.5, epoch=7)
    assert {key: saved[key] for key in ("accuracy", "epoch", "timesteps", "activation")} == {
        "accuracy": 0.5, "epoch": 7, "timesteps": 3, "activation": "Linear",
    }  # fmt: skip
    assert list(saved["state_dict"])[:3] == [f"module.features.{n}.weight" for n in (0, 3, 6)]
    assert list(saved["state_dict"])[-2:] == ["module.threshold.t12", "module.leak.l12"]
    assert (len(saved["thresholds"]), saved["leak"]) == (5, [0.875] * 5)
    saved = to_papers_form(make(resnet, 12), form="learned", timesteps=3)
    numbers = [key.removeprefix("module.threshold.t") for key in saved["state_dict"] if "threshold" in key]
    assert numbers == ["0", "3", "6", *map(str, range(9, 17))]
    saved = to_papers_form(make(neuron=hybrid, encoder=PoissonEncoder()), form="hybrid", timesteps=3)
    assert saved["leak"] == 0.875
    assert not any("threshold" in key for key in saved["state_dict"])


Change = Callable[[nn.Sequential], object]


def put(name: str, module: nn.Module) -> Change:
    return lambda model: setattr(model, name, module)


def neuron(**settings: Any) -> Change:
    return put("neuron2", LIF(**settings))


@pytest.mark.parametrize(
    ("form", "change", "match"),
    [
        ("learned", neuron(single_spike=True), r"^neuron2: single_spike is True; the learned form has single_spike=F"),
        ("learned", neuron(compare="at_or_above"), r"^neuron2: compare is 'at_or_above'; the learned form has compare"),
        ("learned", neuron(order="fire_first"), r"^neuron2: order is 'fire_first'; the learned form has order='integr"),
        ("learned", neuron(reset="set"), r"^neuron2: reset is 'set'; the learned form has reset='subtract'"),
        ("learned", neuron(spikes="signed"), r"^neuron2: spikes is 'signed'; the learned form has spikes='binary'"),
        ("learned", neuron(membrane_min=-1.0), r"^neuron2: membrane_min is -1.0; the learned form has membrane_min=N"),
        ("learned", neuron(threshold=torch.ones(8)), r"^neuron2: threshold has shape \(8,\); the learned form has one"),
        ("learned", neuron(leak=torch.ones(8)), r"^neuron2: leak has shape \(8,\); the learned form has one for each"),
        ("learned", neuron(current_leak=0.5), r"^neuron2: keeps a synaptic current, which the code does not"),
        (
            "learned",
            neuron(leak=0.5, leaky_reset=False),
            r"^neuron2: leaky_reset is False and its leak 0.5; the learned form has leaky_reset=True, which is the sa",
        ),
        ("hybrid", neuron(leak=0.875, order="fire_first"), r"^neuron2: leaky_reset is True .* leaky_reset=False, whi"),
        ("hybrid", neuron(leak=0.5, order="fire_first", leaky_reset=False), r"^the leaks differ from layer to layer"),
        ("learned", put("encoder", PoissonEncoder()), r"^encoder: the learned form has direct input; use DirectEncod"),
        ("hybrid", put("encoder", snn.DirectEncoder()), r"^encoder: the hybrid form of this network has Poisson input"),
        ("hybrid", put("encoder", PoissonEncoder(0.9)), r"^encoder: .* use PoissonEncoder\(1.0\)"),
        ("learned", put("readout", snn.Readout(0.5)), r"^readout: leaks, which the code's output layer does not"),
        ("learned", put("neuron2", nn.ReLU()), r"^neuron2: the learned form has no place for a ReLU"),
        ("learned", put("conv2", nn.BatchNorm2d(4)), r"^conv2: the learned form has no place for batch norms; fold th"),
        ("learned", put("linear6", nn.Linear(256, 10)), r"^linear6: has a bias, which the code's linear layers do not"),
        ("hybrid", put("conv2", nn.Conv2d(4, 8, 3, padding=1)), r"^conv2: has a bias, which the hybrid form's convol"),
        ("learned", put("pool1", nn.AvgPool2d(4, 2, 1)), r"^pool1: is AvgPool2d \(4, 4\) \(2, 2\), where a file of th"),
        ("learned", put("pool1", nn.Identity()), r"^conv2: is Conv2d .*, where a file of these channels is read as Av"),
        ("learned", put("conv2", nn.Conv2d(4, 8, 3, bias=False)), r"^conv2: is Conv2d \(1, 1\) \(0, 0\) .* is read as"),
        ("learned", put("conv2", nn.Conv2d(4, 9, 3, bias=False)), r"^the papers' form: .* channels, which are those o"),
    ],
)  # fmt: skip
def test_refusals(form: Form, change: Change, match: str) -> None:
    settings = {"neuron": hybrid, "encoder": PoissonEncoder()} if form == "hybrid" else {}
    model = make(dropout=0.0, **settings)
    change(model)
    with pytest.raises(InputError, match=match) as caught:
        to_papers_form(model, form=form, timesteps=2)
    assert "\n" not in str(caught.value)


def test_other_refusals() -> None:
    for arguments, match in (
        ({"form": "diet"}, r"form is 'diet'; choose one of learned, hybrid"),
        ({"timesteps": 0}, r"timesteps is 0; give a whole number of steps, 1 or more"),
        ({"input_shape": (3, 64, 64)}, r"--input-shape is 3,64,64, which gives"),
    ):
        with pytest.raises(InputError, match=match):
            to_papers_form(make(), **{"form": "learned", "timesteps": 2, **arguments})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the network has no LIF layers"):
        to_papers_form(nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False)), form="learned", timesteps=2)
    block = make(resnet, 12)
    block.block1.neuron1 = nn.ReLU()  # type: ignore[union-attr]
    with pytest.raises(InputError, match=r"block1.neuron1: is a ReLU; put LIF there"):
        to_papers_form(block, form="learned", timesteps=2)
    longer = nn.Sequential(*make().children(), nn.AvgPool2d(1))
    with pytest.raises(InputError, match=r"the network has 14 layers, a file of these channels 13"):
        to_papers_form(longer, form="learned", timesteps=2)
