import copy
import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from snn_nets import ResNet, settled, vgg
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm

from neurocompile import snn
from neurocompile.errors import GraphError, InputError


@pytest.mark.parametrize("make", [vgg, ResNet])
def test_round_trip_gives_equal_outputs(make: Callable[[], nn.Module]) -> None:
    net = settled(make())
    wiring = snn.trace(net)
    assert snn.wiring_from_plain(snn.wiring_to_plain(wiring)) == wiring
    built = snn.build_module(wiring)
    assert set(built.state_dict()) == set(net.state_dict())
    snn.load_into(built, net.state_dict())
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(snn.run(built.eval(), x, 4), snn.run(net, x, 4))
    assert snn.trace(built) == wiring
    spikes = snn.record_spikes(net, x, 4)
    assert all(torch.equal(spikes[name], s) for name, s in snn.record_spikes(built, x, 4).items())
    torch.manual_seed(5)
    trained = snn.run(net.train(), x, 2)
    torch.manual_seed(5)
    assert torch.equal(snn.run(built.train(), x, 2), trained)  # dropout too


def test_the_mode_survives_tracing() -> None:
    net = vgg().train()
    net[2].eval()
    snn.trace(net)
    assert [module.training for module in net].count(False) == 1
    assert net.training


def test_names_inputs_and_settings() -> None:
    wiring = snn.trace(ResNet())
    steps = {step.name: step for step in wiring.steps}
    assert wiring.steps[0] == snn.Step("input", "input", "", (), {})
    assert steps["blocks.1.add"].inputs == ("blocks.1.conv2", "blocks.1.shortcut")
    assert steps["blocks.0.add"].inputs == ("blocks.0.conv2", "blocks.0.shortcut")
    assert steps["avg_pool2d"].args == {
        "kernel_size": [2, 2],
        "stride": [1, 1],
        "padding": [1, 1],
        "ceil_mode": False,
        "count_include_pad": False,
        "divisor_override": None,
    }
    assert wiring.output == "readout"
    assert wiring.modules["blocks.1.conv1"] == snn.ModuleSpec(
        "Conv2d",
        {
            "in_channels": 4,
            "out_channels": 6,
            "kernel_size": [3, 3],
            "stride": [2, 2],
            "padding": [1, 1],
            "dilation": [1, 1],
            "groups": 1,
            "bias": False,
            "padding_mode": "zeros",
        },
    )
    assert wiring.modules["encoder"].config == {"gain": 0.9, "seed": 3}


def test_neurons_keep_their_choices() -> None:
    layer = snn.LIF(
        torch.ones(2),
        0.5,
        current_leak=0.25,
        order="fire_first",
        compare="at_or_above",
        reset="set",
        reset_value=-0.5,
        spikes="graded",
        max_payload=7,
        single_spike=True,
        leaky_reset=False,
        membrane_min=-0.75,
        learn_leak=True,
        surrogate=snn.ArctanSurrogate(3.0),
    )
    built = snn.build_module(snn.trace(nn.Sequential(layer))).get_submodule("0")
    for option in ("order", "compare", "reset", "reset_value", "spikes", "max_payload", "single_spike", "surrogate",
                   "leaky_reset", "membrane_min"):  # fmt: skip
        assert getattr(built, option) == getattr(layer, option)
    assert isinstance(built.leak, nn.Parameter)
    assert built.threshold.shape == (2,)


def test_a_setting_that_is_younger_than_the_format_is_written_only_where_it_is_used() -> None:
    """So files of before are read, and readers of before read what they understand."""
    plain = snn.wiring_to_plain(snn.trace(nn.Sequential(snn.LIF())))
    assert "membrane_min" not in plain["modules"]["0"]["config"]
    assert snn.build_module(snn.wiring_from_plain(plain)).get_submodule("0").membrane_min is None
    plain["modules"]["0"]["config"]["membrane_min"] = -0.5
    assert snn.build_module(snn.wiring_from_plain(plain)).get_submodule("0").membrane_min == -0.5
    looped = nn.Sequential(snn.Recurrent(snn.LIF(membrane_min=-0.25), nn.Linear(2, 2)))
    wiring = snn.wiring_from_plain(snn.wiring_to_plain(snn.trace(looped)))
    assert snn.build_module(wiring).get_submodule("0.neuron").membrane_min == -0.25


class OwnSurrogate:
    def slope(self, z: Tensor) -> Tensor:
        return torch.ones_like(z)


def test_a_surrogate_of_the_users_own_is_left_out() -> None:
    net = nn.Sequential(snn.LIF(surrogate=OwnSurrogate()))
    wiring = snn.trace(net)
    assert wiring.modules["0"].config["surrogate"] is None
    assert snn.build_module(wiring).get_submodule("0").surrogate == snn.LinearSurrogate()


