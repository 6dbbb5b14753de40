// Faces that the browser holds: those on show, the next ones, and a few of the last for an undo.
import { draw, make } from "./parts.js";

const RECENT = 8;
const AT_ONCE = 2;
// Runs of the 68 landmarks that belong together, and whether they close.
const PARTS = [[0, 17], [17, 22], [22, 27], [27, 31], [31, 36], [36, 42, 1], [42, 48, 1], [48, 60, 1], [60, 68, 1]];

export class Faces {
  constructor(request) {
    this.request = request;
    this.held = new Map();
    this.asked = new Set();
    this.wanted = [];
    this.recent = [];
    this.era = 0; // of the mode, which has pictures of its own
  }

  // Hold these, and let go of what is far.
  want(now, next) {
    this.wanted = [...now, ...next];
    this.recent = [...now, ...this.recent.filter((item) => !now.includes(item))].slice(0, now.length + RECENT);
    const near = new Set([...this.wanted, ...this.recent]);
    for (const item of this.held.keys()) if (!near.has(item)) this.drop(item);
    this.ask();
  }

  // Few at a time, so that no decision has to wait for them.
  ask() {
    const missing = this.wanted.filter((item) => !this.held.has(item) && !this.asked.has(item));
    for (const item of missing.slice(0, Math.max(0, AT_ONCE - this.asked.size))) {
      this.asked.add(item);
      this.request(item);
    }
  }

  // A face that was asked for, by this view and not another one.
  async take(face, bytes) {
    if (!this.asked.has(face.item)) return;
    const { era } = this;
    if (bytes) {
      face.url = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
      face.image = make("img", { src: face.url, alt: "", draggable: "false" });
      // The picture is ready to be painted when it is needed.
      await face.image.decode().catch(() => (face.problem = "The browser cannot show this picture."));
    }
    if (era === this.era && this.asked.delete(face.item)) this.held.set(face.item, face);
    else if (face.url) URL.revokeObjectURL(face.url);
    this.ask();
  }

  drop(item) {
    const url = this.held.get(item)?.url;
    if (url) URL.revokeObjectURL(url);
    this.held.delete(item);
  }

  clear() {
    for (const item of [...this.held.keys()]) this.drop(item);
    this.asked.clear();
    this.era++;
  }
}

// The picture of a face with its landmarks over it, or why there is none.
export function picture(face) {
  if (!face) return make("div", { class: "emo-missing" }, make("span", {}, "Loading …"));
  if (face.problem)
    return make("div", { class: "emo-missing", role: "img", "aria-label": `No picture: ${face.problem}` },
      make("strong", {}, "No picture"), make("span", {}, face.problem), make("span", {}, "You can judge it all the same."));
  const frame = make("div", { class: "emo-photo" }, face.image);
  const overlay = draw("svg", { class: "emo-marks", viewBox: `0 0 ${face.width} ${face.height}`, "aria-hidden": "true" });
  if (face.crop) {
    const [x, y, side] = face.crop;
    overlay.append(draw("rect", { x, y, width: side, height: side }));
  }
  if (face.landmarks) {
    const points = Array.from({ length: 68 }, (_, i) => face.landmarks.slice(2 * i, 2 * i + 2));
    const lines = PARTS.map(([first, end, closes]) => "M" + points.slice(first, end).join("L") + (closes ? "Z" : ""));
    overlay.append(draw("path", { class: "emo-lines", d: lines.join("") }));
    overlay.append(draw("path", { class: "emo-points", d: points.map((point) => `M${point}h0`).join("") }));
  }
  frame.append(overlay);
  return frame;
}
