// The dashboard: asks the admin API, and shows what it says. Text goes into the page as text, never as markup.
import { Chart, svg } from "./charts.js";
import { words } from "./words.js";

const $ = (id) => document.getElementById(id);
const saved = (store, key) => { try { return store.getItem(key); } catch { return null; } };
const save = (store, key, value) => { try { value === null ? store.removeItem(key) : store.setItem(key, value); } catch { /* a browser that keeps nothing */ } };

let language = saved(localStorage, "language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
let t = words[language];
let token = saved(sessionStorage, "token");
const nothing = () => ({ overview: null, before: null, series: null, keys: null, failures: null, rates: [] });
const shown = { ...nothing(), allModels: false };
const page = { offset: 0, limit: 25 };
let asking = null;

// ---- Words for numbers and times

const number = (value, digits = 0) => new Intl.NumberFormat(language === "zh" ? "zh-CN" : "en-GB", { maximumFractionDigits: digits }).format(value);
const told = (value) => value ? compact(value) : "–";
const compact = (value) => value < 10_000 ? number(value, value < 10 ? 1 : 0) : new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(value);
function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  if (value < 0.001) return `${number(value * 1e6)} µs`;
  if (value < 1) return `${number(value * 1000, value < 0.01 ? 1 : 0)} ms`;
  return `${number(value, value < 10 ? 2 : 1)} s`;
}
function span(value) {
  const units = language === "zh" ? ["秒", "分", "小时", "天"] : [" s", " min", " h", " d"];
  if (value < 60) return `${Math.max(0, Math.round(value))}${units[0]}`;
  if (value < 3600) return `${Math.round(value / 60)}${units[1]}`;
  if (value < 86400) return `${number(value / 3600, 1)}${units[2]}`;
  return `${number(value / 86400, 1)}${units[3]}`;
}
const clock = (at, full = false) => new Date(at).toLocaleTimeString(language === "zh" ? "zh-CN" : "en-GB", { hour: "2-digit", minute: "2-digit", ...(full && { second: "2-digit" }) });
const ago = (at) => t.ago(span((Date.now() - Date.parse(at)) / 1000));
function ahead(at) {
  const left = (Date.parse(at) - Date.now()) / 1000;
  return left <= 0 ? t.now : t.in(span(left));
}
const recovers = (out) => out.recovers_at ? ahead(out.recovers_at) : out.checked_every_s === null ? t.untilRestored : t.checked(span(out.checked_every_s));
const cause = (name) => t.verdicts[name] ?? t.otherReasons[name] ?? name;

// ---- Building blocks

function h(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}
function table(label, columns, rows) {
  const head = columns.map(([name, kind]) => h("th", { scope: "col", class: kind ?? false }, name));
  return h("table", {}, h("caption", { class: "unseen" }, label), h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows));
}
function options(select, choices, label) {
  const value = select.value;
  select.replaceChildren(...Object.entries(choices).map(([key, text]) => h("option", { value: key }, text)));
  select.setAttribute("aria-label", label);
  if (value in choices) select.value = value;
}
// Replaces what changed alone, so that focus and selection stay where they are.
function put(place, ...nodes) {
  const fresh = h("div", {}, nodes);
  if (place.innerHTML === fresh.innerHTML) return;
  const focused = document.activeElement?.dataset?.focus;
  place.replaceChildren(...fresh.childNodes);
  if (focused) place.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
}

// ---- Asking

class Refused extends Error {
  constructor(status, code, message) { super(message); this.status = status; this.code = code; }
}
// Ends what is being asked once the token is gone.
let asked = new AbortController();
const bearer = (token) => new Headers(token ? { authorization: `Bearer ${token}` } : {});
// A header's value is Latin-1: no token has more.
function isToken(text) {
  try { return Boolean(bearer(text)); } catch { return false; }
}
async function ask(path, method = "GET") {
  const { signal } = asked;
  const answer = await fetch(`admin/api/${path}`, { method, headers: bearer(token), cache: "no-store", signal });
  if (answer.ok) return answer.json();
  const error = (await answer.json().catch(() => null))?.error;
  throw new Refused(answer.status, error?.code, error?.message ?? answer.statusText);
}

