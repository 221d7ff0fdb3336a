"""Train three small spiking networks on real handwritten digits and save them as checkpoints that compile.

    python examples/digits.py --out build/digits

The data are scikit-learn's 1797 digits of 8 x 8 pixels, of which 360 are held out. Two recipes:

- a VGG-style network the IIR-SNN way (Chowdhury et al. 2021): an ANN with batch norm is trained, the norms are folded
  into its weights, each layer's threshold is set to the 90th percentile of its pre-activations, and the SNN is trained
  on with surrogate gradients at T = 5, then T = 3, then T = 1 steps, each stage starting from the last. Thresholds and
  leaks are learned, one each per layer;
- a residual network with T = 4, trained with surrogate gradients from the start. Its batch norms stay in the network:
  folding them is the compiler's work.

Writes vgg-t5.pt, vgg-t1.pt and resnet-t4.pt. Needs the extras ``torch`` and ``demo``.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from neurocompile import snn

SEED = 0
BATCH = 64
CALIBRATION = 64  # training images kept in each checkpoint for the quantizer
INPUT_SHAPE = (1, 8, 8)

_Trained = TypeVar("_Trained")

Tell = Callable[[str, float], None]
"""Called as training goes on with what is being done and the fraction of the whole recipe that is behind us."""


@dataclass(frozen=True)
class Split:
    """Images (N, 1, 8, 8) scaled to [0, 1] and labels (N,), for training and held out."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


def load_digits_split() -> Split:
    """scikit-learn's digits, a fifth held out: stratified, and always the same fifth."""
    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)[:, None]
    train_x, test_x, train_y, test_y = train_test_split(
        images, digits.target, test_size=0.2, stratify=digits.target, random_state=SEED
    )
    return Split(*map(torch.from_numpy, (train_x, train_y.astype(np.int64), test_x, test_y.astype(np.int64))))


def accuracy(model: nn.Module, x: Tensor, y: Tensor, timesteps: int = 1) -> float:
    """Fraction of right answers in eval mode; the model's mode is kept."""
    training = model.training
    model.eval()
    with torch.no_grad():
        right = (snn.run(model, x, timesteps).argmax(1) == y).float().mean().item()
    snn.reset_state(model)
    model.train(training)
    return right


def spike_rate(model: nn.Module, x: Tensor, timesteps: int) -> float:
    """Spikes per neuron and step, averaged over samples and over all neurons of the network."""
    model.eval()
    layers = snn.record_spikes(model, x, timesteps).values()
    snn.reset_state(model)
    return float(sum(s.abs().sum() for s in layers)) / sum(s.numel() for s in layers)


