import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from snn_nets import ResNet, settled, vgg
from torch import Tensor, nn

from neurocompile import snn
from neurocompile.errors import GraphError, InputError
from neurocompile.snn import checkpoint

SHAPE = (1, 8, 8)


@pytest.mark.parametrize("make", [vgg, ResNet])
def test_a_saved_network_comes_back_the_same(make: Callable[[], nn.Module], tmp_path: Path) -> None:
    net = settled(make())
    x = torch.rand(5, *SHAPE)
    path = tmp_path / "digits.pt"
    snn.save(net, path, timesteps=4, input_shape=SHAPE, sample_input=x[:3], metadata={"a": [1, {"b": None}], "c": 0.5})
    found = snn.load(path)
    assert (found.name, found.timesteps, found.input_shape) == ("digits", 4, SHAPE)
    assert found.metadata == {"a": [1, {"b": None}], "c": 0.5}
    assert torch.equal(found.calibration, x[:3])
    assert not found.model.training
    assert found.wiring == snn.trace(net)
    assert torch.equal(snn.run(found.model, x, 4), snn.run(net, x, 4))
    assert set(found.model.state_dict()) == set(net.state_dict())
    trainable = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    assert {name for name, parameter in found.model.named_parameters() if parameter.requires_grad} == trainable
    assert not any(value.is_meta for value in found.model.state_dict().values())
    assert [entry.name for entry in tmp_path.iterdir()] == ["digits.pt"]


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    net = settled(vgg())
    for name in ("a", "b"):
        snn.save(net, tmp_path / f"{name}.pt", timesteps=2, input_shape=SHAPE, name="net")
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    assert snn.load(tmp_path / "a.pt").name == "net"
    assert snn.load(tmp_path / "a.pt").calibration is None


def test_a_loaded_network_can_be_trained_on_and_saved_again(tmp_path: Path) -> None:
    snn.save(settled(ResNet()), tmp_path / "a.pt", timesteps=2, input_shape=SHAPE)
    found = snn.load(tmp_path / "a.pt")
    found.model.train()
    snn.run(found.model, torch.rand(4, *SHAPE), 2).sum().backward()
    assert found.model.get_submodule("fc").weight.grad is not None
    snn.save(found.model, tmp_path / "b.pt", timesteps=2, input_shape=SHAPE)
    assert snn.load(tmp_path / "b.pt").wiring == found.wiring


def test_a_network_without_tensors_and_one_in_float64(tmp_path: Path) -> None:
    snn.save(nn.Sequential(nn.Flatten()), tmp_path / "a.pt", timesteps=1, input_shape=(2, 2))
    assert snn.load(tmp_path / "a.pt").model(torch.ones(1, 2, 2)).shape == (1, 4)
    snn.save(settled(vgg()).double(), tmp_path / "b.pt", timesteps=1, input_shape=SHAPE)
    assert snn.load(tmp_path / "b.pt").model.get_submodule("1").weight.dtype == torch.float64


def test_an_interrupted_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.pt"
    snn.save(settled(vgg()), path, timesteps=1, input_shape=SHAPE)
    before = path.read_bytes()

    def fail(_document: Any, file: Any) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.torch, "save", fail)
    with pytest.raises(KeyboardInterrupt):
        snn.save(settled(vgg()), path, timesteps=1, input_shape=SHAPE)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.pt"]


def broken() -> nn.Module:
    net = vgg()
    with torch.no_grad():
        net[1].weight[0, 0, 0, :2] = float("nan")
    return net


def unclamped() -> nn.Module:
    net = vgg()
    with torch.no_grad():
        net[13].leak.fill_(1.5)
    return net


class Aliased(nn.Module):
    """Changes, through an alias that tracing cannot see, a tensor that is used again."""

    def forward(self, x: Tensor) -> Tensor:
        y = x + x
        z = y.flatten(1)
        z += z.flatten(1)
        return y.flatten(1)


