"use strict";
/* Charts and the trade table of one run. */
const unit = DATA.currency;
const sign = (x) => (x > 0 ? "gain" : x < 0 ? "loss" : "");
const when = (ms) => new Date(ms).toISOString().replace("T", " ").slice(0, 19);
const MOST_MARKS = 2000;
const narrow = innerWidth < 760;
const span = (s) => s < 60 ? s.toFixed(1) + " s" : s < 3600 ? (s / 60).toFixed(1) + " min" : (s / 3600).toFixed(1) + " h";

draw("equity", () => ({
  traces: [
    { x: DATA.equity.ts, y: DATA.equity.equity, name: "Equity", mode: "lines", line: { color: colour("accent"), width: 2, shape: "hv" }, hovertemplate: "%{y:,.2f} " + unit + "<extra>equity</extra>" },
    { x: DATA.equity.ts, y: DATA.equity.drawdown.map((d) => 100 * d), name: "Drawdown", yaxis: "y2", mode: "lines", line: { color: colour("loss"), width: 1, shape: "hv" }, fill: "tozeroy", fillcolor: fade(colour("loss"), 0.22), hovertemplate: "%{y:.3f} %<extra>drawdown</extra>" },
    { x: DATA.equity.ts, y: DATA.equity.exposure, name: "Exposure", yaxis: "y3", mode: "lines", line: { color: colour("dim"), width: 1, shape: "hv" }, fill: "tozeroy", fillcolor: fade(colour("dim"), 0.18), hovertemplate: "%{y:,.0f} " + unit + "<extra>exposure</extra>" },
  ],
  layout: {
    showlegend: false, hovermode: "x unified", xaxis: { type: "date", anchor: "y3" },
    yaxis: { domain: [0.46, 1], title: { text: "Equity, " + unit }, tickformat: ",.10~g" }, yaxis2: { domain: [0.22, 0.42], title: { text: narrow ? "" : "Drawdown" }, ticksuffix: " %" }, yaxis3: { domain: [0, 0.18], title: { text: narrow ? "" : "Exposure" }, rangemode: "tozero", tickformat: ",.10~g" },
    shapes: [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: DATA.equity.initial, y1: DATA.equity.initial, line: { color: colour("dim"), width: 1, dash: "dot" } }],
  },
}));

function marks(trades, name, symbol, tone, isEntry) {
  return {
    x: trades.map((t) => (isEntry ? t.opened : t.closed)), y: trades.map((t) => Number(isEntry ? t.entry : t.exit)), mode: "markers", name,
    marker: { size: isEntry ? 10 : 9, symbol, color: colour(tone), line: isEntry ? { width: 0.5, color: colour("bg") } : { width: 2, color: colour(tone) } },
    text: trades.map((t) => "#" + t.number + " " + t.side + ", " + t.strategy + (isEntry ? "" : "<br>net " + money(Number(t.net)) + " " + unit + ", " + t.exit_reason)), hovertemplate: "%{text}<br>%{y}<extra></extra>",
  };
}

const chosen = $("instrument");
const paintPrice = draw("price", () => {
  const series = DATA.prices[chosen ? Number(chosen.value) : 0];
  const all = DATA.trades.filter((t) => t.instrument === series.instrument);
  const every = Math.ceil(all.length / MOST_MARKS) || 1;
  const trades = all.filter((_, k) => k % every === 0);
  $("marks-note").textContent = every > 1 ? "Of " + all.length + " positions one in " + every + " is drawn; all are in the table." : "";
  const paths = { x: [], y: [], mode: "lines", line: { color: colour("dim"), width: 1, dash: "dot" }, hoverinfo: "skip", showlegend: false };
  for (const t of trades) { paths.x.push(t.opened, t.closed, null); paths.y.push(Number(t.entry), Number(t.exit), null); }
  const midAt = (ts) => {
    let low = 0, high = series.ts.length - 1;
    while (low < high) { const middle = (low + high + 1) >> 1; if (series.ts[middle] <= ts) low = middle; else high = middle - 1; }
    return series.mid[low];
  };
  const found = DATA.findings.filter((one) => one.instrument === series.instrument);
  const shapes = [...new Set(found.map((one) => one.pattern))].map((pattern, k) => {
    const own = found.filter((one) => one.pattern === pattern);
    return {
      x: own.map((one) => one.ts), y: own.map((one) => one.price ?? midAt(one.ts)), mode: "markers", name: pattern, text: own.map((one) => one.text), hovertemplate: "%{text}<extra></extra>",
      marker: { size: 8, symbol: ["circle-open", "square-open", "diamond-open", "hexagon-open"][k % 4], color: colour("warn"), line: { width: 1.5, color: colour("warn") } },
    };
  });
  return {
    traces: [{ x: series.ts, y: series.mid, mode: "lines", name: "Mid", line: { color: colour("accent"), width: 1.3 }, hovertemplate: "%{y}<extra>mid</extra>" }, paths,
      marks(trades.filter((t) => t.side === "long"), "Long", "triangle-up", "gain", true), marks(trades.filter((t) => t.side !== "long"), "Short", "triangle-down", "loss", true),
      marks(trades.filter((t) => Number(t.net) > 0), "Exit, won", "x-thin", "gain", false), marks(trades.filter((t) => Number(t.net) <= 0), "Exit, lost", "x-thin", "loss", false), ...shapes],
    layout: { hovermode: "closest", xaxis: { type: "date" }, yaxis: { tickformat: ",.10~g", title: { text: "Price" } } },
  };
});
if (chosen) chosen.addEventListener("change", () => paintPrice());

