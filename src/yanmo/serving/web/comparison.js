// Runs side by side, and a run beside its plan: tables that the server has worked out.

import { $, el } from "./dom.js";
import { currentLanguage, t } from "./i18n.js";

// A name or a note comes in both languages, or is a setting's own name.
const word = (words) => (typeof words === "string" ? words : (words?.[currentLanguage()] ?? ""));

const written = (value) => {
  if (value === null || value === undefined) return "–";
  return typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(5))) : String(value);
};

function table(heads, rows) {
  const head = el("tr", {}, ...heads.map((text) => el("th", { scope: "col", textContent: text })));
  const body = rows.map(([name, ...cells]) => {
    const first = el("th", { scope: "row" }, typeof name === "string" ? el("code", { textContent: name }) : word(name));
    return el("tr", {}, first, ...cells.map((text) => el("td", { textContent: text })));
  });
  return el("table", {}, el("thead", {}, head), el("tbody", {}, ...body));
}

export function drawComparison(comparison) {
  $("differences").hidden = comparison === null;
  if (comparison === null) return;
  const measure = t(comparison.measure === "bits_per_byte" ? "bits" : "loss");
  const parts = [
    [t("settings_that_differ"), comparison.settings],
    [t("results"), comparison.results],
    [t("at_equal_tokens", { measure }), comparison.equal_cost],
  ];
  const tables = parts
    .filter(([, rows]) => rows.length > 0)
    .map(([title, rows]) => table([title, ...comparison.names], rows.map((row) => [row.name, ...row.values.map(written)])));
  $("difference-tables").replaceChildren(...tables);
}

export function drawOutcome(facts) {
  $("outcome").hidden = facts.length === 0;
  const rows = facts.map((fact) => [fact.name, fact.expected || "–", fact.value || "–", word(fact.note)]);
  $("outcome-table").replaceChildren(table(["", t("planned"), t("came_to"), ""], rows));
}
