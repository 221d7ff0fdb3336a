"""NIR files come from anywhere: what is not what it must be is refused in one sentence, before memory is taken."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from neurocompile.backends.export.nir import to_nir, write_nir
from neurocompile.errors import InputError, NeurocompileError
from neurocompile.frontend.nir import is_nir, read_nir
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import DirectEncoder, Input, Linear, Neuron, Readout

h5py = pytest.importorskip("h5py")
nir = pytest.importorskip("nir")


def small(threshold: float = 1.0) -> Graph:
    weight = np.arange(6).reshape(3, 2) / 4
    return Graph(
        "small",
        "traced",
        4,
        [
            ("input", Input(shape=(2,)), ()),
            ("encoder", DirectEncoder(), ("input",)),
            ("fc", Linear(weight=weight, bias=np.ones(3, np.float32)), ("encoder",)),
            ("lif", Neuron(threshold=np.array(threshold), leak=np.array(0.5)), ("fc",)),
            ("out", Linear(weight=np.ones((2, 3))), ("lif",)),
            ("readout", Readout(), ("out",)),
        ],
        ("readout",),
    )


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A file of neurocompile's own."""
    write_nir(SimpleNamespace(trained=small(), integer=small()), tmp_path / "small.nir")
    return tmp_path / "small.nir"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """The same without metadata, as other tools write it."""
    network = to_nir(small(), dt=1e-3)
    path = tmp_path / "plain.nir"
    nir.write(path, nir.NIRGraph(network.nodes, network.edges, type_check=False))
    return path


def edited(path: Path, edit: Callable[[Any], None]) -> Path:
    with h5py.File(path, "r+") as file:
        edit(file)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read_nir(path, timesteps=3)
    assert str(error.value).startswith(str(path))
    assert str(error.value).count(str(path)) == 1
    assert "\n" not in str(error.value)
    return str(error.value)


# --------------------------------------------------------------------------------------------------------------- HDF5


def test_a_nir_file_is_known_by_its_content(written: Path, tmp_path: Path) -> None:
    assert is_nir(written)
    other = tmp_path / "net.nir"
    assert not is_nir(other)
    assert not is_nir(tmp_path)
    other.write_bytes(b"PK\x03\x04 a checkpoint")
    assert not is_nir(other)
    with h5py.File(other, "w") as file:
        file.create_group("layer")
    assert not is_nir(other)
    other.write_bytes(written.read_bytes()[:200])
    assert not is_nir(other)