const nets = DATA.trades.map((t) => Number(t.net));
const split = (name, values, tone) => ({ x: values, type: "histogram", name, marker: { color: colour(tone) }, opacity: 0.85 });
// Plotly warns of a histogram of nothing.
const filled = (parts, bins) => parts.filter((p) => p.x.length).map((p) => Object.assign(p, { xbins: bins, autobinx: false }));
draw("net-distribution", () => {
  const low = Math.min(...nets), high = Math.max(...nets), width = Math.max((high - low) / 30, 1e-9);
  const bins = { start: Math.floor(low / width) * width, end: high + width, size: width };
  const parts = filled([split("Losing", nets.filter((n) => n <= 0), "loss"), split("Winning", nets.filter((n) => n > 0), "gain")], bins);
  return { traces: parts, layout: { barmode: "stack", bargap: 0.04, xaxis: { title: { text: "Net of a position, " + unit } }, yaxis: { title: { text: "Positions" } } } };
});
draw("duration-distribution", () => {
  const seconds = DATA.trades.map((t) => t.seconds), top = Math.max(...seconds);
  const [per, name] = top < 180 ? [1, "seconds"] : top < 3 * 3600 ? [60, "minutes"] : [3600, "hours"];
  const held = (keep) => DATA.trades.filter((t) => keep(Number(t.net))).map((t) => t.seconds / per);
  const bins = { start: 0, end: top / per * 1.001, size: Math.max(top / per / 30, 1e-9) };
  const parts = filled([split("Losing", held((n) => n <= 0), "loss"), split("Winning", held((n) => n > 0), "gain")], bins);
  return { traces: parts, layout: { barmode: "stack", bargap: 0.04, xaxis: { title: { text: "Time held, " + name } }, yaxis: { title: { text: "Positions" } } } };
});
draw("costs", () => {
  const c = DATA.costs;
  return {
    traces: [{
      type: "waterfall", measure: ["absolute", "relative", "relative", "relative", "total"], x: ["At mid", "Spread and<br>slippage", "Fees", "Funding", "Net"], y: [c.at_mid, -c.slippage, -c.fees, -c.funding, 0],
      text: [c.at_mid, -c.slippage, -c.fees, -c.funding, c.net].map((x) => money(x)), textposition: "outside", cliponaxis: false, textfont: { color: colour("text") },
      increasing: { marker: { color: colour("gain") } }, decreasing: { marker: { color: colour("loss") } }, totals: { marker: { color: colour("accent") } }, connector: { line: { color: colour("line"), width: 1 } }, hovertemplate: "%{text} " + unit + "<extra></extra>",
    }],
    layout: { showlegend: false, margin: { l: 52, r: 12, t: 26, b: 40 }, yaxis: { title: { text: unit } }, xaxis: {} },
  };
});
draw("markouts", () => ({
  traces: DATA.markouts.map((m, k) => ({ x: m.seconds.map((s) => (s === 0 ? "at the fill" : s + " s after")), y: m.bps, name: m.name, mode: "lines+markers", connectgaps: true, line: { width: 2, color: [colour("accent"), colour("gain"), colour("warn")][k] }, marker: { size: 7 }, hovertemplate: "%{y:.3f} bps %{x}<extra>" + m.name + "</extra>" })),
  layout: { xaxis: { type: "category" }, yaxis: { title: { text: "Mid in our favour, bps" }, zeroline: true } },
}));

for (const tab of document.querySelectorAll("[role=tab]")) {
  tab.addEventListener("click", () => {
    for (const other of tab.parentElement.children) {
      other.setAttribute("aria-selected", String(other === tab));
      $(other.getAttribute("aria-controls")).hidden = other !== tab;
    }
  });
}

/* --- trade table --- */
const PAGE = 50;
const COLUMNS = [["#", "number"], ["Opened (UTC)", "opened"], ["Instrument", "instrument"], ["Strategy", "strategy"], ["Side", "side"], ["Size", "size"], ["Entry", "entry"], ["Exit", "exit"], ["Held", "seconds"], ["Gross", "gross"], ["Fees", "fees"], ["Net", "net"], ["Why out", "exit_reason"]];
const WORDS = new Set(["instrument", "strategy", "side", "exit_reason"]);
const table = { key: "number", up: true, page: 0 };
const cell = (text, kind) => { const td = document.createElement("td"); td.textContent = text; if (kind) td.className = kind; return td; };
const node = (tag, text) => { const it = document.createElement(tag); if (text !== undefined) it.textContent = text; return it; };

