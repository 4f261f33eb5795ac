"use strict";
/* Before the first paint: the theme and the palette that this browser was left with. */
(() => {
  const read = (key) => { try { return localStorage.getItem("stakan." + key); } catch { return null; } };
  const wanted = read("theme") || (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");
  document.documentElement.dataset.theme = wanted;
  document.documentElement.dataset.palette = read("palette") || "classic";
})();
