"""The base of everything that a profile or target file says: frozen, strict, and clear about what it refuses."""

from __future__ import annotations

import difflib
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from neurocompile.errors import ProfileError
from neurocompile.hardware.document import Document, KeyPath

_REFUSED = "refused"
NUMBER_TRAP = "YAML reads a quoted number, or one like 1.0e9, as text: write it like 12, 1.5 or 1.0e+9, without quotes"
_REMEDIES = {
    "missing": "add it (null where the fact is unknown)",
    "literal_error": "choose one of these",
    "string_type": "write text",
    "bool_type": "write true or false",
    "tuple_type": "write a list, such as [a, b]",
}


class Record(BaseModel):
    """A mapping with a fixed set of keys. Any record may carry a ``note`` for people to read."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    note: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, data: Any) -> Any:
        if isinstance(data, cls):
            return data
        fields = list(cls.model_fields)
        if not isinstance(data, dict):
            raise refusal(f"found {shown(data)}, expected a mapping of {', '.join(fields)}", "write the mapping")
        for key in data:
            if key in fields:
                continue
            near = difflib.get_close_matches(str(key), fields, n=1)
            remedy = f"did you mean {near[0]}?" if near else f"known keys are {', '.join(fields)}"
            # Half a surrogate pair, which JSON and YAML can both spell, is not text that an error can carry.
            raise refusal("unknown key", remedy, key=str(key).encode(errors="replace").decode())
        # JSON and YAML have lists; here they are tuples, so that a record is frozen through and through.
        return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}

    @classmethod
    def from_document(cls, document: Document) -> Self:
        """``document`` as a record; ProfileError tells file, line, key, value and remedy of the first fault in it."""
        try:
            return cls.model_validate(document.data)
        except ValidationError as error:
            raise ProfileError(_faults(error, document)[0]) from error

    @classmethod
    def faults(cls, document: Document) -> tuple[str, ...]:
        """What :meth:`from_document` would refuse, a sentence each; more may show when these are mended."""
        try:
            cls.model_validate(document.data)
        except ValidationError as error:
            return _faults(error, document)
        return ()


def refusal(problem: str, remedy: str, key: str | None = None) -> PydanticCustomError:
    """What a validator raises; ``key`` is the key, within the record being read, that is at fault."""
    return PydanticCustomError(_REFUSED, "not accepted", {"problem": problem, "remedy": remedy, "key": key})


def shown(value: object) -> str:
    """A value as an error shows it: short whatever its size."""
    text = "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list | tuple) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _faults(error: ValidationError, document: Document) -> tuple[str, ...]:
    faults = [_fault(details) for details in error.errors(include_url=False)]
    faults.sort(key=lambda fault: document.lines.get(fault[0], 0))
    return tuple(dict.fromkeys(f"{document.place(path)}: {sentence}" for path, sentence in faults))


def _fault(details: ErrorDetails) -> tuple[KeyPath, str]:
    path = tuple(details["loc"])
    if details["type"] == _REFUSED:
        said = details["ctx"]
        return (path if said["key"] is None else (*path, said["key"])), f"{said['problem']}; {said['remedy']}"
    if details["type"] == "missing":
        return path, f"missing key; {_REMEDIES['missing']}"
    value = details["input"]
    expectation = details["msg"].replace("Input should be", "expected").replace("String should", "it should")
    wants_number = details["type"].startswith(("int", "float"))
    remedy = NUMBER_TRAP if wants_number and isinstance(value, str) else _REMEDIES.get(details["type"], "mend it")
    return path, f"found {shown(value)}, {expectation}; {remedy}"
