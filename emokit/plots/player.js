// The video and the traces of one person share a cursor. Times are those of the source video;
// the annotated one begins at `start`.

const LEFT = 60, RIGHT = 944, WIDTH = 960, HEIGHT = 270;
const PANELS = { valence: [10, 98], arousal: [126, 214] };
const BAND = [226, 242];

function svg(name, attributes, parent) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent?.append(node);
  return node;
}

function html(name, className, parent) {
  const node = document.createElement(name);
  node.className = className;
  parent?.append(node);
  return node;
}

// Index of the last time that is not after `time`; -1 if there is none. Breaks are null.
function indexAt(times, time) {
  let found = -1;
  for (let k = 0; k < times.length && !(times[k] > time + 1e-4); k++) if (times[k] !== null) found = k;
  return found;
}

function path({ time, ...values }, dimension, x, y) {
  let line = "", pen = "M";
  time.forEach((t, k) => {
    if (t === null) { pen = "M"; return; }
    line += `${pen}${x(t).toFixed(1)} ${y(values[dimension][k]).toFixed(1)}`;
    pen = "L";
  });
  return line;
}

// Neighbouring frames with one expression make one bar; the last lasts as long as the one before.
function bars({ time, expression }) {
  const found = [];
  let step = 0.04;
  time.forEach((t, k) => {
    if (t === null) return;
    const next = time[k + 1] ?? null;
    if (next !== null) step = next - t;
    const last = found.at(-1);
    if (k && time[k - 1] !== null && last.expression === expression[k]) last.end = t + step;
    else found.push({ expression: expression[k], begin: t, end: t + step });
  });
  return found;
}

const signed = (v) => (v < 0 ? "−" : "+") + Math.abs(v).toFixed(2);

