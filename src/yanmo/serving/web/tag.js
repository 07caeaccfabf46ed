// Tag: what was found, coloured in the text, with a legend that hides kinds, and as a list beside it.

import { el } from "./dom.js";
import { percent, t } from "./i18n.js";
import { characters, marked, toneClass } from "./marked.js";
import { table, tableBox } from "./table.js";

// A tag a word, where tags are not of names: the words stand in the text in their order.
function stretchesOf(entry, text) {
  if (entry.entities) return [...entry.entities].sort((a, b) => a.start - b.start);
  const all = characters(text);
  let end = 0;
  return (entry.words ?? []).map((word, index) => {
    const length = characters(word).length;
    while (end < all.length && all.slice(end, end + length).join("") !== word) end += 1;
    end += length;
    return { text: word, label: entry.tags[index], start: end - length, end };
  });
}

const kindsOf = (stretches) => [...new Set(stretches.map((one) => one.label))].sort();

function coloured(text, stretches, kinds, hidden = new Set()) {
  const shown = stretches.filter((one) => !hidden.has(one.label));
  return marked(text, shown.map((one) => ({ ...one, name: one.label, className: `name ${toneClass(one.label, kinds)}` })));
}

export const fields = (_, isMany) =>
  isMany ? [{ name: "lines", label: "field_lines", rows: 8 }] : [{ name: "text", label: "field_text", rows: 9 }];

export const inputs = (values) => [values.text];
export const parse = (line) => line;

export function say(entry) {
  const found = entry.entities ?? [];
  if (!entry.entities) return t("found_count", { count: entry.tags?.length ?? 0 });
  return found.length ? found.map((one) => `${one.text} (${one.label})`).join(", ") : t("nothing_found");
}

export function show([entry], [text]) {
  const stretches = stretchesOf(entry, text);
  const kinds = kindsOf(stretches);
  const hidden = new Set();
  const body = el("p", { className: "reading-text", role: "group", tabIndex: 0, "aria-label": t("found_in_text") });
  const draw = () => body.replaceChildren(...coloured(text, stretches, kinds, hidden));
  draw();
  if (!stretches.length) return [body, el("p", { className: "note", textContent: t("nothing_found") })];
  const legend = kinds.map((kind) => {
    const number = stretches.filter((one) => one.label === kind).length;
    const key = el("button", { type: "button", className: `kind-key ${toneClass(kind, kinds)}`, "aria-pressed": "true" });
    key.append(el("i"), kind, el("span", { className: "fine", textContent: String(number) }));
    key.addEventListener("click", () => {
      const isHidden = key.getAttribute("aria-pressed") === "true";
      key.setAttribute("aria-pressed", String(!isHidden));
      if (isHidden) hidden.add(kind);
      else hidden.delete(kind);
      draw();
    });
    return key;
  });
  return [
    el("div", { className: "kinds", role: "group", "aria-label": t("kinds_shown") }, ...legend),
    body,
    entry.entities ? tableBox(list(stretches), t("found_in_text")) : null,
  ];
}

function list(found) {
  const isSure = found.some((one) => Number.isFinite(one.score));
  const heads = [t("entity"), t("label"), ...(isSure ? [t("probability")] : [])];
  return table(heads, found.map((one) => [one.text, one.label, ...(isSure ? [percent(one.score)] : [])]));
}

export function grid(entries, asked) {
  const all = entries.map((entry, index) => stretchesOf(entry, asked[index]));
  const kinds = kindsOf(all.flat());
  const rows = all.map((stretches, index) => [
    el("span", { className: "reading-text" }, ...coloured(asked[index], stretches, kinds)),
    String(stretches.length),
  ]);
  return { heads: [t("field_text"), t("entities")], rows };
}

export function file(entries, asked) {
  const rows = entries.flatMap((entry, index) =>
    stretchesOf(entry, asked[index]).map((one) => [index + 1, asked[index], one.text, one.label, one.start, one.end, one.score]),
  );
  return [["line", "text", "entity", "label", "start", "end", "score"], ...rows];
}
