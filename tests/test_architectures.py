"""Shapes of networks that other people train, small, each built to a program and verified on every engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurocompile import driver
from neurocompile.costs.estimate import estimate
from neurocompile.hardware.target import load_target
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import (
    AvgPool2d,
    BatchNorm,
    Concat,
    Conv2d,
    ConvTranspose2d,
    DirectEncoder,
    Flatten,
    Input,
    Linear,
    MaxPool2d,
    Neuron,
    Node,
    PadChannels,
    Readout,
    Reshape,
    Shape,
    Threshold,
)
from neurocompile.ir.populations import populations
from neurocompile.program import Options, Program
from neurocompile.verification import verify_program


class Network:
    """Layers one after another, with weights drawn so that about half of the neurons fire."""

    def __init__(self, shape: Shape) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[tuple[str, Node, tuple[str, ...]]] = []
        self.shapes: dict[str, Shape] = {}
        self.last = self.add("encoder", DirectEncoder(), self.add("input", Input(shape=shape)))

    def add(self, name: str, node: Node, *inputs: str) -> str:
        inputs = inputs or ((self.last,) if self.nodes else ())
        self.nodes.append((name, node, inputs))
        self.shapes[name] = node.output_shape(*(self.shapes[source] for source in inputs))
        self.last = name
        return name

    def weight(self, *shape: int) -> Any:
        fan_in = np.prod(shape[1:])
        return (self.rng.normal(size=shape) * 2 / np.sqrt(fan_in)).astype(np.float32)

    def conv(self, name: str, channels: int, kernel: tuple[int, int] = (3, 3), **fields: Any) -> str:
        weight = self.weight(channels, self.shapes[self.last][0], *kernel)
        padding = (kernel[0] // 2, kernel[1] // 2)
        return self.add(name, Conv2d(weight=weight, **{"padding": padding} | fields))

    def up(self, name: str, channels: int) -> str:
        weight = self.weight(self.shapes[self.last][0], channels, 2, 2)
        return self.add(name, ConvTranspose2d(weight=weight, bias=np.full(channels, 0.1), stride=(2, 2)))

    def norm(self, name: str) -> str:
        size = self.shapes[self.last][:1]
        return self.add(name, BatchNorm(gamma=self.rng.normal(1, 0.3, size), beta=self.rng.normal(0.2, 0.2, size),
                        mean=self.rng.normal(0, 0.1, size), variance=self.rng.uniform(0.5, 1, size), epsilon=1e-5)
                        )  # fmt: skip

    def lif(self, name: str) -> str:
        return self.add(name, Neuron(threshold=np.array(0.6), leak=np.array(0.9)))

    def classify(self, classes: int) -> None:
        self.add("flatten", Flatten())
        self.add("classify", Linear(weight=self.weight(classes, self.shapes["flatten"][0])))
        self.add("readout", Readout())

    def graph(self, name: str, timesteps: int) -> Graph:
        return Graph(name, "traced", timesteps, self.nodes, (self.last,))


def densenet() -> Network:
    """Batch norm and neuron before each convolution, whose spikes go beside those before it."""
    net = Network((2, 6, 6))
    net.conv("stem", 4)
    features = net.lif("stem.lif")
    for number in range(3):
        net.last = features
        net.norm(f"block{number}.norm")
        net.lif(f"block{number}.lif")
        net.conv(f"block{number}.conv", 3)
        grown = net.lif(f"block{number}.grown")
        features = net.add(f"block{number}.cat", Concat(), features, grown)
    net.norm("transition.norm")
    net.conv("transition.conv", 4, (1, 1))
    net.add("transition.pool", AvgPool2d(kernel=(2, 2), stride=(2, 2)))
    net.lif("transition.lif")
    net.classify(3)
    return net


def unet() -> Network:
    """An encoder with max pools, a decoder that grows again and reads the encoder's spikes beside its own."""
    net = Network((1, 8, 8))
    net.conv("down1", 3)
    net.norm("down1.norm")
    one = net.lif("down1.lif")
    net.add("pool1", MaxPool2d(kernel=(2, 2), stride=(2, 2)))
    net.conv("down2", 4)
    two = net.lif("down2.lif")
    net.add("pool2", MaxPool2d(kernel=(2, 2), stride=(2, 2)))
    net.conv("middle", 5)
    net.lif("middle.lif")
    for name, channels, skip in (("up2", 4, two), ("up1", 3, one)):
        net.up(name, channels)
        net.norm(f"{name}.norm")
        net.lif(f"{name}.lif")
        net.add(f"{name}.cat", Concat(), f"{name}.lif", skip)
        net.conv(f"{name}.conv", channels)
        net.lif(f"{name}.out")
    net.conv("mask", 2, (1, 1))
    net.add("readout", Readout())
    return net


