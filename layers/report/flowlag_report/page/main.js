// ---------------------------------------------------------------- the page
const byId = (id) => document.getElementById(id);
const views = [];
const controls = [];

/** An input that is part of the state. */
function bound(name, input, read = () => input.value) {
  input.addEventListener("input", () => change({ [name]: read() }));
  controls.push(() => { input.value = state[name]; });
  return input;
}

function choice(name, label, options) {
  const select = element("select", { id: `choose-${name}` }, options.map(([value, text]) => element("option", { value }, text)));
  return element("div", { class: "group" }, element("label", { for: `choose-${name}` }, label), bound(name, select));
}

function lookbackControls() {
  const every = element("input", { type: "range", min: 0, max: EVERIES.length - 1, step: 1, id: "every" });
  const within = element("input", { type: "range", min: 0, max: WITHIN_MOST, step: WITHIN_MOST > 120 ? 10 : 0.5, id: "within" });
  const [everyTold, withinTold] = ["every", "within"].map((name) => element("output", { for: name }));
  every.addEventListener("input", () => change({ every: String(EVERIES[every.value]) }));
  within.addEventListener("input", () => change({ within: within.value }));
  controls.push(() => {
    every.value = EVERIES.indexOf(Number(state.every));
    within.value = state.within;
    everyTold.textContent = durationAtMost(Number(state.every));
    withinTold.textContent = durationAtMost(Number(state.within));
    every.setAttribute("aria-valuetext", everyTold.textContent);
    within.setAttribute("aria-valuetext", withinTold.textContent);
  });
  return element("div", { class: "controls" }, element("label", { class: "slide", for: "every" }, element("span", {}, "The rule runs every ", everyTold), every), element("label", { class: "slide", for: "within" }, element("span", {}, "and looks back ", withinTold), within));
}

function cellControls() {
  return element("div", { class: "controls" }, choice("cell", "A cell shows", [["p95", "95 % visible within"], ["p50", "half visible within"]]));
}

function closeUpControls() {
  const select = element("select", { id: "close" });
  const group = element("div", { class: "controls" }, element("div", { class: "group" }, element("label", { for: "close" }, "Region of the run"), select));
  select.addEventListener("input", () => change({ close: select.value }));
  controls.push((selected) => {
    const run = closeUp(selected);
    const there = selected.chosen ? DATA.newest.filter((each) => each.arm === selected.chosen.name && selected.regions.includes(each.region || "")) : [];
    select.replaceChildren(...there.map((each) => element("option", { value: each.region || "-" }, `${regionName(each.region)}, ${minute(each.started_at)}`)));
    if (run) select.value = run.region || "-";
    group.hidden = there.length < 2;
  });
  return group;
}

/** The filters: each only where there is something to choose. */
function filterControls() {
  const form = byId("filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  if (REGIONS.length > 1) {
    const boxes = REGIONS.map((region) => element("input", { type: "checkbox", value: region || "-" }));
    const read = () => boxes.filter((box) => box.checked).map((box) => box.value);
    boxes.forEach((box) => box.addEventListener("input", () => change({ region: read().length === boxes.length ? "" : read().join(",") || "none" })));
    controls.push(() => boxes.forEach((box) => { box.checked = chosenRegions().includes(box.value === "-" ? "" : box.value); }));
    form.append(element("fieldset", { class: "group" }, element("legend", {}, "Regions"), element("div", { class: "chips" }, boxes.map((box, place) => element("label", {}, box, regionName(REGIONS[place]))))));
  }
  for (const { name, label, values, words } of FILTERS) {
    if (values.length > 1) form.append(choice(name, label, [["", "all"], ...values.map((value) => [value, words[value] || value])]));
  }
  const ends = [Math.min(...RUNS.map((run) => run.startedAt)), Math.max(...RUNS.map((run) => run.startedAt))].filter(Number.isFinite).map(day);
  const dates = element("div", { class: "dates" });
  for (const [name, label] of [["from", "Runs from"], ["to", "to"]]) {
    const input = element("input", { type: "date", id: `choose-${name}`, min: ends[0], max: ends[1], "aria-description": "The day on which a run began, UTC" });
    dates.append(element("div", { class: "group" }, element("label", { for: `choose-${name}` }, label), bound(name, input)));
  }
  form.append(dates);
  dates.append(element("button", { type: "button", id: "reset", onclick: () => change({ ...DEFAULTS, theme: state.theme, every: state.every, within: state.within }) }, "Show all"));
}

