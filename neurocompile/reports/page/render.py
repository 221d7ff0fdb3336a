"""From blocks to one HTML file: the skeleton's templates, style and script, all inlined."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
from importlib import resources
from xml.etree.ElementTree import Element, tostring

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from neurocompile.reports.page.blocks import Figure, Page
from neurocompile.reports.page.svg import patterns


def render(page: Page) -> str:
    """The page as HTML. It loads nothing: its policy allows its own style, and scripts by their hash alone."""
    explored = {
        f"{tab.name}-{index}": block.explore
        for tab in page.tabs
        for index, block in enumerate(tab.blocks)
        if isinstance(block, Figure) and block.explore is not None
    }
    script = _file("page.js")
    plotly, plotly_hash = _plotly() if explored else ("", "")
    rules = (
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        "img-src data: blob:",  # Plotly makes pictures of its plots
        f"script-src {_hash(script)} {plotly_hash}".rstrip(),
        "base-uri 'none'",
        "form-action 'none'",
    )
    return (
        _environment()
        .get_template("page.html")
        .render(
            page=page,
            policy="; ".join(rules),
            style=Markup(_file("page.css")),
            script=Markup(script),
            patterns=Markup("").join(map(_markup, patterns())),
            explored=explored,
            plotly=plotly,
        )
        .lstrip()
    )


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("neurocompile.reports.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    environment.filters["svg"] = _markup
    return environment


def _markup(element: Element) -> Markup:
    """A drawing; ElementTree escapes its texts."""
    return Markup(tostring(element, encoding="unicode"))


def _file(name: str) -> str:
    return resources.files("neurocompile.reports.page").joinpath("templates", name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """How a content security policy names a script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


@functools.cache
def _plotly() -> tuple[str, str]:
    """Plotly's script, compressed and in base 64, and its name for the policy."""
    script = resources.files("plotly").joinpath("package_data", "plotly.min.js").read_text(encoding="utf-8")
    return base64.b64encode(gzip.compress(script.encode(), mtime=0)).decode(), _hash(script)
