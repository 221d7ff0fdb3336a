"""Neurons: traces worked by hand, and a second derivation in plain Python numbers."""

import copy
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile import snn
from neurocompile.errors import InputError


def trace(layer: torch.nn.Module, *inputs: float, training: bool = False) -> tuple[list[float], list[float]]:
    """Spikes and membranes of one neuron, step by step; the layer runs in float64."""
    layer = layer.double().train(training)
    spikes, membranes = [], []
    for x in inputs:
        spikes.append(float(layer(torch.tensor([[x]], dtype=torch.float64))))
        membranes.append(round(float(layer.u), 9))
    return spikes, membranes


# Exact in binary: inputs and leaks are dyadic.
HAND = {
    "integrate, fire, subtract; the leak acts on the rest": (
        {"threshold": 1.0, "leak": 0.5},
        [0.75, 0.75, 1.5, 0.0],
        [0, 1, 1, 0],
        [0.75, 0.125, 0.5625, 0.28125],
    ),
    "Eq. 2: the reset comes a step later, un-leaked": (
        {"threshold": 1.0, "leak": 0.5, "leaky_reset": False},
        [0.75, 0.75, 1.5, 0.0],
        [0, 1, 1, 0],
        [0.75, 1.125, 1.0625, -0.46875],
    ),
    "fire first: a spike comes a step after its cause": (
        {"threshold": 1.0, "leak": 0.5, "order": "fire_first"},
        [1.5, 0.0, 1.0, 0.0],
        [0, 1, 0, 1],
        [1.5, 0.25, 1.125, 0.0625],
    ),
    "fire first, un-leaked reset": (
        {"threshold": 1.0, "leak": 0.5, "order": "fire_first", "leaky_reset": False},
        [1.5, 0.0, 1.0, 0.0],
        [0, 1, 0, 0],
        [1.5, -0.25, 0.875, 0.4375],
    ),
    "above: the threshold itself is not enough": ({}, [1.0, 0.5], [0, 1], [1.0, 0.5]),
    "at or above: it is": ({"compare": "at_or_above"}, [1.0, 0.5], [1, 0], [0.0, 0.5]),
    "set": ({"reset": "set", "reset_value": 0.25}, [3.0, 0.5, 0.5], [1, 0, 1], [0.25, 0.75, 0.25]),
    "no reset": ({"reset": "none"}, [1.5, 0.0, -1.0], [1, 1, 0], [1.5, 1.5, 0.5]),
    "signed": ({"spikes": "signed"}, [1.5, -2.0, -1.0, 0.5], [1, -1, -1, 0], [0.5, -0.5, -0.5, 0.0]),
    "signed, at or above": ({"spikes": "signed", "compare": "at_or_above"}, [-1.0, 1.0], [-1, 1], [0.0, 0.0]),
    "signed, set": (
        {"spikes": "signed", "reset": "set", "reset_value": 0.25},
        [1.5, -2.0, 0.5],
        [1, -1, 0],
        [0.25, -0.25, 0.25],
    ),
    "graded": (
        {"spikes": "graded", "threshold": 0.5, "max_payload": 3},
        [0.5, 1.0, 9.0, -20.0],
        [0, 2, 3, 0],
        [0.5, 0.5, 8.0, -12.0],
    ),
    "graded, at or above": (
        {"spikes": "graded", "compare": "at_or_above", "threshold": 0.5},
        [0.5, 1.25],
        [1, 2],
        [0.0, 0.25],
    ),
    "single spike": ({"single_spike": True}, [1.5, 1.0, 2.0], [1, 0, 0], [0.5, 1.5, 3.5]),
    "set, a step later: the input of that step is lost": (
        {"leak": 0.5, "reset": "set", "reset_value": 0.25, "leaky_reset": False},
        [1.5, 1.75, 1.0, 9.0],
        [1, 0, 1, 0],
        [1.5, 0.25, 1.125, 0.25],
    ),
    "set, a step later, fire first": (
        {"leak": 0.5, "reset": "set", "leaky_reset": False, "order": "fire_first"},
        [1.5, 9.0, 0.75, 0.0],
        [0, 1, 0, 0],
        [1.5, 0.0, 0.75, 0.375],
    ),
    "least membrane": ({"membrane_min": -0.5}, [-3.0, 1.0, 1.0], [0, 0, 1], [-0.5, 0.5, 0.5]),
    "current": ({"current_leak": 0.5, "threshold": 2.0}, [1.0, 0.0, 1.0], [0, 0, 1], [1.0, 1.5, 0.75]),
}


@pytest.mark.parametrize("name", HAND)
def test_by_hand(name: str) -> None:
    options, inputs, spikes, membranes = HAND[name]
    assert trace(snn.LIF(**options), *inputs) == (spikes, membranes)


