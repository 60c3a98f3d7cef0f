// ---------------------------------------------------------------- the data, and what of it is selected
const DATA = JSON.parse(document.getElementById("data").textContent);
const CHARTS = JSON.parse(document.getElementById("charts").textContent);
const METHOD = DATA.method;
const SHARES = METHOD.shares;
const PERCENTILES = { p50: 0.5, p90: 0.9, p95: 0.95, p99: 0.99 };
const COLOURS = ["var(--c1)", "var(--c2)", "var(--c3)", "var(--c4)", "var(--c5)", "var(--c6)"];
const DAY = 86_400_000;

const RUNS = DATA.runs.run_id.map((id, row) => ({
  id,
  region: DATA.runs.region[row] || "",
  startedAt: DATA.runs.started_at[row],
  verdict: DATA.runs.verdict[row],
  reasons: DATA.runs.reasons[row],
  cost: DATA.runs.cost_usd[row],
}));

const seconds = (millis) => (millis === null ? null : millis / 1000);

const PROFILES = DATA.profiles.run.map((run, row) => {
  const column = (name) => DATA.profiles[name][row];
  const counts = Object.fromEntries(METHOD.counts.map((name, place) => [name, column("counts")[place] === undefined ? 0 : column("counts")[place]]));
  let hundredths = 0;
  const knots = column("knots").map((step) => (hundredths += step) / 100);
  const first = column("first_delivery");
  return {
    run: RUNS[run],
    arm: DATA.arms[column("arm")],
    bursts: column("n_bursts"),
    counts,
    exact: Object.fromEntries(Object.keys(PERCENTILES).map((name, place) => [name, seconds(column("exact")[place])])),
    sample: new Sample(knots, counts.observed || 0, (counts.lost_on_wire || 0) + (counts.not_recorded || 0)),
    probe: column("random_probe") === null ? Infinity : column("random_probe") / 1000,
    stages: column("stages").map(seconds),
    hours: column("hours"),
    first: first && {
      status: METHOD.statuses[first[0]],
      polls: first[1],
      lastMiss: seconds(first[2]),
      firstHit: seconds(first[3]),
      record: seconds(first[4]),
      probe: seconds(first[5]),
    },
  };
});

/** What there is to choose from, for each filter of arms. */
const FILTERS = [
  { name: "destination", label: "Destination", words: { "cloud-watch-logs": "CloudWatch Logs", s3: "S3" } },
  { name: "file_format", label: "File format", words: { "plain-text": "text", parquet: "Parquet" } },
  { name: "aggregation_interval_s", label: "Aggregation interval", words: { 60: "60 s", 600: "600 s" } },
  { name: "hypervisor", label: "Hypervisor", words: { xen: "Xen", nitro: "Nitro" } },
].map((filter) => ({ ...filter, values: [...new Set(DATA.arms.map((arm) => arm[filter.name]).filter((value) => value !== null))].map(String).sort() }));

const REGIONS = [...new Set(RUNS.map((run) => run.region))].sort();
const LONGEST = Math.max(1, ...DATA.arms.map((arm) => (arm.delay_s && (arm.delay_s.p99 || arm.delay_s.max)) || 0));

/** How often a rule may run: what people set, and shorter where delays are. */
const EVERIES = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600].filter((every) => every <= Math.max(10, 6 * LONGEST));
const WITHIN_MOST = Math.max(10, Math.ceil((1.15 * LONGEST + Math.min(METHOD.every_s, LONGEST)) / 10) * 10);

const DEFAULTS = {
  arm: DATA.answer.arm || "",
  region: "",
  destination: "",
  file_format: "",
  aggregation_interval_s: "",
  hypervisor: "",
  from: "",
  to: "",
  every: String(EVERIES.includes(METHOD.every_s) ? METHOD.every_s : EVERIES[Math.floor(EVERIES.length / 2)]),
  within: "",
  close: "",
  cell: "p95",
  theme: "",
};
DEFAULTS.within = String(Math.min(WITHIN_MOST, Math.round(Number(DEFAULTS.every) * 1.2)));

/** The state of the page, all of it in the URL's hash, where only what is not as usual is written. */
const state = { ...DEFAULTS };

function readHash() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(DEFAULTS)) state[name] = given.has(name) ? given.get(name) : DEFAULTS[name];
  if (!(Number(state.within) >= 0)) state.within = DEFAULTS.within;
  if (!EVERIES.includes(Number(state.every))) state.every = DEFAULTS.every;
  for (const end of ["from", "to"]) if (!/^\d{4}-\d\d-\d\d$/.test(state[end]) || Number.isNaN(Date.parse(state[end]))) state[end] = "";
}

