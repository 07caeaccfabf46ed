// What the server is doing: requests, memory, models in memory; read again while its panel is open.

import { getJson } from "./api.js";
import { $, el } from "./dom.js";
import { explain } from "./generation.js";
import { bytes, t } from "./i18n.js";

const REFRESH_MS = 2000;

let timer = 0;

export function startLoad() {
  $("load-open").addEventListener("click", () => showLoad($("load").hidden));
  document.addEventListener("language", () => !$("load").hidden && refresh());
  document.addEventListener("visibilitychange", () => !document.hidden && !$("load").hidden && refresh());
  document.addEventListener("pointerdown", (event) => {
    if (!$("load").hidden && !$("load").contains(event.target) && !$("load-open").contains(event.target)) showLoad(false);
  });
}

export function showLoad(open) {
  $("load").hidden = !open;
  $("load-open").setAttribute("aria-expanded", String(open));
  clearTimeout(timer);
  if (open) refresh();
}

async function refresh() {
  clearTimeout(timer);
  try {
    draw(await getJson("api/load"));
  } catch (error) {
    $("load-facts").replaceChildren(el("p", { className: "fine", textContent: explain(error) }));
  }
  if (!$("load").hidden && !document.hidden) timer = setTimeout(refresh, REFRESH_MS);
}

function draw({ running, waiting, memory, models }) {
  const { process, available, budget } = memory;
  const of = (used, most) => (most === null ? bytes(used) : t("load_of", { bytes: bytes(used), budget: bytes(most) }));
  const facts = [
    ["load_requests", t("load_line", { running, waiting })],
    ["load_models", of(memory.models, budget), budget ? memory.models / budget : null],
    ["load_key_values", of(memory.key_values, memory.key_values_budget), memory.key_values / memory.key_values_budget],
    ...(process === null ? [] : [["load_process", bytes(process)]]),
    ["load_free", bytes(available)],
    ["load_names", models.join(", ") || t("load_none")],
  ];
  $("load-facts").replaceChildren(...facts.flatMap(([key, text, share]) => [
    el("dt", { textContent: t(key) }),
    el("dd", {}, text, Number.isFinite(share) ? gauge(share) : null),
  ]));
}

function gauge(share) {
  const fill = el("i");
  fill.style.width = `${100 * Math.min(1, share)}%`;
  return el("span", { className: "track", "aria-hidden": "true" }, fill);
}
