"""The functional engine: which kernel it takes, why, and what it leaves as it was."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from neurocompile.backends.functional import FunctionalBackend, backend, plan, products, somas
from neurocompile.errors import GraphError, InputError
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import (
    Array,
    Conv2d,
    DirectEncoder,
    FixedPoint,
    Input,
    Linear,
    Neuron,
    Node,
    Readout,
    Recurrent,
    SumPool2d,
    Threshold,
)

FIXED = FixedPoint(state_bits=32, accumulator_bits=40)


def neuron(threshold: int = 1000, **choices: Any) -> Neuron:
    return Neuron(**{"threshold": np.array(threshold), "leak": np.array(FIXED.one), "current_leak": np.array(0),
                     "bias": np.array(0), "reset_value": np.array(0), "fixed": FIXED, **choices})  # fmt: skip


def readout() -> Readout:
    return Readout(leak=np.array(FIXED.one), current_leak=np.array(0), bias=np.array(0), fixed=FIXED)


def chain(*nodes: Node, shape: tuple[int, ...], steps: int = 1, high: int = 255, low: int = 0) -> Graph:
    """input -> encoder -> ``nodes``, one behind the other, called n0, n1, ..."""
    names = ["direct", *(f"n{index}" for index in range(len(nodes)))]
    triples: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=shape), ()),
        ("direct", DirectEncoder(scale=1.0, low=low, high=high), ("input",)),
        *((name, node, (before,)) for name, node, before in zip(names[1:], nodes, names, strict=False)),
    ]
    return Graph("chain", "integer", steps, triples, (names[-1],))


def linear(weight: Any, exponent: int = 0, bits: int = 8) -> Linear:
    return Linear(weight=np.asarray(weight), weight_bits=bits, weight_exponent=exponent)


def kernels(graph: Graph) -> list[str]:
    return [row["kernel"] for row in FunctionalBackend().explain(graph)]


def assert_exact(graph: Graph, samples: Array) -> None:
    expected, found = interpret(graph, samples), FunctionalBackend().run(graph, samples)
    for name, values in {**expected.outputs, **expected.events}.items():
        np.testing.assert_array_equal({**found.outputs, **found.events}[name], values, err_msg=name)


bytes_only = pytest.mark.skipif(not products.byte_kernels(), reason="torch has no oneDNN kernels of bytes here")


# ------------------------------------------------------------------------------------------------- which kernel, why


@bytes_only
@pytest.mark.parametrize(
    ("fan_in", "high", "bits", "weight", "kernel"),
    [
        (4, 255, 8, 127, "u8 x s8"),
        (4, 256, 8, 127, "float32"),  # no byte
        (4, 255, 9, 128, "float32"),  # nor this
        (518, 255, 8, 127, "u8 x s8"),  # 518 * 255 * 127 = 16,775,430 < 2**24 = 16,777,216
        (519, 255, 8, 127, "float64"),
        (1, 1, 32, (1 << 24) - 1, "float32"),
        (1, 1, 32, 1 << 24, "float64"),
    ],
)
def test_the_bound_chooses_the_kernel(fan_in: int, high: int, bits: int, weight: int, kernel: str) -> None:
    graph = chain(linear([[weight] * fan_in], bits=bits), readout(), shape=(fan_in,), high=high)
    assert kernels(graph) == [kernel]
    assert_exact(graph, np.full((2, fan_in), float(high)))


@pytest.mark.parametrize(("exponent", "kernel"), [(7, "float64"), (8, "int64")])
def test_beyond_float64_it_takes_the_interpreters_integers(exponent: int, kernel: str) -> None:
    # 2**31 - 1 of a weight, times 2**15 - 1 of an input, times 2**exponent: just below and above 2**53
    graph = chain(linear([[(1 << 31) - 1]], exponent, bits=32), readout(), shape=(1,), high=(1 << 15) - 1, steps=2)
    assert kernels(graph) == [kernel]
    assert_exact(graph, np.array([[32767.0], [12345.0]]))


@bytes_only
def test_signed_inputs_are_shifted_by_128() -> None:
    rng = np.random.default_rng(0)
    node = Conv2d(weight=rng.integers(-127, 128, (3, 2, 3, 3)).astype(np.int8), padding=(1, 1), weight_bits=8)
    graph = chain(node, neuron(), shape=(2, 5, 5), low=-128, high=127, steps=3)
    assert kernels(graph) == ["u8 x s8"]
    assert_exact(graph, rng.integers(-128, 128, (4, 2, 5, 5)).astype(float))


@bytes_only
def test_every_bound_is_told() -> None:
    graph = chain(linear([[1, -2]]), neuron(), shape=(2,), high=3, steps=2)
    (row,) = FunctionalBackend().explain(graph)
    assert row["layer"] == "n0"
    assert row["soma"] == "n1"
    assert row["why"].startswith("inputs 0..3, sums within 6 < 2^24; bytes")
    assert row["state"] == "membrane, float64"


@bytes_only
def test_without_vnni_pairs_of_bytes_must_fit_16_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "has_vnni", lambda: False)
    # 2 * 129 * 127 = 32,766 < 2**15 = 32,768 < 2 * 130 * 127
    for high, kernel in ((129, "u8 x s8"), (130, "float32")):
        assert kernels(chain(linear([[127, 1]]), readout(), shape=(2,), high=high)) == [kernel]
    assert kernels(chain(linear([[127, 1]]), readout(), shape=(2,), low=-1, high=1)) == ["float32"]


def test_without_kernels_of_bytes_it_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "byte_kernels", lambda: False)
    rng = np.random.default_rng(1)
    weight = rng.integers(-127, 128, (3, 2, 3, 3)).astype(np.int8)
    fires = Threshold(threshold=np.array([10, 0, -10]), bias=np.array(0), fixed=FIXED)
    graph = chain(Conv2d(weight=weight, weight_bits=8), fires, shape=(2, 5, 5))
    (row,) = FunctionalBackend().explain(graph)
    assert row["kernel"] == "float32"
    assert row["state"] == "none, float64"
    assert_exact(graph, rng.integers(0, 256, (4, 2, 5, 5)).astype(float))


def test_where_float32_is_rounded_it_takes_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "byte_kernels", lambda: False)
    monkeypatch.setattr(products, "_float32_under", lambda _: False)
    assert kernels(chain(linear([[1]]), readout(), shape=(1,))) == ["float64"]


@pytest.mark.parametrize("cast", [torch.bfloat16, torch.float16])
def test_rounding_of_float32_is_noticed(monkeypatch: pytest.MonkeyPatch, cast: torch.dtype) -> None:
    assert products.float32_is_whole()
    for module, name in ((torch.nn.functional, "conv2d"), (torch, "matmul")):
        whole = getattr(module, name)

        def rounded(x: torch.Tensor, y: torch.Tensor, whole: Any = whole, **options: Any) -> torch.Tensor:
            if x.dtype == torch.float32:
                x, y = x.to(cast).float(), y.to(cast).float()
            return whole(x, y, **options)

        with monkeypatch.context() as patch:
            patch.setattr(module, name, rounded)
            assert not products.float32_is_whole()


@pytest.mark.parametrize("name", ["autocast", "mkldnn off", "float64", "meta"])
def test_settings_of_torch_do_not_show(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether they were there when the plan was made, or came later."""
    monkeypatch.setattr(products, "byte_kernels", lambda: False)
    rng = np.random.default_rng(8)
    weight = rng.integers(-99, 100, (8, 6, 3, 3)).astype(np.int8)
    graph = chain(Conv2d(weight=weight, padding=(1, 1), weight_bits=8), neuron(500), shape=(6, 9, 9), steps=2)
    samples = rng.integers(0, 256, (40, 6, 9, 9)).astype(float)
    expected = interpret(graph, samples).events["n1"]
    before = FunctionalBackend()
    before.run(graph, samples[:1])
    settings: dict[str, Any] = {
        "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
        "mkldnn off": lambda: _without_onednn(),
        "float64": lambda: _default_dtype(torch.float64),
        "meta": lambda: torch.device("meta"),
    }
    with settings[name]():
        for engine in (before, FunctionalBackend()):
            np.testing.assert_array_equal(engine.run(graph, samples).events["n1"], expected)
            np.testing.assert_array_equal(engine.run(graph, samples[:1]).events["n1"], expected[:1])


