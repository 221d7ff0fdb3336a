"""lava-dl's exchange files: the trained networks of its own tests give the true spikes that lie beside them, files say
what they mean, and what cannot be compiled is refused by layer."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurocompile.driver import compile_graph
from neurocompile.errors import GraphError, InputError, NeurocompileError
from neurocompile.hardware.target import load_target
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import Array, Conv2d, DirectEncoder, Linear, Neuron, Readout, Scale, SumPool2d

h5py = pytest.importorskip("h5py", reason="h5py is not installed; run: pip install 'neurocompile[netx]'")

from neurocompile.backends.functional import FunctionalBackend  # noqa: E402
from neurocompile.frontend.checkpoint import read_checkpoint  # noqa: E402
from neurocompile.frontend.netx import is_hdf5, read_netx  # noqa: E402
from tests.lava_dl import Wheel, import_lava_dl, wheel  # noqa: E402, F401 - the fixture
from tests.netx_files import NEURON, convolution, dense, write  # noqa: E402

# ------------------------------------------------------------------------------------------------- trained networks


def truth(spikes: Array) -> Array:
    """(width, height, channels, steps) or (neurons, steps) as (steps, channels, height, width) or (steps, neurons)."""
    return spikes.T.astype(np.int64)


@pytest.mark.slow
def test_pilotnet_sends_the_true_spikes_of_all_its_layers(wheel: Wheel, tmp_path: Path) -> None:  # noqa: F811
    """A presentation has 16 steps; then the run behind the files clears the states, layer by layer."""
    graph = read_netx(wheel.network("gts/pilotnet_lif/network.net", tmp_path), timesteps=16)
    image = wheel.array("gts/pilotnet_lif/image.npy").T  # the biases of the input layer
    trace = FunctionalBackend().run(graph, ((image - 36) / 40)[None])
    files = ["input", *(f"conv-{layer}" for layer in range(5)), *(f"fc-{layer}" for layer in range(3))]
    somas = graph.of_kind(Neuron)
    assert len(somas) == len(files)
    for phase, (soma, file) in enumerate(zip(somas, files, strict=True)):
        expected = truth(wheel.array(f"gts/pilotnet_lif/{file}.npy"))[phase : phase + 16]
        assert expected.any()
        np.testing.assert_array_equal(trace.events[soma][0], expected, soma)
    assert isinstance(graph.node(graph.outputs[0]), Readout)


@pytest.mark.parametrize("target", ["loihi1-sim", "loihi2-sim"])
def test_tinynet_compiles_and_sends_the_true_spikes(wheel: Wheel, tmp_path: Path, target: str) -> None:  # noqa: F811
    """Its files have one more step, a silent one, in front."""
    graph = read_netx(wheel.network("tiny.net", tmp_path), timesteps=15)
    program = compile_graph(graph, load_target(target))
    assert program.integer is graph
    samples = ((wheel.array("gts/tinynet/input_bias.npy").T - 34) / 36)[None]
    for trace in (interpret(graph, samples), interpret(program.mapped, samples)):
        for soma, file in zip(graph.of_kind(Neuron), ("input", "layer1", "output"), strict=True):
            expected = np.moveaxis(wheel.array(f"gts/tinynet/{file}.npy")[0], -1, 0)[1:]
            assert expected.any()
            np.testing.assert_array_equal(trace.events[soma][0], expected, soma)


def test_mnist_ends_in_what_its_last_neurons_have_summed(wheel: Wheel, tmp_path: Path) -> None:  # noqa: F811
    graph = read_netx(wheel.network("mnist.net", tmp_path))
    assert graph.timesteps == 16
    assert [graph.shape(soma) for soma in graph.of_kind(Neuron)] == [(784,), (512,), (512,)]
    assert isinstance(graph.node(graph.outputs[0]), Readout)
    assert compile_graph(graph, load_target("loihi1-sim")).mapping.cores <= 128


def test_sigma_delta_networks_are_refused_by_name(wheel: Wheel, tmp_path: Path) -> None:  # noqa: F811
    for file in ("network.net", "square_network.net"):
        with pytest.raises(
            GraphError, match=r"layer 0 \(input\), 1 \(conv\), .*: its neurons are sigma-delta \(SDNN\)"
        ):
            read_netx(wheel.network(f"gts/pilotnet_sdnn/{file}", tmp_path))


def test_the_dense_block_sends_its_true_spikes(wheel: Wheel, tmp_path: Path) -> None:  # noqa: F811
    """A layer that lava-dl's tests describe in words; Lava sends one step later."""
    neuron = {**NEURON, "vDecay": 415, "vThMant": 6}
    path = write(tmp_path / "dense.net", dense(wheel.array("gts/dense/weight.npy"), neuron=neuron), timesteps=2000)
    trace = FunctionalBackend().run(read_netx(path), truth(wheel.array("gts/dense/in.npy"))[None].astype(float))
    expected = truth(wheel.array("gts/dense/out.npy"))
    assert expected.any()
    np.testing.assert_array_equal(trace.events["0.dense"][0, :-1], expected[1:])


