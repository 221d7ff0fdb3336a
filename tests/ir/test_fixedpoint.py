"""The integer arithmetic, against second derivations in Python's integers, and in float64."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurocompile.errors import GraphError
from neurocompile.ir.fixedpoint import decay, fire, fit
from neurocompile.ir.nodes import Array, FixedPoint

BOTH = [np.int64, np.float64]
state24 = st.integers(-(2**23), 2**23)


def arrays(values: list[int]) -> list[Array]:
    return [np.array(values, dtype) for dtype in BOTH]


@given(st.lists(st.tuples(state24, st.integers(0, 4096)), min_size=1))
def test_decay_is_the_exact_product_truncated_towards_zero(pairs: list[tuple[int, int]]) -> None:
    expected = [int(Fraction(state * leak, 4096)) for state, leak in pairs]  # int() truncates
    for states, leaks in zip(arrays([p[0] for p in pairs]), arrays([p[1] for p in pairs]), strict=True):
        result = decay(states, leaks, 12)
        assert result.dtype == states.dtype
        assert result.tolist() == expected


@given(
    state=st.integers(-(2**39), 2**39),
    leak_bits=st.integers(1, 13),
    fraction=st.fractions(0, 1),
)
def test_decay_is_exact_at_the_widest_formats(state: int, leak_bits: int, fraction: Fraction) -> None:
    leak = int(fraction * 2**leak_bits)
    expected = abs(state) * leak // 2**leak_bits * (1 if state >= 0 else -1)
    for values, leaks in zip(arrays([state]), arrays([leak]), strict=True):
        assert decay(values, leaks, leak_bits).tolist() == [expected]


@pytest.mark.parametrize(("state", "leak", "expected"), [(7, 2, 3), (-7, 2, -3), (7, 4, 7), (-7, 0, 0), (-1, 3, 0)])
def test_decay_by_hand(state: int, leak: int, expected: int) -> None:
    for values, leaks in zip(arrays([state]), arrays([leak]), strict=True):
        assert decay(values, leaks, 2).tolist() == [expected]


@given(st.lists(st.integers(-(2**45), 2**45), min_size=1), st.integers(2, 40))
def test_wrapping_is_twos_complement(values: list[int], bits: int) -> None:
    expected = []
    for value in values:
        word = format(value % 2**bits, f"0{bits}b")  # the bits that remain
        expected.append(int(word, 2) - (2**bits if word[0] == "1" else 0))
    for array in arrays(values):
        assert fit(array, bits, "wrap").tolist() == expected


@given(st.lists(st.integers(-(2**45), 2**45), min_size=1), st.integers(2, 40))
def test_clipping_is_symmetric(values: list[int], bits: int) -> None:
    largest = 2 ** (bits - 1) - 1
    expected = [sorted((-largest, value, largest))[1] for value in values]
    for array in arrays(values):
        assert fit(array, bits, "clip").tolist() == expected


@pytest.mark.parametrize(
    ("value", "wrapped", "clipped"), [(7, 7, 7), (8, -8, 7), (-8, -8, -7), (-9, 7, -7), (16, 0, 7), (-24, -8, -7)]
)
def test_four_bits_by_hand(value: int, wrapped: int, clipped: int) -> None:
    for array in arrays([value]):
        assert fit(array, 4, "wrap").tolist() == [wrapped]
        assert fit(array, 4, "clip").tolist() == [clipped]


@given(
    membranes=st.lists(st.integers(-60, 60), min_size=1),
    threshold=st.integers(1, 12),
    compare=st.sampled_from(("above", "at_or_above")),
    spikes=st.sampled_from(("binary", "signed", "graded")),
    most=st.integers(1, 9),
)
def test_fire_counts_the_thresholds_that_are_passed(
    membranes: list[int], threshold: int, compare: str, spikes: str, most: int
) -> None:
    def beyond(u: int, v: int) -> bool:
        return u > v or (compare == "at_or_above" and u == v)

    limit = most if spikes == "graded" else 1
    expected = [sum(beyond(u, k * threshold) for k in range(1, limit + 1)) for u in membranes]
    if spikes == "signed":
        expected = [up - beyond(-u, threshold) for up, u in zip(expected, membranes, strict=True)]
    for array, v in zip(arrays(membranes), arrays([threshold]), strict=True):
        result = fire(array, v, compare=compare, spikes=spikes, max_payload=most)
        assert result.dtype == array.dtype
        assert result.tolist() == expected


@given(st.lists(st.tuples(st.integers(-9, 9), st.booleans()), min_size=1), st.integers(-5, 5))
def test_a_flipped_comparison_is_its_mirror(pairs: list[tuple[int, bool]], threshold: int) -> None:
    flip = np.array([flipped for _, flipped in pairs])
    for compare in ("above", "at_or_above"):
        expected = []
        for u, flipped in pairs:
            difference = threshold - u if flipped else u - threshold
            expected.append(int(difference > 0 or (difference == 0 and compare == "at_or_above")))
        for array, v in zip(arrays([u for u, _ in pairs]), arrays([threshold]), strict=True):
            assert fire(array, v, compare=compare, flip=flip).tolist() == expected


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"state_bits": 1}, "state_bits is 1; it must be from 2 to 53"),
        ({"fraction_bits": -1}, "fraction_bits is -1"),
        ({"decay_bits": 17}, "decay_bits is 17"),
        ({"accumulator_bits": 54}, "accumulator_bits is 54"),
        ({"state_bits": 42, "decay_bits": 12}, r"state_bits \+ decay_bits is 54"),
        ({"accumulator_bits": 48, "fraction_bits": 6}, r"accumulator_bits \+ fraction_bits is 54"),
        ({"membrane_overflow": "saturate"}, "membrane_overflow is 'saturate'; choose one of wrap, clip"),
        ({"current_overflow": "trap"}, "current_overflow is 'trap'"),
    ],
)
def test_formats_that_cannot_be_exact_are_refused(choices: dict[str, object], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        FixedPoint(**choices)
