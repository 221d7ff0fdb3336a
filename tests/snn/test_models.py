import copy
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from neurocompile import driver, snn
from neurocompile.errors import GraphError, InputError
from neurocompile.hardware.target import load_target
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import Neuron, Threshold
from neurocompile.passes.base import PassManager
from neurocompile.passes.quantize import Quantize
from neurocompile.program import Options
from neurocompile.snn import models
from tests.tracing import from_module

NARROW = 1 / 16
EVERY = [
    *(pytest.param(partial(models.vgg, layers), id=f"vgg{layers}") for layers in models.VGG_LAYERS),
    *(pytest.param(partial(models.resnet, layers), id=f"resnet{layers}") for layers in models.RESNET_BLOCKS),
]


def pictures(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(7))


def weights(model: nn.Module) -> int:
    """Parameters apart from the thresholds and leaks of the neurons."""
    layers = (module for module in model.modules() if not isinstance(module, snn.LIF))
    return sum(value.numel() for layer in layers for value in layer.parameters(recurse=False))


# Numbers of weights: input channels x output channels, summed, times 9 for 3 x 3 kernels; nothing has a bias.
# VGG16:   3*64 + 64*64 + 64*128 + 128*128 + 128*256 + 2*256*256 + 256*512 + 5*512*512 = 1,634,496
VGG16 = 9 * 1_634_496
# VGG5, 6: 3*64 + 64*128 + 128*128 = 24,768
VGG6 = 9 * 24_768
# VGG9:    3*64 + 64*128 + 128*256 + 256*256 + 256*512 + 2*512*512 = 762,048
VGG9 = 9 * 762_048
# VGG11:   3*64 + 64*128 + 128*256 + 256*512 + 4*512*512 = 1,220,800
VGG11 = 9 * 1_220_800
# Behind n neurons: n*4096 + 4096*4096 + 4096*classes. Four poolings leave 2 x 2 of 32 x 32, VGG6's two leave 8 x 8.
HIDDEN = 4096 * 4096
# A stage of n blocks from c to 2c channels: 9*2c*2c for 2n - 1 convolutions, 9*c*2c for the first and c*2c for its
#   shortcut = 2*c*c * (18*(2n - 1) + 10). The first stage has 64 channels throughout, so 2n * 9*64*64.
STEM = 9 * (3 * 64 + 2 * 64 * 64)
FIRST = 2 * 9 * 64 * 64


def stage(channels: int, blocks: int) -> int:
    return 2 * channels * channels * (18 * (2 * blocks - 1) + 10)


SIZES: dict[str, tuple[Callable[..., nn.Module], tuple[int, int, int], int, int, int]] = {
    "vgg5": (models.vgg5, (3, 32, 32), 10, VGG6 + 8192 * 4096 + HIDDEN + 40_960, 5),
    "vgg6": (models.vgg6, (3, 32, 32), 10, VGG6 + 8192 * 4096 + HIDDEN + 40_960, 5),
    "vgg9": (models.vgg9, (3, 32, 32), 10, VGG9 + 2048 * 4096 + HIDDEN + 40_960, 9),
    "vgg11": (models.vgg11, (3, 32, 32), 100, VGG11 + 2048 * 4096 + HIDDEN + 409_600, 10),
    "vgg16": (models.vgg16, (3, 32, 32), 10, VGG16 + 2048 * 4096 + HIDDEN + 40_960, 15),  # 39,917,248 in all
    # a fifth pooling leaves 7 x 7 of 224 x 224: the 138,357,544 parameters of the known VGG16, less 13,416 biases
    "vgg16, 224": (models.vgg16, (3, 224, 224), 1000, 138_357_544 - 13_416, 15),
    # one pooling and, from the second stage on, halved: 8 x 8 after two stages, 2 x 2 after four
    "resnet8": (models.resnet8, (3, 32, 32), 10, STEM + FIRST + stage(64, 1) + 128 * 64 * 10, 7),
    "resnet12": (
        models.resnet12,
        (3, 32, 32),
        10,
        STEM + FIRST + stage(64, 1) + stage(128, 1) + stage(256, 1) + 20_480,
        11,
    ),
    # 75,456 + 147,456 + 524,288 + 2,097,152 + 8,388,608 + 20,480
    "resnet20": (models.resnet20, (3, 32, 32), 10, 11_253_440, 19),
    # 112 x 112 after the stem, 14 x 14 after four stages, pooled to 7 x 7
    "resnet34, 224": (
        models.resnet34,
        (3, 224, 224),
        1000,
        STEM + 3 * FIRST + stage(64, 4) + stage(128, 5) + stage(256, 3) + 25_088_000,
        33,
    ),
}


