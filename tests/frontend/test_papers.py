"""Checkpoints of the papers' own code: recognised by their keys, and the same spikes at every step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from neurocompile import snn
from neurocompile.errors import InputError
from neurocompile.frontend.checkpoint import read_checkpoint
from neurocompile.frontend.papers import VGG_LAYERS, read_papers, recognise
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import Array, AvgPool2d, BatchNorm, DirectEncoder, Input, Neuron, PoissonEncoder, Relu
from tests.frontend import papers_nets
from tests.frontend.papers_nets import Form, Net, document, simulate

FORMS: tuple[Form, ...] = ("hybrid", "old hybrid", "early diet", "learned")


def image(shape: tuple[int, ...], count: int = 2) -> Array:
    """Samples in eighths, from -1 to 1."""
    return np.random.default_rng(3).integers(-8, 9, size=(count, *shape)) / 8


def same_as_their_code(
    net: Net, form: Form, graph: Graph, samples: Array, *, tolerance: float = 0.0, **settings: Any
) -> None:
    """Every spike of every layer at every step, and the output (``tolerance``: where a pool is no power of two)."""
    trace = interpret(graph, samples)
    inputs = torch.from_numpy(trace.events["encoder"].astype(np.float64)).movedim(1, 0)
    output, spikes = simulate(net, form, inputs, **settings)
    neurons = graph.of_kind(Neuron)
    assert len(neurons) == len(net.positions)
    silent = 0
    for name, at in zip(neurons, net.positions, strict=True):
        theirs = spikes[at].movedim(0, 1).numpy()
        np.testing.assert_array_equal(trace.events[name], theirs, err_msg=name)
        assert theirs.mean() < 1, name
        silent += not theirs.any()
    assert silent == 0  # else the comparison says nothing about the layers behind
    np.testing.assert_allclose(trace.outputs["readout"], output.numpy(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["VGG5", "VGG9", "VGG16"])
def test_vgg_spikes_as_their_code(name: str, form: Form) -> None:
    net = papers_nets.vgg(name)
    steps = 3 if form == "learned" else 2 * len(net.positions)
    graph = read_papers("x.pt", document(net, form, timesteps=steps), name=name)
    assert (graph.timesteps, graph.shape("input")) == (steps, (3, 32, 32))
    same_as_their_code(net, form, graph, image((3, 32, 32), 1))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["resnet12", "resnet20"])
def test_residual_networks_spike_as_their_code(name: str, form: Form) -> None:
    net = papers_nets.resnet(name)
    steps = 3 if form == "learned" else 2 * len(net.positions)
    graph = read_papers("x.pt", document(net, form, timesteps=steps, prefix=""), name=name)
    same_as_their_code(net, form, graph, image((3, 32, 32), 1))


def test_a_fused_batch_norm_leaves_biases() -> None:
    for net in (papers_nets.vgg("VGG5", bias=True), papers_nets.resnet("resnet12", bias=True)):
        graph = read_papers("x.pt", document(net, "learned", timesteps=1), name="n")
        same_as_their_code(net, "learned", graph, image((3, 32, 32)))


def test_images_of_imagenet() -> None:
    net = papers_nets.resnet("resnet12", imagenet=True, side=168)
    saved = document(net, "learned", timesteps=16)
    graph = read_papers("x.pt", saved, name="n")
    assert graph.shape("input") == (3, 224, 224)  # 168 gives one value too
    graph = read_papers("x.pt", saved, name="n", input_shape=(3, 168, 168))
    # tensors, and yet the order that DIET-SNN had at first
    same_as_their_code(net, "early diet", graph, image((3, 168, 168), 1), tolerance=1e-12)
    net = papers_nets.vgg("VGG9", side=64, imagenet=True)
    saved = document(net, "learned", timesteps=3, threshold=0.25)
    graph = read_papers("x.pt", saved, name="n", input_shape=(3, 64, 64))
    assert graph.shape("features.20") == (32, 2, 2)  # the one more pool
    same_as_their_code(net, "learned", graph, image((3, 64, 64)), threshold=0.25)


def test_leaks_of_one_element_are_of_a_code_that_fires_first() -> None:
    """DIET-SNN's VGG for ImageNet makes them as lists of one."""
    net = papers_nets.vgg("VGG5")
    saved = document(net, "learned", timesteps=10)
    for key, value in saved["state_dict"].items():
        if ".leak." in key:
            saved["state_dict"][key] = value.reshape(1)
    graph = read_papers("x.pt", saved, name="n")
    same_as_their_code(net, "early diet", graph, image((3, 32, 32), 1))