@pytest.mark.parametrize(
    ("kind", "make", "options", "sentence"),
    [
        (InputError, vgg, {"timesteps": 0}, r"Sequential: timesteps is 0; it must be an integer from 1"),
        (InputError, vgg, {"input_shape": ()}, r"input_shape is \[\]; it must be a list of one to four"),
        (InputError, vgg, {"name": ""}, r"name is ''; it must be text"),
        (InputError, vgg, {"sample_input": torch.rand(2, 8, 8)}, r"shape \(2, 8, 8\); give .* samples \(n, 1, 8, 8\)"),
        (InputError, vgg, {"sample_input": torch.ones(2, 1, 8, 8).int()}, r"calibration input is torch.int32"),
        (InputError, vgg, {"sample_input": torch.rand(0, 1, 8, 8)}, r"calibration input .* shape \(0, 1, 8, 8\)"),
        (
            InputError,
            vgg,
            {"sample_input": torch.full((2, 1, 8, 8), torch.inf)},
            r"calibration has 128 of 128 values NaN",
        ),
        (InputError, vgg, {"metadata": {"x": [Path()]}}, r"metadata.x\[0\]: a PosixPath is not plain data"),
        (InputError, vgg, {"metadata": {"x": {1: 2}}}, r"metadata.x: key 1 is not text"),
        (InputError, vgg, {"metadata": {"x": float("nan")}}, r"metadata.x: nan is not a finite number"),
        (InputError, broken, {}, r"tensor 1.weight has 2 of 36 values NaN or infinite; save the network as it was"),
        (InputError, unclamped, {}, r"13: leak is 1.5, limit 0 to 1; call clamp_parameters"),
        (GraphError, vgg, {"input_shape": (3, 8, 8)}, r"does not run on an input of shape \(3, 8, 8\)"),
        (GraphError, Aliased, {}, r"answers otherwise than the original"),
        (GraphError, lambda: nn.Sequential(nn.MaxPool2d(2)), {}, r"MaxPool2d; use AvgPool2d"),
    ],
)
def test_save_refuses(
    kind: type[Exception], make: Callable[[], nn.Module], options: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=sentence):
        snn.save(make(), tmp_path / "net.pt", **{"timesteps": 1, "input_shape": SHAPE} | options)
    assert [entry.name for entry in tmp_path.iterdir()] == []


def test_save_refuses_places_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder; give the name of a file"):
        snn.save(vgg(), tmp_path, timesteps=1, input_shape=SHAPE)
    with pytest.raises(InputError, match="does not exist; create it first"):
        snn.save(vgg(), tmp_path / "a" / "b.pt", timesteps=1, input_shape=SHAPE)


# ----------------------------------------------------------------------------------------------- files from strangers


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    snn.save(settled(vgg()), tmp_path / "good.pt", timesteps=2, input_shape=SHAPE, sample_input=torch.rand(2, *SHAPE))
    return torch.load(tmp_path / "good.pt", weights_only=True)