@pytest.mark.parametrize("name", SIZES)
def test_shapes_and_sizes(name: str) -> None:
    make, shape, classes, expected, neurons = SIZES[name]
    with torch.device("meta"):  # counted, not computed
        model = make(shape, classes).eval()
        assert model(torch.empty(2, *shape)).shape == (2, classes)
    assert weights(model) == expected
    assert sum(isinstance(module, snn.LIF) for module in model.modules()) == neurons


def test_the_layers_of_vgg16_in_order() -> None:
    with torch.device("meta"):
        names = [name for name, _ in models.vgg16(batch_norm=True).named_children()]
    assert " ".join(names[:11]) == "encoder conv1 norm1 neuron1 dropout1 conv2 norm2 neuron2 pool2 conv3 norm3"
    assert " ".join(names[-8:]) == "linear14 neuron14 dropout14 linear15 neuron15 dropout15 linear16 readout"
    with torch.device("meta"):
        large = models.vgg16((3, 224, 224), dropout=0.0)
    assert [name for name, module in large.named_modules() if isinstance(module, nn.AvgPool2d)] == [
        "pool2",
        "pool4",
        "pool7",
        "pool10",
        "pool",
    ]
    assert not any(isinstance(module, snn.TimeConstantDropout) for module in large.modules())


def test_layers_of_ones_own() -> None:
    names = [name for name, _ in models.vgg("8 8 A 16 D 16 A | 24 D", (1, 8, 8), 3).named_children()]
    assert " ".join(names[:9]) == "encoder conv1 neuron1 conv2 neuron2 pool2 conv3 neuron3 dropout3"
    assert " ".join(names[9:]) == "conv4 neuron4 pool4 flatten linear5 neuron5 dropout5 linear6 readout"
    assert [*models.vgg("8 |", (1, 8, 8), 3).named_children()][-2][1].in_features == 8 * 8 * 8


def test_a_block_halves_the_map_where_the_channels_grow() -> None:
    model = models.resnet20(width=NARROW)
    strides = [block.conv1.stride[0] for block in model if isinstance(block, models.BasicBlock)]
    assert strides == [1, 1, 2, 1, 2, 1, 2, 1]
    shortcuts = [type(block.shortcut) for block in model if isinstance(block, models.BasicBlock)]
    assert [kind is nn.Sequential for kind in shortcuts] == [stride == 2 for stride in strides]


def test_choices_of_the_caller() -> None:
    model = models.vgg6(
        (1, 16, 16),
        3,
        neuron=partial(snn.LIF, 1.0, 0.99, order="fire_first", leaky_reset=False),
        encoder=snn.PoissonEncoder(seed=3),
        dropout=0.4,
        width=NARROW,
    )
    assert isinstance(model.encoder, snn.PoissonEncoder)
    assert isinstance(model.dropout4, snn.TimeConstantDropout)
    assert model.dropout4.p == 0.4
    assert model.conv1.weight.shape == (4, 1, 3, 3)
    assert model.linear4.out_features == 256
    assert all(layer.order == "fire_first" for layer in model.modules() if isinstance(layer, snn.LIF))
    assert model.neuron1 is not model.neuron2
    assert models.vgg6(width=1e-6).conv1.out_channels == 1


# ------------------------------------------------------------------------------------------------- the ANN and back


@pytest.mark.parametrize("make", [models.vgg6, models.resnet8])
def test_the_ann_becomes_spiking(make: Callable[..., nn.Module]) -> None:
    ann = models.seeded(make((3, 16, 16), neuron=nn.ReLU, batch_norm=True, width=NARROW), 0)
    x = pictures(16, 3, 16, 16)
    snn.run(ann.train(), x, 1)  # statistics of the norms
    assert any(isinstance(module, nn.BatchNorm2d) for module in ann.modules())
    spiking = snn.replace_relu(snn.fuse_batchnorm(ann.eval()), models.default_neuron)
    assert sum(isinstance(module, snn.LIF) for module in spiking.modules()) == sum(
        isinstance(module, nn.ReLU) for module in ann.modules()
    )
    assert set(snn.set_thresholds(spiking, x, 90)) == set(models.tune_rates(spiking, x, 1, 0.2))