def test_a_network_for_atari() -> None:
    net = papers_nets.atari()
    saved = document(net, "atari")
    assert recognise(saved)
    graph = read_papers("x.pt", saved, name="n", timesteps=3)
    encoder = graph.node("encoder")
    assert isinstance(encoder, DirectEncoder)
    assert (graph.shape("input"), encoder.limit, graph.shape("conv3.neuron")) == ((1, 84, 84), 255.0, (8, 7, 7))
    same_as_their_code(net, "atari", graph, image((1, 84, 84)))
    with pytest.raises(InputError, match=r"does not say how many time steps a sample takes; give --timesteps"):
        read_papers("x.pt", saved, name="n")
    for key in ("threshold.t3", "head.weight"):
        assert recognise({"model_state_dict": {k: v for k, v in saved["model_state_dict"].items() if k != key}}) == (
            key == "threshold.t3"
        )
    # without thresholds it is anyone's
    state = {k: v for k, v in saved["model_state_dict"].items() if "threshold" not in k}
    assert not recognise({"model_state_dict": state})
    assert not recognise({"model_state_dict": {**saved["model_state_dict"], "conv1.weight": torch.ones(4)}})


def test_pools_that_the_channels_leave_open() -> None:
    """Two VGG11 have the same channels: the linear layer tells which of them it is, for the samples at hand."""
    for name, pools in (("VGG11", 4), ("VGG11-HIRE", 3)):
        net = papers_nets.vgg(name)
        saved = document(net, "learned", timesteps=3, threshold=0.25)
        for graph in (
            read_papers("x.pt", saved, name="n"),
            read_papers("x.pt", saved, name="n", input_shape=(3, 32, 32)),
        ):
            assert len(graph.of_kind(AvgPool2d)) == pools
        same_as_their_code(net, "learned", graph, image((3, 32, 32), 1), threshold=0.25)
    odd = document(papers_nets.vgg("VGG11-HIRE", side=48), "learned")
    graph = read_papers("x.pt", odd, name="n", input_shape=(3, 48, 48))
    assert len(graph.of_kind(AvgPool2d)) == 3


@pytest.mark.parametrize("name", ["VGG4", "VGG5", "VGG9"])
def test_images_of_mnist(name: str) -> None:
    net = papers_nets.vgg(name, channels=1, side=28)
    graph = read_papers("x.pt", document(net, "learned", timesteps=4, threshold=0.25), name="n")
    assert graph.shape("input") == (1, 28, 28)
    same_as_their_code(net, "learned", graph, image((1, 28, 28), 4), threshold=0.25)


def test_which_input_each_repository_has() -> None:
    net, deep = papers_nets.vgg("VGG5"), papers_nets.resnet("resnet12")
    found: dict[tuple[str, int], Any] = {}
    for form in FORMS:
        for index, each in enumerate((net, deep)):
            found[form, index] = read_papers("x.pt", document(each, form), name="n").node("encoder")
    assert [found[form, 0].gain for form in FORMS[:2]] == [1.0, 1.0]
    assert [found[form, 1].gain for form in FORMS[:2]] == [0.9, 0.9]
    assert all(isinstance(found[form, 0], PoissonEncoder) for form in FORMS[:2])
    assert all(isinstance(found[form, 0], DirectEncoder) for form in FORMS[2:])
    # [-1, 1] in early DIET-SNN, the data set's own deviation later
    assert (found["early diet", 0].limit, found["learned", 0].limit) == (1.0, 2.76)