def test_without_h5py_the_remedy_is_named(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    for look in (is_nir, lambda path: read_nir(path, timesteps=2)):
        with pytest.raises(InputError, match="is HDF5, which needs h5py to be read; pip install h5py"):
            look(written)


def test_without_nir_files_are_read_all_the_same(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nir", None)
    graph, notes = read_nir(plain, timesteps=3)
    assert graph.name == "plain"
    assert graph.timesteps == 3
    assert notes


def test_a_missing_file_is_the_systems_word(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_nir(tmp_path / "none.nir", timesteps=3)


def test_what_is_no_hdf5(tmp_path: Path, written: Path) -> None:
    path = tmp_path / "no.nir"
    path.write_bytes(b"no")
    assert "is no readable HDF5 file" in refusal(path)
    path.write_bytes(written.read_bytes()[:-700])
    assert "is no readable HDF5 file" in refusal(path)


def test_hdf5_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "netx.net"
    with h5py.File(path, "w") as file:
        file.create_group("layer")
    assert "is HDF5 but not NIR: it has no groups 'node' and 'version'" in refusal(path)


def outside(file: Any, key: str, make: Callable[[Any], None]) -> None:
    parent, _, _ = key.rpartition("/")
    del file[key]
    make(file[parent])


def huge(group: Any) -> None:
    """64 GiB, of which nothing is in the file."""
    group.create_dataset("weight", shape=(1 << 20, 1 << 13), dtype="f8", chunks=(1024, 1024))


def elsewhere(group: Any) -> None:
    group.create_dataset("weight", shape=(3, 2), dtype="f8", external=[("/etc/hostname", 0, 48)])


def virtual(group: Any) -> None:
    layout = h5py.VirtualLayout(shape=(3, 2), dtype="f8")
    layout[:] = h5py.VirtualSource("other.h5", "weight", shape=(3, 2))
    group.create_virtual_dataset("weight", layout)


def records(group: Any) -> None:
    group.create_dataset("weight", data=np.zeros(3, [("a", "i4"), ("b", "f4")]))


def ring(group: Any) -> None:
    group["weight"] = group.parent


DAMAGED: list[tuple[Callable[[Any], None], str]] = [
    (lambda f: outside(f, "node/nodes/fc/weight", huge), "claims 68,719,476,736 bytes, but the file has what makes"),
    (lambda f: outside(f, "node/nodes/fc/weight", elsewhere), "/node/nodes/fc/weight keeps its values in other files"),
    (lambda f: outside(f, "node/nodes/fc/weight", virtual), "/node/nodes/fc/weight keeps its values in other files"),
    (lambda f: outside(f, "node/nodes/fc/weight", ring), "stands in the file twice"),
    (
        lambda f: outside(f, "node/nodes/fc", lambda g: g.__setitem__("fc", h5py.ExternalLink("other.h5", "/node"))),
        "/node/nodes/fc is a link to elsewhere",
    ),
    (
        lambda f: outside(f, "node/nodes/fc", lambda g: g.__setitem__("fc", h5py.SoftLink("/node/nodes/lif"))),
        "/node/nodes/fc is a link to elsewhere",
    ),
    (
        lambda f: outside(f, "node/nodes/fc/weight", lambda g: g.__setitem__("weight", f["node/nodes/out/weight"])),
        "stands in the file twice",
    ),
    (
        lambda f: outside(
            f,
            "node/nodes/fc/weight",
            lambda g: g.create_dataset("weight", data=np.zeros(3, [("a", "i4"), ("b", "f4")])),
        ),
        "it must be numbers or text",
    ),
    (
        lambda f: outside(f, "node/nodes/fc/weight", lambda g: g.create_dataset("weight", data=h5py.Empty("f8"))),
        "/node/nodes/fc/weight must be an array",
    ),
    (
        lambda f: outside(f, "node/nodes/fc/weight", lambda g: g.create_dataset("weight", data=np.ones((3, 2)) + 1j)),
        "has dtype complex128",
    ),
    (
        lambda f: outside(f, "node/nodes/fc/weight", lambda g: g.create_dataset("weight", data=full_of_nan())),
        "fc (Affine): weight has values that are NaN or infinite",
    ),
    (
        lambda f: outside(f, "node/nodes/fc/weight", lambda g: g.create_dataset("weight", data="heavy")),
        "fc (Affine): weight is 'heavy'; it must be numbers",
    ),
    (
        lambda f: outside(f, "node/nodes/fc/type", lambda g: g.create_dataset("type", data=3)),
        "fc: a node must have a type",
    ),
    (lambda f: outside(f, "node/nodes/fc", lambda g: g.create_dataset("fc", data=3)), "fc: a node must have a type"),
    (lambda f: outside(f, "node/nodes", lambda g: g.create_dataset("nodes", data=3)), "a NIRGraph must have nodes"),
    (
        lambda f: outside(f, "node/type", lambda g: g.create_dataset("type", data="LIF")),
        "a NIRGraph, it is 'LIF'",
    ),
    (
        lambda f: outside(f, "node/edges", lambda g: g.create_dataset("edges", data=np.ones((3, 2)))),
        "edges must be pairs of names",
    ),
    (
        lambda f: outside(f, "node/edges", lambda g: g.create_dataset("edges", data=["a", "b"])),
        "edges must be pairs of names",
    ),
    (lambda f: f.__delitem__("node/edges"), "nothing leads to it"),
    (lambda f: outside(f, "node/nodes", deep), "is nested deeper than 64 groups"),
]


def full_of_nan() -> Any:
    return np.full((3, 2), np.nan)


def deep(group: Any) -> None:
    for _ in range(100):
        group = group.create_group("nodes")


@pytest.mark.parametrize(("edit", "message"), DAMAGED)
def test_damaged_files(edit: Callable[[Any], None], message: str, plain: Path) -> None:
    if "nothing leads" in message:  # nor to an input, of which it has none then
        message = "the network has 0 Input nodes that are read"
    assert message in refusal(edited(plain, edit))


@pytest.mark.parametrize("place", [16, 24, 40, 48])
def test_text_whose_heap_is_damaged(place: int, plain: Path) -> None:
    """HDF5's own library would search it without end."""
    data = bytearray(plain.read_bytes())
    heap = data.index(b"GCOL")
    data[heap + place : heap + place + 8] = bytes(8) if place % 16 == 0 else b"\xff" * 8
    plain.write_bytes(data)
    assert "holds text that is damaged; write it again" in refusal(plain)


def test_no_damage_is_a_fault_of_ours(plain: Path, written: Path, tmp_path: Path) -> None:
    """Bytes changed at random: another network, or a refusal, and nothing else."""
    rng = np.random.default_rng(1)
    refused = 0
    for source in (plain, written):
        good = np.frombuffer(source.read_bytes(), np.uint8)
        for turn in range(60):
            bad = good.copy()
            bad[rng.integers(0, len(bad), 1 + turn % 8)] = rng.integers(0, 256)
            path = tmp_path / "bad.nir"
            path.write_bytes(bad.tobytes())
            try:
                read_nir(path, timesteps=3)
            except NeurocompileError:
                refused += 1
    assert refused > 30


# ----------------------------------------------------------------------------------------------------------- metadata


def test_the_same_graph_makes_the_same_bytes(written: Path, tmp_path: Path) -> None:
    write_nir(SimpleNamespace(trained=small(), integer=small()), tmp_path / "again.nir")
    assert (tmp_path / "again.nir").read_bytes() == written.read_bytes()


def test_our_own_file_gives_the_same_graph(written: Path) -> None:
    graph, notes = read_nir(written)
    assert graph.hash == small().hash
    assert notes == ["written by neurocompile: its metadata give the graph of stage 'traced' as it was"]
    again, notes = read_nir(written, timesteps=9, name="other")
    assert (again.name, again.timesteps) == ("other", 9)
    assert "it runs for 9 time steps in place of 4" in notes
    with pytest.raises(InputError, match=r"it says input shape \(2,\), --input-shape says \(3,\); drop it"):
        read_nir(written, input_shape=(3,))


def test_it_survives_another_tool_that_only_passes_it_on(written: Path, tmp_path: Path) -> None:
    nir.write(tmp_path / "passed.nir", nir.read(written))
    assert read_nir(tmp_path / "passed.nir")[0].hash == small().hash
    assert read_nir(nir.read(written))[0].hash == small().hash


def test_nirs_own_fields_stand_for_the_same_network(written: Path) -> None:
    network = nir.read(written)
    assert sorted(network.edges) == [
        ("fc", "lif"), ("input", "fc"), ("lif", "out"), ("out", "readout"), ("readout", "output")
    ]  # fmt: skip
    np.testing.assert_array_equal(network.nodes["lif"].tau, 2e-4)
    np.testing.assert_array_equal(network.nodes["lif"].r, 2.0)
    np.testing.assert_array_equal(network.nodes["fc"].bias, np.ones(3))
    assert float(network.metadata["dt"]) == 1e-4


def change(key: str, value: Any) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        del file[key]
        file.create_dataset(key, data=value)

    return edit


KEY = "node/metadata/neurocompile"
STALE = "the network was changed after neurocompile wrote it, so its metadata 'neurocompile' no longer describe it"
TAMPERED: list[tuple[Callable[[Any], None], str]] = [
    (change("node/nodes/fc/weight", np.zeros((3, 2))), STALE),
    (change("node/nodes/fc/weight", np.arange(6, dtype=np.float32).reshape(3, 2) / 4), STALE),
    (change("node/nodes/lif/v_threshold", np.full(3, 2.0)), STALE),
    (change("node/nodes/lif/type", "LI"), STALE),
    (change("node/edges", [["input", "fc"]]), STALE),
    (lambda f: f.copy("node/nodes/fc", f["node/nodes"], "more"), STALE),
    (change(f"{KEY}/version", 2), "has version 2, this neurocompile reads 1"),
    (change(f"{KEY}/fingerprint", "none"), STALE),
    (change(f"{KEY}/hash", "none"), "metadata 'neurocompile' are not what their hash says"),
    (change(f"{KEY}/arrays/lif/threshold", 2.0), "metadata 'neurocompile' are not what their hash says"),
    (change(f"{KEY}/arrays/lif/threshold", np.nan), "NaN or infinite"),
    (change(f"{KEY}/arrays/lif/threshold", "one"), "graph.nodes[3].threshold is"),
    (change(f"{KEY}/arrays", 3), "the file is damaged, build it again"),
    (change(f"{KEY}/structure", "{"), "hold no structure in JSON"),
    (change(f"{KEY}/structure", "[" * 100_000), "hold no structure in JSON"),
    (change(f"{KEY}/structure", "[]"), "hold no structure in JSON"),
    (change(f"{KEY}/structure", "{}"), "graph: key 'name' is missing"),
    (change(f"{KEY}/structure", 3), "hold no structure in JSON"),
    (change(KEY, "all of it"), "metadata 'neurocompile' is a str; export the network again"),
]


@pytest.mark.parametrize(("edit", "message"), TAMPERED)
def test_metadata_that_are_not_ours_any_more(edit: Callable[[Any], None], message: str, written: Path) -> None:
    assert message in refusal(edited(written, edit))


def test_without_the_metadata_it_is_a_plain_network(written: Path) -> None:
    edited(written, lambda file: file.__delitem__(KEY))
    edited(written, change("node/nodes/fc/weight", np.zeros((3, 2))))
    graph, notes = read_nir(written, timesteps=3)
    fc = graph.node("fc")
    assert isinstance(fc, Linear)
    assert not fc.weight.any()
    assert notes[0] == "one time step is 0.0001 s, as the file states"


def test_a_graph_that_no_stage_allows_is_refused(written: Path) -> None:
    with h5py.File(written) as file:
        structure = file[f"{KEY}/structure"].asstr()[()]
    wrong = structure.replace('"stage": "traced"', '"stage": "integer"')
    hashed = Graph("small", "integer", 4, [(n, g, small().inputs(n)) for n, g in small().items()], ("readout",)).hash
    edited(written, change(f"{KEY}/structure", wrong))
    edited(written, change(f"{KEY}/hash", hashed))
    assert "metadata 'neurocompile': fc: its bias must stand in the soma lif from here on" in refusal(written)


def test_what_is_no_nir_graph_is_refused() -> None:
    with pytest.raises(InputError, match="this int is no NIR graph that can be told"):
        read_nir(3, timesteps=2)  # type: ignore[arg-type]
