// A page of one class: the odd ones out are picked, the rest is correct.
import { picture } from "./faces.js";
import { KEYS } from "./keys.js";
import { button, count, make } from "./parts.js";

export class Grid {
  constructor(desk) {
    this.desk = desk;
    this.marks = new Map();
    this.place = 0;
    this.title = make("div", { class: "emo-now" });
    this.cells = make("div", { class: "emo-cells", role: "group" });
    this.accept = button("Confirm page", KEYS.accept, () => desk.act("accept"), "emo-main");
    this.node = make("div", { class: "emo-grid" }, make("div", { class: "emo-title" }, this.title, this.accept), this.cells);
  }

  get ready() {
    return this.desk.state.now.every((item) => this.desk.faces.held.has(item));
  }

  // What confirming writes: a face without a picture is not taken for correct.
  verdict(item) {
    return this.marks.get(item) ?? (this.desk.faces.held.get(item)?.problem ? "unsure" : undefined);
  }

  mark(place, verdict) {
    const item = this.desk.state.now[place];
    if (item === undefined || this.desk.busy) return;
    this.place = place;
    if (this.marks.get(item) === verdict) this.marks.delete(item);
    else this.marks.set(item, verdict);
    this.update();
    this.announce();
  }

  press(meant) {
    const [x, y] = meant.move ?? [0, 0];
    const tops = [...this.cells.children].map((cell) => cell.offsetTop);
    const columns = tops.filter((top) => top === tops[0]).length;
    const place = this.place + x - y * columns;
    if (place < 0 || place >= tops.length) return;
    this.place = place;
    this.update();
    this.announce();
    this.cells.children[place].scrollIntoView({ block: "nearest" });
  }

  act(name) {
    if (name === "zoom") this.node.toggleAttribute("data-large");
    else if (name === "discard") {
      this.marks.clear();
      this.update();
    } else if (name === "accept") this.confirm();
    else if (name === "skip") this.mark(this.place, "wrong");
    else if (this.desk.settings.verdicts.includes(name)) this.mark(this.place, name);
  }

  confirm() {
    const { now } = this.desk.state;
    const marks = Object.fromEntries(now.map((item) => [item, this.verdict(item)]).filter(([, verdict]) => verdict));
    if (this.ready) this.desk.step("page", { marks });
  }

  announce() {
    const mark = this.verdict(this.desk.state.now[this.place]);
    this.desk.say(`face ${this.place + 1} of ${this.desk.state.now.length}: ${mark ?? "correct"}`);
  }

  update() {
    const { now, where } = this.desk.state;
    const page = now.join("\n");
    if (page !== this.page) {
      this.page = page;
      this.place = 0;
      this.cells.replaceChildren(...now.map((item, place) => make("div", { class: "emo-cell", role: "checkbox", onclick: () => this.mark(place, "wrong") })));
    }
    const held = now.map((item) => this.desk.faces.held.get(item));
    [...this.cells.children].forEach((cell, place) => {
      if (held[place] && cell.dataset.item !== now[place]) {
        cell.dataset.item = now[place];
        cell.replaceChildren(picture(held[place]), make("span", { class: "emo-badge" }));
      }
      const mark = this.verdict(now[place]);
      cell.toggleAttribute("data-odd", mark !== undefined);
      cell.toggleAttribute("data-here", place === this.place);
      cell.setAttribute("aria-checked", mark !== undefined);
      cell.setAttribute("aria-label", `Face ${place + 1}: ${mark ?? "correct"}`);
      if (cell.lastChild) cell.lastChild.textContent = mark ?? "";
    });
    const odd = now.filter((item) => this.verdict(item)).length;
    this.title.replaceChildren(
      make("span", { class: "emo-is" }, "Are all of these"),
      make("b", {}, make("i", { "data-expression": where.expression }), `${where.expression ?? "without expression"}?`),
      make("span", { class: "emo-is" }, odd ? `${odd} picked` : "Pick those that are not."));
    this.accept.firstChild.textContent = odd ? `${now.length - odd} correct, ${odd} odd` : `All ${count(now.length)} correct`;
    return `${count(now.length)} labelled ${where.expression}. Pick the odd ones out.`;
  }
}
