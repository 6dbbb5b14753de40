// Which key does what.
import { make } from "./parts.js";

export const KEYS = {
  accept: { shown: "A", aria: "a", keys: ["a", "Enter"] },
  wrong: { shown: "X", aria: "x", keys: ["x"] },
  unsure: { shown: "F", aria: "f", keys: ["f"] },
  "no face": { shown: "N", aria: "n", keys: ["n"] },
  "bad crop": { shown: "B", aria: "b", keys: ["b"] },
  duplicate: { shown: "D", aria: "d", keys: ["d"] },
  skip: { shown: "Space", aria: "Space", keys: [" "] },
  undo: { shown: "⌫", aria: "Backspace", keys: ["Backspace"] },
  redo: { shown: "⇧⌫", aria: "Shift+Backspace", keys: [] },
  note: { shown: "M", aria: "m", keys: ["m"] },
  zoom: { shown: "Z", aria: "z", keys: ["z"] },
  landmarks: { shown: "L", aria: "l", keys: ["l"] },
  opinion: { shown: "O", aria: "o", keys: ["o"] },
  filter: { shown: "/", aria: "/", keys: ["/"] },
  later: { shown: "P", aria: "p", keys: ["p"] },
  help: { shown: "H", aria: "h", keys: ["h", "?"] },
  discard: { shown: "Esc", aria: "Escape", keys: ["Escape"] },
};

export const digit = (number) => ({ shown: String(number), aria: String(number) });

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

// What a key press means: {act}, {number, shift}, {move: [x, y], far} or nothing.
export function meaning(event) {
  const command = event.ctrlKey || event.metaKey;
  // A letter is what the key prints, or in other scripts where it lies.
  const letter = /[^\0-\x7f]/.test(event.key) ? /^Key([A-Z])$/.exec(event.code)?.[1] : null;
  const key = (letter ?? event.key).length === 1 ? (letter ?? event.key).toLowerCase() : event.key;
  if (command && !event.altKey && key === "z") return { act: event.shiftKey ? "redo" : "undo" };
  if (command && !event.altKey && key === "y") return { act: "redo" };
  if (command && !event.altKey && key === "s") return { act: "saved" };
  if (command || event.altKey) return null;
  if (key === "Backspace" && event.shiftKey) return { act: "redo" };
  // By the key's place first: French keyboards, say, print digits with shift only.
  const number = /^Digit([1-9])$/.exec(event.code)?.[1] ?? (/^[1-9]$/.test(key) ? key : null);
  if (number) return { number: Number(number), shift: event.shiftKey };
  if (key in ARROWS) return { move: ARROWS[key], far: event.shiftKey };
  const act = Object.keys(KEYS).find((name) => KEYS[name].keys.includes(key));
  return act ? { act } : null;
}

const HELP = {
  one: [
    ["Judge the label", [["A", "or", "↵", "right as it stands; with changes: save my correction"], ["X", "wrong; changes I made are saved with it"],
      ["F", "unsure"], ["N", "no face"], ["B", "bad crop"], ["D", "duplicate"], ["Space", "skip: comes again at the end"]]],
    ["Correct the label", [["1", "…", "8", "another expression"], ["←", "↑", "↓", "→", "move valence and arousal; with ⇧ four steps"],
      ["click", "or drag in the circle does the same"], ["M", "note"], ["Esc", "take my changes back"]]],
    ["Go back", [["⌫", "undo, as often as you like"], ["⇧⌫", "redo"]]],
    ["See more", [["Z", "zoom; the pointer moves the picture"], ["L", "landmarks and crop"], ["O", "the model’s opinion"],
      ["/", "filters"], ["P", "pause reminder: later"], ["H", "this help"]]],
  ],
  grid: [
    ["Pick the odd ones out", [["←", "↑", "↓", "→", "go from face to face"], ["X", "or", "Space", "this one is wrong; again: it is right"],
      ["click", "does the same"], ["F", "N", "B", "D", "unsure, no face, bad crop, duplicate"]]],
    ["Confirm", [["↵", "or", "A", "picked faces as marked, all others correct"]]],
    ["Go back", [["⌫", "undo the whole page"], ["⇧⌫", "redo"], ["Esc", "take all picks back"]]],
    ["See more", [["Z", "larger faces"], ["L", "landmarks"], ["/", "class and filters"], ["P", "pause reminder: later"], ["H", "this help"]]],
  ],
  adjudicate: [
    ["Decide between annotators", [["⇧1", "…", "⇧9", "take over an annotator’s opinion"], ["A", "or", "↵", "save what is shown"],
      ["X", "wrong"], ["F", "unsure"], ["N", "no face"], ["B", "bad crop"], ["D", "duplicate"], ["Space", "leave it open"]]],
    ["Your own opinion", [["1", "…", "8", "another expression"], ["←", "↑", "↓", "→", "move valence and arousal; with ⇧ four steps"],
      ["M", "note"], ["Esc", "take my changes back"]]],
    ["Go back", [["⌫", "undo"], ["⇧⌫", "redo"]]],
    ["See more", [["Z", "zoom"], ["L", "landmarks and crop"], ["O", "the model’s opinion"], ["/", "filters"], ["H", "this help"]]],
  ],
};

export function help(mode, close) {
  const key = (text) => (/^(or|…|click)$/.test(text) ? make("span", {}, text) : make("kbd", {}, text));
  const section = ([title, rows]) =>
    make("section", {}, make("h4", {}, title),
      ...rows.map((row) => make("div", { class: "emo-row" }, make("span", {}, ...row.slice(0, -1).map(key)), make("span", {}, row.at(-1)))));
  return make("div", { class: "emo-help", role: "dialog", "aria-modal": "true", "aria-label": "Keys", tabindex: "-1" },
    make("div", { class: "emo-sections" }, ...HELP[mode].map(section)),
    make("p", {}, "Every decision is on disk before the next face shows. Close the notebook whenever you like: you go on where you stopped."),
    make("button", { type: "button", class: "emo-button emo-main", onclick: close },
      make("span", { class: "emo-label" }, "Back to work"), make("kbd", { "aria-hidden": "true" }, "Esc")));
}
