// Answer: a question and a passage, and where in the passage the answer stands.

import { el } from "./dom.js";
import { t } from "./i18n.js";
import { marked } from "./marked.js";

const PASSAGE = { name: "context", label: "field_context", rows: 9 };

export function fields(_, isMany) {
  if (isMany) return [PASSAGE, { name: "lines", label: "field_questions", rows: 5 }];
  return [{ name: "question", label: "field_question", rows: 2 }, PASSAGE];
}

export const inputs = (values) => [{ question: values.question, context: values.context }];
export const parse = (line, _, values) => ({ question: line, context: values.context });
export const say = (entry) => entry.answer || t("no_answer");

const lead = (entry) => (Number.isFinite(entry.score) ? `${entry.score > 0 ? "+" : ""}${Number(entry.score.toPrecision(3))}` : "–");

export function show([entry], [{ context }]) {
  const found = entry.answer ? [{ ...entry, className: "name tone-0 stroke-0" }] : [];
  return [
    entry.answer
      ? el("p", { className: "verdicts" }, el("span", { className: "verdict", textContent: entry.answer }))
      : el("p", { className: "note", textContent: t("no_answer") }),
    el("p", { className: "fine", textContent: t("lead", { score: lead(entry) }) }),
    el("p", { className: "reading-text", role: "group", tabIndex: 0, "aria-label": t("passage") }, ...marked(context, found)),
  ];
}

export function grid(entries, asked) {
  const rows = entries.map((entry, index) => [asked[index].question, entry.answer || t("no_answer"), lead(entry)]);
  return { heads: [t("field_question"), t("answer"), t("score")], rows };
}

export function file(entries, asked) {
  const rows = entries.map((entry, index) => [asked[index].question, entry.answer, entry.start, entry.end, entry.score]);
  return [["question", "answer", "start", "end", "score"], ...rows];
}