@pytest.mark.parametrize("make", [models.vgg6, models.resnet8])
def test_plain_ann_is_torch_alone_and_computes_what_the_relu_form_does(make: Callable[..., nn.Module]) -> None:
    x = pictures(2, 3, 16, 16)
    model = models.seeded(make((3, 16, 16), width=NARROW), 1).train()
    plain = models.plain_ann(model)
    ours = {type(module) for module in plain.modules() if not type(module).__module__.startswith("torch.")}
    assert ours <= {models.BasicBlock}
    assert all(module.training for module in plain.modules())
    assert any(isinstance(module, nn.Dropout) and module.p == 0.2 for module in plain.modules())
    relus = models.seeded(make((3, 16, 16), neuron=nn.ReLU, width=NARROW), 1).eval()
    expected = snn.run(relus, x, 1)
    assert torch.equal(plain.eval()(x), expected)
    assert torch.equal(plain(x), expected)  # nothing is kept
    assert any(isinstance(module, snn.LIF) for module in model.modules())  # the original stays


# ------------------------------------------------------------------------------------------------------------ weights


def test_seeded_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    one = models.resnet8((3, 16, 16), width=NARROW, batch_norm=True)
    torch.manual_seed(2)
    other = models.resnet8((3, 16, 16), width=NARROW, batch_norm=True)
    nn.init.constant_(other.norm1.running_mean, 5.0)
    state = torch.get_rng_state()
    assert models.seeded(one, 3) is one
    models.seeded(other, 3)
    assert torch.equal(torch.get_rng_state(), state)
    first, second = one.state_dict(), other.state_dict()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    kept = copy.deepcopy(first)
    models.seeded(one, 4)
    changed = {name for name, value in one.state_dict().items() if not torch.equal(value, kept[name])}
    layers = dict(one.named_modules())
    assert changed == {f"{name}.weight" for name in layers if isinstance(layers[name], nn.Conv2d | nn.Linear)}


def test_seeded_weights_have_the_variance_of_he_et_al() -> None:
    model = models.seeded(nn.Sequential(nn.Conv2d(8, 64, 3), nn.Linear(200, 300)), 0)
    assert model[0].weight.var().item() == pytest.approx(2 / 72, rel=0.1)
    assert model[1].weight.var().item() == pytest.approx(2 / 200, rel=0.05)
    assert not model[0].bias.any()
    assert not model[1].bias.any()


@pytest.mark.parametrize("seed", [-1, 1 << 63, 1.0, True])
def test_seeded_refuses(seed: Any) -> None:
    with pytest.raises(InputError, match=r"seed is .*, limit 0 to 2\*\*63 - 1; give such an integer"):
        models.seeded(nn.Linear(1, 1), seed)


# -------------------------------------------------------------------------------------------------------- spike rates


def measured(model: nn.Module, x: Tensor, timesteps: int) -> dict[str, float]:
    spikes = snn.record_spikes(model, x, timesteps)
    neurons = [name for name in spikes if isinstance(model.get_submodule(name), snn.LIF)]
    return {name: spikes[name].ne(0).float().mean().item() for name in neurons}


@pytest.mark.parametrize("timesteps", [1, 4])
@pytest.mark.parametrize("make", EVERY)
def test_every_layer_fires_at_the_wanted_rate(make: Callable[..., nn.Module], timesteps: int) -> None:
    model = models.seeded(make((3, 16, 16), width=NARROW), 0).eval()
    x = pictures(4, 3, 16, 16)
    rates = models.tune_rates(model, x, timesteps)
    found = measured(model, x, timesteps)
    assert list(rates) == list(found)
    assert found == pytest.approx(rates, abs=1e-3)
    assert all(rate == pytest.approx(0.13, abs=0.02) for rate in found.values())


