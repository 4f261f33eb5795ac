/* Candles with our own fills, and the equity curve. */

import { Canvas, alpha, clock, colours, number, pointer, short, signed, steps, tag } from "./core.js";

const AXIS = 74;
const FOOT = 22;

export function candles(box, state) {
  const canvas = new Canvas(box, (context, width, height) => {
    const plot = { width: width - AXIS, height: height - FOOT };
    const most = Math.max(20, Math.floor(plot.width / 8));
    const bars = state.candles.slice(-most);
    if (!bars.length || !state.pair) { empty(context, width, height, "Waiting for the first candle"); return; }
    const step = Math.min(14, plot.width / bars.length);
    const left = plot.width - bars.length * step;
    let low = Math.min(...bars.map((bar) => bar.low));
    let high = Math.max(...bars.map((bar) => bar.high));
    const margin = Math.max((high - low) * 0.12, Number(state.pair.tick_size) * 4);
    low -= margin; high += margin;
    const foot = plot.height * 0.16;
    const y = (price) => (plot.height - foot) - ((price - low) / (high - low)) * (plot.height - foot - 6);
    const x = (index) => left + (index + 0.5) * step;
    grid(context, plot, low, high, y, (price) => number(price, state.pair.price_digits), y(bars.at(-1).close));
    times(context, plot, bars.map((bar) => bar.ts), x);
    const volume = Math.max(...bars.map((bar) => bar.volume), 1e-12);
    const body = Math.max(1, Math.floor(step * 0.66));
    bars.forEach((bar, index) => {
      const tone = bar.close >= bar.open ? colours.up : colours.down;
      context.fillStyle = alpha(tone, 0.28);
      const tall = (bar.volume / volume) * foot;
      context.fillRect(x(index) - body / 2, plot.height - tall, body, tall);
      context.fillStyle = tone;
      context.fillRect(Math.round(x(index)) - 0.5, y(bar.high), 1, Math.max(1, y(bar.low) - y(bar.high)));
      const top = y(Math.max(bar.open, bar.close));
      context.fillRect(x(index) - body / 2, top, body, Math.max(1.2, y(Math.min(bar.open, bar.close)) - top));
    });
    fills(context, bars, state, x, y, plot);
    const last = bars.at(-1);
    tag(context, number(last.close, state.pair.price_digits), plot.width + 3, y(last.close), last.close >= last.open ? colours.up : colours.down, colours.isDark ? "#0a0d12" : "#ffffff");
    const index = Math.floor((at.x - left) / step);
    if (at.x >= 0 && bars[index] && at.y < plot.height) {
      context.fillStyle = alpha(colours.text, 0.3);
      context.fillRect(Math.round(x(index)), 0, 1, plot.height);
    }
    legend(context, bars[at.x >= 0 && bars[index] ? index : bars.length - 1], state.pair);
  });
  const at = pointer(canvas);
  return canvas;
}

function fills(context, bars, state, x, y, plot) {
  const first = bars[0].ts;
  const interval = bars.length > 1 ? Math.min(...bars.slice(1).map((bar, index) => bar.ts - bars[index].ts)) : 60_000;
  for (const fill of state.fills) {
    if (fill.ts < first) continue;
    const index = bars.findLastIndex((bar) => bar.ts <= fill.ts);
    if (index < 0 || fill.ts - bars[index].ts > interval * 2) continue;
    const sign = fill.side === "buy" ? 1 : -1;
    const top = y(Number(fill.price));
    if (top > plot.height) continue;
    context.beginPath();
    context.moveTo(x(index), top);
    context.lineTo(x(index) - 5, top + sign * 9);
    context.lineTo(x(index) + 5, top + sign * 9);
    context.closePath();
    context.fillStyle = colours.own;
    context.fill();
    context.strokeStyle = colours.isDark ? "#0a0d12" : "#ffffff";
    context.lineWidth = 1;
    context.stroke();
  }
}

function legend(context, bar, pair) {
  const digits = pair.price_digits;
  const parts = [["O", bar.open], ["H", bar.high], ["L", bar.low], ["C", bar.close]].map(([name, value]) => `${name} ${number(value, digits)}`);
  context.font = `500 11px ${colours.sans}`;
  context.textAlign = "left";
  context.textBaseline = "top";
  const text = `${clock(bar.ts)}   ${parts.join("   ")}   V ${short(bar.volume)}`;
  context.fillStyle = alpha(colours.panel, 0.85);
  context.fillRect(4, 2, context.measureText(text).width + 8, 17);
  context.fillStyle = colours.dim;
  context.fillText(text, 8, 5);
}

