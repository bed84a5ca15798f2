// What a view holds while it is shown, and releases when it is left.

import { on } from "./live.js";
import { Chart } from "./charts.js";

export class Scope {
  #ends = [];
  isOver = false;

  /** Call `end` when the view is left. */
  own(end) {
    this.#ends.push(end);
    return end;
  }

  on(kind, callback) {
    return this.own(on(kind, callback));
  }

  chart(options) {
    const chart = new Chart(options);
    this.own(() => chart.end());
    return chart;
  }

  /**
   * Do `work` now, every `seconds`, and when the page has to catch up; never twice at once.
   * Returns a function that does it at once, or right after the run under way.
   */
  refresh(seconds, work, failed = () => {}) {
    let timer = 0;
    let isRunning = false;
    let isAsked = false;
    const run = async () => {
      isAsked = isRunning;
      if (isRunning || this.isOver) return;
      clearTimeout(timer);
      isRunning = true;
      if (!document.hidden) await work().catch((error) => this.isOver || failed(error));
      isRunning = false;
      if (!this.isOver) timer = setTimeout(run, isAsked ? 0 : 1_000 * seconds);
    };
    this.own(() => clearTimeout(timer));
    this.on("resync", run);
    run();
    return run;
  }

  end() {
    this.isOver = true;
    for (const end of this.#ends.splice(0)) end();
  }
}

/** Throttle: call `work` at once, then at most every `ms`, and after the last call too. */
export function throttled(ms, work) {
  let last = -Infinity;
  let timer = 0;
  return () => {
    const wait = last + ms - performance.now();
    clearTimeout(timer);
    if (wait <= 0) {
      last = performance.now();
      work();
    } else {
      timer = setTimeout(() => {
        last = performance.now();
        work();
      }, wait);
    }
  };
}
