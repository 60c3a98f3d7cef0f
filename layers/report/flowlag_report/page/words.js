// ---------------------------------------------------------------- numbers and names as people read them
const MINUS = "\u2212";

/** To the nearest second, below ten to a tenth: 5.4 s, 18 s, 5 min 26 s, 1 h 10 min. As `words.duration`. */
function duration(seconds) {
  const size = Math.abs(seconds), tenths = Math.round(10 * size);
  const sign = seconds < 0 && tenths ? MINUS : "";
  return sign + (tenths < 100 ? `${(tenths / 10).toFixed(1)} s` : inParts(Math.round(size)));
}

/** In whole seconds, rounded up as a bound must be. */
const durationAtMost = (seconds) => inParts(Math.ceil(seconds)) || "0 s";

function inParts(whole) {
  const parts = [[Math.floor(whole / 3600), "h"], [Math.floor(whole / 60) % 60, "min"], [whole % 60, "s"]];
  return parts.filter(([number]) => number).map(([number, unit]) => `${number} ${unit}`).join(" ");
}

/** From one duration to another in little room: 5.2 s \u2013 11 s, 5:39 \u2013 5:42 min, 0:59:30 \u2013 1:10:00 h. */
function span(low, high) {
  if (high < 60) return `${duration(low)} \u2013 ${duration(high)}`;
  const withHours = high >= 3600;
  const clock = (seconds) => {
    const whole = Math.round(Math.abs(seconds)), two = (number) => String(number).padStart(2, "0");
    const minutes = withHours ? `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}` : Math.floor(whole / 60);
    return `${seconds < 0 ? MINUS : ""}${minutes}:${two(whole % 60)}`;
  };
  return `${clock(low)} \u2013 ${clock(high)} ${withHours ? "h" : "min"}`;
}

/** A duration, or that there is none. */
const durationOr = (seconds, otherwise) => (isKnown(seconds) ? duration(seconds) : otherwise);

const isKnown = (number) => typeof number === "number" && Number.isFinite(number);

const grouped = (number) => String(number).replace(/\B(?=(\d{3})+(?!\d))/g, ",");

/** 9,999 packets, 1 run. */
const counted = (number, noun) => `${grouped(number)} ${noun}${number === 1 ? "" : "s"}`;

/** A share: 29.0 %, 0.13 %, 0 %. */
function percent(share) {
  if (!isKnown(share)) return "\u2013";
  const hundredths = 100 * share;
  if (hundredths < 1e-9) return "0 %";
  if (hundredths < 0.01) return "< 0.01 %";
  const text = hundredths.toFixed(hundredths < 1 ? 2 : 1);
  return `${hundredths < 100 && Number(text) === 100 ? "99.9" : text.replace(/^100\.0$/, "100")} %`;
}

const iso = (millis) => new Date(millis).toISOString();
const day = (millis) => iso(millis).slice(0, 10);
const minute = (millis) => `${iso(millis).slice(0, 16).replace("T", " ")} UTC`;

/** How long ago, in one unit. */
function ago(millis, now) {
  const seconds = Math.max(0, (now - millis) / 1000);
  const [size, unit] = [[86400, "day"], [3600, "hour"], [60, "minute"]].find(([each]) => seconds >= each) || [1, "second"];
  return `${counted(Math.floor(seconds / size), unit)} ago`;
}

/** The answer in a sentence; as `words.answer`. */
function answerOf(place, to, delay, runs) {
  const begin = place ? `In ${place}, half` : "Half";
  const half = isKnown(delay.p50) ? `were visible ${duration(delay.p50)} after the packet` : "were not visible by the deadline";
  const most = isKnown(delay.p95) ? `95 % after ${duration(delay.p95)}` : "95 % not by the deadline";
  const longest = isKnown(delay.max) ? `; longest ${duration(delay.max)}` : "";
  return `${begin} of the flow records to ${to} ${half}, ${most}${longest}; from ${counted(runs, "run")}.`;
}

const regionName = (region) => region || "region not known";
