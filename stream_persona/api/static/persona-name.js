// A persona's dot and title, which may be long and of any script.

import { dot, make } from "./dom.js";
import { colour, title } from "./words.js";

/** On one line that ends in an ellipsis where it has to; with `isWhole` on as many as it takes. */
export function personaName(name, { isWhole = false, ...props } = {}) {
  const text = title(name);
  const kind = isWhole ? "titled whole" : "titled";
  const given = { title: isWhole ? null : text, ...props, class: `${props.class ?? ""} ${kind}` };
  return make("span", given, dot(colour(name)), make("bdi", { text }));
}