function render({ model, el }) {
  const { start, colours, affect, persons } = model.get("_traces");
  const root = html("div", "emokit-player", el);
  const video = html("video", "", root);
  const address = URL.createObjectURL(new Blob([model.get("_video")], { type: "video/mp4" }));
  Object.assign(video, { src: address, muted: true, preload: "auto", playsInline: true });
  // Own controls, because a browser's lie over the picture.
  const slider = Object.assign(html("input", "", root), { type: "range", min: start, step: "any", ariaLabel: "time" });
  const bar = html("div", "bar", root);
  const button = Object.assign(html("button", "", bar), { textContent: "Play" });
  const names = Object.keys(persons);
  const choice = html("select", "person", bar);
  for (const name of names) choice.add(new Option(`Person ${name}`, name));
  choice.hidden = names.length < 2;
  const said = html("span", "said", bar);
  const plot = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, tabindex: 0, "aria-label": "traces" }, root);
  const key = html("div", "key", root);

  const ends = Object.values(persons).flatMap(({ found }) => found.time.filter((t) => t !== null));
  const end = () => Math.max(...ends, start + (video.duration || 0));
  const x = (time) => LEFT + ((time - start) / (end() - start || 1)) * (RIGHT - LEFT);
  let cursor, traces;

  function draw() {
    traces = persons[model.get("person")];
    slider.max = end();
    choice.value = model.get("person");
    plot.replaceChildren();
    key.replaceChildren();
    for (const [dimension, [top, bottom]] of Object.entries(PANELS)) {
      const y = (value) => (top + bottom) / 2 - (value * (bottom - top)) / 2;
      svg("line", { class: "zero", x1: LEFT, x2: RIGHT, y1: y(0), y2: y(0) }, plot);
      for (const value of [-1, 0, 1]) {
        const label = svg("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, plot);
        label.textContent = String(value).replace("-", "−");
      }
      const middle = `translate(14 ${y(0)}) rotate(-90)`;
      svg("text", { transform: middle, "text-anchor": "middle" }, plot).textContent = dimension;
      svg("path", { class: "found", stroke: affect[dimension], d: path(traces.found, dimension, x, y) }, plot);
      if (traces.truth) svg("path", { class: "truth", d: path(traces.truth, dimension, x, y) }, plot);
    }
    for (const { expression, begin, end } of bars(traces.found)) {
      const width = Math.max(0.5, x(end) - x(begin));
      svg("rect", { x: x(begin), y: BAND[0], width, height: BAND[1] - BAND[0], fill: colours[expression] }, plot);
    }
    const length = end() - start;
    const step = [0.5, 1, 2, 5, 10, 30, 60, 300, 600, 1800].find((s) => length / s <= 10) ?? 3600;
    for (let t = Math.ceil(start / step) * step; t <= end() + 1e-6; t += step)
      svg("text", { x: x(t), y: HEIGHT - 6, "text-anchor": "middle" }, plot).textContent = `${+t.toFixed(1)} s`;
    for (const name of new Set(traces.found.expression.filter((n) => n !== null))) {
      const entry = html("span", "", key);
      html("i", "", entry).style.background = colours[name];
      entry.append(name);
    }
    if (traces.truth) html("span", "", key).textContent = "dashed: truth";
    cursor = svg("line", { class: "cursor", y1: 4, y2: BAND[1] + 4 }, plot);
    show(start + video.currentTime);
  }

  function show(time) {
    cursor.setAttribute("x1", x(time));
    cursor.setAttribute("x2", x(time));
    slider.value = time;
    const { found } = traces;
    const k = indexAt(found.time, time);
    // Past a break, or long after the last row, the person is not seen.
    const seen = k >= 0 && found.time[k] !== null && (found.time[k + 1] !== null || time - found.time[k] < 0.1);
    said.textContent = `${time.toFixed(2)} s   ` + (seen
      ? `${found.expression[k]}, valence ${signed(found.valence[k])}, arousal ${signed(found.arousal[k])}`
      : "not seen");
  }

  function seek(time) {
    const within = Math.min(Math.max(time, start), end());
    // A little later than the frame's time, so that rounding does not show the one before.
    video.currentTime = within - start + 1e-3;
    show(within);
  }

  function step(direction) {
    const times = traces.found.time.filter((t) => t !== null), now = start + video.currentTime;
    const next = direction > 0 ? times.find((t) => t > now + 1e-3) : times.findLast((t) => t < now - 2e-3);
    if (next !== undefined) seek(next);
  }

  function tell() {
    show(start + video.currentTime);
    model.set("time", start + video.currentTime);
    model.save_changes();
  }

  let pending = 0;
  function roll() {
    show(start + video.currentTime);
    if (!video.paused) pending = requestAnimationFrame(roll);
  }

  const scrub = (event) => {
    const { left, width } = plot.getBoundingClientRect();
    const at = ((event.clientX - left) / width) * WIDTH;
    seek(start + ((at - LEFT) / (RIGHT - LEFT)) * (end() - start));
  };
  plot.addEventListener("pointerdown", (event) => {
    plot.setPointerCapture(event.pointerId);
    video.pause();
    scrub(event);
  });
  plot.addEventListener("pointermove", (event) => plot.hasPointerCapture(event.pointerId) && scrub(event));
  plot.addEventListener("keydown", (event) => {
    const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!direction) return;
    event.preventDefault();
    event.stopPropagation();
    video.pause();
    step(direction);
  });
  slider.addEventListener("input", () => {
    video.pause();
    seek(Number(slider.value));
  });
  const toggle = () => (video.paused ? video.play() : video.pause());
  button.addEventListener("click", toggle);
  video.addEventListener("click", toggle);
  choice.addEventListener("change", () => {
    model.set("person", Number(choice.value));
    model.save_changes();
  });
  video.addEventListener("play", () => {
    button.textContent = "Pause";
    roll();
  });
  video.addEventListener("pause", () => {
    button.textContent = "Play";
    tell();
  });
  video.addEventListener("seeked", tell);
  video.addEventListener("loadedmetadata", () => {
    draw();
    if (model.get("time") > start) seek(model.get("time"));
  });
  video.addEventListener("error", () => { said.textContent = "this browser cannot play the video (H.264 in MP4)"; });
  const goThere = () => {
    if (Math.abs(model.get("time") - start - video.currentTime) > 2e-3) seek(model.get("time"));
  };
  model.on("change:time", goThere);
  model.on("change:person", draw);
  draw();
  return () => {
    cancelAnimationFrame(pending);
    model.off("change:time", goThere);
    model.off("change:person", draw);
    URL.revokeObjectURL(address);
  };
}

export default { render };