def one_dimensional() -> Network:
    """What importers make of Conv1d and MaxPool1d: maps of one row, between neurons of (channels, length)."""
    net = Network((3, 16))
    for number, channels in enumerate((4, 6)):
        net.add(f"row{number}", Reshape(shape=(net.shapes[net.last][0], 1, net.shapes[net.last][1])))
        net.conv(f"conv{number}", channels, (1, 4), padding=(0, 1), end_padding=(0, 1))
        net.norm(f"norm{number}")
        net.add(f"line{number}", Reshape(shape=(channels, net.shapes[net.last][2])))
        net.lif(f"lif{number}")
        length = net.shapes[net.last][1]
        net.add(f"wide{number}", Reshape(shape=(channels, 1, length)))
        net.add(f"pool{number}", MaxPool2d(kernel=(1, 2), stride=(1, 2)))
        net.add(f"narrow{number}", Reshape(shape=(channels, length // 2)))
    net.classify(4)
    return net


def vgg() -> Network:
    """The pool between convolution, batch norm and neuron, as ANNs have it; of one time step that is exact."""
    net = Network((2, 8, 8))
    for number, channels in enumerate((4, 6)):
        net.conv(f"conv{number}", channels)
        net.norm(f"norm{number}")
        net.add(f"pool{number}", MaxPool2d(kernel=(3, 3), stride=(2, 2), padding=(1, 1)))
        net.lif(f"lif{number}")
    net.classify(3)
    return net


def decoder() -> Network:
    """From a vector to an image."""
    net = Network((5,))
    net.add("fc", Linear(weight=net.weight(16, 5)))
    net.add("map", Reshape(shape=(4, 2, 2)))
    net.norm("norm")
    net.lif("lif")
    net.up("up", 3)
    net.lif("up.lif")
    net.up("end", 1)
    net.add("readout", Readout())
    return net


CASES = [(densenet, 3), (densenet, 1), (unet, 3), (one_dimensional, 4), (vgg, 1), (decoder, 2)]


@pytest.mark.parametrize(("make", "timesteps"), CASES)
def test_it_builds_and_every_engine_agrees(make: Any, timesteps: int, tmp_path: Path) -> None:
    graph = make().graph(make.__name__, timesteps)
    rng = np.random.default_rng(1)
    samples = rng.normal(0.3, 0.7, size=(3, *graph.shape("input")))
    program = driver.compile_graph(graph, load_target("loihi2-sim"), calibration=samples)
    report = verify_program(program, samples, quick=True)
    for name, engine in report["engines"].items():
        assert engine["state"] == "equal" or (name == "lava" and engine["state"] == "unavailable"), engine
    assert all(layer["agreement"] > 0.9 for layer in report["layers"])
    fired = [layer["name"] for layer in report["layers"] if layer["rate_float"] == 0]
    assert not fired
    run = driver.run(program, samples)
    assert estimate(program.mapped, program.mapping, run.activity, program.profile)
    program.save(tmp_path / "program")
    again = Program.load(tmp_path / "program")
    assert again.integer.hash == program.integer.hash
    driver.retarget(program, driver.load_profile("cmos45-int32"))


@pytest.mark.parametrize("bits", [1, 2, 8])
def test_a_max_pool_stays_an_or_when_thresholds_are_calibrated(bits: int) -> None:
    """Its threshold would otherwise make up for what the layers before it have lost."""
    graph = one_dimensional().graph("net", 4)
    samples = np.random.default_rng(0).normal(0.3, 0.7, size=(16, 3, 16))
    program = driver.compile_graph(
        graph, load_target("loihi2-sim"), calibration=samples, options=Options(bits=bits, quantizer="calibrated")
    )
    for population in populations(program.integer):
        if isinstance(population.soma, Threshold):
            (projection,) = population.projections
            assert (population.soma.threshold >= 0).all()
            assert (population.soma.threshold < projection.weighted.weight).all()


def test_what_the_passes_make_of_them() -> None:
    def integer(make: Any, timesteps: int) -> Graph:
        return driver.compile_graph(make().graph("net", timesteps), load_target("loihi2-sim")).integer

    dense = integer(densenet, 3)
    assert not dense.of_kind(Concat, BatchNorm)
    assert dense.of_kind(PadChannels)
    assert integer(unet, 3).of_kind(Threshold) == ["pool1", "pool2"]
    assert "lif0.unpooled" in integer(vgg, 1)
    assert integer(one_dimensional, 2).shape("lif1") == (6, 8)
    (up,) = (node for name, node in integer(decoder, 2).items() if name == "up")
    assert isinstance(up, Conv2d)
    assert up.upsample == (2, 2)