let patience = 2;
let timer = 0;
let round = 0;
async function look() {
  clearTimeout(timer);
  if (document.hidden || $("login").open) return;
  try {
    const overview = await ask("overview");
    if (shown.overview && overview.uptime_s < shown.overview.uptime_s) restarted();
    shown.before = shown.overview;
    shown.overview = overview;
    patience = 2;
    $("trouble").hidden = true;
    $("locked").hidden = true;
    $("main").hidden = false;
    showOverview();
    const due = [];
    if (round % 5 === 0) due.push(lookAtSeries());
    if (round % 2 === 0) due.push(lookAtKeys());
    due.push(lookAtFailures());
    round += 1;
    await Promise.all(due);
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.status === 401) return login(token !== null);
    patience = Math.min(15, patience * 1.5);
    $("trouble").textContent = t.trouble(Math.round(patience));
    $("trouble").hidden = false;
    showState("gone");
  }
  timer = setTimeout(look, patience * 1000);
}
function restarted() {
  Object.assign(shown, { before: null, rates: [] });
  round = 0;
}
async function lookAtSeries() {
  const step = shown.overview.uptime_s < 900 ? 1 : 3;
  shown.series = await ask(`series?step=${step}`);
  showSeries();
}
async function lookAtKeys() {
  const [sort, order] = $("sort").value.split(".");
  const query = new URLSearchParams({ state: $("filter-state").value, reason: $("filter-reason").value, q: $("q").value.trim(), sort, order, offset: page.offset, limit: page.limit });
  const mine = asking = {};
  const keys = await ask(`keys?${query}`);
  // A later question's answer may have come first.
  if (mine !== asking) return;
  if (page.offset && page.offset >= keys.matching) {
    page.offset = 0;
    return lookAtKeys();
  }
  shown.keys = keys;
  showKeys();
}
async function lookAtFailures() {
  const query = new URLSearchParams({ limit: 50, verdict: $("failure-verdict").value, q: $("failure-q").value.trim() });
  shown.failures = (await ask(`failures?${query}`)).failures;
  showFailures();
}
const soon = (what) => {
  let waiting = 0;
  return () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => what().catch(() => look()), 150);
  };
};

// ---- Showing

