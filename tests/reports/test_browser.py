"""The report's page in a real browser, opened from the disk with no network: tabs, keys, numbers, charts, contrast."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from page_cases import estimated, full, large

from neurocompile.reports.html import to_html

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on the PATH: chromium, chromium-browser, google-chrome"
)
TABS = ["summary", "layers", "energy", "latency", "chip", "timeline", "spikes", "accuracy", "compare"]

#: ratio of contrast (WCAG 2) of every text that is shown, with what it says; SVG texts lie on a heat cell or the page
CONTRASTS = """(chosen) => {
  const context = Object.assign(document.createElement("canvas"), {width: 1, height: 1})
    .getContext("2d", {willReadFrequently: true});
  const rgba = (colour) => {
    context.clearRect(0, 0, 1, 1); context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (colour) => {
    const [r, g, b] = rgba(colour).slice(0, 3).map((c) => (c /= 255) <= .04 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = (element) => {
    const before = element.previousElementSibling;
    if (element.namespaceURI.includes("svg") && before?.matches(".heat, .empty")) return getComputedStyle(before).fill;
    for (let each = element; each; each = each.parentElement) {
      const {backgroundColor, backgroundImage} = getComputedStyle(each);
      const stripe = /^linear-gradient\\(.*?((?:rgb|color|oklab)a?\\([^)]*\\))/.exec(backgroundImage);
      if (stripe) return stripe[1];
      if (rgba(backgroundColor)[3] > 0) return backgroundColor;
    }
    return "white";
  };
  const found = [];
  for (const element of document.querySelectorAll(chosen)) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || element.matches("title, script, style") || !element.getClientRects().length) continue;
    const style = getComputedStyle(element), svg = element.namespaceURI.includes("svg");
    const [light, dark] = [svg ? style.fill : style.color, behind(element)].map(luminance).sort((a, b) => b - a);
    found.push([(light + .05) / (dark + .05), element.textContent.trim().slice(0, 40)]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        # as root, in a container, Chromium has no sandbox; it opens nothing but files that this test has written
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Opened:
    """A page opened from the disk, with all that it asked for and complained of."""

    def __init__(self, browser: Any, file: Path, **options: Any) -> None:
        self.file = file
        self.context = browser.new_context(offline=True, **options)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(file.as_uri())

    def shown(self) -> list[str]:
        ids: list[str] = self.page.evaluate(
            "[...document.querySelectorAll('.panel')].filter(p => p.getClientRects().length).map(p => p.id)"
        )
        return ids

    def close(self) -> None:
        """Nothing was loaded but the file itself."""
        self.context.close()
        assert self.complaints == []
        assert {url for url in self.requests if not url.startswith(("data:", "blob:"))} == {self.file.as_uri()}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(to_html(full(), [estimated(1)]), encoding="utf-8")
    return path


def test_tabs_by_pointer_keys_and_address(browser: Any, file: Path) -> None:
    opened = Opened(browser, file)
    page = opened.page
    assert opened.shown() == ["summary"]
    for name in TABS:
        page.click(f"#tab-{name}")
        assert opened.shown() == [name]
        assert page.evaluate("location.hash") == f"#{name}"
        assert page.get_attribute(f"#tab-{name}", "aria-selected") == "true"
        assert page.locator("[role=tab][tabindex='0']").count() == 1
    page.focus("#tab-compare")
    keys = ("ArrowRight", "ArrowRight", "End", "ArrowLeft", "Home", "ArrowLeft")
    for key, name in zip(keys, ("summary", "layers", "compare", "accuracy", "summary", "compare"), strict=True):
        page.keyboard.press(key)
        assert opened.shown() == [name]
        assert page.evaluate("document.activeElement.id") == f"tab-{name}"
    page.goto(f"{file.as_uri()}#energy")
    assert opened.shown() == ["energy"]
    page.reload()
    assert opened.shown() == ["energy"]
    opened.close()


def test_numbers_and_sorting(browser: Any, file: Path) -> None:
    report = full()
    opened = Opened(browser, file)
    page = opened.page
    page.click("#tab-layers")
    energies = "[...document.querySelectorAll('#layers tbody tr')].map(r => +r.cells[4].dataset.v)"
    assert page.evaluate(energies) == [layer["energy_pj"] for layer in report["layers"]] == [71.5, 36.75]
    heading = page.locator("#layers th button", has_text="energy")
    heading.click()
    assert page.evaluate(energies) == [71.5, 36.75]  # the largest first
    heading.focus()
    page.keyboard.press("Enter")
    assert page.evaluate(energies) == [36.75, 71.5]
    assert page.locator("#layers th[aria-sort=ascending]").inner_text().startswith("energy")
    page.click("#tab-energy")
    bars = "[...document.querySelectorAll('#energy-0 svg text')].map(t => t.textContent)"
    assert page.evaluate(bars)[:4] == ["synapse", "9.5 pJ", "soma", "71 pJ"]
    assert not page.locator("#energy-0 table").is_visible()
    page.click("#energy-0 summary")
    assert page.locator("#energy-0 tfoot").inner_text().split() == ["all", "192.2", "100.0"]
    page.click("#tab-chip")
    assert page.locator("#chip-0 svg text.small.middle", has_text="38").is_visible()
    assert "1.2k" in page.evaluate("[...document.querySelectorAll('#chip-2 svg text')].map(t => t.textContent)")
    opened.close()


def test_figures_to_explore(browser: Any, file: Path) -> None:
    opened = Opened(browser, file)
    page = opened.page
    assert page.evaluate("typeof Plotly") == "undefined"
    page.click("#tab-spikes")
    page.click("#spikes button.explore")
    page.wait_for_selector("#spikes .plot .heatmaplayer image", state="attached", timeout=60_000)
    assert page.locator("#spikes .plot .heatmaplayer image").count() == 1  # the other layer is quiet
    assert not page.locator("#spikes .drawing").is_visible()
    line = "getComputedStyle(document.querySelector('#spikes .plot .xtick text')).fill"
    light = page.evaluate(line)
    page.click("#scheme")
    page.wait_for_function(f"{line} !== {light!r}")
    page.click("#spikes button.explore")
    assert page.locator("#spikes .drawing").is_visible()
    page.click("#tab-timeline")
    page.click("#timeline button.explore")
    page.wait_for_selector("#timeline .plot .shapelayer path", timeout=60_000, state="attached")
    paths = "[...document.querySelectorAll('#timeline .plot .shapelayer path')].map(p => p.getAttribute('d'))"
    assert [path.count("M") for path in page.evaluate(paths)] == [
        6,
        6,
    ]  # two cores in three steps, two lanes
    opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out(browser: Any, file: Path, scheme: str) -> None:
    """A ratio of 4.5 at least, in the scheme of the system and in the one that the button chooses."""
    # with motion, a colour may be seen on its way from one to the next
    opened = Opened(browser, file, color_scheme=scheme, reduced_motion="reduce")
    grounds = []
    for _ in range(2):
        grounds.append(opened.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        for name in TABS:
            opened.page.click(f"#tab-{name}")
            found = opened.page.evaluate(CONTRASTS, "body *")
            assert len(found) > 15
            assert [each for each in found if each[0] < 4.5] == [], name
        opened.page.click("#scheme")
    light = [sum(map(int, ground[4:-1].split(","))) > 600 for ground in grounds]
    assert light == ([True, False] if scheme == "light" else [False, True])
    opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_under_the_pointer_and_in_focus(browser: Any, file: Path, scheme: str) -> None:
    opened = Opened(browser, file, color_scheme=scheme)
    page = opened.page
    assert page.evaluate("document.getAnimations().length") == 0
    for name in ("layers", "energy", "spikes"):
        page.click(f"#tab-{name}")
        for query in (
            "#tab-summary",
            "#scheme",
            *(f"#{name} {each}" for each in ("thead button", "tbody tr", "summary", ".explore")),
        ):
            if not page.locator(query).first.is_visible():
                continue
            page.locator(query).first.hover()
            hovered = page.evaluate(CONTRASTS, f"{query}:hover, {query}:hover *")
            page.locator(query).first.focus()
            focused = page.evaluate(CONTRASTS, f"{query}:focus")
            assert hovered
            assert [each for each in (*hovered, *focused) if each[0] < 4.5] == [], query
    page.keyboard.press("Tab")
    line = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert line == "solid"
    opened.close()


def test_narrow_and_enlarged(browser: Any, file: Path) -> None:
    """On a phone, and at twice the size, the page itself never has to be moved sideways."""
    opened = Opened(browser, file, viewport={"width": 360, "height": 700})
    for name in TABS:
        opened.page.click(f"#tab-{name}")
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360, name
        small = opened.page.evaluate(
            "Math.min(...[...document.querySelectorAll('.panel.shown svg')]"
            ".map(s => s.getBoundingClientRect().width / s.viewBox.baseVal.width))"
        )
        assert small > 0.8 or small == float("inf")
    assert opened.page.locator("#energy .wide[tabindex='0']").count() == 0  # it is not shown
    opened.page.click("#tab-energy")
    opened.page.wait_for_selector("#energy .wide[tabindex='0']")
    opened.close()


def test_long_names_leave_the_page_as_narrow_as_it_is(browser: Any, tmp_path: Path) -> None:
    path, name = tmp_path / "long.html", "x" * 5000
    report = json.loads(json.dumps(full()).replace('"hidden"', f'"{name}"').replace('"Every number', f'"{name} number'))
    path.write_text(to_html(report | {"program": name, "activity": report["activity"] | {"data": name}}))
    opened = Opened(browser, path, viewport={"width": 360, "height": 700})
    for tab in TABS:
        if opened.page.locator(f"#tab-{tab}").count():
            opened.page.click(f"#tab-{tab}")
            assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360, tab
    opened.close()


#: all ways in which a page asks for something
ASKS = """async (address) => {
  const ask = (tag, more) => document.body.append(Object.assign(document.createElement(tag), more));
  await fetch(address).catch(() => 0);
  navigator.sendBeacon(address, "x");
  for (const tag of ["img", "script", "iframe", "embed", "video"]) ask(tag, {src: address});
  for (const rel of ["stylesheet", "prefetch", "preload", "icon", "manifest"])
    ask("link", {rel, href: address, as: "image"});
  ask("object", {data: address});
  ask("style", {textContent: `@import "${address}"; body { background: url(${address}) }`});
  ask("div", {innerHTML: "<img src=x onerror='window.ran = (window.ran ?? 0) + 1'>"});
  ask("script", {textContent: "window.ran = (window.ran ?? 0) + 1"});
  ask("iframe", {name: "beside"});
  const form = Object.assign(document.createElement("form"), {action: address, target: "beside"});
  document.body.append(form);
  form.submit();
  await new Promise((done) => setTimeout(done, 300));
  return window.ran ?? "nothing";
}"""


def test_the_policy_stops_whatever_a_page_could_ask_for(browser: Any, file: Path, tmp_path: Path) -> None:
    asked: list[bytes] = []

    class Listener(BaseHTTPRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline())

    html = file.read_text(encoding="utf-8")
    free = tmp_path / "free.html"
    free.write_text(html.replace('http-equiv="Content-Security-Policy"', 'name="no policy"'), encoding="utf-8")
    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for page_file, ran in ((file, "nothing"), (free, 2)):
            page = browser.new_page()
            page.goto(page_file.as_uri())
            assert page.evaluate(ASKS, f"http://127.0.0.1:{server.server_port}/") == ran
            assert any(asked) == (page_file == free)  # a connection that asks for nothing is none
            page.close()
        server.shutdown()


def test_without_scripts_and_in_print_all_is_there(browser: Any, file: Path) -> None:
    still = Opened(browser, file, java_script_enabled=False)
    for name in TABS:
        assert still.page.locator(f"#{name}").is_visible()
    assert still.page.locator("#timeline svg").first.is_visible()
    still.close()
    printed = Opened(browser, file)
    printed.page.emulate_media(media="print")
    assert printed.shown() == TABS
    assert printed.page.locator("#energy-0 table").is_visible()
    assert not printed.page.locator("nav").is_visible()
    printed.close()


@pytest.mark.slow
def test_a_large_report_stays_quick(browser: Any, tmp_path: Path) -> None:
    """300 cores, 2,000 steps, 12,000 spikes: what a click does is bounded by what is on the page, not by a clock."""
    path = tmp_path / "large.html"
    path.write_text(to_html(large()), encoding="utf-8")
    opened = Opened(browser, path)
    assert opened.page.evaluate("document.querySelectorAll('svg *').length") < 6000
    assert opened.page.evaluate("document.querySelectorAll('*').length") < 45_000
    opened.page.click("#tab-spikes")
    assert opened.page.locator("#spikes svg").is_visible()
    opened.page.click("#spikes button.explore")
    opened.page.wait_for_selector("#spikes .plot .heatmaplayer image", timeout=120_000, state="attached")
    assert opened.page.evaluate("document.querySelectorAll('#spikes .plot *').length") < 2000
    opened.close()
