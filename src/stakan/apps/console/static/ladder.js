/* The book as a ladder: asks above, bids below, bars for size and for what lies before it. */

import { Canvas, alpha, colours, number, short } from "./core.js";

const ROW = 18;
const MIDDLE = 36;

export function ladder(box, book) {
  let before = NaN;
  const canvas = new Canvas(box, (context, width, height) => {
    const frame = book.last;
    if (!frame || !book.pair || !frame.isUsable) {
      context.fillStyle = colours.dim;
      context.font = `13px ${colours.sans}`;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText(frame && book.pair ? "The book cannot be trusted now" : "Waiting for the book", width / 2, height / 2);
      return;
    }
    const rows = Math.max(3, Math.floor((height - MIDDLE) / 2 / ROW));
    const marks = ownMarks(frame);
    const walls = sizesByPrice(frame.densities);
    const hits = recent(book.frames);
    const totals = [total(frame.bids, rows), total(frame.asks, rows)];
    const scale = { most: largest(frame, rows), total: Math.max(...totals, 1e-9) };
    const top = Math.floor((height - MIDDLE - 2 * rows * ROW) / 2);
    const middle = top + rows * ROW;
    side(context, frame.asks, rows, (index) => middle - (index + 1) * ROW, "down");
    side(context, frame.bids, rows, (index) => middle + MIDDLE + index * ROW, "up");
    centre(context, frame, middle);

    function side(ink, levels, most, place, name) {
      let sum = 0;
      const tone = colours[name];
      for (let index = 0; index < most && index * 2 < levels.length; index += 1) {
        const offset = levels[2 * index];
        const size = levels[2 * index + 1];
        sum += size;
        const y = place(index);
        const bar = width - 8;
        ink.fillStyle = alpha(tone, colours.isDark ? 0.09 : 0.08);
        ink.fillRect(width - (sum / scale.total) * bar, y, (sum / scale.total) * bar, ROW - 1);
        ink.fillStyle = alpha(tone, colours.isDark ? 0.22 : 0.2);
        const length = Math.sqrt(size / scale.most) * bar * 0.62;
        ink.fillRect(width - length, y, length, ROW - 1);
        const hit = hits.get(offset + frame.base);
        if (hit !== undefined) {
          ink.fillStyle = alpha(hit.sign > 0 ? colours.up : colours.down, 0.2 * hit.freshness);
          ink.fillRect(0, y, width, ROW - 1);
        }
        if (walls.has(offset)) {
          ink.fillStyle = colours.density;
          ink.fillRect(0, y, 3, ROW - 1);
          ink.fillStyle = alpha(colours.density, 0.16);
          ink.fillRect(0, y, width, ROW - 1);
        }
        ink.textBaseline = "middle";
        ink.font = `${walls.has(offset) ? 650 : 500} 12px ${colours.sans}`;
        ink.textAlign = "left";
        ink.fillStyle = tone;
        ink.fillText(number((frame.base + offset) * book.pair.tick, book.pair.price_digits), 22, y + ROW / 2);
        ink.textAlign = "right";
        ink.fillStyle = colours.text;
        ink.fillText(short(size * book.pair.lot), width * 0.68, y + ROW / 2);
        ink.fillStyle = colours.dim;
        ink.fillText(short(sum * book.pair.lot), width - 8, y + ROW / 2);
        const mine = marks.get(offset);
        if (mine) {
          ink.fillStyle = colours.own;
          ink.beginPath();
          ink.moveTo(7, y + 4); ink.lineTo(15, y + ROW / 2 - 0.5); ink.lineTo(7, y + ROW - 5);
          ink.fill();
          ink.strokeStyle = alpha(colours.own, 0.8);
          ink.strokeRect(4.5, y + 0.5, width - 9, ROW - 2);
        }
      }
    }

    function centre(ink, now, y) {
      const rising = now.mid > before ? 1 : now.mid < before ? -1 : 0;
      if (now.mid !== before) before = now.mid;
      ink.fillStyle = colours.raised;
      ink.fillRect(0, y + 3, width, MIDDLE - 7);
      ink.textBaseline = "middle";
      ink.textAlign = "left";
      ink.font = `680 16px ${colours.sans}`;
      ink.fillStyle = rising > 0 ? colours.up : rising < 0 ? colours.down : colours.text;
      ink.fillText(number(now.mid * book.pair.tick, book.pair.price_digits + 1), 22, y + MIDDLE / 2);
      ink.textAlign = "right";
      ink.font = `500 11px ${colours.sans}`;
      ink.fillStyle = colours.dim;
      const spread = now.ask - now.bid;
      ink.fillText(`spread ${number(spread, 0)} tick${spread === 1 ? "" : "s"} · ${number((spread / now.mid) * 1e4, 2)} bp`, width - 8, y + MIDDLE / 2);
    }
  });
  return canvas;
}

function ownMarks(frame) {
  const found = new Map();
  for (let at = 0; at < frame.orders.length; at += 4) found.set(frame.orders[at], frame.orders[at + 1]);
  return found;
}
function sizesByPrice(records) {
  const found = new Map();
  for (let at = 0; at < records.length; at += 4) found.set(records[at], records[at + 1]);
  return found;
}
function total(levels, rows) {
  let sum = 0;
  for (let index = 0; index < rows && index * 2 < levels.length; index += 1) sum += levels[2 * index + 1];
  return sum;
}
function largest(frame, rows) {
  let most = 1e-9;
  for (const levels of [frame.bids, frame.asks]) {
    for (let index = 0; index < rows && index * 2 < levels.length; index += 1) most = Math.max(most, levels[2 * index + 1]);
  }
  return most;
}
/* Prices that somebody traded at within the last second. */
function recent(frames) {
  const found = new Map();
  const now = frames.at(-1).ts;
  for (let index = frames.length - 1; index >= 0 && now - frames[index].ts < 1000; index -= 1) {
    const { prints, base, ts } = frames[index];
    for (let at = 0; at < prints.length; at += 4) {
      const price = base + prints[at];
      if (!found.has(price)) found.set(price, { sign: prints[at + 2], freshness: 1 - (now - ts) / 1000 });
    }
  }
  return found;
}
