"""Every node type of NIR 1.0: what it becomes, and that its equation is what runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neurocompile.errors import InputError
from neurocompile.frontend.nir import Conventions, layers, reader
from neurocompile.ir.interpret import interpret
from neurocompile.ir.nodes import (
    Array,
    AvgPool2d,
    AxonDelay,
    Conv2d,
    Flatten,
    Linear,
    Neuron,
    Readout,
    Reshape,
    Scale,
    SumPool2d,
    Threshold,
)
from tests.frontend.nir.nir_cases import DT, chain, full, lif, network, node, notes, read, sink, source

RNG = np.random.default_rng(7)
#: (N, T, neurons)
SAMPLES = RNG.integers(-4, 9, (3, 6, 2)) / 4


def equations(x: Array, euler: bool = True, **p: Any) -> tuple[Array, Array]:
    """(spikes, membranes) of NIR's own equations for inputs (N, T, neurons), stepped by hand; v_reset at once."""
    rate = (lambda tau: DT / tau) if euler else (lambda tau: 1 - np.exp(-DT / tau))
    rest = p.get("v_leak", p.get("v_reset", 0.0))
    v, i = np.zeros(x[:, 0].shape) + rest, np.zeros(x[:, 0].shape)
    spikes, membranes = [], []
    for t in range(x.shape[1]):
        drive = x[:, t]
        if "tau_syn" in p:
            i = i + rate(p["tau_syn"]) * (p["w_in"] * drive - i)
            drive = i
        tau = p.get("tau", p.get("tau_mem"))
        v = v + p["r"] * DT * drive if tau is None else v + rate(tau) * (p.get("v_leak", 0.0) - v + p["r"] * drive)
        fired = v > p.get("v_threshold", np.inf)
        v = np.where(fired, p.get("v_reset", 0.0), v)
        spikes.append(fired.astype(np.float64))
        membranes.append(v)
    return np.stack(spikes, axis=1), np.stack(membranes, axis=1)


FIRING = {
    "IF": {"r": 1 / DT, "v_threshold": 1.5, "v_reset": -0.25},
    "LIF": {"tau": 2 * DT, "r": 2.0, "v_leak": -0.5, "v_threshold": 1.0, "v_reset": 0.25},
    "CubaLIF": {
        "tau_syn": 2 * DT, "tau_mem": 4 * DT, "r": 4.0, "w_in": 4.0, "v_leak": 0.25, "v_threshold": 1.0, "v_reset": 0.0
    },
}  # fmt: skip
INTEGRATING = {
    "I": {"r": 2 / DT},
    "LI": {"tau": 4 * DT, "r": 2.0, "v_leak": 0.0},
    "CubaLI": {"tau_syn": 2 * DT, "tau_mem": 4 * DT, "r": 2.0, "v_leak": 0.0, "w_in": 0.5},
}


@pytest.mark.parametrize("kind", FIRING)
@pytest.mark.parametrize("vary", [False, True])
@pytest.mark.parametrize("shape", [(2,), ()])
def test_a_firing_neuron_follows_its_equation(kind: str, vary: bool, shape: tuple[int, ...]) -> None:
    parameters: dict[str, Any] = {name: np.full(shape, value) for name, value in FIRING[kind].items()}
    if vary and shape:
        parameters["v_threshold"] = parameters["v_threshold"] + [0.0, 0.5]
    graph = read(chain(node(kind, **parameters), shape=(2,)))
    neuron = graph.node("0")
    assert isinstance(neuron, Neuron)
    assert neuron.threshold.shape == ((2,) if vary and shape else ())
    expected, _ = equations(SAMPLES, **parameters)
    assert expected.any()
    assert not expected.all()
    np.testing.assert_array_equal(interpret(graph, SAMPLES).events["0"], expected)


@pytest.mark.parametrize("kind", INTEGRATING)
def test_an_integrator_at_the_end_is_a_readout(kind: str) -> None:
    parameters: dict[str, Any] = {name: full(value, 2) for name, value in INTEGRATING[kind].items()}
    graph = read(chain(node(kind, **parameters), shape=(2,)))
    assert isinstance(graph.node("0"), Readout)
    assert graph.outputs == ("0",)
    _, membranes = equations(SAMPLES, **parameters)
    np.testing.assert_array_equal(interpret(graph, SAMPLES).outputs["0"], membranes[:, -1])


