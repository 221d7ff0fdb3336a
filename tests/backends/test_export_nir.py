"""NIR out, and back in: the very same graph."""

from __future__ import annotations

import dataclasses
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from neurocompile import driver
from neurocompile.backends.export.nir import to_nir, write_nir
from neurocompile.errors import GraphError, InputError
from neurocompile.frontend.nir import read_nir
from neurocompile.hardware.target import load_target
from neurocompile.ir.graph import Graph, Stage
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import (
    Add,
    Array,
    AvgPool2d,
    AxonDelay,
    BatchNorm,
    Concat,
    Conv2d,
    ConvTranspose2d,
    DctEncoder,
    DirectEncoder,
    FixedPoint,
    Flatten,
    HybridEncoder,
    Input,
    Linear,
    MaxPool2d,
    Neuron,
    Node,
    PoissonEncoder,
    Readout,
    Recurrent,
    Relu,
    Reshape,
    Scale,
    Threshold,
)
from neurocompile.passes.base import PassManager
from neurocompile.passes.batchnorm import FuseBatchNorm
from tests.networks import LOWERING, integer_networks, lower, networks, samples_for

nir = pytest.importorskip("nir")

#: seconds, a power of two: nothing rounds on the way through a time constant
DT = 2.0**-10


def fused(graph: Graph) -> Graph:
    end = next(index for index, each in enumerate(LOWERING) if isinstance(each, FuseBatchNorm))
    return PassManager(LOWERING[: end + 1]).run(graph)


def same(graph: Graph) -> Graph:
    return graph


def sayable(graph: Graph) -> bool:
    """Whether NIR has words for all nodes; it is refused, by name, where it has not."""
    refusal = None
    try:
        to_nir(graph, dt=DT)
    except GraphError as error:
        refusal = error
    if refusal is None:
        return True
    refused = re.findall(r"(\S+): NIR has no node for a ", str(refusal))
    assert refused
    assert all(isinstance(graph.node(name), (MaxPool2d, ConvTranspose2d, Reshape)) for name in refused)
    return False


def returns(graph: Graph, path: Path) -> list[str]:
    """Export and import ``graph``, in memory and through a file; the notes of the export."""
    assert read_nir(to_nir(graph, dt=DT))[0].hash == graph.hash
    notes = write_nir(SimpleNamespace(trained=graph, integer=graph), path, dt=DT)
    again, words = read_nir(path)
    assert again.hash == graph.hash
    assert again.stage == graph.stage
    assert any("written by neurocompile" in note for note in words)
    return notes


