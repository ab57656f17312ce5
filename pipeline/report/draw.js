// Paths on a canvas: colour is speed, on the scale of the network's own pictures.

const KIND = { move: 0, down: 1, up: 2, drag: 3, scroll: 4, click: 5, touch: 6 };
const [SLOW_PX_S, FAST_PX_S] = report.speeds;
const N_COLORS = 48;
const REST_MS = 100; // a rest of this length is marked
const BACKGROUND = `rgb(${report.background.join()})`;
const COLORS = Array.from({ length: N_COLORS }, (_, i) => `rgb(${mixed(report.scale, i / (N_COLORS - 1)).join()})`);
const HIGHLIGHT = "82 226 170";

/** Red, green and blue at a place on a scale of colours, 0 to 1. */
function mixed(scale, fraction) {
  const at = fraction * (scale.length - 1);
  const i = Math.min(Math.floor(at), scale.length - 2);
  return [0, 1, 2].map((c) => Math.round(scale[i][c] + (at - i) * (scale[i + 1][c] - scale[i][c])));
}

/** Draw a scale of colours, one pixel high; the style says how large it is shown. */
function drawScale(bar, scale) {
  const pen = bar.getContext("2d");
  for (let i = 0; i < bar.width; i++) {
    pen.fillStyle = `rgb(${mixed(scale, i / (bar.width - 1)).join()})`;
    pen.fillRect(i, 0, 1, 1);
  }
}

/** Turn the differences of a path block into positions, times (ms) and speeds (px/s). */
function decode(block) {
  const added = (differences, step) => {
    let total = 0;
    return Float64Array.from(differences, (difference) => (total += difference) * step);
  };
  const path = {
    t: added(block.t, block.step_ms),
    x: added(block.x, block.step_px),
    y: added(block.y, block.step_px),
    kind: Uint8Array.from(block.kind),
    block,
  };
  path.n = path.t.length;
  path.first = path.n ? path.t[0] : 0;
  path.last = path.n ? path.t[path.n - 1] : 0;
  path.speed = new Float64Array(Math.max(path.n - 1, 0));
  for (let i = 0; i + 1 < path.n; i++) {
    const away = Math.hypot(path.x[i + 1] - path.x[i], path.y[i + 1] - path.y[i]);
    path.speed[i] = (1000 * away) / Math.max(path.t[i + 1] - path.t[i], 1);
  }
  path.clicks = [...path.kind.keys()].filter((i) => isClick(path.kind[i]));
  return path;
}

const isClick = (kind) => kind === KIND.down || kind === KIND.click || kind === KIND.touch;

function speedFraction(speed) {
  const fraction = Math.log(Math.max(speed, 1e-3) / SLOW_PX_S) / Math.log(FAST_PX_S / SLOW_PX_S);
  return Math.min(Math.max(fraction, 0), 1);
}