function showState(state) {
  $("state").textContent = t.states[state];
  $("state").className = `pill ${state}`;
  document.title = `${state === "well" ? "" : "● "}gpt-load`;
}
function tile(name, value, hint, extra) {
  return h("div", { class: "tile" }, h("h3", {}, name), h("p", { class: "figure" }, value), h("p", { class: "muted" }, hint), extra);
}
function showOverview() {
  const { overview: now, before } = shown;
  const { keys, pool, requests, last_hour: hour } = now;
  const soonOut = pool.exhausted_in_s !== null && pool.exhausted_in_s < 3600;
  showState(now.draining ? "draining" : keys.available === 0 ? "empty" : pool.headroom < 0.1 || soonOut ? "low" : "well");
  $("about").textContent = t.about(now.version, span(now.uptime_s));
  $("forget").hidden = token === null;
  const past = before ? now.uptime_s - before.uptime_s : now.uptime_s;
  const rate = past > 0 ? (requests.total - (before?.requests.total ?? 0)) / past : 0;
  shown.rates.push(rate);
  if (shown.rates.length > 5) shown.rates.shift();
  const mean = shown.rates.reduce((sum, one) => sum + one, 0) / shown.rates.length;
  // What the client brought about itself is no failure of ours.
  const judged = requests.succeeded + requests.failed;
  const tiles = t.tiles;
  put($("tiles"),
    tile(tiles.rate, number(mean, mean < 10 ? 1 : 0), tiles.running(number(requests.running))),
    tile(tiles.success, judged ? `${number(100 * requests.succeeded / judged, 2)} %` : "–", tiles.answered(compact(requests.total))),
    tile(tiles.saved, compact(requests.healed), tiles.savedHint),
    tile(tiles.latency, seconds(hour.duration_s.p50), tiles.p95(seconds(hour.duration_s.p95))),
    tile(tiles.ttft, seconds(hour.first_token_s.p50), tiles.p95(seconds(hour.first_token_s.p95))),
    tile(tiles.keys, number(keys.available), tiles.of(number(keys.total)), meter(keys)),
    tile(tiles.overhead, seconds(now.added_overhead_s.p50), tiles.p99(seconds(now.added_overhead_s.p99))));
  showPool();
  showUpstreams();
  showUsage();
}
function meter(keys) {
  const parts = ["available", "cooldown", "blacklisted"];
  const label = parts.map((part) => `${t.keyStates[part]} ${number(keys[part])}`).join(", ");
  let from = 0;
  const bars = parts.map((part) => {
    const width = keys.total ? 100 * keys[part] / keys.total : 0;
    from += width;
    return svg("rect", { x: from - width, width, y: 0, height: 6, class: `fill tone-${part}` });
  });
  return svg("svg", { viewBox: "0 0 100 6", preserveAspectRatio: "none", class: "meter", role: "img", "aria-label": label }, ...bars);
}
function showPool() {
  const { keys, pool } = shown.overview;
  const left = pool.exhausted_in_s;
  const fact = (name, value, tone) => [h("dt", {}, name), h("dd", { class: tone ?? false }, value)];
  const causes = Object.entries(pool.lost).sort((a, b) => b[1] - a[1]);
  const most = Math.max(1, ...causes.map(([, count]) => count));
  put($("pool"),
    h("dl", { class: "facts" },
      fact(t.headroom, `${number(100 * pool.headroom, 1)} % · ${t.headroomText(number(keys.available), number(keys.total))}`),
      fact(t.exhausted, left === null ? t.exhaustedNever : left === 0 ? t.exhaustedNow : t.in(span(left)), left !== null && left < 3600 ? "bad" : null),
      fact(t.earliest, keys.earliest_return_s === null ? "–" : t.in(span(keys.earliest_return_s))),
      fact(t.waiting, number(keys.waiting_requests))),
    meter(keys),
    h("h3", {}, t.lost(span(pool.over_s))),
    causes.length ? h("ul", { class: "bars" }, causes.map(([name, count]) => h("li", {},
      h("span", {}, cause(name)),
      h("progress", { max: most, value: count, "aria-hidden": "true" }),
      h("strong", {}, number(count))))) : h("p", { class: "muted" }, t.lostNone));
}
function showUpstreams() {
  const c = t.columns;
  const storms = new Map(shown.overview.storms.map((storm) => [storm.upstream, storm]));
  put($("upstreams"), table(t.upstreams, [[c.upstream], [c.health], [c.attempts, "num"], [c.faults, "num"]], shown.overview.upstreams.map((upstream) => {
    const storm = storms.get(upstream.url);
    const health = storm ? t.storm(number(storm.suspects)) : !upstream.healthy ? t.ejected(ahead(upstream.ejected_until))
      : upstream.consecutive_faults ? t.faultsInARow(number(upstream.consecutive_faults)) : t.healthy;
    const tone = storm || !upstream.healthy ? "blacklisted" : upstream.consecutive_faults ? "cooldown" : "available";
    return h("tr", {}, h("th", { scope: "row", class: "code" }, upstream.url), h("td", {}, h("span", { class: `badge tone-${tone}` }, health)),
      h("td", { class: "num" }, number(upstream.attempts)), h("td", { class: "num" }, number(upstream.faults)));
  })));
}
// More models than that would push the keys out of sight.
const MODELS = 10;
function showUsage() {
  const c = t.columns;
  const all = shown.overview.usage.slice().sort((a, b) => b.requests - a.requests);
  const rows = all.slice(0, shown.allModels ? all.length : MODELS).map((model) => h("tr", {},
    h("th", { scope: "row", class: "code" }, model.model), h("td", { class: "num" }, number(model.requests)),
    h("td", { class: "num" }, told(model.input_tokens)), h("td", { class: "num" }, told(model.output_tokens)), h("td", { class: "num" }, told(model.cached_tokens))));
  const rest = all.length > MODELS ? h("button", { type: "button", class: "small", "data-act": "models", "data-focus": "models", "aria-expanded": String(shown.allModels) }, shown.allModels ? t.fewer(MODELS) : t.showAll(number(all.length))) : null;
  put($("usage"), rows.length ? table(t.usage, [[c.model], [c.requests, "num"], [c.input, "num"], [c.output, "num"], [c.cached, "num"]], rows) : h("p", { class: "muted" }, t.noUsage), ...[rest].filter(Boolean));
}

