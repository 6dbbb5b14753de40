// One face: its picture, its labels, and what the annotator makes of them.
import { Circumplex } from "./circumplex.js";
import { picture } from "./faces.js";
import { digit, KEYS } from "./keys.js";
import { button, count, make, signed } from "./parts.js";

const LABELS = ["expression", "valence", "arousal"];
const REMEMBERED = 200; // drafts, so that a skipped or undone face comes back as it was left

export class One {
  constructor(desk) {
    this.desk = desk;
    this.drafts = new Map();
    this.names = Object.keys(desk.settings.places);
    const act = (name) => () => desk.act(name);
    const tool = (label, name) => button(label, KEYS[name], act(name), "emo-tool");
    this.stage = make("div", { class: "emo-stage" });
    this.stage.addEventListener("pointermove", (event) => {
      const { left, top, width, height } = this.stage.getBoundingClientRect();
      this.stage.style.setProperty("--emo-x", `${(100 * (event.clientX - left)) / width}%`);
      this.stage.style.setProperty("--emo-y", `${(100 * (event.clientY - top)) / height}%`);
    });
    this.circumplex = new Circumplex(desk.settings.places, (valence, arousal) => this.change({ valence, arousal }));
    this.expressions = this.names.map((name, number) => {
      const choice = button(name, digit(number + 1), () => this.change({ expression: name }), "emo-expression");
      choice.prepend(make("i", { "data-expression": name }));
      choice.dataset.name = name;
      return choice;
    });
    this.name = make("span", { class: "emo-name" });
    this.label = make("div", { class: "emo-now" });
    this.annotators = make("div", { class: "emo-annotators" });
    this.agreement = make("div", { class: "emo-agreement" });
    this.accept = button("Correct", KEYS.accept, act("accept"), "emo-main");
    const verdict = (label, name) => button(label, KEYS[name], act(name), name === "wrong" ? "emo-wrong" : "");
    this.model = make("p", { class: "emo-opinion", hidden: true });
    this.note = make("input", { class: "emo-note", type: "text", "aria-label": "Note on this face", placeholder: "Note …", maxlength: "2000", hidden: true });
    this.note.addEventListener("input", () => this.remember({ note: this.note.value }));
    this.note.addEventListener("keydown", (event) => event.key === "Enter" && !event.isComposing && desk.focus());
    this.note.addEventListener("blur", () => this.update());
    this.node = make("div", { class: "emo-one" },
      make("div", { class: "emo-left" }, this.stage,
        make("div", { class: "emo-tools" }, this.name, tool("Zoom", "zoom"), tool("Landmarks", "landmarks"), tool("Model", "opinion"), tool("Note", "note")),
        this.annotators, this.agreement),
      make("div", { class: "emo-panel" }, this.label,
        make("div", { class: "emo-labels" },
          make("div", { class: "emo-plane" }, this.circumplex.node, this.circumplex.values),
          make("div", { class: "emo-expressions", role: "group", "aria-label": "Expression" }, ...this.expressions)),
        make("div", { class: "emo-verdicts", role: "group", "aria-label": "Verdict" },
          this.accept, verdict("Wrong", "wrong"), verdict("Unsure", "unsure"),
          verdict("No face", "no face"), verdict("Bad crop", "bad crop"), verdict("Duplicate", "duplicate"),
          button("Skip", KEYS.skip, act("skip"), "emo-skip")),
        // Below the buttons, so that these never move.
        this.note, this.model));
  }

  get item() {
    return this.desk.state.now[0];
  }

  get face() {
    return this.desk.faces.held.get(this.item);
  }

  // What the annotator entered on this face in this mode.
  get key() {
    return `${this.desk.state.mode} ${this.item}`;
  }

  get draft() {
    return this.drafts.get(this.key) ?? {};
  }

  get ready() {
    return this.face !== undefined;
  }

  // The labels that differ from the table's.
  get changes() {
    const { face, draft } = this;
    // There and back by arrow keys is no change, though the table has more decimals.
    const same = (a, b) => a === b || (typeof a === "number" && typeof b === "number" && Math.abs(a - b) < 0.005);
    return Object.fromEntries(LABELS.filter((name) => name in draft && !same(draft[name], face[name])).map((name) => [name, draft[name]]));
  }

  remember(part) {
    const draft = { ...this.draft, ...part };
    this.drafts.delete(this.key);
    this.drafts.set(this.key, draft);
    while (this.drafts.size > REMEMBERED) this.drafts.delete(this.drafts.keys().next().value);
  }

  change(labels) {
    if (!this.ready || this.desk.busy) return;
    this.remember({ ...labels, verdict: undefined });
    this.update();
    const { expression, valence, arousal } = { ...this.face, ...this.draft };
    this.desk.say(`${expression ?? "no expression"}, valence ${signed(valence)}, arousal ${signed(arousal)}`);
  }

  // What another annotator said, as this one's own draft.
  adopt(number) {
    const opinion = this.face?.opinions?.[number];
    if (!opinion) return;
    const labels = Object.fromEntries(LABELS.map((name) => [name, opinion[name] ?? this.face[name]]));
    this.change(labels);
    this.remember({ verdict: opinion.verdict });
    this.update();
  }

