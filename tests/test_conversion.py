"""Plain ANNs through the whole compiler: what is refused, what is kept, what is lost, and that digits survive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from neurocompile import Conversion, Options, Program, driver, verify_program
from neurocompile.commands import make_report
from neurocompile.errors import GraphError, InputError
from neurocompile.hardware.profile import load_profile
from neurocompile.hardware.target import load_target
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import Neuron, Relu, Threshold
from neurocompile.passes.convert import one_step
from neurocompile.reports.conversion import ConversionLoss
from neurocompile.reports.drift import print_drift
from neurocompile.reports.summary import baseline_rows
from tests.anns import from_torch, small_ann

Array = npt.NDArray[Any]
SHAPE = (1, 8, 8)
SAMPLES = np.random.default_rng(0).uniform(0, 1, (30, *SHAPE)).astype(np.float32)


def compiled(graph: Graph, samples: Array | None = SAMPLES, **choices: Any) -> Program:
    options = Options(convert=Conversion(**choices))
    return driver.compile_graph(graph, load_target("loihi2-sim"), calibration=samples, options=options)


@pytest.fixture(scope="module")
def program() -> Program:
    return compiled(from_torch(small_ann(), SHAPE, 16))


def test_the_ann_is_kept_and_neurons_run(program: Program) -> None:
    assert program.trained.of_kind(Relu) == ["2", "5"]
    assert program.integer.of_kind(Neuron) == ["2", "5"]
    assert program.conversion is not None
    assert program.conversion.samples == 30
    assert program.conversion.output_error is not None
    assert program.conversion.output_error < 0.2
    assert [layer.name for layer in program.conversion.layers] == ["2", "5"]
    assert min(layer.correlation or 0 for layer in program.conversion.layers) > 0.95
    assert program.summary()["conversion"] == program.conversion.model_dump()


def test_the_loss_is_that_of_the_interpreter(program: Program) -> None:
    network = driver.spiking_network(program.trained, program.options, program.calibration)
    wanted = 16 * interpret(one_step(program.trained, SAMPLES), SAMPLES).outputs["readout"]
    found = interpret(network, SAMPLES).outputs["readout"]
    assert program.conversion is not None
    assert program.conversion.output_error == pytest.approx(np.abs(found - wanted).sum() / np.abs(wanted).sum())
    assert program.conversion.agreement == (found.argmax(axis=1) == wanted.argmax(axis=1)).mean()


@pytest.mark.parametrize("timesteps", [1, 3])
def test_every_balance_and_encoder_compiles(timesteps: int) -> None:
    graph = from_torch(small_ann(), SHAPE, timesteps)
    for balance in ("max", "percentile", "sequential"):
        for encoder in ("direct", "poisson"):
            built = compiled(graph, balance=balance, encoder=encoder, per="channel", shift=False)
            assert built.stateless == (timesteps == 1)
            assert bool(built.integer.of_kind(Threshold)) == (timesteps == 1)


def test_samples_of_every_step() -> None:
    steps = np.repeat(SAMPLES[:8, None], 4, axis=1)
    graph = from_torch(small_ann(), SHAPE, 4)
    one, every = (compiled(graph, samples, balance="max") for samples in (SAMPLES[:8], steps))
    assert one.conversion is not None
    assert every.conversion is not None
    assert every.conversion.output_error == pytest.approx(one.conversion.output_error)


def test_a_saved_program_is_the_same(program: Program, tmp_path: Path) -> None:
    program.save(tmp_path / "p")
    loaded = Program.load(tmp_path / "p")
    assert loaded.options == program.options
    assert loaded.conversion == program.conversion
    assert loaded.integer.hash == program.integer.hash
    assert driver.retarget(loaded, load_profile("cmos45-int32")).conversion == program.conversion


DAMAGE: dict[str, tuple[Any, str]] = {
    "no choice": (lambda plain: plain["options"].pop("convert"), "do not say how its ReLUs were converted"),
    "no loss": (lambda plain: plain.update(conversion=None), "do not say how its ReLUs were converted"),
    "a wrong choice": (lambda plain: plain["options"]["convert"].update(balance="x"), "balance is 'x'"),
    "an unknown choice": (lambda plain: plain["options"]["convert"].update(x=1), "damaged"),
    "a choice of no sort": (lambda plain: plain["options"].update(convert=3), "damaged"),
    "a wrong loss": (lambda plain: plain["conversion"].update(samples="many"), "damaged"),
}


@pytest.mark.parametrize("which", DAMAGE)
def test_damaged_folders(which: str, program: Program, tmp_path: Path) -> None:
    change, words = DAMAGE[which]
    program.save(tmp_path / "p")
    path = tmp_path / "p/program.json"
    plain = json.loads(path.read_text())
    change(plain)
    path.write_text(json.dumps(plain))
    with pytest.raises(InputError, match=words):
        Program.load(tmp_path / "p")


def test_neurons_may_reset_to_zero() -> None:
    options = Options(convert=Conversion(), reset_zero=True)
    graph = from_torch(small_ann(), SHAPE, 8)
    built = driver.compile_graph(graph, load_target("loihi1-sim"), calibration=SAMPLES, options=options)
    node = built.integer.node("2")
    assert isinstance(node, Neuron)
    assert node.reset == "set"
    assert verify_program(built, SAMPLES, quick=True)["engines"]["functional"]["state"] == "equal"


def test_relus_without_convert() -> None:
    graph = from_torch(small_ann(), SHAPE, 4)
    with pytest.raises(GraphError, match=r"2: a ReLU sends values, not spikes \(2 of them .*build --convert "):
        driver.compile_graph(graph, load_target("loihi2-sim"), calibration=SAMPLES)


def test_convert_without_samples() -> None:
    with pytest.raises(InputError, match=r"there are none; give some \(build --calibration FILE.npy\)"):
        compiled(from_torch(small_ann(), SHAPE, 4), None)


def test_verify_shows_the_ann_and_both_networks(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    labels = interpret(one_step(program.trained, SAMPLES), SAMPLES).outputs["readout"].argmax(axis=1)
    report = verify_program(program, SAMPLES, labels=labels, bits=(8,))
    loss = ConversionLoss.model_validate(report["conversion"])
    assert loss.accuracy_ann == 1
    assert loss.accuracy == report["accuracy_float"] == loss.agreement
    assert program.conversion is not None
    assert loss.output_error == pytest.approx(program.conversion.output_error)
    assert all(engine["state"] == "equal" for name, engine in report["engines"].items() if name != "lava")
    print_drift(report)
    shown = capsys.readouterr().out
    assert "ANN against the spiking network in floats" in shown
    assert f"accuracy: ANN 100.00%, spiking in floats {loss.accuracy:.2%}, in integers" in shown


def test_the_report_names_the_loss(program: Program) -> None:
    run = driver.run(program, SAMPLES[:3])
    report = make_report(program, run.activity)
    assert program.conversion is not None
    assert report["conversion"] == program.conversion.model_dump()
    ((_, text),) = [row for row in baseline_rows(report) if row[0] == "converted from an ANN"]
    assert "of 30 calibration samples get the ANN's class in 16 time steps" in text


def test_norms_first_and_branches() -> None:
    """A residual network whose norms and ReLUs stand before the convolutions, as of He et al. 2016b."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.relu, self.conv = nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x: Any) -> Any:
            return x + self.conv(self.relu(self.norm(x)))

    blocks = nn.Sequential(nn.Conv2d(1, 4, 3), Block(), Block(), nn.BatchNorm2d(4), nn.ReLU())
    model = nn.Sequential(blocks, nn.AvgPool2d(6), nn.Flatten(), nn.Linear(4, 3))
    built = compiled(from_torch(model, SHAPE, 64), balance="max")
    assert built.conversion is not None
    assert built.conversion.output_error is not None
    assert built.conversion.output_error < 0.05