const charts = Object.fromEntries(["requests", "keys", "latency", "first"].map((name) => [name, new Chart($(`chart-${name}`))]));
function showSeries() {
  // The last point is often a moment long: too short to tell a rate.
  const points = shown.series.points.filter((point, at, all) => point.seconds >= 2 || at < all.length - 1);
  const times = points.map((point) => Date.parse(point.at));
  const rate = (count) => points.map((point) => point.seconds > 0 ? count(point) / point.seconds : 0);
  const common = { times, none: t.charts.none, time: (at) => clock(at, times.at(-1) - times[0] < 600_000) };
  const quantiles = (of) => ["p99", "p95", "p50"].map((name) => ({ name, tone: name, values: points.map((point) => point[of][name]) }));
  charts.requests.show({ ...common, title: t.charts.requests, stacked: true, format: (value) => number(value, value < 10 ? 1 : 0), series: [
    { name: t.charts.succeeded, tone: "available", values: rate((point) => point.succeeded - point.healed) },
    { name: t.charts.healed, tone: "healed", values: rate((point) => point.healed) },
    { name: t.charts.failed, tone: "blacklisted", values: rate((point) => point.failed) }] });
  charts.keys.show({ ...common, title: t.charts.keys, stacked: true, format: compact, series: ["available", "cooldown", "blacklisted"].map((state) => (
    { name: t.keyStates[state], tone: state, values: points.map((point) => point.keys[state]) })) });
  charts.latency.show({ ...common, title: t.charts.latency, format: seconds, series: quantiles("duration_s") });
  charts.first.show({ ...common, title: t.charts.first, format: seconds, series: quantiles("first_token_s") });
}

