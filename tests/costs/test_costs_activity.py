"""Activities: what they count, that batches add up, and that a file holds them whole or is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from costs_cases import SAMPLES, activity, mapped, tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile.costs.activity import Activity
from neurocompile.costs.memory import is_stateful
from neurocompile.errors import InputError
from neurocompile.ir.interpret import Trace, interpret
from neurocompile.ir.nodes import Add, Array, DirectEncoder, Linear, PoissonEncoder, Recurrent, per_channel
from neurocompile.ir.populations import Projection, populations
from tests.ir.scalar import late
from tests.networks import integer_networks, samples_for


def equal(one: Activity, other: Activity) -> bool:
    return (one.data, one.samples, one.timesteps) == (other.data, other.samples, other.timesteps) and all(
        list(getattr(one, kind)) == list(getattr(other, kind))
        and all(np.array_equal(array, getattr(other, kind)[name]) for name, array in getattr(one, kind).items())
        for kind in ("events", "bits", "active")
    )


def test_counts() -> None:
    seen = activity(tiny())
    assert (seen.samples, seen.timesteps) == (2, 2)
    assert {name: array.tolist() for name, array in seen.events.items()} == {"encoder": [2, 0], "hidden": [1, 0, 1]}
    assert {name: array.tolist() for name, array in seen.bits.items()} == {"encoder": [4, 0]}
    assert {name: array.tolist() for name, array in seen.active.items()} == {"hidden": [2, 2, 2], "readout": [1, 1]}
    assert seen.rate("hidden") == pytest.approx(2 / 3 / 2)
    assert all(array.dtype == np.int64 for array in seen.events.values())


@settings(max_examples=60)
@given(data=st.data())
def test_active_updates_of_generated_networks(data: st.DataObject) -> None:
    """Against synapses that are all one, fed with who sent something; the events narrow, with their channels last."""
    graph = data.draw(integer_networks())
    samples = data.draw(samples_for(graph))
    trace = interpret(graph, samples)
    narrow = {name: channels_last(values.astype(np.int16)) for name, values in trace.events.items()}
    seen = Activity.of(graph, Trace(trace.outputs, narrow))
    for name, values in trace.events.items():
        assert np.array_equal(seen.events[name], (values != 0).sum(axis=(0, 1)))
    assert set(seen.active) == {each.name for each in populations(graph) if is_stateful(each.soma, graph.timesteps)}
    for population in populations(graph):
        if population.name in seen.active:
            bias = per_channel(np.asarray(getattr(population.soma, "bias", 0)) != 0, population.shape)
            active = np.zeros((len(samples) * graph.timesteps, *population.shape), np.bool_) | bias
            if population.name in trace.events:
                active |= trace.events[population.name].reshape(active.shape) != 0
            for projection in population.projections:
                node = projection.weighted
                ones = dataclasses.replace(node, weight=np.ones_like(node.weight))
                nodes = tuple(ones if each is node else each for each in projection.nodes)
                sent = (arriving(projection, trace.events[projection.source]) != 0).reshape(
                    -1, *projection.source_shape
                )
                active |= dataclasses.replace(projection, nodes=nodes).apply(sent.astype(np.float64)) > 0
            assert np.array_equal(seen.active[population.name], active.sum(axis=0)), population.name


def arriving(projection: Projection, sent: Array) -> Array:
    """Neuron by neuron, as late as it is."""
    arrived = np.zeros_like(sent)
    for place in np.ndindex(*projection.source_shape):
        delay = late(projection.past, place) if projection.past else 0
        for t in range(delay, sent.shape[1]):
            arrived[(slice(None), t, *place)] = sent[(slice(None), t - delay, *place)]
    return arrived


def channels_last(values: Array) -> Array:
    """The same array, laid out in memory as an engine may have it."""
    if values.ndim != 5:
        return values
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(values, 2, -1)), -1, 2)


def test_more_events_than_a_byte_counts() -> None:
    samples = np.full((300, 2), 3.0)
    seen = activity(tiny(), samples)
    assert seen.events["encoder"].tolist() == [600, 600]
    assert seen.active["hidden"].tolist() == [600, 600, 600]


def test_chip_time_gives_the_same_counts() -> None:
    assert equal(activity(tiny()), activity(mapped(tiny())))


def test_one_step_keeps_no_state() -> None:
    assert activity(tiny(timesteps=1)).active == {}


@pytest.mark.parametrize("cut", [1, 3])
def test_batches_add_up(cut: int) -> None:
    samples = np.array([[3.0, 0.0], [0.0, 0.0], [2.0, 3.0], [1.0, 1.0]])
    graph = tiny()
    whole = activity(graph, samples)
    assert equal(activity(graph, samples[:cut]) + activity(graph, samples[cut:]), whole)
    other = dataclasses.replace(whole, data="elsewhere")
    assert (whole + other).data == "two samples + elsewhere"


def test_only_one_network_adds_up() -> None:
    with pytest.raises(InputError, match="one network"):
        activity(tiny()) + activity(tiny(timesteps=1))


def test_a_bias_drives_its_neuron_at_every_step() -> None:
    draft = tiny().edit()
    draft.replace("hidden", dataclasses.replace(draft.node("hidden"), bias=np.array([1, 0, 0])))  # type: ignore[call-arg]
    graph = draft.finish()
    assert activity(graph).active["hidden"].tolist() == [4, 2, 2]


def test_what_comes_back_makes_the_next_step_active_within_a_sample() -> None:
    draft = tiny(timesteps=4).edit()
    draft.add("before", Recurrent(shape=(3,)), ("hidden",))
    draft.add("back", Linear(weight=np.array([[0, 0, 0], [0, 0, 0], [0, 0, 1]]), weight_bits=4), ("before",))
    (source,) = draft.inputs("hidden")
    draft.replace("hidden", draft.node("hidden"), (draft.add("sum", Add(), (source, "back")),))
    graph = draft.finish()
    # input at two steps; neurons 0 and 2 fire at the second: all three hear of it at the third, if there is one
    early, late, dark = np.zeros((3, 4, 2))
    early[:2, 0] = late[2:, 0] = 3
    for net in (graph, mapped(graph)):
        assert activity(net, np.stack([early])).active["hidden"].tolist() == [3, 3, 3]
        assert activity(net, np.stack([late, dark])).active["hidden"].tolist() == [2, 2, 2]


def test_bits_of_signed_values_are_those_of_the_twos_complement() -> None:
    draft = tiny().edit()
    draft.replace("encoder", DirectEncoder(scale=1.0, low=-4, high=3))
    graph = draft.finish()
    samples = np.array([[-1.0, 2.0]])  # 111 and 010, at two steps
    assert activity(graph, samples).bits["encoder"].tolist() == [6, 2]


def test_signed_spikes_are_one_bit_each() -> None:
    draft = tiny().edit()
    draft.replace("encoder", PoissonEncoder())
    seen = activity(draft.finish(), np.array([[-1.0, 1.0]]))
    assert seen.events["encoder"].tolist() == seen.bits["encoder"].tolist() == [2, 2]


def test_round_trip(tmp_path: Path) -> None:
    seen = activity(tiny())
    seen.save(tmp_path)
    assert equal(Activity.load(tmp_path), seen)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    seen.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
    assert set(first) == {"activity.json", "activity.safetensors"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "neurocompile.activity/9"}, r"format is 'neurocompile\.activity/9'"),
        ({"samples": 0}, "samples"),
        ({"samples": True}, "samples"),
        ({"samples": 1, "timesteps": 1}, "no count of at most"),
        ({"timesteps": "2"}, "timesteps"),
        ({"events": ["encoder"]}, "its arrays are not those"),
        ({"events": [["encoder"]]}, "events"),
        ({"extra": 1}, "extra"),
        ({"sha256": "0"}, "does not belong"),
        ({"correct": 3}, "3 of 2 samples got their class, which cannot be; run the network again"),
        ({"correct": -1}, "correct"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    activity(tiny()).save(tmp_path)
    path = tmp_path / "activity.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=message):
        Activity.load(tmp_path)


@pytest.mark.parametrize("name", ["activity.json", "activity.safetensors"])
def test_a_missing_or_cut_file_is_refused(tmp_path: Path, name: str) -> None:
    activity(tiny()).save(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=name):
        Activity.load(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match=name):
        Activity.load(tmp_path)


def test_accuracy_is_kept_and_added_up(tmp_path: Path) -> None:
    seen = dataclasses.replace(activity(tiny()), correct=1)
    assert seen.accuracy == 0.5
    seen.save(tmp_path)
    assert Activity.load(tmp_path).accuracy == 0.5
    assert (seen + dataclasses.replace(seen, correct=2)).accuracy == 0.75
    assert (seen + activity(tiny())).accuracy is None
    assert activity(tiny()).accuracy is None


def test_activity_of_another_network_is_refused() -> None:
    seen = activity(tiny())
    with pytest.raises(InputError, match="run the network again"):
        seen.check(tiny(timesteps=1))
    renamed = dataclasses.replace(seen, events={"encoder": seen.events["encoder"]})
    with pytest.raises(InputError, match="events differ"):
        renamed.check(tiny())


def test_a_float_network_sends_no_bits() -> None:
    draft = tiny().edit()
    draft.replace("encoder", DirectEncoder())
    graph = draft.finish("spiking")
    seen = Activity.of(graph, interpret(graph, SAMPLES + 0.5))
    assert seen.bits == {}
    seen.check(graph)
    with pytest.raises(InputError, match="float network"):
        seen.check(tiny())