def fit(
    model: nn.Module,
    data: Split,
    *,
    timesteps: int,
    epochs: int,
    learning_rate: float,
    tell: Callable[[float], None],
    weight_decay: float = 0.0,
) -> None:
    """Cross-entropy on the answer of the last step, Adam, cosine schedule, images jittered by up to one pixel."""
    generator = torch.Generator().manual_seed(SEED)
    # Weights decay; norms, thresholds and leaks (fewer than two axes here) do not.
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": weight_decay},
            {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=learning_rate,
    )
    batches = -(-len(data.train_x) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * batches)
    model.train()
    for epoch in range(epochs):
        for chosen in torch.randperm(len(data.train_x), generator=generator).split(BATCH):
            answer = snn.run(model, jitter(data.train_x[chosen], generator), timesteps)
            loss = nn.functional.cross_entropy(answer, data.train_y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            snn.clamp_parameters(model)
            schedule.step()
        tell((epoch + 1) / epochs)
    snn.reset_state(model)
    model.eval()


def jitter(images: Tensor, generator: torch.Generator, by: int = 1) -> Tensor:
    """Each image (N, C, H, W) moved by up to ``by`` pixels in each direction; what enters is 0, which is black."""
    count, channels, height, width = images.shape
    padded = nn.functional.pad(images, (by, by, by, by))
    dy, dx = torch.randint(0, 2 * by + 1, (2, count), generator=generator)
    rows = dy[:, None, None, None] + torch.arange(height)[:, None]
    columns = dx[:, None, None, None] + torch.arange(width)
    return padded[torch.arange(count)[:, None, None, None], torch.arange(channels)[:, None, None], rows, columns]


# ------------------------------------------------------------------------------------------------- VGG, T = 5 -> 3 -> 1


def vgg_ann() -> nn.Sequential:
    """16-16-A-32-32-A, linear 64, linear 10: convolutions without bias, each with batch norm and ReLU.

    The activations are called neuron1 ... neuron5, because that is what they become.
    """
    return nn.Sequential(
        OrderedDict(
            encoder=snn.DirectEncoder(limit=1.0),
            conv1=nn.Conv2d(1, 16, 3, padding=1, bias=False),
            norm1=nn.BatchNorm2d(16),
            neuron1=nn.ReLU(),
            dropout1=snn.TimeConstantDropout(0.1),
            conv2=nn.Conv2d(16, 16, 3, padding=1, bias=False),
            norm2=nn.BatchNorm2d(16),
            neuron2=nn.ReLU(),
            pool1=nn.AvgPool2d(2),
            conv3=nn.Conv2d(16, 32, 3, padding=1, bias=False),
            norm3=nn.BatchNorm2d(32),
            neuron3=nn.ReLU(),
            dropout2=snn.TimeConstantDropout(0.1),
            conv4=nn.Conv2d(32, 32, 3, padding=1, bias=False),
            norm4=nn.BatchNorm2d(32),
            neuron4=nn.ReLU(),
            pool2=nn.AvgPool2d(2),
            flatten=nn.Flatten(),
            linear1=nn.Linear(128, 64, bias=False),
            norm5=nn.BatchNorm1d(64),
            neuron5=nn.ReLU(),
            dropout3=snn.TimeConstantDropout(0.1),
            linear2=nn.Linear(64, 10, bias=False),
            readout=snn.Readout(),
        )
    )


def train_vgg(tell: Tell = lambda _what, _fraction: None) -> dict[str, nn.Module]:
    """The networks of the IIR-SNN recipe by name: "ann", "t5", "t3" and "t1", in eval mode."""
    data = load_digits_split()
    with _repeatable():
        ann = vgg_ann()
        fit(ann, data, timesteps=1, epochs=15, learning_rate=3e-3, tell=lambda f: tell("VGG: ANN", 0.1 * f))
        # Eq. 2 of the paper: the leak does not act on what the reset takes away.
        model = snn.replace_relu(
            snn.fuse_batchnorm(ann),
            lambda: snn.LIF(1.0, 1.0, leaky_reset=False, learn_threshold=True, learn_leak=True),
        )
        snn.set_thresholds(model, data.train_x, percentile=90.0)
        models: dict[str, nn.Module] = {"ann": ann}
        for timesteps, epochs, begin, end in ((5, 20, 0.1, 0.6), (3, 15, 0.6, 0.85), (1, 40, 0.85, 1.0)):
            what = f"VGG: SNN, T = {timesteps}"
            fit(
                model,
                data,
                timesteps=timesteps,
                epochs=epochs,
                learning_rate=1e-3,
                tell=lambda f, what=what, begin=begin, end=end: tell(what, begin + (end - begin) * f),
            )
            models[f"t{timesteps}"] = copy.deepcopy(model)
    return models


# -------------------------------------------------------------------------------------------------- residual net, T = 4


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut, which meet in the second neuron."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.lif1 = _residual_neuron()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.lif2 = _residual_neuron()

    def forward(self, x: Tensor) -> Tensor:
        y = self.lif1(self.bn1(self.conv1(x)))
        return self.lif2(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """Stem 12, a block of 12, a block of 24 at half the size, average pooling, linear 10."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = snn.DirectEncoder(limit=1.0)
        self.conv = nn.Conv2d(1, 12, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(12)
        self.lif = _residual_neuron()
        self.block1 = BasicBlock(12, 12)
        self.block2 = BasicBlock(12, 24, stride=2)
        self.pool = nn.AvgPool2d(2)
        self.fc = nn.Linear(96, 10)
        self.readout = snn.Readout()

    def forward(self, x: Tensor) -> Tensor:
        x = self.lif(self.bn(self.conv(self.encoder(x))))
        x = self.pool(self.block2(self.block1(x)))
        return self.readout(self.fc(x.flatten(1)))


def _residual_neuron() -> snn.LIF:
    return snn.LIF(1.0, 0.9, learn_threshold=True, learn_leak=True, surrogate=snn.LinearSurrogate(0.5))


def train_resnet(tell: Tell = lambda _what, _fraction: None) -> nn.Module:
    """The residual network, trained at T = 4, in eval mode."""
    data = load_digits_split()
    with _repeatable():
        model = ResNet()
        fit(
            model,
            data,
            timesteps=4,
            epochs=50,
            learning_rate=1e-2,
            weight_decay=1e-2,
            tell=lambda f: tell("ResNet: SNN, T = 4", f),
        )
    return model


@contextmanager
def _repeatable() -> Iterator[None]:
    """Fixed seed, deterministic algorithms and one thread within; all as they were, after.

    One thread because the number of threads decides the order of sums, and because nets this small gain little from
    more.
    """
    deterministic, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        torch.use_deterministic_algorithms(True)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic)
            torch.set_num_threads(threads)


# --------------------------------------------------------------------------------------------------------------- script


def main() -> None:
    parser = argparse.ArgumentParser(description="Train spiking networks on 8 x 8 digits and save them.")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the checkpoints go")
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    data = load_digits_split()

    columns = (TextColumn("{task.description:<20}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    steps = {"ann": 1, "t5": 5, "t3": 3, "t1": 1, "resnet": 4}
    with Progress(*columns, TimeElapsedColumn()) as bar:

        def timed(recipe: Callable[[Tell], _Trained]) -> tuple[_Trained, float]:
            task = bar.add_task("", total=1.0)
            begun = time.perf_counter()
            trained = recipe(lambda what, fraction: bar.update(task, description=what, completed=fraction))
            return trained, time.perf_counter() - begun

        models, vgg_seconds = timed(train_vgg)
        models["resnet"], resnet_seconds = timed(train_resnet)

    for name, model in models.items():
        right = accuracy(model, data.test_x, data.test_y, steps[name])
        rate = "" if name == "ann" else f", {spike_rate(model, data.test_x, steps[name]):.3f} spikes/neuron/step"
        print(f"{name:<7} T = {steps[name]}  held-out accuracy {100 * right:.2f} %{rate}")
    print(f"trained in {vgg_seconds:.0f} s (VGG) and {resnet_seconds:.0f} s (ResNet)")

    for file, name in (("vgg-t5", "t5"), ("vgg-t1", "t1"), ("resnet-t4", "resnet")):
        snn.save(
            models[name],
            folder / f"{file}.pt",
            timesteps=steps[name],
            input_shape=INPUT_SHAPE,
            sample_input=data.train_x[:CALIBRATION],
            metadata={
                "dataset": "scikit-learn digits, 8 x 8, 1437 for training, 360 held out",
                "held_out_accuracy": accuracy(models[name], data.test_x, data.test_y, steps[name]),
            },
        )


if __name__ == "__main__":
    main()
