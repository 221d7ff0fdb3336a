"""Reads a page as a person would: tables by their caption, texts, scripts."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class ReadTable:
    """``rows`` of (text, exact number or None), with the total last where there is one."""

    panel: str
    headings: list[str] = field(default_factory=list)
    rows: list[list[tuple[str, float | None]]] = field(default_factory=list)

    def column(self, heading: str) -> list[float | None]:
        return [row[self.headings.index(heading)][1] for row in self.rows]

    def texts(self, heading: str) -> list[str]:
        return [row[self.headings.index(heading)][0] for row in self.rows]


class ReadPage(HTMLParser):
    """``elements``: every tag with its attributes; ``text``: all that can be read, one piece after another."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: dict[tuple[str, str], ReadTable] = {}
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.pieces: list[str] = []
        self._panel, self._table, self._cell, self._inside = "", ReadTable(""), "", ""
        self._value: float | None = None
        self.feed(page)
        self.close()

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.pieces).split())

    def panels(self) -> list[str]:
        return [str(each["id"]) for tag, each in self.elements if each.get("class") == "panel"]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if attributes.get("class") == "panel":
            self._panel = str(attributes["id"])
        elif tag == "table":
            self._table = ReadTable(self._panel)
        elif tag == "tr":
            self._table.rows.append([])
        elif tag in ("td", "th", "caption"):
            self._cell, self._inside = "", tag
            given = attributes.get("data-v")
            self._value = None if given is None else float(given)
        elif tag == "span" and self._inside == "caption" and attributes.get("class") == "soft":
            self._inside = "note"
        elif tag == "script":
            self.scripts.append((attributes, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "caption":
            self.tables[self._panel, self._cell.strip()] = self._table
        elif tag in ("td", "th"):
            self._table.rows[-1].append((self._cell.strip(), self._value))
        elif tag == "thead":
            self._table.headings = [text for text, _ in self._table.rows.pop()]
        if tag in ("td", "th", "caption"):
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
        if self.cdata_elem is not None:  # script or style
            return
        if self._inside in ("td", "th", "caption"):
            self._cell += data
        self.pieces.append(data)