def module(forward: Callable[..., Any], **layers: nn.Module) -> nn.Module:
    """A module of the given layers whose forward is ``forward(self, x)``."""
    net = type("Net", (nn.Module,), {"forward": forward})()
    for name, layer in layers.items():
        net.add_module(name, layer)
    return net


def iadd(self: Any, x: Tensor) -> Tensor:
    y = self.a(x)
    y += self.b(x)
    return y


ALIKE = {
    "operator.add": lambda self, x: operator.add(self.a(x), self.b(x)),
    "torch.add": lambda self, x: torch.add(self.a(x), self.b(x)),
    "Tensor.add": lambda self, x: self.a(x).add(self.b(x)),
    "in place": iadd,
    "add_": lambda self, x: self.a(x).add_(self.b(x)),
    "torch.flatten": lambda self, x: torch.flatten(self.a(x), 1),
    "flatten": lambda self, x: self.a(x).flatten(start_dim=1),
    "view": lambda self, x: self.a(x).view(x.size(0), -1),
    "view shape": lambda self, x: self.a(x).view(x.shape[0], -1),
    "reshape": lambda self, x: self.a(x).reshape((x.size()[0], -1)),
    "torch.reshape": lambda self, x: torch.reshape(self.a(x), (x.size(dim=0), -1)),
    "avg_pool2d": lambda self, x: F.avg_pool2d(self.a(x), (2, 1), padding=(1, 0)),
    "adaptive": lambda self, x: F.adaptive_avg_pool2d(self.a(x), (None, 2)),
    "dropout": lambda self, x: F.dropout(self.a(x), p=0.3, training=self.training),
    "called twice": lambda self, x: self.a(self.a(x)),
    "same branch twice": lambda self, x: (lambda y: y + y)(self.a(x)),
    "dead code": lambda self, x: (self.b(x), self.a(x))[1],
}


@pytest.mark.parametrize("name", ALIKE)
def test_spellings(name: str) -> None:
    net = module(ALIKE[name], a=nn.Conv2d(2, 2, 1), b=nn.Conv2d(2, 2, 1)).eval()
    wiring = snn.wiring_from_plain(snn.wiring_to_plain(snn.trace(net)))
    built = snn.build_module(wiring).eval()
    built.load_state_dict(
        {key: value for key, value in net.state_dict().items() if key.split(".")[0] in wiring.modules}
    )
    x = torch.rand(3, 2, 4, 4)
    torch.testing.assert_close(built(x), net(x), rtol=0, atol=0)


def by_value(self: Any, x: Tensor) -> Tensor:
    if x.sum() > 0:
        return x
    return self.a(x)


class Convolution(nn.Conv2d):
    pass


def hooked() -> nn.Module:
    layer = nn.Linear(2, 2)
    prune.l1_unstructured(layer, "weight", 0.5)
    return layer


def overwritten(self: Any, x: Tensor) -> Tensor:
    y = self.a(x)
    z = y.add_(x)
    return z + y