function wanted() {
  const text = $("filter").value.trim().toLowerCase(), outcome = $("outcome").value;
  const rows = DATA.trades.filter((t) => (outcome === "all" || (outcome === "won") === Number(t.net) > 0) && (!text || t.haystack.includes(text)));
  const of = WORDS.has(table.key) ? (t) => t[table.key] : (t) => Number(t[table.key]);
  return rows.sort((a, b) => ((of(a) > of(b)) - (of(a) < of(b))) * (table.up ? 1 : -1));
}

function why(t) {
  const td = node("td"), grid = node("div"), tr = node("tr");
  td.colSpan = COLUMNS.length; tr.className = "why"; grid.className = "why-grid";
  const block = (title, content) => { const div = node("div"); div.append(node("h4", title), content); grid.append(div); };
  const reasons = node("ul");
  (t.reasons.length ? t.reasons : ["no reason was given"]).forEach((r) => reasons.append(node("li", r)));
  const pairs = (rows) => { const dl = node("dl"); rows.forEach(([k, v]) => dl.append(node("dt", k), node("dd", v))); return dl; };
  block("Why in" + (t.strength === null ? "" : " (strength " + t.strength.toFixed(2) + ")"), reasons);
  block("Why out, and what it cost", pairs([["exit", t.exit_reason], ["closed", when(t.closed)], ["gross", t.gross], ["of that spread and slippage", t.slippage], ["fees", t.fees], ["funding", t.funding], ["net", t.net + " " + unit]]));
  const features = pairs(Object.entries(t.features).map(([k, v]) => [k, Number(v.toPrecision(5)).toString()]));
  features.className = "features";
  block("Features at entry", Object.keys(t.features).length ? features : node("span", "none recorded"));
  td.append(grid); tr.append(td);
  return tr;
}

function row(t) {
  const tr = node("tr"), first = node("td"), open = node("button", "▸");
  tr.className = "trade"; tr.dataset.number = t.number; open.type = "button"; open.setAttribute("aria-expanded", "false"); open.setAttribute("aria-label", "Why trade " + t.number);
  first.append(open, String(t.number));
  tr.append(first, cell(when(t.opened)), cell(t.instrument.split(":").pop(), "l"), cell(t.strategy, "l"), cell(t.side, "l"), cell(t.size), cell(t.entry_shown), cell(t.exit_shown), cell(span(t.seconds)), cell(money(Number(t.gross)), sign(Number(t.gross))), cell(money(Number(t.fees))), cell(money(Number(t.net)), sign(Number(t.net))), cell(t.exit_reason, "l"));
  tr.addEventListener("click", () => {
    const shown = tr.nextElementSibling && tr.nextElementSibling.classList.contains("why");
    if (shown) tr.nextElementSibling.remove(); else tr.after(why(t));
    open.textContent = shown ? "▸" : "▾"; open.setAttribute("aria-expanded", String(!shown));
  });
  return tr;
}

function fillTable() {
  const rows = wanted(), pages = Math.max(1, Math.ceil(rows.length / PAGE));
  table.page = Math.min(table.page, pages - 1);
  $("rows").replaceChildren(...rows.slice(table.page * PAGE, (table.page + 1) * PAGE).map(row));
  $("page").textContent = rows.length + " of " + DATA.trades.length + " positions, page " + (table.page + 1) + " of " + pages;
  $("before").disabled = table.page === 0; $("after").disabled = table.page >= pages - 1;
  for (const th of $("head").children) th.setAttribute("aria-sort", th.dataset.key === table.key ? (table.up ? "ascending" : "descending") : "none");
}

if ($("rows")) {
  for (const [title, key] of COLUMNS) {
    const th = node("th"), button = node("button", title);
    th.dataset.key = key; if (WORDS.has(key)) th.className = "l"; th.append(button); $("head").append(th);
    button.addEventListener("click", () => { table.up = table.key === key ? !table.up : true; table.key = key; fillTable(); });
  }
  for (const t of DATA.trades) t.haystack = [t.number, t.instrument, t.strategy, t.side, t.exit_reason, ...t.reasons].join(" ").toLowerCase();
  $("filter").addEventListener("input", () => { table.page = 0; fillTable(); });
  $("outcome").addEventListener("change", () => { table.page = 0; fillTable(); });
  $("before").addEventListener("click", () => { table.page -= 1; fillTable(); });
  $("after").addEventListener("click", () => { table.page += 1; fillTable(); });
  fillTable();
}
