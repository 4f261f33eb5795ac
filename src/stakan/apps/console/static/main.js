/* The console's main page: one stream of topics, one of frames, and the widgets that show them. */

import { $, Socket, ago, clock, count, number, readColours, recall, remember, root, short, signed } from "./core.js";
import { Book } from "./book.js";
import { heatmap } from "./heatmap.js";
import { ladder } from "./ladder.js";
import { candles, equity } from "./charts.js";
import { Table } from "./tables.js";

const TOPICS = ["pairs", "status", "books", "positions", "orders", "equity", "decisions", "fills", "trades"];
const QUIET_MS = 3500;
const OLD_MS = 4000;
const REFRESH_MS = 4 * 60_000;

const state = {
  pairs: [], symbol: null, pair: null, books: new Map(), candles: [], fills: [], equity: [], decisions: [], trades: [],
  status: null, heard: 0, link: "down", problem: "", age: null, filter: "all",
};
window.stakan = { state };

/* --- session ------------------------------------------------------------------------------------------------------ */

async function refresh() {
  const renew = async () => {
    if (Date.now() - Number(recall("session") || 0) < 60_000) return true;
    const answer = await fetch("/auth/refresh", { method: "POST" });
    if (answer.ok) remember("session", Date.now());
    return answer.ok;
  };
  /* One tab at a time: a refresh token counts once. */
  return navigator.locks ? navigator.locks.request("stakan.refresh", renew) : renew();
}
let isLeaving = false;
async function ended() {
  if (isLeaving) return;
  remember("session", 0);
  try { if (await refresh()) return; } catch { return; }
  try { localStorage.removeItem("stakan.session"); } catch { /* private window */ }
  location.replace("/login");
}

/* --- start: the page comes from the server after this file ----------------------------------------------------------- */

function whenThere(id) {
  return new Promise((resolve) => {
    const look = () => ($(id) ? resolve() : requestAnimationFrame(look));
    look();
  });
}
await whenThere("live");
readColours();
remember("session", Date.now());
setInterval(() => refresh().catch(() => {}), REFRESH_MS);

const book = new Book({ onChange: () => { steps.ask(); heat.ask(); }, onEnd: ended });
const heat = heatmap($("heatmap"), book);
const steps = ladder($("ladder"), book);
const bars = candles($("candles"), state);
const curve = equity($("equity"), state);
const emit = (name, value) => window.emitEvent(name, value);

/* --- tables ------------------------------------------------------------------------------------------------------- */

const pairOf = (id) => state.pairs.find((pair) => pair.id === id);
const price = (row, value) => (value === null ? "–" : number(Number(value), pairOf(row.instrument)?.price_digits ?? 2));
const size = (value) => short(Number(value));
const money = (value, digits = 2) => ({ text: signed(Number(value), digits), tone: Number(value) > 0 ? "up" : Number(value) < 0 ? "down" : "" });
const side = (row) => ({ text: row.side || "", tone: row.side === "buy" ? "up" : row.side === "sell" ? "down" : "" });
const positionSide = (row) => ({ text: row.side === "buy" ? "long" : "short", tone: row.side === "buy" ? "up" : "down" });
const words = (text) => String(text).replaceAll("_", " ");

const positions = new Table("positions", {
  key: (row) => row.id,
  empty: "No open positions",
  onAction: (_, row) => emit("flatten_one", { instrument: row.instrument, symbol: row.symbol }),
  columns: [
    (row) => ({ text: row.symbol, title: row.instrument }), positionSide, (row) => size(row.size),
    (row) => price(row, row.entry_price), (row) => price(row, row.mark), (row) => money(row.unrealised_pnl),
    (row) => (row.stop_loss === null ? { text: "none", tone: "bad" } : price(row, row.stop_loss)), (row) => price(row, row.take_profit),
    (row) => ({ text: words(row.strategy), title: row.reasons.join("\n") }), (row) => row.status,
    () => ({ text: "Flatten", action: "flatten", title: "Close this position" }),
  ],
});
const orders = new Table("orders", {
  key: (row) => row.id,
  empty: "No orders at work",
  columns: [
    (row) => row.symbol, side, (row) => row.purpose, (row) => row.type, (row) => price(row, row.price),
    (row) => `${size(row.filled)} / ${size(row.size)}`,
    (row) => ({ text: words(row.status), tone: row.status === "rejected" || row.status === "failed" ? "bad" : "", title: row.cause }),
    (row) => words(row.strategy), (row) => ({ text: row.id.slice(0, 10), title: row.id }),
  ],
});
const trades = new Table("trades", {
  key: (row) => row.id,
  empty: "No closed trades yet",
  most: 100,
  columns: [
    (row) => clock(row.closed), (row) => row.symbol, positionSide, (row) => size(row.size), (row) => price(row, row.entry_price),
    (row) => price(row, row.exit_price), (row) => ({ text: number(Number(row.fees), 3), tone: "" }), (row) => money(row.net_pnl),
    (row) => ago(row.closed - row.opened), (row) => ({ text: words(row.strategy), title: row.entry_reasons.join("\n") }), (row) => words(row.exit_reason),
  ],
});
const health = new Table("health", {
  key: (row) => row.instrument,
  empty: "No books yet",
  columns: [
    (row) => ({ text: row.symbol, title: row.instrument }),
    (row) => ({ text: number(row.health * 100, 0) + " %", tone: !row.is_usable || row.health < 0.5 ? "bad" : row.health < 0.9 ? "warn" : "", title: row.health_reasons.join("\n") }),
    (row) => (row.spread_bps === null ? "–" : number(row.spread_bps, 2)), (row) => number(row.latency_ms, 1), (row) => row.gaps, (row) => row.resyncs,
  ],
});
const stages = new Table("stages", {
  key: (row) => row.stage,
  empty: "Nothing measured yet",
  columns: [
    (row) => row.stage, (row) => number(row.p50_ms, 2), (row) => number(row.p99_ms, 2), (row) => number(row.worst_ms, 2), (row) => count(row.count),
  ],
});

