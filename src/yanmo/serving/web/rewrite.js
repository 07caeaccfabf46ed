// Translate and Summarize: what was written beside what the model made of it.

import { copy, el, icon, setIcon } from "./dom.js";
import { count, percent, t } from "./i18n.js";
import { characters } from "./marked.js";

export const writes = true;

export const fields = (_, isMany) =>
  isMany ? [{ name: "lines", label: "field_lines", rows: 8 }] : [{ name: "text", label: "source", rows: 12 }];

export const inputs = (values) => [values.text];
export const parse = (line) => line;
export const say = (entry) => entry.text;

export function show([entry], [text], _, view) {
  const number = characters(entry.text).length;
  const share = percent(number / Math.max(1, characters(text).length));
  const size = view === "summarize" ? t("shorter", { count: count(number), share }) : t("characters", { count: count(number) });
  const button = el("button", { type: "button", className: "plain small" }, icon("copy"), t("copy"));
  button.addEventListener("click", async () => {
    if (!(await copy(entry.text))) return;
    button.lastChild.textContent = t("copied");
    setIcon(button, "check");
  });
  const body = el("p", { className: "written", role: "group", tabIndex: 0, "aria-label": made(view), textContent: entry.text });
  return [body, el("div", { className: "bar under" }, button, el("span", { className: "fine", textContent: size }))];
}

const made = (view) => (view === "summarize" ? t("summary") : t("translation"));

export function grid(entries, asked, _, view) {
  return { heads: [t("source"), made(view)], rows: entries.map((entry, index) => [asked[index], entry.text]) };
}

export const file = (entries, asked, _, view) => [
  ["source", view === "summarize" ? "summary" : "translation"],
  ...entries.map((entry, index) => [asked[index], entry.text]),
];
