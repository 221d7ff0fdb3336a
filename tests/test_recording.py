"""Digests that do not depend on how arrays are cut, and events that survive being packed."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile.ir.bounds import sent_range
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import DirectEncoder, Input, Linear, PoissonEncoder, Readout
from neurocompile.recording import ArrayHash, Recording, hash_arrays, write_npz
from tests.networks import integer_networks, samples_for

Array = npt.NDArray[Any]


@given(st.data())
def test_a_digest_knows_no_batches_and_no_dtypes(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    low, high, *kinds = data.draw(
        st.sampled_from(
            [
                (0, 1, np.uint8, np.int8, np.int64, np.float64),
                (-1, 1, np.int8, np.float64),
                (0, 200, np.uint8, np.int16),
                (-(2**40), 2**40, np.int64, np.float64),
            ]
        )
    )
    arrays = {name: rng.integers(low, high, (7, 3, 5), endpoint=True) for name in ("b", "a")}
    cuts = sorted(data.draw(st.sets(st.integers(1, 6))))
    digest = ArrayHash()
    for piece in zip(*(np.split(arrays[name], cuts) for name in ("a", "b")), strict=True):
        kind = data.draw(st.sampled_from(kinds))
        order = data.draw(st.sampled_from("CF"))
        digest.update({name: part.astype(kind, order=order) for name, part in zip("ab", piece, strict=True)})
    assert digest.hexdigest() == hash_arrays(arrays)


@pytest.mark.parametrize("value", [0, 1, -1, 2, 3, 255, 256, 2**40])
def test_every_value_and_every_place_counts(value: int) -> None:
    seen = set()
    for other in (0, 1, -1, 2, 3, 255, 256, 2**40):
        for place in (0, 5, 11):
            array = np.full((2, 6), value)
            array.flat[place] = other
            seen.add(hash_arrays({"a": array}))
    assert len(seen) == 7 * 3 + 1
    array = np.full((2, 6), value)
    assert hash_arrays({"a": array}) != hash_arrays({"b": array})
    assert hash_arrays({"a": array}) != hash_arrays({"a": array[:1]})


def recorded(graph: Graph, samples: Array, cut: int) -> tuple[dict[str, Array], Recording]:
    whole = interpret(graph, samples).events
    recording = Recording(graph)
    for span in (slice(None, cut), slice(cut, None)):
        if len(samples[span]):
            recording.add({name: values[span] for name, values in whole.items()})
    return whole, recording


@settings(max_examples=60)
@given(data=st.data())
def test_events_survive(data: st.DataObject) -> None:
    graph = data.draw(integer_networks())
    samples = data.draw(samples_for(graph, most=4))
    whole, recording = recorded(graph, samples, data.draw(st.integers(0, len(samples))))
    assert list(recording) == list(whole)
    assert len(recording) == len(whole) > 0
    for name, values in whole.items():
        assert np.array_equal(recording[name], values), name
        assert recording[name].dtype == recording.dtype(name)
        assert recording.shape(name) == values.shape
        low, high = sent_range(graph, name)
        assert (low, high) != (0, 1) or recording.dtype(name) == np.uint8
        assert (low, high) != (-1, 1) or recording.dtype(name) == np.int8


@settings(max_examples=60)
@given(data=st.data())
def test_whatever_a_range_allows_survives(data: st.DataObject) -> None:
    """Values at random, up to the ends of their ranges: networks seldom send those."""
    span = data.draw(st.sampled_from([(0, 1), (-1, 1), (0, 255), (-128, 127), (0, 256), (-1, 300), (0, 2**31)]))
    graph = one_sender(*span)
    shape = data.draw(st.tuples(st.integers(1, 4), st.just(2), st.just(11)))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    values = rng.choice([span[0], 0, 1, span[1]], shape)
    recording = Recording(graph)
    recording.add({"sender": values})
    assert np.array_equal(recording["sender"], values)


def one_sender(low: int, high: int) -> Graph:
    encoder = PoissonEncoder() if (low, high) == (-1, 1) else DirectEncoder(scale=1.0, low=low, high=high)
    nodes = [
        ("input", Input(shape=(11,)), ()),
        ("sender", encoder, ("input",)),
        ("linear", Linear(weight=np.ones((1, 11)), bias=None), ("sender",)),
        ("out", Readout(leak=np.array(1.0), current_leak=np.array(0.0), bias=np.array(0.0)), ("linear",)),
    ]
    return Graph("one", "spiking", 2, nodes, ("out",))


def test_spikes_take_a_bit() -> None:
    recording = Recording(one_sender(0, 1))
    recording.add({"sender": np.ones((100, 2, 11), np.int64)})
    assert recording.nbytes == 100 * 3  # 22 bits, padded to bytes
    signed = Recording(one_sender(-1, 1))
    signed.add({"sender": np.ones((100, 2, 11), np.int64)})
    assert signed.nbytes == 2 * 100 * 3
    graded = Recording(one_sender(0, 300))
    graded.add({"sender": np.ones((100, 2, 11), np.int64)})
    assert graded.nbytes == 2 * 100 * 22


@settings(max_examples=20)
@given(data=st.data())
def test_an_archive_opens_with_numpy(data: st.DataObject) -> None:
    graph = data.draw(integer_networks())
    samples = data.draw(samples_for(graph, most=4))
    whole, recording = recorded(graph, samples, 1)
    outputs = interpret(graph, samples).outputs
    file = io.BytesIO()
    write_npz(file, outputs, recording)
    with np.load(io.BytesIO(file.getvalue()), allow_pickle=False) as saved:
        assert set(saved) == {f"outputs/{name}" for name in outputs} | {f"events/{name}" for name in whole}
        for name, values in outputs.items():
            assert np.array_equal(saved[f"outputs/{name}"], values)
            assert saved[f"outputs/{name}"].dtype == np.int64
        for name, values in whole.items():
            assert np.array_equal(saved[f"events/{name}"], values)
    again = io.BytesIO()
    write_npz(again, outputs, recording)
    assert again.getvalue() == file.getvalue()