/* --- decision feed -------------------------------------------------------------------------------------------------- */

const TONES = { finding: "warn", approved: "up", refused: "warn", signal: "accent", exit: "own", state: "bad", discrepancy: "bad", book: "warn", order: "dim" };
const feed = new Table("decisions", {
  key: (row) => row.key,
  empty: "No decisions yet",
  most: 120,
  foldable: true,
  columns: [
    (row) => clock(row.ts), (row) => ({ text: row.kind, tone: TONES[row.kind] || "" }), (row) => row.symbol, side,
    (row) => ({ text: [row.strategy && words(row.strategy), row.reason && words(row.reason), row.detail].filter(Boolean).join(" · "), title: row.detail }),
  ],
});
function showDecisions() {
  const shown = state.decisions.filter((row) => state.filter === "all" || row.kind === state.filter);
  feed.show(shown.slice(-120).reverse());
}

/* --- topics --------------------------------------------------------------------------------------------------------- */

const append = (name, most, message) => {
  state[name] = message.kind === "snapshot" ? message.data : [...state[name], ...message.data].slice(-most);
};
const numbers = (bar) => ({ ts: bar.ts, open: +bar.open, high: +bar.high, low: +bar.low, close: +bar.close, volume: +bar.volume });
let decided = 0;

const handlers = {
  heartbeat: (message) => { state.link = message.link; state.problem = message.problem; state.age = message.update_age_ms; judge(); },
  pairs: ({ data }) => { state.pairs = data; showPairs(); },
  status: ({ data }) => { state.status = data; state.link = data.link; state.age = data.update_age_ms; showStatus(); judge(); },
  books: ({ data }) => { state.books = new Map(data.map((row) => [row.symbol, row])); health.show(data); showPrices(); },
  positions: ({ data }) => { positions.show(data); $("positions-count").textContent = data.length || ""; },
  orders: ({ data }) => { orders.show(data); $("orders-count").textContent = data.filter((row) => !["filled", "cancelled", "rejected", "failed"].includes(row.status)).length || ""; },
  equity: (message) => {
    const points = message.data.map((point) => ({ ts: point.ts, equity: Number(point.equity) }));
    append("equity", 7200, { kind: message.kind, data: points });
    curve.ask();
  },
  decisions: (message) => {
    append("decisions", 500, { kind: message.kind, data: message.data.map((row) => ({ ...row, key: decided++ })) });
    showDecisions();
  },
  fills: (message) => { append("fills", 2000, message); bars.ask(); },
  trades: (message) => { append("trades", 500, message); trades.show([...state.trades].reverse()); showTrades(); },
};

function showCandles(message) {
  const fresh = message.data.map(numbers);
  if (message.kind === "snapshot") state.candles = fresh;
  for (const bar of message.kind === "delta" ? fresh : []) {
    const index = state.candles.findLastIndex((known) => known.ts === bar.ts);
    if (index >= 0) state.candles[index] = bar;
    else state.candles.push(bar);
  }
  if (state.candles.length > 1000) state.candles.splice(0, state.candles.length - 1000);
  bars.ask();
}

const stream = new Socket("/ws", {
  onEnd: ended,
  onOpen: (socket) => socket.send({ subscribe: [...TOPICS, ...(state.symbol ? [`candles:${state.symbol}`] : [])] }),
  onMessage: (text) => {
    state.heard = performance.now();
    const message = JSON.parse(text);
    if (message.topic === `candles:${state.symbol}`) showCandles(message);
    else handlers[message.topic]?.(message);
  },
});