def test_text_that_is_damaged_is_not_followed(tmp_path: Path) -> None:
    """HDF5 keeps text of any length in heaps, and runs without end in some that are damaged."""
    path = write(tmp_path / "a.net", dense([[1]]))
    assert read_netx(path).outputs == ("0.dense",)
    raw = path.read_bytes()
    assert raw.count(b"GCOL") == 1
    path.write_bytes(raw.replace(b"GCOL", b"GONE"))
    with pytest.raises(InputError, match=r"'type' is text that is damaged; export the network again"):
        read_netx(path)


@pytest.mark.slow
def test_ntidigits_sends_the_true_spikes(wheel: Wheel, tmp_path: Path) -> None:  # noqa: F811
    """Axons delay by up to 62 steps. Its file has four silent steps in front."""
    graph = read_netx(wheel.network("gts/ntidigits/ntidigits.net", tmp_path))
    assert graph.timesteps == 3000
    trace = FunctionalBackend().run(
        graph, truth(wheel.array("gts/ntidigits/input.npy"))[None, :, None, None].astype(float)
    )
    expected = truth(wheel.array("gts/ntidigits/output.npy"))
    assert expected.sum() == 22572
    np.testing.assert_array_equal(trace.events["4.dense"][0, :-4], expected[4:])
    counts = trace.events["4.dense"][0].sum(axis=0).reshape(11, 22).mean(axis=1)
    (readout,) = graph.of_kind(Readout)
    unit = getattr(graph.node(readout), "unit", 0.0)
    np.testing.assert_allclose(trace.outputs[readout][0] * unit, counts)


# ---------------------------------------------------------------------------------------------------- what files say


def read(folder: Path, *layers: dict[str, Any], timesteps: int | None = 8, **options: Any) -> Graph:
    return read_netx(write(folder / "net.net", *layers, timesteps=timesteps), **options)


INPUT: dict[str, Any] = {"type": "input", "shape": [2, 4, 4]}
KERNEL = np.array([[[[2, -4], [6, 0]], [[8, 0], [0, -254]]]])


def test_weights_become_codes_with_the_largest_power_of_two_that_they_share(tmp_path: Path) -> None:
    graph = read(tmp_path, dense([[-256, 254], [6, 0]]), dense([[3, 0], [0, 1]]), dense([[0, 0]]))
    nodes = [graph.node(name) for name in graph.of_kind(Linear)]
    assert [
        (node.weight.tolist(), node.weight_bits, node.weight_exponent) for node in nodes if isinstance(node, Linear)
    ] == [
        ([[-128, 127], [3, 0]], 8, 1),
        ([[3, 0], [0, 1]], 3, 0),
        ([[0, 0]], 2, 0),
    ]
    compile_graph(graph, load_target("loihi2-sim"))


