// The queue: every case, highest score first, and the filters that hide some of them.

const rows = report.queue;
const BANDS = ["high", "medium", "low", "abstained"];
const LABELS = ["legitimate", "fraud"];
let shown = []; // indices of the rows that the filters let through
let current = -1;

const isNarrow = () => matchMedia("(max-width: 48rem)").matches;

function buildQueue() {
  byId("bands").replaceChildren(...BANDS.map((band) =>
    element("label", {}, element("input", { type: "checkbox", value: band, checked: true }), ` ${band}`)));
  const codes = [...new Set(rows.flatMap((row) => row.reasons))].sort();
  byId("reason").replaceChildren(
    element("option", { value: "" }, "all"),
    ...codes.map((code) => element("option", { value: code }, reasonName(code))),
  );
  const accounts = [...new Set(rows.map((row) => row.account).filter((name) => name !== null))].sort();
  byId("account").replaceChildren(
    element("option", { value: "" }, "all"),
    ...accounts.map((name) => element("option", { value: name }, visible(name, 40))),
  );
  byId("account").disabled = !accounts.length;
  const hasDates = rows.some((row) => row.started_at);
  for (const label of document.querySelectorAll(".dates")) label.hidden = !hasDates;
  byId("cases").replaceChildren(...rows.map(queueItem));
  rows.forEach((_, i) => markVerdict(i));
}

function queueItem(row, i) {
  const why = row.abstained ? row.abstained.replaceAll("_", " ") : row.reasons.map(reasonName).join(", ");
  const about = [row.recorder_known === false ? "another recorder" : "", why, accountWords(row)]
    .filter(Boolean).join(" · ");
  const button = element("button", { type: "button", tabIndex: -1, id: `item-${i}` },
    element("span", { className: `chip band-${row.band}` }, row.band),
    element("span", { className: "number" }, scoreText(row.score)),
    element("span", { className: "mark" }),
    element("span", { className: "names" }, named(row.id, 80)),
    element("span", { className: "about" }, about,
      row.account === null ? "" : element("span", {}, about ? " · " : "", "account ", named(row.account, 40))));
  button.addEventListener("click", () => {
    openCase(i);
    if (isNarrow()) byId("queue").open = false;
    showTop();
  });
  return element("li", {}, button);
}

/** What is known of a case: the verdict of this browser, one fed back before, a label, or a note. */
function knownWords(row) {
  const own = verdicts.get(row.id);
  if (own?.verdict) return [own.verdict, own.verdict];
  const before = verdictOn(row);
  if (before) return [before, `${before}, fed back`];
  if (row.label !== null) return [LABELS[row.label], `label: ${LABELS[row.label]}`];
  return ["", own?.note || row.fed_back?.note ? "a note" : ""];
}

/** What is known of the account's other sessions. */
function accountWords(row) {
  const { fraud = 0, legitimate = 0 } = row.account_known ?? {};
  const known = [fraud && count(fraud, "fraud"), legitimate && `${legitimate} legitimate`].filter(Boolean);
  return known.length ? `known of the account: ${known.join(", ")}` : "";
}

function markVerdict(i) {
  const [verdict, words] = knownWords(rows[i]);
  const mark = byId(`item-${i}`).querySelector(".mark");
  mark.textContent = words;
  mark.className = `mark ${verdict}`;
}

/** What the filters say now. */
function wanted() {
  return {
    text: byId("search").value.trim().toLowerCase(),
    bands: new Set([...byId("bands").querySelectorAll("input:checked")].map((box) => box.value)),
    reason: byId("reason").value,
    account: byId("account").value,
    verdict: byId("by-verdict").value,
    from: byId("from").value,
    to: byId("to").value,
  };
}

function fits(row, want) {
  const given = verdicts.get(row.id);
  const day = row.started_at?.slice(0, 10) ?? "";
  const text = () =>
    [row.id, row.account ?? "", ...row.reasons, ...row.reasons.map(reasonWords), row.abstained ?? "", row.recorder ?? "",
      given?.note ?? "", row.fed_back?.note ?? ""]
      .join("\n").toLowerCase();
  return (
    want.bands.has(row.band) &&
    (!want.reason || row.reasons.includes(want.reason)) &&
    (!want.account || row.account === want.account) &&
    (!want.verdict || (verdictOn(row) || "none") === want.verdict) &&
    (!want.from || day >= want.from) &&
    (!want.to || (day !== "" && day <= want.to)) &&
    (!want.text || text().includes(want.text))
  );
}

function filterQueue() {
  const want = wanted();
  shown = [...rows.keys()].filter((i) => fits(rows[i], want));
  const isShown = new Set(shown);
  rows.forEach((_, i) => (byId(`item-${i}`).parentElement.hidden = !isShown.has(i)));
  byId("shown").textContent = `${shown.length.toLocaleString("en")} of ${count(rows.length, "case")}`;
  if (!isShown.has(current) && shown.length) openCase(shown[0]);
  byId("case").hidden = !shown.length;
}

function clearFilters() {
  byId("filters").reset();
  for (const box of byId("bands").querySelectorAll("input")) box.checked = true;
  filterQueue();
}

/** Show a case from its top. */
function showTop() {
  byId("case").scrollTop = 0;
  if (isNarrow()) window.scrollTo(0, 0);
}

/** Open the next case that has no verdict, from the open one on and round; false if there is none. */
function openUndecided() {
  const at = shown.indexOf(current);
  const others = [...shown.slice(at + 1), ...shown.slice(0, at)];
  const next = others.find((i) => !verdictOn(rows[i]));
  if (next === undefined) return false;
  goTo(next);
  showTop();
  return true;
}

/** Open the next case of the queue, or with -1 the one before. */
function step(by) {
  const at = shown.indexOf(current);
  const next = shown[Math.min(Math.max(at + by, 0), shown.length - 1)];
  if (next !== undefined && next !== current) goTo(next);
}

/** Open a case from elsewhere than its place in the queue, and keep the focus there if it was. */
function goTo(i) {
  const wasInQueue = byId("cases").contains(document.activeElement);
  openCase(i);
  if (wasInQueue) byId(`item-${i}`).focus();
}

function markCurrent(i) {
  const before = byId(`item-${current}`);
  if (before) {
    before.tabIndex = -1;
    before.removeAttribute("aria-current");
  }
  const now = byId(`item-${i}`);
  now.tabIndex = 0;
  now.setAttribute("aria-current", "true");
  const list = byId(isNarrow() ? "cases" : "queue"); // what scrolls
  const [box, inside] = [list.getBoundingClientRect(), now.getBoundingClientRect()];
  if (inside.top < box.top) list.scrollTop -= box.top - inside.top;
  if (inside.bottom > box.bottom) list.scrollTop += inside.bottom - box.bottom;
  current = i;
}