REFUSED = {
    "control flow": (
        by_value,
        {"a": nn.Identity()},
        r"Net: forward\(\) cannot be followed at test_snn_wiring.py:\d+ `if x.sum\(\) > 0:`",
    ),
    "loop over a size": (
        lambda _, x: [x + x for number in range(x.size(0))],
        {},
        r"cannot be followed at test_snn_wiring",
    ),
    "max pooling": (
        lambda self, x: self.a(x),
        {"a": nn.MaxPool2d(2)},
        r"1 operation cannot be compiled: a \(MaxPool2d; use AvgPool2d\)",
    ),
    "relu": (lambda self, x: self.a(x), {"a": nn.ReLU()}, r"a \(ReLU; use neurocompile.snn.LIF \(replace_relu"),
    "layer norm": (
        lambda self, x: self.a(x),
        {"a": nn.LayerNorm(2)},
        r"a \(LayerNorm; use BatchNorm1d or BatchNorm2d, for it divides by what each sample has, and no synapse does\)",
    ),
    "unheard of": (lambda self, x: self.a(x), {"a": nn.Bilinear(1, 1, 1)}, r"a \(Bilinear; use one of Conv2d, Linear"),
    "subclass": (lambda self, x: self.a(x), {"a": Convolution(1, 1, 1)}, r"a \(Convolution; use Conv2d itself\)"),
    "parametrised": (
        lambda self, x: self.a(x),
        {"a": weight_norm(nn.Linear(2, 2))},
        r"a \(ParametrizedLinear; use Linear itself\)",
    ),
    "pruned": (lambda self, x: self.a(x), {"a": hooked()}, r"a: Linear runs hooks .*prune.remove"),
    "function": (lambda _, x: torch.cat([x, x]), {}, r"forward\(\): cat \(use torch.add"),
    "function relu": (lambda _, x: F.relu(x), {}, r"forward\(\): relu \(use neurocompile.snn.LIF"),
    "softmax": (lambda _, x: x.softmax(1), {}, r"softmax \(use no softmax at all"),
    "constant": (lambda _, x: x + 1, {}, r"add \(adds a constant"),
    "scaled add": (lambda _, x: torch.add(x, x, alpha=2), {}, r"alpha is 2; scale the weights"),
    "flatten all": (lambda _, x: torch.flatten(x), {}, r"flattens axes 0 to -1; use flatten\(1\)"),
    "flatten module": (
        lambda self, x: self.a(x),
        {"a": nn.Flatten(0)},
        r"a: Flatten flattens axes 0 to -1; use nn.Flatten\(\)",
    ),
    "view": (lambda _, x: x.view(-1, 4), {}, r"may mix samples; use flatten\(1\)"),
    "view by another size": (lambda _, x: x.view(x.size(1), -1), {}, r"may mix samples"),
    "dropout for ever": (lambda _, x: F.dropout(x), {}, r"drops even in eval mode; pass training=self.training"),
    "pool by size": (
        lambda _, x: F.avg_pool2d(x, x.size(2)),
        {},
        r"kernel_size is .*must be a list of two integers",
    ),
    "twice": (
        lambda self, x: self.a(self.a(x)),
        {"a": snn.LIF()},
        r"a \(LIF called twice, but it keeps state; make one",
    ),
    "no statistics": (
        lambda self, x: self.a(x),
        {"a": nn.BatchNorm2d(1, track_running_stats=False)},
        r"a: BatchNorm2d keeps no running statistics",
    ),
    "two inputs": (lambda _, x, y: x + y, {}, r"forward\(\) takes 2 inputs \(x, y\), limit 1"),
    "two outputs": (lambda _, x: (x, x), {}, r"forward\(\) returns 2 values; return the one tensor"),
    "a size out": (lambda _, x: x.size(0), {}, r"forward\(\) returns the result of size"),
    "two tensors into a layer": (
        lambda self, x: self.a(x, x),
        {"a": nn.Linear(1, 1)},
        r"a \(Linear called with more than one",
    ),
    "in place, used again": (overwritten, {"a": nn.Identity()}, r"add_ \(changes in place a tensor that is used again"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    forward, layers, sentence = REFUSED[name]
    with pytest.raises(GraphError, match=sentence) as caught:
        snn.trace(module(forward, **layers))
    assert "\n" not in str(caught.value)


def test_a_tensor_used_by_itself_is_refused() -> None:
    net = module(lambda self, x: x + self.scale)
    net.register_buffer("scale", torch.ones(1))
    with pytest.raises(GraphError, match=r"scale \(a tensor used by itself"):
        snn.trace(net)


def test_all_complaints_come_at_once() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 2), nn.Softmax(1))
    with pytest.raises(GraphError, match=r"3 operations .*1 \(ReLU; .*2 \(MaxPool2d; .*5 \(Softmax; "):
        snn.trace(net)


@pytest.mark.parametrize("layer", [nn.Linear(2, 2), snn.LIF()])
def test_a_single_layer_must_be_wrapped(layer: nn.Module) -> None:
    with pytest.raises(GraphError, match=r"a single layer; wrap it: nn.Sequential\(model\)"):
        snn.trace(layer)


# ------------------------------------------------------------------------------------------------ data from strangers


def plain() -> dict[str, Any]:
    return snn.wiring_to_plain(snn.trace(nn.Sequential(nn.Conv2d(1, 2, 3), snn.LIF(), nn.AvgPool2d(2))))


