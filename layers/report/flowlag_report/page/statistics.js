// ---------------------------------------------------------------- the statistics of flowlag_stats, on knots
const SLACK = 1e-9;

/** Delays of one arm in one run: `delivered` values spread evenly between knots, and missing ones later than all. */
class Sample {
  constructor(knots, delivered, missing) {
    this.knots = knots;
    this.delivered = delivered;
    this.missing = missing;
    this.packets = delivered + missing;
  }

  /** The value at an index, ascending; beyond what was delivered it is infinite. */
  at(index) {
    if (index >= this.delivered) return Infinity;
    return this.between(this.delivered === 1 ? 0 : index / (this.delivered - 1));
  }

  between(share) {
    const last = SHARES.length - 1;
    if (share >= 1) return this.knots[last];
    let piece = Math.min(Math.floor(share * 40), last - 1);
    while (SHARES[piece + 1] <= share) piece++;
    while (SHARES[piece] > share) piece--;
    const slope = (this.knots[piece + 1] - this.knots[piece]) / (SHARES[piece + 1] - SHARES[piece]);
    return slope * (share - SHARES[piece]) + this.knots[piece];
  }

  /** Put the values from one index to another into an array, and return where they end there. */
  fill(values, place, begin, end) {
    const { knots, delivered } = this;
    for (let index = begin, piece = 0; index < end; index++, place++) {
      const share = delivered === 1 ? 0 : index / (delivered - 1);
      if (share >= 1) {
        values[place] = knots[knots.length - 1];
        continue;
      }
      while (SHARES[piece + 1] <= share) piece++;
      const slope = (knots[piece + 1] - knots[piece]) / (SHARES[piece + 1] - SHARES[piece]);
      values[place] = slope * (share - SHARES[piece]) + knots[piece];
    }
    return place;
  }

  /** How many values are not above x. */
  upTo(x) {
    const { knots, delivered } = this, last = knots.length - 1;
    if (!delivered || x < knots[0]) return 0;
    if (x >= knots[last]) return delivered;
    let low = 0, high = last;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (knots[middle] <= x) low = middle;
      else high = middle;
    }
    const share = SHARES[low] + ((x - knots[low]) / (knots[high] - knots[low])) * (SHARES[high] - SHARES[low]);
    let count = Math.min(delivered, Math.floor(share * (delivered - 1)) + 1);
    while (count < delivered && this.at(count) <= x) count++;
    while (count > 0 && this.at(count - 1) > x) count--;
    return count;
  }

  /** The type-7 percentile, missing ones in the denominator. */
  percentile(share) {
    return atPlace((index) => this.at(index), this.delivered, share * (this.packets - 1));
  }
}

function neighbours(place) {
  return [Math.floor(place + SLACK), Math.ceil(place - SLACK)];
}

function atPlace(value, length, place) {
  const [below, above] = neighbours(place);
  if (!(0 <= below && below <= above && above < length)) return Infinity;
  const low = value(below), high = value(above);
  return low + (high - low) * (place - below);
}

/** How many of some ascending values are not above x. */
function upperBound(values, x) {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] <= x) low = middle + 1;
    else high = middle;
  }
  return low;
}

const total = (values) => values.reduce((sum, each) => sum + each, 0);

/** The percentile of all probes of all runs, and what it would be without each of the runs. */
function pooled(samples, share, withEach = true) {
  const packets = total(samples.map((each) => each.packets));
  const place = share * (packets - 1);
  const places = withEach ? samples.map((each) => share * (packets - each.packets - 1)) : [];
  let lowest = place, highest = place;
  places.forEach((each, run) => {
    lowest = Math.min(lowest, each);
    highest = Math.max(highest, each + samples[run].packets);
  });
  const [low, high] = bracket(samples, Math.floor(lowest), Math.ceil(highest));
  const begins = samples.map((each) => each.upTo(low)), ends = samples.map((each) => each.upTo(high));
  const values = new Float64Array(total(ends) - total(begins));
  let filled = 0;
  samples.forEach((each, run) => { filled = each.fill(values, filled, begins[run], ends[run]); });
  values.sort();
  const before = total(begins);
  const all = atPlace((index) => values[index], values.length, place - before);
  const without = places.map((each, run) => {
    const own = (x) => samples[run].upTo(x) - begins[run];
    const rank = (index) => {
      let from = 0, to = values.length - 1;
      while (from < to) {
        const middle = (from + to) >> 1;
        if (upperBound(values, values[middle]) - own(values[middle]) > index) to = middle;
        else from = middle + 1;
      }
      return values[from];
    };
    return atPlace(rank, values.length - (ends[run] - begins[run]), each - (before - begins[run]));
  });
  return { all, without };
}