@pytest.mark.parametrize("name", VGG_LAYERS)
def test_the_tables_are_theirs(name: str) -> None:
    mine = [item if item == "A" else int(item) // 16 for item in VGG_LAYERS[name].split()]
    assert mine == papers_nets.VGG[name]


def test_architectures_inferred(golden: Callable[[str, str], None]) -> None:
    """Where every pool, stride and shortcut is put, for all networks that the repositories know."""
    lines = []
    nets = {name: papers_nets.vgg(name) for name in papers_nets.VGG}
    nets |= {name: papers_nets.resnet(name) for name in papers_nets.RESNET}
    nets["resnet12 imagenet"] = papers_nets.resnet("resnet12", imagenet=True, side=224)
    nets["VGG16 imagenet"] = papers_nets.vgg("VGG16", imagenet=True, side=224)
    for name, net in nets.items():
        graph = read_papers("x.pt", document(net, "learned"), name=name)
        lines.append(name)
        for node_name, node in graph.items():
            stride = f" stride {node.stride[0]}" if getattr(node, "stride", (1, 1)) != (1, 1) else ""
            shape = "x".join(map(str, graph.shape(node_name)))
            lines.append(f"  {node_name}: {node.kind}{stride} {shape}")
    golden("papers.txt", "\n".join(lines) + "\n")


def test_a_network_of_full_width() -> None:
    net = papers_nets.Net()
    for number, shape in ((0, (64, 3, 3, 3)), (3, (128, 64, 3, 3)), (6, (128, 128, 3, 3))):
        net.weight(f"features.{number}", *shape)
        net.position(number)
    for number, shape in ((0, (4096, 8192)), (3, (4096, 4096)), (6, (10, 4096))):
        net.state[f"classifier.{number}.weight"] = torch.zeros(shape)
    net.positions += [9, 12]
    graph = read_papers("x.pt", document(net, "hybrid"), name="n")
    assert (graph.shape("input"), graph.shape("features.8"), graph.shape("readout")) == (
        (3, 32, 32),
        (128, 8, 8),
        (10,),
    )


# ------------------------------------------------------------------------------------------------ other ways of saving


def vgg5(form: Form = "learned", **settings: Any) -> dict[str, Any]:
    return document(papers_nets.vgg("VGG5"), form, **settings)


def test_parameters_of_every_shape_and_container() -> None:
    """One value in any shape, one per neuron, dictionaries and bare state dicts: all the same network."""
    wanted = read_papers("x.pt", vgg5(), name="n")
    saved = vgg5()
    state = saved["state_dict"]
    shapes = {3: (1,), 6: (1, 1)}
    for at, shape in shapes.items():
        state[f"module.threshold.t{at}"] = state[f"module.threshold.t{at}"].reshape(shape)
    assert read_papers("x.pt", saved, name="n").hash == wanted.hash
    assert read_papers("x.pt", state, name="n", timesteps=6).hash == wanted.hash
    assert read_papers("x.pt", {**saved, "timesteps": 9}, name="n", timesteps=6).hash == wanted.hash
    listed = {**saved, "state_dict": {key: value for key, value in state.items() if "threshold" not in key}}
    assert read_papers("x.pt", listed, name="n").hash == wanted.hash
    state["module.threshold.t0"] = torch.full((4, 32, 32), 0.5)
    each = read_papers("x.pt", saved, name="n").node("features.1")
    assert isinstance(each, Neuron)
    assert each.threshold.shape == (4, 32, 32)


def test_lists_and_dictionaries_of_thresholds() -> None:
    saved = vgg5("hybrid")
    wanted = read_papers("x.pt", saved, name="n").hash
    values = saved["thresholds"]
    positions = papers_nets.vgg("VGG5").positions
    for given in (
        dict(zip(positions, values, strict=True)),
        {f"t{at}": value for at, value in reversed(list(zip(positions, values, strict=True)))},
        torch.tensor(values, dtype=torch.float64),
        [torch.tensor(value, dtype=torch.float64) for value in values],
        [*values, 1.0],  # with the output layer's, which never fires
    ):
        assert read_papers("x.pt", {**saved, "thresholds": given}, name="n").hash == wanted
    assert read_papers("x.pt", {**saved, "leak": torch.tensor(0.875).double()}, name="n").hash == wanted
    del saved["leak"]
    plain = read_papers("x.pt", saved, name="n").node("features.1")
    assert isinstance(plain, Neuron)
    assert plain.leak == 1.0


def test_numbers_are_taken_in_single_precision_as_their_code_does() -> None:
    saved = vgg5("old hybrid", leak=0.99)
    saved |= {"thresholds": [4.26] * 5, "scaling_threshold": 0.7}
    node = read_papers("x.pt", saved, name="n").node("features.1")
    assert isinstance(node, Neuron)
    assert (node.leak, node.threshold) == (np.float32(0.99), np.float32(4.26 * 0.7))
    assert float(node.leak) != 0.99


def test_thresholds_of_the_stem_only() -> None:
    """The hybrid code balances the stem of a residual network and leaves the blocks at one."""
    saved = document(papers_nets.resnet("resnet12"), "old hybrid")
    saved["thresholds"] = [8.0, 4.0, 6.0]
    graph = read_papers("x.pt", saved, name="n")
    found = [graph.node(name).threshold.item() for name in graph.of_kind(Neuron)]  # type: ignore[attr-defined]
    assert found == [4.0, 2.0, 3.0, *[1.0] * 8]


def test_a_threshold_for_the_output_layer_is_of_no_use() -> None:
    saved = document(papers_nets.resnet("resnet12"), "learned")
    wanted = read_papers("x.pt", saved, name="n").hash
    saved["state_dict"]["module.threshold.t17"] = torch.tensor(9.0)
    assert read_papers("x.pt", saved, name="n").hash == wanted
    saved["state_dict"]["module.threshold.t18"] = torch.tensor(9.0)
    with pytest.raises(InputError, match=r"thresholds has 13 values, the network has 11 layers of neurons"):
        read_papers("x.pt", saved, name="n")


def test_half_precision_and_parameters() -> None:
    saved = vgg5()
    saved["state_dict"] = {key: nn.Parameter(value.bfloat16()) for key, value in saved["state_dict"].items()}
    assert read_papers("x.pt", saved, name="n").hash == read_papers("x.pt", vgg5(), name="n").hash


def norm(state: dict[str, Any], key: str, channels: int) -> None:
    state |= {f"{key}.{each}": torch.rand(channels) + 1 for each in ("weight", "bias", "running_mean", "running_var")}
    state[f"{key}.num_batches_tracked"] = torch.tensor(7)


def test_an_ann_with_batch_norm() -> None:
    """Convolution, norm, ReLU and dropout: every fourth number. Its ReLUs stay, to be converted."""
    net = papers_nets.vgg("VGG5")
    state = {f"features.{number // 3 * 4}.weight": net.state[f"features.{number}.weight"] for number in (0, 3, 6)}
    for number, channels in ((1, 4), (5, 8), (9, 8)):
        norm(state, f"features.{number}", channels)
    state |= {key: value for key, value in net.state.items() if key.startswith("classifier")}
    graph = read_papers("x.pt", {"state_dict": state}, name="n", timesteps=50)
    kinds = [node.kind for _, node in graph.items()]
    conv = ["Conv2d", "BatchNorm", "Relu"]
    assert kinds == [
        "Input", "DirectEncoder", *conv, "AvgPool2d", *conv, *conv, "AvgPool2d", "Flatten",
        "Linear", "Relu", "Linear", "Relu", "Linear", "Readout",
    ]  # fmt: skip
    assert [name for name in graph if name.startswith("features")][:4] == [f"features.{n}" for n in range(4)]


def test_an_ann_that_was_balanced_stays_one() -> None:
    """The code writes thresholds into the file of the ANN. It has neither time steps nor leaks yet."""
    saved = vgg5("hybrid")
    ann = {"accuracy": 0.9, "state_dict": saved["state_dict"], "thresholds": saved["thresholds"]}
    graph = read_papers("x.pt", ann, name="n", timesteps=50)
    assert (len(graph.of_kind(Relu)), len(graph.of_kind(Neuron))) == (5, 0)
    assert isinstance(graph.node("encoder"), DirectEncoder)
    assert len(read_papers("x.pt", {**ann, "leak": 1.0}, name="n", timesteps=50).of_kind(Neuron)) == 5


def test_a_residual_ann_with_batch_norm(tmp_path: Path) -> None:
    net, state = papers_nets.resnet("resnet12"), {}
    for key, value in net.state.items():
        prefix, number, _ = key.rsplit(".", 2)
        fourth = int(number) // 3 * 4
        state[f"{prefix}.{fourth if 'classifier' not in key else number}.weight"] = value
        if "classifier" not in key:
            norm(state, f"{prefix}.{fourth + 1}", len(value))
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "ann.pt")
    graph = read_checkpoint(tmp_path / "ann.pt", timesteps=8).graph
    assert (len(graph.of_kind(Relu)), len(graph.of_kind(BatchNorm)), graph.timesteps) == (11, 14, 8)
    assert graph.inputs("layer2.0.add") == ("layer2.0.residual.5", "layer2.0.identity.1")
    assert graph.inputs("layer1.0.add") == ("layer1.0.residual.5", "pre_process.11")