@pytest.mark.slow
@pytest.mark.lava
@pytest.mark.timeout(300)
def test_lava_gives_the_same_spikes(program: Program) -> None:
    """The Lava simulator, sample after sample, and the functional engine."""
    lava, functional = (driver.run(program, SAMPLES[:2], backend=backend) for backend in ("lava", "functional"))
    assert lava.spike_hash == functional.spike_hash
    assert lava.output_hash == functional.output_hash


class Residual(nn.Module):
    """Convolutions with norms around a skip connection, for digits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.body = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.BatchNorm2d(8),
        )
        self.relu, self.pool, self.last = nn.ReLU(), nn.AvgPool2d(2), nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.last(self.pool(self.relu(self.body(x) + x)).flatten(1))


@pytest.fixture(scope="module")
def digits() -> tuple[nn.Module, Array, Array, Array]:
    """A trained residual network, samples to calibrate with, and held-out digits with their labels."""
    data = load_digits()
    images, labels = (data.images / 16).astype(np.float32)[:, None], data.target.astype(np.int64)
    train_x, test_x, train_y, test_y = train_test_split(images, labels, test_size=0.2, stratify=labels, random_state=0)
    torch.manual_seed(0)
    model, inputs, wanted = Residual(), torch.from_numpy(train_x), torch.from_numpy(train_y)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(12):
        for chosen in torch.randperm(len(train_x)).split(64):
            loss = nn.functional.cross_entropy(model(inputs[chosen]), wanted[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval(), train_x[:256], test_x[:180], test_y[:180]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("balance", "most"), [("max", 0.02), ("percentile", 0.02), ("sequential", 0.03)])
def test_trained_digits_survive(balance: str, most: float, digits: tuple[nn.Module, Array, Array, Array]) -> None:
    model, calibration, images, labels = digits
    built = compiled(from_torch(model, SHAPE, 32), calibration, balance=balance)
    report = verify_program(built, images, labels=labels, quick=True, exact_limit=4)
    loss = report["conversion"]
    assert loss["accuracy_ann"] > 0.95
    assert loss["accuracy"] > loss["accuracy_ann"] - most
    assert report["accuracy_integer"] > loss["accuracy_ann"] - most
    assert {name: each["state"] for name, each in report["engines"].items() if name != "lava"} == {
        "functional": "equal", "chip time": "equal",
    }  # fmt: skip
