// From the API's history to what charts show: windows, fewer points, gaps, sums.

import { AMBIGUOUS, names, percent, plural, title } from "./words.js";

const MOST_POINTS = 360;
/** With fewer samples no line is drawn. */
export const FEWEST = 3;

/** Every k-th index, the newest included, so that there are at most `MOST_POINTS`. */
function thinned(length) {
  const step = Math.max(1, Math.ceil(length / MOST_POINTS));
  const kept = [];
  for (let i = length - 1; i >= 0; i -= step) kept.unshift(i);
  return kept;
}

const isNumber = (value) => typeof value === "number";
const pick = (values, kept) => kept.map((i) => values?.[i] ?? null);

/** The layers of the mix; unknown values are carried forward, under a gap that covers them. */
export function mixSeries(history, isShare) {
  const kept = thinned(history.at.length);
  const at = pick(history.at, kept);
  const raw = [...names().map((name) => [name, history.mix[name]]), [null, history.ambiguous]];
  const layers = raw.map(([persona, values]) => ({ persona, counts: pick(values, kept) }));
  const isKnown = at.map((_, i) => layers.some(({ counts }) => counts[i] !== null));
  const gaps = spans(isKnown).map(([a, b]) => [
    at[Math.max(a - 1, 0)],
    at[Math.min(b + 1, at.length - 1)],
  ]);
  for (const layer of layers) layer.counts = carried(layer.counts);
  return {
    at,
    layers,
    isShare,
    gaps: [
      ...gaps,
      ...silences(at, history.step_seconds * 1_000 * Math.ceil(history.at.length / MOST_POINTS)),
    ],
  };
}

function carried(values) {
  let last = 0;
  return values.map((value) => (last = value ?? last));
}

/** Runs of unknown values, as first and last index. */
function spans(isKnown) {
  const found = [];
  isKnown.forEach((known, i) => {
    if (known) return;
    if (found.at(-1)?.[1] === i - 1) found.at(-1)[1] = i;
    else found.push([i, i]);
  });
  return found;
}

/** Steps that are missing altogether: no process was there to store them. */
function silences(at, step) {
  const found = [];
  for (let i = 1; i < at.length; i += 1)
    if (at[i] - at[i - 1] > 3.5 * step) found.push([at[i - 1], at[i]]);
  return found;
}

export function mixSummary({ at, layers }) {
  const last = layers.map(({ persona, counts }) => [persona, counts.at(-1) ?? 0]);
  const total = last.reduce((sum, [, n]) => sum + n, 0);
  const first = [...last].sort((a, b) => b[1] - a[1]).slice(0, 3);
  const shares = first.map(([persona, n]) => `${title(persona)} ${percent(total ? n / total : 0)}`);
  const now = `${shares.join(", ")}, of ${plural(total, "shopper")}`;
  return `The mix of personas over ${duration(at)}. Now: ${now}.`;
}

function duration(at) {
  const minutes = Math.round((at.at(-1) - at[0]) / 60_000);
  return minutes >= 120
    ? `${Math.round(minutes / 60)} hours`
    : plural(Math.max(minutes, 1), "minute");
}

/** Lines over time, from when the first of them begins. */
export function lineSeries(history, lines) {
  const begins = history.at.findIndex((_, i) => lines.some(({ values }) => isNumber(values?.[i])));
  const kept = thinned(history.at.length).filter((i) => i >= begins);
  const shown = lines.map((each) => ({ ...each, values: pick(each.values, kept) }));
  const known = shown.filter(
    ({ values }) => values.filter((value) => value !== null).length >= FEWEST,
  );
  return known.length ? { at: pick(history.at, kept), lines: known } : null;
}

/** The last values of a key, for a small line; null while there are too few. */
export function sparkSeries(values, tone = "var(--accent)") {
  const kept = pick(values ?? [], thinned((values ?? []).length).slice(-120));
  return kept.filter((value) => value !== null).length < FEWEST ? null : { values: kept, tone };
}

/** Flows by size, with the personas at either side in the taxonomy's order, ambiguous last. */
export function flowSeries(flows) {
  const order = [...names(), null];
  const side = (key) => order.filter((name) => flows.some((each) => each[key] === name));
  const shown = flows.filter((each) => order.includes(each.from) && order.includes(each.to));
  return shown.length ? { sources: side("from"), targets: side("to"), flows: shown } : null;
}

export function flowSummary(flows) {
  const total = flows.reduce((sum, each) => sum + each.count, 0);
  const most = [...flows].sort((a, b) => b.count - a.count)[0];
  const name = (persona) => (persona === null ? AMBIGUOUS.toLowerCase() : title(persona));
  const where = `from ${name(most.from)} to ${name(most.to)} (${most.count})`;
  return `${plural(total, "move")} between personas in the last hour; most of them ${where}.`;
}
