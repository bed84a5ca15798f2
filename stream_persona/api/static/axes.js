// What charts share: axes, the threshold's line, a translucent colour.

import { percent } from "./words.js";

/** Make a colour of six hex digits with this opacity. */
export const shade = (hex, opacity) => {
  const byte = Math.round(255 * opacity);
  return hex + byte.toString(16).padStart(2, "0");
};

export function axis(style, more = {}) {
  return {
    fixedrange: true,
    gridcolor: style.line,
    linecolor: style.line,
    zeroline: false,
    ticks: "",
    tickfont: { size: 11, color: style.quiet },
    ...more,
  };
}

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720].map((minutes) => minutes * MINUTE_MS);

/** A time axis in steps that people count in: never two ticks of one minute; or days. */
export function timeAxis(style, width, at, more) {
  const whole = at.at(-1) - at[0];
  const step = STEPS.find((each) => whole / each <= (width < 420 ? 4 : 8));
  const ticks =
    whole > DAY_MS ? { tickformat: "%d %b", nticks: 4 } : { tickformat: "%H:%M", dtick: step };
  return axis(style, {
    type: "date",
    showgrid: false,
    hoverformat: "%H:%M:%S",
    tick0: "2000-01-01",
    ...ticks,
    ...more,
  });
}

/** An axis of whole numbers from 0 to the greatest: no half shoppers. */
export function countAxis(style, most, more) {
  const ticks = most < 4 ? { dtick: 1 } : { nticks: 4 };
  return axis(style, {
    rangemode: "tozero",
    tickformat: most < 10_000 ? ",d" : "~s",
    ...ticks,
    ...more,
  });
}

/** An axis of shares, from 0 to 1. */
export const SHARES = { range: [0, 1], tickvals: [0, 0.5, 1], ticktext: ["0 %", "50 %", "100 %"] };

export const limitName = (threshold, style) => ({
  x: threshold,
  y: 1,
  xref: "x",
  yref: "paper",
  yanchor: "bottom",
  showarrow: false,
  text: `threshold ${percent(threshold)}`,
  font: { size: 11, color: style.quiet },
});

export const line = (style, from, to, more) => ({
  type: "line",
  ...from,
  ...to,
  line: { color: style.quiet, width: 1, dash: "dot" },
  ...more,
});