# --------------------------------------------------------------------------------------------------------- recognising


def test_what_is_recognised(tmp_path: Path) -> None:
    assert recognise(vgg5())
    assert recognise(vgg5("hybrid"))
    assert recognise(vgg5()["state_dict"])
    assert recognise({"state_dict": papers_nets.resnet("resnet12").state})
    # a bare state dict of a VGG may be anyone's
    assert not recognise(papers_nets.vgg("VGG5").state)
    for other in (None, [], {}, {"state_dict": 3}, {"state_dict": {"features.0.weight": 1}}, {3: torch.ones(1)}):
        assert not recognise(other)
    model = nn.Sequential(nn.Linear(4, 2), snn.Readout())
    snn.save(model, tmp_path / "ours.pt", timesteps=1, input_shape=(4,))
    assert not recognise(torch.load(tmp_path / "ours.pt", weights_only=True))
    assert read_checkpoint(tmp_path / "ours.pt").graph.shape("0") == (2,)


def test_from_a_file(tmp_path: Path) -> None:
    torch.save(vgg5(timesteps=4), tmp_path / "snn_vgg5.pth")
    graph = read_checkpoint(tmp_path / "snn_vgg5.pth").graph
    assert (graph.name, graph.timesteps) == ("snn_vgg5", 4)
    graph = read_checkpoint(tmp_path / "snn_vgg5.pth", name="mine", timesteps=2, input_shape=(3, 33, 32)).graph
    assert (graph.name, graph.timesteps, graph.shape("input")) == ("mine", 2, (3, 33, 32))


