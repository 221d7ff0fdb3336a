"""The numbers of the drift report, counted by hand, and how they are shown."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from neurocompile.reports.drift import (
    NO_LAYER,
    LayerCounts,
    OutputErrors,
    Predictions,
    Score,
    class_of,
    conclusion,
    depth_data,
    print_drift,
)

Report = dict[str, Any]


def test_spikes_are_counted_over_batches() -> None:
    """Two samples, three steps, two neurons."""
    trained = np.array([[[1, 0], [0, 0], [1, 0]], [[0, 0], [0, 1], [0, 0]]], np.int8)
    integer = np.array([[[0, 0], [1, 0], [1, 0]], [[0, 0], [0, 0], [0, 0]]], np.int8)
    isolated = np.array([[[1, 0], [0, 0], [1, 0]], [[0, 0], [0, 0], [0, 0]]], np.int8)
    whole, halves = LayerCounts("a"), LayerCounts("a")
    whole.add(trained, integer, isolated)
    for sample in range(2):
        part = slice(sample, sample + 1)
        halves.add(trained[part], integer[part], isolated[part])
    assert halves == whole
    assert whole.row() == {
        "name": "a",
        "neuron_steps": 12,
        "agreement": 9 / 12,  # the first neuron at two steps of the first sample, the second at one of the second
        "isolated_agreement": 11 / 12,
        "count_agreement": 3 / 4,  # a spike that comes one step later counts as one
        "rate_float": 3 / 12,
        "rate_integer": 2 / 12,
    }


def test_signed_and_graded_events_are_equal_by_value() -> None:
    layer = LayerCounts("a")
    layer.add(np.array([[[1, -1, 300]]]), np.array([[[-1, -1, 299]]]), np.array([[[1, -1, 300]]]))
    row = layer.row()
    assert (row["agreement"], row["isolated_agreement"], row["rate_float"], row["rate_integer"]) == (1 / 3, 1, 1, 1)


def test_many_spikes_of_one_byte_do_not_overflow() -> None:
    """300 steps: 300 spikes are not the 44 that a byte would make of them."""
    ones, some = np.ones((1, 300, 1), np.int8), (np.arange(300) < 44).astype(np.int8).reshape(1, 300, 1)
    layer = LayerCounts("a")
    layer.add(ones, some, ones)
    assert layer.row()["count_agreement"] == 0


def test_output_errors() -> None:
    output = OutputErrors("out")
    output.add(np.array([[1.0, -3.0]]), np.array([[1.5, -3.0]]), np.array([[1.0, -2.0]]))
    output.add(np.array([[0.0, 4.0]]), np.array([[0.0, 2.5]]), np.array([[0.0, 4.0]]))
    assert output.row() == {"name": "out", "mean_error": 2 / 4, "mean_isolated_error": 1 / 4, "mean_magnitude": 8 / 4}


def test_the_class_is_the_first_of_the_largest() -> None:
    assert class_of(np.array([[0, 2, 2], [5, 1, 0]])).tolist() == [1, 0]
    assert class_of(np.array([[[0, 1], [3, 2]]])).tolist() == [2]


def predictions(*classes: int, error: float = 0.0) -> Predictions:
    """Of outputs that are 1 for the class and else 0; ``error`` is added to one of two."""
    wanted = np.eye(2)[list(classes)]
    made = Predictions()
    for row in wanted:
        made.add(row[None] + [0.0, error], row[None])
    return made


def test_scores() -> None:
    found, trained = np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0])
    assert Score.of(found, trained, np.array([1, 1, 1, 1])) == Score(0.5, 0.75)
    assert Score.of(found, trained, np.array([1, 1, 1, 1])).value == 0.5
    assert Score.of(found, trained, None) == Score(None, 0.75)
    assert Score.of(found, trained, None).value == 0.75


def test_where_it_is_lost() -> None:
    trained, labels = np.array([0, 1, 1, 0, 1]), np.array([0, 1, 1, 1, 1])
    ways = [
        (NO_LAYER, predictions(0, 1, 1, 0, 1)),
        ("a", predictions(0, 1, 1, 1, 0, error=0.25)),  # wins one, loses one
        ("b", predictions(0, 0, 0, 1, 0, error=0.5)),  # loses two
        ("c", predictions(0, 0, 1, 1, 0, error=0.5)),  # wins one back
    ]
    depth = depth_data(ways, trained, labels)
    assert (depth["measure"], depth["samples"]) == ("accuracy", 5)
    assert [row["layer"] for row in depth["rows"]] == [NO_LAYER, "a", "b", "c"]
    assert [row["accuracy"] for row in depth["rows"]] == [0.8, 0.8, 0.4, 0.6]
    assert [row["agreement"] for row in depth["rows"]] == [1.0, 0.6, 0.2, 0.4]
    assert [row["change"] for row in depth["rows"]] == [0, 0, -0.4, 0.2]
    assert [(row["lost"], row["won"]) for row in depth["rows"]] == [(0, 0), (1, 1), (2, 0), (0, 1)]
    # the error stands in one of two outputs of every sample, which are 1 and 0
    assert [row["output_error"] for row in depth["rows"]] == [0, 0.25, 0.5, 0.5]
    assert depth["worst"] == "b"
    unlabelled = depth_data(ways, trained, None)
    assert unlabelled["measure"] == "agreement"
    assert [row["change"] for row in unlabelled["rows"]] == [0, -0.4, -0.4, 0.2]
    assert unlabelled["worst"] == "a"  # the first of two that lose as much


def test_no_layer_is_the_worst_where_none_loses() -> None:
    ways = [(NO_LAYER, predictions(0, 1)), ("a", predictions(1, 1))]
    assert depth_data(ways, np.array([0, 1]), np.array([1, 1]))["worst"] is None
    silent = Predictions()
    silent.add(np.zeros((2, 2)), np.zeros((2, 2)))
    assert depth_data([(NO_LAYER, silent)], np.zeros(2), None)["rows"][0]["output_error"] is None


# --------------------------------------------------------------------------------------------------------------- shown


def report_of(**changes: Any) -> Report:
    """A whole report; ``changes`` replace its entries."""
    variants = [
        {"bits": bits, "scales": scales, "quantizer": "max", "own": (bits, scales) == (8, "channel"),
         "accuracy": accuracy, "agreement": 0.9, "error": None}
        for bits, scales, accuracy in ((8, "channel", 0.975), (2, "channel", 0.5), (8, "tensor", 0.97))
    ]  # fmt: skip
    refused = {"bits": 2, "scales": "tensor", "quantizer": "max", "own": False, "accuracy": None, "agreement": None,
               "error": "b: its bias needs 300 codes; use 3 bits"}  # fmt: skip
    layer = {"name": "[red]a[/red]", "neuron_steps": 12, "agreement": 0.75, "isolated_agreement": 0.9375,
             "count_agreement": 0.625, "rate_float": 0.25, "rate_integer": 0.125, "weight_error": 0.015,
             "threshold_error_mean": None}  # fmt: skip
    rows = [
        {"layer": NO_LAYER, "accuracy": 0.98, "agreement": 1.0, "change": 0.0, "lost": 0, "won": 0, "output_error": 0},
        {"layer": "b", "accuracy": 0.975, "agreement": 0.9, "change": -0.005, "lost": 2, "won": 1, "output_error": 0.1},
    ]  # fmt: skip
    report = {
        "data": "200 samples of x.npy",
        "samples": 200,
        "timesteps": 4,
        "bits": 8,
        "engines": {
            "functional": {"state": "equal", "samples": 200, "difference": None},
            "chip time": {"state": "equal", "samples": 64, "difference": None},
            "lava": {"state": "unavailable", "samples": 0, "reason": "Lava is missing"},
        },
        "accuracy_float": 0.98,
        "accuracy_integer": 0.975,
        "output_agreement": 0.99,
        "layers": [layer],
        "outputs": [{"name": "out", "mean_error": 0.25, "mean_isolated_error": 0.05, "mean_magnitude": 2.5}],
        "saturation": {
            "inputs": {"clipped": 3, "values": 1200},
            "weights": {"clipped_share": 0.125, "weights": 96},
            "states": {"overflows": 0, "reason": "proved never to overflow"},
        },
        "depth": {"samples": 200, "measure": "accuracy", "rows": rows, "worst": "b"},
        "widths": {"samples": 100, "measure": "accuracy", "float": 0.98, "variants": [*variants, refused]},
        **changes,
    }
    return {**report, "conclusion": conclusion(report)}


def shown(report: Report, width: int = 80) -> str:
    out = io.StringIO()
    print_drift(report, Console(file=out, width=width, color_system=None))
    return out.getvalue()


def row_of(text: str, start: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(start))
    return line.split()


def test_the_terminal_shows_every_part() -> None:
    report = report_of()
    text = shown(report)
    assert max(map(len, text.splitlines())) <= 80
    assert "float against integer, 200 samples of x.npy" in text
    assert row_of(text, "[red]a") == ["[red]a[/red]", "75.00%", "93.75%", "62.50%", "0.2500", "0.1250", "1.50%", "–"]
    assert "output out: mean size 2.5, mean error 0.25, on float spikes 0.05" in text
    assert (
        "clipped: 3 of 1,200 input values; 12.50% of 96 weights; sums and states: proved never to overflow"
        in " ".join(text.split())
    )
    assert row_of(text, NO_LAYER) == [NO_LAYER, "98.00%", "+0.00", "0", "0", "0.00%"]
    assert row_of(text, "b ") == ["b", "97.50%", "-0.50", "2", "1", "10.00%", "<-", "worst"]
    assert "accuracy by weight bits, the first 100 of 200 samples, float 98.00%" in text
    assert row_of(text, "channel ") == ["channel", "max", "97.50%*", "50.00%"]
    assert row_of(text, "tensor ") == ["tensor", "max", "97.00%", "no", "(1)"]
    assert "(1) b: its bias needs 300 codes; use 3 bits" in text
    assert "functional: equal, all 200 samples" in text
    assert "chip time: equal, the first 64 of 200 samples" in text
    assert "lava: unavailable, Lava is missing" in text
    assert " ".join(text.split()).endswith(report["conclusion"])


def test_without_labels_and_at_one_time_step() -> None:
    report = report_of(accuracy_float=None, accuracy_integer=None, timesteps=1)
    report["depth"]["measure"] = report["widths"]["measure"] = "agreement"
    text = shown(report)
    assert "counts" not in text  # of one step, they are the spikes
    assert "same class" in text
    assert row_of(text, "b ")[1] == "90.00%"
    assert "share of samples with the float network's class by weight bits" in " ".join(text.split())
    assert row_of(text, "channel ") == ["channel", "max", "90.00%*", "90.00%"]


def test_a_quick_report_has_no_depth_and_no_widths() -> None:
    text = shown(report_of(depth=None, widths=None))
    assert "weight bits" not in text
    assert "worst" not in text
    assert text.strip().endswith("8 bits: 97.50% against 98.00% float over 200 samples")


DIFFERS = {"lava": {"state": "differs", "samples": 5, "difference": "a sends 1 and not 0 (sample 3)"}}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {},
            "8 bits: 97.50% against 98.00% float over 200 samples; "
            "most is lost in b (-0.50 points: 2 samples lost, 1 won)",
        ),
        (
            {"accuracy_float": None, "accuracy_integer": None},
            "8 bits: 99.00% of 200 samples get the float network's class; "
            "most is lost in b (-0.50 points: 2 samples lost, 1 won)",
        ),
        ({"accuracy_integer": 0.98}, "8 bits: 98.00% against 98.00% float over 200 samples"),
        ({"depth": None, "samples": 1}, "8 bits: 97.50% against 98.00% float over 1 sample"),
        ({"engines": DIFFERS}, "lava: not bit for bit like the interpreter; trust no number here until that is mended"),
    ],
)
def test_conclusions(changes: Report, sentence: str) -> None:
    assert report_of(**changes)["conclusion"] == sentence


def test_what_the_depth_is_measured_on_is_told() -> None:
    report = report_of()
    report["depth"]["samples"] = 50
    assert conclusion(report).endswith("most is lost in b (-0.50 points: 2 samples lost, 1 won, of the first 50)")
    assert "in integers up to a layer, float behind it, the first 50 of 200 samples" in shown(report)


def test_a_difference_is_shown_with_its_place() -> None:
    assert "lava: differs, the first 5 of 200 samples: a sends 1 and not 0 (sample 3)" in shown(
        report_of(engines=DIFFERS)
    )


def test_a_report_is_plain_json() -> None:
    report = report_of()
    assert json.loads(json.dumps(report, allow_nan=False)) == report