function tiles({ arms, chosen }) {
  const holder = byId("tiles"), legend = holder.querySelector("legend");
  const focused = document.activeElement && document.activeElement.name === "arm" ? document.activeElement.value : null;
  holder.hidden = !arms.length;
  holder.replaceChildren(
    legend,
    ...arms.map((arm) => {
      const { p50, p95 } = arm.numbers.delay;
      const input = element("input", { type: "radio", name: "arm", value: arm.name, checked: arm === chosen, oninput: () => change({ arm: arm.name }) });
      return coloured(element("label", { class: "tile" }, input, element("span", { class: "name" }, arm.label), element("span", { class: "large" }, durationOr(p50, "not by the deadline")), element("span", { class: "small" }, isKnown(p95) ? `95 %: ${duration(p95)}` : "95 %: not by the deadline"), element("span", { class: "small" }, counted(arm.numbers.runs, "run"))), arm.colour);
    }),
  );
  if (focused !== null) for (const input of holder.querySelectorAll("input")) if (input.value === focused) input.focus();
}

/** The first screen, of what is selected. */
function answer({ arms, chosen, regions, runs }) {
  const title = byId("answer");
  if (!chosen) {
    title.textContent = RUNS.length ? "No run is selected." : DATA.answer.sentence;
    byId("numbers").textContent = "0 packets, 0 bursts, 0 runs";
    byId("slo").textContent = "";
  } else {
    const { numbers } = chosen, place = regions.length === 1 ? regions[0] : counted(regions.length, "region");
    const sentence = answerOf(place, chosen.label, numbers.delay, numbers.runs);
    const strong = [numbers.delay.p50, numbers.delay.p95].filter(isKnown).map(duration);
    title.replaceChildren(...emphasized(sentence, strong));
    byId("numbers").textContent = [["packet", numbers.packets], ["burst", numbers.bursts], ["run", numbers.runs]].map(([noun, number]) => counted(number, noun)).join(", ");
    byId("slo").textContent = numbers.slo;
  }
  const newest = runs.length ? Math.max(...runs.map((run) => run.startedAt)) : DATA.newest_at;
  byId("age").textContent = `newest run ${ago(newest, Date.now())} (${minute(newest)})`;
  byId("scope").textContent = [DATA.experiments.length ? `experiment ${DATA.experiments.join(", ")}` : null, `page made ${minute(DATA.built_at)}`].filter(Boolean).join(" \u00b7 ");
}

/** The sentence with its numbers standing out: the first place of each. */
function emphasized(sentence, strong) {
  const parts = [];
  let rest = sentence;
  for (const each of strong) {
    const at = rest.indexOf(each);
    if (at < 0) continue;
    parts.push(rest.slice(0, at), element("b", {}, each));
    rest = rest.slice(at + each.length);
  }
  return [...parts, rest];
}

function build() {
  filterControls();
  for (const chapter of chapters) {
    const made = chapter.views.map((each) => new View({ ...each, controls: each.controls && each.controls() }));
    views.push(...made);
    byId("views").append(element("section", { class: "chapter" }, element("h2", {}, chapter.title), chapter.about ? element("p", { class: "about" }, chapter.about) : null, chapter.controls ? chapter.controls() : null, element("div", { class: "cards" }, made.map((view) => view.card))));
  }
  byId("all-data").addEventListener("click", () => save("flowlag-data.json", "application/json", byId("data").textContent));
  byId("all-data").setAttribute("aria-label", "Download all data of this page as JSON");
  byId("theme").addEventListener("click", () => change({ theme: isDark() ? "light" : "dark" }));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", theme);
  addEventListener("hashchange", () => { readHash(); render(); });
  byId("made").textContent = `Made by flowlag ${DATA.code_versions.join(", ")} on ${minute(DATA.built_at)}. Charts by Vega and Vega-Lite (BSD-3-Clause). This page asks no server for anything.`;
  let width = innerWidth, waiting;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(() => { for (const view of views) view.show(last); }, 150);
  });
}

const isDark = () => (state.theme ? state.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);

function theme() {
  document.documentElement.dataset.theme = isDark() ? "dark" : "light";
  byId("theme").textContent = isDark() ? "Light" : "Dark";
  byId("theme").setAttribute("aria-pressed", String(isDark()));
  byId("theme").setAttribute("aria-label", "Dark mode");
}

let last;
let announced = false;

function render(only = views) {
  theme();
  last = selection();
  for (const control of controls) control(last);
  answer(last);
  tiles(last);
  for (const view of only) view.show(last);
  if (announced) byId("status").textContent = `${counted(last.runs.length, "run")} selected.`;
  announced = true;
}

/** Views that a part of the state changes; all others change all of them. */
const CHANGES = { every: ["lookback"], within: ["lookback"], cell: ["hours"], theme: [], close: ["sawtooth", "folded", "timestamp-error", "missing", "gaps"] };

function change(what) {
  Object.assign(state, what);
  writeHash();
  const names = Object.keys(what);
  const only = names.every((name) => name in CHANGES) ? views.filter((view) => names.some((name) => CHANGES[name].includes(view.id))) : views;
  render(only);
}

readHash();
build();
render();
