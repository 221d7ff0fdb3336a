"""The papers' figures, from the shapes of their networks and the rates that they state."""

from __future__ import annotations

import numpy as np
import pytest
from costs_cases import activity, chip, mapped, tiny

from neurocompile.costs.ann_memory import AnnMemory, ann_memory
from neurocompile.costs.baselines import (
    DenseAccesses,
    Prices,
    ann_energy_pj,
    ann_layers,
    papers_account,
    papers_account_of,
)
from neurocompile.hardware import load_profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import (
    Conv2d,
    DirectEncoder,
    Flatten,
    Input,
    Linear,
    Node,
    Readout,
    SumPool2d,
    Threshold,
)
from neurocompile.mapping import map_graph

FP32 = Prices(4.6, 0.9, "cmos45-fp32", "derived")
VGG16 = (64, 64, "A", 128, 128, "A", 256, 256, 256, "A", 512, 512, 512, "A", 512, 512, 512)


def vgg16(side: int, classes: int) -> Graph:
    """The VGG16 of the one-step paper, A.2.1: four poolings, then 4096, 4096 and the classes. Weights are not there."""
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=(3, side, side)), ()),
        ("encoder", DirectEncoder(), ("input",)),
    ]
    channels, last = 3, "encoder"

    def add(name: str, node: Node) -> None:
        nonlocal last
        nodes.append((name, node, (last,)))
        last = name

    def empty(*shape: int) -> np.ndarray:
        return np.broadcast_to(np.float32(0), shape)

    for index, width in enumerate(VGG16):
        if width == "A":
            side //= 2
            add(f"pool{index}", SumPool2d(kernel=(2, 2), stride=(2, 2)))
            continue
        add(f"conv{index}", Conv2d(weight=empty(int(width), channels, 3, 3), padding=(1, 1)))
        add(f"spike{index}", Threshold(threshold=np.array(1.0)))
        channels = int(width)
    add("flat", Flatten())
    size = channels * side * side
    for index, width in enumerate((4096, 4096)):
        add(f"fc{index}", Linear(weight=empty(width, size)))
        add(f"fcspike{index}", Threshold(threshold=np.array(1.0)))
        size = width
    add("fc", Linear(weight=empty(classes, size)))
    add("out", Readout())
    return Graph("vgg16", "spiking", 1, nodes, ("out",))


@pytest.mark.parametrize(
    ("side", "classes", "rate", "published"), [(32, 10, 0.13, 33.0), (32, 100, 0.15, 29.24), (224, 1000, 0.18, 24.61)]
)
def test_alpha_of_one_step_vgg16(side: int, classes: int, rate: float, published: float) -> None:
    layers = ann_layers(vgg16(side, classes))
    assert [layer.analog for layer in layers] == [True] + [False] * 15
    rates = [None if layer.analog else rate for layer in layers]
    account = papers_account([layer.operations for layer in layers], rates, FP32)
    assert account.alpha == pytest.approx(published, rel=0.02)


def test_vgg16_operations() -> None:
    layers = ann_layers(vgg16(32, 10))
    assert layers[0].operations == 3 * 3 * 3 * 64 * 32 * 32
    assert sum(layer.operations for layer in layers) == 338_403_328


@pytest.mark.parametrize("classes", [10, 100])
def test_memory_accesses_saved_by_one_step(classes: int) -> None:
    """The paper says 5.03 times fewer than at T = 5. That is what fetching gives: weights at five steps, membranes at
    the four that come after another. An access of each membrane at all five would round to 5.04; reading and writing
    it at each, to 5.07."""
    dense = DenseAccesses.of(vgg16(32, classes))
    assert round(dense.fetches_saved_by_one_step(5), 2) == 5.03
    assert dense.fetches_at(5) == 5 * dense.weights + 4 * dense.neurons
    assert round((5 * dense.weights + 5 * dense.neurons) / dense.weights, 2) == 5.04
    assert round(dense.saved_by_one_step(5), 2) == 5.07
    assert dense.saved_by_one_step(1) == dense.fetches_saved_by_one_step(1) == 1
    assert dense.at(1) == dense.fetches_at(1) == dense.weights
    if classes == 10:
        assert (dense.weights, dense.neurons) == (39_917_248, 284_682)


@pytest.mark.parametrize(
    ("additions", "multiplications", "published"),
    [
        (2285e6, 2285e6, 12.6e3),  # J in the paper; the others are in mJ
        (247e6, 247e6, 1.35e3),
        (251e6, 251e6, 1.38e3),
        (142e6, 8.80e6, 168),
        (360e6, 6.80e6, 355),
        (132e6, 2.14e6, 128),
        (79e6, 5.31e6, 96),
    ],
)
def test_energies_of_the_general_one_step_paper(additions: float, multiplications: float, published: float) -> None:
    """Its Table 2: 0.9 pJ per addition and 4.6 per multiplication, though 4.6 already has the addition of a MAC in it.

    Its units are a thousand times too large: 142 million additions of 0.9 pJ are 128 uJ, and not mJ; what it writes as
    168 mJ and 12.6 J are 168 uJ and 12.6 mJ. Millions times picojoules are microjoules.
    """
    microjoules = FP32.energy_pj(macs=multiplications, additions=additions) / 1e6
    assert microjoules == pytest.approx(published, rel=0.01)


