"use strict";
// Tabs, sorting, the reader's scheme, and Plotly on demand. Without this script the page holds the same, one below another.
(() => {
  const root = document.documentElement, all = (query, within = document) => [...within.querySelectorAll(query)];

  // ---- tabs, as WAI-ARIA has them: arrows move, one is in the order of the Tab key, the address names the one shown
  const tabs = all("#tabs a"), panels = tabs.map((tab) => document.getElementById(tab.hash.slice(1)));
  const show = (index, focus = false) => {
    tabs.forEach((tab, each) => {
      const chosen = each === index;
      tab.setAttribute("aria-selected", chosen);
      tab.tabIndex = chosen ? 0 : -1;
      panels[each].classList.toggle("shown", chosen);
    });
    if (focus) tabs[index].focus();
  };
  const addressed = () => Math.max(0, panels.findIndex((panel) => panel.contains(document.getElementById(location.hash.slice(1)))));
  const go = (index, focus = false) => {
    history.replaceState(null, "", tabs[index].hash);
    show(index, focus);
  };
  if (tabs.length) {
    root.classList.add("tabbed");
    document.getElementById("tabs").setAttribute("role", "tablist");
    tabs.forEach((tab, index) => {
      tab.setAttribute("role", "tab");
      tab.setAttribute("aria-controls", panels[index].id);
      panels[index].setAttribute("role", "tabpanel");
      panels[index].setAttribute("aria-labelledby", tab.id);
      tab.addEventListener("click", (event) => { event.preventDefault(); go(index); });
      tab.addEventListener("keydown", (event) => {
        const last = tabs.length - 1;
        const to = { ArrowRight: index === last ? 0 : index + 1, ArrowLeft: index ? index - 1 : last, Home: 0, End: last,
          " ": index }[event.key];
        if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        go(to, true);
      });
    });
    show(addressed());
    addEventListener("hashchange", () => show(addressed()));
  }

  // ---- tables sort by a click on a heading; what has no number stays below
  const sort = (table, column, heading) => {
    const ascending = heading.getAttribute("aria-sort") !== (heading.classList.contains("n") ? "descending" : "ascending")
      ? !heading.classList.contains("n") : heading.classList.contains("n");
    const key = (row) => {
      const cell = row.cells[column];
      return heading.classList.contains("n") ? parseFloat(cell.dataset.v) : cell.textContent;
    };
    const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
    rows.sort(([a], [b]) => {
      if (typeof a === "string") return (ascending ? 1 : -1) * a.localeCompare(b, "en", { numeric: true });
      return isNaN(a) || isNaN(b) ? isNaN(a) - isNaN(b) : ascending ? a - b : b - a;
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  };
  for (const table of all("table.data")) {
    if (table.tBodies[0].rows.length < 2) continue;
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = document.createElement("button");
      button.textContent = heading.textContent;
      button.addEventListener("click", () => sort(table, column, heading));
      heading.replaceChildren(button);
    });
  }

  // ---- what is wider than the page can be moved by the arrow keys
  const watch = new ResizeObserver((changes) => changes.forEach(({ target }) => {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }));
  all(".wide").forEach((wide) => watch.observe(wide));

  // ---- light or dark: the system's, until the reader chooses
  const dark = matchMedia("(prefers-color-scheme: dark)"), toggle = document.createElement("button");
  const isDark = () => (root.style.colorScheme || (dark.matches ? "dark" : "light")) === "dark";
  const drawn = new Map();
  const changed = () => {
    toggle.textContent = isDark() ? "Light" : "Dark";
    toggle.setAttribute("aria-label", isDark() ? "Show this page light" : "Show this page dark");
    for (const [place, figure] of drawn) Plotly.react(place, ...coloured(figure));
  };
  toggle.id = "scheme";
  toggle.addEventListener("click", () => { root.style.colorScheme = isDark() ? "light" : "dark"; changed(); });
  dark.addEventListener("change", changed);
  document.querySelector("header").append(toggle);
  changed();

  // ---- figures to explore: Plotly is unpacked once, when the first is asked for
  const stored = (id) => document.getElementById(id).textContent;
  let plotly;
  const unpack = async () => {
    const bytes = Uint8Array.from(atob(stored("plotly")), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  };
  const colour = (name) => { // what light-dark() and the scheme come to
    const probe = document.createElement("i");
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const ofSeries = ({ series = 0, sparse, ...mark }) => { // the page's extensions of Plotly's traces and shapes
    const ink = colour(`s${series}`);
    if (sparse) {
      mark.z = mark.y.map(() => new Array(mark.x.length).fill(null));
      for (const [x, y] of sparse) mark.z[y][x] = 1;
    }
    return mark.type === "heatmap" ? { ...mark, colorscale: [[0, ink], [1, ink]], showscale: false }
      : mark.type === "path" ? { ...mark, line: { ...mark.line, color: ink } }
      : { ...mark, marker: { ...mark.marker, color: ink }, line: { ...mark.line, color: ink } };
  };
  function coloured({ data, layout = {} }) {
    const axis = { gridcolor: colour("line"), linecolor: colour("soft"), zerolinecolor: colour("line"), automargin: true };
    const axes = Object.keys({ xaxis: 0, yaxis: 0, ...layout }).filter((key) => /^[xy]axis/.test(key));
    return [data.map(ofSeries), { ...layout, shapes: (layout.shapes ?? []).map(ofSeries),
      ...Object.fromEntries(axes.map((key) => [key, { ...axis, ...layout[key] }])), paper_bgcolor: colour("page"),
      plot_bgcolor: colour("page"), font: { family: "system-ui, sans-serif", size: 12, color: colour("ink") },
      hoverlabel: { bgcolor: colour("raised"), font: { color: colour("ink") } },
      margin: { l: 60, r: 10, t: 30, b: 40 }, legend: { orientation: "h", y: 1, yanchor: "bottom" } },
    { displaylogo: false, responsive: true }];
  }
  for (const figure of all("figure[data-explore]")) {
    const button = document.createElement("button"), still = figure.querySelector(".drawing");
    const words = () => still.hidden ? "Back to the drawing" : "Explore: zoom and values";
    let place;
    const draw = async () => {
      await (plotly ??= unpack());
      const data = JSON.parse(stored("explored"))[figure.id];
      place = document.createElement("div");
      place.className = "plot";
      place.style.height = `${data.layout?.height ?? 480}px`;
      still.after(place);
      still.hidden = true;
      await Plotly.newPlot(place, ...coloured(data));
      drawn.set(place, data);
    };
    button.className = "explore";
    button.textContent = words();
    button.addEventListener("click", async () => {
      if (!place) {
        button.disabled = true;
        button.textContent = "Drawing …";
        try {
          await draw();
        } catch { // a browser that cannot unpack it still has the drawing and the table
          button.textContent = "This browser cannot draw it for zooming";
          return;
        }
        button.disabled = false;
      } else {
        still.hidden = !still.hidden;
        place.hidden = !still.hidden;
      }
      button.textContent = words();
    });
    figure.querySelector("figcaption").after(button);
  }
})();