@contextlib.contextmanager
def _without_onednn() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.backends.mkldnn, "enabled", False)
        yield


@contextlib.contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.mark.slow
@bytes_only
def test_less_than_the_processor_has_is_noticed() -> None:
    """oneDNN can be told to; then neighbouring products of bytes are added in 16 bits."""
    program = "from neurocompile.backends.functional import products as p; print(p.byte_kernels(), p.has_vnni())"
    for isa, vnni in (("AVX2", "False"), ("ALL", str(products.has_vnni()))):
        found = subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "ONEDNN_MAX_CPU_ISA": isa},
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        assert found.stdout.split()[-1] == vnni


@pytest.mark.parametrize("count", [1, 9])
@pytest.mark.parametrize(
    ("channels", "groups", "kernel", "stride", "padding", "size"),
    [
        (2, 2, (3, 3), (1, 2), (0, 1), (6, 2)),  # oneDNN's kernels of bytes are wrong here
        (2, 2, (2, 5), (1, 4), (1, 1), (4, 5)),  # and here
        (1, 1, (3, 3), (1, 2), (1, 1), (6, 2)),  # its float32 is, where a map of one channel says "channels last"
        (1, 1, (3, 3), (1, 2), (1, 1), (6, 1)),
    ],
)
def test_geometries_that_kernels_get_wrong(
    channels: int, groups: int, kernel: Any, stride: Any, padding: Any, size: Any, count: int
) -> None:
    rng = np.random.default_rng(5)
    for low, high in ((0, 7), (-7, 7), (0, 999)):
        weight = rng.integers(-7, 8, (4, channels // groups, *kernel)).astype(np.int8)
        node = Conv2d(weight=weight, stride=stride, padding=padding, groups=groups, weight_bits=8)
        graph = chain(node, neuron(5), shape=(channels, *size), low=low, high=high, steps=2)
        assert_exact(graph, rng.integers(low, high + 1, (count, channels, *size)).astype(float))


def test_a_kernel_that_answers_wrongly_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    products._answers_rightly.cache_clear()
    monkeypatch.setattr(products.Floating, "__call__", lambda _, frames: frames.float()[:, :1] + 1)
    monkeypatch.setattr(products, "byte_kernels", lambda: False)
    graph = chain(linear([[1, 2]]), readout(), shape=(2,))
    (row,) = FunctionalBackend().explain(graph)
    products._answers_rightly.cache_clear()
    assert row["kernel"] == "int64"
    assert row["why"] == "inputs 0..255, sums within 765; torch's kernels answer wrongly here"
    assert_exact(graph, np.array([[3.0, 4.0]]))


# ------------------------------------------------------------------------------------------------------- T = 1, T > 1


@bytes_only
@pytest.mark.parametrize("compare", ["above", "at_or_above"])
@pytest.mark.parametrize("exponent", [0, 3])
def test_a_threshold_is_compared_in_the_kernel(compare: Any, exponent: int) -> None:
    """At every distance from the threshold, for channels of both directions, and for thresholds out of reach."""
    sums = np.arange(-20, 21)
    weight = np.stack([np.ones(2), np.ones(2), [1, -1], [0, 0]]).astype(np.int8)
    thresholds = np.array([13, -40, 5, 0]) << exponent
    fires = Threshold(
        threshold=thresholds + np.array([1, 0, 3, 0]),
        bias=np.array([0, 3, -2, 0]),
        flip=np.array([False, True, True, False]),
        compare=compare,
        fixed=FIXED,
    )
    graph = chain(linear(weight, exponent), fires, shape=(2,), low=-20, high=20)
    (row,) = FunctionalBackend().explain(graph)
    assert row["state"] == "compared in the kernel"
    assert_exact(graph, np.stack(np.meshgrid(sums, sums), axis=-1).reshape(-1, 2).astype(float))


@bytes_only
def test_one_time_step_keeps_no_state(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("a soma was stepped")

    fires = Threshold(threshold=np.array(3), bias=np.array(0), fixed=FIXED)
    graph = chain(linear(np.eye(4, dtype=np.int8)), fires, linear(np.ones((2, 4), np.int8)), fires, shape=(4,), high=7)
    expected = interpret(graph, np.arange(8.0).reshape(2, 4))
    for kind in (somas.NeuronLoop, somas.ThresholdLoop, somas.Interpreted):
        monkeypatch.setattr(kind, "begin", fail)
    found = FunctionalBackend().run(graph, np.arange(8.0).reshape(2, 4))
    np.testing.assert_array_equal(found.outputs["n3"], expected.outputs["n3"])


def test_of_a_chain_two_activations_are_alive_at_a_time() -> None:
    fires = Threshold(threshold=np.array(0), bias=np.array(0), fixed=FIXED)
    layers = [node for _ in range(6) for node in (linear(np.ones((1000, 1000), np.int8)), fires)]
    graph = chain(*layers, shape=(1000,), high=1)
    three = plan.Plan.of(graph).sample_bytes(events=False)
    # beside the encoding: two of one byte a neuron, and what may be made of the first for its product
    assert three == max(3 * 1000, 1000 * plan._ENCODING_BYTES)
    assert plan.Plan.of(graph).sample_bytes(events=True) >= 7 * 1000


@pytest.mark.parametrize("steps", [1, 5])
def test_direct_encoding_is_multiplied_once(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    seen: list[int] = []
    once = products.Product.__call__

    def counted(product: products.Product, frames: torch.Tensor) -> torch.Tensor:
        seen.append(len(frames))
        return once(product, frames)

    monkeypatch.setattr(products.Product, "__call__", counted)
    graph = chain(linear(np.eye(4, dtype=np.int8)), neuron(3), linear(np.ones((2, 4), np.int8)), readout(),
                  shape=(4,), high=7, steps=steps)  # fmt: skip
    samples = np.arange(12.0).reshape(3, 4) % 8
    list(FunctionalBackend().batches(graph, samples))
    # three samples once, three samples at every step
    assert sum(seen) == 3 + 3 * steps
    assert_exact(graph, samples)


def test_pools_of_bytes_and_beyond() -> None:
    rng = np.random.default_rng(2)
    for high in (15, 255):
        graph = chain(SumPool2d(kernel=(4, 4), stride=(2, 3), padding=(1, 2)),
                      Conv2d(weight=rng.integers(-7, 8, (3, 2, 2, 2)).astype(np.int8), weight_bits=4),
                      neuron(), shape=(2, 9, 8), high=high, steps=2)  # fmt: skip
        assert_exact(graph, rng.integers(0, high + 1, (3, 2, 9, 8)).astype(float))


def test_payloads_beyond_a_byte_go_through_a_pool() -> None:
    graded = neuron(3, spikes="graded", max_payload=60_000)
    same = Conv2d(weight=np.ones((1, 1, 1, 1), np.int8), weight_bits=8)
    pool = SumPool2d(kernel=(2, 2), stride=(2, 2))
    graph = chain(same, graded, pool, same, neuron(900), shape=(1, 4, 4), high=50_000, steps=2)
    assert_exact(graph, np.arange(16.0).reshape(1, 1, 4, 4) * 3000)


def test_a_reset_value_that_decays_before_it_is_cut_keeps_every_bit() -> None:
    """In float64 it would be rounded: 2**49 and more, times a leak of 2**16."""
    fixed = FixedPoint(state_bits=36, decay_bits=16)
    node = neuron(1, order="fire_first", reset="set", reset_value=np.array((1 << 49) + 12345), fixed=fixed,
                  leak=np.array(65531), spikes="signed")  # fmt: skip
    assert_exact(chain(linear([[1]]), node, shape=(1,), high=9, steps=5), np.array([[2.0], [7.0]]))


@pytest.mark.parametrize(("threshold", "bias", "flip"), [(1 << 62, -(1 << 63), False), (-(1 << 63), 0, True)])
def test_thresholds_at_the_ends_of_64_bits(threshold: int, bias: int, flip: bool) -> None:
    fires = Threshold(threshold=np.array(threshold), bias=np.array(bias), flip=np.array(flip), fixed=FIXED)
    assert_exact(chain(linear([[1]]), fires, shape=(1,), high=9), np.array([[2.0], [7.0]]))


def test_a_population_that_hears_only_itself() -> None:
    """Its encoder has been read and let go by then."""
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=(2,)), ()),
        ("direct", DirectEncoder(scale=1.0, low=0, high=9), ("input",)),
        ("a", linear(np.eye(2, dtype=np.int8)), ("direct",)),
        ("first", neuron(3), ("a",)),
        ("before", Recurrent(shape=(2,)), ("alone",)),
        ("b", linear(np.eye(2, dtype=np.int8)), ("before",)),
        ("alone", neuron(3, bias=np.array(2)), ("b",)),
    ]
    assert_exact(Graph("isolated", "integer", 4, nodes, ("first", "alone")), np.array([[1.0, 2.0]]))


# ------------------------------------------------------------------------------------------- batches, memory, threads


def small(steps: int = 3) -> Graph:
    rng = np.random.default_rng(3)
    return chain(linear(rng.integers(-9, 10, (50, 6))), neuron(40, leak=np.array(3000)),
                 linear(rng.integers(-9, 10, (4, 50))), readout(), shape=(6,), high=9, steps=steps)  # fmt: skip


def test_batches_come_in_order_and_narrow() -> None:
    graph = small()
    samples = np.random.default_rng(4).integers(0, 10, (101, 6)).astype(np.uint8)
    expected = interpret(graph, samples)
    seen: list[tuple[int, int]] = []
    traces = list(
        FunctionalBackend().batches(graph, samples, batch=7, progress=lambda done, all_: seen.append((done, all_)))
    )
    assert [len(trace.outputs["n3"]) for trace in traces] == [7] * 14 + [3]
    assert seen[0] == (7, 101)
    assert seen[-1] == (101, 101)
    np.testing.assert_array_equal(np.concatenate([trace.outputs["n3"] for trace in traces]), expected.outputs["n3"])
    np.testing.assert_array_equal(np.concatenate([trace.events["n1"] for trace in traces]), expected.events["n1"])
    assert {trace.events["n1"].dtype for trace in traces} == {np.dtype(np.uint8)}
    assert all(not trace.events for trace in FunctionalBackend().batches(graph, samples, events=False))


def test_memory_bounds_the_batch() -> None:
    graph = small()
    samples = np.ones((64, 6))
    work = plan.Plan.of(graph)
    fixed = work.weight_bytes() + 2 * work.part_bytes(5)
    enough = fixed + 3 * 5 * work.sample_bytes(events=False)
    sizes = [
        len(trace.outputs["n3"])
        for trace in FunctionalBackend(memory_bytes=enough).batches(graph, samples, events=False)
    ]
    assert sum(sizes) == 64
    assert max(sizes) <= 5
    with pytest.raises(
        InputError, match=r"one sample of 3 time steps needs 3KiB of memory, .* 2KiB; give --memory 3KiB"
    ):
        list(FunctionalBackend(memory_bytes=2000).batches(graph, samples))


def test_threads_are_left_as_they_were() -> None:
    graph, before = small(), torch.get_num_threads()
    samples = np.ones((40, 6))
    batches = FunctionalBackend().batches(graph, samples, batch=2)
    next(batches)
    batches.close()
    assert torch.get_num_threads() == before
    FunctionalBackend().run(graph, samples)
    assert torch.get_num_threads() == before


def test_a_bad_value_is_told_when_it_is_reached() -> None:
    samples = np.ones((40, 6))
    samples[30, 2] = np.nan
    batches = FunctionalBackend().batches(small(), samples, batch=4)
    next(batches)
    with pytest.raises(InputError, match="1 NaN or infinite"):
        list(batches)


def test_what_is_given_must_be_what_could_be_sent() -> None:
    with pytest.raises(InputError, match="n1 is given events from 0 to 2; it sends from 0 to 1"):
        next(FunctionalBackend().batches(small(), np.ones((1, 6)), given={"n1": np.arange(150).reshape(1, 3, 50) % 3}))
    told = {"direct": np.full((2, 3, 6), 4), "n3": np.arange(24).reshape(2, 3, 4)}
    expected = interpret(small(), np.ones((2, 6)), given=told)
    traces = list(FunctionalBackend().batches(small(), np.ones((2, 6)), given=told))
    np.testing.assert_array_equal(np.concatenate([trace.outputs["n3"] for trace in traces]), expected.outputs["n3"])
    np.testing.assert_array_equal(np.concatenate([trace.events["n1"] for trace in traces]), expected.events["n1"])


def test_what_does_not_fit_is_refused_before_anything_runs() -> None:
    with pytest.raises(InputError, match=r"input has shape \(3, 7\)"):
        next(FunctionalBackend().batches(small(), np.ones((3, 7))))
    wrong = chain(linear([[200]]), readout(), shape=(1,))
    with pytest.raises(GraphError, match="does not fit 8 bits"):
        FunctionalBackend().run(wrong, np.ones((1, 1)))


@pytest.mark.parametrize("module", ["torch", "numba"])
def test_what_it_needs_is_told(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    assert FunctionalBackend().unavailable() is None
    find = backend.importlib.util.find_spec
    monkeypatch.setattr(backend.importlib.util, "find_spec", lambda name: None if name == module else find(name))
    assert f"needs {module}" in str(FunctionalBackend().unavailable())


def test_a_thread_that_was_interrupted_as_it_began_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else Python waits for it when the program ends, since its pool does not know of it."""
    begin, begun = threading.Thread.start, []

    def interrupted(thread: threading.Thread) -> None:
        begin(thread)
        begun.append(thread)
        raise KeyboardInterrupt

    backend._pool.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(backend._in_threads(lambda start: start, range(4), 2))
    (thread,) = begun
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert list(backend._in_threads(lambda start: start, range(4), 2)) == [0, 1, 2, 3]