def test_the_exact_rule_is_exponential() -> None:
    parameters: dict[str, Any] = {name: full(value, 2) for name, value in FIRING["CubaLIF"].items()}
    exact = Conventions(rule="exact")
    graph = read(chain(node("CubaLIF", **parameters), shape=(2,)), conventions=exact)
    neuron = graph.node("0")
    assert isinstance(neuron, Neuron)
    assert neuron.leak == pytest.approx(np.exp(-1 / 4), rel=1e-15)
    assert neuron.current_leak == pytest.approx(np.exp(-1 / 2), rel=1e-15)
    expected, _ = equations(SAMPLES, euler=False, **parameters)
    np.testing.assert_array_equal(interpret(graph, SAMPLES).events["0"], expected)
    assert "exp(-dt/tau) (exact)" in notes(chain(node("CubaLIF", **parameters), shape=(2,)), conventions=exact)


def test_a_resistance_that_is_negative_is_a_scale() -> None:
    parameters: dict[str, Any] = {name: full(value, 2) for name, value in FIRING["LIF"].items()} | {
        "r": np.array([-2.0, 2.0])
    }
    graph = read(chain(node("LIF", **parameters), shape=(2,)))
    assert isinstance(graph.node("0.gain"), Scale)
    expected, _ = equations(SAMPLES, **parameters)
    np.testing.assert_array_equal(interpret(graph, SAMPLES).events["0"], expected)


def test_defaults_of_what_a_file_may_leave_out() -> None:
    parameters = {name: full(value, 2) for name, value in FIRING["CubaLIF"].items() if name not in ("v_reset", "w_in")}
    expected, _ = equations(SAMPLES, **parameters, v_reset=0.0, w_in=1.0)
    graph = read(chain(node("CubaLIF", **parameters), shape=(2,)))
    np.testing.assert_array_equal(interpret(graph, SAMPLES).events["0"], expected)


def test_an_integrators_r_of_one_is_per_step() -> None:
    given = chain(node("IF", r=full(1, 2), v_threshold=full(1, 2)), shape=(2,))
    graph = read(given)
    assert "r = 1 is read as v = v + x per step" in notes(given)
    expected, _ = equations(SAMPLES, r=1 / DT, v_threshold=1.0, v_reset=0.0)
    np.testing.assert_array_equal(interpret(graph, SAMPLES).events["0"], expected)


def test_single_precision_is_computed_as_exporters_compute_it() -> None:
    """1e-4 is no dyadic fraction, but tau = 1e-4/(1 - 0.75) and r = tau/1e-4 give 0.75 and 1 again."""
    one = np.float32(1)
    tau = 1e-4 / np.array([0.25, 0.3], np.float32)
    fields = {"tau": tau, "r": tau / 1e-4, "v_leak": tau * 0, "v_threshold": tau * 0 + one}
    neuron = read(chain(node("LIF", **fields), shape=(2,)), dt=1e-4).node("0")
    assert isinstance(neuron, Neuron)
    np.testing.assert_array_equal(neuron.leak, [0.75, np.float64(one - np.float32(0.3))])
    np.testing.assert_array_equal(neuron.threshold, 1.0)


def test_a_time_constant_without_end_never_leaks() -> None:
    """As snnTorch writes beta = 1."""
    graph = read(chain(lif(2, tau=full(np.inf, 2), r=full(np.inf, 2)), shape=(2,)))
    expected, _ = equations(SAMPLES, r=1 / DT, v_threshold=1.0, v_reset=0.0)
    np.testing.assert_array_equal(interpret(graph, SAMPLES).events["0"], expected)


def test_threshold_has_no_state() -> None:
    graph = read(chain(node("Threshold", threshold=[0.5, 1.0]), shape=(2,)))
    assert isinstance(graph.node("0"), Threshold)
    np.testing.assert_array_equal(interpret(graph, SAMPLES).events["0"], SAMPLES > [0.5, 1.0])


@pytest.mark.parametrize(
    ("part", "shape", "kinds"),
    [
        (node("Affine", weight=np.ones((3, 2)), bias=full(1, 3)), (2,), [Linear]),
        (node("Linear", weight=np.ones((3, 2))), (2,), [Linear]),
        (node("Linear", weight=np.ones((3, 8))), (2, 2, 2), [Flatten, Linear]),
        (node("Scale", scale=np.array([1.0, 2.0])), (2,), [Scale]),
        (node("Scale", scale=np.ones((2, 1, 1)) * 3), (2, 4, 4), [Scale]),
        (node("Conv2d", weight=np.ones((4, 2, 3, 2)), bias=full(0, 4)), (2, 5, 5), [Conv2d]),
        (node("Conv2d", weight=np.ones((4, 1, 3, 3)), groups=2, padding="same", stride=1), (2, 5, 5), [Conv2d]),
        (node("Conv2d", weight=np.ones((4, 2, 3, 3)), padding="valid", dilation=(1, 2)), (2, 7, 7), [Conv2d]),
        (node("AvgPool2d", kernel_size=np.array([2, 2]), stride=np.array([2, 2]), padding=0), (1, 4, 4), [AvgPool2d]),
        (node("SumPool2d", kernel_size=2, stride=np.array([1, 2]), padding=np.array([0, 1])), (1, 4, 4), [SumPool2d]),
        (node("Flatten", start_dim=0, end_dim=-1), (2, 3, 4), [Flatten]),
        (node("Flatten", start_dim=1, end_dim=-1), (5,), []),
        (node("Delay", delay=full(0, 5)), (5,), []),
    ],
)  # fmt: skip
def test_linear_nodes(part: dict[str, Any], shape: tuple[int, ...], kinds: list[type]) -> None:
    graph = read(chain(part, shape=shape))
    assert [type(each) for name, each in graph.items() if name[0] == "0"] == kinds
    assert isinstance(graph.node("output"), Readout)
    assert "output: what it reads is no neuron, so it is summed over all time steps" in notes(chain(part, shape=shape))


