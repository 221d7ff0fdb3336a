"""The conversion loss, against sums made in one go."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from neurocompile.ir.graph import Graph
from neurocompile.ir.interpret import Trace
from neurocompile.ir.nodes import DirectEncoder, Input, Linear, Neuron, Readout
from neurocompile.reports.conversion import ConversionLoss, LossMeter, said

STEPS = 4
NETWORK = Graph(
    "net",
    "traced",
    STEPS,
    [
        ("input", Input(shape=(3,)), ()),
        ("encoder", DirectEncoder(), ("input",)),
        ("relu", Neuron(threshold=np.array([1.0, 2.0, 3.0])), ("encoder",)),
        ("linear", Linear(weight=np.ones((2, 3))), ("relu",)),
        ("readout", Readout(), ("linear",)),
    ],
    ("readout",),
)
RNG = np.random.default_rng(0)
ACTIVATIONS, SPIKES = RNG.uniform(0, 2, (6, 1, 3)), RNG.integers(0, 2, (6, STEPS, 3)).astype(np.int8)
RESULTS, SUMS = RNG.normal(size=(6, 2)), RNG.normal(size=(6, 2))
LABELS = np.array([0, 1, 1, 0, 0, 1])


def measured(labels: np.ndarray | None, *, steps: int = 1) -> ConversionLoss:
    meter = LossMeter(NETWORK)
    for part in (slice(0, 2), slice(2, 6)):
        activations = np.repeat(ACTIVATIONS[part], steps, axis=1)
        ann = Trace({"readout": RESULTS[part] * steps}, {"relu": activations})
        meter.add(ann, Trace({"readout": SUMS[part]}, {"relu": SPIKES[part]}))
    return meter.loss("six samples", labels)


@pytest.mark.parametrize("steps", [1, STEPS])
def test_it_is_what_all_samples_together_give(steps: int) -> None:
    loss = measured(LABELS, steps=steps)
    wanted, found = ACTIVATIONS[:, 0], SPIKES.sum(axis=1) * np.array([1.0, 2.0, 3.0]) / STEPS
    (layer,) = loss.layers
    assert (layer.name, layer.threshold, layer.rate) == ("relu", 2.0, SPIKES.mean())
    assert layer.activation == pytest.approx(wanted.mean())
    assert layer.error == pytest.approx(np.abs(found - wanted).mean() / wanted.mean())
    assert layer.correlation == pytest.approx(np.corrcoef(wanted.reshape(-1), found.reshape(-1))[0, 1])
    assert loss.output_error == pytest.approx(np.abs(SUMS - STEPS * RESULTS).mean() / np.abs(STEPS * RESULTS).mean())
    assert loss.agreement == (RESULTS.argmax(axis=1) == SUMS.argmax(axis=1)).mean()
    assert loss.accuracy_ann == (RESULTS.argmax(axis=1) == LABELS).mean()
    assert loss.accuracy == (SUMS.argmax(axis=1) == LABELS).mean()
    assert (loss.samples, loss.timesteps, loss.data) == (6, STEPS, "six samples")
    assert ConversionLoss.model_validate(loss.model_dump()) == loss


def test_without_labels_and_without_activity() -> None:
    loss = measured(None)
    assert loss.accuracy_ann is None
    assert loss.accuracy is None
    meter = LossMeter(NETWORK)
    quiet = Trace({"readout": RESULTS * 0}, {"relu": ACTIVATIONS * 0})
    meter.add(quiet, Trace({"readout": SUMS}, {"relu": SPIKES}))
    silent = meter.loss("six samples")
    assert (silent.output_error, silent.layers[0].error, silent.layers[0].correlation) == (None, None, None)
    assert said(silent.model_dump()).endswith("get the ANN's class in 4 time steps")


def test_in_words() -> None:
    plain = {**measured(None).model_dump(), "agreement": 0.5, "output_error": 0.25}
    assert said(plain) == "50.00% of six samples get the ANN's class in 4 time steps, the output is off by 25.00%"


def test_max_pools_are_named() -> None:
    plain = {**measured(None).model_dump(), "max_pools": ["pool1", "pool2"]}
    assert said(plain).endswith("; max pools take the OR of spikes, which is too often one: pool1, pool2")


@pytest.mark.parametrize("change", [{"agreement": "0.5"}, {"samples": 1.5}, {"more": 1}, {"agreement": float("nan")}])
def test_damage_is_found(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ConversionLoss.model_validate({**measured(None).model_dump(), **change})
