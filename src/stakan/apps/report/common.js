"use strict";
/* What both pages share: data, theme, chart defaults. */
const DATA = JSON.parse(document.getElementById("data").textContent);
const charts = [];
const $ = (id) => document.getElementById(id);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const money = (x, digits = 2) => (x < 0 ? "−" : "") + Math.abs(x).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const fade = (hex, share) => hex + Math.round(share * 255).toString(16).padStart(2, "0");

function layout(extra) {
  const axis = { gridcolor: colour("grid"), zerolinecolor: colour("line"), linecolor: colour("line"), automargin: true };
  const base = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 52, r: 12, t: 14, b: 36 },
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("dim") },
    hoverlabel: { bgcolor: colour("raised"), bordercolor: colour("line"), font: { color: colour("text") } },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, dragmode: innerWidth < 760 ? false : "zoom",
  };
  const out = Object.assign(base, extra);
  for (const key of Object.keys(out)) if (/^[xy]axis/.test(key)) out[key] = Object.assign({}, axis, out[key]);
  return out;
}

function draw(id, make) {
  if (!$(id)) return;
  const paint = () => {
    const { traces, layout: extra } = make();
    Plotly.react(id, traces, layout(extra), { displaylogo: false, responsive: true, displayModeBar: "hover", modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] });
  };
  charts.push(paint);
  paint();
  return paint;
}

$("theme").addEventListener("click", () => {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
  charts.forEach((paint) => paint());
});
