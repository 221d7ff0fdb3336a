"""Spike counts and the papers' energies, with numbers by hand and with those that the papers print."""

import pytest
import torch
from snn_nets import ResNet, settled
from torch import nn

from neurocompile import snn
from neurocompile.errors import GraphError, InputError
from neurocompile.snn import efficiency


def small() -> nn.Sequential:
    return nn.Sequential(
        snn.DirectEncoder(),
        nn.Conv2d(2, 4, 3, padding=1, groups=2, bias=False),
        nn.BatchNorm2d(4),
        snn.LIF(0.1, 0.9),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 6, (1, 3), stride=2),
        snn.LIF(0.1),
        snn.TimeConstantDropout(0.1),
        nn.Flatten(),
        nn.Linear(6 * 2 * 1, 5),
        snn.LIF(0.1),
        nn.Linear(5, 3),
        snn.TimedReadout(),
    )


def test_operations_by_hand() -> None:
    """Of 2 x 8 x 8 pixels. The second convolution makes 6 x 2 x 1 of 4 x 4 x 4."""
    model = small().train()
    assert efficiency.count_operations(model, (2, 8, 8)) == (
        snn.LayerOperations("1", 3 * 3 * 1 * 8 * 8 * 4, ()),
        snn.LayerOperations("5", 1 * 3 * 4 * 2 * 1 * 6, ("3",)),
        snn.LayerOperations("9", 12 * 5, ("6",)),
        snn.LayerOperations("11", 5 * 3, ("10",)),
    )
    assert model.training
    assert not model[1]._forward_hooks