function why(out) {
  return [h("span", { class: "reason" }, cause(out.reason)), " ", h("span", { class: "muted code" }, out.rule), h("div", { class: "quote" }, out.last_error)];
}
function act(key, what) {
  return h("button", { type: "button", class: "small", "data-focus": `${what}-${key.index}`, "data-act": what, "data-index": key.index, "aria-label": `${t[what]} ${key.preview}` }, t[what]);
}
function showKeys() {
  const c = t.columns;
  const { keys, matching, offset } = shown.keys;
  const rows = keys.map((key) => {
    const { out } = key;
    return h("tr", { "data-index": key.index },
      h("th", { scope: "row" }, h("button", { type: "button", class: "link code", "data-focus": `details-${key.index}`, "data-act": "details", "data-index": key.index }, key.preview), h("div", { class: "muted" }, `# ${key.index}`)),
      h("td", {}, h("span", { class: `badge tone-${key.state}` }, t.keyStates[key.state]), key.out_for_models.length ? h("div", { class: "muted" }, `${t.forModels}: ${key.out_for_models.map((one) => one.model).join(", ")}`) : null),
      h("td", { class: "wide" }, out ? why(out) : "–"),
      h("td", { class: "nowrap" }, out ? ago(out.blacklist_at) : "–"),
      h("td", { class: "nowrap" }, out ? recovers(out) : "–"),
      h("td", { class: "num" }, number(key.failures_in_a_row)),
      h("td", { class: "acts" }, act(key, out || key.out_for_models.length ? "restore" : "blacklist")));
  });
  put($("keys-table"), table(t.keys, [[c.key], [c.state], [c.why], [c.since], [c.recovers], [c.failures, "num"], [c.actions]], rows));
  $("matching").textContent = t.matching(number(offset + 1), number(offset + keys.length), matching ? number(matching) : 0);
  $("earlier").disabled = offset === 0;
  $("later").disabled = offset + keys.length >= matching;
}
function failureRows(failures) {
  return failures.map((failed) => h("tr", {},
    h("td", { class: "nowrap" }, clock(failed.at, true)),
    h("td", { class: "nowrap" }, h("span", { class: "code" }, failed.key_preview), h("div", { class: "muted" }, `# ${failed.key_index}`)),
    h("td", {}, h("span", { class: "reason" }, t.verdicts[failed.verdict] ?? failed.verdict), h("div", { class: "muted code" }, failed.rule)),
    h("td", { class: "num" }, failed.status ?? "–"),
    h("td", { class: "wide" }, h("div", { class: "quote" }, failed.error), h("div", { class: "muted code" }, [failed.model, failed.upstream, failed.request_id].filter(Boolean).join(" · ")))));
}
function failureTable(failures) {
  const c = t.columns;
  return table(t.failures, [[c.time], [c.key], [c.verdict], [c.status, "num"], [c.error]], failureRows(failures));
}
function showFailures() {
  put($("failures"), shown.failures.length ? failureTable(shown.failures) : h("p", { class: "muted" }, t.noFailures));
}
async function showStory(index) {
  const key = await ask(`keys/${index}`);
  $("story-title").textContent = t.story(key.preview, key.index);
  const fact = (name, value) => value === null ? [] : [h("dt", {}, name), h("dd", {}, value)];
  const { out } = key;
  const c = t.columns;
  put($("story-body"),
    h("dl", { class: "facts" },
      fact(c.state, h("span", { class: `badge tone-${key.state}` }, t.keyStates[key.state])),
      fact(t.served, number(key.served)), fact(t.failedFor, number(key.failed)),
      fact(c.failures, number(key.failures_in_a_row)), fact(t.cooldowns, number(key.cooldowns_in_a_row)),
      out ? [fact(c.why, cause(out.reason)), fact(t.rule, out.rule), fact(c.status, [out.status, out.code].filter((part) => part !== null).join(" ") || null), fact(t.said, out.last_error), fact(c.since, ago(out.blacklist_at)),
        fact(c.recovers, recovers(out)), fact(t.wait, out.wait_s === null ? out.wait_from : `${out.wait_from} (${out.wait_s} s)`), fact(c.upstream, out.upstream)] : []),
    key.out_for_models.length ? [h("h3", {}, t.forModels), h("ul", {}, key.out_for_models.map((one) => h("li", {}, h("span", { class: "code" }, one.model), " ", why(one), recovers(one))))] : null,
    h("h3", {}, t.lastFailures), key.last_failures.length ? h("div", { class: "scroll" }, failureTable(key.last_failures)) : h("p", { class: "muted" }, t.noFailures));
  put($("story-actions"), ...(out || key.out_for_models.length ? ["restore"] : ["blacklist"]).map((what) => act(key, what)));
  $("story").dataset.preview = key.preview;
  if (!$("story").open) $("story").showModal();
}

// ---- Acting

function say(text, tone) {
  $("said").replaceChildren(h("p", { class: tone ?? "" }, text));
  setTimeout(() => $("said").replaceChildren(), 6000);
}
function confirmed(what, about) {
  const [title, text] = t.ask[what];
  $("ask-title").textContent = title;
  $("ask-text").textContent = text(about);
  $("ask-yes").textContent = t[what];
  const dialog = $("ask");
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}
async function doIt(what, path, about) {
  if (!(await confirmed(what, about))) return;
  try {
    await ask(path, "POST");
    say(t.done[what]);
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error.status === 401) return login(true);
    say(error.code === "key_moved" ? t.done.moved : t.failed(error.message), "bad");
  }
  $("story").close();
  round = 0;
  await look();
}
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-act]");
  if (!button) return;
  const { act: what, index } = button.dataset;
  if (what === "models") {
    shown.allModels = !shown.allModels;
    return showUsage();
  }
  if (what === "details") return showStory(index).catch((error) => say(t.failed(error.message), "bad"));
  const listed = shown.keys?.keys.find((key) => String(key.index) === index)?.preview;
  const preview = button.closest("#story") ? $("story").dataset.preview : listed;
  doIt(what, `keys/${index}/${what}?${new URLSearchParams({ preview })}`, preview);
});
$("restore-all").addEventListener("click", () => doIt("restoreAll", "keys/restore"));
$("reload").addEventListener("click", () => doIt("reload", "reload"));
$("story-close").addEventListener("click", () => $("story").close());

