/* One instrument's market: the binary frames of /ws/book, and what is remembered of them. */

import { Socket } from "./core.js";

const HEAD = 48;
const KEPT = 1200;

function decode(buffer) {
  const view = new DataView(buffer);
  const count = (index) => view.getUint16(2 + 2 * index, true);
  const floats = new Float32Array(buffer, HEAD);
  let at = 0;
  const take = (records, width) => {
    const part = floats.subarray(at, at + records * width);
    at += records * width;
    return part;
  };
  const frame = {
    isUsable: (view.getUint8(1) & 1) === 1,
    ts: view.getFloat64(16, true),
    base: view.getFloat64(24, true),
    marketTs: view.getFloat64(32, true),
    health: view.getFloat32(40, true),
    latency: view.getFloat32(44, true),
  };
  frame.bids = take(count(0), 2);
  frame.asks = take(count(1), 2);
  frame.prints = take(count(2), 4);
  frame.densities = take(count(3), 4);
  frame.orders = take(count(4), 4);
  frame.fills = take(count(5), 4);
  frame.positions = take(count(6), 4);
  frame.bid = frame.bids.length ? frame.base + frame.bids[0] : NaN;
  frame.ask = frame.asks.length ? frame.base + frame.asks[0] : NaN;
  frame.mid = (frame.bid + frame.ask) / 2;
  return frame;
}

export class Book {
  constructor({ onChange, onEnd }) {
    this.frames = [];
    this.pair = null;
    this.onChange = onChange;
    this.onEnd = onEnd;
    this.received = 0;
  }

  watch(symbol) {
    this.socket?.close();
    this.frames = [];
    this.pair = null;
    this.socket = new Socket("/ws/book/" + encodeURIComponent(symbol), {
      onEnd: this.onEnd,
      onMessage: (data) => {
        if (typeof data === "string") {
          const pair = JSON.parse(data);
          this.pair = { ...pair, tick: Number(pair.tick_size), lot: Number(pair.lot_size) };
          this.frames = [];
          return;
        }
        const frame = decode(data);
        this.frames.push(frame);
        this.received += 1;
        if (this.frames.length > KEPT + 200) this.frames.splice(0, this.frames.length - KEPT);
        this.onChange();
      },
    });
    this.onChange();
  }

  get last() { return this.frames.at(-1); }
}
