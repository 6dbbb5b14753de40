// Elements. Text is always set as text: a label or file name with markup in it shows as it is.

export const SVG = "http://www.w3.org/2000/svg";

export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

// A button that names its key.
export function button(label, key, action, kind = "") {
  return make(
    "button",
    { type: "button", class: `emo-button ${kind}`, "aria-keyshortcuts": key.aria, onclick: action },
    make("span", { class: "emo-label" }, label),
    make("kbd", { "aria-hidden": "true" }, key.shown),
  );
}

export function signed(value) {
  if (value == null) return "–";
  const size = Math.abs(value).toFixed(2);
  return (value < 0 && Number(size) ? "−" : "+") + size;
}

export function minutes(seconds) {
  if (seconds < 60) return "under a minute";
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

export function count(number, word = "face") {
  return `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
}