/** The number of events at or before a time. */
function eventsUntil(path, ms) {
  let low = 0;
  let high = path.n;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (path.t[middle] <= ms) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Make a canvas as fine as the screen and return its context, in CSS pixels. */
function prepare(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const dense = window.devicePixelRatio || 1;
  canvas.width = Math.max(Math.round(width * dense), 1);
  canvas.height = Math.max(Math.round(height * dense), 1);
  const pen = canvas.getContext("2d");
  pen.setTransform(dense, 0, 0, dense, 0, 0);
  return { pen, width, height };
}

/** Where a path's pixels go so that all of it fits. */
function fitted(path, width, height, thin = false) {
  const margin = thin ? 8 : 18;
  const [left, right] = extent(path.x);
  const [top, bottom] = extent(path.y);
  const scale = Math.min(
    (width - 2 * margin) / Math.max(right - left, 1),
    (height - 2 * margin) / Math.max(bottom - top, 1),
    6,
  );
  return {
    x: (px) => width / 2 + (px - (left + right) / 2) * scale,
    y: (px) => height / 2 + (px - (top + bottom) / 2) * scale,
  };
}

function extent(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return values.length ? [low, high] : [0, 0];
}

/**
 * Draw a path up to a time, and faintly what comes after it.
 * `highlights` are [from ms, to ms, words]: a halo around what they cover, and the words beside
 * it. Beside `events` all else is dimmed.
 */
function drawPath(canvas, path, { now = Infinity, highlights = [], events = [], thin = false } = {}) {
  const { pen, width, height } = prepare(canvas);
  canvas.dataset.highlighted = events.length;
  pen.fillStyle = BACKGROUND;
  pen.fillRect(0, 0, width, height);
  const at = fitted(path, width, height, thin);
  const n = eventsUntil(path, now);
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = `rgb(${HIGHLIGHT} / 0.5)`;
  for (const [from, to] of highlights) strokeSegments(pen, path, at, segmentsBetween(path, from, to), thin ? 6 : 13);
  if (n < path.n) {
    pen.strokeStyle = "rgb(150 160 180 / 0.28)";
    strokeSegments(pen, path, at, range(Math.max(n - 1, 0), path.n - 1), 1.2);
  }
  pen.strokeStyle = "rgb(255 255 255 / 0.22)";
  strokeSegments(pen, path, at, heldSegments(path).filter((i) => i < n - 1), thin ? 4 : 8);
  strokeSpeeds(pen, path, at, range(0, n - 1), thin ? 1.3 : 2.2);
  drawMarks(pen, path, at, n, now, thin);
  drawRanks(pen, path, at, highlights);
  if (events.length) {
    pen.fillStyle = `rgb(${report.background.join(" ")} / 0.6)`;
    pen.fillRect(0, 0, width, height);
    drawEvents(pen, path, at, events, thin);
  }
  if (Number.isFinite(now) && path.n) drawPointer(pen, at, ...positionAt(path, now, n));
}

const range = (from, to) => Array.from({ length: Math.max(to - from, 0) }, (_, i) => from + i);

const segmentsBetween = (path, from, to) =>
  range(Math.max(eventsUntil(path, from - 1e-6), 0), Math.max(eventsUntil(path, to) - 1, 0));

function strokeSegments(pen, path, at, segments, width) {
  pen.lineWidth = width;
  pen.beginPath();
  let last = -2;
  for (const i of segments) {
    if (i !== last + 1) pen.moveTo(at.x(path.x[i]), at.y(path.y[i]));
    pen.lineTo(at.x(path.x[i + 1]), at.y(path.y[i + 1]));
    last = i;
  }
  pen.stroke();
}

/** Stroke segments in the colours of their speeds. */
function strokeSpeeds(pen, path, at, segments, width) {
  const groups = Array.from({ length: N_COLORS }, () => []);
  for (const i of segments) groups[Math.round(speedFraction(path.speed[i]) * (N_COLORS - 1))].push(i);
  groups.forEach((group, color) => {
    pen.strokeStyle = COLORS[color];
    strokeSegments(pen, path, at, group, width);
  });
}

/** The ranks of highlights beside their middles, each on a ground of its own, none over another. */
function drawRanks(pen, path, at, highlights) {
  const [wide, high] = [16, 16];
  const placed = [];
  pen.font = "bold 12px system-ui, sans-serif";
  pen.textAlign = "center";
  for (const [from, to, words] of highlights.filter(([, , words]) => words)) {
    const [px, py] = positionAt(path, (from + to) / 2, eventsUntil(path, (from + to) / 2));
    const place = [at.x(px) + 12, at.y(py) - 20];
    const isOver = ([x, y]) => Math.abs(x - place[0]) < wide + 1 && Math.abs(y - place[1]) < high + 1;
    while (placed.some(isOver)) place[1] -= high + 2;
    placed.push(place);
    pen.fillStyle = `rgb(${HIGHLIGHT})`;
    pen.fillRect(place[0] - wide / 2, place[1] - high / 2, wide, high);
    pen.fillStyle = "black";
    pen.fillText(words, place[0], place[1] + 4);
  }
}

/** The segment that leads to each event, and a dot where the event is. */
function drawEvents(pen, path, at, events, thin) {
  const segments = events.filter((i) => i > 0).map((i) => i - 1);
  pen.strokeStyle = "white";
  strokeSegments(pen, path, at, segments, thin ? 4 : 6);
  strokeSpeeds(pen, path, at, segments, thin ? 2 : 3);
  pen.fillStyle = "white";
  for (const i of events) {
    pen.beginPath();
    pen.arc(at.x(path.x[i]), at.y(path.y[i]), thin ? 2 : 3, 0, 2 * Math.PI);
    pen.fill();
  }
}

/** Segments drawn with a button held: from a press to its release, and every drag. */
function heldSegments(path) {
  const held = [];
  let isHeld = false;
  for (let i = 0; i + 1 < path.n; i++) {
    const kind = path.kind[i];
    if (kind === KIND.down || kind === KIND.drag) isHeld = true;
    else if (kind === KIND.up || kind === KIND.move || kind === KIND.click) isHeld = false;
    if (isHeld) held.push(i);
  }
  return held;
}

function drawMarks(pen, path, at, n, now, thin) {
  pen.lineWidth = thin ? 1 : 1.6;
  pen.strokeStyle = "rgb(112 210 190)";
  for (let i = 0; i + 1 < n; i++) {
    const rest = path.t[i + 1] - path.t[i];
    if (rest >= REST_MS && !thin) ring(pen, at, path, i, 2 + 1.5 * Math.log2(rest / REST_MS));
  }
  pen.strokeStyle = "white";
  for (const i of path.clicks.filter((i) => i < n)) {
    const isFresh = now - path.t[i] < 350;
    ring(pen, at, path, i, thin ? 2.5 : isFresh ? 11 : 5.5);
  }
}

function ring(pen, at, path, i, radius) {
  pen.beginPath();
  pen.arc(at.x(path.x[i]), at.y(path.y[i]), radius, 0, 2 * Math.PI);
  pen.stroke();
}

/** Where the pointer is at a time: on its way, unless it rests. */
function positionAt(path, now, n) {
  const i = Math.max(n - 1, 0);
  if (i + 1 >= path.n || n === 0) return [path.x[i], path.y[i]];
  const share = Math.min((now - path.t[i]) / Math.max(path.t[i + 1] - path.t[i], 1), 1);
  if (path.t[i + 1] - path.t[i] > REST_MS) return [path.x[i], path.y[i]];
  return [path.x[i] + share * (path.x[i + 1] - path.x[i]), path.y[i] + share * (path.y[i + 1] - path.y[i])];
}

function drawPointer(pen, at, x, y) {
  pen.beginPath();
  pen.arc(at.x(x), at.y(y), 5, 0, 2 * Math.PI);
  pen.fillStyle = "white";
  pen.fill();
  pen.lineWidth = 2;
  pen.strokeStyle = "black";
  pen.stroke();
}

const speedsPlot = (width, height) => ({ left: 46, right: width - 8, top: 8, bottom: height - 22 });

/** Draw speed over time on a logarithmic scale; `now` is a line across, `events` are underlaid. */
function drawSpeeds(canvas, path, { now = null, highlights = [], events = [] } = {}) {
  const { pen, width, height } = prepare(canvas);
  const color = (name) => getComputedStyle(canvas).getPropertyValue(name);
  const plot = speedsPlot(width, height);
  const x = timeScale(path, plot);
  const y = (speed) => plot.bottom - speedFraction(speed) * (plot.bottom - plot.top);
  pen.clearRect(0, 0, width, height);
  pen.fillStyle = `rgb(${HIGHLIGHT} / 0.5)`;
  for (const [from, to] of highlights) {
    pen.fillRect(x(from), plot.top, Math.max(x(to) - x(from), 2), plot.bottom - plot.top);
  }
  pen.fillStyle = color("--high");
  pen.globalAlpha = 0.45;
  for (const i of events) {
    const from = x(path.t[Math.max(i - 1, 0)]);
    pen.fillRect(from, plot.top, Math.max(x(path.t[i]) - from, 2), plot.bottom - plot.top);
  }
  pen.globalAlpha = 1;
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = color("--faint");
  pen.strokeStyle = color("--line");
  pen.textAlign = "right";
  pen.textAlign = "center";
  pen.fillStyle = color("--text");
  for (const [from, to, words] of highlights) pen.fillText(words, (x(from) + x(to)) / 2, plot.top + 10);
  pen.fillStyle = color("--faint");
  pen.textAlign = "right";
  for (const speed of [100, 1000, 10000]) {
    line(pen, plot.left, y(speed), plot.right, y(speed));
    pen.fillText(speed.toLocaleString("en"), plot.left - 5, y(speed) + 4);
  }
  pen.fillText("px/s", plot.left - 5, y(10000) + 17);
  pen.textAlign = "center";
  const step = tickStep((path.last - path.first) / 1000, (plot.right - plot.left) / 70);
  for (let s = Math.ceil(path.first / 1000 / step) * step; s <= path.last / 1000; s += step) {
    pen.fillText(`${+s.toFixed(3)} s`, Math.min(Math.max(x(1000 * s), plot.left + 8), plot.right - 12), height - 6);
  }
  pen.strokeStyle = color("--accent");
  pen.lineWidth = 1.3;
  pen.beginPath();
  pen.moveTo(plot.left, plot.bottom);
  for (let i = 0; i + 1 < path.n; i++) {
    pen.lineTo(x(path.t[i]), y(path.speed[i]));
    pen.lineTo(x(path.t[i + 1]), y(path.speed[i]));
  }
  pen.stroke();
  pen.fillStyle = color("--text");
  for (const i of path.clicks) pen.fillRect(x(path.t[i]) - 1, plot.bottom - 7, 2, 7);
  if (now !== null) {
    pen.strokeStyle = color("--text");
    line(pen, x(now), plot.top, x(now), plot.bottom);
  }
}

const timeScale = (path, plot) => (ms) =>
  plot.left + ((ms - path.first) / Math.max(path.last - path.first, 1)) * (plot.right - plot.left);

function line(pen, x1, y1, x2, y2) {
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(x2, y2);
  pen.stroke();
}

/** A round step such that about `n` of them make the whole. */
function tickStep(whole, n) {
  const rough = Math.max(whole / Math.max(n, 1), 1e-3);
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5].find((times) => times * power >= rough) ?? 10);
}

/** What a screen reader says of a path. */
function pathWords(path) {
  if (!path.n) return "A path without events";
  const fastest = Math.max(0, ...path.speed);
  return (
    `Path of ${count(path.n, "event")} over ${seconds(path.last - path.first)}, ` +
    `${count(path.clicks.length, "click")}, at most ${Math.round(fastest).toLocaleString("en")} px/s`
  );
}
