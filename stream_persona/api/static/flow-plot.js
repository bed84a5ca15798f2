// Flows between personas, as Plotly's traces and layout.

import { shade } from "./axes.js";
import { plain } from "./charts.js";
import { colour, short, title } from "./words.js";

export const FLOWS_HEIGHT = 340;
const PAD = 12;
/** Pixels of a letter of a label, about. */
const LETTER = 9;

/** Draw flows from left to right: from the previous to the current persona. */
export function flowPlot({ sources, targets, flows }, style, width) {
  const colours = (list) => list.map((name) => style.resolve(colour(name)));
  const left = new Map(sources.map((name, i) => [name, i]));
  const right = new Map(targets.map((name, i) => [name, sources.length + i]));
  const most = Math.min(40, Math.max(12, Math.floor(width / 2 / LETTER)));
  const label = (name) => plain(short(title(name), most));
  const places = [...column(sources, "from", flows, 0.001), ...column(targets, "to", flows, 0.999)];
  const trace = {
    type: "sankey",
    arrangement: "fixed",
    valueformat: ",.0f",
    textfont: { color: style.ink, size: 12, family: style.font, shadow: "none" },
    node: {
      label: [...sources, ...targets].map(label),
      color: colours([...sources, ...targets]),
      customdata: [...sources, ...targets].map((name) => plain(title(name))),
      x: places.map(([x]) => x),
      y: places.map(([, y]) => y),
      pad: PAD,
      thickness: 12,
      line: { width: 0 },
      hovertemplate: "%{customdata}: %{value:,.0f}<extra></extra>",
    },
    link: {
      source: flows.map((each) => left.get(each.from)),
      target: flows.map((each) => right.get(each.to)),
      value: flows.map((each) => each.count),
      color: flows.map((each) => shade(style.resolve(colour(each.from)), 0.35)),
      hovertemplate: "%{source.customdata} to %{target.customdata}: %{value:,.0f}<extra></extra>",
    },
  };
  return { traces: [trace], layout: { margin: { l: 4, r: 4, t: 8, b: 8 } } };
}

/** The middles of a column's nodes, stacked by size in the taxonomy's order. */
function column(list, key, flows, x) {
  const sizes = list.map((name) =>
    flows.reduce((sum, each) => sum + (each[key] === name ? each.count : 0), 0),
  );
  const total = sizes.reduce((sum, n) => sum + n, 0);
  const gap = PAD / FLOWS_HEIGHT;
  const scale = (1 - gap * (list.length - 1)) / total;
  let top = 0;
  return sizes.map((n) => {
    const middle = top + (n * scale) / 2;
    top += n * scale + gap;
    return [x, Math.min(Math.max(middle, 0.001), 0.999)];
  });
}
