// What is chosen of a print: cells of a panel, or an event of the path. Each shows the other.

const NEAR_PX = 12; // an event of the path is pointed at from so far
const HINT = "Point at a cell, drag over several, or point at the path: what belongs together is shown in both.";
const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

// A choice is {event}, or {panel, anchor, cursor}: two corners, [row, column] each, and what is between.
const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** Choose until something else is chosen. */
function pin(choice) {
  printed.pinned = choice;
  printed.hovered = null;
  showChoice();
}

/** Choose for as long as it is pointed at. */
function hover(choice) {
  if (isSame(choice, printed.hovered)) return;
  printed.hovered = choice;
  showChoice();
}

/** Show what is chosen: its cells in every panel, its events on the path, and both in words. */
function showChoice() {
  if (!printed.own) return;
  const choice = printed.hovered ?? printed.pinned;
  const cells = choice?.anchor ? cellsBetween(choice.anchor, choice.cursor) : null;
  const events = !choice ? [] : cells ? eventsIn(choice.panel, cells) : [choice.event];
  drawPanels(PANELS.map((_, p) => (cells && p === choice.panel ? cells : cellsOf(events, p))));
  player.events = events;
  showFrame();
  drawPath(byId("small-path"), player.path, { thin: true, events });
  const words = !choice ? "" : cells ? cellsWords(choice.panel, cells, events.length) : eventWords(choice.event);
  byId("readout").textContent = words || HINT;
  byId("pointed").textContent = words; // beside the path, where the panels are out of sight
}

function cellsBetween([row, column], [toRow, toColumn]) {
  const rows = range(Math.min(row, toRow), Math.max(row, toRow) + 1);
  const columns = range(Math.min(column, toColumn), Math.max(column, toColumn) + 1);
  return new Set(rows.flatMap((r) => columns.map((c) => r * CELLS + c)));
}

const isPinned = (p, cell) => cell && printed.pinned?.panel === p &&
  cellsBetween(printed.pinned.anchor, printed.pinned.cursor).has(cell[0] * CELLS + cell[1]);

const eventsIn = (p, cells) => range(0, player.path.n).filter((i) => cells.has(printed.cellOf[p][i]));

/** The cells of a panel in which events lie; one that does not count there lies in none. */
const cellsOf = (events, p) => new Set(events.map((i) => printed.cellOf[p][i]).filter((cell) => cell < AREA));

/** What lies in cells: values, how many events, and how often elsewhere. */
function cellsWords(p, cells, n) {
  const { block } = player.path;
  const shown = block.n_before + block.n_after ? "of the events shown" : "here";
  const elsewhere = printed.reference ? `; ${printed.whose} ${shareWords(printed.reference, p, cells)}` : "";
  return `${PANELS[p].title}: ${valueWords(PANELS[p], cells).join(", ")}. ${count(n, "event")} ${shown}, ` +
    `${shareWords(printed.own, p, cells)} of this session${elsewhere}.${raisedWords(p, cells)}`;
}

/** The values along both axes of a panel that cells stand for. */
function valueWords({ x, y, polar }, cells) {
  const places = [...cells].map((cell) => [Math.floor(cell / CELLS), cell % CELLS]);
  if (!polar) return [spanWords(x, places.map(([, column]) => column)), spanWords(y, places.map(([row]) => row))];
  const around = places.map(polarIndices);
  const directions = new Set(around.map(({ angle }) => y.values[angle]));
  return [
    spanWords(x, around.map(({ radius }) => radius)),
    directions.size > 3 ? `${directions.size} of 8 directions` : `${y.words} ${[...directions].join(", ")}`,
  ];
}

function spanWords({ words, values }, indices) {
  const [low, high] = extent(indices).map((i) => values[i]);
  return low === high ? `${words} ${low}` : `${words} ${low} to ${high}`;
}

/** Where a cell of a polar panel lies among the words for its radius and its direction. */
function polarIndices([row, column]) {
  const middle = (CELLS - 1) / 2;
  const [right, down] = [column - middle, row - middle];
  const turns = Math.atan2(down, right) / (2 * Math.PI);
  return {
    radius: Math.min(Math.round(2 * Math.hypot(right, down)), CELLS - 1),
    angle: Math.round((turns + 1) * CELLS) % CELLS,
  };
}

/** The share of a panel's events in cells. Of a full cell all that is known is the least it can be. */
function shareWords(print, p, cells) {
  const shareOf = (these) => these.reduce((sum, cell) => sum + print[p * AREA + cell] ** 2, 0);
  const isFull = (these) => these.some((cell) => print.isFull(p * AREA + cell));
  const panel = range(0, AREA);
  const all = isFull(panel) ? 1 : shareOf(panel) || 1;
  return `${isFull([...cells]) ? "at least " : ""}${percent(shareOf([...cells]) / all)}`;
}

/** How much of what moved the score came from cells of a panel: above 0 they raised it. */
function raisedBy(p, cells = range(0, AREA)) {
  const all = printed.raised.reduce((sum, weight) => sum + Math.abs(weight), 0);
  const these = [...cells].reduce((sum, cell) => sum + printed.raised[p * AREA + cell], 0);
  return all ? these / all : 0;
}

function raisedWords(p, cells) {
  const part = printed.raised ? raisedBy(p, cells) : 0;
  if (!part) return "";
  return ` ${part > 0 ? "Raised" : "Lowered"} the score: ${percent(Math.abs(part))} of all that moved it.`;
}

