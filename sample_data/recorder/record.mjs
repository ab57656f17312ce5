// Record a script's visit to page.html with rrweb, in each shape that the readers know.
//
//   in a copy of this folder, outside the checkout: npm install --no-package-lock
//   node record.mjs FORMATS_DIR [CHROMIUM]
//
// The visitor is this script, not a person: its movements are straight lines at an even pace.
// Where it went is written to expected.json, so that a test can compare.

import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { createRequire } from "node:module";
import { pack } from "@rrweb/packer/pack";
import { chromium } from "playwright-core";

const URL_OF_PAGE = "http://page.example/"; // answered from page.html, never looked up
const WINDOW_ID = "window-1";
const VIEWPORT = { width: 1000, height: 700 };
const RESIZED = { width: 900, height: 650 };
const TYPED = "31415 is typed and never read";
const PACE_MS = 20;

const here = dirname(fileURLToPath(import.meta.url));
const [formatsDir, executablePath = "/usr/bin/chromium"] = process.argv.slice(2);

/** Move in a straight line of whole pixels, and note each position. */
async function glide(page, from, to, steps, path) {
  for (let i = 1; i <= steps; i++) {
    const [x, y] = [0, 1].map((k) => Math.round(from[k] + ((to[k] - from[k]) * i) / steps));
    await page.mouse.move(x, y);
    path.push([x, y]);
    await page.waitForTimeout(PACE_MS);
  }
}

/** Return the middle of an element, in whole pixels. */
async function middle(page, selector) {
  const box = await page.locator(selector).boundingBox();
  return [Math.round(box.x + box.width / 2), Math.round(box.y + box.height / 2)];
}

/** Fill in the form, and return where the pointer was and what it pressed. */
async function visit(page) {
  const path = [];
  const presses = [];
  let at = [900, 600];
  const goTo = async (selector, steps) => {
    const target = await middle(page, selector);
    await glide(page, at, target, steps, path);
    at = target;
  };
  const press = async (events, options) => {
    await page.mouse.click(...at, options);
    presses.push(...events.map((event) => [event, ...at]));
    await page.waitForTimeout(PACE_MS);
  };

  await glide(page, [950, 650], at, 5, path);
  await goTo("input", 30);
  await press(["down", "up", "click"]);
  await page.keyboard.type(TYPED);
  await goTo("button:nth-of-type(1)", 15);
  await press(["down", "up", "click", "down", "up", "click", "click"], { clickCount: 2 });
  await goTo(".terms", 20);
  await page.mouse.wheel(0, 200);
  await press(["down", "contextmenu", "up"], { button: "right" });
  await page.setViewportSize(RESIZED);
  await goTo(".card", 20);
  await page.mouse.down();
  presses.push(["down", ...at]);
  await goTo(".wallet", 60); // longer than a batch, so that one is a batch of drags
  await page.mouse.up(); // ends the drag; a page is told of no mouseup then
  await goTo("button:nth-of-type(2)", 25);
  await press(["down", "up", "click"]);
  await page.waitForTimeout(700); // rrweb sends its last batch of moves
  return { path, presses };
}

/** Compress what PostHog's recorder compresses: parts of an event, as gzip in a latin1 string. */
function asPostHog(event) {
  const gzip = (value) => gzipSync(JSON.stringify(value)).toString("latin1");
  if (event.type === 2) return { ...event, data: gzip(event.data), cv: "2024-10" };
  if (event.type !== 3 || event.data.source !== 0) return event;
  const parts = ["texts", "attributes", "removes", "adds"].map((key) => [key, gzip(event.data[key])]);
  return { ...event, data: { ...event.data, ...Object.fromEntries(parts) }, cv: "2024-10" };
}

function write(name, content) {
  writeFileSync(join(formatsDir, name), content);
}

const recordModule = createRequire(import.meta.url).resolve("@rrweb/record");
const recorder = readFileSync(join(dirname(recordModule), "record.umd.min.cjs"), "utf8");
const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const page = await browser.newPage({ viewport: VIEWPORT });
await page.route("**/*", (route) =>
  route.fulfill({ contentType: "text/html", body: readFileSync(join(here, "page.html")) }));
await page.goto(URL_OF_PAGE);
await page.evaluate(`${recorder};
  window.recorded = []; rrwebRecord.record({ emit: (event) => recorded.push(event) });`);
const { path, presses } = await visit(page);
const events = await page.evaluate("recorded");
await browser.close();

const lines = (rows) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
write("rrweb_array.json", JSON.stringify(events));
write("rrweb_lines.jsonl.gz", gzipSync(lines(events)));
write("rrweb_packed.jsonl", lines(events.map(pack)));
write("posthog.jsonl", lines(events.map((event) => [WINDOW_ID, asPostHog(event)])));
writeFileSync(
  join(here, "expected.json"),
  JSON.stringify({ viewport: [VIEWPORT.width, VIEWPORT.height], typed: TYPED, path, presses }),
);
console.log(`${events.length} events`);
