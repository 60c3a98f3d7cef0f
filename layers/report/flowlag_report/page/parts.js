// ---------------------------------------------------------------- elements
/** An element: text goes in as text, never as markup. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** The element, with the colour that its style speaks of. */
function coloured(made, colour) {
  made.style.setProperty("--colour", colour);
  return made;
}

/** A table: the first column names the row, numbers stand to the right. */
function table(caption, columns, rows) {
  const isNumber = (name) => rows.some((row) => typeof row[name] === "number") || columns.find((column) => column.name === name).right;
  const cell = (row, { name, show }, place) => {
    const value = row[name], content = value === null || value === undefined ? "\u2013" : show ? show(value, row) : String(value);
    return element(place ? "td" : "th", place ? { class: isNumber(name) ? "number" : null } : { scope: "row", class: row.under ? "under" : null }, content);
  };
  return element(
    "div",
    { class: "scrolls", tabindex: "0", role: "region", "aria-label": caption },
    element(
      "table",
      {},
      element("caption", { class: "unseen" }, caption),
      element("thead", {}, element("tr", {}, columns.map((column, place) => element("th", { scope: "col", class: place && isNumber(column.name) ? "number" : null }, column.title || column.name)))),
      element("tbody", {}, rows.map((row) => element("tr", {}, columns.map((column, place) => cell(row, column, place))))),
    ),
  );
}

// ---------------------------------------------------------------- downloads
function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = element("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // a busy machine begins late to read it
}

function csv(columns, rows) {
  const field = (value) => {
    const text = value === null || value === undefined || value === Infinity ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  };
  return [columns, ...rows.map((row) => columns.map((name) => row[name]))].map((line) => `${line.map(field).join(",")}\r\n`).join("");
}

// ---------------------------------------------------------------- charts
const ERRORS_ONLY = 1; // of Vega's levels: it would warn of every dataset that is empty
const drawn = new Map();
let queue = Promise.resolve();

/** A whole chart: its file, with data, width and whatever is different this time. */
function specOf(name, { datasets, ticks, patch }, width) {
  const spec = structuredClone(CHARTS.files[name]);
  spec.datasets = datasets;
  spec.config = merged(merged({}, CHARTS.themes[0]), CHARTS.themes[1]);
  if (width < 480) spec.config.axis.labelFontSize = 10.5;
  delete spec.title;
  for (const param of spec.params || []) if (ticks && param.name in ticks) param.value = ticks[param.name];
  if (spec.vconcat) for (const part of spec.vconcat) part.width = Math.max(200, width - 76);
  else spec.width = width;
  if (patch) patch(spec, width);
  return spec;
}

function merged(into, from) {
  for (const [name, value] of Object.entries(from)) {
    if (value && typeof value === "object" && !Array.isArray(value)) into[name] = merged({ ...into[name] }, value);
    else into[name] = value;
  }
  return into;
}

/** One piece of work after the other, so that the page stays alive between them; `data-ready` says that all is done. */
function enqueue(work) {
  document.documentElement.dataset.ready = "false";
  const mine = (queue = queue.then(work).then(() => new Promise((resume) => setTimeout(resume))));
  mine.then(() => { if (queue === mine) document.documentElement.dataset.ready = "true"; });
}

/** Draw a chart in its place; `isWanted` says whether it still is when it is ready. */
async function draw(place, chart, isWanted) {
  const spec = specOf(chart.name, chart, place.clientWidth);
  const view = await vegaEmbed(element("div"), spec, { actions: false, renderer: "svg", tooltip: { theme: "custom" }, logLevel: ERRORS_ONLY });
  if (!isWanted()) return view.finalize();
  if (drawn.has(place)) drawn.get(place).finalize();
  drawn.set(place, view);
  place.replaceChildren(view.view.container());
}

/** Where an axis of delays has its marks: at 1, 5 and 10 minutes, and where delays are shorter or longer. */
function timeTicks(most, least = 0) {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30];
  if (most >= 240) {
    const marks = most <= 1300 ? [60, 300, 600, 900, 1200] : most <= 8000 ? [60, 300, 600, 1800, 3600, 7200] : [60, 600, 3600, 14400, 43200, 86400, 259200];
    return [...(least < 0 ? [-600, -300, -60].filter((each) => each >= 1.05 * least) : []), 0, ...marks.filter((each) => each <= 1.05 * most)];
  }
  const step = steps.find((each) => (most - least) / each <= 6) || 60;
  const found = [];
  for (let each = Math.ceil(least / step) * step; each <= 1.05 * most; each += step) found.push(Number(each.toFixed(3)));
  return found;
}

