// Starts the page: personas first, then the stream. Shows the view that the address names.

import { parts } from "./address.js";
import { ask } from "./api.js";
import { empty, find, make, mark, setText } from "./dom.js";
import { live, on, start } from "./live.js";
import { Scope } from "./scope.js";
import { learn } from "./words.js";

/** Views are loaded when they are first shown, or when the browser is idle. */
const VIEWS = {
  now: ["Now", () => import("./now.js")],
  personas: ["Personas", () => import("./personas.js")],
  changes: ["Changes", () => import("./changes.js")],
  shopper: ["Shopper", () => import("./shopper.js")],
  shop: ["Shop", () => import("./shop.js")],
  model: ["Model", () => import("./model.js")],
};
const LEARN_AGAIN_MS = 2_000;
const LOAD_ALL_MS = 2_000;

const main = document.getElementById("main");
const customer = document.getElementById("customer");
let scope = null;
let shown = null;
let isPaused = false;

function route() {
  const { name, rest } = parts(location.hash);
  return Object.hasOwn(VIEWS, name)
    ? { name, argument: decoded(rest) }
    : { name: "now", argument: "" };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Leave the current view, and show the one that the address names. */
async function show(isFirst = false) {
  const { name, argument } = route();
  const asked = `${name}/${argument}`;
  shown = asked;
  const [title, load] = VIEWS[name];
  const view = await load().catch(() => null);
  if (shown !== asked) return; // another view was opened meanwhile
  scope?.end();
  scope = new Scope();
  pause(false);
  const heading = make("h1", { tabindex: "-1", text: title });
  const section = make(
    "section",
    { class: `view ${name}`, "data-view": name, "aria-label": title },
    heading,
  );
  main.replaceChildren(section);
  document.body.dataset.at = name;
  announce(name, title, argument);
  if (view) view.mount({ section, heading, argument, scope, pause });
  else notLoaded(section);
  const isSearching = document.activeElement === customer && !argument;
  if (isFirst || isSearching) return;
  window.scrollTo(0, 0);
  heading.focus({ preventScroll: true });
}

/** Show that the server went away before the view was loaded. */
function notLoaded(section) {
  section.append(
    empty("This view could not be loaded", "It is tried again once the server answers."),
  );
  scope.on("resync", () => show());
}

function announce(name, title, argument) {
  document.title = `${argument || title} \u00b7 Personas`;
  if (document.activeElement !== customer) customer.value = name === "shopper" ? argument : "";
  for (const link of document.querySelectorAll(".tabs a")) {
    if (link.hash === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

// --- the connection, in the header and the banner ---

function pause(wanted) {
  isPaused = wanted;
  tellState();
}

function tellState() {
  const state = live.state === "live" && isPaused ? "paused" : live.state;
  mark(document.getElementById("live"), "data-state", state);
  setText(
    document.getElementById("live-text"),
    { live: "Live", paused: "Paused", reconnecting: "Reconnecting" }[state],
  );
}

function tellTroubles(sentences) {
  const banner = document.getElementById("banner");
  banner.replaceChildren(...sentences.map((text) => make("p", { text })));
  banner.hidden = !sentences.length;
}

function needKey() {
  if (find(document, "needs-key")) return;
  scope?.end();
  shown = null;
  const text =
    "This page needs an API key. Open it once as /?key=\u2026 with a key of yours; " +
    "the browser keeps it from then on.";
  main.replaceChildren(
    make("section", { class: "view", "data-testid": "needs-key" }, empty("No key, no view", text)),
  );
}

// --- search ---

document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = customer.value.trim();
  if (!id) return;
  const hash = `#/shopper/${encodeURIComponent(id)}`;
  if (location.hash === hash) show();
  else location.hash = hash;
});

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, textarea, select, dialog");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    focusSearch();
  } else if (event.key === "Escape" && event.target === customer) {
    customer.blur();
    main.querySelector("h1")?.focus({ preventScroll: true });
  }
});

/** On a narrow screen the search is part of the shopper's view. */
function focusSearch() {
  if (!customer.offsetParent) {
    location.hash = "#/shopper";
    document.body.dataset.at = "shopper";
  }
  customer.focus();
  customer.select();
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address belongs to the view
  main.focus();
});

// --- start ---

async function learnPersonas() {
  try {
    const found = await ask("/v1/personas");
    learn(found.personas);
    setText(document.getElementById("view"), `${found.personas.length} personas of ${found.view}`);
    return true;
  } catch (error) {
    if (error.status === 401) needKey();
    return false;
  }
}

/** Load the personas' titles, which all views need; everything else follows. */
async function boot() {
  while (!(await learnPersonas()))
    await new Promise((resolve) => setTimeout(resolve, LEARN_AGAIN_MS));
  addEventListener("hashchange", () => show());
  await show(true);
  setTimeout(loadAll, LOAD_ALL_MS);
}

function loadAll() {
  for (const [, load] of Object.values(VIEWS)) load().catch(() => null);
}

// The key that the page was opened with has become a cookie: it need not stay in the history.
if (location.search) history.replaceState(null, "", location.pathname + location.hash);

on("state", tellState);
on("troubles", tellTroubles);
on("needs-key", needKey);
on("overview", () => find(document, "needs-key") && show());
on("overview", ({ products }) => (document.getElementById("shop-tab").hidden = !products));
start();
on("resync", learnPersonas);
await boot();