def test_zero_biases_are_none() -> None:
    assert read(chain(node("Affine", weight=np.ones((3, 2)), bias=full(0, 3)), shape=(2,))).node("0").bias is None  # type: ignore[attr-defined]


def unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    """These nodes are declared, and become legal with the passes that know them."""
    monkeypatch.setattr(reader, "verify", lambda _: None)


def test_conv1d_is_a_convolution_of_images_of_height_one(monkeypatch: pytest.MonkeyPatch) -> None:
    unverified(monkeypatch)
    weight = RNG.integers(-4, 5, (3, 2, 3)) / 4
    part = node("Conv1d", weight=weight, stride=2, padding=1, dilation=1, groups=1, bias=full(0.5, 3), input_shape=7)
    graph = read(chain(part, shape=(2, 7)))
    before, conv, after = (graph.node(name) for name in ("0.image", "0", "0.signal"))
    assert isinstance(before, Reshape)
    assert isinstance(conv, Conv2d)
    assert isinstance(after, Reshape)
    assert (before.shape, after.shape) == ((2, 1, 7), (3, 4))
    assert (conv.stride, conv.padding, conv.dilation) == ((1, 2), (0, 1), (1, 1))
    np.testing.assert_array_equal(conv.weight, weight[:, :, None])


def test_flatten_of_some_axes_is_a_reshape(monkeypatch: pytest.MonkeyPatch) -> None:
    unverified(monkeypatch)
    reshape = read(chain(node("Flatten", start_dim=1, end_dim=-1), shape=(2, 3, 4))).node("0")
    assert isinstance(reshape, Reshape)
    assert reshape.shape == (2, 12)


def test_delays_are_whole_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    unverified(monkeypatch)
    given = chain(node("Delay", delay=[0.0, 3 * DT]), shape=(2,))
    delay = read(given).node("0")
    assert isinstance(delay, AxonDelay)
    np.testing.assert_array_equal(delay.steps, [0, 3])
    uniform = read(chain(node("Delay", delay=[2e-3, 2e-3]), shape=(2,)), dt=1e-4).node("0")
    assert isinstance(uniform, AxonDelay)
    assert uniform.steps == 20
    assert uniform.steps.dtype == np.int64


def test_every_node_type_of_nir_is_known() -> None:
    nir = pytest.importorskip("nir")
    types = {
        name
        for name, kind in vars(nir.ir).items()
        if isinstance(kind, type) and issubclass(kind, nir.NIRNode) and name not in ("NIRNode", "NIRGraph")
    }
    assert types == {"Input", "Output", *layers.MAKERS}