const signedPercent = (share) => (share < 0 ? "−" : "+") + percent(Math.abs(share));

/** What is known of an event: each quantity once, from the panels in which the event counts. */
function eventWords(i) {
  const said = new Map();
  PANELS.forEach((panel, p) => {
    const cells = cellsOf([i], p);
    if (!cells.size) return;
    valueWords(panel, cells).forEach((words, axis) => {
      const of = axis ? panel.y.words : panel.x.words;
      if (!of.endsWith("before")) said.set(of, words);
    });
  });
  const when = `Event ${(player.path.block.n_before + i + 1).toLocaleString("en")}, at ${seconds(player.path.t[i])}`;
  return said.size ? `${when}: about ${[...said.values()].join(", ")}.` : `${when}. It counts in no panel.`;
}

/** Cells are pointed at, clicked, dragged over, or chosen with the arrow keys. */
function listenToPanel(canvas, p) {
  canvas.addEventListener("pointerdown", (event) => {
    const cell = cellAt(canvas, event);
    if (!cell || event.button) return;
    canvas.setPointerCapture(event.pointerId);
    const choice = { panel: p, anchor: cell, cursor: cell };
    pin(isSame(choice, printed.pinned) ? null : choice);
  });
  canvas.addEventListener("pointermove", (event) => {
    const cell = cellAt(canvas, event);
    const isDragged = canvas.hasPointerCapture(event.pointerId) && printed.pinned?.panel === p;
    if (isDragged) {
      if (cell && !isSame(cell, printed.pinned.cursor)) pin({ ...printed.pinned, cursor: cell });
    } else if (isPinned(p, cell)) hover(null);
    else hover(cell && { panel: p, anchor: cell, cursor: cell });
  });
  canvas.addEventListener("pointerleave", () => hover(null));
  canvas.addEventListener("keydown", (event) => onArrow(event, (by) => moved(p, by, event.shiftKey)));
}

/** Events are chosen on the path, on the small one, and by time; with the keyboard on the path. */
function listenToPath() {
  for (const canvas of [byId("path"), byId("small-path")]) {
    const near = (event) => printed.own && eventNear(canvas, event);
    canvas.addEventListener("pointermove", (event) => hover(near(event)));
    canvas.addEventListener("pointerdown", (event) => pin(near(event)));
    canvas.addEventListener("pointerleave", () => hover(null));
  }
  byId("path").addEventListener("keydown", (event) => printed.own && onArrow(event, nextEvent));
  const speeds = byId("speeds");
  speeds.addEventListener("pointermove", (event) => hover(printed.own && eventAt(timeAt(speeds, event))));
  speeds.addEventListener("pointerleave", () => hover(null));
}

/** The event nearest to the pointer, if it is near. */
function eventNear(canvas, event) {
  const { path } = player;
  const at = fitted(path, canvas.clientWidth, canvas.clientHeight, canvas.id === "small-path");
  const away = (i) => Math.hypot(at.x(path.x[i]) - event.offsetX, at.y(path.y[i]) - event.offsetY);
  const distances = range(0, path.n).map(away);
  const nearest = Math.min(...distances);
  return nearest <= NEAR_PX ? { event: distances.indexOf(nearest) } : null;
}

/** The event to which the pointer moves at a time. */
function eventAt(ms) {
  const { path } = player;
  return ms < path.first || ms > path.last ? null : { event: Math.min(eventsUntil(path, ms), path.n - 1) };
}

/** The time under the pointer on the plot of speeds. */
function timeAt(canvas, event) {
  const { left, right } = speedsPlot(canvas.clientWidth, canvas.clientHeight);
  const { first, last } = player.path;
  return first + ((event.offsetX - left) / (right - left)) * (last - first);
}

/** The choice an arrow key leads to on the path. */
function nextEvent([down, right]) {
  const from = printed.pinned?.event ?? player.events[0] ?? 0;
  return { event: Math.min(Math.max(from + down + right, 0), player.path.n - 1) };
}

/** The cell under the pointer, or null beside the cells. */
function cellAt(canvas, event) {
  const { left, top, cell, size } = plotOf(canvas);
  const [x, y] = [event.offsetX - left, event.offsetY - top];
  return x < 0 || y < 0 || x >= size || y >= size ? null : [Math.floor(y / cell), Math.floor(x / cell)];
}

/** An arrow key chooses what `next` makes of its direction. */
function onArrow(event, next) {
  if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(ARROWS, event.key)) return;
  pin(next(ARROWS[event.key]));
  event.preventDefault();
  event.stopPropagation(); // the page's own arrow keys move in time
}

/** The choice an arrow key leads to: the next cell; at first the one that stands out most. */
function moved(p, [down, right], isExtended) {
  if (printed.pinned?.panel !== p) {
    const cell = strongest(p);
    return { panel: p, anchor: cell, cursor: cell };
  }
  const { anchor, cursor: [row, column] } = printed.pinned;
  const inside = (at) => Math.min(Math.max(at, 0), CELLS - 1);
  const cursor = [inside(row + down), inside(column + right)];
  return { panel: p, anchor: isExtended ? anchor : cursor, cursor };
}

/** The cell that stands out most in the view that is shown. */
function strongest(p) {
  const { scale, at } = view();
  const middle = scale === WEIGHT_SCALE ? 0.5 : 0;
  const strength = range(0, AREA).map((cell) => Math.abs(at(p * AREA + cell) - middle));
  const cell = strength.indexOf(Math.max(...strength));
  return [Math.floor(cell / CELLS), cell % CELLS];
}
