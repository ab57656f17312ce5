// One case: why, what moved how, what to compare with, and what the score rests on.

const player = { path: null, look: null, events: [], ranked: [], rank: null, highlight: "ranked", now: 0, isPlaying: false, at: 0 };
const N_EARLIER = 12; // of the account's other sessions are listed
const LONG_REST_MS = 1000; // shortened to this when rests are shortened

const ABSTAINED = {
  no_events: "The visit has no event of the pointer at all.",
  touch: "All that moves is a finger, and the model was trained on mice.",
  too_few_events: "There are too few events, or too few in a row, to score.",
  no_moves: "The pointer never moves: only clicks, keys or a script that fires events were recorded.",
  no_profile: "This account has no profile yet: enrol its legitimate sessions.",
  immature_profile: "This account's profile rests on too few sessions: enrol more of them.",
};

const blockOf = (name) => JSON.parse(byId(name).textContent);

function openCase(i) {
  const row = rows[i];
  const block = blockOf(`case-${i}`);
  pause();
  markCurrent(i);
  byId("case").hidden = false;
  byId("name").replaceChildren(named(row.id));
  byId("of-account").replaceChildren(...accountLine(row));
  byId("score").replaceChildren(...scoreParts(row));
  byId("known").replaceChildren(...knownParts(row));
  byId("known").hidden = !byId("known").childNodes.length;
  byId("reasons").replaceChildren(...reasonParts(row, block));
  byId("facts").replaceChildren(...factParts(row, block));
  showVerdict(row);
  showMovement(block);
  showPrint(block);
  showRanked(block);
  showHistory(row, block);
  showComparisons(row, block);
}

/** What was fed back on the session, or the label that it came with. */
function knownParts(row) {
  const { fed_back: given, label } = row;
  if (given) {
    const what = given.verdict === UNDECIDED ? "a note" : given.verdict;
    return [`Fed back on ${given.at.slice(0, 10)}: ${what}`, ...(given.note ? [", “", named(given.note, 300), "”"] : [])];
  }
  return label === null ? [] : [`Known label: ${LABELS[label]}`];
}

function accountLine(row) {
  const account = row.account === null ? ["The log names no account"] : ["Account ", named(row.account)];
  return [...account, " · ", momentText(row.started_at) ?? "the log has no dates"];
}

function scoreParts(row) {
  const chip = element("span", { className: `chip band-${row.band}` }, row.band);
  if (row.score === null) return [chip, element("p", {}, "not scored")];
  const meter = svg("svg", { viewBox: "0 0 200 18", preserveAspectRatio: "none", role: "img",
    "aria-label": `Score ${scoreText(row.score)}, threshold ${row.threshold.toFixed(3)}` });
  meter.append(
    svg("rect", { x: 0, y: 5, width: 200, height: 8, rx: 4, class: "track" }),
    svg("rect", { x: 0, y: 5, width: 200 * row.score, height: 8, rx: 4, class: `band-${row.band}` }),
    svg("rect", { x: Math.min(200 * row.threshold, 200) - 1, y: 0, width: 2, height: 18, class: "limit" }),
  );
  const side = row.flagged ? "flagged, threshold" : "below the threshold,";
  return [
    element("p", { className: "big" }, scoreText(row.score), " ", chip), meter,
    element("p", { className: "faint" }, `${side} ${row.threshold > 1 ? "above 1" : row.threshold.toFixed(3)}`),
  ];
}

/** Each reason in plain words, with what was measured and the reference range where it is known. */
function reasonParts(row, block) {
  const parts = [];
  if (row.abstained) parts.push(element("p", { className: "notice" }, "Not scored. ", ABSTAINED[row.abstained] ?? row.abstained));
  if (row.recorder_known === false && !row.abstained) {
    parts.push(element("p", { className: "notice" }, "The model's level was not set for this recorder, ", named(row.recorder),
      ": the score may be too high or too low, as all scores of this recorder may be."));
  }
  const items = row.reasons.map((code) => {
    const item = element("li", {}, element("strong", {}, reasonWords(code)));
    const found = (block.reasons ?? []).filter((reason) => reason.code === code);
    for (const reason of found) item.append(element("p", {}, reason.text));
    if (code.includes("repl") && row.replay_of !== null) item.append(" It shares most with ", named(row.replay_of), ".");
    const misleads = report.codes[code]?.misleads;
    if (misleads) item.append(element("p", { className: "faint" }, `May mislead: ${misleads}.`));
    return item;
  });
  if (items.length) parts.push(element("ol", {}, ...items));
  else if (!row.abstained) parts.push(element("p", {}, row.flagged
    ? "No reason was recorded with this score."
    : "No single measurement stands out."));
  return parts;
}

