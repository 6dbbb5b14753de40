// The desk: what the kernel says is shown, what the annotator does is sent; the kernel decides what comes next.
import { Faces } from "./faces.js";
import { Grid } from "./grid.js";
import { help, KEYS, meaning } from "./keys.js";
import { One } from "./one.js";
import { button, count, make, minutes, signed } from "./parts.js";

const SILENCE = 4000; // milliseconds after which a kernel that does not answer is reported
const AGAIN = "Run the cell again: all that was saved is there.";
const MODES = { one: "One by one", grid: "Grid", adjudicate: "Adjudicate" };

class Desk {
  constructor(model, el) {
    this.model = model;
    this.settings = model.get("settings");
    this.state = { step: -1, now: [], next: [], where: {} };
    this.faces = new Faces((item) => this.send("face", { item }));
    const one = new One(this);
    this.panes = { one, adjudicate: one, grid: new Grid(this) };
    this.build(el);
    this.hear = this.hear.bind(this);
    model.on("msg:custom", this.hear);
    this.send("hello", {});
  }

  build(el) {
    this.modes = Object.entries(MODES).map(([mode, label]) =>
      make("button", { type: "button", "data-mode": mode, onclick: () => this.start(mode, this.chosen) }, label));
    this.bar = make("div", { class: "emo-bar" });
    this.progress = make("div", { class: "emo-progress", role: "progressbar", "aria-label": "Faces judged", "aria-valuemin": "0" }, this.bar);
    this.pace = make("span", { class: "emo-pace" });
    this.filters = make("div", { class: "emo-filters", hidden: true });
    this.alert = make("div", { class: "emo-alert", role: "alert", hidden: true });
    this.rest = make("div", { class: "emo-rest", role: "status", hidden: true });
    this.body = make("div", { class: "emo-body" });
    this.last = make("span", { class: "emo-last" });
    this.live = make("div", { class: "emo-live", "aria-live": "polite" });
    const act = (name) => () => this.act(name);
    this.filter = button("Filter", KEYS.filter, act("filter"), "emo-tool emo-filter");
    this.node = make("div",
      { class: "emo", tabindex: "0", role: "application", "aria-label": "Review of labels. Press h for the keys.", "data-lm-suppress-shortcuts": "true" },
      make("div", { class: "emo-head" },
        make("div", { class: "emo-modes", role: "group", "aria-label": "Way of working" }, ...this.modes),
        this.progress, this.pace,
        this.filter, button("Help", KEYS.help, act("help"), "emo-tool")),
      this.filters, this.alert, this.rest, this.body,
      make("div", { class: "emo-foot" }, this.last, button("Undo", KEYS.undo, act("undo"), "emo-tool"), button("Redo", KEYS.redo, act("redo"), "emo-tool")),
      make("div", { class: "emo-hint" }, "Click here, or press Tab, to use the keys"),
      this.live);
    this.node.addEventListener("keydown", (event) => this.key(event));
    for (const kind of ["keyup", "keypress"]) this.node.addEventListener(kind, (event) => event.stopPropagation());
    // A click on a button leaves the keys to the desk, so that Space and Enter keep their meaning.
    this.node.addEventListener("mousedown", (event) => {
      if (event.target.closest("input, select")) return;
      event.preventDefault();
      this.focus();
    });
    el.classList.add("emo-host");
    el.append(this.node);
  }

  focus() {
    this.node.focus({ preventScroll: true });
  }

  // Filters but for the class of a grid's page, which goes on by itself.
  get chosen() {
    const { expression, ...others } = this.state.where;
    return this.state.mode === "grid" || expression === undefined ? others : this.state.where;
  }

  get pane() {
    return this.panes[this.state.mode];
  }

  send(what, data) {
    try {
      this.model.send({ do: what, ...data });
      return true;
    } catch (error) {
      this.complain(`The kernel is gone (${error.message}), so nothing is saved any more. ${AGAIN}`);
      return false;
    }
  }

  // A step: nothing more is taken until the kernel has written it.
  step(what, data) {
    if (!this.busy && this.send(what, { step: this.state.step, ...data })) this.wait(what);
  }

  wait(busy) {
    this.busy = busy;
    this.node.toggleAttribute("data-busy", Boolean(busy));
    clearTimeout(this.timer);
    if (busy)
      this.timer = setTimeout(() => this.complain(`The kernel has not answered yet, so this may not be saved. Was it restarted? ${AGAIN}`), SILENCE);
  }

  hear(message, buffers) {
    if (message.kind === "state") this.show(message);
    else if (message.kind === "face") this.receive(message, buffers?.[0]);
    else if (message.kind === "opinion") this.panes.one.hear(message);
    else if (message.kind === "agreement") this.panes.one.agree(message.figures);
    else if (message.kind === "choices") this.offer(message.choices);
    else if (message.kind === "failed") {
      // Had it been saved, a new state would have come before this.
      this.complain(["decide", "page", "skip"].includes(this.busy) ? `Not saved: ${message.text}` : message.text);
      this.wait(null);
    }
  }

  async receive(face, bytes) {
    if (face.mode !== this.state.mode) return;
    await this.faces.take(face, bytes);
    if (this.state.now.includes(face.item)) this.update();
  }

  show(state) {
    const before = this.state;
    this.state = state;
    if (state.mode !== before.mode) {
      this.faces.clear();
      this.body.replaceChildren(this.pane.node);
    }
    this.faces.want(state.now, state.next);
    if (state.step !== before.step) {
      this.alert.hidden = true;
      this.wait(null);
      this.update();
    }
    this.tally();
  }

