// The words and figures of the page, and the colours of personas.

export const AMBIGUOUS = "Ambiguous";
export const UNKNOWN = "–";
const COLOURS = 24; // as many as a taxonomy may have personas

const FEATURES = {
  product: "Product",
  category: "Category",
  brand: "Brand",
  price: "Price",
  quantity: "Quantity",
  basket_size: "Items in the basket",
  hour: "Time of day",
  weekday: "Day",
  action: "Action",
  channel: "Channel",
  campaign: "Campaign",
  query: "Searched for",
  slot: "Not named yet",
};
export const CAUSES = {
  behaviour: "What the shopper did",
  assignment: "Assigned by the team",
  model: "The model has learned",
  decay: "Time has passed",
  expiry: "Assignment has ended",
};
const KINDS = { purchase: "Purchase", browse: "Visit", engagement: "Campaign" };

const personas = new Map(); // name -> {title, colour, description}

/** Set the personas of the taxonomy: their place in it decides their colour. */
export function learn(list) {
  personas.clear();
  list.forEach((each, i) => personas.set(each.name, { ...each, colour: `var(--p${i % COLOURS})` }));
}

export const names = () => [...personas.keys()];
export const isKnown = (name) => personas.has(name);
export const title = (name) => (name === null ? AMBIGUOUS : (personas.get(name)?.title ?? name));
export const colour = (name) => personas.get(name)?.colour ?? "var(--none)";
export const cause = (name) => CAUSES[name] ?? name;
export const kind = (name) => KINDS[name] ?? name;
/** A persona for a `data-` attribute: empty for ambiguous. */
export const attribute = (name) => name ?? "";

// --- figures ---

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

export const count = (n) => (isNumber(n) ? whole.format(n) : UNKNOWN);
export const rate = (n) => (isNumber(n) ? (n < 10 && n % 1 ? fine : whole).format(n) : UNKNOWN);
export const decimals = (x, digits = 2) => (isNumber(x) ? x.toFixed(digits) : UNKNOWN);

export function percent(p) {
  if (!isNumber(p)) return UNKNOWN;
  if (p > 0 && p < 0.0005) return "<0.1\u00a0%";
  return `${(100 * p).toFixed(p > 0.0005 && p < 0.0995 ? 1 : 0)}\u00a0%`;
}

/** A length of time from milliseconds, in the unit that reads best. */
export function span(ms) {
  if (!isNumber(ms)) return UNKNOWN;
  if (ms < 1_000) return `${whole.format(ms)}\u00a0ms`;
  const seconds = ms / 1_000;
  if (seconds < 60) return `${seconds < 10 ? fine.format(seconds) : whole.format(seconds)}\u00a0s`;
  if (seconds < 3_600) return `${whole.format(seconds / 60)}\u00a0min`;
  if (seconds < 172_800) return `${whole.format(seconds / 3_600)}\u00a0h`;
  return `${whole.format(seconds / 86_400)}\u00a0days`;
}

/** A model's name: of a challenger the class alone. */
export const modelName = (name) => (name === "current" ? "Model" : name.replace(/^.*:/, ""));
/** A decayed number of events, which may be less than one. */
export const events = (n) => (n < 0.5 ? "under 1 event" : plural(Math.round(n), "event"));
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

const clockFormat = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const minuteFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const dayFormat = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  year: "numeric",
});
export const clock = (ms) => clockFormat.format(ms);
export const minute = (ms) => minuteFormat.format(ms);
export const day = (ms) => dayFormat.format(ms);
const thisYear = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
/** A day and a minute; the year only where it is not this one. */
export function moment(ms) {
  const isNow = new Date(ms).getFullYear() === new Date().getFullYear();
  return `${isNow ? thisYear.format(ms) : day(ms)}, ${minute(ms)}`;
}

export function ago(ms, now = Date.now()) {
  const past = now - ms;
  return past < 2_000 ? "just now" : `${span(past)} ago`;
}

/** Cut a text off after so many letters; those of East Asian scripts are twice as wide. */
export function short(text, most) {
  let room = most;
  for (const [at, letter] of [...text].entries()) {
    room -= letter >= "\u1100" ? 2 : 1;
    if (room < 0) return `${[...text].slice(0, Math.max(at - 1, 1)).join("")}\u2026`;
  }
  return text;
}

// --- features ---

/** A category's path, a band of prices, quantities or sizes, as people write it. */
function level(text) {
  const band = text.replace(/^<(.+)$/, "under $1").replace(/^(\d+)\+$/, "$1 or more");
  return band
    .replace(/^([\d.]+?)(?:\.\.|-)([\d.]+)$/, "$1\u2013$2")
    .replaceAll("_", " ")
    .replaceAll("/", " / ");
}

/** The value of a feature for people; two that share a slot read as a choice. */
export function value(feature, raw) {
  const [first, ...more] = String(raw).split(" | ");
  const texts = [first, ...more.map((each) => each.slice(each.indexOf(":") + 1))].map(level);
  const text = texts.join(" or ");
  if (feature === "hour") return `${text} h`;
  if (feature === "query") return `\u201c${text}\u201d`;
  return text;
}

export function feature(name) {
  const text = FEATURES[name] ?? name.replace(/^attributes\./, "").replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const PLAIN = new Set(["category", "product", "brand", "query", "campaign"]);
/** A feature of one event, in a list of several: without its name where the value is enough. */
export const detail = (name, raw) =>
  PLAIN.has(name) ? value(name, raw) : `${feature(name).toLowerCase()} ${value(name, raw)}`;

export const words = (name, raw) => `${feature(name)}: ${value(name, raw)}`;

/** A lift in words: "4.2 times more". */
export function times(lift) {
  const factor = lift >= 1 ? lift : 1 / lift;
  if (factor < 1.05) return "about the same";
  const text = factor >= 100 ? "over 100" : factor.toFixed(factor < 10 ? 1 : 0);
  return `${text} times ${lift >= 1 ? "more" : "less"}`;
}

/** Most letters of a value within a sentence. */
const MOST_OF_A_VALUE = 48;
const ACTS = {
  purchase: ["purchase", "purchases"],
  browse: ["visit", "visits"],
  engagement: ["reaction", "reactions"],
};

/** A counterfactual in words: "3 purchases in pets / dog food". */
export function act(n, what, name, raw) {
  const [one, many] = ACTS[what] ?? [what, what];
  const text = short(value(name, raw), MOST_OF_A_VALUE);
  if (name === "query") return `${plural(n, "search", "searches")} for ${text}`;
  const where = { category: `in ${text}`, product: `of ${text}`, brand: `of the brand ${text}` }[
    name
  ];
  return `${plural(n, one, many)} ${where ?? `with ${feature(name).toLowerCase()} ${text}`}`;
}

export function flip(each) {
  const done = act(each.events, each.kind, each.feature, each.value);
  const chance = percent(each.probability);
  return each.named
    ? `${done} would make it ${title(each.persona)} (${chance}).`
    : `${done} would make ${title(each.persona)} the likeliest (${chance}), still ambiguous.`;
}
