// Classify: the label with all probabilities as bars, several labels, or a score.

import { el, icon } from "./dom.js";
import { percent, t } from "./i18n.js";
import { wantsMarks, wantsPair } from "./views.js";

const MOST_BARS = 8;

const sorted = (entry) => Object.entries(entry.probabilities ?? {}).sort((a, b) => b[1] - a[1]);
const chosen = (entry) => entry.labels ?? (entry.label === undefined ? [] : [entry.label]);
const number = (value) => (Number.isFinite(value) ? String(Number(value.toPrecision(4))) : "–");

export function fields(model, isMany) {
  if (isMany) return [{ name: "lines", label: wantsPair(model) ? "field_pairs" : "field_lines", rows: 8 }];
  if (wantsPair(model)) {
    return [{ name: "text", label: "field_first", rows: 4 }, { name: "second", label: "field_second", rows: 4 }];
  }
  return [{ name: "text", label: "field_text", rows: 7, help: wantsMarks(model) ? "relation_help" : null }];
}

export const inputs = (values, model) => [wantsPair(model) ? [values.text, values.second] : values.text];

export function parse(line, model) {
  if (!wantsPair(model)) return line;
  const [first, ...rest] = line.split("\t");
  return rest.length && first.trim() && rest.join("").trim() ? [first, rest.join(" ")] : null;
}

export function say(entry) {
  if (entry.score !== undefined && entry.label === undefined) return number(entry.score);
  const named = chosen(entry).map((label) => {
    const share = entry.probabilities?.[label];
    return share === undefined ? label : `${label} ${percent(share)}`;
  });
  return named.join(", ") || t("no_label");
}

export function show([entry]) {
  if (entry.score !== undefined && entry.label === undefined) {
    return [el("p", { className: "big" }, number(entry.score)), el("p", { className: "fine", textContent: t("score") })];
  }
  const names = chosen(entry);
  const verdict = names.length
    ? names.map((name) => el("span", { className: "verdict", textContent: name }))
    : [el("span", { className: "verdict none", textContent: t("no_label") })];
  return [el("p", { className: "verdicts" }, ...verdict), bars(entry, names)];
}

function bars(entry, names) {
  const rows = sorted(entry);
  const list = el("ul", { className: "bars", "aria-label": t("labels_shown") });
  const draw = (most) => list.replaceChildren(...rows.slice(0, most).map((row) => bar(row, names)));
  draw(MOST_BARS);
  if (rows.length <= MOST_BARS) return list;
  const label = (isOpen) => (isOpen ? t("all_labels") : t("more_labels", { count: rows.length }));
  const more = el("button", { type: "button", className: "plain small", textContent: label(false), "aria-expanded": "false" });
  more.addEventListener("click", () => {
    const isOpen = more.getAttribute("aria-expanded") === "false";
    draw(isOpen ? rows.length : MOST_BARS);
    more.setAttribute("aria-expanded", String(isOpen));
    more.textContent = label(isOpen);
  });
  return el("div", {}, list, more);
}

function bar([name, share], names) {
  const fill = el("i");
  fill.style.width = `${100 * share}%`;
  const is = names.includes(name);
  return el(
    "li",
    { className: is ? "bar-row is" : "bar-row" },
    el("span", { className: "name" }, is ? icon("check") : null, name),
    el("span", { className: "value", textContent: percent(share) }),
    el("span", { className: "track", "aria-hidden": "true" }, fill),
  );
}

const texts = (input) => (Array.isArray(input) ? input : [input]);
const isScore = (entries) => entries.every((entry) => entry.label === undefined && entry.labels === undefined);

export function grid(entries, asked, model) {
  const heads = wantsPair(model) ? [t("field_first"), t("field_second")] : [t("field_text")];
  const more = isScore(entries) ? [t("score")] : [t("label"), t("probability")];
  const rows = entries.map((entry, index) => [...texts(asked[index]), ...cells(entry)]);
  return { heads: [...heads, ...more], rows };
}

function cells(entry) {
  if (entry.label === undefined && entry.labels === undefined) return [number(entry.score)];
  const names = chosen(entry);
  const share = names.map((name) => entry.probabilities?.[name]).filter(Number.isFinite);
  return [names.join(", ") || t("no_label"), share.map(percent).join(", ")];
}

export function file(entries, asked, model) {
  const heads = wantsPair(model) ? ["first", "second"] : ["text"];
  if (isScore(entries)) return [[...heads, "score"], ...entries.map((entry, index) => [...texts(asked[index]), entry.score])];
  const kinds = [...new Set(entries.flatMap((entry) => Object.keys(entry.probabilities ?? {})))].sort();
  const rows = entries.map((entry, index) => {
    return [...texts(asked[index]), chosen(entry).join("; "), ...kinds.map((kind) => entry.probabilities?.[kind])];
  });
  return [[...heads, "label", ...kinds], ...rows];
}
