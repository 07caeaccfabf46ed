// Sampling settings: the form, what is remembered, and the request fields they become.

import { $, el } from "./dom.js";
import { count, t } from "./i18n.js";
import { read, write } from "./store.js";
import { isBase, purpose } from "./views.js";

const NUMBERS = [
  { name: "temperature", min: 0, max: 2, step: 0.05, initial: 0.8 },
  { name: "max_tokens", min: 1, max: 8192, step: 1, initial: 256, box: true },
  { name: "top_p", min: 0, max: 1, step: 0.01, initial: 0.95 },
  { name: "top_k", min: 0, max: 1000, step: 1, initial: 0, box: true },
  { name: "min_p", min: 0, max: 1, step: 0.01, initial: 0 },
  { name: "repetition_penalty", min: 0.5, max: 2, step: 0.05, initial: 1 },
  { name: "presence_penalty", min: -2, max: 2, step: 0.1, initial: 0 },
  { name: "frequency_penalty", min: -2, max: 2, step: 0.1, initial: 0 },
];
const DEFAULTS = { system: "", seed: "", stop_strings: "" };
for (const number of NUMBERS) DEFAULTS[number.name] = number.initial;

const values = { ...DEFAULTS, ...read("settings", {}) };

function keep(name, value) {
  values[name] = value;
  write("settings", values);
}

function caption(name, id) {
  return [
    el("label", { htmlFor: id, textContent: t(name) }),
    el("small", { id: `${id}-help`, textContent: t(`${name}_help`) }),
  ];
}

function numberField({ name, min, max, step, box }) {
  const id = `set-${name}`;
  const bounded = (text) => Math.min(max, Math.max(min, Number(text)));
  const shape = { min, max, step, value: values[name] };
  const number = el("input", { type: "number", id, ...shape, "aria-describedby": `${id}-help` });
  const slider = box ? null : el("input", { type: "range", ...shape, "aria-label": t(name), tabIndex: -1 });
  number.addEventListener("change", () => {
    const value = number.value === "" || Number.isNaN(Number(number.value)) ? DEFAULTS[name] : bounded(number.value);
    number.value = value;
    if (slider) slider.value = value;
    keep(name, step === 1 ? Math.round(value) : value);
  });
  slider?.addEventListener("input", () => {
    number.value = slider.value;
    keep(name, Number(slider.value));
  });
  return el("div", { className: slider ? "field sliding" : "field" }, ...caption(name, id), number, slider);
}

function textField(name, rows) {
  const id = `set-${name}`;
  const box = el("textarea", { id, rows, value: values[name], "aria-describedby": `${id}-help` });
  box.addEventListener("input", () => keep(name, box.value));
  return el("div", { className: "field tall" }, ...caption(name, id), box);
}

function seedField() {
  const id = "set-seed";
  const box = el("input", { id, type: "text", inputMode: "numeric", value: values.seed, "aria-describedby": `${id}-help` });
  box.addEventListener("change", () => {
    const value = box.value.trim();
    box.value = /^\d{1,15}$/.test(value) ? value : "";
    keep("seed", box.value);
  });
  return el("div", { className: "field" }, ...caption("seed", id), box);
}

export function drawSettings() {
  $("settings-form").replaceChildren(
    textField("system", 3),
    ...NUMBERS.map(numberField),
    seedField(),
    textField("stop_strings", 2),
  );
}

export function resetSettings() {
  Object.assign(values, DEFAULTS);
  write("settings", values);
  drawSettings();
}

export function drawFacts(model) {
  const facts = [];
  if (model) {
    const context = model.max_model_len ? t("tokens_of_context", { count: count(model.max_model_len) }) : t("unlimited");
    facts.push(["fact_kind", t(model.chat ? "kind_chat" : isBase(model) ? "kind_base" : "kind_task")]);
    facts.push(["fact_task", t(purpose(model))]);
    facts.push(["fact_routes", model.routes.map((route) => `/v1/${route}`).join(" ")]);
    if (model.architecture) facts.push(["fact_architecture", model.architecture]);
    if (model.num_parameters) facts.push(["fact_parameters", count(model.num_parameters)]);
    facts.push(["fact_context", context]);
  }
  $("model-facts").replaceChildren(
    ...facts.flatMap(([name, text]) => [el("dt", { textContent: t(name) }), el("dd", { textContent: text })]),
  );
}

export const systemPrompt = () => values.system.trim();

// Request fields; what stands at its neutral value is left out.
export function sampling() {
  const fields = { temperature: values.temperature, max_tokens: values.max_tokens };
  if (values.top_p < 1) fields.top_p = values.top_p;
  if (values.top_k > 0) fields.top_k = values.top_k;
  if (values.min_p > 0) fields.min_p = values.min_p;
  if (values.repetition_penalty !== 1) fields.repetition_penalty = values.repetition_penalty;
  if (values.presence_penalty) fields.presence_penalty = values.presence_penalty;
  if (values.frequency_penalty) fields.frequency_penalty = values.frequency_penalty;
  if (values.seed !== "") fields.seed = Number(values.seed);
  const stop = values.stop_strings.split("\n").filter(Boolean).slice(0, 4);
  if (stop.length) fields.stop = stop;
  return fields;
}
