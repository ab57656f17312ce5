// What the analyst decides: in memory, in the browser's storage where it allows that, and as CSV.

const verdicts = new Map(); // session id -> { verdict, note }
const STORAGE_KEY = `pointerprint ${report.day.date} ${report.queue[0]?.run ?? ""}`;
const UNDECIDED = "undecided"; // of a note without a verdict
let isStored = true;
let isExported = true;

function loadVerdicts() {
  try {
    for (const [id, given] of JSON.parse(localStorage.getItem(STORAGE_KEY) ?? "[]")) verdicts.set(id, given);
  } catch {
    isStored = false; // a private window, or storage is turned off
  }
  sayWhereKept();
}

function sayWhereKept() {
  byId("kept").textContent = isStored ? "in this browser" : "only while this page is open: export them";
}

function setVerdict(id, change) {
  const given = { verdict: "", note: "", ...verdicts.get(id), ...change };
  isExported = false;
  if (given.verdict || given.note) verdicts.set(id, given);
  else verdicts.delete(id);
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify([...verdicts]));
  } catch {
    isStored = false;
    sayWhereKept();
  }
  showDecided();
}

/** The verdict on a session: of this browser, or else the one that was fed back before. */
function verdictOn(row) {
  const own = verdicts.get(row.id)?.verdict;
  if (own) return own;
  return row.fed_back && row.fed_back.verdict !== UNDECIDED ? row.fed_back.verdict : "";
}

function showDecided() {
  const given = [...verdicts.values()];
  const n = given.filter((one) => one.verdict).length;
  const nNotes = given.length - n;
  byId("decided").textContent = count(n, "verdict") + (nNotes ? `, ${count(nNotes, "note")}` : "");
  byId("export").disabled = !given.length;
}

/**
 * A cell that no spreadsheet takes for a formula: one that begins like one gets a ' before it.
 * Reading labels takes one ' off again where it stands before such a beginning, so ids still match.
 */
function csvCell(text) {
  const isFormula = /^'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(text);
  return `"${(isFormula ? "'" : "") + text.replaceAll('"', '""')}"`;
}

function verdictsCsv() {
  const rows = [...verdicts].map(([id, given]) =>
    [csvCell(id), given.verdict || UNDECIDED, csvCell(given.note.replace(/\s+/g, " ").trim())].join(),
  );
  return ["session_id,label,note", ...rows, ""].join("\n");
}

function exportVerdicts() {
  if (!verdicts.size) return;
  isExported = true;
  const address = URL.createObjectURL(new Blob([verdictsCsv()], { type: "text/csv" }));
  element("a", { href: address, download: `labels-${report.day.date}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
