"""Drift on small networks by hand, where every number can be counted, and the engines' comparison."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neurocompile
from neurocompile import driver, verification
from neurocompile.backends.functional import FunctionalBackend
from neurocompile.backends.lava import LavaBackend
from neurocompile.errors import CapacityError, InputError
from neurocompile.hardware.target import load_target
from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace, interpret
from neurocompile.ir.nodes import Array, DirectEncoder, Input, Linear, Neuron, Node, PoissonEncoder, Readout
from neurocompile.ir.verify import verify
from neurocompile.passes.quantize import Quantize
from neurocompile.program import Options, Program
from neurocompile.verification import isolated
from tests.networks import integer_networks, samples_for

STEPS = 2
#: class 0, class 1, class 1, and nothing at all, which is class 0 too
SAMPLES = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
LABELS = np.array([0, 1, 1, 0])


@pytest.fixture(autouse=True)
def _no_lava(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lava is compared in tests/backends and tests/cli."""
    monkeypatch.setattr(LavaBackend, "unavailable", lambda _: "not today")


def relay() -> Neuron:
    """Sends on what arrives at this step, and forgets it."""
    return Neuron(threshold=np.array(0.5), leak=np.array(0.0))


def chain(encoder: Node | None = None, weight: float = 1.0) -> Graph:
    """input -> three layers of two relays -> readout, which counts spikes: everything is handed on as it is."""
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=(2,)), ()),
        ("encoder", encoder or DirectEncoder(limit=1.0), ("input",)),
    ]
    for name in ("a", "b", "c"):
        nodes.append((f"{name}.linear", Linear(weight=weight * np.eye(2)), (nodes[-1][0],)))
        nodes.append((name, relay(), (f"{name}.linear",)))
    nodes.append(("out.linear", Linear(weight=np.eye(2)), ("c",)))
    nodes.append(("out", Readout(), ("out.linear",)))
    return Graph("chain", "traced", STEPS, nodes, ("out",))


def program_of(graph: Graph, **options: Any) -> Program:
    return driver.compile_graph(graph, load_target("loihi2-sim"), options=Options(**options))


def without(program: Program, name: str, row: int) -> Program:
    """``program`` where the integer weights of one neuron have become 0: as coarse as can be."""
    draft = program.integer.edit()
    node = program.integer.node(name)
    assert isinstance(node, Linear)
    weight = node.weight.copy()
    weight[row] = 0
    draft.replace(name, dataclasses.replace(node, weight=weight))
    return dataclasses.replace(program, integer=draft.finish())


def verify_program(program: Program, samples: Array, *, bits: tuple[int, ...] = (8,), **options: Any) -> dict[str, Any]:
    """With a table of one width, which takes less time."""
    return verification.verify_program(program, samples, bits=bits, **options)


def layers_of(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in report["layers"]}


# ------------------------------------------------------------------------------------------------------------- by hand


def test_nothing_is_lost_where_nothing_rounds() -> None:
    report = verify_program(program_of(chain()), SAMPLES, labels=LABELS)
    assert (report["samples"], report["timesteps"], report["bits"]) == (4, STEPS, 8)
    assert (report["accuracy_float"], report["accuracy_integer"], report["output_agreement"]) == (1, 1, 1)
    for row in report["layers"]:
        assert (row["agreement"], row["isolated_agreement"], row["count_agreement"]) == (1, 1, 1)
        # three samples spike, in one of two neurons, at both steps
        assert row["rate_float"] == row["rate_integer"] == 3 / 8
        assert row["neuron_steps"] == 4 * STEPS * 2
    assert report["depth"]["worst"] is None
    assert report["conclusion"] == "8 bits: 100.00% against 100.00% float over 4 samples"