@pytest.mark.parametrize(
    "choices",
    [
        {"order": "fire_first", "leaky_reset": False, "leak": 0.9},
        {"threshold": torch.ones(4), "spikes": "signed"},
        {"spikes": "graded", "max_payload": 3, "current_leak": 0.5},
        {"reset": "set", "compare": "at_or_above"},
        {"single_spike": True},
    ],
    ids=["fire first", "signed, per channel", "graded", "set", "single spike"],
)
def test_rates_of_other_neurons(choices: dict[str, Any]) -> None:
    model = nn.Sequential(
        snn.PoissonEncoder(0.8, 5), nn.Conv2d(1, 4, 3), snn.LIF(**choices), nn.Conv2d(4, 4, 3), snn.LIF(**choices)
    )
    models.seeded(model, 0).eval()
    x = pictures(4, 1, 12, 12)
    models.tune_rates(model, x, 6, 0.1)
    assert all(rate == pytest.approx(0.1, abs=0.01) for rate in measured(model, x, 6).values())
    thresholds = model[2].threshold
    assert (thresholds == thresholds.flatten()[0]).all()


def test_tuning_repeats_itself_and_leaves_the_rest_alone() -> None:
    model = models.seeded(models.vgg6((3, 16, 16), width=NARROW), 0).train()
    model.conv2.eval()
    x = pictures(4, 3, 16, 16)
    before = copy.deepcopy(model.state_dict())
    first = models.tune_rates(model, x, 3, 0.2)
    after = copy.deepcopy(model.state_dict())
    assert models.tune_rates(model, x, 3, 0.2) == first
    assert all(torch.equal(value, after[name]) for name, value in model.state_dict().items())
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        f"neuron{number}.threshold" for number in range(1, 6)
    }
    assert model.training
    assert model.dropout4.training
    assert not model.conv2.training
    assert model.neuron1.u is None


def two_layers() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(8, 50), snn.LIF(3.0), nn.Linear(50, 50), snn.LIF(5.0))
    models.seeded(model, 0)
    return model


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"rate": 0.0}, r"rate is 0.0, limit above 0 and below 1; give spikes per neuron and step, such as 0.13"),
        ({"rate": -0.1}, "rate is -0.1, limit above 0"),
        ({"rate": 1.0}, "rate is 1.0, limit above 0"),
        ({"rate": float("nan")}, "rate is nan, limit above 0"),
        ({"timesteps": 0}, "timesteps is 0; give a whole number of steps"),
        ({"samples": torch.ones(0, 8)}, r"samples: shape \(0, 8\), .* give finite samples"),
        ({"samples": torch.full((2, 8), torch.nan)}, r"samples: shape \(2, 8\), NaN or infinite"),
        # half of what a linear layer with weights of either sign gives is below 0
        ({"rate": 0.9}, r"1: no threshold makes it fire 0.9 times .*, the closest rate is 0\.[456]\d*; ask for less"),
        ({"samples": torch.zeros(2, 8)}, "1: its largest input is 0, limit above 0 and finite; give other weights"),
    ],
)
def test_tune_rates_refuses_and_changes_nothing(arguments: dict[str, Any], sentence: str) -> None:
    model = two_layers()
    with pytest.raises(InputError, match=sentence):
        models.tune_rates(**{"model": model, "samples": pictures(6, 8), "timesteps": 1, **arguments})
    assert model[1].threshold == 3
    assert model[3].threshold == 5


def test_a_refusal_at_the_second_layer_brings_the_first_threshold_back() -> None:
    model = two_layers().train()
    with torch.no_grad():
        model[2].weight.abs_().neg_()
    with pytest.raises(InputError, match="3: its largest input is -"):
        models.tune_rates(model, pictures(6, 8), 1)
    assert model[1].threshold == 3
    assert model[1].u is None
    assert model.training


def test_what_fires_before_it_integrates_never_fires_in_one_step() -> None:
    model = nn.Sequential(nn.Linear(8, 50), snn.LIF(order="fire_first"))
    with pytest.raises(InputError, match=r"1: no threshold .* closest rate is 0; .* more samples or time steps"):
        models.tune_rates(model, pictures(6, 8), 1)