function writeHash() {
  const changed = Object.entries(state).filter(([name, value]) => value !== DEFAULTS[name]);
  const hash = new URLSearchParams(changed).toString();
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
}

const chosenRegions = () => (state.region ? state.region.split(",").filter((region) => REGIONS.includes(region === "-" ? "" : region)).map((region) => (region === "-" ? "" : region)) : REGIONS);

const isIn = (millis) =>
  (!state.from || millis >= Date.parse(`${state.from}T00:00:00Z`)) && (!state.to || millis < Date.parse(`${state.to}T00:00:00Z`) + DAY);

const known = new Map();

/** The selection: its arms, each with its profiles, and what is computed of them once. */
function selection() {
  const regions = chosenRegions();
  const arms = DATA.arms
    .filter((arm) => FILTERS.every(({ name }) => !state[name] || String(arm[name]) === state[name]))
    .map((arm) => {
      const profiles = PROFILES.filter((each) => each.arm === arm && regions.includes(each.run.region) && isIn(each.run.startedAt));
      return { ...arm, colour: COLOURS[DATA.arms.indexOf(arm) % COLOURS.length], profiles, numbers: numbersOf(arm.name, profiles) };
    })
    .filter((arm) => arm.profiles.length);
  const runs = [...new Set(arms.flatMap((arm) => arm.profiles.map((each) => each.run)))];
  const chosen = arms.find((arm) => arm.name === state.arm) || arms[0] || null;
  return { arms, runs, chosen, regions: REGIONS.filter((region) => runs.some((run) => run.region === region)) };
}

/** Numbers of some profiles of an arm; computed when they are asked for, and once for the same profiles. */
function numbersOf(name, profiles) {
  const key = `${name}|${profiles.map((each) => RUNS.indexOf(each.run)).join()}`;
  if (!known.has(key)) known.set(key, new Numbers(profiles));
  return known.get(key);
}

class Numbers {
  constructor(profiles) {
    this.profiles = profiles;
    this.samples = profiles.map((each) => each.sample).filter((each) => each.packets);
    this.kept = new Map();
  }

  once(name, compute) {
    if (!this.kept.has(name)) this.kept.set(name, compute());
    return this.kept.get(name);
  }

  get runs() { return this.profiles.length; }
  get packets() { return total(this.profiles.map((each) => each.sample.delivered)); }
  get missing() { return total(this.profiles.map((each) => each.sample.missing)); }
  get bursts() { return total(this.profiles.map((each) => each.bursts)); }

  /** Of one run the exact percentile; of several that of all their probes. */
  percentile(share) {
    return this.once(`percentile ${share}`, () => {
      const exact = Object.keys(PERCENTILES).find((name) => PERCENTILES[name] === share);
      if (this.runs === 1 && exact) return this.profiles[0].exact[exact] === null ? Infinity : this.profiles[0].exact[exact];
      return this.samples.length ? pooled(this.samples, share, false).all : Infinity;
    });
  }

  interval(share) {
    return this.once(`interval ${share}`, () => interval(this.samples, share));
  }

  /** The lowest and the highest run's. */
  overRuns(name) {
    return this.once(`over runs ${name}`, () => {
      const ends = { min: (knots) => knots[0], max: (knots) => knots[knots.length - 1] };
      const values = this.profiles.map((each) =>
        name in ends ? (each.sample.delivered ? ends[name](each.sample.knots) : Infinity) : each.exact[name] === null ? Infinity : each.exact[name],
      );
      return [Math.min(...values), Math.max(...values)];
    });
  }

  get delay() {
    const delivered = this.profiles.filter((each) => each.sample.delivered).map((each) => each.sample.knots);
    return {
      min: delivered.length ? Math.min(...delivered.map((knots) => knots[0])) : Infinity,
      ...Object.fromEntries(Object.entries(PERCENTILES).map(([name, share]) => [name, this.percentile(share)])),
      max: delivered.length ? Math.max(...delivered.map((knots) => knots[knots.length - 1])) : Infinity,
    };
  }

  get slo() {
    return this.once("slo", () => serviceSentence(this.profiles.filter((each) => each.sample.packets).map((each) => each.probe)));
  }

  missed(every, within) {
    return this.samples.length ? missedShare(this.samples, every, within) : NaN;
  }
}