function factParts(row, block) {
  const path = block.path;
  const size = path && path.viewport[0] ? `${path.viewport[0]} × ${path.viewport[1]} px` : "not in the log";
  const facts = [
    ["Events", row.n_events.toLocaleString("en")],
    ["Windows scored", row.n_windows.toLocaleString("en")],
    ["Lasted", path ? seconds(path.duration_ms) : "not known"],
    ["Page", size],
    ["Recorder", row.recorder === null ? "not known" : named(row.recorder)],
    ["Highest window", block.worst_ms === null ? "none" : `from ${seconds(block.worst_ms)}`],
    ["Model", element("code", {}, row.model)],
    ["Scoring run", element("code", {}, row.run)],
    ["Scored", momentText(row.scored_at)],
  ];
  return facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)));
}

function showVerdict(row) {
  const given = verdicts.get(row.id) ?? { verdict: "", note: "" };
  for (const button of document.querySelectorAll("[data-verdict]")) {
    button.setAttribute("aria-pressed", String(button.dataset.verdict === given.verdict));
  }
  byId("note").value = given.note;
}

let lastDecided = null; // { i, before }: to take it back

/** Decide the open case and go on to the next without a verdict; the same again takes it back. */
function decide(verdict) {
  if (current < 0) return;
  const before = verdicts.get(rows[current].id)?.verdict ?? "";
  const isTakenBack = before === verdict;
  changeVerdict(current, isTakenBack ? "" : verdict);
  lastDecided = isTakenBack ? null : { i: current, before };
  showUndo();
  byId("all-decided").hidden = isTakenBack || openUndecided();
  byId("all-decided").textContent = `${shown.length === 1 ? "The case" : `All ${shown.length.toLocaleString("en")} cases`} ` +
    "shown in the queue have a verdict: export them (e), or clear the filters.";
}

function changeVerdict(i, verdict) {
  setVerdict(rows[i].id, { verdict });
  markVerdict(i);
  if (i === current) showVerdict(rows[i]);
}

/** Take the last verdict back and return to its case. */
function undo() {
  if (!lastDecided) return;
  const { i, before } = lastDecided;
  changeVerdict(i, before);
  lastDecided = null;
  showUndo();
  byId("all-decided").hidden = true;
  goTo(i);
  showTop();
}

function showUndo() {
  byId("undo").hidden = !lastDecided;
  if (!lastDecided) return;
  const row = rows[lastDecided.i];
  byId("undo").replaceChildren("Take back",
    element("span", { className: "wide-only" }, `: ${verdicts.get(row.id).verdict}, `, named(row.id, 80)));
}

function showMovement(block) {
  byId("drawn").hidden = !block.path;
  player.path = block.path ? decode(block.path) : null;
  player.look = block;
  player.events = [];
  if (!player.path) return;
  const path = player.path;
  const slider = byId("time");
  slider.min = Math.floor(path.first);
  slider.max = Math.ceil(path.last);
  player.ranked = block.weights ?? [];
  player.rank = null;
  const highlight = byId("highlight");
  highlight.querySelector("[value=window]").disabled = !block.window;
  highlight.querySelector("[value=ranked]").disabled = !player.ranked.length;
  highlight.value = highlight.querySelector(`[value="${player.highlight}"]`).disabled ? "" : player.highlight;
  byId("hidden-events").textContent = hiddenWords(block.path);
  byId("path").setAttribute("aria-label", pathWords(path));
  byId("speeds").setAttribute("aria-label", `Speed over time. ${pathWords(path)}`);
  player.now = path.last;
  showFrame();
}

