// What the analyst decides: in memory, in the browser's storage where it allows that, and as CSV.

const verdicts = new Map(); // session id -> { verdict, note }
const STORAGE_KEY = `pointerprint ${report.day.date} ${report.queue[0]?.run ?? ""}`;
let isStored = true;

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

const decided = () => [...verdicts].filter(([, given]) => given.verdict);

function showDecided() {
  byId("decided").textContent = count(decided().length, "verdict");
  byId("export").disabled = !decided().length;
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
  const rows = decided().map(([id, given]) =>
    [csvCell(id), given.verdict, csvCell(given.note.replace(/\s+/g, " ").trim())].join(),
  );
  return ["session_id,label,note", ...rows, ""].join("\n");
}

function exportVerdicts() {
  const address = URL.createObjectURL(new Blob([verdictsCsv()], { type: "text/csv" }));
  element("a", { href: address, download: `labels-${report.day.date}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