// Asks for the token; what an earlier one showed goes.
function login(wrong) {
  clearTimeout(timer);
  asked.abort();
  asked = new AbortController();
  token = null;
  save(sessionStorage, "token", null);
  Object.assign(shown, nothing());
  page.offset = 0;
  for (const id of ["story", "ask"]) $(id).close();
  for (const id of ["tiles", "pool", "upstreams", "usage", "keys-table", "failures", "story-title", "story-body", "story-actions", "said", "matching", "about"]) $(id).replaceChildren();
  for (const id of ["q", "failure-q"]) $(id).value = "";
  delete $("story").dataset.preview;
  for (const chart of Object.values(charts)) chart.clear();
  for (const id of ["trouble", "forget", "main"]) $(id).hidden = true;
  $("locked").hidden = false;
  showState("locked");
  enter(wrong);
}
function enter(wrong) {
  $("login-wrong").hidden = !wrong;
  if (!$("login").open) $("login").showModal();
  $("token").focus();
}
$("enter").addEventListener("click", () => enter(false));
$("login-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("token").value.trim();
  $("token").value = "";
  if (!isToken(text)) return enter(true);
  token = text;
  save(sessionStorage, "token", token);
  $("login").close();
  round = 0;
  look();
});
$("forget").addEventListener("click", () => login(false));

// ---- Choosing

const firstPage = () => { page.offset = 0; return lookAtKeys(); };
for (const id of ["filter-state", "filter-reason", "sort"]) $(id).addEventListener("change", soon(firstPage));
$("q").addEventListener("input", soon(firstPage));
for (const id of ["failure-q", "failure-verdict"]) $(id).addEventListener("input", soon(lookAtFailures));
for (const id of ["filters", "failure-filters"]) $(id).addEventListener("submit", (event) => event.preventDefault());
$("earlier").addEventListener("click", () => { page.offset = Math.max(0, page.offset - page.limit); soon(lookAtKeys)(); });
$("later").addEventListener("click", () => { page.offset += page.limit; soon(lookAtKeys)(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });

function speak() {
  t = words[language];
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t[node.dataset.t];
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", t[node.dataset.label]);
  $("language").textContent = t.other;
  $("language").setAttribute("aria-label", t.otherLabel);
  options($("filter-state"), t.filterStates, t.stateLabel);
  options($("filter-reason"), t.reasons, t.reasonLabel);
  options($("sort"), t.sorts, t.sortLabel);
  options($("failure-verdict"), t.verdicts, t.verdictLabel);
  for (const [id, text] of [["q", t.search], ["failure-q", t.searchFailures]]) {
    $(id).placeholder = text;
    $(id).setAttribute("aria-label", text);
  }
  paint();
  if (!shown.overview) return showState($("locked").hidden ? "wait" : "locked");
  showOverview();
  if (shown.series) showSeries();
  if (shown.keys) showKeys();
  if (shown.failures) showFailures();
}
function paint() {
  const theme = saved(localStorage, "theme") ?? "auto";
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = t.themes[theme];
  $("theme").setAttribute("aria-label", `${t.themeLabel}: ${t.themes[theme]}`);
}
$("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  save(localStorage, "language", language);
  speak();
});
$("theme").addEventListener("click", () => {
  const all = ["auto", "light", "dark"];
  const next = all[(all.indexOf(document.documentElement.dataset.theme) + 1) % all.length];
  save(localStorage, "theme", next);
  paint();
});

speak();
$("filter-state").value = "out";
if (isToken(token)) look();
else login(true);