def at(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """An edit: the entry at ``a/b/0`` becomes ``value``."""

    def edit(data: Any) -> None:
        *parents, last = [int(part) if part.isdigit() and part != "0" else part for part in path.split("/")]
        for part in parents:
            data = data[int(part)] if isinstance(data, list) else data[str(part)]
        data[int(last) if isinstance(data, list) else str(last)] = value

    return edit


def drop(*path: str) -> Callable[[dict[str, Any]], None]:
    def edit(data: Any) -> None:
        for part in path[:-1]:
            data = data[part]
        del data[path[-1]]

    return edit


DAMAGED = {
    "not a table": (None, r"wiring: 3 is not a table"),
    "missing key": (drop("steps"), r"wiring: setting 'steps' is missing"),
    "unknown key": (at("extra", 1), r"wiring: unknown setting 'extra'; known are modules, steps, output"),
    "no steps": (at("steps", []), r"steps is \[\]; it must be a list that is not empty"),
    "unknown type": (at("modules/0/type", "Conv9d"), r"layer 0 is of unknown type 'Conv9d'"),
    "unknown setting": (at("modules/0/config/colour", 1), r"layer 0 \(Conv2d\): unknown setting 'colour'"),
    "missing setting": (drop("modules", "0", "config", "bias"), r"setting 'bias' is missing; it must be true or false"),
    "huge": (
        at("modules/0/config/out_channels", 10**12),
        r"out_channels is 10+; it must be an integer from 1 to 2\^31",
    ),
    "text for a number": (at("modules/0/config/groups", "1"), r"groups is '1'"),
    "true for a number": (at("modules/0/config/groups", True), r"groups is True"),
    "NaN": (at("modules/1/config/reset_value", float("nan")), r"reset_value is nan; it must be a finite number"),
    "positive minimum": (
        at("modules/1/config/membrane_min", 1),
        r"membrane_min is 1; it must be a number of at most 0, or nothing",
    ),
    "a word of its own": (at("modules/1/config/order", "late"), r"order is 'late'; it must be one of integrate_first"),
    "a tensor": (at("modules/0/config/padding", torch.ones(2)), r"padding is tensor"),
    "surrogate": (at("modules/1/config/surrogate", [[], 1]), r"surrogate is \[\[\], 1\]"),
    "contradiction": (at("modules/0/config/groups", 2), r"layer 0 \(Conv2d\) cannot be built: in_channels must be div"),
    "contradicting choices": (at("modules/1/config/leaky_reset", 0), r"leaky_reset is 0; it must be true or false"),
    "bad path": (at("modules/a..b", {"type": "Flatten", "config": {}}), r"'a..b' is not the dotted path"),
    "a method's name": (
        at("modules/forward", {"type": "Flatten", "config": {}}),
        r"forward bears the name of a method",
    ),
    "never called": (at("modules/9", {"type": "Flatten", "config": {}}), r"layer 9 is never called"),
    "output": (at("output", "7"), r"the output '7' is no step"),
    "op": (at("steps/1/op", "jump"), r"step 1: op is 'jump'; it must be one of input, module, function"),
    "two inputs": (at("steps/1/op", "input"), r"step 1 \(0\): the first step, and no other, is the input"),
    "from nowhere": (at("steps/1/inputs", ["2"]), r"step 1 \(0\): takes '2', which no earlier step makes"),
    "too many inputs": (at("steps/2/inputs", ["0", "0"]), r"step 2 \(1\): has 2 inputs, 1 takes 1"),
    "same name": (at("steps/2/name", "0"), r"step 2 \(0\): an earlier step has the same name"),
    "no such layer": (at("steps/2/target", "8"), r"step 2 \(1\): calls '8', which is no layer"),
    "no such function": (
        at("steps/2", {"name": "f", "op": "function", "target": "exec", "inputs": ["0"], "args": {}}),
        r"step 2 \(f\): calls unknown function 'exec'",
    ),
    "arguments": (at("steps/2/args", {"a": 1}), r"step 2 \(1\): unknown setting 'a'; known are none"),
    "neuron twice": (
        at("steps/3", {"name": "z", "op": "module", "target": "1", "inputs": ["1"], "args": {}}),
        r"layer (1 \(LIF\) keeps state and is called twice|2 is never called)",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_wirings_are_refused(name: str) -> None:
    edit, sentence = DAMAGED[name]
    data: Any = plain()
    if edit is None:
        data = 3
    else:
        edit(data)
    with pytest.raises(InputError, match=sentence):
        snn.build_module(snn.wiring_from_plain(data))


def test_neuron_called_twice_is_refused() -> None:
    data = plain()
    del data["modules"]["2"]
    data["steps"][3] = {"name": "z", "op": "module", "target": "1", "inputs": ["1"], "args": {}}
    data["output"] = "z"
    with pytest.raises(InputError, match=r"layer 1 \(LIF\) keeps state and is called twice"):
        snn.wiring_from_plain(data)


@pytest.mark.parametrize(("first", "second"), [("0", "0.inner"), ("0.inner", "0")])
def test_a_layer_inside_a_layer_is_refused(first: str, second: str) -> None:
    flatten = {"type": "Flatten", "config": {}}
    steps = [{"name": "input", "op": "input", "target": "", "inputs": [], "args": {}}]
    steps += [{"name": p, "op": "module", "target": p, "inputs": ["input"], "args": {}} for p in (first, second)]
    data = {"modules": {first: flatten, second: copy.deepcopy(flatten)}, "steps": steps, "output": first}
    with pytest.raises(InputError, match="would lie inside another layer"):
        snn.build_module(snn.wiring_from_plain(data))
