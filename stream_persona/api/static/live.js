// Live data: the stream of changes, the key figures, and what is wrong with either.

import { ask } from "./api.js";
import { isConfidenceAlone } from "./confidence.js";

const POLL_MS = 2_000;
const REOPEN_MS = 2_000;
/** Most changes of a kind that are held for views, and changes that a visit begins with. */
export const HELD = 500;
const RECENT = 200;
/** Milliseconds between two notifications of listeners, however many changes there are. */
const TICK_MS = 100;
const MOST_IDS = 4_000;
/** Parts whose trouble does not explain why the stream is silent. */
const BESIDE_THE_STREAM = new Set(["storage", "events", "labels", "catalogue"]);

const listeners = new Map(); // kind -> functions
/** Changes of confidence alone are held apart: many of them push nothing else out. */
const held = { persona: [], confidence: [] };
const troubles = new Map();
let taken = 0; // changes so far: a position that only grows
let ids = new Set();
let olderIds = new Set();
let ticking = false;
let wasLost = false;

/** The newest key figures, null before the first; and how the connection is. */
export const live = { overview: null, state: "reconnecting", isOpen: false, isAnswering: true };

/** Call back at each event of a kind: changes, overview, state, troubles, resync, needs-key. */
export function on(kind, callback) {
  if (!listeners.has(kind)) listeners.set(kind, new Set());
  listeners.get(kind).add(callback);
  return () => listeners.get(kind).delete(callback);
}

function emit(kind, value) {
  for (const callback of listeners.get(kind) ?? []) callback(value);
}

export function start() {
  follow();
  poll();
  document.addEventListener("visibilitychange", () => document.hidden || emit("resync"));
}

// --- changes ---

/** The position after the newest change. */
export const position = () => taken;

/** The changes from a position on, newest first; at most `HELD` of a kind, older ones are gone. */
export function since(from) {
  const found = Object.values(held).flatMap((kind) => kind.filter(({ at }) => at >= from));
  return found.sort((a, b) => b.at - a.at).map(({ change }) => change);
}

function take(change) {
  if (change.change_id && isRepeated(change.change_id)) return;
  const kind = held[isConfidenceAlone(change) ? "confidence" : "persona"];
  kind.push({ at: taken, change: { ...change, received_at: Date.now() } });
  if (kind.length > HELD) kind.shift();
  taken += 1;
  emit("change", change);
  if (ticking) return;
  ticking = true;
  setTimeout(() => requestAnimationFrame(tick), TICK_MS);
}

function tick() {
  ticking = false;
  emit("changes");
}

/** A change may be delivered twice; two generations of ids bound how many are kept. */
function isRepeated(id) {
  if (ids.has(id) || olderIds.has(id)) return true;
  ids.add(id);
  if (ids.size >= MOST_IDS) {
    olderIds = ids;
    ids = new Set();
  }
  return false;
}

function follow() {
  const source = new EventSource(`/v1/changes?recent=${RECENT}`);
  source.onopen = opened;
  source.onmessage = (event) => take(JSON.parse(event.data));
  source.addEventListener("gap", () => emit("resync"));
  source.onerror = () => lost(source);
}

function opened() {
  live.isOpen = true;
  trouble("stream of changes", null);
  settle();
  if (wasLost) emit("resync");
  wasLost = false;
}

/** The browser reconnects by itself and sends the last id it received; a refusal ends that. */
function lost(source) {
  live.isOpen = false;
  wasLost = true;
  trouble("stream of changes", "The stream of changes is lost. Reconnecting\u2026");
  settle();
  if (source.readyState === EventSource.CLOSED) setTimeout(follow, REOPEN_MS);
}

// --- key figures ---

async function poll() {
  try {
    live.overview = await ask("/v1/overview");
    const wasAway = !live.isAnswering;
    live.isAnswering = true;
    trouble("server", null);
    serverTroubles(live.overview);
    emit("overview", live.overview);
    if (wasAway) emit("resync");
  } catch (error) {
    failed(error);
  }
  settle();
  setTimeout(poll, POLL_MS);
}

function failed(error) {
  if (error.status === 401) {
    emit("needs-key");
    return;
  }
  live.isAnswering = false;
  const answer = error.status
    ? `The server has trouble: ${error.message}.`
    : "The server does not answer. Trying again\u2026";
  trouble("server", answer);
}

function serverTroubles(overview) {
  const findings = overview.troubles ?? [];
  const places = findings.map((each, place) => `its ${place} ${each.part}`);
  for (const key of troubles.keys())
    if (key.startsWith("its ") && !places.includes(key)) trouble(key, null);
  findings.forEach((each, place) => trouble(places[place], each.message));
  const isExplained = findings.some((each) => !BESIDE_THE_STREAM.has(each.part));
  const isSilent = overview.stream === false && !isExplained;
  trouble("redis", isSilent ? "Redis is away: what you see may be old." : null);
}

// --- what is wrong ---

function trouble(part, message) {
  if ((troubles.get(part) ?? null) === message) return;
  if (message) troubles.set(part, message);
  else troubles.delete(part);
  emit("troubles", sentences());
}

/** Reduce to one sentence: a server that is away ends its stream as well. */
function sentences() {
  const parts = [...troubles].filter(
    ([part]) => !(part === "stream of changes" && troubles.has("server")),
  );
  return parts.map(([, message]) => message);
}

function settle() {
  const state = live.isOpen && live.isAnswering ? "live" : "reconnecting";
  if (state === live.state) return;
  live.state = state;
  emit("state", state);
}
