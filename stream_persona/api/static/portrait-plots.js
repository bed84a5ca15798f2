// A persona's confidence and calibration: functions of data and a size alone.

import { HALVES, columns, countAxis, inset, rows, scale, uprightLimit } from "./axes.js";
import { line, segment, shape } from "./svg.js";
import { colour, count, percent } from "./words.js";

const MARGIN = { left: 44, right: 20, top: 20, bottom: 26 };
/** The share of its bin that a bar is wide, and pixels within which a dot is pointed at. */
const BAR = 0.84;
const NEAR = 28;

/** The histogram of confidence, in twenty bins, and the threshold of ambiguity. */
export function confidencePlot({ persona, edges, counts, threshold }, size) {
  const place = inset(size, MARGIN);
  const axis = countAxis(Math.max(...counts));
  const x = scale(0, 1, place.left, place.right);
  const y = scale(0, axis.top, place.bottom, place.top);
  const bars = counts.map((n, i) => {
    const width = BAR * (x(edges[i + 1]) - x(edges[i]));
    const left = (x(edges[i]) + x(edges[i + 1]) - width) / 2;
    const [top, height] = [y(n), place.bottom - y(n)];
    return shape("rect", { x: left, y: top, width, height, fill: colour(persona) });
  });
  const limit = threshold === null ? [] : uprightLimit(place, size, threshold, x);
  const find = (px) => {
    const i = counts.findIndex((_, bin) => px >= x(edges[bin]) && px < x(edges[bin + 1]));
    if (i < 0) return null;
    const range = `${Math.round(100 * edges[i])} to ${Math.round(100 * edges[i + 1])}\u00a0%`;
    return { rows: [{ name: `${range} sure`, text: count(counts[i]) }] };
  };
  return {
    shapes: [
      ...rows(place, axis.ticks, y),
      ...columns(place, size, HALVES.ticks, x),
      ...bars,
      ...limit,
    ],
    find,
  };
}

/** The reliability diagram: accuracy over confidence; on the diagonal both are equal. */
export function reliabilityPlot({ persona, bins }, size) {
  const place = inset(size, MARGIN);
  const x = scale(0, 1, place.left, place.right);
  const y = scale(0, 1, place.bottom, place.top);
  const most = Math.max(...bins.map((bin) => bin.trials));
  const points = bins.map((bin) => [x(bin.confidence), y(bin.accuracy)]);
  const dots = bins.map(({ trials }, i) =>
    shape("circle", {
      cx: points[i][0],
      cy: points[i][1],
      r: 2.5 + 5.5 * Math.sqrt(trials / most),
      class: "bubble",
      fill: colour(persona),
    }),
  );
  const find = (px, py) => {
    const away = points.map(([left, top]) => Math.hypot(left - px, top - py));
    const i = away.indexOf(Math.min(...away));
    if (i < 0 || away[i] > NEAR) return null;
    const { confidence, accuracy, trials } = bins[i];
    const name = `${percent(confidence)} sure, ${percent(accuracy)} right`;
    return { rows: [{ name, text: `of ${count(trials)}` }] };
  };
  return {
    shapes: [
      ...rows(place, HALVES.ticks, y),
      ...columns(place, size, HALVES.ticks, x),
      segment(x(0), y(0), x(1), y(1), { class: "limit" }),
      shape("path", { d: line(points), class: "thread" }),
      ...dots,
    ],
    find,
  };
}
