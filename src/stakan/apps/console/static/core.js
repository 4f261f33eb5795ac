/* What all widgets share: colours, numbers, canvases, sockets. */

export const $ = (id) => document.getElementById(id);
export const root = document.documentElement;
export const remember = (key, value) => { try { localStorage.setItem("stakan." + key, value); } catch { /* private window */ } };
export const recall = (key) => { try { return localStorage.getItem("stakan." + key); } catch { return null; } };

/* --- colours ---------------------------------------------------------------------------------------------------- */

const NAMES = ["bg", "panel", "raised", "line", "line-strong", "text", "dim", "faint", "accent", "up", "down", "own", "density", "warn"];
export const colours = {};
const themed = [];

export function readColours() {
  const style = getComputedStyle(root);
  for (const name of NAMES) colours[name] = style.getPropertyValue("--" + name).trim();
  colours.isDark = root.dataset.theme !== "light";
  colours.mono = style.getPropertyValue("--mono");
  colours.sans = style.getPropertyValue("--sans");
  for (const changed of themed) changed();
}
export const onTheme = (changed) => themed.push(changed);

export function alpha(hex, share) {
  return hex + Math.round(Math.max(0, Math.min(1, share)) * 255).toString(16).padStart(2, "0");
}
export function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

/* --- numbers ---------------------------------------------------------------------------------------------------- */

const formats = new Map();
export function number(value, digits = 2) {
  if (!formats.has(digits)) {
    formats.set(digits, new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  }
  /* What rounds to nothing has no sign. */
  const shown = Math.abs(value) < 0.5 / 10 ** digits ? 0 : value;
  return formats.get(digits).format(shown).replace("-", "−");
}
export const signed = (value, digits = 2) => (value >= 0.5 / 10 ** digits ? "+" : "") + number(value, digits);
export const count = (value) => (value < 1e4 ? number(value, 0) : short(value));

/* A size in as few characters as tell it apart: 1,250,000 is 1.25M. */
export function short(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return number(value / 1e6, size >= 1e7 ? 1 : 2) + "M";
  if (size >= 1e4) return number(value / 1e3, size >= 1e5 ? 0 : 1) + "k";
  if (size >= 100) return number(value, 0);
  if (size >= 1) return number(value, 2);
  return size === 0 ? "0" : number(value, size >= 0.01 ? 3 : 5);
}
export const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB", { hour12: false });
export function ago(ms) {
  const s = Math.max(0, ms / 1000);
  if (s < 10) return s.toFixed(1) + " s";
  if (s < 120) return s.toFixed(0) + " s";
  return s < 7200 ? (s / 60).toFixed(0) + " min" : (s / 3600).toFixed(1) + " h";
}

/* --- canvases --------------------------------------------------------------------------------------------------- */

/* A canvas that follows its box and the screen's pixels, and is drawn at most once a frame, only while it is seen. */
export class Canvas {
  constructor(box, draw) {
    this.box = box;
    this.draw = draw;
    this.element = document.createElement("canvas");
    this.element.setAttribute("aria-hidden", "true");
    box.append(this.element);
    this.context = this.element.getContext("2d");
    this.pending = false;
    this.isSeen = true;
    new ResizeObserver(() => this.fit()).observe(box);
    new IntersectionObserver((entries) => { this.isSeen = entries.at(-1).isIntersecting; this.ask(); }).observe(box);
    onTheme(() => this.ask());
    this.fit();
  }

  fit() {
    const { width, height } = this.box.getBoundingClientRect();
    this.ratio = Math.min(window.devicePixelRatio || 1, 2);
    this.width = Math.max(1, Math.floor(width));
    this.height = Math.max(1, Math.floor(height));
    this.element.width = this.width * this.ratio;
    this.element.height = this.height * this.ratio;
    this.element.style.width = this.width + "px";
    this.element.style.height = this.height + "px";
    this.ask();
  }

  ask() {
    if (this.pending || !this.isSeen) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      if (!colours.bg) return;
      this.context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
      this.context.clearRect(0, 0, this.width, this.height);
      this.draw(this.context, this.width, this.height);
    });
  }
}

export function pointer(canvas) {
  const at = { x: -1, y: -1 };
  const move = (event) => {
    const box = canvas.element.getBoundingClientRect();
    at.x = event.clientX - box.left;
    at.y = event.clientY - box.top;
    canvas.ask();
  };
  const leave = () => { at.x = -1; at.y = -1; canvas.ask(); };
  canvas.element.addEventListener("pointermove", move);
  canvas.element.addEventListener("pointerdown", move);
  canvas.element.addEventListener("pointerleave", leave);
  return at;
}

/* Round steps of an axis: 1, 2 or 5 times a power of ten. */
export function steps(low, high, most) {
  const span = Math.max(high - low, 1e-12);
  const power = 10 ** Math.floor(Math.log10(span / most));
  const step = [1, 2, 5, 10].map((times) => times * power).find((size) => span / size <= most) || power * 10;
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) found.push(value);
  return found;
}

export function tag(context, text, x, y, fill, ink, align = "left") {
  context.font = `600 11px ${colours.sans}`;
  const width = context.measureText(text).width + 10;
  const left = align === "left" ? x : x - width;
  context.fillStyle = fill;
  context.beginPath();
  context.roundRect(left, y - 8.5, width, 17, 4);
  context.fill();
  context.fillStyle = ink;
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.fillText(text, left + 5, y + 0.5);
  return width;
}

/* --- sockets ---------------------------------------------------------------------------------------------------- */

const PAUSES = [200, 500, 1000, 2000, 4000];
const ENDED = 4401;

/* A socket that comes back; `onEnd` is told where the session is over. */
export class Socket {
  constructor(path, { onOpen, onMessage, onEnd }) {
    this.path = path;
    this.handlers = { onOpen, onMessage, onEnd };
    this.failures = 0;
    this.isClosed = false;
    this.connect();
  }

  connect() {
    this.socket = new WebSocket((location.protocol === "https:" ? "wss://" : "ws://") + location.host + this.path);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => { this.failures = 0; this.handlers.onOpen?.(this); };
    this.socket.onmessage = (event) => { if (!this.isClosed) this.handlers.onMessage(event.data); };
    this.socket.onclose = (event) => {
      if (this.isClosed) return;
      if (event.code === ENDED) this.handlers.onEnd?.();
      setTimeout(() => { if (!this.isClosed) this.connect(); }, PAUSES[Math.min(this.failures++, PAUSES.length - 1)]);
    };
  }

  send(value) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(value));
  }

  close() {
    this.isClosed = true;
    this.socket.close();
  }
}