def test_neurons_have_the_devices_numbers(tmp_path: Path) -> None:
    neuron = {"iDecay": [4096, 4096], "vDecay": [0, 1000], "vThMant": 0, "refDelay": 1, "wgtExp": 0, "theta": 0.5}
    graph = read(tmp_path, dense([[2], [4]], neuron=neuron, bias=[[-3], [5]][1]))
    soma = graph.node("0.dense")
    assert isinstance(soma, Neuron)
    assert (soma.leak.tolist(), soma.current_leak.tolist(), soma.bias.tolist()) == ([4096, 3096], [0, 0], 5 << 6)
    assert (soma.threshold.tolist(), soma.compare, soma.reset) == (1, "at_or_above", "set")


def test_an_analog_input_is_a_bias_in_whole_numbers(tmp_path: Path) -> None:
    neuron = {**NEURON, "iDecay": 1000}  # nothing comes through the current, so its decay does not matter
    graph = read(
        tmp_path, {"type": "input", "shape": [2], "weight": [-200.0], "bias": 7.0, "neuron": neuron}, dense([[2, 2]])
    )
    encoder, sign, soma = graph.node("spikes"), graph.node("0.input.synapse"), graph.node("0.input")
    assert isinstance(encoder, DirectEncoder)
    assert (encoder.scale, encoder.low, encoder.high) == (200, -200, 200)
    assert isinstance(sign, Scale)
    assert sign.weight == -1
    assert isinstance(soma, Neuron)
    assert (soma.current_leak, soma.bias) == (0, 7 << 6)
    plain = read(tmp_path, {"type": "input", "shape": [2], "neuron": NEURON}, dense([[2, 2]])).node("spikes")
    assert isinstance(plain, DirectEncoder)
    assert (plain.scale, plain.low, plain.high) == (64, -127, 127)


def test_images_pools_and_averages(tmp_path: Path) -> None:
    """A pool of 5 columns by 2 has a last window of one column and a zero, which lava-dl appends."""
    pool = {"type": "pool", "shape": [2, 2, 3], "kernelSize": [2, 2], "stride": [2, 2], "padding": [0, 0],
            "dilation": [1, 1], "weight": np.full((1, 1, 2, 2, 1), 70.0), "neuron": NEURON}  # fmt: skip
    even = {**pool, "shape": [2, 1, 1], "stride": [2, 3], "weight": np.full((1, 1, 2, 3), 70.0)}
    graph = read(
        tmp_path,
        {**INPUT, "shape": [2, 4, 5]},
        pool,
        even,
        {"type": "flatten", "shape": [2, 1, 1]},
        dense(np.full((6, 2), 20) + np.arange(6)[:, None], shape=[6, 1, 1]),
        {"type": "average", "shape": [3, 1, 1]},
    )
    padded = graph.node("1.pool.synapse")
    assert isinstance(padded, Conv2d)
    assert padded.groups == 2
    assert graph.shape("1.pool") == (2, 2, 3)
    assert [type(graph.node(name)) for name in ("2.pool.pool", "2.pool.synapse")] == [SumPool2d, Scale]
    samples = np.random.default_rng(0).integers(0, 2, (3, 8, 2, 4, 5)).astype(float)
    trace = interpret(graph, samples)
    reached = np.pad(samples, ((0, 0), (0, 0), (0, 0), (0, 0), (0, 1))).reshape(3, 8, 2, 2, 2, 3, 2).sum(axis=(4, 6))
    np.testing.assert_array_equal(trace.events["1.pool"], reached > 0)  # one spike is 70, above the threshold of 25
    rates = trace.events["4.dense"].reshape(3, 8, 3, 2).mean(axis=-1).sum(axis=1)
    readout = graph.node("5.average")
    assert isinstance(readout, Readout)
    assert rates.any()
    np.testing.assert_array_equal(trace.outputs["5.average"] * readout.unit, rates)


