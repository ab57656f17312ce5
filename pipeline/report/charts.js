// The day's figures as SVG: small, sharp, and readable by a screen reader through their titles.

function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const PLOT = { width: 300, height: 170, left: 38, right: 292, top: 10, bottom: 140 };

function chart(title, caption, ...shapes) {
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, role: "img", "aria-label": `${title}. ${caption}` },
    ...shapes,
  );
  return element("figure", {}, element("h3", {}, title), picture, element("figcaption", {}, caption));
}

const across = (share) => PLOT.left + share * (PLOT.right - PLOT.left);
const up = (share) => PLOT.bottom - share * (PLOT.bottom - PLOT.top);

function label(text, x, y, anchor = "middle") {
  return svg("text", { x, y, "text-anchor": anchor }, text);
}

/** The lower and the left edge, with words at both ends. */
function axes(below, left) {
  const frame = `M${PLOT.left} ${PLOT.top}V${PLOT.bottom}H${PLOT.right}`;
  return [
    svg("path", { d: frame, class: "axis" }),
    label(below[0], PLOT.left, PLOT.bottom + 14, "start"),
    label(below[1], (PLOT.left + PLOT.right) / 2, PLOT.bottom + 26),
    label(below[2], PLOT.right, PLOT.bottom + 14, "end"),
    label(left[0], PLOT.left - 5, PLOT.bottom, "end"),
    label(left[1], PLOT.left - 5, PLOT.top + 8, "end"),
  ];
}

const polyline = (points, kind) =>
  svg("polyline", { points: points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" "), class: kind });

/** A bar a day, by band. */
function daysChart(day) {
  const days = day.days.slice(-30);
  const most = Math.max(...days.map((d) => d.n), 1);
  const step = (PLOT.right - PLOT.left) / days.length;
  const bars = days.flatMap((d, i) => {
    let below = 0;
    return ["high", "medium", "low", "abstained"].map((band) => {
      const height = ((PLOT.bottom - PLOT.top) * d.bands[band]) / most;
      below += height;
      const wide = Math.min(0.8 * step, 40);
      const bar = svg("rect", {
        x: PLOT.left + (i + 0.5) * step - wide / 2,
        y: PLOT.bottom - below,
        width: wide,
        height,
        class: `band-${band}${d.date === day.date ? " today" : ""}`,
      });
      bar.append(svg("title", {}, `${d.date}: ${d.bands[band]} ${band}`));
      return bar;
    });
  });
  const today = day.days.find((d) => d.date === day.date);
  const earlier = day.days.filter((d) => d.date < day.date);
  const mean = earlier.reduce((sum, d) => sum + d.flagged / Math.max(d.n, 1), 0) / Math.max(earlier.length, 1);
  const caption = earlier.length
    ? `${percent(today.flagged / Math.max(today.n, 1))} flagged on this day; ` +
      `${percent(mean)} on average on ${count(earlier.length, "earlier day")}.`
    : `${percent(today.flagged / Math.max(today.n, 1))} flagged. There is no earlier day to compare with.`;
  const last = days.length > 1 ? days.at(-1).date : "";
  const made = chart("Sessions by day", caption, ...axes([days[0].date, "", last], ["0", String(most)]), ...bars);
  made.append(element("p", { className: "faint keys" }, ...BANDS.map((band) =>
    element("span", {}, colorKey(`band-${band}`), ` ${band}`))));
  return made;
}

/** A square in the colour of a class of shapes, before its name. */
function colorKey(kind) {
  return svg("svg", { viewBox: "0 0 10 10", class: "key", "aria-hidden": "true" },
    svg("rect", { width: 10, height: 10, class: `${kind} today` }));
}

const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

/** This day's scores as bars, the earlier days' as a line. */
function scoresChart(day) {
  const { now, earlier } = day.histogram;
  const shares = (counts) => counts.map((n) => n / Math.max(counts.reduce((a, b) => a + b, 0), 1));
  const [here, there] = [shares(now), shares(earlier)];
  const most = Math.max(...here, ...there, 1e-9);
  const bars = here.map((share, i) =>
    svg("rect", {
      x: across(i / here.length) + 0.5,
      y: up(share / most),
      width: across(1 / here.length) - PLOT.left - 1,
      height: PLOT.bottom - up(share / most),
      class: "fill",
    }),
  );
  const steps = there.flatMap((share, i) => [
    [across(i / there.length), up(share / most)],
    [across((i + 1) / there.length), up(share / most)],
  ]);
  const before = day.drift ? [polyline(steps, "second")] : [];
  return chart("Scores", driftWords(day.drift), ...axes(["0", "score", "1"], ["0", percent(most)]), ...bars, ...before);
}

