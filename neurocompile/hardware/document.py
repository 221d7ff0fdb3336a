"""Strict YAML: a small subset of the language in which a slip of the pen cannot pass unseen.

YAML 1.1 turns ``1.0e9`` into a string, ``on:`` into true and ``010`` into 8, keeps the last of two equal keys, and
lets a few lines of aliases grow into gigabytes. A file of facts can do without all of that, so the reader here walks
PyYAML's events itself and refuses each of them by file, line and key path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from neurocompile.errors import ProfileError

Key = str | int
KeyPath = tuple[Key, ...]

MAX_BYTES = 1 << 20
_MAX_DEPTH = 16
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?([eE][+-][0-9]{1,3})?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE)
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Document:
    """The plain data of a file, and the line on which each key stands (1-based)."""

    name: str
    data: object
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def place(self, path: KeyPath) -> str:
        """``FILE:LINE: key.path``, with the line of the nearest enclosing key that the file does have."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return f"{self.name}:{self.lines[path[:end]]}: {dotted(path)}"
        return f"{self.name}: {dotted(path)}"


def dotted(path: KeyPath) -> str:
    """``("memory", 2, "read")`` as ``memory[2].read``."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{_plain(key)}" for key in path)
    return text.removeprefix(".") or "top level"


def read_document(path: Path) -> Document:
    """Read a YAML file strictly; ProfileError says ``FILE:LINE: key.path: what is wrong; remedy``."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error
    if len(raw) > MAX_BYTES:
        raise ProfileError(f"{path}:1: top level: larger than {MAX_BYTES:,} bytes; give a profile or a target")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ProfileError(f"{path}:{line}: top level: the file is not UTF-8 text; save it as UTF-8") from error
    return _Reader(str(path), text).document()


class _Reader:
    """Recursive descent over the events of one YAML document."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.lines: dict[KeyPath, int] = {}

    def document(self) -> Document:
        try:
            self.loader = yaml.SafeLoader(self.text)
            self.next_event()  # the stream's start
            if self.loader.check_event(yaml.StreamEndEvent):
                self.refuse((), 1, "the file is empty", "write a mapping of keys")
            self.next_event()  # the document's start
            self.lines[()] = _line(self.peek())
            data = self.value(())
            self.next_event()  # the document's end
            if not self.loader.check_event(yaml.StreamEndEvent):
                self.refuse((), _line(self.peek()), "a second document follows", "keep one per file")
        except yaml.reader.ReaderError as error:
            line = self.text.count("\n", 0, error.position) + 1
            self.refuse((), line, f"a character that YAML forbids (U+{int(error.character):04X})", "remove it")
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self.refuse((), mark.line + 1 if mark else 1, f"not well-formed YAML ({error.problem})", "mend the syntax")
        return Document(self.name, data, self.lines)

    def value(self, path: KeyPath) -> object:
        event = self.next_event()
        line = _line(event)
        if event.anchor is not None:  # an alias event has one too
            self.refuse(path, line, f"anchors and aliases are not read (name {event.anchor!r})", "write the value out")
        if event.tag is not None:
            self.refuse(path, line, f"tags are not read ({event.tag!r})", "write the plain value")
        if len(path) > _MAX_DEPTH:
            self.refuse(path[:3], line, f"nested deeper than {_MAX_DEPTH} levels", "flatten it")
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(path)
        return self.scalar(event, path)

    def mapping(self, path: KeyPath) -> dict[str, object]:
        result: dict[str, object] = {}
        while not self.loader.check_event(yaml.MappingEndEvent):
            line = _line(self.peek())
            key = self.key(path)
            here = (*path, key)
            if key in result:
                first = self.lines[here]
                self.refuse(here, line, f"duplicate key (first on line {first})", "keep one of the two")
            self.lines[here] = line
            result[key] = self.value(here)
        self.next_event()
        return result

    def key(self, path: KeyPath) -> str:
        event = self.next_event()
        if not isinstance(event, yaml.ScalarEvent):
            self.refuse(path, _line(event), "a key must be plain text", "write `key: value`")
        if event.anchor is not None or event.tag is not None:
            self.refuse((*path, event.value), _line(event), "anchors and tags are not read", "write the plain key")
        tag = self.resolve(event)
        if tag in ("bool", "null", "int", "float"):
            self.refuse((*path, event.value), _line(event), f"YAML reads this key as a {tag}, not as text", "rename it")
        return str(event.value)

    def sequence(self, path: KeyPath) -> list[object]:
        result: list[object] = []
        while not self.loader.check_event(yaml.SequenceEndEvent):
            here = (*path, len(result))
            self.lines[here] = _line(self.peek())
            result.append(self.value(here))
        self.next_event()
        return result

    def scalar(self, event: yaml.ScalarEvent, path: KeyPath) -> object:
        text, tag, line = event.value, self.resolve(event), _line(event)
        if tag == "null":
            if not text:
                self.refuse(path, line, "the value is blank", "write null if it is unknown")
            return None
        if tag == "bool":
            if text not in ("true", "false"):
                self.refuse(path, line, f"YAML reads {text!r} as a boolean", "write true or false, or quote the text")
            return text == "true"
        if tag not in ("int", "float"):
            return text
        if _NOT_FINITE.fullmatch(text):
            return float(text.replace(".", ""))
        if not _NUMBER.fullmatch(text):
            self.refuse(path, line, f"{text[:40]!r} is not a plain decimal number", "write it like 12, 1.5 or 1.0e+9")
        return int(text) if tag == "int" else float(text)

    def resolve(self, event: yaml.ScalarEvent) -> str:
        """What YAML 1.1 takes a scalar for: ``null``, ``bool``, ``int``, ``float``, ``str`` or a rarer kind."""
        resolve: Callable[..., str] = self.loader.resolve
        return resolve(yaml.ScalarNode, event.value, event.implicit).removeprefix(_TAG)

    def next_event(self) -> Any:
        event: Callable[[], Any] = self.loader.get_event
        return event()

    def peek(self) -> Any:
        event: Callable[[], Any] = self.loader.peek_event
        return event()

    def refuse(self, path: KeyPath, line: int, problem: str, remedy: str) -> NoReturn:
        raise ProfileError(f"{self.name}:{line}: {dotted(path)}: {problem}; {remedy}")


def _plain(key: str) -> str:
    # A key is the file's own text: it must not break the line of an error, nor flood it.
    text = key if key.isprintable() else repr(key)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
