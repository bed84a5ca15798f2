// All use of Plotly: it is loaded after the first paint, and draws what is in sight.

import { make, mark, setText } from "./dom.js";

/** Running the library's script blocks the page for a moment: figures are painted first. */
const FIRST_PAINT_MS = 200;
const LIBRARY = "/static/plotly/plotly.min.js";
/** Milliseconds between two drawings of a chart. */
const REDRAW_MS = 2_000;
const CONFIG = { displayModeBar: false, scrollZoom: false, doubleClick: false, showTips: false };

const charts = new Map(); // element -> Chart
const dark = matchMedia("(prefers-color-scheme: dark)");
const still = matchMedia("(prefers-reduced-motion: reduce)");
let library = null;
let theme = null;

/** Load Plotly once; a failure may be tried again. */
function plotly() {
  library ??= pause(FIRST_PAINT_MS).then(load);
  return library;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function load() {
  return new Promise((resolve, reject) => {
    const script = make("script", { src: LIBRARY, async: true });
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      library = null;
      script.remove();
      reject(new Error("no charts"));
    };
    document.head.append(script);
  });
}

/** Colours and type from the style sheet, so that charts follow it in both themes. */
function currentTheme() {
  if (theme) return theme;
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  const named = ["ink", "quiet", "line", "card", "none", "accent", "track", "raised"];
  theme = Object.fromEntries(named.map((name) => [name, value(`--${name}`)]));
  theme.font = getComputedStyle(document.body).fontFamily;
  theme.resolve = (colour) => (colour.startsWith("var(") ? value(colour.slice(4, -1)) : colour);
  return theme;
}

dark.addEventListener("change", () => {
  theme = null;
  for (const chart of charts.values()) chart.redraw();
});

const sight = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) charts.get(target)?.seen(isIntersecting);
  },
  { rootMargin: "200px" },
);

const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) charts.get(target)?.resized();
});

/**
 * A chart with a reserved place, a skeleton until it is drawn, and a sentence for screen readers.
 * `plot(data, theme)` returns Plotly's `{traces, layout}`; `height` is in pixels.
 */
export class Chart {
  #plot;
  #data = null;
  #isDrawn = false;
  #isSeen = false;
  #isDue = false;
  #timer = 0;
  #drawnAt = -Infinity;
  #width = 0;

  constructor({ plot, height, id, isStill = false, ...attributes }) {
    this.#plot = plot;
    this.height = height;
    this.config = { ...CONFIG, staticPlot: isStill };
    this.canvas = make("div", { class: "canvas" });
    this.note = make("p", { class: "chart-note", text: "" });
    this.element = make(
      "div",
      {
        class: "chart",
        role: "img",
        "aria-label": "Loading",
        "data-testid": id,
        style: { "--height": `${height}px` },
        ...attributes,
      },
      this.canvas,
      this.note,
    );
    charts.set(this.element, this);
    sight.observe(this.element);
    sizes.observe(this.element);
  }

  /** Show data with a summary; without data (null) the summary says why. */
  set(data, summary) {
    this.#data = data;
    mark(this.element, "aria-label", summary);
    this.element.classList.toggle("is-empty", data === null);
    setText(this.note, data === null ? summary : "");
    if (data === null) this.#clear();
    else this.redraw();
  }

  redraw() {
    this.#isDue = this.#data !== null;
    if (!this.#isDue || !this.#isSeen) return;
    clearTimeout(this.#timer);
    const wait = Math.max(0, this.#drawnAt + REDRAW_MS - performance.now());
    this.#timer = setTimeout(() => this.#draw(), wait);
  }

  seen(isSeen) {
    this.#isSeen = isSeen;
    if (isSeen && this.#isDue) this.redraw();
  }

  resized() {
    if (this.#isDrawn && this.element.clientWidth !== this.#width) this.#draw();
  }

  end() {
    clearTimeout(this.#timer);
    sight.unobserve(this.element);
    sizes.unobserve(this.element);
    charts.delete(this.element);
    this.#clear();
    this.#data = null;
  }

  async #draw() {
    const found = await plotly().catch(() => null);
    if (found === null) this.#failed();
    const width = this.element.clientWidth;
    if (!found || this.#data === null || !width || !charts.has(this.element)) return;
    this.#isDue = false;
    this.#drawnAt = performance.now();
    this.#width = width;
    const { traces, layout } = this.#plot(this.#data, currentTheme(), width);
    const whole = { ...base(currentTheme()), ...layout, width, height: this.height };
    const draw = still.matches ? found.newPlot : found.react; // flows would glide to their places
    await draw(this.canvas, traces, whole, this.config);
    this.#isDrawn = true;
    mark(this.element, "data-drawn", "true");
  }

  #clear() {
    if (this.#isDrawn) window.Plotly.purge(this.canvas);
    this.#isDrawn = false;
    this.element.removeAttribute("data-drawn");
  }

  #failed() {
    this.element.classList.add("is-empty");
    setText(this.note, "Charts could not be loaded. The figures beside are complete.");
  }
}

function base(style) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    showlegend: false,
    dragmode: false,
    font: { family: style.font, size: 12, color: style.quiet },
    hoverlabel: {
      bgcolor: style.raised,
      bordercolor: style.line,
      align: "left",
      font: { family: style.font, size: 12, color: style.ink },
    },
    margin: { l: 44, r: 8, t: 8, b: 28 },
  };
}

/** Escape a text: Plotly interprets some tags, and names are shown as they were written. */
export function plain(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** Shift a time to the reader's time zone: Plotly draws times as UTC. */
export function local(ms) {
  return new Date(ms - 60_000 * new Date(ms).getTimezoneOffset()).toISOString().slice(0, -1);
}
