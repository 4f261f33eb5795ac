/* Tables whose rows stay in place while their cells change: what has the focus keeps it. */

import { $ } from "./core.js";

/* `columns` are `(row) => {text, tone, wide, title, action}`; text is never taken for markup. */
export class Table {
  constructor(id, { columns, key, empty, most = 200, onAction, foldable }) {
    this.body = $(id).querySelector("tbody");
    this.head = [...$(id).querySelectorAll("thead th")];
    this.hole = document.createElement("tr");
    this.hole.className = "hole";
    const cell = this.hole.insertCell();
    cell.colSpan = this.head.length;
    cell.textContent = empty;
    this.columns = columns;
    this.key = key;
    this.most = most;
    this.rows = new Map();
    this.body.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-action]");
      if (button) { onAction?.(button.dataset.action, this.rows.get(button.closest("tr").dataset.key).data); return; }
      if (foldable) event.target.closest("tr")?.classList.toggle("open");
    });
    this.show([]);
  }

  show(list) {
    const wanted = list.slice(0, this.most);
    const keys = new Set(wanted.map((row) => String(this.key(row))));
    for (const [key, known] of this.rows) if (!keys.has(key)) { known.element.remove(); this.rows.delete(key); }
    let place = this.body.firstElementChild;
    for (const data of wanted) {
      const key = String(this.key(data));
      let known = this.rows.get(key);
      if (!known) {
        const element = document.createElement("tr");
        element.dataset.key = key;
        known = { element, told: [] };
        this.columns.forEach((_, index) => {
          const cell = element.insertCell();
          cell.className = this.head[index]?.className || "";
        });
        this.rows.set(key, known);
      }
      known.data = data;
      this.columns.forEach((column, index) => this.cell(known, index, column(data)));
      if (place === known.element) place = place.nextElementSibling;
      else this.body.insertBefore(known.element, place);
    }
    if (wanted.length) this.hole.remove();
    else this.body.append(this.hole);
  }

  cell(known, index, given) {
    const value = typeof given === "object" ? given : { text: given };
    const told = `${value.text}|${value.tone || ""}|${value.title || ""}`;
    if (known.told[index] === told) return;
    known.told[index] = told;
    const cell = known.element.cells[index];
    if (value.action) {
      if (cell.firstElementChild) return;
      const button = document.createElement("button");
      button.dataset.action = value.action;
      button.className = "small";
      button.textContent = value.text;
      button.title = value.title || "";
      cell.append(button);
      return;
    }
    cell.textContent = value.text;
    cell.dataset.tone = value.tone || "";
    cell.title = value.title || "";
  }
}
