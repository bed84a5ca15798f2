// Charts over time, as Plotly's traces and layouts: functions of data and a theme alone.

import { SHARES, axis, countAxis, limitName, line, shade, timeAxis } from "./axes.js";
import { local, plain } from "./charts.js";
import { colour, title } from "./words.js";

// --- the mix over time ---

/** Layers of personas, the taxonomy's first at the bottom, ambiguous on top. */
export function mixPlot({ at, layers, isShare, gaps }, style, width) {
  const x = at.map(local);
  const traces = layers.map((layer) => ({
    x,
    y: layer.counts,
    name: plain(title(layer.persona)),
    type: "scatter",
    mode: "lines",
    stackgroup: "mix",
    groupnorm: isShare ? "percent" : "",
    line: { width: 1, color: style.card },
    fillcolor: shade(style.resolve(colour(layer.persona)), 0.86),
    hovertemplate: isShare ? "%{y:.0f} %" : "%{y:,.0f}",
  }));
  const layout = {
    hovermode: "x unified",
    shapes: gaps.map(([from, to]) => gap(from, to, style)),
    xaxis: timeAxis(style, width, at),
    yaxis: isShare
      ? axis(style, { range: [0, 100], nticks: 5, ticksuffix: " %" })
      : countAxis(style, Math.max(...at.map((_, i) => sum(layers, i)))),
  };
  return { traces, layout };
}

const sum = (layers, i) => layers.reduce((total, layer) => total + layer.counts[i], 0);

/** Times without data are left blank. */
function gap(from, to, style) {
  return {
    type: "rect",
    xref: "x",
    yref: "paper",
    x0: local(from),
    x1: local(to),
    y0: 0,
    y1: 1,
    fillcolor: style.card,
    line: { width: 0 },
    layer: "above",
  };
}

// --- lines ---

const heightName = (threshold, style) => ({
  ...limitName(threshold, style),
  x: 0,
  y: threshold,
  xref: "paper",
  yref: "y",
  xanchor: "left",
});

/** One line for each persona that was ever likely, as steps, and the threshold. */
export function posteriorPlot({ at, lines, threshold }, style, width) {
  const x = at.map(local);
  const traces = lines.map(({ persona, shares }) => ({
    x,
    y: shares,
    name: plain(title(persona)),
    type: "scatter",
    mode: "lines",
    line: { shape: "hv", width: 2, color: style.resolve(colour(persona)) },
    hovertemplate: "%{y:.0%}",
  }));
  const limit = line(
    style,
    { x0: 0, y0: threshold },
    { x1: 1, y1: threshold },
    { xref: "paper", yref: "y" },
  );
  return {
    traces,
    layout: {
      hovermode: "x unified",
      shapes: threshold === null ? [] : [limit],
      annotations: threshold === null ? [] : [heightName(threshold, style)],
      xaxis: timeAxis(style, width, at, { hoverformat: "%d %b, %H:%M:%S" }),
      yaxis: axis(style, { ...SHARES, range: [0, 1.02] }),
    },
  };
}

/** Figures of models over time; gaps stay gaps. */
export function linesPlot({ at, lines, isShare }, style, width) {
  const x = at.map(local);
  const traces = lines.map(({ name, values, tone, dash }) => ({
    x,
    y: values,
    name: plain(name),
    type: "scatter",
    mode: "lines",
    connectgaps: false,
    line: {
      width: 2,
      color: style.resolve(tone),
      dash: { dotted: "dot" }[dash] ?? dash ?? "solid",
    },
    hovertemplate: isShare ? "%{y:.1%}" : "%{y:.3f}",
  }));
  return {
    traces,
    layout: {
      hovermode: "x unified",
      xaxis: timeAxis(style, width, at),
      yaxis: axis(
        style,
        isShare ? { tickformat: ".0%", nticks: 5 } : { nticks: 5, rangemode: "tozero" },
      ),
    },
  };
}

/** A line without axes, below a figure. */
export function sparkPlot({ values, tone }, style) {
  const stroke = style.resolve(tone);
  const trace = {
    type: "scatter",
    mode: "lines",
    y: values,
    connectgaps: false,
    hoverinfo: "skip",
    line: { width: 1.5, color: stroke },
    fill: "tozeroy",
    fillcolor: shade(stroke, 0.1),
  };
  const bare = { visible: false, fixedrange: true };
  const peak = Math.max(...values.filter((value) => value !== null), 1e-9);
  return {
    traces: [trace],
    layout: {
      margin: { l: 0, r: 0, t: 2, b: 1 },
      xaxis: bare,
      yaxis: { ...bare, range: [0, 1.08 * peak] },
    },
  };
}