def test_recurrent_layers_and_biases_of_single_neurons(tmp_path: Path) -> None:
    recurrent = {**dense([[30]]), "type": "dense_rec", "weight_rec": [[-60]]}
    graph = read(tmp_path, recurrent, timesteps=4)
    assert interpret(graph, np.ones((1, 1))).events["0.dense_rec"].ravel().tolist() == [1, 0, 0, 1]
    own = np.arange(9).reshape(3, 3, 1)  # (width, height, channels), as Lava has it
    graph = read(tmp_path, INPUT, convolution(KERNEL, (1, 3, 3), bias=own))
    soma = graph.node("1.conv")
    assert isinstance(soma, Neuron)
    assert soma.bias.tolist() == (own.T << 6).tolist()


def test_delays_are_those_of_axons_or_of_inputs(tmp_path: Path) -> None:
    """As many as the layer's neurons: its own; as many as its inputs: theirs; both together add up."""
    spikes = np.zeros((1, 8, 2))
    spikes[0, 0] = 1
    layers = [dense([[30, 0], [0, 30]], delay=[0, 3]), dense([[30, 0], [0, 30], [0, 30]])]
    sent = interpret(read(tmp_path, *layers), spikes).events["1.dense"][0]
    assert [np.flatnonzero(sent[:, neuron]).tolist() for neuron in range(3)] == [[0], [3], [3]]
    layers[1]["delay"] = [2, 1]
    sent = interpret(read(tmp_path, *layers), spikes).events["1.dense"][0]
    assert [np.flatnonzero(sent[:, neuron]).tolist() for neuron in range(3)] == [[2], [4], [4]]
    image = convolution(np.full((3, 2, 1, 1), 30), (3, 4, 4), delay=[0, 1, 2])
    graph = read(tmp_path, INPUT, image, dense(np.repeat(np.eye(3), 16, axis=1) * 30))
    sent = interpret(graph, np.eye(8)[0][None, :, None, None, None] * np.ones((1, 8, 2, 4, 4))).events["2.dense"][0]
    assert np.flatnonzero(sent.any(axis=1)).tolist() == [0, 1, 2]
    assert sent[:3].tolist() == np.eye(3).tolist()


def test_the_shape_of_an_input_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"layer 0 \(conv\) is the first and does not say what it reads; give --input-shape"
    ):
        read(tmp_path, convolution(KERNEL, (1, 3, 3)))
    assert read(tmp_path, convolution(KERNEL, (1, 3, 3)), input_shape=(2, 4, 4)).shape("input") == (2, 4, 4)
    with pytest.raises(InputError, match="does not say how many time steps a presentation has; give --timesteps"):
        read(tmp_path, dense([[1]]), timesteps=None)


def test_slayer_writes_what_is_read(tmp_path: Path) -> None:
    """Its own export, of blocks of every kind that the format has."""
    slayer = import_lava_dl("slayer")
    import torch

    from neurocompile.frontend.slayer import read_slayer

    torch.manual_seed(0)
    cuba, neuron = slayer.block.cuba, {"threshold": 0.4, "current_decay": 1, "voltage_decay": 0.3}
    normed = {**neuron, "norm": slayer.neuron.norm.MeanOnlyBatchNorm}
    blocks = torch.nn.Sequential(
        cuba.Conv(normed, 2, 4, 3, padding=1, weight_scale=3),
        cuba.Pool(neuron, 2),
        cuba.Flatten(),
        cuba.Dense(neuron, 36, 5, weight_scale=4),
        cuba.Recurrent(neuron, 5, 4, weight_scale=4),
        cuba.Affine({**neuron, "threshold": 1.0}, 4, 2),
    )
    with torch.no_grad():
        blocks(torch.rand(4, 2, 6, 6, 5))
    module = read_slayer(blocks.eval(), (2, 6, 6), 7, "net")
    with h5py.File(tmp_path / "net.net", "w") as file:
        for index, block in enumerate(blocks):
            block.export_hdf5(file.create_group(f"layer/{index}"))
    graph = read_netx(tmp_path / "net.net", timesteps=7, input_shape=(2, 6, 6))
    samples = (np.random.default_rng(1).random((3, 7, 2, 6, 6)) < 0.3).astype(float)
    one, other = interpret(module, samples), interpret(graph, samples)
    assert len(one.events) == len(other.events) == 5
    for mine, theirs in zip(one.events.values(), other.events.values(), strict=True):
        assert mine.any()
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(one.outputs["5"], other.outputs["5.dense"])


