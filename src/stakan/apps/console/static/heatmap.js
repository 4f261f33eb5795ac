/* Depth over time: how much rested at which price, with prints, densities, own orders, fills and positions on it. */

import { Canvas, alpha, clock, colours, number, onTheme, pointer, rgb, short, steps, tag } from "./core.js";

const AXIS = 74;
const FOOT = 22;
const ROW = 3;

/* Stops of the scale from nothing to a wall. */
const SCALES = {
  dark: ["#0d1219", "#10263f", "#12466b", "#1b7f93", "#57b58a", "#e8d96b", "#fff6d8"],
  light: ["#ffffff", "#e3edf8", "#b4d0ec", "#72a6da", "#3a74bd", "#23468f", "#161c4d"],
};

function palette() {
  const stops = (colours.isDark ? SCALES.dark : SCALES.light).map(rgb);
  const table = new Uint32Array(256);
  for (let index = 0; index < 256; index += 1) {
    const place = (index / 255) * (stops.length - 1);
    const low = Math.min(stops.length - 2, Math.floor(place));
    const [r, g, b] = [0, 1, 2].map((c) => stops[low][c] + (stops[low + 1][c] - stops[low][c]) * (place - low));
    table[index] = (255 << 24) | (b << 16) | (g << 8) | r;
  }
  return table;
}

