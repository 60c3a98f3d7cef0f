// ---------------------------------------------------------------- what the views show
const INTERVAL = "95 % interval";

const seconds3 = (number) => (isKnown(number) ? Number(number.toFixed(3)) : null);
const showDuration = (number) => durationOr(number, "\u2013");
const column = (name, title, show) => ({ name, title, show });
const timeColumn = (name, title) => ({ name, title, show: showDuration, right: true });

/** The arms of a chart, as a legend of it. */
const legendOf = (arms) => (arms.length > 1 ? arms.map(({ label, colour }) => ({ label, colour })) : []);

const regionColour = (region) => COLOURS[REGIONS.indexOf(region) % COLOURS.length];
const legendOfRegions = (regions) => (regions.length > 1 ? regions.map((region) => ({ label: regionName(region), colour: regionColour(region) })) : []);

/** The run whose packets are looked at: the chosen arm's newest, in the region that is asked for. */
function closeUp({ chosen, regions }) {
  if (!chosen) return null;
  const there = DATA.newest.filter((each) => each.arm === chosen.name && regions.includes(each.region || ""));
  return there.find((each) => (each.region || "-") === state.close) || there.reduce((newest, each) => (!newest || each.started_at > newest.started_at ? each : newest), null);
}

/** Its capture windows in seconds since the epoch; as `rows.windows`. */
function windowsOf(run) {
  let first = run.started_at;
  return run.windows.map(([step, last, label, ingested]) => {
    first += step;
    return {
      window_start: iso(first + label),
      ingested_at: iso(first + ingested),
      sent_first: iso(first),
      sent_last: iso(first + last),
      first_s: first / 1000,
      delay_first_s: ingested / 1000,
      delay_last_s: (ingested - last) / 1000,
      ingest_delay_s: (ingested - label) / 1000,
      error_first_s: label / 1000,
      error_last_s: (label - last) / 1000,
    };
  });
}

const tickMillis = (tick, rate) => (1000 * tick) / rate;

const ofRun = (run) => `${run.run_id}${run.region ? `, ${run.region}` : ""}: ${counted(run.n_packets, "packet")}, ${counted(run.n_bursts, "burst")}, 1 run`;

const SPAN_CLOCK = (from, to) => (to - from < 600_000 ? { clock: "%H:%M:%S", clocks: 5 } : to - from > 2 * DAY ? { clock: "%d %b", clocks: 7 } : { clock: "%H:%M", clocks: 8 });

const NO_RUN = "No run is selected: widen the filters.";
const NO_CLOSE_UP = "The packets of this selection's runs are not in the page: it has those of the newest run of each region.";

/** What a view of one run's packets shows, or why there is no such run. */
const ofRunInView = (content) => (selected) => {
  const run = closeUp(selected);
  return run ? content(run) : { empty: selected.chosen ? NO_CLOSE_UP : NO_RUN };
};