class Joined(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = snn.PoissonEncoder()
        self.first, self.lif = nn.Linear(4, 4), snn.LIF(0.3)
        self.shared, self.lif2 = nn.Linear(4, 4), snn.LIF(0.3)
        self.plain = nn.Linear(4, 6, bias=False)
        self.behind = nn.Linear(6, 3)
        self.back = snn.Recurrent(snn.LIF(0.3), nn.Linear(3, 3))
        self.single = snn.OneToOne(torch.ones(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.encoder(x)
        y = self.lif(self.first(x))
        z = self.lif2(self.shared(y) + self.shared(x))
        return self.single(self.back(self.behind(self.plain(y + z))))


def test_operations_where_layers_join_repeat_and_return() -> None:
    found = efficiency.count_operations(Joined(), (4,))
    assert {layer.name: (layer.operations, layer.sources) for layer in found} == {
        "first": (16, ("encoder",)),
        "shared": (16, ("lif",)),
        "shared@2": (16, ("encoder",)),
        "plain": (24, ("lif", "lif2")),
        "behind": (18, ()),
        "back.connection": (9, ("back.neuron",)),
        "single": (3, ("back.neuron",)),
    }
    spikes = {"encoder": 0.5, "lif": 0.25, "lif2": 1.0, "back.neuron": 2.0}
    prices = snn.OperationEnergy(10.0, 1.0)
    additions = 16 * 0.5 + 16 * 0.25 + 16 * 0.5 + 24 * 1.25 + 9 * 2 + 3 * 2
    assert snn.snn_energy_pj(found, spikes, prices) == 180 + additions
    assert snn.ann_energy_pj(found, prices) == 10 * (16 * 3 + 24 + 18 + 9 + 3)


def test_counts_are_those_of_recorded_spikes() -> None:
    model, x = settled(ResNet()), torch.rand(5, 1, 8, 8)
    recorded = snn.record_spikes(model, x, 4)
    counts = snn.count_spikes(model, x, 4)
    assert counts.per_neuron == {
        name: pytest.approx(float((s != 0).sum()) / (5 * s[0, 0].numel())) for name, s in recorded.items()
    }
    assert counts.per_step == {name: pytest.approx(float((s != 0).float().mean())) for name, s in recorded.items()}
    hidden = [s for name, s in recorded.items() if name != "encoder"]
    assert counts.mean == pytest.approx(sum(int(s.sum()) for s in hidden) / sum(5 * s[0, 0].numel() for s in hidden))
    assert (counts.samples, counts.timesteps) == (5, 4)
    assert not model.encoder._forward_hooks
    direct = small().eval()
    parts = snn.count_spikes(direct, torch.rand(7, 2, 8, 8).split(3), 2)
    assert list(parts.spikes) == list(parts.hidden) == ["3", "6", "10"]
    assert parts.samples == 7


def test_energies_by_hand() -> None:
    """Eqs. 24 and 25 of Datta et al. and Eq. 4 of IIR-SNN of three layers of 100, 200 and 50 operations."""
    layers = [
        snn.LayerOperations("conv1", 100, ()),
        snn.LayerOperations("conv2", 200, ("neuron1",)),
        snn.LayerOperations("linear3", 50, ("neuron2",)),
    ]
    spikes = {"neuron1": 0.5, "neuron2": 0.25}
    assert snn.ann_energy_pj(layers, snn.INT32_45NM) == pytest.approx(350 * 3.2)
    assert snn.snn_energy_pj(layers, spikes, snn.INT32_45NM) == pytest.approx(100 * 3.2 + (100 + 12.5) * 0.1)
    assert snn.snn_energy_pj(layers, spikes, snn.INT32_45NM, input_spikes=1) == pytest.approx(
        100 * 3.2 + (100 + 100 + 12.5) * 0.1
    )
    assert snn.energy_ratio(layers, spikes) == pytest.approx(350 * 4.6 / (100 * 4.6 + 112.5 * 0.9))


@pytest.mark.parametrize(
    ("side", "classes", "rate", "published"), [(32, 10, 0.13, 33.0), (32, 100, 0.15, 29.24), (224, 1000, 0.18, 24.61)]
)
def test_alpha_of_vgg16_is_the_published_one(side: int, classes: int, rate: float, published: float) -> None:
    """IIR-SNN prints the mean spike rates; at these in every layer, Eq. 4 comes within 2 % of what the paper has from
    the rates of each layer."""
    with torch.device("meta"):
        model = snn.models.vgg16((3, side, side), classes)
    layers = snn.count_operations(model, (3, side, side))
    assert len(layers) == 16
    alpha = snn.energy_ratio(layers, {name: rate for layer in layers for name in layer.sources})
    assert alpha == pytest.approx(published, rel=0.02)


def test_hybrid_input_is_multiplied_once_and_then_added_up() -> None:
    model = nn.Sequential(snn.HybridEncoder(4), nn.Linear(6, 5), snn.LIF(0.2), nn.Linear(5, 3), snn.Readout()).eval()
    counts, layers = snn.count_spikes(model, torch.rand(7, 6), 4), snn.count_operations(model, (6,))
    assert counts.per_neuron["0"] == 1  # a spike for each value, which the values themselves are not
    assert counts.hidden == ("2",)
    assert layers == (snn.LayerOperations("1", 30, ("0",), hybrid=True), snn.LayerOperations("3", 15, ("2",)))
    energy = snn.snn_energy_pj(layers, {"0": 1.0, "2": 0.5}, snn.INT32_45NM)
    assert energy == pytest.approx(30 * 3.2 + 30 * 0.1 + 15 * 0.5 * 0.1)
    outside = [snn.LayerOperations("1", 30, ()), layers[1]]
    assert energy == pytest.approx(snn.snn_energy_pj(outside, {"2": 0.5}, snn.INT32_45NM, input_spikes=1))


def test_frequencies_have_no_account_of_their_own() -> None:
    weights = (nn.Flatten(), nn.Linear(16, 3), snn.Readout())
    signed = nn.Sequential(snn.DctEncoder(4), snn.IF(0.1, spikes="signed"), *weights)
    assert snn.count_operations(signed, (1, 4, 4)) == (snn.LayerOperations("3", 48, ("1",)),)
    with pytest.raises(GraphError, match="0: sends other values at every step, which the papers' account has no mult"):
        snn.count_operations(nn.Sequential(snn.DctEncoder(4), *weights), (1, 4, 4))


def test_refusals() -> None:
    layers = [snn.LayerOperations("conv2", 200, ("neuron1",))]
    with pytest.raises(
        InputError, match="conv2: no spikes were counted of its source neuron1; count those of this model"
    ):
        snn.energy_ratio(layers, {"neuron2": 1.0})
    with pytest.raises(InputError, match="samples: there are none to count the spikes of"):
        snn.count_spikes(small(), torch.rand(0, 2, 8, 8), 2)
    with pytest.raises(InputError, match="timesteps is 0; give a whole number of steps"):
        snn.count_spikes(small(), torch.rand(1, 2, 8, 8), 0)
    with pytest.raises(GraphError, match="Sequential: has no LIF layers whose spikes to count; give a spiking network"):
        snn.count_spikes(nn.Sequential(nn.ReLU()), torch.rand(1, 2), 2)
