// Valence and arousal as a point that is clicked, dragged, or moved by arrow keys.
import { draw, make, signed } from "./parts.js";

const clip = (value) => Math.round(Math.max(-1, Math.min(1, value)) * 100) / 100;

export class Circumplex {
  constructor(places, moved) {
    this.moved = moved;
    const words = Object.entries(places).map(([name, [x, y]]) =>
      draw("text", { x, y: name === "neutral" ? -y - 0.07 : -y }, name));
    this.origin = draw("circle", { class: "emo-origin", r: 0.06 });
    this.path = draw("line", { class: "emo-path" });
    this.point = draw("circle", { class: "emo-point", r: 0.075 });
    this.others = draw("g");
    this.node = draw("svg",
      { class: "emo-circumplex", viewBox: "-1.22 -1.22 2.44 2.44", role: "slider", tabindex: "0",
        "aria-label": "Valence and arousal", "aria-valuemin": "-1", "aria-valuemax": "1" },
      draw("circle", { class: "emo-disc", r: 1 }),
      draw("path", { class: "emo-axes", d: "M-1 0H1M0 -1V1" }),
      draw("text", { x: 0, y: -1.07 }, "excited"), draw("text", { x: 0, y: 1.17 }, "calm"),
      draw("text", { x: 1.1, y: 0, transform: "rotate(90 1.1 0)" }, "pleasant"),
      draw("text", { x: -1.1, y: 0, transform: "rotate(-90 -1.1 0)" }, "unpleasant"),
      ...words, this.others, this.path, this.origin, this.point);
    this.values = make("output", { class: "emo-values", "aria-hidden": "true" });
    this.node.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      this.node.setPointerCapture(event.pointerId);
      this.follow(event);
    });
    this.node.addEventListener("pointermove", (event) => this.node.hasPointerCapture(event.pointerId) && this.follow(event));
  }

  follow(event) {
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.node.getScreenCTM().inverse());
    this.moved(clip(x), clip(-y));
  }

  // One step of an arrow key from the labels of now.
  step(label, [x, y], far) {
    const by = far ? 0.2 : 0.05;
    this.moved(clip((label.valence ?? 0) + by * x), clip((label.arousal ?? 0) + by * y));
  }

  // The label of now, the one in the table, the model's and other annotators' ({name, valence, arousal}).
  show(label, original, opinion, others) {
    const place = (node, { valence, arousal }) => {
      const known = valence != null && arousal != null;
      node.style.display = known ? "" : "none";
      if (known) node.setAttribute("transform", `translate(${valence} ${-arousal})`);
      return known;
    };
    this.point.setAttribute("data-expression", label.expression ?? "");
    const moved = label.valence !== original.valence || label.arousal !== original.arousal;
    const both = place(this.point, label) & place(this.origin, original) & moved;
    this.origin.style.display = both ? "" : "none";
    this.path.style.display = both ? "" : "none";
    if (both)
      for (const [name, value] of Object.entries({ x1: original.valence, y1: -original.arousal, x2: label.valence, y2: -label.arousal }))
        this.path.setAttribute(name, value);
    // Annotators who chose the same place share a mark.
    const numbers = Map.groupBy((others ?? []).map((other, i) => ({ ...other, number: i + 1 })), (other) => `${other.valence} ${other.arousal}`);
    this.others.replaceChildren(
      ...[...numbers.values()].map((group) => {
        const text = group.map((other) => other.number).join(", ");
        const mark = draw("g", { class: "emo-other" }, draw("circle", { r: 0.1 }), draw("text", { x: 0.1, y: -0.1 }, text));
        place(mark, group[0]);
        return mark;
      }));
    if (opinion) {
      const mark = draw("path", { class: "emo-model", d: "M0 -.1L.1 0L0 .1L-.1 0Z" });
      place(mark, opinion);
      this.others.append(mark);
    }
    const text = `valence ${signed(label.valence)}, arousal ${signed(label.arousal)}`;
    this.node.setAttribute("aria-valuenow", label.valence ?? 0);
    this.node.setAttribute("aria-valuetext", text);
    this.values.replaceChildren(
      make("span", {}, "valence ", make("b", {}, signed(label.valence))), make("span", {}, "arousal ", make("b", {}, signed(label.arousal))));
  }
}