export function equity(box, state) {
  const canvas = new Canvas(box, (context, width, height) => {
    const plot = { width: width - AXIS, height: height - FOOT };
    const points = thinned(state.equity, plot.width * 1.5);
    if (points.length < 2) { empty(context, width, height, "Waiting for the first marks"); return; }
    let low = Infinity;
    let high = -Infinity;
    for (const point of points) { low = Math.min(low, point.equity); high = Math.max(high, point.equity); }
    const margin = Math.max((high - low) * 0.12, Math.abs(high) * 1e-5, 0.01);
    low -= margin; high += margin;
    const begin = points[0].ts;
    const end = points.at(-1).ts;
    const x = (ts) => ((ts - begin) / Math.max(1, end - begin)) * plot.width;
    const y = (value) => plot.height - ((value - low) / (high - low)) * (plot.height - 6);
    const digits = high - low < 0.5 ? 3 : high - low < 50 ? 2 : 0;
    const start = points[0].equity;
    const last = points.at(-1);
    grid(context, plot, low, high, y, (value) => number(value, digits), y(last.equity));
    times(context, plot, points.map((point) => point.ts), (index) => x(points[index].ts));
    const tone = last.equity >= start ? colours.up : colours.down;
    const path = new Path2D();
    points.forEach((point, index) => (index ? path.lineTo(x(point.ts), y(point.equity)) : path.moveTo(x(point.ts), y(point.equity))));
    const area = new Path2D(path);
    area.lineTo(x(end), plot.height); area.lineTo(0, plot.height); area.closePath();
    const shade = context.createLinearGradient(0, 0, 0, plot.height);
    shade.addColorStop(0, alpha(tone, 0.28)); shade.addColorStop(1, alpha(tone, 0));
    context.fillStyle = shade;
    context.fill(area);
    context.setLineDash([3, 4]);
    context.strokeStyle = colours["line-strong"];
    context.lineWidth = 1;
    context.beginPath(); context.moveTo(0, y(start)); context.lineTo(plot.width, y(start)); context.stroke();
    context.setLineDash([]);
    context.strokeStyle = tone;
    context.lineWidth = 1.6;
    context.lineJoin = "round";
    context.stroke(path);
    tag(context, number(last.equity, 2), plot.width + 3, y(last.equity), tone, colours.isDark ? "#0a0d12" : "#ffffff");
    if (at.x >= 0 && at.x < plot.width) {
      const wanted = begin + (at.x / plot.width) * (end - begin);
      const near = points.findLast((point) => point.ts <= wanted) || points[0];
      context.fillStyle = alpha(colours.text, 0.3);
      context.fillRect(Math.round(x(near.ts)), 0, 1, plot.height);
      const side = at.x > plot.width / 2 ? "right" : "left";
      const text = `${clock(near.ts)}   ${number(near.equity, 2)}   ${signed(near.equity - start, 2)}`;
      tag(context, text, x(near.ts) + (side === "left" ? 8 : -8), 14, colours.text, colours.panel, side);
    }
  });
  const at = pointer(canvas);
  return canvas;
}

/* Every so many points so that a line has no more than the screen can show; the newest stays. */
function thinned(points, most) {
  const every = Math.max(1, Math.ceil(points.length / most));
  return every === 1 ? points : points.filter((_, index) => (points.length - 1 - index) % every === 0);
}

/* Lines and their prices, but for those that the tag of the newest value would cover. */
function grid(context, plot, low, high, y, text, taken) {
  context.font = `11px ${colours.sans}`;
  context.textBaseline = "middle";
  context.textAlign = "left";
  for (const value of steps(low, high, plot.height / 42)) {
    const line = Math.round(y(value)) + 0.5;
    if (line < 8 || line > plot.height - 4) continue;
    context.fillStyle = colours.line;
    context.fillRect(0, line, plot.width, 1);
    if (Math.abs(line - taken) < 15) continue;
    context.fillStyle = colours.dim;
    context.fillText(text(value), plot.width + 8, line);
  }
}

function times(context, plot, moments, x) {
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillStyle = colours.dim;
  const span = moments.at(-1) - moments[0];
  const extent = x(moments.length - 1) - x(0);
  const every = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400]
    .map((s) => s * 1000).find((size) => span / size <= Math.max(1, extent / 90)) || 86_400_000;
  let last = -Infinity;
  for (let index = 1; index < moments.length; index += 1) {
    const here = Math.floor(moments[index] / every);
    if (here === Math.floor(moments[index - 1] / every)) continue;
    const left = x(index);
    if (left - last < 66) continue;
    last = left;
    if (left > 26 && left < plot.width - 26) context.fillText(clock(here * every), left, plot.height + FOOT / 2 + 1);
  }
}

function empty(context, width, height, text) {
  context.fillStyle = colours.dim;
  context.font = `13px ${colours.sans}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, width / 2, height / 2);
}