  press(meant) {
    if (meant.number && meant.shift && this.desk.state.mode === "adjudicate") this.adopt(meant.number - 1);
    else if (meant.number) this.names[meant.number - 1] && this.change({ expression: this.names[meant.number - 1] });
    else if (meant.move && this.ready) this.circumplex.step({ ...this.face, ...this.draft }, meant.move, meant.far);
  }

  act(name) {
    if (name === "zoom") this.stage.toggleAttribute("data-zoom");
    else if (name === "discard") this.discard();
    else if (name === "opinion") this.desk.send("opinion", { item: this.item });
    else if (name === "skip") this.desk.step("skip", {});
    else if (name === "note") {
      this.note.hidden = false;
      this.note.focus();
    } else if (name === "accept") this.decide(this.draft.verdict ?? (Object.keys(this.changes).length ? "wrong" : "correct"));
    else if (this.desk.settings.verdicts.includes(name)) this.decide(name);
  }

  discard() {
    this.drafts.delete(this.key);
    this.update();
    this.desk.say("changes taken back");
  }

  decide(verdict) {
    if (this.ready) this.desk.step("decide", { verdict, ...this.changes, note: this.draft.note ?? "" });
  }

  hear(message) {
    const face = this.desk.faces.held.get(message.item);
    if (!face || this.desk.pane !== this) return;
    face.asked = message;
    this.update();
  }

  // How far annotators agree, where they are adjudicated.
  agree(figures) {
    const parts = figures.map(({ target, metric, value }) => `${target} ${metric} ${value == null ? "–" : value.toFixed(2)}`);
    this.agreement.textContent = figures.length ? `Agreement on ${count(figures[0].n)} so far: ${parts.join(", ")}.` : "";
  }

  // Everything as the present face and draft have it.
  update() {
    const { face, draft } = this;
    if (this.shown !== face || !face) {
      this.shown = face;
      this.stage.removeAttribute("data-zoom");
      this.stage.replaceChildren(picture(face));
    }
    if (!face) return;
    const label = { ...face, ...this.changes };
    const { asked, opinions = [] } = face;
    const changed = Object.keys(this.changes).length > 0;
    this.circumplex.show(label, face, asked?.opinion, opinions);
    for (const choice of this.expressions) {
      choice.setAttribute("aria-pressed", choice.dataset.name === label.expression);
      choice.toggleAttribute("data-was", choice.dataset.name === face.expression);
      choice.toggleAttribute("data-model", choice.dataset.name === asked?.opinion?.expression);
    }
    const before = changed && label.expression !== face.expression ? [make("s", {}, face.expression ?? "none")] : [];
    this.label.replaceChildren(
      make("span", { class: "emo-is" }, changed ? "Your correction" : "The label says"),
      make("b", {}, make("i", { "data-expression": label.expression }), label.expression ?? "no expression"), ...before);
    const adopted = draft.verdict && draft.verdict !== "correct" && draft.verdict !== "wrong";
    this.accept.firstChild.textContent = adopted ? `Save: ${draft.verdict}` : changed ? "Save correction" : "Correct";
    this.annotators.replaceChildren(...opinions.map((opinion, number) => this.opinionOf(opinion, number)));
    this.model.hidden = !asked;
    if (asked) this.model.textContent = words(asked);
    this.note.value = draft.note ?? "";
    this.note.hidden = !draft.note && document.activeElement !== this.note;
    this.agreement.hidden = this.desk.state.mode !== "adjudicate";
    const left = this.desk.state.total - this.desk.state.done;
    this.name.textContent = this.name.title = face.item;
    return `${face.problem ? "No picture. " : ""}Labelled ${face.expression ?? "without expression"}, valence ${signed(face.valence)}, arousal ${signed(face.arousal)}. ${count(left)} left.`;
  }

  opinionOf(opinion, number) {
    const label = make("small", {}, `${opinion.verdict} · ${opinion.expression ?? "–"} ${signed(opinion.valence)} ${signed(opinion.arousal)}`);
    return make("button", { type: "button", class: "emo-annotator", "aria-keyshortcuts": `Shift+${number + 1}`, onclick: () => this.adopt(number) },
      make("em", {}, String(number + 1)), make("strong", {}, opinion.annotator), make("kbd", { "aria-hidden": "true" }, `⇧${number + 1}`),
      label, opinion.note ? make("q", {}, opinion.note) : null);
  }
}

function words({ opinion, reason, why }) {
  const said = opinion
    ? `Model: ${opinion.expression ?? "–"}${opinion.probability == null ? "" : ` ${Math.round(100 * opinion.probability)} %`}, valence ${signed(opinion.valence)}, arousal ${signed(opinion.arousal)}.`
    : "There is no model’s opinion of this face.";
  const queued = [reason, why].filter(Boolean).join(": ");
  return queued ? `${said} In the queue for ${queued}.` : said;
}
