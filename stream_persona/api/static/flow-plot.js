// Flows between personas: a function of data and a size alone.

import { band, shape, text } from "./svg.js";
import { colour, count, short, title } from "./words.js";

export const FLOWS_HEIGHT = 340;
const EDGE = 4;
const INSET = 8;
const THICK = 12;
/** Pixels between two nodes: enough for the texts beside them; and those of a letter, about. */
const PAD = 12;
const LETTER = 9;

/** Draw flows from left to right: from the previous to the current persona. */
export function flowPlot({ sources, targets, flows }, { width, height }) {
  const one = heightOfOne(flows, Math.max(sources.length, targets.length), height);
  const left = column(sources, "from", flows, one, height);
  const right = column(targets, "to", flows, one, height);
  const tips = new Map();
  const bands = ribbons(flows, sources, targets, left, right).map(({ flow, from, to }) => {
    const d = band(EDGE + THICK, from, width - EDGE - THICK, to);
    const element = shape("path", { d, class: "flow", fill: colour(flow.from) });
    tips.set(element, {
      name: `${title(flow.from)} to ${title(flow.to)}`,
      text: count(flow.count),
    });
    return element;
  });
  const most = Math.min(40, Math.max(12, Math.floor(width / 2 / LETTER)));
  const nodes = (list, places, x, isRight) =>
    list.flatMap((persona) => {
      const { top, bottom, total } = places.get(persona);
      const box = { x, y: top, width: THICK, height: Math.max(1, bottom - top) };
      const element = shape("rect", { ...box, fill: colour(persona) });
      tips.set(element, { colour: colour(persona), name: title(persona), text: count(total) });
      const beside = isRight ? x - 6 : x + THICK + 6;
      const anchor = isRight ? "end" : "start";
      const props = { class: "node-name", "text-anchor": anchor };
      return [element, text(beside, (top + bottom) / 2 + 4, short(title(persona), most), props)];
    });
  const shapes = [
    ...bands,
    ...nodes(sources, left, EDGE, false),
    ...nodes(targets, right, width - EDGE - THICK, true),
  ];
  const find = (_x, _y, target) => (tips.has(target) ? { rows: [tips.get(target)] } : null);
  return { shapes, find };
}

/** The pixels of one shopper, the same at either side. */
function heightOfOne(flows, nodes, height) {
  const whole = flows.reduce((sum, each) => sum + each.count, 0);
  return (height - 2 * INSET - padOf(nodes, height) * (nodes - 1)) / whole;
}

/** With many nodes at least half of the height is theirs. */
const padOf = (nodes, height) => Math.min(PAD, height / 2 / nodes);

/** The places of a column's nodes, stacked by size in the taxonomy's order, about the middle. */
function column(list, key, flows, one, height) {
  const totals = list.map((name) =>
    flows.reduce((sum, each) => sum + (each[key] === name ? each.count : 0), 0),
  );
  const pad = padOf(list.length, height);
  const whole = totals.reduce((sum, n) => sum + n * one, pad * (list.length - 1));
  let top = (height - whole) / 2;
  return new Map(
    list.map((name, i) => {
      const place = { top, bottom: top + totals[i] * one, total: totals[i], one };
      top = place.bottom + pad;
      return [name, place];
    }),
  );
}

/** Where each flow leaves and arrives: within a node in the order of the other side. */
function ribbons(flows, sources, targets, left, right) {
  const starts = stacked(flows, "from", left, (flow) => targets.indexOf(flow.to));
  const ends = stacked(flows, "to", right, (flow) => sources.indexOf(flow.from));
  return flows.map((flow) => ({ flow, from: starts.get(flow), to: ends.get(flow) }));
}

function stacked(flows, key, places, order) {
  const reached = new Map();
  const found = new Map();
  for (const flow of [...flows].sort((a, b) => order(a) - order(b))) {
    const { top, one } = places.get(flow[key]);
    const from = reached.get(flow[key]) ?? top;
    reached.set(flow[key], from + flow.count * one);
    found.set(flow, [from, reached.get(flow[key])]);
  }
  return found;
}
