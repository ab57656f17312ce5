// The print of a case: panels of cells, drawn in one of four views.

const PANELS = report.panels ?? [];
const CELLS = report.cells ?? 1;
const AREA = CELLS * CELLS;
const ROOT_STEPS = 510; // a byte of a print is this times the root of a cell's share
const FULL = 255; // the byte of a quarter of a panel's events and of more
const MOST = 0.2; // the root of the share where the colours of a print end: 4 %
const MOST_APART = 0.15; // how far apart roots are where those of a difference end
const MARGIN = { left: 42, right: 8, top: 21, bottom: 38 };
const SHARE_SCALE = [report.background, [24, 66, 92], [28, 122, 130], [104, 190, 148], [244, 248, 206]];
const WEIGHT_SCALE = [[64, 160, 255], [92, 100, 114], [255, 150, 30]];

/**
 * The open case: by panel and cell the roots of shares (`own`, `reference`) and what raised the score;
 * by panel the cell of each event; and what is chosen.
 */
const printed = { own: null, reference: null, raised: null, cellOf: [], whose: "", pinned: null, hovered: null };

/** Of each view: its colours, where a cell lies on them (0 to 1), and what their ends mean. */
const VIEWS = {
  difference: {
    scale: WEIGHT_SCALE,
    at: (i) => 0.5 + (printed.own[i] - printed.reference[i]) / (2 * MOST_APART),
    ends: () => [`less often than ${printed.whose}`, `more often than ${printed.whose}`],
  },
  own: { scale: SHARE_SCALE, at: (i) => printed.own[i] / MOST, ends: shareEnds },
  reference: { scale: SHARE_SCALE, at: (i) => printed.reference[i] / MOST, ends: shareEnds },
  raised: {
    scale: WEIGHT_SCALE,
    at: (i) => 0.5 + printed.raised[i] / 254,
    ends: () => ["lowered the score", "raised the score (beside a title: the panel's part)"],
  },
};

function shareEnds() {
  return ["no events", `${percent(MOST ** 2)} of a panel's events or more`];
}

const canvasOf = (p) => byId(`panel-${p}`);
const view = () => VIEWS[document.querySelector("[name=view]:checked").value];
const bytesOf = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

/**
 * Roots of shares, without the events that were added evenly to each panel: these are what the
 * emptiest cell has. `isFull` says where a byte may be too small for its share.
 */
function readPrint(text) {
  const bytes = bytesOf(text);
  const roots = PANELS.flatMap((_, p) => {
    const panel = bytes.subarray(p * AREA, (p + 1) * AREA);
    const least = Math.min(...panel);
    return Array.from(panel, (byte) => Math.sqrt(byte ** 2 - least ** 2) / ROOT_STEPS);
  });
  return Object.assign(roots, { isFull: (i) => bytes[i] === FULL });
}

/** Make the panels, empty, once for all cases. */
function buildPrint() {
  byId("panels").replaceChildren(...PANELS.map((panel, p) => {
    const canvas = element("canvas", { id: `panel-${p}`, tabIndex: 0, role: "application" });
    canvas.setAttribute("aria-label", `${panel.title}: ${panel.words}. Arrow keys choose a cell`);
    canvas.setAttribute("aria-describedby", "readout");
    return element("figure", {},
      element("h4", {}, panel.title, element("span", { id: `part-${p}`, className: "part" })),
      canvas, element("figcaption", {}, sentence(panel.words)));
  }));
  PANELS.forEach((_, p) => listenToPanel(canvasOf(p), p));
}

/** Show the print of a case, or hide the section where there is none. */
function showPrint(block) {
  const found = PANELS.length && block.path ? block.print : null;
  byId("print").hidden = !found;
  byId("path").tabIndex = found ? 0 : -1;
  byId("path").setAttribute("role", found ? "application" : "img");
  byId("pointed").textContent = "";
  printed.own = null;
  if (!found) return;
  const reference = found.account ?? report.reference_print ?? null;
  const cells = new Uint16Array(bytesOf(found.cell_of).buffer);
  Object.assign(printed, {
    own: readPrint(found.own),
    reference: reference && readPrint(reference),
    raised: found.raised && new Int8Array(bytesOf(found.raised).buffer),
    cellOf: PANELS.map((_, p) => cells.subarray(p * player.path.n, (p + 1) * player.path.n)),
    whose: found.account ? "this account" : "people",
    pinned: null,
    hovered: null,
  });
  for (const words of document.querySelectorAll(".whose")) words.textContent = `${printed.whose}'s`;
  offerViews();
  showView();
}

/** Let only those views be chosen for which there is something to show. */
function offerViews() {
  const has = { own: true, reference: printed.reference, difference: printed.reference, raised: printed.raised };
  const buttons = [...document.querySelectorAll("[name=view]")];
  for (const button of buttons) button.disabled = !has[button.value];
  if (buttons.find((button) => button.checked).disabled) {
    buttons.find((button) => !button.disabled).checked = true;
  }
}

function showView() {
  const { scale, ends } = view();
  const bar = element("canvas", { className: "bar", role: "img", width: N_COLORS, height: 1 });
  bar.setAttribute("aria-label", "Colour scale");
  drawScale(bar, scale);
  const [low, high] = ends();
  byId("print-legend").replaceChildren(element("span", {}, low), bar, element("span", {}, high));
  PANELS.forEach((_, p) => {
    canvasOf(p).image = panelImage(p);
    const part = byId(`part-${p}`);
    part.textContent = view() === VIEWS.raised ? ` ${signedPercent(raisedBy(p))}` : "";
    part.classList.toggle("lowered", part.textContent.startsWith(" −"));
  });
  showChoice();
}

