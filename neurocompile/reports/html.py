"""A report as one HTML file: no scripts, nothing from the network, light or dark as the reader has it."""

from __future__ import annotations

from jinja2 import Environment, StrictUndefined

from neurocompile.reports import summary
from neurocompile.reports.data import Report
from neurocompile.reports.summary import LAYER_COLUMNS, layer_cells

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --ink: #1b1f24; --page: #fff; --faint: #667; --line: #d8dce2; --bar: #4a7dc9;
  --note: #fff5d6 }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --page: #15181c; --faint: #99a2ad; --line: #363c44;
  --bar: #6d9be0; --note: #3a3216 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem; margin-bottom: 0 } h2 { font-size: 1.05rem; margin-top: 2rem }
.notes { background: var(--note); padding: .6rem 1rem .6rem 2rem; border-radius: .4rem }
.faint { color: var(--faint); margin-top: 0 } .wide { overflow-x: auto }
table { border-collapse: collapse } td, th { padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line);
  text-align: left; vertical-align: top; font-weight: normal } thead th { color: var(--faint) }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap } .pre { white-space: pre }
.bar { background: var(--bar); height: .7rem; min-width: 1px }
</style>
</head>
<body>
<ul class="notes">{% for note in report.notes %}<li>{{ note }}</li>{% endfor %}</ul>
<h1>{{ title }}</h1>
<p class="faint">{{ subtitle }}</p>
{% for heading, rows in sections %}
<h2>{{ heading }}</h2>
<table>{% for name, value in rows %}<tr><th class="pre">{{ name }}</th><td>{{ value }}</td></tr>{% endfor %}</table>
{% endfor %}
<h2>Layers</h2>
<div class="wide"><table>
<thead><tr>{% for column in columns %}<th{% if loop.index > 2 %} class="number"{% endif %}>{{ column }}</th>{% endfor %}
<th>share of known energy</th></tr></thead>
<tbody>
{% for cells, share in layers %}<tr>{% for cell in cells %}<td{% if loop.index > 2 %} class="number"{% endif %}>
{{- cell }}</td>{% endfor %}<td style="min-width: 8rem"><div class="bar" style="width: {{ share }}%"></div></td></tr>
{% endfor %}</tbody>
</table></div>
</body>
</html>
"""


def to_html(report: Report) -> str:
    """The page of a report; every text from outside is escaped."""
    known = sum(layer["known_energy_pj"] for layer in report["layers"])
    layers = [
        (layer_cells(layer), f"{100 * layer['known_energy_pj'] / known:.1f}" if known else "0")
        for layer in report["layers"]
    ]
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(_PAGE)
    return page.render(
        report=report,
        title=summary.title(report),
        subtitle=summary.subtitle(report),
        sections=[
            ("Cost", summary.cost_rows(report)),
            ("Work", summary.work_rows(report)),
            ("Compared", summary.baseline_rows(report)),
        ],
        columns=LAYER_COLUMNS,
        layers=layers,
    )