/** Evenly spaced marks between two delays that are far from none. */
function ticksBetween(least, most) {
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600].find((each) => (most - least) / each <= 6) || 7200;
  return Array.from({ length: 9 }, (_, place) => Number(((Math.floor(least / step) + place) * step).toFixed(3)));
}

/** Marks from none on, on an axis that is not stretched: fewer of them beyond ten minutes. */
function evenTicks(most) {
  if (most < 240 || most <= 1300) return timeTicks(most);
  const step = [600, 1800, 3600, 7200, 14400, 43200, 86400].find((each) => most / each <= 6) || 86400;
  return Array.from({ length: Math.floor((1.02 * most) / step) + 1 }, (_, place) => place * step);
}

// ---------------------------------------------------------------- a view: heading, finding, chart, table, downloads
/**
 * One card of the page.
 *
 * `content(selection)` gives `finding`, in words; `legend`; `chart`, what `specOf` takes and its `name`; `columns` and `rows`
 * of its table and its download, which has all columns that `all` names; or `empty`, why there is nothing to draw.
 */
class View {
  constructor({ id, title, about, wide, controls, content, open }) {
    Object.assign(this, { id, content });
    this.finding = element("p", { class: "finding" });
    this.legend = element("ul", { class: "legend" });
    this.chart = element("div", { class: "chart", role: "img" });
    this.rows = element("div");
    this.details = element("details", { open: Boolean(open) }, element("summary", {}, "Table"), this.rows);
    this.details.addEventListener("toggle", () => this.fill());
    const button = (kind, make) =>
      element("button", { type: "button", class: "quiet", "data-kind": kind, "aria-label": `Download the data of \u201c${title}\u201d as ${kind.toUpperCase()}`, onclick: make }, kind.toUpperCase());
    this.card = element(
      "section",
      { class: `card${wide ? " wide" : ""}`, id, "aria-labelledby": `${id}-title` },
      element("header", {}, element("h3", { id: `${id}-title` }, title), element("div", { class: "downloads" }, element("span", { "aria-hidden": "true" }, "\u2193"), button("csv", () => save(`flowlag-${id}.csv`, "text/csv", csv(this.told.all || this.told.columns.map(({ name }) => name), this.told.rows))), button("json", () => save(`flowlag-${id}.json`, "application/json", `${JSON.stringify(this.told.rows, null, 1)}\n`)))),
      about ? element("p", { class: "about" }, about) : null,
      controls || null,
      this.finding,
      this.legend,
      this.chart,
      this.details,
    );
  }

  /** Show what is selected, when it is this view's turn, unless something else is selected by then. */
  show(selected) {
    const order = (this.order = {});
    enqueue(async () => {
      if (this.order !== order) return;
      this.told = { columns: [], rows: [], legend: [], ...this.content(selected) };
      const { finding, chart, empty, legend } = this.told;
      this.finding.textContent = empty || finding;
      this.finding.classList.toggle("empty", Boolean(empty));
      this.legend.hidden = !legend.length;
      this.legend.replaceChildren(...legend.map(({ label, colour }) => coloured(element("li", {}, label), colour)));
      this.chart.hidden = !chart;
      this.chart.setAttribute("aria-label", `Chart. ${finding} The table below has its data.`);
      this.fill();
      if (chart) await draw(this.chart, chart, () => this.order === order);
    });
  }

  fill() {
    if (!this.told) return;
    const { columns, rows, most = 500 } = this.told;
    this.details.hidden = !rows.length;
    if (!this.details.open) return this.rows.replaceChildren();
    const left = rows.length - most;
    this.rows.replaceChildren(
      table(this.card.querySelector("h3").textContent, columns, rows.slice(0, most)),
      left > 0 ? element("p", { class: "about" }, `And ${counted(left, "more row")}: the download has them all.`) : "",
    );
  }
}
