// Tables of many answers, and files of them that a spreadsheet opens.

import { el } from "./dom.js";
import { t } from "./i18n.js";

const MOST_ROWS = 500;

export function table(heads, rows, caption) {
  const head = el("tr", {}, ...heads.map((text) => el("th", { scope: "col" }, text)));
  const body = rows.slice(0, MOST_ROWS).map(([first, ...cells]) => {
    return el("tr", {}, el("th", { scope: "row" }, first), ...cells.map((cell) => el("td", {}, cell)));
  });
  const left = rows.length - body.length;
  const said = [caption, left > 0 ? t("rows_not_shown", { count: left }) : ""].filter(Boolean).join(" ");
  const title = said ? el("caption", { className: "fine", textContent: said }) : null;
  return el("table", {}, title, el("thead", {}, head), el("tbody", {}, ...body));
}

export function tableBox(content, label) {
  return el("div", { className: "table-box", tabIndex: 0, role: "region", "aria-label": label }, content);
}

// A text that begins like a formula would be computed by the spreadsheet: it gets a quote in front.
function cell(value) {
  if (typeof value === "number") return String(value);
  const text = String(value ?? "");
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]|^\s|\s$/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export const csv = (rows) => rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");

export function download(name, rows) {
  // The mark in front tells spreadsheets that this is UTF-8.
  const url = URL.createObjectURL(new Blob(["\ufeff", csv(rows)], { type: "text/csv;charset=utf-8" }));
  const file = `${name.replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(0, 80)}.csv`;
  el("a", { href: url, download: file }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
