import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurocompile.errors import InputError
from neurocompile.random import _next, uniform24

MASK = 2**64 - 1


def by_hand(*keys: int) -> int:
    """The same number with Python integers."""
    state = 0
    for key in keys:
        z = (state + (key + 1) * 0x9E3779B97F4A7C15) & MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        state = z ^ (z >> 31)
    return state >> 40


def test_the_mixer_is_splitmix64() -> None:
    # The first outputs of the reference implementation (Vigna's splitmix64.c) seeded with 1234567.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    state = np.array([1234567], np.uint64)
    assert [int(_next(state, np.array([k], np.uint64))[0]) for k in range(4)] == expected


def test_known_answers_are_frozen() -> None:
    expected = [[11506572, 2463858, 13498713], [8814000, 8959057, 8967503]]
    assert uniform24(7, [0, 5], 3, 3).tolist() == expected


@settings(deadline=None)
@given(st.integers(-(2**70), 2**70), st.integers(0, 2**40), st.integers(0, 2**20), st.integers(0, 50))
def test_agrees_with_python_integers(seed: int, sample: int, step: int, neuron: int) -> None:
    assert uniform24(seed, [sample], step, neuron + 1)[0, neuron] == by_hand(seed & MASK, sample, step, neuron)


def test_neither_batch_nor_count_nor_order_matters() -> None:
    whole = uniform24(1, np.arange(10), 2, 20)
    assert (uniform24(1, [7, 3], 2, 5) == whole[[7, 3], :5]).all()
    assert uniform24(1, np.arange(6).reshape(2, 3), 2, 4).shape == (2, 3, 4)
    assert uniform24(1, 4, 2, 20).tolist() == whole[4].tolist()
    assert uniform24(1, [], 2, 3).shape == (0, 3)


def test_uniform_and_uncorrelated() -> None:
    numbers = np.stack([uniform24(0, np.arange(100), t, 100) for t in range(10)]) / 2**24
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 0.004
    counts, _ = np.histogram(numbers, bins=64, range=(0, 1))
    chi_square = ((counts - numbers.size / 64) ** 2 / (numbers.size / 64)).sum()
    assert chi_square < 110  # 63 degrees of freedom: p = 0.0002
    for axis in range(3):
        a = np.take(numbers, range(numbers.shape[axis] - 1), axis).ravel()
        b = np.take(numbers, range(1, numbers.shape[axis]), axis).ravel()
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.02


@pytest.mark.parametrize("arguments", [(0, [-1], 0, 1), (0, [0.5], 0, 1), (0, [0], -1, 1), (0, [0], 0, -1)], ids=str)
def test_refuses_what_is_no_coordinate(arguments: tuple) -> None:
    with pytest.raises(InputError, match="0 or more"):
        uniform24(*arguments)