# ------------------------------------------------------------------------------------------------------------ refusals

COMPLEX = {**dense([[1]]), "weight": {"real": [[1]], "imag": [[1]]}}


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [{"type": "convT"}],
            r"layer 0 \(convT\): transposed convolution is not compiled from lava-dl's files; train a chain",
        ),
        (
            [{"type": "unpool"}, dense([[1]]), {"type": "concat"}],
            r"0 \(unpool\): unpooling .*; layer 2 \(concat\): concat",
        ),
        ([{"type": "lstm"}], "'lstm' is no type of layer that lava-dl 0.6.0 writes"),
        ([COMPLEX], r"layer 0 \(dense\): its weights are complex and feed resonators"),
        (
            [dense([[1]], neuron={**NEURON, "type": "RF_PHASE"})],
            r"resonate-and-fire \(RF_PHASE\), with a complex state",
        ),
        ([dense([[1]], neuron={**NEURON, "type": "ADRF_IZHIKEVICH"})], "resonate-and-fire"),
        ([dense([[1]], neuron={**NEURON, "type": "ALIF"})], r"its neurons adapt their threshold \(ALIF\)"),
        ([dense([[1]], neuron={**NEURON, "type": "Izhikevich"})], "its neurons are of type 'Izhikevich'"),
        (
            [dense([[1]], neuron={**NEURON, "refDelay": 4})],
            r"layer 0 \(dense\): its neuron rests for 4 steps .* limit 1",
        ),
        (
            [dense([[1]], neuron={**NEURON, "gradedSpike": True})],
            "its neuron sends graded spikes; train with graded_spike",
        ),
        (
            [dense([[1]], neuron={**NEURON, "weight_exp": -2})],
            "its neuron has weight_exp -2, by which lava-dl's training",
        ),
        (
            [dense([[1]], neuron={**NEURON, "sinDecay": 2})],
            "its neuron has 'sinDecay', which no CUBA neuron of lava-dl",
        ),
        (
            [dense([[1]], neuron={**NEURON, "vThMant": -1})],
            r"0.dense: its threshold \(vThMant\) is -1; it must lie in 0",
        ),
        ([dense([[1]], neuron={**NEURON, "iDecay": 5000})], r"0.dense: its current \(iDecay\) decay ranges from 5000"),
        (
            [dense([[1]], neuron={**NEURON, "iDecay": 1024}, bias=[3])],
            "0.dense: it has a bias, which lava-dl adds to the",
        ),
        ([dense([[1]], bias=[5000])], "0.dense: it has a bias of 5000, limit 4095"),
        ([dense([[1, 2]], bias=[1, 2])], r"its bias has shape \(2,\); it must be \(1,\)"),
        ([dense([[1]], delay=[-1])], "it has a delay of -1 steps"),
        (
            [dense([[1]], delay=[70])],
            "0.dense: its axons delay spikes by up to 62 time steps, and it is the la",
        ),
        ([dense([[1]], delay=[1, 2])], "it has 2 delays; it must have 1"),
        ([dense([[1, 2, 3]], delay=[1, 2])], "it must have 1 or 3"),
        (
            [dense([[1]], delay=[3], bias=[2]), dense([[1]])],
            "it has delays and a bias, on which lava-dl's",
        ),
        (
            [{**dense([[1]]), "type": "dense_rec", "weight_rec": [[1]], "delay": [1]}, dense([[1]])],
            "and recurrent",
        ),
        (
            [dense([[0.5]])],
            r"'weight' has a value of 0.5 and must have whole numbers; export it with lava-dl's quantization",
        ),
        ([dense([[np.nan]])], "'weight' has values that are NaN or infinite"),
        ([dense([[1]], weight=np.array([[1 << 40]]))], "'weight' has numbers of more than 32 bits"),
        ([dense([[1]], inFeatures=2)], r"its weight has 1 values, and 1 neurons that read 2 need 2"),
        ([{**dense([[1]]), "type": "dense_rec", "weight_rec": [[1, 2]]}], "its weight_rec has 2 values"),
        ([dense([[1]]), dense([[1, 2, 3]])], "its weight has 3 values, and 1 neurons that read 1 need 1"),
        ([dense([[1]]), INPUT], r"layer 1 \(input\): an input must be the first layer"),
        ([dense([[1]], mask=[1])], r"layer 0 \(dense\) has 'mask', which is no field of such a layer"),
        ([{**INPUT, "weight": 0, "neuron": NEURON}], "its weight is 0, so that no sample would count"),
        ([INPUT, convolution(KERNEL, (1, 4, 4))], r"its shape is \(1, 4, 4\), and what it reads gives \(1, 3, 3\)"),
        (
            [INPUT, convolution(KERNEL, (1, 3, 3), groups=2)],
            r"layer 1 \(conv\): Conv2d: 1 output channels cannot be divided",
        ),
        ([INPUT, convolution(KERNEL, (1, 3, 3), neuron=None)], r"layer 1 \(conv\): it has no neuron"),
        ([INPUT, convolution(KERNEL[0], (1, 3, 3))], r"its weight has shape \(2, 2, 2\); it must have 4 axes"),
        ([INPUT, convolution(KERNEL, (1, 3, 3), stride=[1, 1, 1])], "'stride' has 3 values; it must have one or two"),
        ([INPUT, convolution(KERNEL, (1, 3, 0))], r"its shape is \(1, 3, 0\); sizes must be at least 1"),
        (
            [dense(np.ones((4, 1))), {"type": "average", "shape": [3]}],
            "1.average: 4 neurons cannot be averaged in 3 groups",
        ),
        ([dense([[1]], neuron={"type": "CUBA"})], "its neuron: it has no 'iDecay'; export the network again"),
        ([dense([[1]], shape=None)], r"layer 0 \(dense\): it has no 'shape'"),
        ([dense([[1]], weight=np.array([b"x"]))], "'weight' has no numbers"),
    ],
)
def test_what_cannot_be_compiled_is_refused_by_layer(
    layers: list[dict[str, Any]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(NeurocompileError, match=message) as refused:
        read(tmp_path, *layers)
    assert "\n" not in str(refused.value)


def pools(**fields: Any) -> dict[str, Any]:
    return {"type": "pool", "shape": [2, 2, 2], "kernelSize": [2, 2], "stride": [2, 2], "padding": [0, 0],
            "dilation": [1, 1], "weight": np.full((1, 1, 2, 2), 70), "neuron": NEURON, **fields}  # fmt: skip


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            [INPUT, pools(stride=[1, 1])],
            r"layer 1 \(pool\): lava-dl pools across the borders of channels where windows overlap",
        ),
        ([INPUT, pools(weight=np.arange(4).reshape(1, 1, 2, 2))], "its weights differ; a pool has one weight"),
        (
            [INPUT, pools(weight=np.full((1, 1, 3, 3), 70), stride=[3, 3])],
            "1.pool: lava-dl pools 4 rows in windows of 3 across",
        ),
        ([dense([[1]]), pools()], r"layer 1 \(pool\): it reads \(1,\); a pool needs \(channels, height, width\)"),
    ],
)
def test_pools_that_mix_channels_are_refused(layers: list[dict[str, Any]], message: str, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=message):
        read(tmp_path, *layers)