def test_in_train_mode_a_single_spike_neuron_goes_on_by_hand() -> None:
    """Eqs. 6 to 8 of Datta et al.: u loses v after each step that passed v, and only the first of them is a spike."""
    layer = snn.LIF(1.0, single_spike=True, leaky_reset=False)
    assert trace(layer, 1.5, 1.0, 2.0, -1.0, training=True) == ([1, 0, 0, 0], [1.5, 1.5, 2.5, 0.5])
    snn.reset_state(layer)
    assert trace(layer, 1.5, 1.0, 2.0, -1.0) == ([1, 0, 0, 0], [1.5, 1.5, 3.5, 2.5])


def reference(xs: list[float], o: dict[str, Any]) -> list[float]:
    """One neuron over one presentation, in Python numbers and branches."""
    v, lam, alpha = o["threshold"], o["leak"], o["current_leak"]

    def passes(u: float, level: float) -> bool:
        return u > level if o["compare"] == "above" else u >= level

    def fire(u: float) -> int:
        if o["single_spike"] and any(answers):
            return 0
        if o["spikes"] == "binary":
            return int(passes(u, v))
        if o["spikes"] == "signed":
            return 1 if passes(u, v) else -1 if passes(-u, v) else 0
        k = 0
        while k < o["max_payload"] and passes(u, (k + 1) * v):
            k += 1
        return k

    def after(u: float, s: int) -> float:
        if o["reset"] == "subtract":
            return u - v * s
        if o["reset"] == "set" and s != 0:
            return o["reset_value"] if s > 0 else -o["reset_value"]
        return u

    answers: list[int] = []
    i = u = 0.0
    for x in xs:
        i = alpha * i + x
        if o["order"] == "fire_first":
            s = fire(u)
            u = lam * after(u, s) + i if o["leaky_reset"] else after(lam * u + i, s)
        else:
            u = lam * u + i
            if not o["leaky_reset"]:
                u = after(u, int(answers[-1]) if answers else 0)
            s = fire(u)
            if o["leaky_reset"]:
                u = after(u, s)
        if o["membrane_min"] is not None:
            u = max(u, o["membrane_min"])
        answers.append(s)
    return [float(s) for s in answers]


CHOICES = [
    dict(zip(("order", "compare", "reset", "leaky_reset", "spikes", "single_spike"), values, strict=True))
    for values in product(
        ("integrate_first", "fire_first"),
        ("above", "at_or_above"),
        ("subtract", "set", "none"),
        (True, False),
        ("binary", "signed", "graded"),
        (False, True),
    )
    if values[2] != "none" or values[3]
]
EIGHTHS = st.integers(-24, 24).map(lambda n: n / 8)  # so that thresholds are met exactly now and then


@settings(deadline=None, max_examples=40)
@given(
    st.lists(EIGHTHS, min_size=1, max_size=6),
    st.sampled_from([0.25, 0.5, 1.0, 0.3]),
    st.sampled_from([0.0, 0.5, 0.75, 1.0, 0.9]),
    st.sampled_from([0.0, 0.5, 0.7]),
    st.sampled_from([1, 3, 255]),
    st.sampled_from([None, None, 0.0, -0.25, -1.0]),
)
def test_every_combination_agrees_with_plain_python(
    xs: list[float],
    threshold: float,
    leak: float,
    current_leak: float,
    max_payload: int,
    membrane_min: float | None,
) -> None:
    for choices in CHOICES:
        options = {
            "threshold": threshold,
            "leak": leak,
            "current_leak": current_leak,
            "max_payload": max_payload,
            "reset_value": 0.125,
            "membrane_min": membrane_min,
        } | choices
        layer = snn.LIF(**options).double()
        # A module's values are made in float32, then widened: let the reference start from the very same numbers.
        numbers = {name: float(getattr(layer, name)) for name in ("threshold", "leak", "current_leak")}
        for training in (False, True):
            snn.reset_state(layer.train(training))
            got = [float(layer(torch.tensor([[x]], dtype=torch.float64))) for x in xs]
            assert got == reference(xs, options | numbers), (choices, training)


def test_graded_counts_are_exact_where_the_quotient_is_rounded() -> None:
    levels = torch.arange(1, 200)
    for v in (0.1, 0.3, 0.7, 1 / 3):
        threshold = torch.tensor(v)
        at = levels * threshold  # exactly on each level, as float32 multiplies
        for compare, counts in (("above", levels - 1), ("at_or_above", levels)):
            spikes = snn.IF(v, spikes="graded", compare=compare)(at[None])
            assert torch.equal(spikes[0], counts.float())