function hiddenWords(path) {
  const hidden = path.n_before + path.n_after;
  if (!hidden) return "";
  return `${count(path.t.length, "event")} around the highest window are shown; ` +
    `${path.n_before.toLocaleString("en")} before and ${path.n_after.toLocaleString("en")} after them are not.`;
}

/** The times that are highlighted: from ms, to ms, and what is written beside them. */
function highlights() {
  const how = byId("highlight").value;
  if (how === "window" && player.look.window) return [[...player.look.window, ""]];
  if (how !== "ranked") return [];
  const runs = player.ranked.map(([from, to], i) => [from, to, `${i + 1}`]);
  return (player.rank === null ? runs : [runs[player.rank]]).filter(isShown);
}

/** Whether a run lies among the events that are shown: of a long session some are not. */
const isShown = ([from, to]) => from >= player.path.first && to <= player.path.last + 1;

/** List what raised the score most: times of the path, and panels of the print. */
function showRanked(block) {
  const runs = player.path ? player.ranked : [];
  const panels = printed.own && printed.raised
    ? PANELS.map((panel, p) => [panel.title, raisedBy(p), p]).filter(([, share]) => share > 0)
      .sort(([, one], [, other]) => other - one).slice(0, 3)
    : [];
  byId("raised").hidden = !runs.length && !panels.length;
  const parts = [];
  if (runs.length) {
    parts.push(element("p", { className: "faint" }, "Of the path (share of all that raised the score):"),
      element("ol", {}, ...runs.map(rankedRun)));
  }
  if (panels.length) {
    parts.push(element("p", { className: "faint" }, "Of the print (share of all that moved the score, up or down):"),
      element("ol", {}, ...panels.map(rankedPanel)));
  }
  byId("ranked").replaceChildren(...parts);
}

function rankedRun([from, to, share], i) {
  const words = `${(from / 1000).toFixed(2)} to ${(to / 1000).toFixed(2)} s${isShown([from, to]) ? "" : ", not shown"}`;
  const button = element("button", { type: "button", disabled: !isShown([from, to]) },
    words, element("span", { className: "share" }, percent(share)));
  button.addEventListener("click", () => {
    const isSame = player.rank === i && byId("highlight").value === "ranked";
    byId("highlight").value = player.highlight = "ranked";
    player.rank = isSame ? null : i;
    showFrame();
  });
  return element("li", {}, button);
}

function rankedPanel([title, share, p]) {
  const button = element("button", { type: "button" }, title, element("span", { className: "share" }, percent(share)));
  button.addEventListener("click", () => {
    document.querySelector("[name=view][value=raised]").checked = true;
    showView();
    canvasOf(p).scrollIntoView({ block: "center" });
    canvasOf(p).focus({ preventScroll: true });
  });
  return element("li", {}, button);
}

/** How the account's other sessions were scored and decided, the latest first. */
function showHistory(row, block) {
  const history = block.account_block === null ? null : blockOf(`account-${block.account_block}`).history;
  const others = (history?.rows ?? []).filter((one) => one.id !== row.id || one.date !== report.day.date);
  byId("history").hidden = row.account === null;
  if (row.account === null) return;
  const n = (history?.n ?? 1) - 1;
  const flagged = (history?.flagged ?? 0) - (row.flagged ? 1 : 0);
  const known = Object.entries(history?.known ?? {}).map(([word, times]) => `${times.toLocaleString("en")} ${word}`);
  byId("history-counts").textContent = n
    ? `${count(n, "other score")}, ${flagged.toLocaleString("en")} flagged. ` +
      (known.length ? `Known of the account's sessions: ${known.join(", ")}.` : "Nothing was fed back on any.")
    : "No other session of this account was scored.";
  byId("earlier").replaceChildren(...others.slice(0, N_EARLIER).map(earlierRow));
}

function earlierRow(one) {
  const here = one.date === report.day.date ? rows.findIndex((row) => row.id === one.id) : -1;
  const name = here < 0 ? named(one.id, 80) : element("button", { type: "button" }, named(one.id, 80));
  if (here >= 0) name.addEventListener("click", () => { goTo(here); showTop(); });
  return element("li", {},
    element("span", {}, `scored ${one.date}`),
    element("span", {}, `${scoreText(one.score)} `, element("span", { className: `chip band-${one.band}` }, one.band)),
    element("span", { className: `mark ${one.known ?? ""}` }, one.known ?? ""),
    name);
}