def test_a_rate_between_two_jumps_is_refused() -> None:
    model = nn.Sequential(nn.Linear(8, 50, bias=False), snn.LIF())
    nn.init.ones_(model[0].weight)  # all neurons alike, and one sample
    with pytest.raises(InputError, match=r"closest rate is [01]; "):
        models.tune_rates(model, torch.ones(1, 8), 1)


def test_a_network_without_neurons_is_not_tuned() -> None:
    with pytest.raises(GraphError, match="Sequential: has no LIF layers to tune; put them in with replace_relu"):
        models.tune_rates(nn.Sequential(nn.Linear(2, 2)), torch.ones(1, 2), 1)


# ---------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: models.vgg(7), "vgg: layers is 7; choose one of 5, 6, 9, 11, 16, or list channels"),
        *(
            (partial(models.vgg, layers), re.escape(f"vgg: layers is {layers!r}; choose one of"))
            for layers in ("", "64", "A 8 | 8", "8 A A | 8", "8 D D | 8", "8 | A", "8 B | 8", "0 | 8", "8 | 8 | 8")
        ),
        (lambda: models.resnet(18), "resnet: layers is 18; choose one of 8, 12, 20, 34"),
        (lambda: models.vgg16((32, 32)), r"vgg16: input_shape is \(32, 32\); give \(channels, height, width\)"),
        (lambda: models.vgg16((3, 0, 32)), r"vgg16: input_shape is \(3, 0, 32\)"),
        (lambda: models.resnet20(classes=0), "resnet20: classes is 0; give a whole number of outputs"),
        (lambda: models.vgg6(width=0.0), "vgg6: width is 0.0; give a factor .* above 0, such as 0.25"),
        (lambda: models.vgg6(width=float("inf")), "vgg6: width is inf"),
        (lambda: models.vgg6(dropout=1.0), "TimeConstantDropout: p is 1.0"),
        (
            lambda: models.vgg16((3, 32, 15), width=NARROW),
            r"vgg16: input_shape \(3, 32, 15\) .* at pooling 4: 32 x 15, limit 16 x 16 at least; give larger pictures",
        ),
        (lambda: models.resnet8((3, 1, 8)), r"resnet8: .* at pooling 1: 1 x 8, limit 2 x 2 at least"),
    ],
)
def test_refused(make: Callable[[], nn.Module], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        make()


# ------------------------------------------------------------------------------------------------------- compilation


@pytest.mark.parametrize("timesteps", [1, 3])
@pytest.mark.parametrize("make", [models.vgg16, models.resnet20], ids=["vgg16", "resnet20"])
def test_lowering_and_quantizing(make: Callable[..., nn.Module], timesteps: int) -> None:
    model = models.seeded(make((3, 16, 16), width=NARROW), 0).eval()
    x = pictures(2, 3, 16, 16)
    models.tune_rates(model, x, timesteps)
    graph = from_module(model, (3, 16, 16), timesteps, "net")
    spiking = PassManager(driver.lowering(Options())).run(graph)
    integer = PassManager((Quantize(calibration=x.numpy()),)).run(spiking)
    stateless, kept = integer.of_kind(Threshold), integer.of_kind(Neuron)
    neurons = [name for name, module in model.named_modules() if isinstance(module, snn.LIF)]
    assert list(stateless if timesteps == 1 else kept) == neurons
    assert not (kept if timesteps == 1 else stateless)
    events = interpret(integer, x.numpy()).events
    assert all(0.01 < (events[name] != 0).mean() < 0.5 for name in neurons)


@pytest.mark.parametrize("make", [models.vgg6, models.resnet8])
def test_saved_and_compiled_for_a_chip(make: Callable[..., nn.Module], tmp_path: Path) -> None:
    model = models.seeded(make((1, 8, 8), width=NARROW), 0).eval()
    x = pictures(4, 1, 8, 8)
    models.tune_rates(model, x, 1)
    snn.save(model, tmp_path / "net.pt", timesteps=1, input_shape=(1, 8, 8), sample_input=x)
    rebuilt = snn.load(tmp_path / "net.pt").model
    program = driver.compile(rebuilt, x, timesteps=1, name="net")
    assert program.stateless
    assert program.mapping.cores >= 1
    assert program.target == load_target("loihi2-sim")
