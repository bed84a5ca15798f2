// A chart's place, and when it is drawn: while it is in sight, and when its data or width changes.

import { make, mark, setText } from "./dom.js";
import { figure } from "./svg.js";
import { Tip } from "./tip.js";

/** Milliseconds between two drawings of a chart. */
const REDRAW_MS = 250;

const charts = new Map(); // element -> Chart

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
 * `plot(data, size)` returns the `shapes`, in pixels, and `find` for what is pointed at (`Tip`);
 * `height` is in pixels. One that `isStill` says nothing of where it is pointed at.
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
    this.drawing = make("div", { class: "drawing" });
    this.canvas = make("div", { class: "canvas" }, this.drawing);
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
    if (!isStill) {
      this.tip = new Tip(this.canvas);
      this.canvas.append(this.tip.line, this.tip.box);
    }
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

  #draw() {
    const width = this.element.clientWidth;
    if (this.#data === null || !width || !charts.has(this.element)) return;
    this.#isDue = false;
    this.#drawnAt = performance.now();
    this.#width = width;
    const { shapes, find } = this.#plot(this.#data, { width, height: this.height });
    this.drawing.replaceChildren(figure(width, this.height, shapes));
    this.tip?.follow(find);
    this.#isDrawn = true;
    mark(this.element, "data-drawn", "true");
  }

  #clear() {
    this.drawing.replaceChildren();
    this.tip?.hide();
    this.#isDrawn = false;
    this.element.removeAttribute("data-drawn");
  }
}