def test_the_coarse_layer_is_named_and_those_behind_it_only_inherit() -> None:
    program = without(program_of(chain()), "b.linear", 1)
    report = verify_program(program, SAMPLES, labels=LABELS)
    layers = layers_of(report)
    # b1 should fire at 2 steps of 2 samples and is silent: 4 of 16 neuron-steps, 2 of 8 sums
    assert [layers[name]["agreement"] for name in "abc"] == [1, 12 / 16, 12 / 16]
    assert [layers[name]["count_agreement"] for name in "abc"] == [1, 6 / 8, 6 / 8]
    # c, given what the float network's b sends, does nothing wrong
    assert [layers[name]["isolated_agreement"] for name in "abc"] == [1, 12 / 16, 1]
    assert [layers[name]["rate_float"] for name in "abc"] == [6 / 16] * 3
    assert [layers[name]["rate_integer"] for name in "abc"] == [6 / 16, 2 / 16, 2 / 16]
    # of 8 results, two are 0 in place of 2; in float the three samples that spike give 2 each
    (output,) = report["outputs"]
    assert output["mean_error"] == pytest.approx(4 / 8)
    assert output["mean_isolated_error"] == pytest.approx(0)
    assert output["mean_magnitude"] == 6 / 8
    assert (report["accuracy_float"], report["accuracy_integer"], report["output_agreement"]) == (1, 0.5, 0.5)
    depth = report["depth"]
    assert depth["measure"] == "accuracy"
    assert [row["layer"] for row in depth["rows"]] == ["(none)", "a", "b", "c", "out"]
    assert [row["accuracy"] for row in depth["rows"]] == [1, 1, 0.5, 0.5, 0.5]
    assert [row["change"] for row in depth["rows"]] == [0, 0, -0.5, 0, 0]
    assert [row["lost"] for row in depth["rows"]] == [0, 0, 2, 0, 0]
    assert [row["output_error"] for row in depth["rows"]] == pytest.approx([0, 0, 4 / 6, 4 / 6, 4 / 6])
    assert depth["worst"] == "b"
    assert report["conclusion"] == (
        "8 bits: 50.00% against 100.00% float over 4 samples; most is lost in b (-50.00 points: 2 samples lost, 0 won)"
    )


def test_the_readout_can_be_the_worst() -> None:
    report = verify_program(without(program_of(chain()), "out.linear", 1), SAMPLES, labels=LABELS)
    assert {row["agreement"] for row in report["layers"]} == {1.0}
    assert report["outputs"][0]["mean_isolated_error"] == report["outputs"][0]["mean_error"] == pytest.approx(4 / 8)
    assert report["depth"]["worst"] == "out"


def test_without_labels_the_float_network_says_what_is_right() -> None:
    report = verify_program(without(program_of(chain()), "b.linear", 1), SAMPLES)
    assert report["accuracy_float"] is report["accuracy_integer"] is None
    assert report["output_agreement"] == 0.5
    assert report["depth"]["measure"] == report["widths"]["measure"] == "agreement"
    assert report["depth"]["worst"] == "b"
    assert report["conclusion"].startswith("8 bits: 50.00% of 4 samples get the float network's class")


def test_another_reset_is_told_from_rounding() -> None:
    """Inputs of 5/8 and 3/4, threshold 1, six steps. Reset by subtraction leaves 3 and 4 spikes: class 1. Reset to zero
    leaves 3 and 3 (every other step), which reads as class 0, before any weight is rounded."""
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=(1,)), ()),
        ("encoder", DirectEncoder(limit=1.0), ("input",)),
        ("a.linear", Linear(weight=np.array([[0.625], [0.75]])), ("encoder",)),
        ("a", Neuron(threshold=np.array(1.0)), ("a.linear",)),
        ("out.linear", Linear(weight=np.eye(2)), ("a",)),
        ("out", Readout(), ("out.linear",)),
    ]
    graph = Graph("reset", "traced", 6, nodes, ("out",))
    sample = np.array([[1.0]])
    assert interpret(graph, sample).outputs["out"].tolist() == [[3, 4]]
    kept = verify_program(program_of(graph), sample, labels=np.array([1]))
    assert kept["conclusion"] == "8 bits: 100.00% against 100.00% float over 1 sample"
    report = verify_program(program_of(graph, reset_zero=True), sample, labels=np.array([1]))
    assert [row["accuracy"] for row in report["depth"]["rows"]] == [0, 0, 0]
    assert report["depth"]["rows"][0]["output_error"] == 1 / 7
    assert report["depth"]["worst"] == "(none)"
    assert "most is lost before any weight is rounded (-100.00 points: 1 sample lost, 0 won)" in report["conclusion"]
    # spikes at steps 1, 3, 5 of both; in float at 1, 3, 4 and 1, 2, 4, 5
    assert layers_of(report)["a"]["rate_float"] == 7 / 12
    assert layers_of(report)["a"]["agreement"] == 7 / 12


def test_clipped_inputs_are_counted() -> None:
    """The encoder's codes end at its limit of 1: two of these eight values are beyond."""
    samples = SAMPLES * np.array([[3.0], [1.0], [1.0], [1.0]])
    samples[3, 1] = -2.0
    saturation = verify_program(program_of(chain()), samples, quick=True)["saturation"]
    assert saturation["inputs"] == {"clipped": 2, "values": 8}
    assert saturation["states"] == {"overflows": 0, "reason": "proved never to overflow"}