  update() {
    const { state } = this;
    if (!state.now.length) this.body.replaceChildren(this.finished());
    else {
      if (this.body.firstChild !== this.pane.node) this.body.replaceChildren(this.pane.node);
      const said = this.pane.update();
      if (said && this.pane.ready) this.say(said);
    }
    this.node.dataset.item = state.now[0] ?? "";
    this.node.dataset.step = state.step;
    this.node.toggleAttribute("data-ready", state.now.length > 0 && this.pane.ready);
  }

  finished() {
    const filtered = Object.keys(this.chosen).length > 0;
    const left = this.state.mode === "grid" ? this.state.total - this.state.done : 0;
    const text = left ? `No class is left. ${count(left)} without an expression: judge them one by one.`
      : this.state.mode === "adjudicate" ? (filtered ? "No disagreement is open with these filters." : "No disagreement is open.")
      : filtered ? "No face is left with these filters." : "All faces are judged. Thank you.";
    this.say(text);
    return make("div", { class: "emo-done" }, make("strong", {}, text), make("span", {}, `${count(this.state.done)} done; every decision is on disk.`));
  }

  tally() {
    const { mode, where, done, total, rate, left, rest, last } = this.state;
    for (const choice of this.modes) choice.setAttribute("aria-pressed", choice.dataset.mode === mode);
    this.bar.style.width = `${total ? (100 * done) / total : 0}%`;
    this.progress.setAttribute("aria-valuemax", total);
    this.progress.setAttribute("aria-valuenow", done);
    this.pace.replaceChildren(
      make("b", {}, done.toLocaleString("en")), ` of ${total.toLocaleString("en")}`,
      ...(rate ? [make("span", { class: "emo-rate" }, ` · ${Math.round(rate)} a minute`), ` · ${minutes(left)} left`] : []));
    this.rest.hidden = !rest;
    if (rest && !this.rest.firstChild)
      this.rest.append(make("span", {}, "You have worked for a good while. Rest your eyes: look far away for a minute or two."),
        button("Later", KEYS.later, () => this.act("later"), "emo-tool"));
    this.last.replaceChildren(...this.lately(last));
    for (const choice of this.filters.querySelectorAll("select")) choice.value = where[choice.name] ?? "";
    this.node.toggleAttribute("data-filtered", Object.keys(this.chosen).length > 0);
  }

  // What was decided last, and what the model would have said.
  lately(last) {
    if (!last) return [];
    if (last.page) return [`Last page: ${count(last.page)}, ${last.odd} picked`];
    const url = this.faces.held.get(last.item)?.url;
    const corrected = last.verdict === "wrong" && (last.expression != null || last.valence != null || last.arousal != null);
    const place = last.valence != null || last.arousal != null ? ` ${signed(last.valence)} ${signed(last.arousal)}` : "";
    const said = corrected ? `${last.old ?? "none"} → ${last.expression ?? last.old ?? "none"}${place}` : [last.old, last.verdict].filter(Boolean).join(": ");
    const model = last.opinion ? ` · model: ${last.opinion.expression}` : "";
    return [url ? make("img", { src: url, alt: "" }) : null, make("span", {}, `Last: ${said}${model}`)].filter(Boolean);
  }

  offer(choices) {
    this.filters.replaceChildren(
      ...Object.entries(choices).map(([name, values]) => {
        const choice = make("select", { name }, make("option", { value: "" }, "all"), ...values.map((value) => make("option", { value }, value)));
        choice.addEventListener("change", () => {
          this.start(this.state.mode, { ...this.state.where, [name]: choice.value });
          this.focus();
        });
        return make("label", {}, name, choice);
      }));
  }

  start(mode, where) {
    this.step("start", { mode, where });
  }

  key(event) {
    event.stopPropagation();
    if (event.target.closest("input, select")) {
      if (event.key === "Escape") this.focus();
      return;
    }
    const native = event.target.closest("button") && (event.key === "Enter" || event.key === " ");
    const meant = native ? null : meaning(event);
    if (!meant) return;
    event.preventDefault();
    // A key that is held down must not judge faces that nobody has seen.
    if (event.repeat && !meant.move) return;
    if (this.overlay) return void (["help", "discard", "accept"].includes(meant.act) && this.act("help"));
    if (meant.act) this.act(meant.act);
    else if (this.state.now.length && !this.busy) this.pane.press(meant);
  }

  act(name) {
    if (name === "help") this.help();
    else if (name === "undo" || name === "redo") this.step(name, {});
    else if (name === "later") this.send("later", {});
    else if (name === "saved") this.last.replaceChildren("Every decision is on disk already.");
    else if (name === "landmarks") this.node.toggleAttribute("data-landmarks");
    else if (name === "filter") {
      this.filters.hidden = !this.filters.hidden;
      if (!this.filters.hidden) this.filters.querySelector("select")?.focus();
    } else if (this.state.now.length && !this.busy) this.pane.act(name);
  }

  help() {
    if (this.overlay) {
      this.overlay.remove();
      this.overlay = null;
      this.focus();
    } else {
      this.overlay = help(this.state.mode, () => this.help());
      this.node.append(this.overlay);
      this.overlay.focus();
    }
  }

  complain(text) {
    this.alert.hidden = false;
    this.alert.textContent = text;
  }

  say(text) {
    this.live.textContent = text;
  }

  close() {
    clearTimeout(this.timer);
    this.model.off("msg:custom", this.hear);
    this.faces.clear();
  }
}

export default {
  render({ model, el }) {
    const desk = new Desk(model, el);
    return () => desk.close();
  },
};