const chapters = [
  {
    title: "How late",
    views: [
      {
        id: "delays",
        title: "How much is visible after how long",
        wide: true,
        content: ({ arms }) => {
          if (!arms.length) return { empty: NO_RUN };
          const shares = [0, ...METHOD.curve, 1];
          const rows = arms.flatMap((arm) => {
            const { delay, packets, missing } = arm.numbers, delivered = packets / (packets + missing || 1);
            return shares
              .map((share) => {
                const at = share === 0 ? delay.min : share === 1 ? (missing ? Infinity : delay.max) : arm.numbers.percentile(share);
                const bounds = share > 0 && share <= 0.99 ? arm.numbers.interval(share) : null;
                return { arm: arm.label, share, delay_s: at, low_s: bounds && bounds[0], high_s: bounds && bounds[1], colour: arm.colour };
              })
              .filter((row) => isKnown(row.delay_s))
              .concat(missing && isKnown(delay.max) ? [{ arm: arm.label, share: delivered, delay_s: delay.max, low_s: null, high_s: null, colour: arm.colour }] : []);
          });
          const curves = rows.map((row) => ({ ...row, within: duration(row.delay_s) }));
          const most = Math.max(...rows.map((row) => row.delay_s), 1);
          const withBand = arms.filter((arm) => arm.numbers.runs >= METHOD.runs_for_interval).length;
          const few = arms.length - withBand;
          const band = withBand ? `Bands are ${INTERVAL}s over the runs.` : "";
          const none = few ? `${few === arms.length ? "No flow log" : `${few} of ${arms.length} flow logs`} ${few === arms.length ? "has" : "have"} ${few === arms.length ? "" : "no "}${METHOD.runs_for_interval} runs${few === arms.length ? "" : " yet"}, so there is no band${few === arms.length ? "" : " there"}.` : "";
          return {
            finding: [band, none].filter(Boolean).join(" "),
            legend: legendOf(arms),
            chart: {
              name: "delay_curve",
              datasets: { curves, bands: curves.filter((row) => row.low_s !== null), levels: [{ share: 0.5 }, { share: 0.95 }] },
              ticks: { ticks: timeTicks(most), bend: Math.max(0.2, Math.min(60, most / 10)) },
              patch: (spec, width) => { spec.height = width < 600 ? 300 : 380; },
            },
            columns: [column("arm", "flow log"), column("share", "share", percent), timeColumn("delay_s", "visible within"), timeColumn("low_s", "from"), timeColumn("high_s", "to")],
            rows: rows.map(({ colour, ...row }) => ({ ...row, delay_s: seconds3(row.delay_s), low_s: seconds3(row.low_s), high_s: seconds3(row.high_s) })),
          };
        },
      },
      {
        id: "percentiles",
        title: "Percentiles",
        wide: true,
        open: true,
        content: ({ arms, regions }) => {
          if (!arms.length) return { empty: NO_RUN };
          const names = ["p50", "p90", "p95", "p99"];
          const row = (arm, numbers, where) => {
            const delay = numbers.delay;
            const cells = names.flatMap((name) => {
              const bounds = numbers.interval(PERCENTILES[name]), over = numbers.overRuns(name);
              return [
                [`${name}_s`, seconds3(delay[name])],
                [`${name}_low_s`, bounds && seconds3(bounds[0])],
                [`${name}_high_s`, bounds && seconds3(bounds[1])],
                [`${name}_lowest_run_s`, seconds3(over[0])],
                [`${name}_highest_run_s`, seconds3(over[1])],
              ];
            });
            return { arm: arm.label, where, under: regions.length > 1 && regions.includes(where), n_packets: numbers.packets, n_bursts: numbers.bursts, n_runs: numbers.runs, min_s: seconds3(delay.min), ...Object.fromEntries(cells), max_s: seconds3(delay.max), undelivered: numbers.missing };
          };
          const rows = arms.flatMap((arm) => [
            row(arm, arm.numbers, regions.length > 1 ? "all selected" : regionName(regions[0])),
            ...(regions.length > 1 ? regions : []).map((region) => {
              const profiles = arm.profiles.filter((each) => each.run.region === region);
              return profiles.length ? row(arm, numbersOf(arm.name, profiles), region) : null;
            }),
          ]).filter(Boolean);
          const bounds = (name) => (value, each) => {
            const text = isKnown(value) ? duration(value) : "not by the deadline";
            const [low, high, left, right] = each.n_runs < METHOD.runs_for_interval ? [`${name}_lowest_run_s`, `${name}_highest_run_s`, "[", "]"] : [`${name}_low_s`, `${name}_high_s`, "(", ")"];
            if (each.n_runs < 2 || !isKnown(each[low]) || !isKnown(each[high])) return text;
            return [text, element("small", {}, `${left}${span(each[low], each[high])}${right}`)];
          };
          return {
            finding: arms.some((arm) => arm.numbers.runs > 1) ? `In round brackets the ${INTERVAL} over runs; in square ones, below ${METHOD.runs_for_interval} runs, the lowest and the highest run.` : "Of one run there is neither an interval nor a range: its packets are not independent, however many they are.",
            columns: [column("arm", "flow log", (value, each) => (each.under ? [element("span", { class: "unseen" }, `${value}, `), each.where] : value)), ...["n_packets", "n_bursts", "n_runs"].map((name) => column(name, name.slice(2), grouped)), timeColumn("min_s", "min"), ...names.map((name) => ({ name: `${name}_s`, title: name, show: bounds(name), right: true })), timeColumn("max_s", "max")],
            rows,
            all: Object.keys(rows[0]).filter((name) => name !== "under"),
          };
        },
      },
      {
        id: "stages",
        title: "Where the time goes",
        content: ({ arms }) => {
          const names = ["in its capture window", "waiting for delivery", "to our Lambda"];
          const rows = arms.flatMap((arm) => {
            let from = 0;
            return METHOD.stages.map((stage, place) => {
              const having = arm.profiles.filter((each) => each.stages[place] !== null);
              if (!having.length) return null;
              const packets = total(having.map((each) => each.sample.delivered));
              const mean = total(having.map((each) => each.stages[place] * each.sample.delivered)) / packets;
              const values = having.map((each) => each.stages[place]);
              from += mean;
              return { arm: arm.label, stage: names[place], from_s: from - mean, to_s: from, mean_s: mean, lowest_run_s: Math.min(...values), highest_run_s: Math.max(...values), n_runs: having.length, lasts: duration(mean) };
            }).filter(Boolean);
          });
          if (!rows.length) return { empty: arms.length ? "When its capture windows ended is not known of these runs." : NO_RUN };
          const totals = arms.map((arm) => rows.filter((row) => row.arm === arm.label)).filter((of) => of.length).map((of) => ({ arm: of[0].arm, to_s: of[of.length - 1].to_s, label: duration(of[of.length - 1].to_s) }));
          const slowest = rows.reduce((most, row) => (row.mean_s > most.mean_s ? row : most));
          return {
            finding: `Means over all records, which add up as percentiles do not. Longest: ${slowest.stage}, ${slowest.lasts} (${slowest.arm}).`,
            legend: names.map((label, place) => ({ label, colour: ["#56b4e9", "#0072b2", "#d55e00"][place] })),
            chart: {
              name: "stages",
              datasets: { stages: rows, totals },
              ticks: { ticks: evenTicks(Math.max(...rows.map((row) => row.to_s))) },
              patch: (spec, width) => {
                spec.height = 60 + 46 * totals.length;
                spec.layer[0].encoding.x.scale.domainMax = 1.34 * Math.max(...rows.map((row) => row.to_s));
                if (width < 480) {
                  spec.encoding.y.axis.labelExpr = "split(replace(datum.label, ' (', '|('), '|')";
                  spec.layer[0].encoding.x.scale.domainMax *= 1.2;
                }
              },
            },
            columns: [column("arm", "flow log"), column("stage", "stage"), timeColumn("mean_s", "mean"), timeColumn("lowest_run_s", "lowest run"), timeColumn("highest_run_s", "highest run"), column("n_runs", "runs")],
            rows: rows.map(({ lasts, ...row }) => ({ ...row, from_s: seconds3(row.from_s), to_s: seconds3(row.to_s), mean_s: seconds3(row.mean_s) })),
          };
        },
      },
      {
        id: "lookback",
        title: "What a detection rule would miss",
        controls: () => lookbackControls(),
        content: ({ arms }) => {
          if (!arms.length) return { empty: NO_RUN };
          const every = Number(state.every), within = Number(state.within);
          const most = WITHIN_MOST, points = Array.from({ length: 101 }, (_, place) => (most * place) / 100);
          const curves = arms.flatMap((arm) => points.map((each) => ({ arm: arm.label, colour: arm.colour, within_s: each, missed: arm.numbers.once(`missed ${every} ${each}`, () => arm.numbers.missed(every, each)) })));
          const rule = arms.map((arm) => ({ arm: arm.label, colour: arm.colour, within_s: within, missed: arm.numbers.missed(every, within) }));
          const needed = (arm, seen) => {
            const left = 1 - seen + 1e-9, longest = arm.numbers.delay.max + every;
            if (!(arm.numbers.missed(every, longest) <= left)) return null;
            let low = 0, high = longest;
            while (high - low > 0.0005) {
              const middle = (low + high) / 2;
              if (arm.numbers.missed(every, middle) > left) low = middle;
              else high = middle;
            }
            return seconds3(high);
          };
          const rows = arms.map((arm, place) => ({
            arm: arm.label,
            every_s: every,
            within_s: within,
            missed_share: Number(rule[place].missed.toFixed(6)),
            ...Object.fromEntries([0.5, 0.9, 0.95, 0.99, 1].map((seen) => [`needed_for_${100 * seen}_percent_s`, arm.numbers.once(`needed ${every} ${seen}`, () => needed(arm, seen))])),
          }));
          return {
            finding: `A rule that runs every ${durationAtMost(every)} and looks back ${durationAtMost(within)} misses ${rows.map((row) => `${percent(row.missed_share)} of ${arms.length > 1 ? row.arm : "the records"}`).join(", ")}.`,
            legend: legendOf(arms),
            chart: { name: "lookback", datasets: { curves, rule }, ticks: { ticks: evenTicks(most) }, patch: (spec) => { spec.height = 260; } },
            columns: [column("arm", "flow log"), { name: "missed_share", title: "missed", show: percent, right: true }, ...[50, 90, 95, 99, 100].map((seen) => timeColumn(`needed_for_${seen}_percent_s`, `to see ${seen} %`))],
            rows,
            all: Object.keys(rows[0]),
          };
        },
      },
    ],
  },
  {
    title: "A run, packet by packet",
    about: "The newest run of the flow log that is chosen above. Inside a capture window the delay falls by a second a second, so that the lines are exact.",
    controls: () => closeUpControls(),
    views: [
      {
        id: "sawtooth",
        title: "The sawtooth: delay against send time",
        wide: true,
        content: ofRunInView((run) => {
          const windows = windowsOf(run), delay = run.delay_s, from = Date.parse(windows[0].sent_first), to = Date.parse(windows[windows.length - 1].sent_last);
          const levels = ["p50", "p95"].filter((name) => isKnown(delay[name])).map((name) => ({ delay_s: delay[name], label: `${name.slice(1)} %: ${duration(delay[name])}` }));
          const most = Math.max(...windows.map((each) => Math.max(each.delay_first_s, each.ingest_delay_s)));
          const period = run.burst_period_s ? `, again every ${duration(run.burst_period_s)}` : "";
          return {
            finding: `Up to ${duration(delay.max)}, down to ${duration(delay.min)}${period}; half within ${durationOr(delay.p50, "no time that is known")}, 95 % within ${durationOr(delay.p95, "no time that is known")}. ${ofRun(run)}.`,
            legend: [{ label: "delay: from the packet's send time", colour: "var(--c1)" }, { label: "ingest delay: from the record's start, the label of its capture window", colour: "#e69f00" }],
            chart: {
              name: "delay_by_send_time",
              datasets: { windows, levels },
              ticks: { ticks: evenTicks(most), ...SPAN_CLOCK(from, to) },
              patch: (spec, width) => {
                narrow(spec, width, 360);
                spec.layer[3].encoding.color.scale.range[0] = "var(--c1)";
                spec.layer[3].encoding.color.legend = null;
                if (width < 600) spec.layer.splice(1, 1);
              },
            },
            columns: windowColumns,
            rows: windows.map(({ first_s, ...row }) => row),
          };
        }),
      },
      {
        id: "folded",
        title: "The same, folded at its period",
        wide: true,
        content: ofRunInView((run) => {
          if (!run.burst_period_s) return { empty: "There were fewer than two bursts, and so no period to fold at." };
          const period = (run.sawtooth && run.sawtooth.period_s) || run.burst_period_s, windows = windowsOf(run);
          const fold = period > 20 ? Math.round(period) : period;
          const rows = windows.flatMap((each) => {
            const at = ((each.first_s % fold) + fold) % fold, length = each.delay_first_s - each.delay_last_s, hour = (each.first_s - windows[0].first_s) / 3600;
            const piece = { at_s: at, until_s: at + length, delay_first_s: each.delay_first_s, delay_last_s: each.delay_last_s, hour };
            if (at + length <= fold) return [piece];
            const cut = fold - at;
            return [{ ...piece, until_s: fold, delay_last_s: each.delay_first_s - cut }, { ...piece, at_s: 0, until_s: length - cut, delay_first_s: each.delay_first_s - cut }];
          });
          const hours = Math.max(...rows.map((row) => row.hour));
          const drift = run.sawtooth && hours > 0.5 ? ` Their ends move, as the lag changes by ${run.sawtooth.drift_s_per_h.toFixed(1).replace("-", MINUS)} s an hour.` : "";
          return {
            finding: `Every period of ${duration(fold)} lies on the one before: what came earlier is wide and light, what came later thin and dark.${drift}`,
            chart: {
              name: "delay_folded",
              datasets: { windows: rows.map((row) => ({ ...row, width: 11 - (9.5 * row.hour) / (hours || 1) })) },
              ticks: { ticks: evenTicks(Math.max(...rows.map((row) => row.delay_first_s))), folds: fold === 600 ? [0, 120, 240, 360, 480, 600] : timeTicks(fold) },
              patch: (spec, width) => {
                narrow(spec, width, 300);
                if (hours < 0.5) spec.encoding.color.legend = null;
                else if (width < 480) spec.encoding.color.legend.orient = "bottom";
              },
            },
            columns: [timeColumn("at_s", "send time, folded"), timeColumn("until_s", "until"), timeColumn("delay_first_s", "delay of the first"), timeColumn("delay_last_s", "of the last")],
            rows: rows.map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, seconds3(value)]))),
          };
        }),
      },
      {
        id: "timestamp-error",
        title: "Timestamp error: the record's start minus the send time",
        wide: true,
        content: ofRunInView((run) => {
          const windows = windowsOf(run), error = run.timestamp_error_s, from = Date.parse(windows[0].sent_first), to = Date.parse(windows[windows.length - 1].sent_last);
          const middle = Math.floor(windows.length / 2), near = windows.slice(middle, middle + (window.innerWidth < 520 ? 4 : 7));
          const least = Math.min(...windows.map((each) => each.error_last_s)), most = Math.max(...windows.map((each) => each.error_first_s), 0);
          const signed = (number) => `${number > 0 ? "+" : ""}${Math.abs(number) < 10 ? number.toFixed(1) : number.toFixed(0)}`.replace("-", MINUS).replace(/\.0$/, "");
          const marks = least > -5 && most < 5 ? timeTicks(most, least) : [-120, -60, -30, 0, 30, 60, 120].filter((each) => each >= 1.3 * least && each <= 1.3 * Math.max(most, 1));
          return {
            finding: `${signed(error.min)} to ${signed(error.max)} s, ${signed(error.mean)} s in the mean. A start labels a capture window: ${counted(run.capture_windows, "label")}${run.capture_window_s ? `, ${duration(run.capture_window_s)} apart` : ""}.`,
            legend: [{ label: "the packets of a window, from its first to its last", colour: "var(--c1)" }, { label: "the start that all of them carry", colour: "var(--c2)" }],
            chart: {
              name: "timestamp_error",
              datasets: { near, windows },
              ticks: { near_ticks: marks, ticks: marks.filter((each) => each % 60 === 0 || Math.abs(least) < 60), ...SPAN_CLOCK(from, to), near_clock: "%H:%M:%S", near_clocks: window.innerWidth < 520 ? 2 : 6 },
              patch: (spec, width) => {
                spec.vconcat[0].height = 170;
                spec.vconcat[1].height = 70;
                Object.assign(spec.vconcat[0].layer[0].encoding.color, { legend: null });
                spec.vconcat[0].layer[0].encoding.color.scale.range = ["var(--c1)", "var(--c2)"];
                spec.vconcat[1].mark.stroke = "var(--c1)";
                for (const part of spec.vconcat) part.width = Math.max(180, width - 62);
              },
            },
            columns: windowColumns,
            rows: windows.map(({ first_s, ...row }) => row),
          };
        }),
      },
      {
        id: "missing",
        title: "Missing data: what became of every tick",
        wide: true,
        content: ofRunInView((run) => {
          const profile = PROFILES.find((each) => each.run.id === run.run_id && each.arm.name === run.arm), counts = profile.counts;
          const windows = windowsOf(run);
          const names = [
            ["recorded", counts.observed, null],
            ["before the first record", counts.before_first_record, "before_first_record"],
            ["after the last record", counts.after_last_record, "after_last_record"],
            ["never sent", counts.never_sent, "never_sent"],
            ["sent, no record", counts.lost_on_wire === null && counts.not_recorded === null ? null : (counts.lost_on_wire || 0) + (counts.not_recorded || 0), "unrecorded"],
          ].filter(([name, n, key]) => n !== null && (key !== "after_last_record" || n));
          const spans = names.flatMap(([fate, , key]) =>
            key
              ? (run.missing[key] || []).map(([tick, length]) => ({ fate, first: iso(tickMillis(tick, run.rate)), end: iso(tickMillis(tick + length, run.rate)) }))
              : recordedSpans(windows, run).map(([first, end]) => ({ fate, first: iso(first), end: iso(end) })),
          );
          const lost = (names.find(([name]) => name === "sent, no record") || [0, null])[1];
          const from = Math.min(...spans.map((each) => Date.parse(each.first))), to = Math.max(...spans.map((each) => Date.parse(each.end)));
          return {
            finding: names.length === 1 ? "No ledger says what was sent, so that nobody can say what is missing." : lost ? `${counted(lost, "packet")} that ${lost === 1 ? "was" : "were"} sent ${lost === 1 ? "has" : "have"} no record; ${counted(counts.never_sent, "tick")} ${counts.never_sent === 1 ? "was" : "were"} never sent.` : `Nothing was lost between the first record and the last; ${counted(counts.never_sent, "tick")} ${counts.never_sent === 1 ? "was" : "were"} never sent.`,
            chart: {
              name: "missing_data",
              datasets: { fates: names.map(([fate, n]) => ({ fate, n })), spans },
              ticks: SPAN_CLOCK(from, to),
              patch: (spec, width) => {
                spec.height = 70 + 38 * names.length;
                spec.padding = { left: 4, top: 6, bottom: 4, right: 52 };
                if (width < 480) spec.encoding.y.axis.labelLimit = 140;
              },
            },
            columns: [column("fate", "what became of it"), column("n_ticks", "ticks", grouped)],
            rows: names.map(([fate, n_ticks]) => ({ fate, n_ticks })),
          };
        }),
      },
      {
        id: "gaps",
        title: "Gaps between what is missing",
        wide: true,
        content: ofRunInView((run) => {
          const missing = ["never_sent", "unrecorded"].flatMap((fate) => (run.missing[fate] || []).flatMap(([tick, length]) => Array.from({ length: Math.min(length, 50) }, (_, place) => [tick + place, fate])));
          missing.sort((a, b) => a[0] - b[0]);
          const gaps = missing.slice(1).map(([tick, fate], place) => ({ at: iso(tickMillis(tick, run.rate)), gap_s: (tick - missing[place][0]) / run.rate, fate: fate === "never_sent" ? "never sent" : "no record" }));
          if (!gaps.length) return { empty: missing.length ? "One tick is missing, so there is no gap." : "No tick between the first record and the last is missing, so there is no gap." };
          const middle = median(gaps.map((each) => each.gap_s)), sizes = gaps.map((each) => each.gap_s);
          const from = Date.parse(gaps[0].at), to = Date.parse(gaps[gaps.length - 1].at);
          return {
            finding: `${counted(missing.length, "tick")} without a record, ${duration(middle)} apart in the median, ${duration(Math.min(...sizes))} to ${duration(Math.max(...sizes))}.`,
            chart: {
              name: "gaps_between_missing",
              datasets: { gaps, levels: [{ gap_s: middle, label: `median ${duration(middle)}` }] },
              ticks: { ticks: Math.max(...sizes) > 240 ? evenTicks(Math.max(...sizes)) : [0, 60, 120, 180].filter((each) => Math.max(...sizes) > 60 && each <= 1.1 * Math.max(...sizes)).concat(Math.max(...sizes) > 60 ? [] : timeTicks(Math.max(...sizes))), ...SPAN_CLOCK(from, to) },
              patch: (spec, width) => {
                narrow(spec, width, 220);
                spec.layer[2].encoding.x.title = "the tick without a record (UTC)";
                if (width < 600) spec.layer.pop();
              },
            },
            columns: [column("at", "tick"), timeColumn("gap_s", "since the one before"), column("fate", "what became of it")],
            rows: gaps,
          };
        }),
      },
    ],
  },
  {
    title: "When and where",
    views: [
      {
        id: "hours",
        title: "Hour of the day and region",
        wide: true,
        controls: () => cellControls(),
        content: ({ chosen, regions }) => {
          if (!chosen) return { empty: NO_RUN };
          const which = state.cell === "p50" ? 1 : 2, cells = [];
          for (const region of regions) {
            for (let hour = 0; hour < 24; hour++) {
              const found = chosen.profiles.filter((each) => each.run.region === region).flatMap((each) => each.hours.filter(([at]) => at === hour).map((each) => each[which] / 10));
              if (found.length) cells.push({ region: regionName(region), hour: String(hour).padStart(2, "0"), n_runs: found.length, delay_s: found.length < METHOD.runs_for_interval ? null : median(found) });
            }
          }
          const values = cells.map((each) => each.delay_s).filter(isKnown), least = Math.min(...values), most = Math.max(...values);
          const few = cells.filter((each) => each.delay_s === null).length;
          const tests = chosen.regions.filter((each) => regions.includes(each.region) && each.hour_p_value !== null);
          const told = tests.map((each) => `p = ${each.hour_p_value < 0.001 ? "0.001 or less" : each.hour_p_value.toFixed(each.hour_p_value < 0.1 ? 3 : 2)} in ${regionName(each.region)}`).join(", ");
          const found = tests.length ? `Does the hour in which a run begins matter? By chance alone medians would differ as much with ${told}.` : `Whether the hour matters cannot be said below ${METHOD.runs_for_interval} runs in each of two hours.`;
          return {
            finding: `${chosen.label}: ${state.cell === "p50" ? "median" : "95 %"} of the delays in an hour, the median over its runs; the number is of the runs. ${values.length ? `From ${duration(least)} to ${duration(most)}. ` : ""}${few ? `Grey: fewer than ${METHOD.runs_for_interval} runs. ` : ""}${found}`,
            chart: {
              name: "hours",
              datasets: { cells: cells.map((each) => ({ ...each, told: each.delay_s === null ? `fewer than ${METHOD.runs_for_interval} runs` : duration(each.delay_s), ink: each.delay_s === null ? "var(--ink)" : each.delay_s > least + 0.45 * (most - least) ? "#ffffff" : "#10212e" })) },
              patch: (spec, width) => {
                if (width < 640) {
                  [spec.encoding.x, spec.encoding.y] = [{ ...spec.encoding.y, axis: { labelAngle: regions.length > 2 ? -30 : 0, orient: "top" } }, { ...spec.encoding.x, title: null }];
                  spec.height = 60 + 22 * new Set(cells.map((each) => each.hour)).size;
                } else spec.height = 62 + 34 * regions.length;
                if (least === most) spec.layer[1].encoding.color.scale.domain = [least - 1, most + 1];
              },
            },
            columns: [column("region", "region"), column("hour", "hour (UTC)"), column("n_runs", "runs"), timeColumn("delay_s", state.cell)],
            rows: cells,
          };
        },
      },
      {
        id: "history",
        title: "History: the median of each run",
        wide: true,
        content: ({ chosen, regions }) => {
          if (!chosen) return { empty: NO_RUN };
          const runs = chosen.profiles.map((each) => ({ run: each.run.id, region: regionName(each.run.region), colour: regionColour(each.run.region), at: iso(each.run.startedAt), p50_s: each.exact.p50, p95_s: each.exact.p95, verdict: each.run.verdict }));
          const shown = runs.filter((each) => isKnown(each.p50_s)).map((each) => ({ ...each, p95_s: isKnown(each.p95_s) ? each.p95_s : each.p50_s, p50: duration(each.p50_s), p95: durationOr(each.p95_s, "not by the deadline") }));
          if (!shown.length) return { empty: "No run of this selection has a median." };
          const isTooFew = regions.every((region) => chosen.profiles.filter((each) => each.run.region === region).length < 2 * METHOD.runs_for_interval);
          const isDense = shown.length > 60, medians = shown.map((each) => each.p50_s), least = Math.min(...medians), most = Math.max(...medians);
          const changes = chosen.regions.filter((each) => regions.includes(each.region)).flatMap((each) => each.changes.map((change) => ({ ...change, region: each.region }))).filter((each) => isIn(each.at));
          const sentence = changes.map((each) => `${regionName(each.region)} on ${day(each.at)}: ${durationOr(each.before_s, "never")} before, ${durationOr(each.after_s, "never")} after (p = ${each.p_value})`).join("; ");
          const from = Date.parse(shown[0].at), to = Date.parse(shown[shown.length - 1].at);
          const voids = DATA.void_runs.filter((each) => regions.includes(each.region || "") && isIn(each.started_at)).map((each) => ({ at: iso(each.started_at), run: each.run_id }));
          return {
            finding: `${chosen.label}, ${counted(shown.length, "run")}: the dot is the median${isDense ? "" : ", the line reaches to 95 %"}. ${changes.length ? `Medians changed in ${sentence}.` : isTooFew ? `A change is looked for from ${2 * METHOD.runs_for_interval} runs of a region on.` : "No change was found, at one false alarm in a hundred looks."}`,
            legend: legendOfRegions(regions),
            chart: {
              name: "history",
              datasets: { runs: isDense ? shown.map((each) => ({ ...each, p95_s: each.p50_s })) : shown, changes: changes.map((each) => ({ at: iso(each.at), colour: regionColour(each.region), label: regionName(each.region) })), void: voids },
              ticks: { ticks: isDense ? ticksBetween(least, most) : evenTicks(Math.max(...shown.map((each) => each.p95_s))) },
              patch: (spec, width) => {
                narrow(spec, width, 300);
                if (isDense) {
                  spec.layer[3].mark.opacity = 0;
                  spec.layer[4].mark.size = 26;
                  spec.layer[4].encoding.y.scale = { domain: [least - 0.08 * (most - least || 1), most + 0.15 * (most - least || 1)], nice: false, zero: false };
                }
                spec.layer[4].encoding.x.axis = { tickCount: width < 500 ? 4 : 8, format: to - from < 2 * DAY ? "%H:%M" : "%d %b" };
              },
            },
            columns: [column("run", "run"), column("region", "region"), column("at", "began"), timeColumn("p50_s", "p50"), timeColumn("p95_s", "p95"), column("verdict", "verdict")],
            rows: runs.map(({ colour, ...row }) => row),
          };
        },
      },
    ],
  },
  {
    title: "From nothing to the first record",
    views: [
      {
        id: "first-delivery",
        title: "First delivery of a new flow log",
        wide: true,
        content: ({ arms }) => {
          const rows = arms.flatMap((arm) => arm.profiles.filter((each) => each.first).map((each) => ({ run: each.run.id, region: regionName(each.run.region), arm: arm.label, colour: arm.colour, status: each.first.status, polls: each.first.polls, last_miss_s: each.first.lastMiss, first_hit_s: each.first.firstHit, first_record_s: each.first.record, first_probe_s: each.first.probe })));
          if (!rows.length) return { empty: arms.length ? "When the flow logs of these runs were created is not known." : NO_RUN };
          const looks = rows.filter((each) => isKnown(each.first_record_s)).map((each, place) => ({ ...each, place, exact: duration(each.first_record_s), last_miss_s: isKnown(each.last_miss_s) ? Math.max(0, each.last_miss_s) : 0, first_hit_s: isKnown(each.first_hit_s) ? each.first_hit_s : each.first_record_s }));
          const told = arms.map((arm) => rows.filter((each) => each.arm === arm.label && isKnown(each.first_record_s)).map((each) => each.first_record_s)).map((values, place) => values.length && `${arms[place].label} ${values.length > 1 ? `${duration(Math.min(...values))} to ${duration(Math.max(...values))}` : duration(values[0])}`).filter(Boolean).join("; ");
          const never = rows.length - looks.length;
          const most = Math.max(1, ...looks.flatMap((each) => [each.first_hit_s, each.first_record_s]));
          return {
            finding: `${told}. The line reaches from the last look that found nothing to the first that found a probe; the dot is the service's own time of the first record, to the millisecond in CloudWatch Logs and to the second in S3.${never ? ` ${counted(never, "flow log")} delivered nothing before the deadline.` : ""}`,
            legend: legendOf(arms),
            chart: looks.length ? { name: "first_delivery", datasets: { looks }, ticks: { ticks: evenTicks(most) }, patch: (spec) => {
              const high = Math.max(90, Math.min(520, 60 + 16 * looks.length));
              spec.height = high;
              if (looks.length > 60) { spec.layer[0].mark.strokeWidth = Math.max(0.6, (high - 60) / looks.length); spec.layer[1].mark.size = 9; }
            } } : null,
            columns: [column("run", "run"), column("region", "region"), column("arm", "flow log"), column("status", "status"), column("polls", "looks"), timeColumn("last_miss_s", "last miss"), timeColumn("first_hit_s", "first hit"), timeColumn("first_record_s", "first record"), timeColumn("first_probe_s", "first probe")],
            rows: rows.map(({ colour, ...row }) => row),
          };
        },
      },
    ],
  },
  {
    title: "What is missing, what it cost, what is left out",
    views: [
      {
        id: "losses",
        title: "Loss ledger",
        wide: true,
        open: true,
        content: ({ arms }) => {
          if (!arms.length) return { empty: NO_RUN };
          const names = { never_sent: "never sent", lost_on_wire: "lost on the wire", not_recorded: "not recorded", expected_missing: "port 0, not sent" };
          const sum = (arm, name) => (arm.profiles.every((each) => each.counts[name] === null) ? null : total(arm.profiles.map((each) => each.counts[name] || 0)));
          const rows = arms.map((arm) => ({ arm: arm.label, colour: arm.colour, n_runs: arm.numbers.runs, ...Object.fromEntries(METHOD.counts.map((name) => [name, sum(arm, name)])) }));
          const losses = rows.flatMap((row) => Object.entries(names).filter(([name]) => row[name] !== null).map(([name, reason]) => ({ arm: row.arm, colour: row.colour, reason, n: row[name], per_10000: (10_000 * row[name]) / (row.ledger_ticks || 1) })));
          const sent = total(rows.map((row) => (row.ledger_ticks || 0) - (row.never_sent || 0) - (row.expected_missing || 0) - (row.after_last_record || 0))), gone = total(rows.map((row) => (row.lost_on_wire || 0) + (row.not_recorded || 0)));
          const shown = Object.keys(names).filter((name) => rows.some((row) => row[name] !== null));
          return {
            finding: losses.length ? `Of ${counted(sent, "packet")} that were sent since the first record of each run, ${gone ? `${grouped(gone)} (${percent(gone / sent)}) have no record` : "every one has its record"}.` : "No ledger says what was sent, so that nobody can say what is missing.",
            legend: legendOf(arms),
            chart: losses.length ? { name: "losses", datasets: { losses }, patch: (spec, width) => { spec.height = 50 + shown.length * Math.max(30, 15 * arms.length + 10); spec.padding = { left: 4, top: 6, bottom: 4, right: 40 }; spec.encoding.x.scale.domainMax = 1.05 * Math.max(1, ...losses.map((each) => each.per_10000)); if (width < 480) spec.encoding.y.axis.labelLimit = 100; } } : null,
            columns: [column("arm", "flow log"), column("n_runs", "runs"), column("ledger_ticks", "ticks", grouped), column("observed", "recorded", grouped), ...Object.entries(names).map(([name, title]) => column(name, title, grouped)), column("duplicates", "duplicates", grouped), column("before_first_record", "before first record", grouped), column("unparsable", "in quarantine", grouped)].map((each) => (each.name === "arm" ? each : { ...each, right: true })),
            rows: rows.map(({ colour, ...row }) => row),
            all: ["arm", "n_runs", ...METHOD.counts],
          };
        },
      },
      {
        id: "cost",
        title: "Cost",
        content: ({ runs, regions }) => {
          if (!runs.length) return { empty: NO_RUN };
          const priced = runs.filter((run) => run.cost !== null).sort((a, b) => a.startedAt - b.startedAt);
          if (!priced.length) return { empty: DATA.source === "aws" ? "No price is known of these runs." : "Nothing here was bought of AWS. What a campaign would cost there, flowlag estimate tells." };
          const sums = {}, costs = priced.map((run) => ({ run: run.id, region: regionName(run.region), colour: regionColour(run.region), at: iso(run.startedAt), cost_usd: run.cost, usd: (sums[run.region] = (sums[run.region] || 0) + run.cost) }));
          const dollars = (number) => `$${number.toFixed(number < 0.1 ? 4 : 2)}`, all = total(priced.map((run) => run.cost));
          const from = priced[0].startedAt, to = priced[priced.length - 1].startedAt;
          return {
            finding: `${dollars(all)} at list prices for ${counted(priced.length, "run")}, ${dollars(all / priced.length)} a run; a run's flow logs share it.`,
            legend: legendOfRegions(regions),
            chart: { name: "cost", datasets: { costs }, patch: (spec, width) => { spec.encoding.x.axis = { tickCount: width < 500 ? 3 : 6, format: to - from < 2 * DAY ? "%H:%M" : "%d %b" }; } },
            columns: [column("run", "run"), column("region", "region"), column("at", "began"), { name: "cost_usd", title: "cost", show: dollars, right: true }, { name: "usd", title: "so far in the region", show: dollars, right: true }],
            rows: costs.map(({ colour, ...row }) => row),
          };
        },
      },
      {
        id: "left-out",
        title: "Runs left out, and runs with reservations",
        open: true,
        content: ({ runs }) => {
          const regions = chosenRegions();
          const voids = DATA.void_runs.filter((each) => regions.includes(each.region || "") || !REGIONS.includes(each.region || "")).filter((each) => isIn(each.started_at)).map((each) => ({ run: each.run_id, region: regionName(each.region), at: minute(each.started_at), verdict: "void", reasons: each.reasons.join("; ") }));
          const partial = runs.filter((run) => run.verdict === "partial").map((run) => ({ run: run.id, region: regionName(run.region), at: minute(run.startedAt), verdict: "partial", reasons: run.reasons.join("; ") }));
          return {
            finding: `${voids.length ? `${counted(voids.length, "void run")}: kept, and part of no number.` : "No run is void."} ${partial.length ? `${counted(partial.length, "run")} ${partial.length === 1 ? "is" : "are"} partial: used, with reasons beside ${partial.length === 1 ? "it" : "them"}.` : ""}`,
            columns: [column("run", "run"), column("region", "region"), column("at", "began"), column("verdict", "verdict"), column("reasons", "reasons")],
            rows: [...voids, ...partial],
          };
        },
      },
    ],
  },
];

const windowColumns = [column("sent_first", "first sent"), column("sent_last", "last sent"), column("window_start", "label (start)"), column("ingested_at", "delivered"), timeColumn("delay_first_s", "delay of the first"), timeColumn("delay_last_s", "of the last"), { name: "error_first_s", title: "error of the first, s" }, { name: "error_last_s", title: "of the last, s" }];

/** A chart of its full height, and one that is lower and has fewer marks where the page is narrow. */
function narrow(spec, width, height) {
  spec.height = width < 600 ? Math.round(0.8 * height) : height;
  if (width < 600) for (const param of spec.params || []) if (param.name === "clocks") param.value = Math.min(param.value, 4);
}

/** Where packets have records: unbroken between windows that are less than a window apart, and cut where ticks are missing. */
function recordedSpans(windows, run) {
  const spans = windows.map((each) => [Date.parse(each.sent_first), Date.parse(each.sent_last) + 1000 / run.rate]).sort((a, b) => a[0] - b[0]);
  const joined = [];
  for (const [first, end] of spans) {
    const last = joined[joined.length - 1];
    if (last && first - last[1] <= 2000 / run.rate) last[1] = Math.max(last[1], end);
    else joined.push([first, end]);
  }
  return joined;
}