def test_states_that_are_not_proved_to_fit_are_told() -> None:
    program = program_of(chain())
    draft = program.integer.edit()
    node = program.integer.node("b")
    assert isinstance(node, Neuron)
    assert node.fixed is not None
    draft.replace("b", dataclasses.replace(node, fixed=dataclasses.replace(node.fixed, state_bits=8)))
    report = verify_program(dataclasses.replace(program, integer=draft.finish()), SAMPLES, quick=True)
    assert report["saturation"]["states"]["overflows"] is None
    assert report["saturation"]["states"]["reason"] == "b is not proved to fit its widths"


# ------------------------------------------------------------------------------------------- parts, and other networks


@pytest.mark.parametrize("encoder", [DirectEncoder(limit=1.0), PoissonEncoder(gain=0.5, seed=3)])
def test_the_size_of_the_parts_changes_nothing(encoder: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    program = without(program_of(chain(encoder)), "b.linear", 1)
    samples = np.random.default_rng(0).integers(0, 5, size=(7, 2)) / 4
    labels = np.arange(7) % 2
    whole = verify_program(program, samples, labels=labels)
    monkeypatch.setattr(verification, "_PART_BYTES", 16 * 8 * STEPS * 3)  # 8 neurons: three samples at a time
    seen = []
    monkeypatch.setattr(verification, "saturated", lambda _, part: seen.append(len(part)) or 0)
    assert json.loads(json.dumps(verify_program(program, samples, labels=labels))) == whole
    assert seen == [3, 3, 1]


@settings(max_examples=30)
@given(st.data())
def test_what_a_network_sends_itself_changes_nothing(data: st.DataObject) -> None:
    graph = data.draw(integer_networks())
    samples = data.draw(samples_for(graph))
    alone, stubs = isolated(graph)
    verify(alone)
    expected = interpret(graph, samples)
    given_events = {stub: expected.events[name] for stub, name in stubs.items()}
    found = interpret(alone, samples, given=given_events)
    for name, events in expected.events.items():
        assert np.array_equal(found.events[name], events), name
    for name, result in expected.outputs.items():
        assert np.array_equal(found.outputs[name], result), name
    silent = interpret(alone, samples, given={name: np.zeros_like(events) for name, events in given_events.items()})
    assert not any(silent.events[stub].any() for stub in stubs)


def test_an_output_in_the_middle() -> None:
    """The first output is a layer that others read: what comes behind it cannot change it and is not listed."""
    draft = chain().edit()
    draft.outputs = ("b", "out")
    report = verify_program(without(program_of(draft.finish()), "b.linear", 1), SAMPLES, labels=LABELS)
    assert [row["layer"] for row in report["depth"]["rows"]] == ["(none)", "a", "b"]
    assert report["depth"]["worst"] == "b"
    assert [row["name"] for row in report["outputs"]] == ["b", "out"]
    assert [row["mean_isolated_error"] for row in report["outputs"]] == pytest.approx([4 / 8, 0])


def test_the_depth_and_the_widths_take_the_first_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second sample is one of the two that are lost; the third, the other, is beyond the limit."""
    program = without(program_of(chain()), "b.linear", 1)
    for part_bytes in (1 << 20, 1):
        monkeypatch.setattr(verification, "_PART_BYTES", part_bytes)
        report = verify_program(program, SAMPLES, labels=LABELS, sweep_limit=2)
        assert (report["samples"], report["accuracy_integer"]) == (4, 0.5)
        assert (report["depth"]["samples"], report["widths"]["samples"]) == (2, 2)
        assert [(row["accuracy"], row["lost"]) for row in report["depth"]["rows"]] == [
            (1, 0), (1, 0), (0.5, 1), (0.5, 0), (0.5, 0)
        ]  # fmt: skip


def test_progress_and_tensors() -> None:
    torch = pytest.importorskip("torch")
    seen: dict[str, list[tuple[int, int]]] = {}

    def watch(phase: str) -> Any:
        return lambda done, total: seen.setdefault(phase, []).append((done, total))

    report = neurocompile.verify_program(
        program_of(chain()), torch.tensor(SAMPLES), labels=torch.tensor(LABELS), bits=(8,), progress=watch
    )
    assert report["accuracy_integer"] == 1
    assert seen.keys() == {"reference", "chip time", "functional", "layers", "widths"}
    for steps in seen.values():
        assert steps[-1] == (4, 4)
        assert steps == sorted(steps)


# -------------------------------------------------------------------------------------------------- engines and widths


def test_engines_are_compared_on_the_first_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    report = verify_program(program_of(chain()), SAMPLES, quick=True, exact_limit=3)
    assert report["engines"] == {
        "functional": {"state": "equal", "samples": 3, "difference": None},
        "chip time": {"state": "equal", "samples": 3, "difference": None},
        "lava": {"state": "unavailable", "samples": 0, "reason": "not today"},
    }
    assert (report["depth"], report["widths"]) == (None, None)
    monkeypatch.setattr(verification, "_EXACT_OPERATIONS", 1)
    assert verify_program(program_of(chain()), SAMPLES, quick=True)["engines"]["functional"]["samples"] == 2


def _off_by_one(trace: Trace, *, spikes: bool) -> Trace:
    """The same with one number changed: the spike of c1 at the last step of the last sample, or the last output."""
    arrays = {name: array.copy() for name, array in (trace.events if spikes else trace.outputs).items()}
    arrays["c" if spikes else "out"].reshape(-1)[-1] += 1
    return Trace(trace.outputs, arrays) if spikes else Trace(arrays, trace.events)


@pytest.mark.parametrize(
    ("spikes", "said"),
    [
        (True, "c sends 1 and not 0 (sample 3, step 1, neuron (1,))"),
        (False, "out gives 1 and not 0 (sample 3, neuron (1,))"),
    ],
)
def test_an_engine_that_differs_is_told_with_the_place(
    spikes: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = FunctionalBackend.run

    def wrong(self: FunctionalBackend, graph: Graph, samples: Array, **options: Any) -> Trace:
        return _off_by_one(run(self, graph, samples, **options), spikes=spikes)

    monkeypatch.setattr(FunctionalBackend, "run", wrong)
    report = verify_program(program_of(chain()), SAMPLES, quick=True)
    assert report["engines"]["functional"] == {"state": "differs", "samples": 4, "difference": said}
    assert report["engines"]["chip time"]["state"] == "equal"
    assert report["conclusion"].startswith("functional: not bit for bit like the interpreter")


def test_traces_of_other_layers_or_shapes_differ() -> None:
    graph = program_of(chain()).integer
    trace = interpret(graph, SAMPLES)
    fewer = Trace(trace.outputs, {name: events for name, events in trace.events.items() if name != "b"})
    assert (
        verification.first_difference(graph, trace, fewer) == "events are of a, c, encoder and not of a, b, c, encoder"
    )
    shorter = Trace({"out": trace.outputs["out"][:2]}, trace.events)
    assert verification.first_difference(graph, trace, shorter) == "out gives an array of shape (2, 2) and not (4, 2)"
    assert verification.first_difference(graph, trace, trace) is None


def unequal() -> Graph:
    """Class 1 is whether a0 fires, which either input suffices for. Its weights are 1 and 0.4, those of a1 are 4."""
    nodes: list[tuple[str, Node, tuple[str, ...]]] = [
        ("input", Input(shape=(2,)), ()),
        ("encoder", DirectEncoder(limit=1.0), ("input",)),
        ("a.linear", Linear(weight=np.array([[1.0, 0.4], [4.0, 4.0]])), ("encoder",)),
        ("a", Neuron(threshold=np.array(0.3), leak=np.array(0.0)), ("a.linear",)),
        ("out.linear", Linear(weight=np.array([[0.0, 0.0], [1.0, 0.0]])), ("a",)),
        ("out", Readout(), ("out.linear",)),
    ]
    return Graph("unequal", "traced", STEPS, nodes, ("out",))


def cells_of(report: dict[str, Any]) -> dict[tuple[str, str], dict[int, Any]]:
    cells: dict[tuple[str, str], dict[int, Any]] = {}
    for variant in report["widths"]["variants"]:
        cells.setdefault((variant["scales"], variant["quantizer"]), {})[variant["bits"]] = variant
    return cells


def test_widths_and_scales() -> None:
    samples, labels = np.eye(2), np.array([1, 1])
    report = verify_program(program_of(unequal()), samples, labels=labels, bits=(8, 4, 3, 2))
    assert (report["widths"]["float"], report["widths"]["measure"], report["widths"]["samples"]) == (1, "accuracy", 2)
    cells = cells_of(report)
    # codes up to 7, 3, 1 for a weight of 1, or of 4: 0.4 rounds to 3, 1, 0, or to 1, 0, 0; 1 to 7, 3, 1, or to 2, 1, 0
    assert {bits: cell["accuracy"] for bits, cell in cells["channel", "max"].items()} == {8: 1, 4: 1, 3: 1, 2: 0.5}
    assert {bits: cell["accuracy"] for bits, cell in cells["tensor", "max"].items()} == {8: 1, 4: 1, 3: 0.5, 2: 0}
    assert {key for key, row in cells.items() for cell in row.values() if cell["own"]} == {("channel", "max")}
    assert cells["channel", "max"][8]["own"]
    assert cells.keys() == {
        (scales, quantizer)
        for scales in ("channel", "tensor")
        for quantizer in ("max", "percentile", "mse", "calibrated")
    }
    for bits in (8, 2):  # no samples came with it
        cell = cells["channel", "calibrated"][bits]
        assert (cell["accuracy"], cell["agreement"]) == (None, None)
        assert "needs typical samples" in cell["error"]


def test_the_programs_own_way_is_marked_and_gives_its_own_numbers() -> None:
    samples, labels = np.eye(2), np.array([1, 1])
    report = verify_program(program_of(unequal(), bits=3, scales="tensor"), samples, labels=labels, bits=(3, 2))
    (own,) = (variant for variant in report["widths"]["variants"] if variant["own"])
    assert (own["bits"], own["scales"], own["quantizer"]) == (3, "tensor", "max")
    assert own["accuracy"] == report["accuracy_integer"] == 0.5
    others = verify_program(program_of(unequal(), bits=3), samples, bits=(8, 2))
    assert not any(variant["own"] for variant in others["widths"]["variants"])


def test_what_does_not_fit_says_why_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    program = program_of(unequal())
    run = Quantize.run

    def narrow(self: Quantize, graph: Graph) -> Graph:
        if self.numerics.weight_bits > 4:
            raise CapacityError("a: its state may need 30 bits")
        return run(self, graph)

    monkeypatch.setattr(Quantize, "run", narrow)
    cells = cells_of(verify_program(program, np.eye(2), bits=(8, 4)))
    assert cells["channel", "max"][8]["error"] == "a: its state may need 30 bits"
    assert cells["channel", "max"][4]["error"] is None
    assert cells["channel", "max"][4]["agreement"] == 1


def test_errors_of_weights_and_thresholds() -> None:
    """Two bits, a scale per layer: 4 and 4 become 1 and 1, while 1 and 0.4 become 0 and 0."""
    report = verify_program(program_of(unequal(), bits=2, scales="tensor"), np.eye(2), quick=True)
    (layer,) = report["layers"]
    assert (layer["weight_bits"], layer["scales"], layer["clipped_share"]) == (2, "tensor", 0)
    assert layer["weight_error"] == pytest.approx(np.sqrt((1 + 0.16) / (1 + 0.16 + 16 + 16)))
    assert layer["threshold_error_mean"] < 0.01  # 24-bit thresholds
    (output,) = report["outputs"]
    assert (output["weight_error"], output["threshold_error_mean"]) == (0, None)
    assert report["saturation"]["weights"] == {"clipped_share": 0, "weights": 5}


@pytest.mark.parametrize("bits", [(), (0,), (9,), (8, 8)])
def test_widths_are_refused_before_anything_runs(bits: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neurocompile.backends.reference.interpret", lambda *_, **__: pytest.fail("it ran"))
    with pytest.raises(InputError, match="bits"):
        verify_program(program_of(chain()), SAMPLES, bits=bits)


def test_without_the_functional_engine_the_interpreter_measures_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    program = program_of(chain())
    expected = verify_program(program, SAMPLES)
    monkeypatch.setattr(FunctionalBackend, "unavailable", lambda _: "numba is missing; install it")
    found = verify_program(program, SAMPLES)
    missing = {"state": "unavailable", "samples": 0, "reason": "numba is missing; install it"}
    assert found == {**expected, "engines": {**expected["engines"], "functional": missing}}


@pytest.mark.parametrize("limit", ["exact_limit", "sweep_limit"])
def test_limits_are_refused_too(limit: str) -> None:
    with pytest.raises(InputError, match=f"{limit} is 0; give at least one sample"):
        verify_program(program_of(chain()), SAMPLES, **{limit: 0})
