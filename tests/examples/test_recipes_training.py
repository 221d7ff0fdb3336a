"""The frame of the recipes: a training that is broken off goes on as if it had not been, and flags are checked."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from recipes import options, results
from recipes.training import Bar, Stage, Training, accuracy, cross_entropy
from torch import Tensor, nn

from neurocompile import snn
from neurocompile.errors import InputError
from tests.small_runs import StoppedError, stop_after


class Few:
    """Six images of three classes, which a small network can learn; shuffled and made noisy by the generator."""

    def __len__(self) -> int:
        return 6

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        x, labels = self.take(6)
        if generator is not None:
            order = torch.randperm(6, generator=generator)
            x, labels = x[order] + 0.01 * torch.rand(x.shape, generator=generator), labels[order]
        yield from zip(x.split(size), labels.split(size), strict=True)

    def take(self, count: int) -> tuple[Tensor, Tensor]:
        labels = torch.arange(6) % 3
        return torch.eye(3)[labels][:count], labels[:count]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(3, 8), snn.LIF(0.5, 0.9, learn_threshold=True, learn_leak=True), snn.TimeConstantDropout(0.2),
        nn.Linear(8, 3), snn.Readout(),
    )  # fmt: skip


def training(folder: Path, **changes: object) -> Training:
    made = Training(folder, {"arch": "small"}, 0, 4, torch.device("cpu"), Bar())
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


STAGE = Stage("snn", 4, 0.01)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_an_interrupted_stage_gives_what_it_would_have_given(tmp_path: Path, optimizer: str) -> None:
    stage = dataclasses.replace(STAGE, optimizer=optimizer, decay_at=(0.5,))
    whole = network()
    losses = training(tmp_path / "whole").fit(stage, whole, Few(), cross_entropy(3))
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    # two batches in an epoch: it stops within the third
    with pytest.raises(StoppedError):
        training(tmp_path / "again").fit(stage, network(), Few(), cross_entropy(3), after_step=stop_after(5))
    saved = torch.load(tmp_path / "again" / "snn.state.pt", weights_only=True)
    assert saved["losses"] == losses[:2]
    torch.rand(7)  # what happens in between does not matter
    resumed = network()
    assert training(tmp_path / "again").fit(stage, resumed, Few(), cross_entropy(3)) == losses
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_finished_stage_is_loaded(tmp_path: Path) -> None:
    first, second = network(), network()
    training(tmp_path).fit(STAGE, first, Few(), cross_entropy(3))
    training(tmp_path).fit(STAGE, second, Few(), cross_entropy(3), after_step=stop_after(0))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    assert not second.training


def test_training_leaves_the_random_state_alone(tmp_path: Path) -> None:
    model = network()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    training(tmp_path).fit(STAGE, model, Few(), cross_entropy(3))
    assert torch.equal(torch.rand(3), expected)


def test_seeds_differ(tmp_path: Path) -> None:
    models = [network(), network()]
    for seed, model in enumerate(models):
        training(tmp_path / str(seed), seed=seed).fit(STAGE, model, Few(), cross_entropy(3))
    assert not torch.equal(models[0][0].weight, models[1][0].weight)


def test_the_learning_rate_falls() -> None:
    steps = dataclasses.replace(STAGE, decay_at=(0.5, 0.75), decay=0.2)
    assert [steps.rate(progress) for progress in (0, 0.49, 0.5, 0.75)] == pytest.approx([1, 1, 0.2, 0.04])
    assert [STAGE.rate(progress) for progress in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])


def test_only_weights_decay() -> None:
    groups = dataclasses.replace(STAGE, weight_decay=0.1).make_optimizer(network()).param_groups
    assert [(group["weight_decay"], [each.ndim for each in group["params"]]) for group in groups] == [
        (0.1, [2, 2]),
        (0.0, [1, 0, 0, 1]),
    ]


def test_states_of_another_recipe_are_refused(tmp_path: Path) -> None:
    training(tmp_path).fit(STAGE, network(), Few(), cross_entropy(3))
    with pytest.raises(InputError, match=r"snn\.state\.pt: was begun with arch 'small' and not 'large'; give another"):
        training(tmp_path, recipe={"arch": "large"}).fit(STAGE, network(), Few(), cross_entropy(3))
    with pytest.raises(InputError, match="was begun with seed 0 and not 1"):
        training(tmp_path, seed=1).fit(STAGE, network(), Few(), cross_entropy(3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {}}, "is no state of a training; remove it"),
        (None, r"^\S+/snn\.state\.pt: is not a PyTorch file, or is cut short; remove it, or give another --out$"),
        ("other", r"does not fit the network \(.*\); remove it"),
    ],
)
def test_damaged_states_are_refused(tmp_path: Path, content: object, message: str) -> None:
    training(tmp_path).fit(STAGE, network(), Few(), cross_entropy(3))
    path = tmp_path / "snn.state.pt"
    if content is None:
        path.write_bytes(path.read_bytes()[:100])
    elif content == "other":
        torch.save(torch.load(path, weights_only=True) | {"model": {"0.weight": torch.ones(1)}}, path)
    else:
        torch.save(content, path)
    with pytest.raises(InputError, match=message):
        training(tmp_path).fit(STAGE, network(), Few(), cross_entropy(3))


def test_a_training_that_diverges_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="snn: the loss is nan in epoch 1, so training has diverged; lower the"):
        training(tmp_path).fit(STAGE, network(), Few(), lambda *_: float("nan"))
    assert not list(tmp_path.iterdir())


def test_accuracy_numbers_the_samples_of_random_encoders() -> None:
    """In batches as whole: an encoder draws by the number of a sample in its data set."""
    model = nn.Sequential(snn.PoissonEncoder(0.5), nn.Linear(3, 3), snn.Readout())
    torch.manual_seed(1)
    nn.init.normal_(model[1].weight)
    rates = [accuracy(model, Few(), 5, batch=batch, device=torch.device("cpu")) for batch in (6, 4, 1)]
    assert rates[0] == rates[1] == rates[2]
    answers = snn.run(model.eval(), Few().take(6)[0], 5).argmax(1)
    assert rates[0] == int((answers == Few().take(6)[1]).sum()) / 6


def read(*flags: str) -> options.Options:
    return options.read(options.parser("test", archs=("a", "b"), arch="a", width=0.25, out="x").parse_args(flags))


def test_options() -> None:
    digits, others = read("--seeds", "0,7"), read("--dataset", "cifar10", "--arch", "b")
    assert (digits.width, digits.seeds, digits.arch, digits.data_root) == (0.25, (0, 7), "a", None)
    assert (others.width, others.arch) == (1.0, "b")
    assert [read("--effort", "0.1").epochs(count) for count in (1, 25, 300)] == [1, 2, 30]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seeds", "1,1"], "--seeds is '1,1'; give whole numbers from 0, each once, such as 0,1,2"),
        (["--seeds", "-1"], "--seeds is '-1'; give whole"),
        (["--seeds="], "--seeds is ''; give whole"),
        (["--width", "0"], "--width is 0.0, limit above 0 and finite; give a factor"),
        (["--effort", "inf"], "--effort is inf, limit above 0"),
        (["--batch", "0"], "--batch is 0, limit 1 at least; give a number of samples"),
        (["--workers", "-1"], "--workers is -1, limit 0 at least; give a number of processes"),
        (["--compare", "0"], "--compare is 0, limit 1"),
        (["--device", "toaster"], "--device is 'toaster': .*; give cpu, or what torch can use here"),
    ],
)
def test_flags_that_are_refused(flags: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(*flags)


def test_a_script_ends_with_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    def wrong() -> None:
        raise InputError("x: is wrong; mend it")

    def interrupted() -> None:
        raise KeyboardInterrupt

    for main, status, said in ((wrong, 2, "error: x: is wrong; mend it\n"), (interrupted, 130, "interrupted; run it")):
        with pytest.raises(SystemExit) as end:
            options.script(main)
        assert end.value.code == status
        assert said in capsys.readouterr().err


def test_results(tmp_path: Path) -> None:
    text = results.table(["net", "ANN"], [["vgg6", results.percent([0.98, 0.99])], ["a|b", results.percent([0.5])]])
    assert text == "| net | ANN |\n| --- | ---: |\n| vgg6 | 98.50 ± 0.71 |\n| a/b | 50.00 |\n"
    results.write(tmp_path, {"accuracy": 0.5}, text)
    assert json.loads((tmp_path / "results.json").read_text()) == {"accuracy": 0.5}
    assert (tmp_path / "results.md").read_text() == text
