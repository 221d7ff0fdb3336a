"""Files of samples and labels, as the functions see them; tests/cli/test_run.py has the refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile.errors import InputError
from neurocompile.samples import load_labels, load_samples


def test_a_limit_reads_only_its_part(tmp_path: Path) -> None:
    """A file of a terabyte (of holes) is no matter where two samples are wanted."""
    path = tmp_path / "x.npy"
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(10**9, 1, 16, 16))
    assert path.stat().st_size > 10**12
    assert load_samples(path, 2).shape == (2, 1, 16, 16)
    path.unlink()


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.pt"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64, np.uint8, np.bool_])
def test_values_survive(tmp_path: Path, name: str, dtype: type[np.generic]) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype)
    path = tmp_path / name
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, array)
    else:
        torch.save(torch.tensor(array), path)
    assert np.array_equal(load_samples(path), array)
    assert np.array_equal(load_samples(path, 2), array[:2])
    assert len(load_samples(path, 100)) == 3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn])
def test_narrow_floats_of_torch(tmp_path: Path, dtype: torch.dtype) -> None:
    torch.save(torch.tensor([[0.5, 1.5]]).to(dtype), tmp_path / "x.pt")
    assert load_samples(tmp_path / "x.pt").tolist() == [[0.5, 1.5]]


def test_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.array([3, 1, 2], np.uint8))
    assert load_labels(tmp_path / "y.npy", 2).tolist() == [3, 1]
    with pytest.raises(InputError, match="3 labels for 4 samples"):
        load_labels(tmp_path / "y.npy", 4)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    array = np.random.default_rng(0).random((3, 5))
    np.save(folder / "x.npy", array)
    np.savez_compressed(folder / "x.npz", array)
    torch.save(torch.tensor(array), folder / "x.pt")
    return folder


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::UserWarning")
@settings(max_examples=200)
@given(
    name=st.sampled_from(("x.npy", "x.npz", "x.pt")),
    spots=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), max_size=4),
    keep=st.floats(0, 1),
)
def test_damaged_files_are_read_or_refused(files: Path, name: str, spots: list[tuple[float, int]], keep: float) -> None:
    content = bytearray((files / name).read_bytes())
    for at, value in spots:
        content[int(at * (len(content) - 1))] ^= value
    path = files / f"damaged{Path(name).suffix}"
    path.write_bytes(content[: int(keep * len(content)) + 1] if keep < 0.5 else content)
    try:
        assert load_samples(path).ndim >= 2
    except InputError as error:
        assert str(error).startswith(str(path))  # noqa: PT017