REFUSED = [
    (lif(3), (2,), "0 (LIF): tau has shape (3,), but its input has (2,)"),
    (lif(2, v_threshold=full(0, 2)), (2,), "v_threshold is not above v_leak, so that it fires without input"),
    (lif(2, v_leak=full(1, 2)), (2,), "v_threshold is not above v_leak"),
    (node("IF", r=full(1, 2), v_threshold=full(1, 2), v_reset=full(1, 2)), (2,), "v_threshold is not above v_reset"),
    (lif(2, tau=full(DT / 2, 2)), (2,), "tau is 0.000488281 s, below the time step of 0.000976562 s; give a --dt"),
    (lif(2, tau=full(0, 2)), (2,), "tau is 0; time constants must be positive"),
    (lif(2, r=full(np.inf, 2)), (2,), "r is infinite, but tau is not"),
    (lif(2, v_threshold=full(np.nan, 2)), (2,), "v_threshold has values that are NaN or infinite"),
    (lif(2, tau=full(np.nan, 2)), (2,), "tau has values that are NaN or infinite"),
    (lif(2, tau=None), (2,), "it has no tau; write it again"),
    (lif(2, tau="slow"), (2,), "tau is 'slow'; it must be numbers"),
    (node("LI", tau=full(1, 2), r=full(1, 2), v_leak=[0.0, 1.0]), (2,), "v_leak differs between its neurons"),
    (node("Linear", weight=np.ones((2, 3, 4))), (2, 4), "weight has shape (2, 3, 4); it must be one matrix"),
    (node("Linear", weight=np.ones((3, 4))), (5,), "takes inputs (4,), got (5,)"),
    (node("Scale", scale=np.ones(3)), (2,), "scale has shape (3,), but its input has (2,)"),
    (node("Conv2d", weight=np.ones((2, 2))), (2, 4, 4), "it must be (C_out, C_in, height, width)"),
    (node("Conv1d", weight=np.ones((2, 2))), (2, 4), "it must be (C_out, C_in, length)"),
    (node("Conv1d", weight=np.ones((2, 2, 3))), (2, 4, 4), "it needs (channels, length)"),
    (node("Conv2d", weight=np.ones((4, 2, 3, 3)), input_shape=(4, 4)), (2, 5, 5), "input_shape is (4, 4), but"),
    (node("Conv2d", weight=np.ones((4, 2, 2, 2)), padding="same"), (2, 5, 5), "one-sided for kernel (2, 2)"),
    (node("Conv2d", weight=np.ones((4, 2, 3, 3)), padding="same", stride=2), (2, 5, 5), "with stride (2, 2)"),
    (node("Conv2d", weight=np.ones((4, 2, 3, 3)), padding="full"), (2, 5, 5), "padding is 'full'"),
    (node("Conv2d", weight=np.ones((4, 2, 3, 3)), stride=1.5), (2, 5, 5), "stride is 1.5; it must be 2 whole"),
    (node("Conv2d", weight=np.ones((4, 2, 3, 3)), stride=(1, 2, 3)), (2, 5, 5), "it must be 2 whole number(s)"),
    (node("Conv2d", weight=np.ones((4, 2, 3, 3)), groups=2**40), (2, 5, 5), "groups is 1099511627776"),
    (node("SumPool2d", kernel_size=(9, 9), stride=(1, 1)), (2, 5, 5), "a window of 9 (dilation 1) does not fit"),
    (node("SumPool2d", stride=(1, 1)), (2, 5, 5), "it has no kernel_size"),
    (node("Flatten", start_dim=3, end_dim=-1), (2, 5, 5), "start_dim 3 and end_dim -1 do not fit its input"),
    (node("Delay", delay=full(1.5 * DT, 2)), (2,), "a delay is 1.5 time steps of 0.000976562 s"),
    (node("Delay", delay=full(-DT, 2)), (2,), "delays go from -1 to -1 steps; they must be 0 or more"),
    (node("MaxPool2d", kernel_size=(2, 2)), (2, 5, 5), "this type is not known; the nearest are SumPool2d"),
]  # fmt: skip


@pytest.mark.parametrize(("part", "shape", "message"), REFUSED)
def test_refusals(part: dict[str, Any], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError) as error:
        read(chain(part, shape=shape))
    assert message in str(error.value)
    assert str(error.value).startswith("one node of the NIR network cannot be compiled: 0 (")


def test_subtraction_with_a_leak_potential_is_refused() -> None:
    with pytest.raises(InputError, match="v_leak is not 0, with which a reset by subtraction is not what NIR says"):
        read(chain(lif(2, v_leak=full(-1, 2)), shape=(2,)), conventions=Conventions(reset="subtract"))


def test_all_refusals_come_at_once() -> None:
    nodes = {
        "input": source(2), "a": lif(2, v_threshold=full(-1, 2)), "b": node("Linear", weight=np.ones((2, 5))),
        "c": node("Dropout"), "output": sink(),
    }  # fmt: skip
    edges = [("input", "a"), ("input", "b"), ("a", "c"), ("b", "output"), ("c", "output")]
    with pytest.raises(InputError, match=r"^3 nodes of .*: a \(LIF\): .*; b \(Linear\): .*; c \(Dropout\)"):
        read(network(nodes, edges))


def test_conventions_say_what_they_do() -> None:
    assert str(Conventions()) == "fire where v > v_threshold, and are then set to v_reset in the same step"
    assert str(Conventions(reset="subtract", leaky_reset=False, compare="at_or_above")) == (
        "fire where v >= v_threshold, and v_threshold is then subtracted in the next step, after its leak"
    )
    assert str(Conventions(reset="subtract", spikes="graded")) == (
        "send a spike for each time that v_threshold fits into v, at most 255 in a step, and v_threshold is then "
        "subtracted in the same step"
    )
