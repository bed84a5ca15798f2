// The live page: it asks for figures, follows the stream of changes, and explains a shopper.

const MOST_CHANGES = 60;
const MOST_REASONS = 8;
const AMBIGUOUS = "Ambiguous";
const FEATURES = {
  product: "Product", category: "Category", brand: "Brand", price: "Price", quantity: "Quantity",
  basket_size: "Basket size", hour: "Hour", weekday: "Day", action: "Action", channel: "Channel",
  campaign: "Campaign", query: "Search",
};
const CAUSES = {
  behaviour: "", assignment: "assigned by the team", model: "the model has moved",
  decay: "time has passed", expiry: "the assignment has expired",
};

const personas = new Map(); // name -> {title, colour}
const at = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en");
const percent = (p) => `${(100 * p).toFixed(p > 0.0005 && p < 0.0995 ? 1 : 0)} %`;

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

const title = (name) => (name === null ? AMBIGUOUS : personas.get(name)?.title ?? name);
const colour = (name) => personas.get(name)?.colour ?? "var(--none)";

function words(feature, value) {
  const name = FEATURES[feature] ?? feature.replace(/^attributes\./, "").replaceAll("_", " ");
  return `${name}: ${value.replace("..", " to ").replaceAll("_", " ")}`;
}

function times(lift) {
  const factor = lift >= 1 ? lift : 1 / lift;
  const text = factor >= 100 ? "over 100" : factor.toFixed(factor < 10 ? 1 : 0);
  return `${text}× ${lift >= 1 ? "more" : "less"}`;
}

function bar(name, share, text) {
  const fill = make("span", "fill");
  fill.style.width = `${100 * share}%`;
  fill.style.background = colour(name);
  const track = make("span", "track", fill);
  return [make("span", "name", title(name)), make("span", "value", text), track];
}

// --- connection ---

const troubles = new Map();

function trouble(source, text) {
  if (text) troubles.set(source, text);
  else troubles.delete(source);
  const [first] = troubles.values();
  at("banner").textContent = first ?? "";
  at("banner").hidden = first === undefined;
}

async function ask(path, options) {
  const response = await fetch(path, options);
  const body = await response.json();
  if (!response.ok) throw Object.assign(new Error(body.message), { status: response.status });
  return body;
}

function follow() {
  const source = new EventSource(`/v1/changes?recent=${at("feed").children.length ? 0 : 40}`);
  source.onopen = () => trouble("stream", "");
  source.onmessage = (event) => take(JSON.parse(event.data));
  source.onerror = () => {
    trouble("stream", "The connection is lost. Trying to reconnect…");
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, 2000);
  };
}

// --- figures and mix ---

async function overview() {
  try {
    if (!personas.size) await learnPersonas();
    const now = await ask("/v1/overview");
    at("changes").textContent = whole.format(now.changes_per_minute);
    at("shoppers").textContent = whole.format(now.shoppers);
    at("ambiguous").textContent = now.shoppers ? percent(now.ambiguous_share) : "–";
    at("labelled").textContent = whole.format(now.labelled);
    at("model").textContent = now.model_version.slice(0, 8);
    mix(now);
    trouble("server", now.stream ? "" : "Redis is away: what you see may be old.");
  } catch {
    trouble("server", "The server does not answer. Trying again…");
  }
  setTimeout(overview, 2000);
}

async function learnPersonas() {
  const found = await ask("/v1/personas");
  at("view").textContent = `${found.personas.length} personas of ${found.view}`;
  found.personas.forEach((each, i) => {
    personas.set(each.name, { title: each.title, colour: `var(--c${i % 12})` });
  });
}

function mix(now) {
  const shares = [...Object.entries(now.mix), [null, now.ambiguous]];
  const list = at("mix");
  while (list.children.length < shares.length) {
    const [name] = shares[list.children.length];
    list.append(make("li", "bar", ...bar(name, 0, "")));
  }
  shares.forEach(([, count], i) => {
    const share = now.shoppers ? count / now.shoppers : 0;
    list.children[i].querySelector(".value").textContent = `${whole.format(count)} · ${percent(share)}`;
    list.children[i].querySelector(".fill").style.width = `${100 * share}%`;
  });
}

// --- changes ---

let waiting = [];
let paused = false;
let drawing = false;

function take(change) {
  waiting.unshift(change);
  waiting.length = Math.min(waiting.length, MOST_CHANGES);
  if (!paused && !drawing) {
    drawing = true;
    requestAnimationFrame(draw);
  }
}

function draw() {
  drawing = false;
  const fresh = waiting;
  waiting = [];
  const list = at("feed");
  list.prepend(...fresh.map((change) => (change.deleted ? deletion(change) : entry(change))));
  while (list.children.length > MOST_CHANGES) list.lastElementChild.remove();
  at("empty").hidden = list.children.length > 0;
}

function who(customer) {
  const button = make("button", "link who", customer);
  button.type = "button";
  button.addEventListener("click", () => show(customer));
  return button;
}

function dot(name) {
  const element = make("span", "dot");
  element.style.background = colour(name);
  return element;
}

function clock(time) {
  const element = make("time", "", new Date(time).toLocaleTimeString("en-GB"));
  element.dateTime = new Date(time).toISOString();
  return element;
}

