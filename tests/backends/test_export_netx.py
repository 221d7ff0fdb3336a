"""What goes out as netx comes back as the same graph, and lava-dl's own loader runs it in Lava to the same spikes."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile.errors import GraphError, InputError
from neurocompile.frontend.cuba import FRACTION_BITS, Chain, Cuba, conv, linear, scale
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import (
    Add,
    Array,
    Conv2d,
    DctEncoder,
    DirectEncoder,
    FixedPoint,
    Flatten,
    HybridEncoder,
    Input,
    Linear,
    Neuron,
    Node,
    PoissonEncoder,
    Readout,
    Recurrent,
    Scale,
    Shape,
    SumPool2d,
    Threshold,
)
from neurocompile.ir.verify import verify
from tests.lava_dl import import_lava_dl

h5py = pytest.importorskip("h5py", reason="h5py is not installed; run: pip install 'neurocompile[netx]'")

from neurocompile.backends.export import netx  # noqa: E402
from neurocompile.backends.export.netx import write_netx  # noqa: E402
from neurocompile.frontend.netx import read_netx  # noqa: E402
from tests.netx_files import chains  # noqa: E402

ROOT = Path(__file__).parents[2]
FIXED = FixedPoint(fraction_bits=6, accumulator_bits=20)
NEURON = Neuron(
    threshold=np.array(40 << 6),
    leak=np.array(3072),
    current_leak=np.array(0),
    bias=np.array(0),
    reset="set",
    reset_value=np.array(0),
    fixed=FIXED,
)
EASY = replace(NEURON, threshold=np.array(3 << 6))
READOUT = Readout(leak=np.array(4096), current_leak=np.array(0), bias=np.array(0), fixed=FIXED, unit=0.5)
SPIKES = DirectEncoder(scale=1.0, low=0, high=1)
WEIGHT = np.array([[20, -30, 4, 6], [8, 50, -52, 2], [-9, 1, 22, 30]], np.int8)
DENSE = Linear(weight=WEIGHT, weight_bits=8)


def network(
    shape: Shape, *steps: Node, encoder: Node = SPIKES, timesteps: int = 6, more: Any = (), reads: str = ""
) -> Graph:
    """One node after the other; ``more`` are further (name, node, inputs)."""
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=shape), ()),
        ("spikes", encoder, ("input",)),
    ]
    for index, node in enumerate(steps):
        nodes.append((f"n{index}", node, (nodes[-1][0],)))
    nodes += more
    return Graph("net", "integer", timesteps, nodes, (reads or nodes[-1][0],))


def written(graph: Graph, folder: Path) -> Path:
    write_netx(graph, folder / "net.net")
    return folder / "net.net"


@pytest.mark.parametrize(
    "encoder",
    [
        HybridEncoder(timesteps=6, minimum=-1.0, maximum=1.5, scale=32.0, low=-127, high=127),
        DctEncoder(block=2, scale=63.5, low=-127, high=127),
    ],
)
def test_encoders_in_time_come_back(encoder: Node, tmp_path: Path) -> None:
    graph = network((1, 2, 2), Flatten(), DENSE, NEURON, encoder=encoder)
    notes = write_netx(graph, tmp_path / "net.net")
    assert any("feed it what spikes sends (-127 to 127), one array per time step" in note for note in notes)
    back = read_netx(tmp_path / "net.net")
    assert vars(back.node("spikes")) == vars(encoder)
    samples = np.random.default_rng(0).normal(size=(3, 1, 2, 2))
    mine, theirs = interpret(graph, samples), interpret(back, samples)
    assert np.array_equal(mine.events["spikes"], theirs.events["spikes"])
    assert np.array_equal(mine.outputs[graph.outputs[0]], theirs.outputs[back.outputs[0]])


def test_a_hybrid_code_for_other_time_steps_is_refused(tmp_path: Path) -> None:
    encoder = HybridEncoder(timesteps=6, scale=64.0, low=0, high=127)
    path = written(network((4,), DENSE, NEURON, encoder=encoder), tmp_path)
    with pytest.raises(GraphError, match="spikes: it codes a picture in 6 time steps, and the network has 4"):
        read_netx(path, timesteps=4)


@settings(max_examples=100)
@given(graph=chains())
def test_generated_chains_come_back_as_they_were(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("netx") / "net.net"
    write_netx(graph, path)
    back = read_netx(path)
    assert back.hash == graph.hash
    assert (back.name, back.timesteps) == (graph.name, graph.timesteps)


@pytest.mark.parametrize(
    "graph",
    [
        network(
            (4,),
            DENSE,
            replace(NEURON, fixed=replace(FIXED, fraction_bits=4), leak=np.array(4096), threshold=np.array(40 << 4)),
        ),
        network((4,), DENSE, replace(NEURON, threshold=np.array((40 << 6) + 1), compare="at_or_above")),
        network(
            (4,), DENSE, Threshold(threshold=np.array([3, -5, 7]), bias=np.array([0, 1, 0]), fixed=FIXED), timesteps=1
        ),
        network((4,), DENSE, NEURON, encoder=DirectEncoder(scale=2.5, low=-7, high=7)),
        network((4,), DENSE, READOUT, encoder=PoissonEncoder(gain=0.5, seed=3)),
        network((4,), Scale(weight=np.array([5, -3, 20, 41]), weight_bits=8), NEURON),
        network(
            (2, 4, 6), SumPool2d(kernel=(2, 3), stride=(2, 3)), Scale(weight=np.array([9, -7]), weight_bits=8), NEURON
        ),
        network(
            (1, 5, 4),
            SumPool2d(kernel=(3, 2), stride=(1, 2), padding=(1, 0)),
            Flatten(),
            Linear(weight=np.arange(-9, 21).reshape(3, 10), weight_bits=8),
            NEURON,
        ),
        network(
            (2, 8, 9),
            SumPool2d(kernel=(2, 2), stride=(2, 2)),
            SumPool2d(kernel=(2, 2), stride=(1, 1)),
            Conv2d(weight=np.arange(-24, 24).reshape(4, 1, 3, 4)[..., :2], groups=2, dilation=(1, 2), weight_bits=8),
            NEURON,
        ),
        network(
            (1, 4, 4),
            SumPool2d(kernel=(2, 2), stride=(2, 2)),
            Conv2d(weight=np.arange(-4, 5).reshape(1, 1, 3, 3), padding=(1, 1), weight_bits=8, weight_exponent=2),
            NEURON,
        ),
        network(
            (1, 3, 3),
            Conv2d(weight=np.arange(-2, 6).reshape(2, 1, 2, 2), weight_bits=8),
            Flatten(),
            EASY,
            Linear(weight=np.arange(-4, 12).reshape(2, 8), weight_bits=8),
            EASY,
        ),
    ],
    ids=[
        "fewer fraction bits",
        "at or above",
        "stateless",
        "graded input",
        "poisson readout",
        "diagonal",
        "pool and scale",
        "pool and dense",
        "pools and conv",
        "pool and padded conv",
        "flat conv",
    ],
)
def test_what_has_no_layer_of_its_own_becomes_one_that_does_the_same(graph: Graph, tmp_path: Path) -> None:
    verify(graph)
    back = read_netx(written(graph, tmp_path))
    rng = np.random.default_rng(0)
    (name,) = graph.of_kind(Input)
    samples = rng.normal(size=(4, graph.timesteps, *graph.shape(name))) * 2
    mine, theirs = interpret(graph, samples), interpret(back, samples)
    fired = 0
    for soma in graph.of_kind(Neuron, Threshold):
        spikes = mine.events[soma]
        np.testing.assert_array_equal(spikes.ravel(), theirs.events[soma].ravel())
        fired += int(spikes.sum())
    assert fired or graph.of_kind(Readout)
    (output,) = graph.outputs
    units = (getattr(each.node(output), "unit", 1.0) for each in (graph, back))
    mine_out, theirs_out = (
        trace.outputs[output].ravel() * unit for trace, unit in zip((mine, theirs), units, strict=True)
    )
    np.testing.assert_array_equal(mine_out, theirs_out)


@settings(max_examples=200)
@given(
    weight=st.lists(st.lists(st.integers(-300, 300), min_size=2, max_size=2), min_size=1, max_size=3),
    step=st.sampled_from([1, 1, 2, 8, 64]),
    sign=st.sampled_from([None, 1, -1]),
    recurrent=st.booleans(),
)
def test_the_loader_keeps_what_we_say_it_keeps(
    weight: list[list[int]], step: int, sign: int | None, recurrent: bool
) -> None:
    """Against lava-dl's own function and Lava's own rules, on matrices of one sign too."""
    utils = import_lava_dl("netx.utils")
    from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights

    matrix = np.array(weight) // step * step
    matrix = matrix if sign is None else sign * np.abs(matrix)
    parts = [matrix[:, :1], matrix[:, 1:]] if recurrent else [matrix]
    try:
        with np.errstate(all="ignore"), contextlib.redirect_stdout(io.StringIO()):
            shifted, bits, exponent, _ = utils.optimize_weight_bits(matrix.copy())
    except (OverflowError, ValueError):
        kept = False
    else:
        kept = exponent <= 0
        for part, own in zip(([shifted[:, :1], shifted[:, 1:]] if recurrent else [shifted]), parts, strict=True):
            mode = determine_sign_mode(part)
            if kept:
                held = truncate_weights(clip_weights(part, mode, num_bits=8), mode, bits)
                kept = kept and bool((held == own << -exponent).all())
    assert netx._keeps(parts) == kept


# ------------------------------------------------------------------------------------------------------------ refusals

TWO = [("n1", NEURON, ("n0",)), ("n2", Linear(weight=np.array([[9, -9, 3]]), weight_bits=8), ("n1",))]


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (
            network((4,), DENSE, replace(NEURON, reset="subtract")),
            "n1: netx cannot say this layer's neurons, because they reset by subtraction; build with --reset zero",
        ),
        (
            network((4,), DENSE, replace(NEURON, threshold=np.array([64, 64, 128]))),
            "differ between neurons; build with --scales tensor",
        ),
        (
            network((4,), DENSE, replace(NEURON, bias=np.array(32))),
            "n1: its bias is 0.5 weights at most, and netx has whole",
        ),
        (
            network((4,), DENSE, replace(NEURON, spikes="graded")),
            "n1: .* its order or its spikes are not the stock ones",
        ),
        (
            network((4,), replace(DENSE, weight_exponent=15), READOUT, timesteps=50),
            "n1: .* (wrap|pass the highest threshold)",
        ),
        (
            network((4,), replace(DENSE, weight_exponent=4), READOUT, timesteps=200),
            "n1: its membrane may reach 12,288,000 and so pass the highest threshold that netx has, 8,388,544",
        ),
        (
            network((4,), replace(DENSE, weight=np.full((3, 4), -128), weight_bits=8), NEURON),
            r"n1: the loader of lava-dl 0.6.0 would change its weights \(-128 to -128\)",
        ),
        (network((4,), replace(DENSE, weight=np.zeros((3, 4), np.int8)), NEURON), "would change its weights"),
        (
            network(
                (1, 5, 5),
                SumPool2d(kernel=(2, 2), stride=(2, 2)),
                Conv2d(weight=np.ones((1, 1, 3, 3), np.int8), padding=(1, 1), weight_bits=8),
                NEURON,
            ),
            "n1: it pads what a pool gives whose windows overlap or leave values out",
        ),
        (network((128, 1, 1), Scale(weight=np.array(3), weight_bits=8), NEURON), "groups of 128, limit 127"),
        (
            network((2, 2), Scale(weight=np.ones((2, 2), np.int8), weight_bits=8), NEURON),
            r"n0: it scales \(2, 2\) values one by one",
        ),
        (
            network(
                (4,),
                DENSE,
                more=[
                    *TWO,
                    ("n3", Linear(weight=np.ones((1, 4), np.int8), weight_bits=8), ("spikes",)),
                    ("sum", Add(), ("n2", "n3")),
                    ("end", NEURON, ("sum",)),
                ],
            ),
            "end: it reads n1, spikes, and in netx a layer reads only the one before it, which is n1",
        ),
        (
            network((4,), DENSE, more=[*TWO, ("end", NEURON, ("n2",))], reads="n1"),
            "n1: netx has one output, its last layer, which is end",
        ),
        (
            network(
                (1, 3, 3),
                more=[
                    ("back", Recurrent(shape=(1, 3, 3)), ("end",)),
                    ("w", Conv2d(weight=np.ones((1, 1, 1, 1), np.int8), weight_bits=8), ("spikes",)),
                    ("v", Conv2d(weight=np.ones((1, 1, 1, 1), np.int8), weight_bits=8), ("back",)),
                    ("sum", Add(), ("w", "v")),
                    ("end", NEURON, ("sum",)),
                ],
            ),
            "end: its own spikes come back to a convolution",
        ),
    ],
)
def test_what_netx_cannot_say_is_refused_by_name(graph: Graph, message: str, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=message):
        written(graph, tmp_path)
    assert not list(tmp_path.iterdir())


def test_only_integers_go_out_and_only_where_one_can_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network((4,), DENSE, NEURON)
    draft = graph.edit()
    with pytest.raises(GraphError, match="'spiking'; netx holds integers"):
        written(draft.finish("spiking"), tmp_path)
    with pytest.raises(InputError, match="cannot be written"):
        write_netx(graph, tmp_path / "nowhere" / "net.net")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"needs h5py; pip install 'neurocompile\[netx\]'"):
        written(graph, tmp_path)


def test_the_same_graph_gives_the_same_bytes(tmp_path: Path) -> None:
    graph = network((4,), DENSE, NEURON)
    write_netx(graph, tmp_path / "a.net")
    write_netx(graph, tmp_path / "b.net")
    assert (tmp_path / "a.net").read_bytes() == (tmp_path / "b.net").read_bytes()


def test_notes_say_how_to_run_it(tmp_path: Path) -> None:
    notes = write_netx(
        network((4,), DENSE, READOUT, encoder=DirectEncoder(scale=1.0, low=-7, high=7)), tmp_path / "n.net"
    )
    assert "reset_interval=6, reset_offset=1" in notes[0]
    assert "feed it what spikes sends (-7 to 7)" in notes[1]
    assert "input_message_bits=8" in notes[1]
    assert "its result is net.layers[-1].neuron.v" in notes[2]


# ------------------------------------------------------------------------------------------------------------- in Lava


def run_in_lava(path: Path, *, layers: int, **given: Any) -> dict[str, Array]:
    """What lava-dl's netx gives for the first ``layers`` of a file; see ``netx_runner``."""
    folder = path.parent
    np.savez(folder / "in.npz", **{"offset": 1, "message_bits": 0, "layers": layers, **given})
    command = [sys.executable, "-m", "tests.backends.netx_runner", path, folder / "in.npz", folder / "out.npz"]
    # a failure in Lava hangs, so the group is killed
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    worker = subprocess.Popen(
        [str(each) for each in command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
    )
    try:
        log, _ = worker.communicate(timeout=150)
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.communicate()
    assert worker.returncode == 0, log.decode(errors="replace")[-3000:]
    with np.load(folder / "out.npz") as found:
        return dict(found)


def images() -> Graph:
    """Convolutions, one of them with a pool folded into it, a flattening and a readout."""
    rng = np.random.default_rng(1)
    chain = Chain("images", 5)
    chain.start((2, 6, 7))
    neuron = Cuba(np.array(4096), np.array(1024), 12)
    chain.layer(
        "c0",
        [("w0", conv(2 * rng.integers(-9, 10, (3, 2, 3, 2)), padding=(1, 0), stride=(1, 2)))],
        neuron,
        bias=rng.integers(-5, 6, 3) << FRACTION_BITS,
    )
    chain.layer(
        "c1",
        [("p1", SumPool2d(kernel=(2, 1), stride=(2, 1))), ("w1", conv(rng.integers(-9, 30, (4, 3, 2, 2))))],
        Cuba(np.array(1024), np.array(64), 200),
    )
    chain.flatten()
    chain.layer("d2", [("w2", linear(rng.integers(-60, 60, (5, 16))))], Cuba(np.array(2048), np.array(400), 50))
    chain.layer("out", [("w3", linear(rng.integers(-80, 90, (3, 5))))], replace(neuron, threshold=None))
    return chain.finish()


@pytest.mark.slow
@pytest.mark.lava
def test_lava_dl_runs_images_one_after_the_other_to_the_same_spikes(tmp_path: Path) -> None:
    import_lava_dl("netx.hdf5")
    graph = images()
    expected = interpret(graph, (np.random.default_rng(2).random((3, 5, 2, 6, 7)) < 0.4).astype(float))
    path, events = written(graph, tmp_path), expected.events["spikes"]
    found = run_in_lava(path, layers=5, events=events, timesteps=5)
    spikes = expected.events["d2"].reshape(15, -1)
    assert 0.1 < spikes.mean() < 0.9
    np.testing.assert_array_equal(found["spikes"][3:18], spikes)
    found = run_in_lava(path, layers=6, events=events, timesteps=5)
    np.testing.assert_array_equal(found["membrane"], expected.outputs["out"][-1])


@pytest.mark.slow
@pytest.mark.lava
def test_lava_dl_runs_recurrent_layers_and_graded_input_to_the_same_spikes(tmp_path: Path) -> None:
    import_lava_dl("netx.hdf5")
    rng = np.random.default_rng(3)
    chain = Chain("recurrent", 12, encoder=DirectEncoder(scale=1.0, low=-7, high=7))
    chain.start((4,))
    chain.layer(
        "r",
        [("w", linear(2 * rng.integers(-20, 21, (6, 4))))],
        Cuba(np.array(1000), np.array(300), 40),
        recurrent=2 * rng.integers(-60, 50, (6, 6)),
    )
    chain.layer("d", [("v", linear(rng.integers(-100, 120, (3, 6))))], Cuba(np.array(4096), np.array(0), 20))
    graph = chain.finish()
    expected = interpret(graph, rng.integers(-7, 8, (1, 12, 4)).astype(float))
    path = written(graph, tmp_path)
    found = run_in_lava(path, layers=3, events=expected.events["spikes"], timesteps=12, message_bits=8)
    spikes = expected.events["d"][0]
    assert 0.1 < spikes.mean() < 0.9
    np.testing.assert_array_equal(found["spikes"][2:14], spikes)


def late(**delays: Any) -> Graph:
    """Two layers. ``delays``: of the first one's axons, of the input, and other things of the first."""
    rng = np.random.default_rng(6)
    chain = Chain("late", 14)
    chain.start((4,))
    first = Cuba(np.array(delays.pop("memory", 3000)), np.array(300), 60)
    chain.layer("a", [("w", linear(rng.integers(-40, 70, (6, 4))))], first, **delays)
    chain.layer("b", [("v", linear(rng.integers(-70, 90, (3, 6))))], Cuba(np.array(4096), np.array(100), 40))
    return chain.finish()


OWN, OF_INPUT = np.array([0, 5, 2, 1, 0, 3]), np.array([0, 2, 1, 4])


@pytest.mark.slow
@pytest.mark.lava
@pytest.mark.parametrize("delays", [{"delays": OWN}, {"input_delays": OF_INPUT}])
def test_lava_dl_runs_delays_to_the_same_spikes(delays: dict[str, Array], tmp_path: Path) -> None:
    import_lava_dl("netx.hdf5")
    graph = late(**delays)
    path = written(graph, tmp_path)
    back = read_netx(path)
    samples = np.random.default_rng(7).integers(0, 2, (1, 14, 4)).astype(float)
    expected = interpret(graph, samples)
    np.testing.assert_array_equal(interpret(back, samples).events["b"], expected.events["b"])
    found = run_in_lava(path, layers=3, events=expected.events["spikes"], timesteps=14)
    spikes = expected.events["b"][0]
    assert 0.1 < spikes.mean() < 0.9
    assert (interpret(late(), samples).events["b"][0] != spikes).any()
    np.testing.assert_array_equal(found["spikes"][2:16], spikes)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (late(delays=OWN, input_delays=OF_INPUT), "b: .* of a layer whose own input is late, a; train without them"),
        (
            late(delays=OWN, memory=4096, bias=np.array(64)),
            "b: .* of a layer with a bias, which lava-dl's loader does not",
        ),
        (
            network(
                (4,),
                DENSE,
                NEURON,
                more=[
                    ("past", Recurrent(shape=(3,), steps=63), ("n1",)),
                    ("w", Linear(weight=np.eye(3, dtype=np.int8), weight_bits=8), ("past",)),
                    ("end", NEURON, ("w",)),
                ],
            ),
            "end: netx cannot say the delays of what it reads, which have up to 63 steps, limit 62",
        ),
        (
            network(
                (4,),
                more=[
                    ("past", Recurrent(shape=(4,), steps=2), ("spikes",)),
                    ("w", Linear(weight=np.eye(4, dtype=np.int8), weight_bits=8), ("past",)),
                    ("end", NEURON, ("w",)),
                ],
            ),
            "end: .* of a network's input, where the next layer is not dense or has as many neurons as the input",
        ),
    ],
)
def test_delays_that_netx_cannot_say(graph: Graph, message: str, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=message):
        written(graph, tmp_path)


@pytest.mark.slow
@pytest.mark.lava
def test_lava_dl_runs_an_input_that_is_a_bias_to_the_same_spikes(tmp_path: Path) -> None:
    import_lava_dl("netx.hdf5")
    rng = np.random.default_rng(4)
    chain = Chain("biased", 9)
    chain.start((2, 3, 4), DirectEncoder(scale=36.0, low=-127, high=127))
    neuron = Cuba(np.array(4096), np.array(1024), 25)
    chain.layer("in", [("s", scale(np.array(1)))], neuron, bias=np.array(20 << FRACTION_BITS))
    chain.layer("c", [("w", conv(rng.integers(-12, 20, (3, 2, 2, 2))))], neuron)
    graph = chain.finish()
    codes = rng.integers(-36, 37, (1, 2, 3, 4))
    expected = interpret(graph, codes / 36)
    found = run_in_lava(written(graph, tmp_path), layers=2, bias=codes[0] + 20, timesteps=9, offset=0)
    spikes = expected.events["c"].reshape(9, -1)
    assert 0.1 < spikes.mean() < 0.9
    np.testing.assert_array_equal(found["spikes"][1:10], spikes)
