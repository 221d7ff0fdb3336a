"""What a number or a choice in a wiring may be: used both to describe layers and to distrust files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from neurocompile.errors import InputError

_LIMIT = 2**31  # sizes beyond it are nonsense, and would overflow PyTorch's own arithmetic


@dataclass(frozen=True)
class Field:
    """A kind of value: in words, and as a test. ``optional``: it may be left out, as files that are older do, and then
    it is None."""

    says: str
    accepts: Callable[[Any], bool]
    optional: bool = False


def _whole(low: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value < _LIMIT


def _number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: type(value) in (int, float) and isfinite(value) and low <= value <= high


def _list_of(accepts: Callable[[Any], bool], *lengths: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is list and len(value) in lengths and all(map(accepts, value))


def _or_none(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or accepts(value)


def choice(*values: str) -> Field:
    """One of several words."""
    return Field(f"one of {', '.join(values)}", lambda value: type(value) is str and value in values)


FLAG = Field("true or false", lambda value: type(value) is bool)
INTEGER = Field("an integer", lambda value: type(value) is int)
COUNT = Field("an integer from 1 to 2^31 - 1", _whole(1))
NUMBER = Field("a finite number", _number(float("-inf"), float("inf")))
POSITIVE = Field("a finite number above 0", lambda value: _number(0, float("inf"))(value) and value > 0)
FRACTION = Field("a number from 0 to 1", _number(0, 1))
FRACTION_OR_NONE = Field("a number from 0 to 1, or nothing", _or_none(_number(0, 1)))
PAIR = Field("a list of two integers from 1", _list_of(_whole(1), 2))
PAIR_FROM_0 = Field("a list of two integers from 0", _list_of(_whole(0), 2))
PAIR_OR_NONE = Field("a list of two sizes, each an integer from 1 or nothing", _list_of(_or_none(_whole(1)), 2))
MINIMUM_OR_NONE = Field("a number of at most 0, or nothing", _or_none(_number(float("-inf"), 0)), optional=True)
COUNT_OR_NONE = Field("an integer from 1, or nothing", _or_none(_whole(1)))
SHAPE = Field("a list of at most four integers from 1", _list_of(_whole(1), 0, 1, 2, 3, 4))
PADDING = Field(
    "a list of two integers from 0, or one of valid, same",
    lambda value: (type(value) is str and value in ("valid", "same")) or _list_of(_whole(0), 2)(value),
)


def check(where: str, config: object, fields: Mapping[str, Field]) -> dict[str, Any]:
    """``config`` itself, if it has no keys but those of ``fields`` and each value fits; else InputError naming it."""
    if type(config) is not dict:
        raise InputError(f"{where}: {_shown(config)} is not a table of settings; the file is damaged, save it anew")
    for key in config.keys() - fields.keys():
        raise InputError(f"{where}: unknown setting {_shown(key)}; known are {', '.join(fields) or 'none'}")
    for key, field in fields.items():
        if key not in config:
            if field.optional:
                continue
            raise InputError(f"{where}: setting {key!r} is missing; it must be {field.says}")
        if not field.accepts(config[key]):
            raise InputError(f"{where}: {key} is {_shown(config[key])}; it must be {field.says}")
    return config


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