@pytest.mark.parametrize("stage", [same, fused, lower])
@settings(max_examples=20)
@given(data=st.data())
def test_float_graphs_return_the_same(
    stage: Callable[[Graph], Graph], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    graph = stage(data.draw(networks()))
    if sayable(graph):
        returns(graph, tmp_path_factory.mktemp("nir") / "net.nir")


@settings(max_examples=25)
@given(graph=integer_networks())
def test_integer_graphs_return_the_same(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> None:
    if sayable(graph):
        returns(graph, tmp_path_factory.mktemp("nir") / "net.nir")


# ------------------------------------------------------------------------------------------- what NIR itself says of it


@st.composite
def plain_networks(draw: DrawFn) -> Graph:
    """Networks of neurons that NIR knows, whose leaks are time constants of a power of two."""
    graph = draw(networks(encoders=("direct",)))
    draft = graph.edit()
    for name, node in graph.items():
        if not isinstance(node, (Neuron, Readout)):
            continue
        leak, current_leak = draw(st.sampled_from(((0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (0.5, 0.75), (0.875, 0.5))))
        leaks = {"leak": np.array(leak), "current_leak": np.array(current_leak)}
        if isinstance(node, Readout):
            draft.replace(name, dataclasses.replace(node, **leaks))
            continue
        reset = node.reset_value if leak < 1 else np.array(0.0)
        threshold, bias = node.threshold, node.bias
        draft.replace(name, Neuron(threshold=threshold, bias=bias, reset="set", reset_value=reset, **leaks))
    return draft.finish()


def without_metadata(network: nir.NIRGraph) -> nir.NIRGraph:
    return nir.NIRGraph(network.nodes, network.edges, metadata={"dt": DT}, type_check=False)


@settings(max_examples=40)
@given(data=st.data())
def test_what_nir_says_gives_the_same_spikes(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    graph = data.draw(plain_networks())
    assume(sayable(graph))
    samples = data.draw(samples_for(graph))
    notes = write_nir(SimpleNamespace(trained=graph, integer=graph), tmp_path_factory.mktemp("nir") / "net.nir", dt=DT)
    assume(not any("bias" in note for note in notes))
    network = without_metadata(to_nir(graph, dt=DT))
    assume(not any(isinstance(node, nir.Delay) for node in network.nodes.values()))
    read, words = read_nir(network, timesteps=graph.timesteps)
    assume(late(read) == late(graph))  # where the input enters a cycle at several places, NIR leaves the step open
    assert words[0] == f"one time step is {DT:g} s, as the file states"
    ours, theirs = interpret(graph, samples), interpret(read, samples)
    same_values(theirs.outputs, ours.outputs)
    somas = [name for name, node in graph.items() if isinstance(node, Neuron)]
    same_values({name: theirs.events[name] for name in somas}, {name: ours.events[name] for name in somas})


def late(graph: Graph) -> set[tuple[str, str]]:
    """The connections (soma, soma) that take a step."""
    found = set()
    for name in graph.of_kind(Recurrent):
        waiting, seen = [name], set()
        while waiting:
            reader = waiting.pop()
            if isinstance(graph.node(reader), (Neuron, Readout)):
                found.add((graph.inputs(name)[0], reader))
            elif reader not in seen:
                seen.add(reader)
                waiting += graph.consumers(reader)
    return found


def same_values(one: dict[str, Array], other: dict[str, Array]) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


# --------------------------------------------------------------------------------------------- other tools read it too


@st.composite
def feed_forward(draw: DrawFn) -> Graph:
    """Layers of neurons that NIR and SpikingJelly know; no membrane ever meets a threshold exactly."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from(((2, 6, 6), (1, 5, 4), (5,))))
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [("input", Input(shape=shape), ())]
    nodes.append(("encoder", DirectEncoder(), ("input",)))

    def weights(*sizes: int) -> Array:
        return rng.integers(-6, 9, sizes) / 4

    def neuron(name: str, source: str) -> str:
        threshold = np.array(rng.integers(1, 12) / 4 + 2**-20)
        leak, current = draw(st.sampled_from(((1.0, 0.0), (0.5, 0.0), (0.75, 0.0), (0.5, 0.5), (0.75, 0.5))))
        node = Neuron(threshold=threshold, leak=np.array(leak), current_leak=np.array(current), reset="set")
        nodes.append((name, node, (source,)))
        return name

    last = "encoder"
    if len(shape) == 3:
        nodes.append(("conv", Conv2d(weight=weights(3, shape[0], 3, 3), padding=(1, 1)), (last,)))
        nodes.append(("pool", AvgPool2d(kernel=(2, 2), stride=(2, 2)), (neuron("first", "conv"),)))
        nodes.append(("flatten", Flatten(), ("pool",)))
        last, shape = "flatten", (3 * (shape[1] // 2) * (shape[2] // 2),)
    nodes.append(("fc", Linear(weight=weights(4, *shape), bias=weights(4)), (last,)))
    nodes.append(("out", Linear(weight=weights(3, 4)), (neuron("second", "fc"),)))
    return Graph("plain", "traced", 5, nodes, (neuron("last", "out"),))


@settings(max_examples=15)
@given(graph=feed_forward(), seed=st.integers(0, 2**32 - 1))
def test_spikingjelly_reads_it(graph: Graph, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import nir_exchange

    path = tmp_path_factory.mktemp("nir") / "net.nir"
    notes = write_nir(SimpleNamespace(trained=graph, integer=graph), path, dt=DT)
    assert notes == []
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        net = nir_exchange.import_from_nir(path, dt=DT, dtype=torch.float64)
        samples = np.random.default_rng(seed).integers(0, 3, (2, 5, *graph.shape("input"))).astype(np.float64)
        state, spikes = None, []
        for t in range(5):
            out, state = net(torch.tensor(samples[:, t]), state)
            spikes.append(out.numpy())
    np.testing.assert_array_equal(np.stack(spikes, axis=1), interpret(graph, samples).events["last"])


# ------------------------------------------------------------------------------------------------- node by node, notes


def network_of(
    *middle: Node, shape: tuple[int, ...] = (2,), soma: Node | None = None, stage: Stage = "traced"
) -> Graph:
    """input -> encoder -> 0 -> 1 -> … -> soma, not verified."""
    nodes = [Input(shape=shape), DirectEncoder(), *middle, soma or Neuron(threshold=np.array(1.0), reset="set")]
    names = ["input", "encoder", *map(str, range(len(middle))), "soma"]
    sources = [(), *((name,) for name in names)]
    return Graph("net", stage, 3, list(zip(names, nodes, sources[: len(names)], strict=True)), ("soma",))


def told(graph: Graph, path: Path) -> list[str]:
    return write_nir(SimpleNamespace(trained=graph, integer=graph), path / "net.nir", dt=DT)


@pytest.mark.parametrize(
    ("node", "shape", "message"),
    [
        (MaxPool2d(kernel=(2, 2), stride=(2, 2)), (1, 4, 4), "0: NIR has no node for a MaxPool2d"),
        (ConvTranspose2d(weight=np.ones((1, 1, 2, 2))), (1, 4, 4), "0: NIR has no node for a ConvTranspose2d"),
        (Relu(), (2,), "0: NIR has no node for a Relu"),
        (Reshape(shape=(2, 1)), (2,), "0: NIR has no node for a Reshape of (2,) to (2, 1), only for joining axes"),
        (Reshape(shape=(2, 3)), (3, 2), "0: NIR has no node for a Reshape of (3, 2) to (2, 3)"),
        (
            Reshape(shape=(3, 2, 2)),
            (3, 4),
            "0: NIR has no node for a Reshape of (3, 4) to (3, 2, 2), only for joining axes (Flatten)",
        ),
        (
            BatchNorm(gamma=np.ones(5000), beta=np.ones(5000), mean=np.ones(5000), variance=np.ones(5000), epsilon=0.1),
            (5000,),
            "0: NIR has no batch norm, and a matrix in its place is too large for (5000,); export the integer graph",
        ),
    ],
)
def test_what_nir_cannot_say_is_refused(node: Node, shape: tuple[int, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(GraphError) as error:
        told(network_of(node, shape=shape), tmp_path)
    assert str(error.value).startswith(f"the network cannot be said in NIR: {message}")
    assert not list(tmp_path.iterdir())


def test_all_that_cannot_be_said_comes_at_once() -> None:
    graph = network_of(Relu(), MaxPool2d(kernel=(2, 2), stride=(2, 2)), shape=(1, 4, 4))
    with pytest.raises(GraphError, match="0: NIR has no node for a Relu; 1: NIR has no node for a MaxPool2d"):
        to_nir(graph, dt=DT)


@pytest.mark.parametrize("name", ["a/b", "..", ""])
def test_names_that_hdf5_does_not_allow_are_refused(name: str) -> None:
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=(2,)), ()),
        ("encoder", DirectEncoder(), ("input",)),
        (name, Neuron(threshold=np.array(1.0)), ("encoder",)),
    ]
    with pytest.raises(GraphError, match="this name cannot stand in an HDF5 file, rename it"):
        to_nir(Graph("net", "traced", 2, nodes, (name,)), dt=DT)


def test_other_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GraphError, match="graph 'net' is in chip time, which NIR cannot say; export the integer graph"):
        to_nir(network_of(stage="mapped"), dt=DT)
    for dt in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(InputError, match=r"--dt is .*; it must be a positive number of seconds"):
            to_nir(network_of(), dt=dt)
    with pytest.raises(FileNotFoundError):
        told(network_of(), tmp_path / "nowhere")
    monkeypatch.setitem(sys.modules, "nir", None)
    with pytest.raises(InputError, match="writing NIR needs the package nir; pip install nir"):
        told(network_of(), tmp_path)


def test_what_only_neurocompile_reads_back_is_told(tmp_path: Path) -> None:
    strange = Neuron(
        threshold=np.array(1.0), order="fire_first", compare="at_or_above", spikes="signed", single_spike=True,
        leaky_reset=False, bias=np.array(0.5),
    )  # fmt: skip
    graph = network_of(Scale(weight=np.array(2.0)), soma=strange)
    assert told(graph, tmp_path) == [
        "soma: NIR cannot say the bias here; other tools will not know of it",
        *(
            f"soma: {words}, which only neurocompile reads back"
            for words in (
                "resets by subtraction", "resets in the next step", "fires on what the step before left",
                "fires once in a presentation", "fires at the threshold, not only above", "sends signed spikes",
            )
        ),
    ]  # fmt: skip
    assert returns(graph, tmp_path / "again.nir")


def test_a_bias_stands_in_the_weights_before(tmp_path: Path) -> None:
    soma = Neuron(threshold=np.array(1.0), bias=np.array([0.5, 0.25]), reset="set")
    graph = network_of(Linear(weight=np.ones((2, 2))), soma=soma)
    assert told(graph, tmp_path) == []
    np.testing.assert_array_equal(to_nir(graph, dt=DT).nodes["0"].bias, [0.5, 0.25])


def test_what_is_read_twice_is_scaled() -> None:
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=(2,)), ()),
        ("encoder", DirectEncoder(), ("input",)),
        ("a", Neuron(threshold=np.array(1.0), reset="set"), ("encoder",)),
        ("sum", Add(), ("a", "a", "a")),
        ("b", Neuron(threshold=np.array(1.0), reset="set"), ("sum",)),
    ]
    network = to_nir(Graph("net", "traced", 3, nodes, ("b",)), dt=DT)
    np.testing.assert_array_equal(network.nodes["a.to.b"].scale, 3.0)
    assert sorted(network.edges) == [("a", "a.to.b"), ("a.to.b", "b"), ("b", "output"), ("input", "a")]


def test_spikes_of_the_step_before_are_a_cycle_or_a_delay() -> None:
    """back closes a cycle; late only comes a step later, and so does both, which a reads at once as well."""
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=(2,)), ()),
        ("encoder", DirectEncoder(), ("input",)),
        ("back", Recurrent(shape=(2,)), ("a",)),
        ("a.sum", Add(), ("encoder", "back")),
        ("a", Neuron(threshold=np.array(1.0), reset="set"), ("a.sum",)),
        ("late", Recurrent(shape=(2,)), ("a",)),
        ("b.sum", Add(), ("a", "late")),
        ("b", Neuron(threshold=np.array(1.0), reset="set"), ("b.sum",)),
    ]
    graph = Graph("net", "traced", 3, nodes, ("b",))
    network = to_nir(graph, dt=DT)
    np.testing.assert_array_equal(network.nodes["late"].delay, DT)
    assert sorted(network.edges) == [
        ("a", "a"), ("a", "b"), ("a", "late"), ("b", "output"), ("input", "a"), ("late", "b")
    ]  # fmt: skip
    assert read_nir(network)[0].hash == graph.hash


def test_spikes_that_are_read_at_once_and_a_step_later_within_a_cycle() -> None:
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=(2,)), ()),
        ("encoder", DirectEncoder(), ("input",)),
        ("a.back", Recurrent(shape=(2,)), ("b",)),
        ("a.sum", Add(), ("encoder", "a.back")),
        ("a", Neuron(threshold=np.array(1.0), reset="set"), ("a.sum",)),
        ("b.late", Recurrent(shape=(2,)), ("a",)),
        ("b.sum", Add(), ("a", "b.late")),
        ("b", Neuron(threshold=np.array(1.0), reset="set"), ("b.sum",)),
    ]
    graph = Graph("net", "traced", 3, nodes, ("b",))
    network = to_nir(graph, dt=DT)
    np.testing.assert_array_equal(network.nodes["b.late"].delay, DT)
    assert ("b", "a") in network.edges
    assert read_nir(network)[0].hash == graph.hash


@pytest.mark.parametrize("shape", [(2,), (2, 3), (2, 3, 3)])
def test_a_concat_is_a_sum_of_parts_in_their_places(shape: tuple[int, ...]) -> None:
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=shape), ()),
        ("encoder", DirectEncoder(), ("input",)),
        ("a", Neuron(threshold=np.array(0.5), reset="set"), ("encoder",)),
        ("join", Concat(), ("encoder", "a", "a")),
        ("twice", Add(), ("join", "join")),
        ("b", Neuron(threshold=np.array(1.0), reset="set"), ("twice",)),
    ]
    graph = Graph("net", "traced", 3, nodes, ("b",))
    network = to_nir(graph, dt=DT)
    kind = {1: nir.Linear, 2: nir.Conv1d, 3: nir.Conv2d}[len(shape)]
    assert [type(network.nodes[f"join.{k}"]) for k in range(3)] == [kind] * 3
    assert ("a", "join.1") in network.edges
    np.testing.assert_array_equal(network.nodes["join.0.to.b"].scale, 2.0)
    samples = np.random.default_rng(0).integers(-2, 3, (4, 1, *shape)) / 2
    if len(shape) != 2:  # of which the importer makes reshapes
        plain, _ = read_nir(without_metadata(network), timesteps=1)
        events = interpret(plain, samples).events
        joined = np.concatenate((samples, events["a"], events["a"]), axis=2)
        np.testing.assert_array_equal(events["b"], 2 * joined > 1)


def test_axes_are_joined_by_flatten() -> None:
    flatten = to_nir(network_of(Reshape(shape=(2, 12)), shape=(2, 3, 4)), dt=DT).nodes["0"]
    assert (flatten.start_dim, flatten.end_dim) == (1, 2)
    flatten = to_nir(network_of(Reshape(shape=(6, 4)), shape=(2, 3, 4)), dt=DT).nodes["0"]
    assert (flatten.start_dim, flatten.end_dim) == (0, 1)


def test_a_flipped_comparison_is_said_with_signs() -> None:
    soma = Threshold(threshold=np.array([1.0, -0.5]), flip=np.array([True, False]), bias=np.array(0.25))
    graph = network_of(soma=soma)
    network = to_nir(graph, dt=DT)
    np.testing.assert_array_equal(network.nodes["soma.sign"].scale, [-1.0, 1.0])
    np.testing.assert_array_equal(network.nodes["soma"].threshold, [-0.75, -0.75])
    samples = np.array([[0.5, -1.0], [0.75, -0.75], [2.0, 0.0]])
    plain, _ = read_nir(without_metadata(network), timesteps=3)
    same_values(interpret(plain, samples).outputs, interpret(graph, samples).outputs)
    assert read_nir(network)[0].hash == graph.hash


def test_a_batch_norm_is_a_convolution_or_a_matrix() -> None:
    values = {name: np.array([0.5, 2.0]) for name in ("gamma", "beta", "mean", "variance")}
    norm = BatchNorm(**values, epsilon=0.25)
    for shape in ((2,), (2, 3, 3)):
        network = to_nir(network_of(norm, shape=shape), dt=DT)
        assert isinstance(network.nodes["0"], nir.Conv2d if len(shape) == 3 else nir.Affine)
        graph, plain = network_of(norm, shape=shape), read_nir(without_metadata(network), timesteps=3)[0]
        samples = np.random.default_rng(0).integers(-4, 5, (4, *shape)) / 2
        same_values(interpret(plain, samples).outputs, interpret(graph, samples).outputs)


def test_a_convolution_of_signals_is_one_in_nir() -> None:
    weight = np.arange(18.0).reshape(3, 2, 1, 3)
    conv = Conv2d(weight=weight, stride=(1, 2), padding=(0, 1), bias=np.ones(3))
    graph = network_of(Reshape(shape=(2, 1, 7)), conv, Reshape(shape=(3, 4)), shape=(2, 7))
    network = to_nir(graph, dt=DT)
    assert sorted(network.nodes) == ["1", "input", "output", "soma"]
    assert isinstance(network.nodes["1"], nir.Conv1d)
    np.testing.assert_array_equal(network.nodes["1"].weight, weight[:, :, 0])
    assert sorted(network.edges) == [("1", "soma"), ("input", "1"), ("soma", "output")]


def test_delays_are_seconds() -> None:
    network = to_nir(network_of(AxonDelay(steps=np.array([0, 3]))), dt=DT)
    np.testing.assert_array_equal(network.nodes["0"].delay, [0.0, 3 * DT])


def test_integers_are_told_in_the_unit_of_the_weights() -> None:
    fixed = FixedPoint(fraction_bits=6, decay_bits=12)
    numbers = {"threshold": 96, "leak": 3072, "current_leak": 0, "bias": 32, "reset_value": -64}
    soma = Neuron(**{name: np.array(value) for name, value in numbers.items()}, reset="set", fixed=fixed)  # type: ignore[arg-type]
    linear = Linear(weight=np.array([[1, -2], [3, 4]]), weight_bits=4, weight_exponent=2)
    network = to_nir(network_of(linear, soma=soma), dt=DT)
    np.testing.assert_array_equal(network.nodes["0"].weight, [[4, -8], [12, 16]])
    np.testing.assert_array_equal(network.nodes["0"].bias, 0.5)
    lif = network.nodes["soma"]
    np.testing.assert_array_equal(lif.tau, 4 * DT)
    np.testing.assert_array_equal(lif.r, 4.0)
    np.testing.assert_array_equal(lif.v_threshold, 1.5)
    np.testing.assert_array_equal(lif.v_reset, -1.0)


def test_what_nirs_own_check_cannot_do_is_told(tmp_path: Path) -> None:
    graph = network_of(Conv2d(weight=np.ones((1, 1, 3, 2))), shape=(1, 4, 4))
    (note,) = told(graph, tmp_path)
    assert "nir's own check of shapes fails" in note
    assert "nir.read(path, type_check=False)" in note
    assert nir.read(tmp_path / "net.nir", type_check=False).nodes.keys() == {"input", "0", "soma", "output"}


@pytest.mark.parametrize(
    "encoder", [PoissonEncoder(gain=0.5, seed=3), HybridEncoder(timesteps=3, minimum=-1.0), DctEncoder(block=2)]
)
def test_encoders_that_nir_lacks_are_told(encoder: Node, tmp_path: Path) -> None:
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=(1, 2, 2)), ()),
        ("code", encoder, ("input",)),
        ("a", Neuron(threshold=np.array(1.0), reset="set"), ("code",)),
    ]
    graph = Graph("net", "traced", 3, nodes, ("a",))
    assert returns(graph, tmp_path / "net.nir") == [
        "code: NIR has no encoders; other tools must feed the network with what it sends"
    ]


def test_the_trained_graph_can_be_chosen(tmp_path: Path) -> None:
    program = SimpleNamespace(trained=network_of(), integer=network_of(Scale(weight=np.array(2.0))))
    write_nir(program, tmp_path / "net.nir", trained=True)
    assert read_nir(tmp_path / "net.nir")[0].hash == program.trained.hash
    write_nir(program, tmp_path / "net.nir")
    assert read_nir(tmp_path / "net.nir")[0].hash == program.integer.hash
    assert [path.name for path in tmp_path.iterdir()] == ["net.nir"]


def test_a_compiled_program_goes_out_and_back(tmp_path: Path) -> None:
    nodes = {
        "input": nir.Input(np.array([4])),
        "fc": nir.Affine(weight=np.arange(12.0).reshape(3, 4) / 8 - 0.5, bias=np.full(3, 0.25)),
        "lif": nir.LIF(*(np.full(3, value) for value in (4 * DT, 4.0, 0.0, 1.0))),
        "again": nir.Linear(weight=np.eye(3) / 2),
        "out": nir.Linear(weight=np.ones((2, 3))),
        "li": nir.LI(*(np.full(2, value) for value in (2 * DT, 2.0, 0.0))),
        "output": nir.Output(np.array([2])),
    }
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "again"), ("again", "lif"), ("lif", "out"), ("out", "li")]
    graph, _ = read_nir(nir.NIRGraph(nodes, [*edges, ("li", "output")]), timesteps=8, dt=DT, name="net")
    program = driver.compile_graph(graph, load_target("loihi2-sim"))
    for trained, kept in ((True, program.trained), (False, program.integer)):
        write_nir(program, tmp_path / "net.nir", trained=trained, dt=DT)
        assert read_nir(tmp_path / "net.nir")[0].hash == kept.hash
    weight = to_nir(program.integer, dt=DT).nodes["fc"].weight
    assert weight.dtype.kind == "i"