/** Bounds between which the values of some ranks lie: not below the first, and up to the second. */
function bracket(samples, lowest, highest) {
  const filled = samples.filter((each) => each.delivered);
  const count = (x) => total(filled.map((each) => each.upTo(x)));
  let least = Infinity, most = -Infinity;
  for (const { knots } of filled) {
    least = Math.min(least, knots[0]);
    most = Math.max(most, knots[knots.length - 1]);
  }
  const halve = (isBelow) => {
    let low = least - 1, high = most;
    for (let step = 0; step < 18; step++) {
      const middle = (low + high) / 2;
      if (isBelow(count(middle))) low = middle;
      else high = middle;
    }
    return [low, high];
  };
  return [halve((found) => found <= lowest)[0], halve((found) => found <= highest)[1]];
}

/** The 95 % interval of the percentile, runs being what was sampled; null below five. */
function interval(samples, share) {
  const runs = samples.length;
  if (runs < METHOD.runs_for_interval) return null;
  const { all, without } = pooled(samples, share);
  const own = samples.map((each) => each.percentile(share));
  if (![all, ...without, ...own].every(Number.isFinite)) return null;
  const jackknife = Math.sqrt(((runs - 1) / runs) * squares(without));
  const spread = Math.sqrt(squares(own) / (runs - 1)) / Math.sqrt(runs);
  const half = METHOD.t[runs - METHOD.runs_for_interval] * Math.max(jackknife, spread);
  return [all - half, all + half];
}

/** The sum of squared distances from the mean. */
function squares(values) {
  const mean = total(values) / values.length;
  return values.reduce((sum, each) => sum + (each - mean) ** 2, 0);
}

function median(values) {
  const ordered = [...values].sort((a, b) => a - b), middle = ordered.length / 2;
  return ordered.length % 2 ? ordered[Math.floor(middle)] : (ordered[middle - 1] + ordered[middle]) / 2;
}

// ---------------------------------------------------------------- service level
/** The bound within which a share of all flows is visible, from one random probe of each run. */
function serviceLevel(probes) {
  const { share, confidence, runs_needed: needed } = METHOD.slo;
  const ordered = [...probes].sort((a, b) => a - b), missing = Math.max(0, needed - ordered.length);
  const found = missing ? Infinity : ordered[orderOf(ordered.length, share, confidence) - 1];
  return { bound: found, missing, undelivered: probes.filter((each) => each === Infinity).length };
}

function orderOf(runs, share, confidence) {
  const factorials = [0];
  for (let number = 1; number <= runs; number++) factorials.push(factorials[number - 1] + Math.log(number));
  const probability = (early) =>
    Math.exp(factorials[runs] - factorials[early] - factorials[runs - early] + early * Math.log(share) + (runs - early) * Math.log1p(-share));
  let order = runs + 1;
  for (let doubt = probability(runs); doubt <= 1 - confidence + 1e-12; doubt += probability(order - 1)) order--;
  return order;
}

function serviceSentence(probes) {
  const { share, confidence } = METHOD.slo, found = serviceLevel(probes);
  const sure = `${Number((100 * confidence).toPrecision(6))} %`, flows = `${Number((100 * share).toPrecision(6))} %`;
  if (Number.isFinite(found.bound)) return `With ${sure} confidence, ${flows} of flows are visible within ${durationAtMost(found.bound)}.`;
  const unknown = `Within what time ${flows} of flows are visible cannot be stated with ${sure} confidence`;
  if (found.missing) return `${unknown} yet: ${found.missing === 1 ? "1 more run is" : `${found.missing} more runs are`} needed.`;
  return `${unknown}: of ${probes.length} random probes, one of each run, ${found.undelivered} did not come by the deadline.`;
}

// ---------------------------------------------------------------- look-back
/** The share of all sent probes that a rule misses which runs every so often over so much. */
function missedShare(samples, every, within) {
  const upTo = (left) => {
    const inside = Math.min(Math.max(left, 0), every);
    return (inside * inside) / (2 * every) + Math.max(left - every, 0);
  };
  let seen = 0;
  for (const { knots, delivered } of samples) {
    for (let piece = 0; piece + 1 < knots.length; piece++) {
      const begin = knots[piece], width = knots[piece + 1] - begin;
      const certain = width > 0
        ? (upTo(within - begin) - upTo(within - begin - width)) / width
        : Math.min(Math.max((within - begin) / every, 0), 1);
      seen += certain * delivered * (SHARES[piece + 1] - SHARES[piece]);
    }
  }
  return Math.max(0, 1 - seen / total(samples.map((each) => each.packets)));
}