def test_files_that_are_no_networks(tmp_path: Path) -> None:
    path = tmp_path / "x.net"
    path.write_bytes(b"\x89HDF\r\n\x1a\nand then nothing")
    assert is_hdf5(path)
    with pytest.raises(InputError, match="cannot be read as a network of lava-dl"):
        read_netx(path)
    with h5py.File(path, "w") as file:
        file["weights"] = 1
    with pytest.raises(InputError, match="no network of lava-dl: it has no group 'layer'"):
        read_netx(path)
    with h5py.File(path, "w") as file:
        file.create_group("layer")
    with pytest.raises(InputError, match="has 0 layers; a network has 1 to 4096"):
        read_netx(path)
    with h5py.File(path, "w") as file:
        file.create_group("layer/1")
    with pytest.raises(InputError, match="it has no '0'"):
        read_netx(path)


def test_nothing_is_read_that_the_file_does_not_hold(tmp_path: Path) -> None:
    """A claim of a terabyte in a file of a few thousand bytes, and links to other files."""
    path = write(tmp_path / "x.net", dense([[1]], weight=None))
    with h5py.File(path, "r+") as file:
        file["layer/0"].create_dataset("weight", (1 << 20, 1 << 20), "f4", chunks=(1, 1024))
    with pytest.raises(
        InputError, match=r"'weight' claims 4,398,046,511,104 bytes, and the whole file has [\d,]+; it is dama"
    ):
        read_netx(path)
    for link in (h5py.ExternalLink("other.net", "/weight"), h5py.SoftLink("/layer/0/shape")):
        path = write(tmp_path / "x.net", dense([[1]], weight=None))
        with h5py.File(path, "r+") as file:
            file["layer/0/weight"] = link
        with pytest.raises(InputError, match=r"it has no 'weight'|'weight' is a link to elsewhere"):
            read_netx(path)
    path = write(tmp_path / "x.net", dense([[1]], weight=None))
    with h5py.File(path, "r+") as file:
        file["layer/0"].create_dataset("weight", (1, 1), "f4", external=[(str(path), 0, 4)])
    with pytest.raises(InputError, match="'weight' is no dataset of this file"):
        read_netx(path)


