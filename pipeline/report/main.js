// Start: build the page, then listen.

function showLegend() {
  const bar = element("canvas", { className: "bar", role: "img" });
  bar.setAttribute("aria-label", "Colour scale from slow, blue, to fast, yellow");
  byId("legend").replaceChildren(
    element("span", {}, `${SLOW_PX_S}`), bar, element("span", {}, `${FAST_PX_S.toLocaleString("en")} px/s`),
    element("span", {}, "○ white: click or press"), element("span", {}, "○ green: rest"),
    element("span", {}, "halo: button held"));
  bar.width = N_COLORS;
  bar.height = 1;
  drawScale(bar, report.scale);
}

function showPages() {
  if (report.pages.length < 2) return;
  byId("pages").replaceChildren(...report.pages.map((name, i) => {
    const link = element("a", { href: encodeURIComponent(name) }, `${i + 1}`);
    if (i === report.page) link.setAttribute("aria-current", "page");
    return link;
  }));
}

/** Say in the header that the scores are by the model that ships. */
function showStarter() {
  byId("starter").hidden = !report.starter;
  byId("starter").textContent = report.starter ?? "";
}

const isDark = () => getComputedStyle(document.documentElement).getPropertyValue("color-scheme").trim() === "dark" ||
  (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);

function toggleTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  showTheme();
}

function showTheme() {
  byId("theme").textContent = isDark() ? "Light" : "Dark";
  showFrame();
  showChoice();
}

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  1: () => decide("fraud"),
  2: () => decide("legitimate"),
  3: () => decide("unsure"),
  n: () => byId("note").focus(),
  "/": () => byId("search").focus(),
  "?": () => byId("help").showModal(),
  " ": togglePlay,
  ArrowLeft: () => seek(player.now - 500),
  ArrowRight: () => seek(player.now + 500),
  Escape: () => pin(null),
};

/** Keys act on the page unless they belong to the field or button that has the focus. */
function onKey(event) {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const isField = target.matches("input:not([type=checkbox], [type=radio]), select, textarea");
  if (key === "Escape" && isField) return target.blur();
  if (isField || !Object.hasOwn(KEYS, key)) return;
  if (key === " " && target.matches("button, summary, a, input")) return;
  if (key.startsWith("Arrow") && target.matches("[type=radio]")) return;
  event.preventDefault();
  KEYS[key]();
}

function listen() {
  byId("filters").addEventListener("input", filterQueue);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("clear").addEventListener("click", clearFilters);
  byId("export").addEventListener("click", exportVerdicts);
  byId("theme").addEventListener("click", toggleTheme);
  byId("show-help").addEventListener("click", KEYS["?"]);
  byId("play").addEventListener("click", togglePlay);
  byId("time").addEventListener("input", (event) => seek(Number(event.target.value)));
  byId("highlight").addEventListener("change", showFrame);
  byId("note").addEventListener("input", (event) => setVerdict(rows[current].id, { note: event.target.value }));
  byId("speeds").addEventListener("click", (event) => {
    seek(timeAt(byId("speeds"), event));
  });
  listenToPath();
  byId("views").addEventListener("change", showView);
  for (const button of document.querySelectorAll("[data-verdict]")) {
    button.addEventListener("click", () => decide(button.dataset.verdict));
  }
  document.addEventListener("keydown", onKey);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);
  window.addEventListener("resize", () => {
    showFrame();
    showChoice();
    drawComparisons();
  });
}

byId("summary").open = !isNarrow();
loadVerdicts();
showSummary();
showPages();
showStarter();
showLegend();
buildPrint();
buildQueue();
listen();
showDecided();
filterQueue();
showTheme();