export function heatmap(box, book) {
  const offscreen = document.createElement("canvas");
  const pixels = offscreen.getContext("2d", { willReadFrequently: true });
  let table = null;
  let centre = NaN;
  let span = NaN;
  let reference = NaN;
  let zoom = 1;
  onTheme(() => { table = null; });

  const canvas = new Canvas(box, (context, width, height) => {
    const frames = book.frames;
    const last = book.last;
    if (!last || !book.pair) { centre = NaN; return; }
    const plot = { width: width - AXIS, height: height - FOOT };
    const shown = Math.round(Math.min(Math.max(240, Math.min(900, plot.width)), Math.max(240, frames.length)));
    const first = Math.max(0, frames.length - shown);
    const visible = frames.slice(first);
    follow(visible);
    const rows = Math.max(8, Math.min(Math.floor(plot.height / ROW), Math.round(span)));
    const perRow = span / rows;
    const low = centre - span / 2;
    const x = (index) => ((shown - visible.length + index) / shown) * plot.width;
    const y = (price) => plot.height - ((price + 0.5 - low) / span) * plot.height;
    fill(visible, rows, perRow, low, shown);
    context.imageSmoothingEnabled = false;
    context.drawImage(offscreen, 0, 0, plot.width, plot.height);
    axes(context, visible, shown, low, x, y, plot);
    context.save();
    context.beginPath();
    context.rect(0, 0, plot.width, plot.height);
    context.clip();
    touch(context, visible, x, y);
    walls(context, visible, x, y, plot);
    prints(context, visible, x, y, plot);
    own(context, last, x, y, plot, visible);
    context.restore();
    tag(context, number(last.mid * book.pair.tick, book.pair.price_digits), plot.width + 3, y(last.mid), colours.text, colours.panel);
    cross(context, visible, shown, low, x, plot);
    if (!last.isUsable) banner(context, plot, "The book cannot be trusted now");
  });
  const at = pointer(canvas);

  /* Keep the price inside the middle of the picture without moving it at every tick. */
  function follow(visible) {
    const last = visible.at(-1);
    if (!Number.isFinite(last.mid)) return;
    const reach = Math.max(...[last.bids, last.asks].map((side) => Math.abs(side.at(-2) + last.base - last.mid)));
    let lowest = last.mid;
    let highest = last.mid;
    for (const frame of visible) if (frame.mid) { lowest = Math.min(lowest, frame.mid); highest = Math.max(highest, frame.mid); }
    const wanted = Math.max(12, Math.max(reach * 1.5, Math.min((highest - lowest) * 1.25, reach * 6)) * zoom);
    if (!Number.isFinite(span)) span = wanted;
    else if (Math.abs(wanted / span - 1) > 0.12) span += (wanted - span) * 0.35;
    const fits = highest - lowest < span * 0.97;
    const aim = fits ? (highest + lowest) / 2 : last.mid;
    if (!Number.isFinite(centre) || Math.abs(last.mid - centre) > span * 0.45) centre = aim;
    else if (Math.abs(aim - centre) > span * 0.05) centre += (aim - centre) * 0.25;
  }

  function fill(visible, rows, perRow, low, shown) {
    table ??= palette();
    if (offscreen.width !== shown || offscreen.height !== rows) { offscreen.width = shown; offscreen.height = rows; }
    const image = pixels.createImageData(shown, rows);
    const cells = new Uint32Array(image.data.buffer);
    cells.fill(table[0]);
    const column = new Float32Array(rows);
    const known = Number.isFinite(reference) ? reference : 1;
    const scale = 255 / Math.log1p(6);
    let seen = 0;
    let count = 0;
    for (let index = 0; index < visible.length; index += 1) {
      const frame = visible[index];
      if (!frame.isUsable) continue;
      column.fill(0);
      for (const side of [frame.bids, frame.asks]) {
        for (let level = 0; level < side.length; level += 2) {
          const row = Math.floor((frame.base + side[level] + 0.5 - low) / perRow);
          if (row >= 0 && row < rows) column[row] += side[level + 1];
        }
      }
      const left = shown - visible.length + index;
      for (let row = 0; row < rows; row += 1) {
        const size = column[row];
        if (size === 0) continue;
        if (index % 8 === 0) { seen += size; count += 1; }
        cells[(rows - 1 - row) * shown + left] = table[Math.min(255, Math.log1p(size / known) * scale) | 0];
      }
    }
    /* A typical cell is a third of the scale, whatever the symbol. */
    if (count) {
      const typical = (seen / count) * 1.15;
      reference = Number.isFinite(reference) && Math.abs(typical / reference - 1) < 2 ? reference + (typical - reference) * 0.05 : typical;
    }
    pixels.putImageData(image, 0, 0);
  }

  function axes(context, visible, shown, low, x, y, plot) {
    context.font = `11px ${colours.sans}`;
    context.textBaseline = "middle";
    context.textAlign = "left";
    const { tick, price_digits: digits } = book.pair;
    for (const price of steps(low * tick, (low + span) * tick, plot.height / 46)) {
      const line = Math.round(y(price / tick)) + 0.5;
      if (line < 8 || line > plot.height - 4) continue;
      context.fillStyle = alpha(colours.line, 0.55);
      context.fillRect(0, line, plot.width, 0.5);
      if (Math.abs(line - y(visible.at(-1).mid)) < 15) continue;
      context.fillStyle = colours.dim;
      context.fillText(number(price, digits), plot.width + 8, line);
    }
    context.fillStyle = colours.line;
    context.fillRect(plot.width, 0, 1, plot.height);
    context.textAlign = "center";
    const every = plot.width < 500 ? 10_000 : 15_000;
    for (let index = 1; index < visible.length; index += 1) {
      const here = Math.floor(visible[index].ts / every);
      if (here === Math.floor(visible[index - 1].ts / every)) continue;
      const left = x(index);
      if (left < 26 || left > plot.width - 26) continue;
      context.fillStyle = alpha(colours.line, 0.55);
      context.fillRect(left, 0, 0.5, plot.height);
      context.fillStyle = colours.dim;
      context.fillText(clock(here * every), left, plot.height + FOOT / 2 + 1);
    }
  }

  function touch(context, visible, x, y) {
    for (const [side, name] of [["bid", "up"], ["ask", "down"]]) {
      context.strokeStyle = colours[name];
      context.lineWidth = 1.2;
      context.beginPath();
      let isDown = false;
      visible.forEach((frame, index) => {
        if (!frame.isUsable) { isDown = false; return; }
        const top = y(frame[side]);
        if (isDown) context.lineTo(x(index), top); else context.moveTo(x(index), top);
        context.lineTo(x(index + 1), top);
        isDown = true;
      });
      context.stroke();
    }
  }

  /* A wall is drawn from where it was first seen to now, its size at the right. */
  function walls(context, visible, x, y, plot) {
    const last = visible.at(-1);
    let labels = [];
    for (let place = 0; place < last.densities.length; place += 4) {
      const [offset, size, , age] = last.densities.subarray(place, place + 4);
      const top = y(last.base + offset);
      if (top < 0 || top > plot.height) continue;
      const since = visible.findIndex((frame) => frame.ts >= last.ts - age * 1000);
      context.strokeStyle = alpha(colours.density, 0.95);
      context.lineWidth = 1.5;
      context.setLineDash([2, 3]);
      context.beginPath();
      context.moveTo(x(Math.max(0, since)), top);
      context.lineTo(plot.width, top);
      context.stroke();
      context.setLineDash([]);
      labels.push({ top, size });
    }
    labels = labels.sort((a, b) => b.size - a.size).slice(0, 12);
    const taken = [];
    for (const { top, size } of labels) {
      if (taken.some((other) => Math.abs(other - top) < 17)) continue;
      taken.push(top);
      tag(context, short(size * book.pair.lot), plot.width - 4, top, alpha(colours.density, 0.92), colours.isDark ? "#140c24" : "#ffffff", "right");
    }
  }

  function prints(context, visible, x, y, plot) {
    let most = 1;
    for (const frame of visible) for (let place = 1; place < frame.prints.length; place += 4) most = Math.max(most, frame.prints[place]);
    const perMs = visible.length > 1 ? visible.length / (visible.at(-1).ts - visible[0].ts) : 0.01;
    visible.forEach((frame, index) => {
      for (let place = 0; place < frame.prints.length; place += 4) {
        const share = Math.sqrt(frame.prints[place + 1] / most);
        const radius = 1.1 + 8 * share;
        const left = x(index + 0.5 - Math.min(3, frame.prints[place + 3] * perMs));
        const top = y(frame.base + frame.prints[place]);
        if (left < 0 || top < 0 || top > plot.height) continue;
        const tone = frame.prints[place + 2] > 0 ? colours.up : colours.down;
        context.fillStyle = alpha(tone, 0.3 + 0.45 * share);
        context.beginPath();
        context.arc(left, top, radius, 0, 7);
        context.fill();
        if (radius > 3.4) {
          context.strokeStyle = alpha(colours.isDark ? "#ffffff" : "#000000", 0.5);
          context.lineWidth = 0.75;
          context.stroke();
        }
      }
    });
  }

  function line(context, top, plot, tone, text, dash) {
    if (!Number.isFinite(top) || top < 0 || top > plot.height) return;
    context.strokeStyle = tone;
    context.lineWidth = 1.25;
    context.setLineDash(dash);
    context.beginPath();
    context.moveTo(0, Math.round(top) + 0.5);
    context.lineTo(plot.width, Math.round(top) + 0.5);
    context.stroke();
    context.setLineDash([]);
    tag(context, text, 6, top, alpha(tone, 0.95), colours.isDark ? "#0a0d12" : "#ffffff");
  }

  function own(context, last, x, y, plot, visible) {
    for (let place = 0; place < last.positions.length; place += 4) {
      const [entry, stop, take, size] = last.positions.subarray(place, place + 4);
      line(context, y(last.base + stop), plot, colours.down, "stop", [5, 4]);
      line(context, y(last.base + take), plot, colours.up, "target", [5, 4]);
      line(context, y(last.base + entry), plot, colours.own, `${size > 0 ? "long" : "short"} ${short(Math.abs(size) * book.pair.lot)}`, []);
    }
    for (let place = 0; place < last.orders.length; place += 4) {
      const [offset, size, sign, kind] = last.orders.subarray(place, place + 4);
      const what = `${sign > 0 ? "buy" : "sell"} ${short(size * book.pair.lot)}${kind === 2 ? " exit" : ""}`;
      line(context, y(last.base + offset), plot, colours.own, what, [1, 3]);
    }
    visible.forEach((frame, index) => {
      for (let place = 0; place < frame.fills.length; place += 4) {
        const sign = frame.fills[place + 2];
        const left = x(index + 0.5);
        const top = y(frame.base + frame.fills[place]);
        if (left < 0 || top < 0 || top > plot.height) continue;
        context.beginPath();
        context.moveTo(left, top);
        context.lineTo(left - 6, top + sign * 11);
        context.lineTo(left + 6, top + sign * 11);
        context.closePath();
        context.fillStyle = colours.own;
        context.fill();
        context.strokeStyle = colours.isDark ? "#0a0d12" : "#ffffff";
        context.lineWidth = 1.25;
        context.stroke();
      }
    });
  }

  function cross(context, visible, shown, low, x, plot) {
    if (at.x < 0 || at.x > plot.width || at.y < 0 || at.y > plot.height) return;
    const price = Math.round(low + (1 - at.y / plot.height) * span - 0.5);
    const frame = visible[Math.floor((at.x / plot.width) * shown) - (shown - visible.length)];
    context.fillStyle = alpha(colours.text, 0.35);
    context.fillRect(Math.round(at.x), 0, 1, plot.height);
    context.fillRect(0, Math.round(at.y), plot.width, 1);
    tag(context, number(price * book.pair.tick, book.pair.price_digits), plot.width + 3, at.y, colours.accent, colours.isDark ? "#08111f" : "#ffffff");
    if (!frame) return;
    let size = 0;
    for (const side of [frame.bids, frame.asks]) {
      for (let level = 0; level < side.length; level += 2) if (Math.round(frame.base + side[level]) === price) size = side[level + 1];
    }
    const text = `${clock(frame.ts)}   ${size ? short(size * book.pair.lot) + " " + book.pair.base : "nothing here"}`;
    const side = at.x > plot.width / 2 ? "right" : "left";
    tag(context, text, at.x + (side === "left" ? 10 : -10), Math.max(12, at.y - 16), colours.text, colours.panel, side);
  }

  function banner(context, plot, text) {
    context.fillStyle = alpha(colours.bg, 0.6);
    context.fillRect(0, 0, plot.width, plot.height);
    context.fillStyle = colours.text;
    context.font = `600 14px ${colours.sans}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(text, plot.width / 2, plot.height / 2);
  }

  return {
    ask: () => canvas.ask(),
    reset: () => { centre = NaN; span = NaN; reference = NaN; canvas.ask(); },
    zoom: (factor) => { zoom = Math.max(0.25, Math.min(4, zoom * factor)); span = NaN; canvas.ask(); },
  };
}
