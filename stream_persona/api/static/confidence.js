// Which changes are of confidence alone, and the words for them.

import { percent, title } from "./words.js";

/** What the team decides is always worth a line. */
const DECISIONS = new Set(["assignment", "expiry"]);

/** Whether a change leaves the persona, or the ambiguity, as it was; a shopper's first does not. */
export function isConfidenceAlone({ deleted, cause, previous, current }) {
  if (deleted || !previous || DECISIONS.has(cause)) return false;
  return previous.persona === current.persona && previous.source === current.source;
}

/** Describe such a change: a word, and the confidence before and after. */
export function describe({ previous, current }) {
  const [from, to] = [percent(previous.confidence), percent(current.confidence)];
  return { word: word(previous, current, from === to), from, to };
}

/** Of who is ambiguous, both figures are the likeliest persona's: that may be another one now. */
function word(previous, current, isSame) {
  const [was, is] = [likeliest(previous), likeliest(current)];
  if (current.persona === null && was !== is) return `closest to \u2068${title(is)}\u2069 now`;
  if (isSame) return "as sure as before";
  return current.confidence > previous.confidence ? "more sure" : "less sure";
}

function likeliest({ distribution }) {
  const all = Object.entries(distribution ?? {});
  return all.reduce((most, each) => (each[1] > most[1] ? each : most), [null, -1])[0];
}
