"""Running: batches of any engine add up to what one run of all samples gives, and nothing of them is kept unasked."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile import driver
from neurocompile.backends.base import Explains, Progress, Samples, Streams
from neurocompile.backends.functional import FunctionalBackend
from neurocompile.backends.lava import LavaBackend
from neurocompile.backends.reference import ReferenceBackend
from neurocompile.costs.activity import Activity
from neurocompile.errors import InputError
from neurocompile.hardware.target import load_target
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace, interpret
from neurocompile.ir.nodes import Conv2d, DirectEncoder, Flatten, Input, Linear, Neuron, Readout
from neurocompile.program import Program
from neurocompile.recording import hash_arrays
from neurocompile.samples import load_samples

Array = npt.NDArray[Any]
RNG = np.random.default_rng(0)
SAMPLES = RNG.normal(size=(11, 1, 4, 4))
LABELS = np.arange(11) % 3


def compiled(size: int = 4, stride: int = 1) -> Program:
    rng = np.random.default_rng(0)
    conv = Conv2d(weight=rng.normal(size=(2, 1, 3, 3)).astype(np.float32), stride=(stride, stride))
    neurons = 2 * conv.output_shape((1, size, size))[1] ** 2
    nodes = (
        ("input", Input(shape=(1, size, size)), ()),
        ("encoder", DirectEncoder(limit=1.0), ("input",)),
        ("conv", conv, ("encoder",)),
        ("lif", Neuron(threshold=np.array(0.5), leak=np.array(0.9), spikes="signed"), ("conv",)),
        ("flatten", Flatten(), ("lif",)),
        ("linear", Linear(weight=rng.normal(size=(3, neurons)).astype(np.float32)), ("flatten",)),
        ("readout", Readout(), ("linear",)),
    )
    return driver.compile_graph(Graph("net", "traced", 3, nodes, ("readout",)), load_target("reference"))


@pytest.fixture(scope="module")
def program() -> Program:
    return compiled()


class Batched(ReferenceBackend):
    """The interpreter in batches of given sizes, with narrow dtypes; it keeps weak hold of what it gave."""

    name = "batched"

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes
        self.alive: list[int] = []

    def batches(
        self, graph: Graph, samples: Samples, *, first_sample: int = 0, progress: Progress | None = None
    ) -> Iterator[Trace]:
        start, given = first_sample, []
        for size in self.sizes:
            trace = interpret(graph, samples[start : start + size], first_sample=start)
            events = {
                name: values.astype(np.int8 if name == "lif" else np.int16) for name, values in trace.events.items()
            }
            given += [weakref.ref(values) for values in events.values()]
            start += size
            if progress:
                progress(start, len(samples))
            fresh = Trace(trace.outputs, events)
            del trace, events
            yield fresh
            del fresh
            self.alive.append(sum(reference() is not None for reference in given))


def same(one: Activity, other: Activity) -> bool:
    return (one.data, one.samples, one.timesteps) == (other.data, other.samples, other.timesteps) and all(
        np.array_equal(array, getattr(other, kind)[name])
        for kind in ("events", "bits", "active")
        for name, array in getattr(one, kind).items()
    )


@settings(max_examples=25)
@given(data=st.data())
def test_batches_add_up(program: Program, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, 10))))
    engine = Batched(list(np.diff([0, *cuts, 11])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neurocompile.driver.make_backend", lambda *_, **__: engine)
        found = driver.run(program, SAMPLES * 1.1, labels=LABELS, record=True)
    expected = interpret(program.integer, SAMPLES * 1.1)
    assert same(found.activity, Activity.of(program.integer, expected, "11 samples given in memory"))
    assert np.array_equal(found.outputs["readout"], expected.outputs["readout"])
    assert found.outputs["readout"].dtype == np.int64
    assert found.accuracy == float((expected.outputs["readout"].argmax(axis=1) == LABELS).mean())
    assert found.spikes == int((expected.events["lif"] != 0).sum()) > 0
    assert found.saturated == int((np.abs(SAMPLES * 1.1) > 1).sum()) > 0
    assert found.spike_hash == hash_arrays(expected.events)
    assert found.output_hash == hash_arrays(expected.outputs)
    assert found.trace.events.keys() == expected.events.keys()
    for name, values in expected.events.items():
        assert np.array_equal(found.trace.events[name], values)


def test_events_do_not_outlive_their_batch(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Batched([3, 3, 3, 2])
    monkeypatch.setattr("neurocompile.driver.make_backend", lambda *_, **__: engine)
    run = driver.run(program, SAMPLES)
    assert engine.alive == [0, 0, 0, 0]
    assert run.events is None
    assert run.trace.events == {}
    assert run.trace.outputs is run.outputs


@pytest.mark.parametrize("backend", ["functional", "reference"])
def test_samples_are_read_as_they_are_needed(program: Program, backend: str) -> None:
    class Lazy:
        shape, dtype = (500, 1, 4, 4), np.dtype(np.float32)
        longest = 0

        def __len__(self) -> int:
            return 500

        def __getitem__(self, span: slice) -> Array:
            start, stop, _ = span.indices(500)
            self.longest = max(self.longest, stop - start)
            return np.resize(SAMPLES, self.shape).astype(np.float32)[start:stop]

    lazy, seen = Lazy(), []
    run = driver.run(program, lazy, backend=backend, progress=lambda done, total: seen.append((done, total)))
    assert 0 < lazy.longest <= 64
    assert run.activity.samples == 500
    assert seen[-1] == (500, 500)
    assert len(seen) > 5
    whole = driver.run(program, lazy[:], backend="reference")
    assert run.summary() | {"backend": "", "seconds": 0} == whole.summary() | {"backend": "", "seconds": 0}


def test_engines(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    functional, reference, lava = FunctionalBackend(), ReferenceBackend(), LavaBackend()
    assert [isinstance(each, Streams) for each in (functional, reference, lava)] == [True, True, False]
    assert [isinstance(each, Explains) for each in (functional, reference, lava)] == [True, False, False]
    assert driver.run(program, SAMPLES).backend == "functional"
    assert {row["layer"] for row in driver.explain(program)} >= {"conv", "linear"}
    monkeypatch.setattr(FunctionalBackend, "unavailable", lambda _: "no torch here; install it")
    assert driver.run(program, SAMPLES).backend == "reference"
    with pytest.raises(InputError, match="no torch here"):
        driver.run(program, SAMPLES, backend="functional")
    with pytest.raises(
        InputError, match="the reference engine has no kernels to choose from; use --backend functional"
    ):
        driver.explain(program)
    with pytest.raises(InputError, match="--memory is for the functional engine, the backend is reference"):
        driver.run(program, SAMPLES, memory_bytes=1 << 30)


def test_an_engine_without_batches_takes_all_at_once(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    class Whole:
        name = "whole"

        def run(self, graph: Graph, samples: Array, **_: Any) -> Trace:
            assert graph.stage == "mapped"
            return interpret(graph, samples)

    monkeypatch.setattr("neurocompile.driver.make_backend", lambda *_, **__: Whole())
    found = driver.run(program, SAMPLES, record=True)
    expected = interpret(program.integer, SAMPLES)
    assert found.spike_hash == hash_arrays(expected.events)
    assert np.array_equal(found.trace.events["lif"], expected.events["lif"])


def test_samples_that_do_not_fit_are_refused_before_anything_runs(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FunctionalBackend, "batches", lambda *_, **__: pytest.fail("it ran"))
    for wrong, message in (
        (SAMPLES[:, :, 1:], r"input has shape \(11, 1, 3, 4\)"),
        (SAMPLES[:0], "no samples"),
        (SAMPLES.astype(complex), "dtype complex128"),
        (SAMPLES[0, 0, 0, 0], r"input has shape \(\)"),
    ):
        with pytest.raises(InputError, match=message):
            driver.run(program, wrong)
    with pytest.raises(InputError, match=r"labels have shape \(10,\) and dtype int64; give integers of shape \(11,\)"):
        driver.run(program, SAMPLES, labels=LABELS[:-1])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for the memory that it has")
def test_memory_does_not_grow_with_the_data_set(tmp_path: Path) -> None:
    """300 MB of samples in three files, with a bound of 32 MiB: what is mapped does not count, as it can be dropped."""
    program = compiled(64, 8)
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(3):
        np.lib.format.open_memmap(folder / f"{number}.npy", mode="w+", dtype=np.float32, shape=(6_000, 1, 64, 64))
    samples = load_samples(folder)

    def anonymous_bytes() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon"))

    driver.run(program, samples[:256])  # what is loaded and compiled once
    # what earlier tests have freed goes back to the system, or new arrays would come to lie in it unseen
    getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)(0)
    before = anonymous_bytes()
    witness = np.ones(64 << 20, np.uint8)
    assert anonymous_bytes() - before > 32 << 20, "what is measured does not see an array"
    del witness
    before, most = anonymous_bytes(), 0

    def watch(done: int, total: int) -> None:  # noqa: ARG001
        nonlocal most
        most = max(most, anonymous_bytes() - before)

    run = driver.run(program, samples, memory_bytes=32 << 20, progress=watch)
    assert run.activity.samples == 18_000
    assert most < 64 << 20