Object.assign(window.stakan, { stream, frames: () => book.received });

/* --- symbols -------------------------------------------------------------------------------------------------------- */

function showPairs() {
  const names = state.pairs.map((pair) => pair.symbol);
  const known = [...$("symbols").children].map((tab) => tab.dataset.symbol);
  if (names.join() !== known.join()) {
    $("symbols").replaceChildren(...state.pairs.map((pair) => {
      const tab = document.createElement("button");
      tab.role = "tab";
      tab.dataset.symbol = pair.symbol;
      const name = document.createElement("b");
      name.textContent = pair.symbol.replace(/USDT$/, "");
      tab.append(name, document.createElement("span"));
      tab.addEventListener("click", () => choose(pair.symbol));
      return tab;
    }));
  }
  if (!names.includes(state.symbol)) {
    const left = recall("symbol");
    if (names.length) choose(names.includes(left) ? left : names[0]);
  } else {
    state.pair = state.pairs.find((pair) => pair.symbol === state.symbol);
  }
}

function choose(symbol) {
  if (state.symbol) stream.send({ unsubscribe: [`candles:${state.symbol}`] });
  state.symbol = symbol;
  state.pair = state.pairs.find((pair) => pair.symbol === symbol);
  state.candles = [];
  remember("symbol", symbol);
  for (const tab of $("symbols").children) {
    tab.setAttribute("aria-selected", String(tab.dataset.symbol === symbol));
    if (tab.dataset.symbol === symbol) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  for (const place of document.querySelectorAll("[data-symbol-name]")) place.textContent = symbol;
  stream.send({ subscribe: [`candles:${symbol}`] });
  book.watch(symbol);
  heat.reset();
  bars.ask();
}

function showPrices() {
  for (const tab of $("symbols").children) {
    const row = state.books.get(tab.dataset.symbol);
    const pair = state.pairs.find((known) => known.symbol === tab.dataset.symbol);
    tab.lastElementChild.textContent = row?.mid && pair ? number(Number(row.mid), pair.price_digits) : "–";
  }
  const row = state.books.get(state.symbol);
  $("funding").textContent = row?.funding_rate ? `funding ${number(Number(row.funding_rate) * 100, 4)} %` : "";
  $("mark").textContent = row?.mark && state.pair ? `mark ${number(Number(row.mark), state.pair.price_digits)}` : "";
}

/* --- status --------------------------------------------------------------------------------------------------------- */

function set(id, text, tone) {
  const place = $(id);
  if (place.textContent !== text) place.textContent = text;
  if (tone !== undefined) place.dataset.tone = tone;
}

function showStatus() {
  const now = state.status;
  root.dataset.trading = now.trading === "halted" ? "halted" : now.paused ? "paused" : now.trading || "unknown";
  root.dataset.synthetic = String(now.is_synthetic);
  set("mode", now.mode || "no bot");
  $("mode").dataset.mode = now.mode;
  $("mode").title = now.market;
  const start = state.equity[0]?.equity;
  const change = start === undefined ? 0 : Number(now.equity) - start;
  const open = Number(now.equity) - Number(now.balance);
  set("equity-now", number(Number(now.equity)));
  set("equity-change", start ? `${signed(change)} · ${signed((change / start) * 100, 3)} %` : "", change > 0 ? "up" : change < 0 ? "down" : "");
  set("open-now", signed(open), open > 0 ? "up" : open < 0 ? "down" : "");
  set("open-more", `balance ${number(Number(now.balance))}`);
  set("exposure-now", number(Number(now.exposure), 0));
  set("exposure-more", Number(now.equity) ? `${number((Number(now.exposure) / Number(now.equity)) * 100, 1)} % of equity` : "");
  set("count-now", `${now.positions} / ${now.orders}`);
  const word = { active: "Trading", reducing: "Only closing", halted: "Halted" }[now.trading] || "Unknown";
  set("trading-now", now.paused && now.trading === "active" ? "Paused" : word, now.trading === "halted" ? "bad" : now.paused || now.trading !== "active" ? "warn" : "up");
  set("trading-more", now.halted_for ? words(now.halted_for) : now.paused ? "no new entries" : `${number(now.events_per_second, 0)} events/s`);
  const feedStage = now.latencies.find((stage) => stage.stage === "feed");
  set("lag-now", `${number(now.lag_ms, 1)} ms`, now.lag_ms > 50 ? "warn" : "");
  set("lag-more", feedStage ? `feed p99 ${number(feedStage.p99_ms, 1)} ms` : "of the loop");
  stages.show(now.latencies);
  const problems = now.problems.join("  ·  ");
  set("problems-text", problems);
  $("problems").hidden = !problems;
  document.title = state.symbol ? `${state.symbol} · stakan` : "stakan";
}

function showTrades() {
  const net = state.trades.map((trade) => Number(trade.net_pnl));
  const won = net.filter((value) => value > 0);
  const lost = net.filter((value) => value < 0).reduce((sum, value) => sum - value, 0);
  const gained = won.reduce((sum, value) => sum + value, 0);
  const parts = net.length ? [`${net.length} closed`, `${number((won.length / net.length) * 100, 0)} % won`, lost ? `profit factor ${number(gained / lost, 2)}` : ""] : [];
  set("trades-more", parts.filter(Boolean).join(" · "));
  set("count-more", net.length ? `${signed(gained - lost)} in ${net.length} trades` : "no trades yet", net.length ? (gained > lost ? "up" : "down") : "");
}

/* What is shown counts as live only while it is: this browser hears the console, the console hears the bot. */
function judge() {
  const quiet = performance.now() - state.heard;
  const isOffline = quiet > QUIET_MS;
  const verdict = isOffline ? "offline" : state.link;
  if (root.dataset.live !== verdict) root.dataset.live = verdict;
  const age = (state.age ?? 0) + (isOffline ? quiet : 0);
  const seen = state.age === null ? "no update was seen yet" : `the last update is ${ago(age)} old`;
  const texts = {
    offline: `No connection to the console: ${seen}. Trying again.`,
    down: `The bot is not connected (${state.problem || "no answer"}): ${seen}. What is shown is old.`,
    late: `The bot sends nothing: ${seen}. What is shown is old.`,
    live: "",
  };
  const labels = { offline: "offline", down: "bot down", late: "late", live: "live" };
  set("link-text", labels[verdict]);
  $("link").title = seen;
  set("banner-text", texts[verdict] || "");
  $("banner").hidden = verdict === "live";
  if (verdict === "live" && state.status?.link === "live" && !state.status.is_connected) {
    set("banner-text", "The bot has lost its exchange. It reconnects by itself; its stops rest at the exchange.");
    $("banner").hidden = false;
  }
  const last = book.last;
  const isOld = last && state.status?.ts && state.status.ts - last.marketTs > OLD_MS;
  $("market-old").hidden = !isOld;
  if (isOld) set("market-old", `no market data for ${ago(state.status.ts - last.marketTs)}`);
}
setInterval(judge, 250);

/* --- controls ------------------------------------------------------------------------------------------------------- */

function toggle(key, values) {
  const next = values[(values.indexOf(root.dataset[key]) + 1) % values.length];
  root.dataset[key] = next;
  remember(key, next);
  readColours();
}
const actions = {
  theme: () => toggle("theme", ["dark", "light"]),
  palette: () => toggle("palette", ["classic", "safe"]),
  account: () => $("account").showModal(),
  help: () => $("help").showModal(),
  "zoom-in": () => heat.zoom(0.7),
  "zoom-out": () => heat.zoom(1 / 0.7),
};
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (button) actions[button.dataset.do]?.();
  const kind = event.target.closest("[data-kind]");
  if (kind) {
    state.filter = kind.dataset.kind;
    for (const other of document.querySelectorAll("[data-kind]")) other.setAttribute("aria-pressed", String(other === kind));
    showDecisions();
  }
  if (event.target.matches("dialog") || event.target.closest("[data-close]")) event.target.closest("dialog").close();
});