function showFrame() {
  if (!player.path) return;
  const isAtEnd = player.now >= player.path.last;
  const now = isAtEnd && !player.isPlaying ? Infinity : player.now;
  const marked = { highlights: highlights(), events: player.events };
  drawPath(byId("path"), player.path, { now, ...marked });
  drawSpeeds(byId("speeds"), player.path, { now: Math.min(now, player.path.last), ...marked });
  const clock = `${seconds(player.now)} of ${seconds(player.path.last)}`;
  byId("time").value = player.now;
  byId("time").setAttribute("aria-valuetext", clock);
  byId("clock").textContent = clock;
}

function play() {
  if (!player.path) return;
  if (player.now >= player.path.last) player.now = player.path.first;
  player.isPlaying = true;
  player.at = performance.now();
  byId("play").textContent = "Pause";
  requestAnimationFrame(advance);
}

function pause() {
  player.isPlaying = false;
  byId("play").textContent = "Play";
}

const togglePlay = () => (player.isPlaying ? pause() : play());

function advance(clock) {
  if (!player.isPlaying) return;
  const passed = Math.max(clock - player.at, 0) * Number(byId("speed").value);
  player.at = clock;
  player.now = Math.min(afterRest(player.now + passed), player.path.last);
  if (player.now >= player.path.last) pause();
  showFrame();
  if (player.isPlaying) requestAnimationFrame(advance);
}

/** Where to go on: behind a long rest, if rests are to be shortened. */
function afterRest(now) {
  const { path } = player;
  const next = eventsUntil(path, now);
  if (!byId("skip-rests").checked || next === 0 || next >= path.n) return now;
  const hasWaited = now - path.t[next - 1] > LONG_REST_MS / 2;
  const left = path.t[next] - now;
  return hasWaited && left > LONG_REST_MS / 2 ? path.t[next] - LONG_REST_MS / 2 : now;
}

function seek(ms) {
  if (!player.path) return;
  player.now = Math.min(Math.max(ms, player.path.first), player.path.last);
  player.at = performance.now();
  showFrame();
}

/** The model's picture, the session that was replayed, and sessions of the account to compare with. */
function showComparisons(row, block) {
  const parts = [];
  if (block.picture) {
    parts.push(element("figure", {},
      element("img", { src: block.picture, alt: `The window from ${seconds(block.window[0])}, ` +
        "resampled to one recorder, colour is speed", width: 240, height: 240 }),
      element("figcaption", {}, `Its highest window, ${seconds(block.window[0])} to ` +
        `${seconds(block.window[1])}, resampled to one recorder`)));
  }
  const drawn = [];
  if (block.original) drawn.push(["Repeated: ", block.original]);
  const reference = block.account_block === null ? [] : blockOf(`account-${block.account_block}`).reference;
  for (const session of reference.filter((session) => session.id !== row.id).slice(0, 4)) {
    drawn.push([row.account === null ? "Not suspected: " : "Same account: ", session]);
  }
  const canvases = drawn.map(([what, session]) => comparison(what, session));
  byId("compare").replaceChildren(...parts, ...canvases);
  if (canvases.length === (block.original ? 1 : 0)) {
    byId("compare").append(element("p", { className: "faint" }, row.account === null
      ? "No session that isn't suspected was found to compare with."
      : "No other session of this account was found that isn't suspected."));
  }
  drawComparisons();
}

function comparison(what, session) {
  const canvas = element("canvas", { role: "img", className: "small" });
  canvas.path = decode(session.path);
  canvas.setAttribute("aria-label", pathWords(canvas.path));
  const when = momentText(session.started_at);
  return element("figure", {}, canvas, element("figcaption", {}, what, named(session.id, 80),
    ` · score ${scoreText(session.score)}`, when ? ` · ${when.slice(0, 10)}` : ""));
}

function drawComparisons() {
  for (const canvas of document.querySelectorAll("canvas.small")) drawPath(canvas, canvas.path, { thin: true });
}