@pytest.mark.parametrize(
    "note",
    ["[]", "{", '{"names": 3}', '{"names": {"input": 3}}', '{"encoder": {"kind": "DirectEncoder", "limit": "x"}}'],
)
def test_notes_of_our_own_that_are_damaged(note: str, tmp_path: Path) -> None:
    path = write(tmp_path / "x.net", dense([[1]]))
    with h5py.File(path, "r+") as file:
        file.attrs["neurocompile"] = note
    with pytest.raises(InputError, match="damaged; export"):
        read_netx(path)


@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_a_damaged_byte_is_read_or_refused(place: float, value: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = write(
        tmp_path_factory.mktemp("netx") / "x.net",
        INPUT,
        convolution(KERNEL, (1, 3, 3), bias=[3]),
        dense(np.ones((2, 9))),
    )
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] = value
    path.write_bytes(content)
    with contextlib.suppress(NeurocompileError):
        read_netx(path)


def test_h5py_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x.net", dense([[1]]))
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(InputError, match=r"HDF5, which needs h5py; pip install 'neurocompile\[netx\]'"):
        read_netx(path)


def test_a_checkpoint_that_is_hdf5(tmp_path: Path) -> None:
    path = write(tmp_path / "some.bin", dense([[1]]))
    source = read_checkpoint(path, timesteps=3, name="other")
    assert (source.graph.name, source.graph.timesteps, source.calibration) == ("other", 3, None)
    with pytest.raises(InputError, match="has its own architecture; drop --model a:b"):
        read_checkpoint(path, model="a:b")