/** A picture of one pixel a cell. */
function panelImage(p) {
  const { scale, at } = view();
  const image = new ImageData(CELLS, CELLS);
  for (let cell = 0; cell < AREA; cell++) {
    const fraction = Math.min(Math.max(at(p * AREA + cell), 0), 1);
    image.data.set([...mixed(scale, fraction), 255], 4 * cell);
  }
  const canvas = new OffscreenCanvas(CELLS, CELLS);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** Where the cells are on a panel's canvas: whole pixels each. */
function plotOf(canvas) {
  const room = canvas.clientWidth - MARGIN.left - MARGIN.right;
  const cell = Math.min(Math.max(Math.floor(room / CELLS), 3), 7);
  return { left: MARGIN.left, top: MARGIN.top, cell, size: CELLS * cell };
}

function drawPanels(outlined) {
  PANELS.forEach((panel, p) => {
    const canvas = canvasOf(p);
    const plot = plotOf(canvas);
    canvas.style.height = `${plot.top + plot.size + MARGIN.bottom}px`;
    canvas.dataset.outlined = outlined[p].size;
    const { pen } = prepare(canvas);
    pen.imageSmoothingEnabled = false;
    if (isEmpty(p)) sayEmpty(pen, plot);
    else pen.drawImage(canvas.image, plot.left, plot.top, plot.size, plot.size);
    drawAxes(pen, plot, panel, getComputedStyle(canvas));
    drawOutline(pen, plot, outlined[p]);
  });
}

function drawAxes(pen, plot, { x, y, polar }, style) {
  const at = (start, position) => start + (position * (CELLS - 1) + 0.5) * plot.cell;
  const bottom = plot.top + plot.size;
  pen.font = "10px system-ui, sans-serif";
  pen.strokeStyle = pen.fillStyle = style.getPropertyValue("--faint");
  pen.textAlign = "right";
  for (const [position, text] of y.ticks) {
    line(pen, plot.left - 3, at(plot.top, position), plot.left, at(plot.top, position));
    wrapped(pen, text).forEach((words, i, all) =>
      pen.fillText(words, plot.left - 5, at(plot.top, position) + 3.5 + 10 * (i + 0.5 - all.length / 2)));
  }
  pen.textAlign = "center";
  const ends = [0, 0]; // of what is written in two rows; what fits in neither is left out
  for (const [position, text] of x.ticks) {
    const half = pen.measureText(text).width / 2;
    const middle = Math.min(Math.max(at(plot.left, position), half), plot.left + plot.size + MARGIN.right - half);
    const row = ends.findIndex((end) => middle - half >= end);
    line(pen, at(plot.left, position), bottom, at(plot.left, position), bottom + 3);
    if (row < 0) continue;
    ends[row] = middle + half + 3;
    pen.fillText(text, middle, bottom + 13 + 10 * row);
  }
  pen.fillStyle = style.getPropertyValue("--text");
  pen.textAlign = "left";
  if (!polar) pen.fillText(`↓ ${axisName(y)}`, 2, 10);
  pen.textAlign = "right";
  pen.fillText(`${axisName(x)}${polar ? ", from the middle" : ""} →`, plot.left + plot.size, bottom + (ends[1] ? 34 : 26));
  if (polar) drawRings(pen, plot, x.ticks);
}

const axisName = ({ words, unit }) => (unit ? `${words}, ${unit}` : words);

/** A text in two lines if it is too wide for the left margin. */
function wrapped(pen, text) {
  const gap = text.lastIndexOf(" ");
  return gap < 0 || pen.measureText(text).width < MARGIN.left - 6 ? [text] : [text.slice(0, gap), text.slice(gap + 1)];
}

function drawRings(pen, plot, ticks) {
  pen.strokeStyle = "rgb(200 210 225 / 0.3)";
  pen.lineWidth = 1;
  for (const [position] of ticks) {
    const radius = (position - 0.5) * (CELLS - 1) * plot.cell;
    pen.beginPath();
    pen.arc(plot.left + plot.size / 2, plot.top + plot.size / 2, radius, 0, 2 * Math.PI);
    pen.stroke();
  }
}

/** Whether a panel has nothing of this session to show. */
function isEmpty(p) {
  const { n_before, n_after } = player.path.block;
  const isOwn = view() === VIEWS.own || view() === VIEWS.difference;
  return isOwn && !n_before && !n_after && !printed.cellOf[p].some((cell) => cell < AREA);
}

function sayEmpty(pen, plot) {
  pen.fillStyle = BACKGROUND;
  pen.fillRect(plot.left, plot.top, plot.size, plot.size);
  pen.fillStyle = "white";
  pen.font = "11px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.fillText("no events", plot.left + plot.size / 2, plot.top + plot.size / 2);
}

/** Draw a line around a set of cells, white on black: it is seen on every colour. */
function drawOutline(pen, plot, cells) {
  const edges = new Path2D();
  const edge = (x, y, right, down) => {
    edges.moveTo(plot.left + x * plot.cell, plot.top + y * plot.cell);
    edges.lineTo(plot.left + (x + right) * plot.cell, plot.top + (y + down) * plot.cell);
  };
  for (const cell of cells) {
    const [row, column] = [Math.floor(cell / CELLS), cell % CELLS];
    if (!cells.has(cell - CELLS)) edge(column, row, 1, 0);
    if (!cells.has(cell + CELLS)) edge(column, row + 1, 1, 0);
    if (column === 0 || !cells.has(cell - 1)) edge(column, row, 0, 1);
    if (column === CELLS - 1 || !cells.has(cell + 1)) edge(column + 1, row, 0, 1);
  }
  pen.lineCap = "square";
  for (const [color, width] of [["black", 3.5], ["white", 1.5]]) {
    pen.strokeStyle = color;
    pen.lineWidth = width;
    pen.stroke(edges);
  }
}
