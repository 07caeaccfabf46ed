// Compare: how alike any two of some texts are, as a matrix; and their vectors as a file.

import { el } from "./dom.js";
import { t } from "./i18n.js";
import { table, tableBox } from "./table.js";

export const MOST_TEXTS = 40;

export const linesOf = (text) => text.split("\n").filter((line) => line.trim());

export const fields = () => [{ name: "lines", label: "field_lines", rows: 6 }];

// Each pair once: the measure is the same in both directions.
function pairsOf(texts) {
  return texts.flatMap((_, row) => texts.slice(row + 1).map((_, behind) => [row, row + 1 + behind]));
}

export function inputs(values) {
  const texts = linesOf(values.lines ?? "");
  return pairsOf(texts).map(([row, column]) => [texts[row], texts[column]]);
}

export function problem(values) {
  const number = linesOf(values.lines ?? "").length;
  if (number < 2) return t("two_needed");
  return number > MOST_TEXTS ? t("too_many_texts", { count: number, most: MOST_TEXTS }) : "";
}

const score = (value) => value.toFixed(3);

function scored(entries, asked) {
  return asked.map(([first, second], index) => ({ first, second, score: entries[index].score })).sort((a, b) => b.score - a.score);
}

export function say(entry, entries, asked) {
  const [best] = scored(entries, asked);
  return `${score(best.score)} · ${best.first} · ${best.second}`;
}

export function show(entries, asked, _, __, values) {
  const texts = linesOf(values.lines);
  if (texts.length === 2) return [el("p", { className: "big", textContent: score(entries[0].score) }), gauge(entries[0].score)];
  const ranked = scored(entries, asked);
  return [
    extreme("most_alike", ranked[0]),
    extreme("least_alike", ranked.at(-1)),
    tableBox(matrix(texts, entries), t("matrix")),
  ];
}

function gauge(value) {
  const fill = el("i");
  fill.style.width = `${100 * Math.min(1, Math.max(0, value))}%`;
  return el("span", { className: "track wide-track", "aria-hidden": "true" }, fill);
}

function extreme(key, { first, second, score: value }) {
  const quoted = el("span", {}, el("q", { textContent: first }), " · ", el("q", { textContent: second }));
  return el("p", { className: "extreme" }, el("b", { textContent: t(key) }), el("span", { className: "value", textContent: score(value) }), quoted);
}

function matrix(texts, entries) {
  const of = new Map(pairsOf(texts).map(([row, column], index) => [row * texts.length + column, entries[index].score]));
  const heads = [t("field_text"), ...texts.map((_, index) => String(index + 1))];
  const rows = texts.map((text, row) => [
    el("span", { className: "row-name", title: text }, el("b", { textContent: `${row + 1} ` }), text),
    ...texts.map((_, column) => {
      const value = row === column ? null : of.get(Math.min(row, column) * texts.length + Math.max(row, column));
      return heat(value);
    }),
  ]);
  const made = table(heads, rows);
  made.className = "matrix";
  return made;
}

function heat(value) {
  if (value === null) return el("span", { className: "heat self", textContent: "·" });
  const level = Math.min(9, Math.max(0, Math.floor(value * 10)));
  return el("span", { className: `heat heat-${level}`, textContent: value.toFixed(2) });
}

export function file(entries, asked) {
  return [["first", "second", "score"], ...asked.map(([first, second], index) => [first, second, entries[index].score])];
}
