// What charts share: scales, ticks that people count in, the grid, the threshold's line.

import { segment, text } from "./svg.js";
import { count, percent } from "./words.js";

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const SECONDS = [1, 2, 5, 10, 15, 30].map((seconds) => seconds * SECOND_MS);
const MINUTES = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720].map((each) => each * MINUTE_MS);
const DAYS = [1, 2, 7, 14, 30, 60, 91, 182, 365];
const MOST_DAYS = 4;
/** Pixels of the letters of a tick. */
const LETTER = 6.5;

const minuteFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const secondFormat = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const dayFormat = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short" });
const compact = new Intl.NumberFormat("en", { notation: "compact" });

/** The place within a figure of what is drawn between its axes. */
export const inset = ({ width, height }, { left = 44, right = 8, top = 8, bottom = 28 } = {}) => ({
  left,
  right: Math.max(width - right, left + 1),
  top,
  bottom: height - bottom,
});

/** Map values from `from` to `to` to pixels. */
export function scale(from, to, start, end) {
  const slope = to === from ? 0 : (end - start) / (to - from);
  return (value) => start + (value - from) * slope;
}

/** The place in ascending values that is next to one. */
export function nearest(values, value) {
  const after = values.findIndex((each) => each >= value);
  if (after <= 0) return after < 0 ? values.length - 1 : 0;
  return value - values[after - 1] < values[after] - value ? after - 1 : after;
}

// --- ticks ---

/** Ticks of time in the reader's own: never two of one text. */
export function timeTicks(from, to, width) {
  const most = width < 420 ? 4 : 8;
  if (to - from > DAY_MS) return dayTicks(from, to);
  const step = [...SECONDS, ...MINUTES].find((each) => (to - from) / each <= most);
  const shift = MINUTE_MS * new Date(from).getTimezoneOffset();
  const format = step < MINUTE_MS ? secondFormat : minuteFormat;
  const ticks = [];
  for (let at = Math.ceil((from - shift) / step) * step + shift; at <= to; at += step)
    ticks.push({ at, text: format.format(at) });
  return ticks;
}

function dayTicks(from, to) {
  const days = (to - from) / DAY_MS;
  const step = DAYS.find((each) => days / each <= MOST_DAYS) ?? Math.ceil(days / MOST_DAYS);
  const day = new Date(from);
  day.setHours(24, 0, 0, 0);
  const ticks = [];
  for (; day.getTime() <= to; day.setDate(day.getDate() + step))
    ticks.push({ at: day.getTime(), text: dayFormat.format(day) });
  return ticks;
}

/** Round steps from 0 on, about `most` of them. */
function stepTo(top, most) {
  const digit = 10 ** Math.floor(Math.log10(top / most));
  return [1, 2, 5, 10].map((each) => each * digit).find((each) => top / each <= most);
}

const ticksTo = (top, step, write) =>
  Array.from({ length: Math.floor(top / step + 1e-9) + 1 }, (_, i) => ({
    at: i * step,
    text: write(i * step),
  }));

/** An axis of whole numbers from 0 to over the greatest: no half shoppers. */
export function countAxis(greatest) {
  const top = Math.max(1, 1.05 * greatest);
  const write = top < 10_000 ? count : (n) => compact.format(n);
  return { top, ticks: ticksTo(top, Math.max(1, stepTo(top, 4)), write) };
}

/** An axis of figures from 0 to over the greatest, with as many digits as the steps need. */
export function figureAxis(greatest) {
  const top = 1.05 * greatest || 1;
  const step = stepTo(top, 5);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return { top, ticks: ticksTo(top, step, (each) => each.toFixed(digits)) };
}

const shares = (list) => list.map((at) => ({ at, text: `${100 * at}\u00a0%` }));
/** Axes of shares, from 0 to 1. */
export const HALVES = { top: 1, ticks: shares([0, 0.5, 1]) };
export const QUARTERS = { top: 1, ticks: shares([0, 0.25, 0.5, 0.75, 1]) };

// --- what is drawn of them ---

/** Lines across, and their figures at the left. */
export const rows = ({ left, right }, ticks, y) =>
  ticks.flatMap(({ at, text: content }) => [
    segment(left, y(at), right, y(at), { class: "grid" }),
    text(left - 7, y(at) + 4, content, { class: "tick", "text-anchor": "end" }),
  ]);

/** Texts below; those at either end stay within the figure. */
export const columns = ({ right, bottom }, { width }, ticks, x) =>
  ticks
    .filter(({ at }) => x(at) <= right + 1)
    .map(({ at, text: content }) => {
      const half = (LETTER * content.length) / 2;
      const middle = Math.min(Math.max(x(at), half), width - half);
      return text(middle, bottom + 18, content, { class: "tick", "text-anchor": "middle" });
    });

/** The threshold, upright, with its name above it. */
export function uprightLimit({ top, bottom }, { width }, threshold, x) {
  const name = `threshold ${percent(threshold)}`;
  const half = (LETTER * name.length) / 2;
  const middle = Math.min(Math.max(x(threshold), half), width - half);
  return [
    segment(x(threshold), top, x(threshold), bottom, { class: "limit" }),
    text(middle, top - 6, name, { class: "tick", "text-anchor": "middle" }),
  ];
}

/** The threshold, level, with its name on it. */
export const levelLimit = ({ left, right }, threshold, y) => [
  segment(left, y(threshold), right, y(threshold), { class: "limit" }),
  text(left + 4, y(threshold) - 5, `threshold ${percent(threshold)}`, { class: "tick named" }),
];
