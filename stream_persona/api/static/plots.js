// Charts over time: functions of data and a size alone.

import {
  HALVES,
  QUARTERS,
  columns,
  countAxis,
  figureAxis,
  inset,
  levelLimit,
  nearest,
  rows,
  scale,
  timeTicks,
} from "./axes.js";
import { area, line, shape, steps, under } from "./svg.js";
import { clock, colour, count, day, decimals, modelName, percent, title } from "./words.js";

/** The axes of times and values, the grid behind them, and how both become pixels. */
function frame(at, { top, ticks }, size, margin) {
  const place = inset(size, margin);
  const x = scale(at[0], at.at(-1), place.left, place.right);
  const y = scale(0, top, place.bottom, place.top);
  const times = timeTicks(at[0], at.at(-1), size.width);
  const time = scale(place.left, place.right, at[0], at.at(-1));
  const shapes = [...rows(place, ticks, y), ...columns(place, size, times, x)];
  return { place, x, y, time, shapes };
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

// --- the mix over time ---

/** Layers of personas, the taxonomy's first at the bottom, ambiguous on top. */
export function mixPlot({ at, layers, isShare, gaps }, size) {
  const totals = at.map((_, i) => sum(layers.map(({ counts }) => counts[i])));
  const axis = isShare ? QUARTERS : countAxis(Math.max(...totals));
  const { place, x, y, time, shapes } = frame(at, axis, size);
  const share = (n, i) => (totals[i] ? n / totals[i] : 0);
  const value = (n, i) => (isShare ? share(n, i) : n);
  let below = at.map(() => 0);
  const edge = (heights) => heights.map((n, i) => [x(at[i]), y(value(n, i))]);
  for (const { persona, counts } of layers) {
    const above = below.map((n, i) => n + counts[i]);
    const d = area(edge(above), edge(below));
    shapes.push(shape("path", { d, class: "layer", fill: colour(persona) }));
    below = above;
  }
  shapes.push(...gaps.map((each) => gap(each, place, x)));
  const find = (px) => {
    const i = nearest(at, time(px));
    if (gaps.some(([from, to]) => at[i] > from && at[i] < to)) return null;
    const found = layers
      .filter(({ counts }) => counts[i] > 0)
      .map(({ persona, counts }) => ({
        colour: colour(persona),
        name: title(persona),
        text: isShare ? percent(share(counts[i], i)) : count(counts[i]),
      }));
    return { title: clock(at[i]), rows: found.reverse(), x: x(at[i]) };
  };
  return { shapes, find };
}

/** Times without data are left blank. */
function gap([from, to], { top, bottom }, x) {
  const [left, right] = [x(from), x(to)];
  return shape("rect", {
    x: left,
    y: top,
    width: Math.max(0, right - left),
    height: bottom - top,
    class: "gap",
  });
}

// --- lines ---

/** One line for each persona that was ever likely, as steps, and the threshold. */
export function posteriorPlot({ at, lines, threshold }, size) {
  const { place, x, y, time, shapes } = frame(at, HALVES, size);
  for (const { persona, shares } of lines)
    shapes.push(
      shape("path", {
        d: steps(shares.map((each, i) => [x(at[i]), y(each)])),
        class: "curve",
        stroke: colour(persona),
      }),
    );
  if (threshold !== null) shapes.push(...levelLimit(place, threshold, y));
  /** A statement holds until the next. */
  const find = (px) => {
    const i = Math.max(
      0,
      at.findLastIndex((each) => each <= time(px)),
    );
    const found = lines.map(({ persona, shares }) => ({
      colour: colour(persona),
      name: title(persona),
      text: percent(shares[i]),
      share: shares[i],
    }));
    const sorted = found.sort((a, b) => b.share - a.share);
    return { title: `${day(at[i])}, ${clock(at[i])}`, rows: sorted, x: x(at[i]) };
  };
  return { shapes, find };
}

const DASHES = { dash: "8 6", dotted: "2 4" };

/** Figures of models over time; gaps stay gaps. */
export function linesPlot({ at, lines }, size) {
  const known = lines.flatMap(({ values }) => values.filter((value) => value !== null));
  const { x, y, time, shapes } = frame(at, figureAxis(Math.max(...known)), size);
  for (const { values, tone, dash } of lines)
    shapes.push(
      shape("path", {
        d: line(values.map((value, i) => [x(at[i]), value === null ? null : y(value)])),
        class: "curve",
        stroke: tone,
        "stroke-dasharray": DASHES[dash],
      }),
    );
  const find = (px) => {
    const i = nearest(at, time(px));
    const found = lines
      .filter(({ values }) => values[i] !== null)
      .map(({ name, values, tone }) => ({
        colour: tone,
        name: modelName(name),
        text: decimals(values[i], 3),
      }));
    return found.length ? { title: clock(at[i]), rows: found, x: x(at[i]) } : null;
  };
  return { shapes, find };
}

/** A line without axes, below a figure. */
export function sparkPlot({ values, tone }, { width, height }) {
  const x = scale(0, values.length - 1, 1, width - 1);
  const peak = Math.max(...values.filter((value) => value !== null), 1e-9);
  const y = scale(0, 1.08 * peak, height - 1, 2);
  const points = values.map((value, i) => [x(i), value === null ? null : y(value)]);
  return {
    shapes: [
      shape("path", { d: under(points, height - 1), class: "spark-area", fill: tone }),
      shape("path", { d: line(points), class: "spark-line", stroke: tone }),
    ],
  };
}