# ------------------------------------------------------------------------------------------------------------ refusals

Change = Callable[[dict[str, Any]], object]


def drop(key: str) -> Change:
    return lambda saved: saved["state_dict"].pop(f"module.{key}")


def put(key: str, value: Any) -> Change:
    return lambda saved: saved["state_dict"].update({f"module.{key}": value})


def say(**entries: Any) -> Change:
    return lambda saved: saved.update(entries)


NAN = torch.full((8, 4, 3, 3), torch.nan)


@pytest.mark.parametrize(
    ("form", "change", "match"),
    [
        ("learned", drop("features.3.weight"), r"stand at features.0, 6; the papers' stand at every third number"),
        ("learned", drop("classifier.3.weight"), r"thresholds has 5 values, the network has 4 layers of neurons"),
        ("learned", drop("threshold.t3"), r"thresholds has 4 values, the network has 5 layers of neurons"),
        ("learned", drop("leak.l3"), r"leak has 4 values, the network has 5 layers"),
        ("learned", put("features.3.weight", NAN), r"tensor features.3.weight has 288 of 288 values NaN or infinite"),
        ("learned", put("features.3.weight", torch.ones(8, 5, 3, 3)), r"with samples of 3,32,32, features.3: Conv2d: "),
        ("learned", put("features.0.weight", torch.ones(4, 3)), r"stand at features.3, 6; the papers'"),
        ("learned", put("features.6.weight", torch.ones(9, 8, 3, 3)), r"3 convolutions have 4, 8, 9 channels, "),
        ("learned", put("features.4.weight", torch.ones(4)), r"1 tensors that belong to no layer \(features.4"),
        ("learned", put("extra.bias", torch.ones(4)), r"belong to no layer \(extra.bias\); give its code: --model"),
        ("learned", put("features.0.bias", torch.ones(5)), r"features.0: Conv2d.bias has shape \(5,\); it must"),
        ("learned", put("features.0.weight", torch.ones(0, 3, 3, 3)), r"convolutions have 0, 8, 8 channels"),
        ("learned", put("classifier.0.weight", torch.ones(9, 512)), r"classifier.3: Linear: weight \(10, 12\) takes"),
        ("learned", put("classifier.0.weight", torch.ones(12, 500)), r"500 values, which no usual sample \(3,32,32 "),
        ("learned", put("classifier.0.weight", torch.ones(12)), r"has 5 values, the network has 4 layers|1 tensors"),
        ("learned", put("threshold.t3", torch.tensor(0.0)), r"features.4: Neuron.threshold has a value 0.0; th"),
        ("learned", put("threshold.t3", torch.ones(3)), r"features.4: Neuron.threshold has shape \(3,\)"),
        ("learned", put("threshold.t3", torch.tensor(torch.inf)), r"threshold.t3 has 1 of 1 values NaN or infinite"),
        ("learned", put("leak.l3", torch.tensor(1.5)), r"features.4: Neuron.leak ranges from 1.5 to 1.5"),
        ("learned", put("leak.l3", torch.ones(1, dtype=torch.complex64)), r"leak.l3 is torch.complex64"),
        ("learned", lambda saved: saved.pop("timesteps"), r"does not say how many time steps .* give --timesteps"),
        ("learned", say(timesteps=2.0), r"timesteps is 2.0; it must be a whole number from 1, so give --timesteps"),
        ("learned", say(timesteps=0), r"timesteps is 0"),
        ("learned", say(timesteps=True), r"timesteps is True"),
        ("hybrid", say(thresholds=[1.0, 2.0]), r"thresholds has 2 values, the network has 5 layers of neurons"),
        ("hybrid", say(thresholds=3.0), r"thresholds is a float; it must be a list with a value for each layer"),
        ("hybrid", say(thresholds="many"), r"thresholds is a str; it must be a list"),
        ("hybrid", say(thresholds={"a": 1.0}), r"the keys of thresholds must be numbers of layers"),
        ("hybrid", say(thresholds=[1.0, 1.0, float("nan"), 1.0, 1.0]), r"thresholds\[2\] is nan; it must be a finite"),
        ("hybrid", say(thresholds=[1.0, None, 1.0, 1.0, 1.0]), r"thresholds\[1\] is a NoneType; it must be a finite"),
        ("hybrid", say(thresholds=[-1.0] * 5), r"features.1: Neuron.threshold has a value -1.0; th"),
        ("hybrid", say(scaling_threshold="x"), r"scaling_threshold is 'x'; it must be a finite number"),
        ("hybrid", say(leak="none"), r"leak is a str; it must be a list"),
        ("hybrid", say(leak=float("inf")), r"leak is inf; it must be a finite number"),
        ("hybrid", say(leak=2), r"features.1: Neuron.leak ranges from 2.0 to 2.0"),
        ("early diet", say(leak=[1.0]), r"leak has 1 values, the network has 5 layers"),
    ],
)  # fmt: skip
def test_refusals(form: Form, change: Change, match: str) -> None:
    saved = vgg5(form)
    change(saved)
    assert recognise(saved)
    with pytest.raises(InputError, match=match) as caught:
        read_papers("x.pt", saved, name="n")
    assert str(caught.value).startswith("x.pt: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (drop("layer2.0.residual.3.weight"), r"tensor layer2.0.residual.3.weight is missing"),
        (drop("layer2.0.identity.0.weight"), r"layer2.0.add: Add: its inputs have shapes \(8, 8, 8\), \(4, 16, 16\)"),
        (
            put("layer2.0.residual.3.weight", torch.ones(8)),
            r"layer2.0.residual.3.weight has shape \(8,\), a convolution",
        ),
        (drop("classifier.0.weight"), r"has no linear layer"),
        (put("pre_process.0.weight", torch.ones(4, 3)), r"stand at pre_process.3, 6"),
        (lambda s: [drop(key)(s) for key in [k[7:] for k in s["state_dict"] if "layer" in k]], r"but no blocks"),
    ],
)
def test_residual_refusals(change: Change, match: str) -> None:
    saved = document(papers_nets.resnet("resnet12"), "learned")
    change(saved)
    with pytest.raises(InputError, match=match):
        read_papers("x.pt", saved, name="n")