def test_integer_prices_of_the_hybrid_encoding_paper() -> None:
    """Its Table IV: a 32-bit multiplication of 3.1 pJ and an addition of 0.1 make a MAC of 3.2, 32 times an AC."""
    prices = Prices.of(load_profile("cmos45-int32"))
    assert prices.mac_energy_pj == pytest.approx(3.1 + 0.1)
    assert prices.add_energy_pj == pytest.approx(0.1)
    assert prices.mac_energy_pj / prices.add_energy_pj == pytest.approx(32)


def test_energies_of_the_hybrid_encoding_paper() -> None:
    """Eqs. 24 and 25 on the VGG16: MACs in the first layer, since analog pixels enter at one step only, and ACs in the
    others, as many as the ANN's operations times the spikes per neuron."""
    prices = Prices.of(load_profile("cmos45-int32"))
    operations = [layer.operations for layer in ann_layers(vgg16(32, 10))]
    rates = [None, *np.linspace(0.4, 0.05, len(operations) - 1)]
    account = papers_account(operations, rates, prices)
    assert account.ann_energy_pj == pytest.approx(338_403_328 * 3.2)
    first, *rest = operations
    accumulated = sum(rate * each for rate, each in zip(rates[1:], rest, strict=True))
    assert account.snn_energy_pj == pytest.approx(first * 3.2 + accumulated * 0.1)
    # a mean rate below one cannot cost less than the first layer alone, which is where their factor of 70 to 125 ends
    assert papers_account(operations, [None] + [0.0] * len(rest), prices).alpha == pytest.approx(338_403_328 / first)
    assert 70 < (account.alpha or 0) < 338_403_328 / first


def test_prices_come_from_the_profile_or_from_the_standard() -> None:
    assert Prices.of(chip()).profile == "cmos45-fp32"
    own = {"value": 2, "unit": "pJ", "basis": "measured", "source": "made up"}
    prices = Prices.of(chip(ops__mac_energy_pj=own, ops__add_energy_pj=own))
    assert (prices.profile, prices.mac_energy_pj, prices.basis) == ("toy", 2, "measured")


def test_measured_network() -> None:
    graph = tiny()
    seen = activity(graph)
    account = papers_account_of(graph, seen, FP32)
    # the first layer multiplies its 6 weights at both steps; hidden rate: 2 spikes of 3 neurons in 2 samples
    assert account.macs == 12
    assert account.additions == pytest.approx(6 * 2 / 3 / 2)
    assert account.ann_energy_pj == pytest.approx(12 * 4.6)
    assert account.alpha == pytest.approx(12 * 4.6 / (12 * 4.6 + 2 * 0.9))
    assert ann_energy_pj([layer.operations for layer in ann_layers(graph)], FP32) == account.ann_energy_pj
    dense = DenseAccesses.of(graph)
    assert (dense.weights, dense.neurons) == (12, 5)
    assert dense.at(2) == 2 * (12 + 2 * 5)
    assert dense.fetches_at(2) == 2 * 12 + 5


def test_memory_of_the_ann_by_hand() -> None:
    """2 inputs, 3 neurons, 2 outputs at 4 bits in words of 16, with a header of 4 per list."""
    graph, profile = mapped(tiny()), chip()
    memory = ann_memory(graph, map_graph(graph, profile), profile)
    # hidden has a list for each of 2 inputs, the outputs one for each of 3: once, though an input comes in two bits;
    # 3 values of 8 bits are two words, which the outputs read; 2 are one word, which nobody reads
    assert memory == AnnMemory(2 + 3, 2, 2 + 1, 5 * 0.25 + 2 * 0.5 + 3 * 0.75)
    within = chip(memory__0__energy_in_events=True)
    assert ann_memory(graph, map_graph(graph, within), within) == AnnMemory(5, 2, 3, None)
    small = chip(memory__1__size_words={"value": 1, "unit": "words", "basis": "assumed", "source": "made up"})
    assert ann_memory(graph, map_graph(graph, small), small) is None


def test_grouped_convolutions_count_their_own_inputs_only() -> None:
    graph = Graph(
        "grouped",
        "spiking",
        1,
        [
            ("input", Input(shape=(4, 8, 8)), ()),
            ("encoder", DirectEncoder(), ("input",)),
            ("conv", Conv2d(weight=np.zeros((6, 2, 3, 3)), groups=2), ("encoder",)),
            ("out", Readout(), ("conv",)),
        ],
        ("out",),
    )
    (layer,) = ann_layers(graph)
    assert layer.operations == 3 * 3 * 4 // 2 * 6 * 6 * 6
