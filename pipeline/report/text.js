"use strict";
// Words and elements. Whatever comes from a log is put on the page as text, never as markup.

const report = JSON.parse(document.getElementById("report").textContent);

const byId = (id) => document.getElementById(id);

/** Make an element; children that are strings become text. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** A name as a reader can trust it: what can't be seen, or turns the text round, is spelt out. */
function visible(text, longest = 100) {
  const spelt = text
    .slice(0, 2 * longest)
    .replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
  const letters = [...spelt];
  const isWhole = letters.length <= longest && text.length <= 2 * longest;
  return isWhole ? spelt : letters.slice(0, longest - 1).join("") + "…";
}

/** A name that keeps its own direction of writing to itself. */
const named = (text, longest) => element("bdi", {}, visible(text, longest));

const count = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

function scoreText(score) {
  if (score === null || score === undefined) return "–";
  if (score > 0.999) return "> 0.999";
  return score.toFixed(3);
}


const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

const momentText = (iso) => (iso ? `${iso.slice(0, 19).replace("T", " ")} UTC` : null);

const reasonWords = (code) => report.codes[code]?.words ?? code.replaceAll("_", " ");

const sentence = (words) => words[0].toUpperCase() + words.slice(1);

const reasonName = (code) => code.replaceAll("_", " ");