def test_input_shapes_that_are_asked_for() -> None:
    odd = document(papers_nets.vgg("VGG5", channels=2, side=24), "learned")
    with pytest.raises(InputError, match=r"288 values, which no usual sample \(2 channels\) gives; give --input-shape"):
        read_papers("x.pt", odd, name="n")
    graph = read_papers("x.pt", odd, name="n", input_shape=(2, 24, 24))
    assert isinstance(graph.node("input"), Input)
    for shape, match in (
        (
            (2, 16, 16),
            r"--input-shape is 2,16,16, which gives 128 values where the first linear layer takes 288 values",
        ),
        ((3, 24, 24), r"with samples of 3,24,24, features.0: Conv2d: weight \(4, 2, 3, 3\)"),
        ((288,), r"with samples of 288, features.0: Conv2d needs inputs \(channels, height, width\)"),
        ((2, 1, 1), r"with samples of 2,1,1, features.2: AvgPool2d: a window of 2"),
    ):
        with pytest.raises(InputError, match=match):
            read_papers("x.pt", odd, name="n", input_shape=shape)


def test_other_peoples_vgg_is_not_taken_for_theirs() -> None:
    """torchvision's: no dropouts between, so every second number, and max pools."""
    state = {
        "features.0.weight": torch.ones(64, 3, 3, 3), "features.2.weight": torch.ones(64, 64, 3, 3),
        "classifier.0.weight": torch.ones(10, 64),
    }  # fmt: skip
    with pytest.raises(InputError, match=r"stand at features.0, 2; .* give its code: --model package.module:factory"):
        read_papers("x.pt", {"state_dict": state}, name="n", timesteps=1)
    with pytest.raises(InputError, match="holds no state dict"):
        read_papers("x.pt", {"state_dict": 3}, name="n")
