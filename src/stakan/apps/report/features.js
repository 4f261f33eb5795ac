"use strict";
/* Distributions of the features of one file. */
for (const one of DATA.features) {
  const found = one.distribution;
  draw("feature-" + one.index, () => {
    const width = (found.high - found.low) / found.counts.length;
    return {
      traces: [{ type: "bar", x: found.counts.map((_, k) => found.low + (k + 0.5) * width), y: found.counts, width: width || undefined, marker: { color: colour("accent") }, hovertemplate: "%{y} of " + DATA.rows + "<br>around %{x:.6g}<extra></extra>" }],
      layout: { margin: { l: 40, r: 8, t: 4, b: 28 }, bargap: 0, xaxis: { tickformat: ".4~g", nticks: 5 }, yaxis: { nticks: 4 }, showlegend: false,
        shapes: [{ type: "line", x0: found.median, x1: found.median, yref: "paper", y0: 0, y1: 1, line: { color: colour("warn"), width: 1, dash: "dot" } }] },
    };
  });
}
