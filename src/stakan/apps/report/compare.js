"use strict";
/* Overlaid equity of several runs. */
const tones = ["accent", "gain", "warn", "loss", "dim"];
draw("overlay", () => ({
  traces: DATA.runs.map((r, k) => ({ x: r.ts, y: r.change, name: r.name, mode: "lines", line: { width: 2, shape: "hv", color: colour(tones[k % tones.length]), dash: k < tones.length ? "solid" : "dash" }, hovertemplate: "%{y:.3f} %<extra>" + r.name + "</extra>" })),
  layout: { hovermode: "x unified", xaxis: { type: "date" }, yaxis: { title: { text: "Change of equity" }, ticksuffix: " %" }, showlegend: true },
}));
