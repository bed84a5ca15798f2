// A persona's confidence and calibration, as Plotly's traces and layouts.

import { SHARES, axis, countAxis, limitName, line } from "./axes.js";
import { colour } from "./words.js";

/** The histogram of confidence, in twenty bins, and the threshold of ambiguity. */
export function confidencePlot({ persona, edges, counts, threshold }, style) {
  const trace = {
    type: "bar",
    x: counts.map((_, i) => (edges[i] + edges[i + 1]) / 2),
    y: counts,
    width: 0.042,
    customdata: counts.map(
      (_, i) => `${Math.round(100 * edges[i])} to ${Math.round(100 * edges[i + 1])} %`,
    ),
    marker: { color: style.resolve(colour(persona)) },
    hovertemplate: "%{customdata} sure: %{y:,.0f}<extra></extra>",
  };
  const limit = line(
    style,
    { x0: threshold, y0: 0 },
    { x1: threshold, y1: 1 },
    { yref: "paper", xref: "x" },
  );
  return {
    traces: [trace],
    layout: {
      margin: { l: 36, r: 20, t: 18, b: 24 },
      bargap: 0.1,
      hovermode: "closest",
      shapes: threshold === null ? [] : [limit],
      annotations: threshold === null ? [] : [limitName(threshold, style)],
      xaxis: axis(style, { ...SHARES, showgrid: false }),
      yaxis: countAxis(style, Math.max(...counts)),
    },
  };
}

/** The reliability diagram: accuracy over confidence; on the diagonal both are equal. */
export function reliabilityPlot({ persona, bins }, style) {
  const most = Math.max(...bins.map((bin) => bin.trials));
  const trace = {
    type: "scatter",
    mode: "lines+markers",
    x: bins.map((bin) => bin.confidence),
    y: bins.map((bin) => bin.accuracy),
    line: { width: 1, color: style.line },
    marker: {
      color: style.resolve(colour(persona)),
      opacity: 1,
      line: { width: 1, color: style.card },
      size: bins.map((bin) => 5 + 11 * Math.sqrt(bin.trials / most)),
    },
    customdata: bins.map((bin) => bin.trials),
    cliponaxis: false,
    hovertemplate: "%{x:.0%} sure, %{y:.0%} right, of %{customdata:,}<extra></extra>",
  };
  return {
    traces: [trace],
    layout: {
      margin: { l: 44, r: 20, t: 18, b: 24 },
      hovermode: "closest",
      shapes: [line(style, { x0: 0, y0: 0 }, { x1: 1, y1: 1 }, { layer: "below" })],
      xaxis: axis(style, { ...SHARES, showgrid: false }),
      yaxis: axis(style, SHARES),
    },
  };
}
