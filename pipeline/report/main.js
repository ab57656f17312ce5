// Start: build the page, then listen.

/** What the colours and marks of a path mean. */
function showLegend() {
  const speeds = [SLOW_PX_S, 100, 1000, 10000].filter((speed) => speed <= FAST_PX_S);
  const stops = report.scale.map((_, i) => i / (report.scale.length - 1));
  const gradient = svg("linearGradient", { id: "speed-colours" }, ...stops.map((at) =>
    svg("stop", { offset: at, "stop-color": `rgb(${mixed(report.scale, at).join()})` })));
  const at = (speed) => 12 + 190 * speedFraction(speed);
  const scale = svg("svg", { viewBox: "0 0 262 26", class: "scale", role: "img",
    "aria-label": `Colour is speed: blue ${SLOW_PX_S} px/s and slower, to yellow ${FAST_PX_S.toLocaleString("en")} px/s and faster` },
    svg("defs", {}, gradient),
    svg("rect", { x: 12, y: 0, width: 190, height: 9, fill: "url(#speed-colours)" }),
    ...speeds.map((speed) => label(speed.toLocaleString("en"), at(speed), 22)),
    label("px/s", 232, 22, "start"));
  byId("legend").replaceChildren(scale,
    element("span", {}, ringKey("white"), " click or press"),
    element("span", {}, ringKey("rest"), ` rest of ${REST_MS} ms or more`),
    element("span", {}, colorKey("held"), " button held"),
    element("span", {}, colorKey("highlighted"), " highlighted"));
}

const ringKey = (kind) => svg("svg", { viewBox: "0 0 12 12", class: "key on-path", "aria-hidden": "true" },
  svg("rect", { width: 12, height: 12, class: "path-ground" }), svg("circle", { cx: 6, cy: 6, r: 4, class: `ring ${kind}` }));

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
  u: undo,
  e: exportVerdicts,
  n: () => byId("note").focus(),
  "/": () => {
    byId("queue").open = true;
    byId("search").focus();
  },
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
  if (isField && (key === "Escape" || (key === "Enter" && target.id === "note"))) return target.blur();
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
  byId("highlight").addEventListener("change", () => {
    player.highlight = byId("highlight").value; // for the cases after this one too
    player.rank = null;
    showFrame();
  });
  byId("note").addEventListener("input", (event) => {
    setVerdict(rows[current].id, { note: event.target.value });
    markVerdict(current);
  });
  byId("undo").addEventListener("click", undo);
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  window.addEventListener("beforeunload", (event) => {
    if (!isStored && !isExported) event.preventDefault(); // what the browser didn't keep is asked after
  });
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
    byId("queue").open ||= !isNarrow();
    showFrame();
    showChoice();
    drawComparisons();
  });
}

byId("queue").open = !isNarrow();
loadVerdicts();
showFedBack();
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
