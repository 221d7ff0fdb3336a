"""What hybrid input costs: its first step is of values, all behind it are spikes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from costs_cases import activity, chip, cost, mapped, quantity, tiny
from safetensors.numpy import load_file, save

from neurocompile.costs.activity import Activity
from neurocompile.costs.baselines import Prices, ann_layers, papers_account_of, value_steps
from neurocompile.costs.counters import Count, count
from neurocompile.costs.estimate import estimate
from neurocompile.errors import InputError
from neurocompile.hardware import Profile
from neurocompile.ir.graph import Graph
from neurocompile.ir.nodes import DctEncoder, DirectEncoder, HybridEncoder, Input
from neurocompile.mapping import map_graph

#: of three steps: a dark value fires at the third, a bright one at the second; the third value is no event at first
SAMPLES = np.array([[1.0, 0.0], [0.25, 1.0]])
STEPS = 3
GRADED = {"numerics__payload_bits": quantity(8, "bits")}


def hybrid(scale: float = 4.0, high: int = 7, timesteps: int = STEPS) -> Graph:
    """2 inputs -> 3 neurons -> 2 readouts; the first layer has four synapses, one list of two from each input."""
    draft = tiny(timesteps).edit()
    draft.replace("encoder", HybridEncoder(timesteps=timesteps, scale=scale, low=0, high=high))
    return mapped(draft.finish())


def counted(graph: Graph, profile: Profile) -> Count:
    return count(graph, map_graph(graph, profile), activity(graph, SAMPLES), profile)


def test_values_and_spikes_are_counted_apart() -> None:
    seen = activity(hybrid(), SAMPLES)
    # values 4, 0 and 1, 4; then one spike of each input and sample
    assert seen.events["encoder"].tolist() == [4, 3]
    assert seen.spikes["encoder"].tolist() == [2, 2]
    assert seen.sent("values", "encoder").tolist() == [2, 1]
    assert seen.sent("spikes", "encoder").tolist() == [2, 2]
    assert (seen.rate("encoder"), seen.spike_rate("encoder")) == (7 / 4, 1.0)
    assert seen.bits["encoder"].tolist() == [4, 3]  # 4, 1 and spikes of 4: all have a single bit
    assert seen.spike_rate("hidden") == seen.rate("hidden")


def test_values_are_graded_operations_and_spikes_plain_ones() -> None:
    hidden = counted(hybrid(), chip(**GRADED)).of("hidden")
    assert hidden.messages_in == 7 / 2
    assert hidden.graded_synaptic_ops == 3 * 3 / 2  # three synapses of each input, as zero weights are stored
    assert hidden.synaptic_ops == 4 * 3 / 2
    dear = chip(**GRADED, events__graded_synaptic_op=cost(100, 9))
    graph = hybrid()
    energy = (
        estimate(graph, map_graph(graph, dear), activity(graph, SAMPLES), dear).layers[0].energy_pj.parts["synapse"]
    )
    assert energy == pytest.approx(3 * 3 / 2 * 100 + 4 * 3 / 2 * 1 + 7 / 2 * 0.5)


def test_where_values_come_bit_by_bit_a_spike_is_one_message() -> None:
    total = counted(hybrid(), chip())
    assert total.of("hidden").messages_in == 7 / 2
    assert total.of("hidden").synaptic_ops == 7 * 3 / 2
    assert total.of("hidden").graded_synaptic_ops == 0
    assert total.inputs == 7 / 2


def test_banks_see_their_sources_once_per_step() -> None:
    bank = {"name": "all", "source": "any", "target": "any", "weights": "any", "zeros": "stored",
            "source_visit": cost(1, 1), "message": cost(1, 1), "synaptic_op": cost(1, 1)}  # fmt: skip
    (mine,) = counted(hybrid(), chip(**GRADED, banks=[bank])).of("hidden").banks
    assert (mine.visits, mine.messages) == (2 * STEPS, 7 / 2)
    assert (mine.graded_synaptic_ops, mine.synaptic_ops) == (3 * 3 / 2, 4 * 3 / 2)


def test_the_papers_account_multiplies_at_the_first_step_alone() -> None:
    graph = hybrid()
    account = papers_account_of(graph, activity(graph, SAMPLES), Prices.of(chip()))
    first, second = ann_layers(graph)
    assert (first.value_steps, first.analog, second.value_steps, second.analog) == (1, True, 0, False)
    assert account.macs == 6
    seen = activity(graph, SAMPLES)
    assert account.additions == pytest.approx(6 * 1.0 + 6 * seen.rate("hidden"))


def test_at_how_many_steps_values_are_sent() -> None:
    for encoder, steps in (
        (HybridEncoder(timesteps=STEPS), 1),
        (HybridEncoder(timesteps=STEPS, scale=1.0, low=0, high=1), 0),
        (DctEncoder(block=1, scale=9.0, low=-9, high=9), STEPS),
        (DirectEncoder(scale=9.0, low=0, high=9), STEPS),
        (DirectEncoder(scale=1.0, low=-1, high=1), 0),
    ):
        nodes = [("input", Input(shape=(1, 1, 1)), ()), ("code", encoder, ("input",))]
        assert value_steps(Graph("g", "integer", STEPS, nodes, ()), "code") == steps


def test_one_step_sends_nothing_but_values() -> None:
    graph = hybrid(timesteps=1)
    hidden = counted(graph, chip(**GRADED)).of("hidden")
    assert (hidden.graded_synaptic_ops, hidden.synaptic_ops) == (3 * 3 / 2, 0)


def test_spikes_are_kept_and_added_up(tmp_path: Path) -> None:
    seen = activity(hybrid(), SAMPLES)
    seen.save(tmp_path)
    back = Activity.load(tmp_path)
    assert back.spikes["encoder"].tolist() == [2, 2]
    assert back.digest == seen.digest
    assert (seen + back).spikes["encoder"].tolist() == [4, 4]
    back.check(hybrid())
    with pytest.raises(InputError, match="spikes differ in names or shapes; run the network again"):
        back.check(tiny(STEPS))


def test_an_older_activity_knows_of_no_spikes(tmp_path: Path) -> None:
    seen = activity(tiny())
    seen.save(tmp_path)
    path = tmp_path / "activity.json"
    header = json.loads(path.read_text())
    assert header.pop("spikes") == []
    path.write_text(json.dumps({**header, "format": "neurocompile.activity/2"}))
    assert Activity.load(tmp_path).digest == seen.digest


@pytest.mark.parametrize("spikes", [[5, 0], [1, 2, 0]])
def test_more_spikes_than_events_are_refused(spikes: list[int], tmp_path: Path) -> None:
    seen = activity(hybrid(), SAMPLES)
    seen.save(tmp_path)
    arrays = {**load_file(tmp_path / "activity.safetensors"), "spikes/encoder": np.array(spikes)}
    raw = save(arrays)
    (tmp_path / "activity.safetensors").write_bytes(raw)
    path = tmp_path / "activity.json"
    header = json.loads(path.read_text()) | {"sha256": hashlib.sha256(raw).hexdigest()}
    path.write_text(json.dumps(header))
    with pytest.raises(InputError, match="encoder has more spikes than events; run the network again"):
        Activity.load(tmp_path)