def swap(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["state_dict"].update({key: value})


NESTED: list[Any] = []
for _ in range(30):
    NESTED = [NESTED]

DAMAGE = {
    "newer": (lambda d: d.update(version=2), r"checkpoint version 2 is newer than 1; upgrade"),
    "older": (lambda d: d.update(version=0), r"version is 0; it must be the number 1"),
    "no version": (lambda d: d.pop("version"), r"setting 'version' is missing"),
    "missing": (lambda d: d.pop("timesteps"), r"setting 'timesteps' is missing; it must be an integer"),
    "unknown": (lambda d: d.update(extra=1), r"unknown setting 'extra'; known are format, version"),
    "timesteps": (lambda d: d.update(timesteps="5"), r"timesteps is '5'"),
    "wiring": (lambda d: d.update(wiring=[]), r"wiring: \[\] is not a table"),
    "a layer": (lambda d: d["wiring"]["modules"]["1"].update(type="Evil"), r"layer 1 is of unknown type 'Evil'"),
    "state": (lambda d: d.update(state_dict={"a": 1}), r"state_dict is .*; it must be a dict of tensors"),
    "missing tensor": (lambda d: d["state_dict"].pop("1.weight"), r"state dict lacks 1 tensors \(1.weight\)"),
    "extra tensor": (swap("z", torch.ones(1)), r"state dict has unexpected 1 tensors \(z\)"),
    "shape": (
        swap("1.weight", torch.ones(4, 1, 3, 2)),
        r"1.weight has shape \(4, 1, 3, 2\), the network needs \(4, 1, 3, 3\)",
    ),
    "dtype": (swap("1.weight", torch.ones(4, 1, 3, 3).int()), r"tensor 1.weight is torch.int32, the network needs"),
    "NaN": (swap("1.weight", torch.full((4, 1, 3, 3), torch.nan)), r"1.weight has 36 of 36 values NaN"),
    "sparse": (swap("1.weight", torch.ones(4, 1, 3, 3).to_sparse()), r"1.weight is torch.float32, torch.sparse_coo"),
    "complex": (swap("1.weight", torch.ones(4, 1, 3, 3) * 1j), r"1.weight is torch.complex64"),
    "hollow": (swap("1.weight", torch.ones(1).expand(10**12)), r"1.weight claims 1000000000000 values and holds 1"),
    "threshold": (swap("3.threshold", torch.zeros(4)), r"3: threshold is 0, limit above 0"),
    "huge layer": (
        lambda d: d["wiring"]["modules"]["1"]["config"].update(out_channels=2**30),
        r"1.weight has shape \(4, 1, 3, 3\), the network needs \(1073741824, 1, 3, 3\)",
    ),
    "overflow": (
        lambda d: d["wiring"]["modules"]["1"]["config"].update(out_channels=2**31 - 1, kernel_size=[2**31 - 1] * 2),
        r"layer 1 \(Conv2d\) cannot be built",
    ),
    "calibration": (lambda d: d.update(calibration=torch.rand(2, 3)), r"calibration input is torch.float32 of shape"),
    "metadata": (lambda d: d.update(metadata={"a": NESTED}), r"is nested more than 16 deep"),
    "tensor as metadata": (
        lambda d: d.update(metadata={"a": torch.ones(1)}),
        r"metadata.a: a Tensor is not plain data",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_checkpoints_are_refused(name: str, document: dict[str, Any], tmp_path: Path) -> None:
    edit, sentence = DAMAGE[name]
    edit(document)
    path = tmp_path / "bad.pt"
    torch.save(document, path)
    with pytest.raises(InputError, match=sentence) as caught:
        snn.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("document")
def test_files_that_are_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    with pytest.raises(InputError, match="does not exist; check the path"):
        snn.load(path)
    with pytest.raises(InputError, match="is a folder; give the checkpoint file"):
        snn.load(tmp_path)
    good = (tmp_path / "good.pt").read_bytes()
    for content in (b"", b"PK\x03\x04", b"hello, world", good[: len(good) // 2], good[:-10], bytes(range(256))):
        path.write_bytes(content)
        with pytest.raises(InputError, match="is not a PyTorch file, or is cut short"):
            snn.load(path)
    torch.save(vgg().state_dict(), path)
    with pytest.raises(
        InputError, match=r"holds a bare state dict \(27 tensors\).*snn.save\(model, path.*--model package"
    ):
        snn.load(path)
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="holds something else, not a neurocompile checkpoint"):
        snn.load(path)


def test_pickled_modules_are_refused_with_both_remedies(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    for thing in (ResNet(), {"format": "neurocompile.checkpoint", "net": nn.Linear(1, 1)}):
        torch.save(thing, path)
        with pytest.raises(
            InputError, match=r"holds a pickled Python object \(.*\), which could run any code"
        ) as caught:
            snn.load(path)
        assert "neurocompile.snn.save(model, path, ...)" in str(caught.value)
        assert "--model package.module:factory" in str(caught.value)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("exploded",))


def test_no_code_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"format": "neurocompile.checkpoint", "metadata": Bomb()}, "net.pt")
    for reader in (snn.load, snn.load_state):
        with pytest.raises(InputError, match=r"pickled Python object \(posix.mkdir\)"):
            reader("net.pt")
    assert not Path("exploded").exists()


@pytest.mark.usefixtures("document")
def test_state_dicts(tmp_path: Path) -> None:
    net, twin = settled(vgg()), vgg()
    path = tmp_path / "state.pt"
    for content in (net.state_dict(), {"epoch": 3, "state_dict": net.state_dict()}):
        torch.save(content, path)
        snn.load_into(twin, snn.load_state(path))
        assert all(torch.equal(value, net.state_dict()[name]) for name, value in twin.state_dict().items())
    assert set(snn.load_state(tmp_path / "good.pt")) == set(net.state_dict())

    for content in ({}, {"a": 1}, [1]):
        torch.save(content, path)
        with pytest.raises(InputError, match=r"holds no state dict; save model.state_dict"):
            snn.load_state(path)
    torch.save({"a": torch.tensor([1.0, float("inf")])}, path)
    with pytest.raises(InputError, match="tensor a has 1 of 2 values NaN or infinite"):
        snn.load_state(path)


def test_load_into_names_what_does_not_fit() -> None:
    net = nn.Sequential(nn.Linear(2, 3))
    weight, bias = torch.ones(3, 2), torch.ones(3)
    with pytest.raises(InputError, match=r"Sequential: the state dict lacks 1 tensors \(0.bias\)"):
        snn.load_into(net, {"0.weight": weight})
    with pytest.raises(InputError, match=r"has unexpected 6 tensors \(x0, x1, x2, x3, ...\)"):
        snn.load_into(net, {"0.weight": weight, "0.bias": bias} | {f"x{n}": bias for n in range(6)})
    with pytest.raises(InputError, match=r"0.bias has shape \(2,\), the network needs \(3,\)"):
        snn.load_into(net, {"0.weight": weight, "0.bias": torch.ones(2)})