function entry(change) {
  const { current, previous } = change;
  const what = make("span", "what", who(change.customer_id));
  if (previous && previous.persona !== current.persona) {
    what.append(make("span", "arrow", `${title(previous.persona)} →`));
  }
  what.append(dot(current.persona), title(current.persona));
  const reasons = change.why.map((each) => words(each.feature, each.value)).join(" · ");
  const why = [CAUSES[change.cause] ?? change.cause, reasons].filter(Boolean).join(" — ");
  const sure = current.source === "assigned" ? "assigned" : percent(current.confidence);
  return make(
    "li", "", clock(change.published_at), what,
    make("span", "percent", sure), make("span", "why quiet", why),
  );
}

function deletion(change) {
  const what = make("span", "what", make("span", "who", change.customer_id), "was forgotten");
  return make("li", "", clock(Date.now()), what);
}

at("pause").addEventListener("click", (event) => {
  paused = !paused;
  event.target.setAttribute("aria-pressed", String(paused));
  event.target.textContent = paused ? "Resume" : "Pause";
  if (!paused) draw();
});

// --- one shopper ---

let asked = 0;

async function show(customer) {
  const mine = ++asked;
  at("customer").value = customer;
  history.replaceState(null, "", `#${encodeURIComponent(customer)}`);
  at("result").setAttribute("aria-busy", "true");
  const shown = await found(customer).catch((error) => [
    make("p", "note", `This did not work: ${error.message}.`),
  ]);
  if (mine !== asked) return; // another one was asked for meanwhile
  at("result").replaceChildren(...shown);
  at("result").removeAttribute("aria-busy");
}

async function found(customer) {
  const path = `/v1/customers/${encodeURIComponent(customer)}/persona`;
  const query = {
    where: { customer_id: customer }, predict: "persona", select: ["$p", "$why", "persona"], limit: 12,
  };
  const [record, predicted] = await Promise.all([
    ask(path).catch((error) => (error.status === 404 ? null : Promise.reject(error))),
    ask("/api/v1/_predict", {
      method: "POST", body: JSON.stringify(query), headers: { "Content-Type": "application/json" },
    }),
  ]);
  return [...headline(customer, record), ...posterior(predicted.hits, record)];
}

function headline(customer, record) {
  if (record === null) {
    const text = `Nothing is known of ${customer} yet. This is what the model expects of anybody.`;
    return [make("p", "", text)];
  }
  const name = make("p", "headline", dot(record.persona), title(record.persona));
  const sure = record.source === "assigned"
    ? "assigned by the team"
    : `${percent(record.confidence)} sure, from ${record.evidence.toFixed(1)} recent events`;
  const lines = [name, make("p", "quiet", sure)];
  if (record.ambiguous) {
    lines.push(make("p", "quiet", `Still possible: ${record.candidates.map(title).join(", ")}`));
  }
  return lines;
}

function posterior(hits, record) {
  const reasons = make("div", "");
  const list = make("ul", "bars");
  const rows = hits.map((hit) => {
    const row = make("button", "row bar", ...bar(hit.persona, hit.$p, percent(hit.$p)));
    row.type = "button";
    row.addEventListener("click", () => choose(hit));
    list.append(make("li", "", row));
    return [hit, row];
  });
  function choose(hit) {
    for (const [other, row] of rows) row.setAttribute("aria-pressed", String(other === hit));
    reasons.replaceChildren(...explain(hit));
  }
  choose(hits.find((hit) => hit.persona === record?.persona) ?? hits[0]);
  return [make("h3", "", "How likely each persona is (choose one to see why)"), list, reasons];
}

function explain(hit) {
  const factors = hit.$why.factors
    .filter((factor) => factor.type === "relatedPropositionLift" && factor.value !== 1)
    .map((factor) => ({ ...factor, log: Math.log(factor.value) }))
    .sort((a, b) => Math.abs(b.log) - Math.abs(a.log))
    .slice(0, MOST_REASONS)
    .sort((a, b) => b.log - a.log);
  const heading = make("h3", "", `What speaks for and against ${title(hit.persona)}`);
  if (!factors.length) return [heading, make("p", "quiet", "Nothing yet but how common it is.")];
  const most = Math.max(...factors.map((factor) => Math.abs(factor.log)));
  return [heading, make("ul", "reasons", ...factors.map((factor) => reason(factor, most)))];
}

function reason(factor, most) {
  const [[feature, { $has: value }]] = Object.entries(factor.proposition);
  const side = make("span", factor.log > 0 ? "for" : "against");
  side.style.width = `${(50 * Math.abs(factor.log)) / most}%`;
  const name = make("span", "name", words(feature, value));
  const value_ = make("span", "value", times(factor.value));
  return make("li", "", name, make("span", "signed", side), value_);
}

at("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const customer = at("customer").value.trim();
  if (customer) show(customer);
});

// The key that the page was opened with has become a cookie: it need not stay in the history.
if (location.search) history.replaceState(null, "", location.pathname + location.hash);

await overview(); // the titles of personas first
follow();
if (location.hash.length > 1) show(decodeURIComponent(location.hash.slice(1)));