const keys = {
  t: actions.theme, c: actions.palette, "?": actions.help, "+": actions["zoom-in"], "-": actions["zoom-out"],
  p: () => emit("key_pause"), f: () => emit("key_flatten"), h: () => emit("key_halt"),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog, [role=dialog]")) return;
  if (document.querySelector("dialog[open], .q-dialog__inner")) return;
  if (event.key >= "1" && event.key <= "9") {
    const pair = state.pairs[Number(event.key) - 1];
    if (pair) choose(pair.symbol);
  } else if (keys[event.key]) {
    event.preventDefault();
    keys[event.key]();
  }
});

$("logout").addEventListener("click", async () => {
  isLeaving = true;
  try { localStorage.removeItem("stakan.session"); } catch { /* private window */ }
  await fetch("/auth/logout", { method: "POST" }).catch(() => {});
  location.replace("/login");
});
$("password-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const told = $("password-told");
  told.textContent = "";
  if (form.fresh.value !== form.again.value) { told.textContent = "The two new passwords differ."; return; }
  const body = JSON.stringify({ password: form.old.value, new_password: form.fresh.value });
  const answer = await fetch("/auth/change-password", { method: "POST", headers: { "content-type": "application/json" }, body }).catch(() => null);
  if (answer?.ok) { remember("session", Date.now()); form.reset(); told.textContent = "The password is changed; other sessions have ended."; return; }
  told.textContent = answer ? (await answer.json()).detail : "The console does not answer.";
});