function driftWords(drift) {
  if (!drift) return "Bars: this day. There are no scores of earlier days to compare with.";
  const excess = drift.psi - drift.by_chance;
  const size = excess < 0.1 ? "no drift to speak of" : excess < 0.25 ? "some drift" : "strong drift";
  return (
    `Bars: this day (${drift.n_now.toLocaleString("en")}). Line: earlier days ` +
    `(${drift.n_earlier.toLocaleString("en")}). PSI ${drift.psi.toFixed(3)}, of which chance makes ` +
    `about ${drift.by_chance.toFixed(3)}: ${size}.`
  );
}

function rocChart(found) {
  const points = found.fpr.map((fpr, i) => [across(fpr), up(found.tpr[i])]);
  const guess = polyline([[across(0), up(0)], [across(1), up(1)]], "guide");
  const caption =
    `AUC ${found.auc.toFixed(3)} on ${count(found.n_fraud, "fraud")} and ` +
    `${count(found.n_legitimate, "legitimate session")} with a label.`;
  return chart("Frauds by false positives (ROC)", caption,
    ...axes(["0 %", "false positives", "100 %"], ["0", "100 %"]), guess, polyline(points, "first"));
}

function calibrationChart(found) {
  const points = found.predicted.map((score, i) => [across(score), up(found.observed[i])]);
  const dots = points.map(([cx, cy], i) => {
    const dot = svg("circle", { cx, cy, r: 3.5, class: "dot" });
    dot.append(svg("title", {}, `predicted ${found.predicted[i]}, were ${found.observed[i]} of ${found.n_in_bin[i]}`));
    return dot;
  });
  const right = polyline([[across(0), up(0)], [across(1), up(1)]], "guide");
  const caption = `Of sessions with a score, the share that were fraud. Error ${found.ece.toFixed(3)} on average.`;
  return chart("Calibration", caption,
    ...axes(["0", "score", "1"], ["0", "100 %"]), right, polyline(points, "first"), ...dots);
}

/** Why neither curve is shown. */
function refusedWords({ n_fraud: fraud, n_legitimate: legitimate, min_each: least }) {
  return `ROC and calibration are not shown: ${count(fraud, "fraud")} and ${count(legitimate, "legitimate session")} ` +
    `with a label are too few, ${least} of each are needed. `;
}

/** How many verdicts were fed back before this page was made. */
function showFedBack() {
  byId("fed-back").hidden = !report.fed_back;
  if (!report.fed_back) return;
  const { counts, last } = report.fed_back;
  const words = ["fraud", "legitimate", "unsure"].filter((word) => counts[word])
    .map((word) => `${counts[word].toLocaleString("en")} ${word}`);
  if (counts[UNDECIDED]) words.push(count(counts[UNDECIDED], "note"));
  byId("fed-back").textContent = `Fed back until ${last}: ${words.join(", ")}`;
}

function showSummary() {
  const { day, agreement } = report;
  const today = day.days.find((d) => d.date === day.date);
  const bands = Object.entries(today.bands).map(([band, n]) => `${n.toLocaleString("en")} ${band}`);
  const cut = report.n_cases < report.n_scored
    ? ` Here are the ${report.n_cases.toLocaleString("en")} highest.` : "";
  byId("day").textContent = day.date;
  byId("counts").textContent =
    `${count(today.n, "session")}, ${today.flagged.toLocaleString("en")} flagged: ${bands.join(", ")}.${cut}`;
  if (report.n_missing) {
    byId("missing").hidden = false;
    byId("missing").textContent =
      `${count(report.n_missing, "case")} without a path: their sessions are not where they were ` +
      "looked for. Make the report again with --store STORE (or the raw logs).";
  }
  const charts = [daysChart(day), scoresChart(day)];
  if (agreement.auc !== undefined) charts.push(rocChart(agreement), calibrationChart(agreement));
  else charts.push(element("p", { className: "faint" }, refusedWords(agreement),
    element("span", { className: "whole" }, "--labels FILE"), " adds some."));
  byId("charts").replaceChildren(...charts);
}