def test_parameters_per_channel_and_per_neuron() -> None:
    x = torch.rand(2, 3, 4, 5) * 2
    thresholds = torch.tensor([0.5, 1.0, 1.5])
    whole = thresholds[:, None, None].expand(3, 4, 5)
    per_channel, per_neuron = snn.LIF(thresholds, thresholds / 2), snn.LIF(whole, whole / 2)
    for _ in range(3):
        assert torch.equal(per_channel(x), per_neuron(x))
    middle = snn.run(snn.LIF(1.0, 0.5), x[:, 1:2], 3)
    assert torch.equal(middle, snn.run(per_channel, x, 3)[:, 1:2])
    assert torch.equal(snn.LIF(thresholds)(x[:, :, 0, 0]), (x[:, :, 0, 0] > thresholds).float())


def test_readout_integrates_and_never_fires() -> None:
    layer = snn.Readout(0.5, 0.5)
    assert [float(layer(torch.tensor([[x]]))) for x in (1.0, 0.0, 4.0)] == [1.0, 1.0, 4.75]
    assert snn.Readout()(torch.full((1, 2), 100.0)).tolist() == [[100.0, 100.0]]


def test_reset_state_and_copies_start_afresh() -> None:
    layer = snn.LIF(1.0, 0.5, learn_leak=True)
    x = torch.full((1, 1), 0.75)
    assert layer(x) + layer(x) == 1
    assert layer.u.requires_grad  # which is why a plain deepcopy would fail
    twin = copy.deepcopy(layer)
    assert twin.u is None
    snn.reset_state(layer)
    assert layer.u is None
    assert torch.equal(twin(x), layer(x))


def test_clamp_parameters_makes_learned_values_legal() -> None:
    layer = snn.LIF(torch.tensor([1.0, 1.0]), 0.5, learn_threshold=True, learn_leak=True)
    with torch.no_grad():
        layer.threshold.copy_(torch.tensor([-1.0, 2.0]))
        layer.leak.fill_(1.2)
    with pytest.raises(InputError, match=r"hidden: threshold spans -1 to 2, limit above 0; call clamp_parameters"):
        layer.check("hidden")
    snn.clamp_parameters(torch.nn.Sequential(layer))
    layer.check()
    assert layer.threshold.tolist() == pytest.approx([0.001, 2.0])
    assert layer.leak.item() == 1
    assert isinstance(layer.threshold, torch.nn.Parameter)
    assert not isinstance(snn.LIF().threshold, torch.nn.Parameter)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: snn.LIF(order="late"), r"order is 'late'; choose one of integrate_first, fire_first"),
        (lambda: snn.LIF(compare=">"), r"compare is '>'; choose one of above, at_or_above"),
        (lambda: snn.LIF(reset="zero"), r"reset is 'zero'; choose one of subtract, set, none"),
        (lambda: snn.LIF(spikes="ternary"), r"spikes is 'ternary'; choose one of binary, signed, graded"),
        (lambda: snn.LIF(reset="none", leaky_reset=False), r"leaky_reset=False delays a reset, but reset is 'none'"),
        (lambda: snn.LIF(membrane_min=0.5), r"membrane_min is 0.5, limit 0 at most; membranes begin at 0"),
        (lambda: snn.IF(membrane_min=float("nan")), r"membrane_min is nan, limit 0"),
        (lambda: snn.LIF(membrane_min=-float("inf")), r"membrane_min is -inf, limit 0"),
        (lambda: snn.LIF(max_payload=0), r"max_payload is 0, limit 1"),
        (lambda: snn.LIF(0.0), r"threshold is 0, limit above 0"),
        (lambda: snn.LIF(torch.tensor([1.0, float("inf")])), r"threshold spans 1 to inf, limit above 0"),
        (lambda: snn.LIF(1.0, 1.5), r"leak is 1.5, limit 0 to 1"),
        (lambda: snn.Readout(-0.1), r"Readout: leak is -0.1"),
        (lambda: snn.Readout(1.0, 2.0), r"Readout: current_leak is 2"),
        (
            lambda: snn.LIF(torch.ones(3))(torch.ones(1, 4, 2, 2)),
            r"threshold has shape \(3,\), its input \(1, 4, 2, 2\)",
        ),
    ],
)
def test_refusals(make: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        make()


def test_a_batch_may_not_change_its_shape_within_a_presentation() -> None:
    for layer in (snn.LIF(), snn.Readout()):
        layer(torch.ones(2, 3))
        with pytest.raises(InputError, match=r"\(1, 3\) in a presentation begun with \(2, 3\); call reset_state"):
            layer(torch.ones(1, 3))
