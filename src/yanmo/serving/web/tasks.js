// The views of fine-tuned models: a form that fits the task, its result, many texts at once, and what was asked before.

import * as answer from "./answer.js";
import { postJson } from "./api.js";
import * as classify from "./classify.js";
import { $, announce, el, icon, isComposing } from "./dom.js";
import { explain, generate, isRunning, stopGeneration } from "./generation.js";
import { duration, t } from "./i18n.js";
import { characters } from "./marked.js";
import * as rewrite from "./rewrite.js";
import * as similarity from "./similarity.js";
import { read, write } from "./store.js";
import { download, table, tableBox } from "./table.js";
import * as tag from "./tag.js";

const FORMS = { classify, tag, answer, translate: rewrite, summarize: rewrite, similarity };
const RESULTS = { translate: "translation", summarize: "summary" };
// Texts a request: few enough that progress is seen and a stop is quick.
const CHUNK = 16;
const MOST_KEPT = 30;
const MOST_KEPT_CHARACTERS = 20_000;

let model = () => null;
let view = null;
let runner = null;
// By view: whether many texts are asked at once, what stands in the fields, and what was answered.
let drafts = Object.fromEntries(Object.entries(read("drafts", {}) ?? {}).filter(([, one]) => one?.values));
let results = {};
let recent = read("recent", []).filter((one) => one?.values && Array.isArray(one.entries) && Array.isArray(one.asked));

const form = () => FORMS[view];
const draft = () => (drafts[view] ??= { isMany: false, values: {} });
const takesMany = () => "parse" in form();
const isMany = () => takesMany() && draft().isMany;
const shownResult = () => (results[view]?.model === model()?.id ? results[view] : null);

export function startTasks(chosenModel) {
  model = chosenModel;
  $("task-form").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  $("task-form").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || isComposing(event)) return;
    event.preventDefault();
    run();
  });
  $("task-stop").addEventListener("click", stopGeneration);
  $("forget").addEventListener("click", () => {
    recent = recent.filter((one) => one.view !== view);
    write("recent", recent);
    drawRecent();
  });
  document.addEventListener("language", () => view && draw());
}

// Shows the view of a task, or none of them.
export function showTask(next) {
  if (runner && (next !== runner.view || model()?.id !== runner.model)) stopGeneration();
  view = next;
  $("view-task").hidden = view === null;
  if (view !== null) draw();
}

function draw() {
  $("task-title").textContent = t(view);
  $("task-hint").textContent = t(`${view}_hint`);
  $("task-run").replaceChildren(t(`run_${view}`));
  $("result-title").textContent = t(RESULTS[view] ?? "result");
  drawMode();
  drawFields();
  drawResult();
  drawRecent();
  drawButtons();
}

function drawMode() {
  $("task-mode").hidden = !takesMany();
  $("task-mode").replaceChildren(
    ...[false, true].map((many) => {
      const button = el("button", { type: "button", textContent: t(many ? "mode_many" : "mode_one") });
      button.setAttribute("aria-pressed", String(many === isMany()));
      button.addEventListener("click", () => {
        draft().isMany = many;
        keepDrafts();
        draw();
        $("task-mode").children[Number(many)].focus();
      });
      return button;
    }),
  );
}

function drawFields() {
  if (!model()) return;
  const { values } = draft();
  $("task-fields").replaceChildren(
    ...form().fields(model(), isMany()).map(({ name, label, rows, help }) => {
      const id = `field-${name}`;
      const box = el("textarea", { id, rows, value: values[name] ?? "", spellcheck: false, autocomplete: "off" });
      box.addEventListener("input", () => {
        values[name] = box.value;
        keepDrafts();
      });
      const small = help ? el("small", { id: `${id}-help`, className: "fine", textContent: t(help) }) : null;
      if (small) box.setAttribute("aria-describedby", small.id);
      return el("div", { className: "box" }, el("label", { htmlFor: id, textContent: t(label) }), small, box);
    }),
  );
}

let keeping = 0;
function keepDrafts() {
  clearTimeout(keeping);
  keeping = setTimeout(() => write("drafts", drafts), 400);
}

function drawResult() {
  const result = shownResult();
  $("task-body").classList.toggle("many", isMany() || view === "similarity");
  if (!result || result.isMany !== isMany()) {
    const hint = el("p", { className: "fine", textContent: t("result_empty") });
    $("task-result").replaceChildren(el("div", { className: "nothing" }, icon("seal"), hint));
    return;
  }
  const { entries, asked, values } = result;
  const files = [
    el("button", { type: "button", className: "plain small", onclick: () => save(result) }, icon("down"), t("download_csv")),
    view === "similarity"
      ? el("button", { type: "button", className: "plain small", onclick: () => saveVectors(values) }, icon("down"), t("download_vectors"))
      : null,
  ];
  const body = result.isMany ? many(result) : form().show(entries, asked, model(), view, values);
  const withFiles = result.isMany || view === "similarity";
  $("task-result").replaceChildren(
    ...body.filter(Boolean),
    ...(withFiles ? [el("div", { className: "bar under" }, ...files)] : []),
  );
}

function many({ entries, asked }) {
  const { heads, rows } = form().grid(entries, asked, model(), view);
  return [tableBox(table(heads, rows), t("results_many"))];
}

const save = ({ entries, asked }) => download(`${view}-${model().id}`, form().file(entries, asked, model(), view));

async function saveVectors(values) {
  const texts = similarity.linesOf(values.lines);
  const name = `vectors-${model().id}`;
  const outcome = await generate(async (signal) => {
    const { data } = await postJson("v1/embeddings", { model: model().id, input: texts }, signal);
    const numbers = data[0].embedding.map((_, index) => `v${index}`);
    download(name, [["text", ...numbers], ...data.map((one, index) => [texts[index], ...one.embedding])]);
  });
  if (outcome.error) announce(explain(outcome.error));
}

// What to ask, or why not yet: { asked } or { problem }.
function prepare() {
  const { values } = draft();
  const filled = form().fields(model(), isMany()).every(({ name }) => values[name]?.trim());
  if (!filled) return { problem: t("nothing_to_read") };
  const problem = form().problem?.(values);
  if (problem) return { problem };
  if (!isMany()) return { asked: form().inputs(values, model()) };
  const lines = values.lines.split("\n");
  const parsed = lines.map((line) => (line.trim() ? form().parse(line, model(), values) : undefined));
  const wrong = parsed.indexOf(null);
  if (wrong >= 0) return { problem: t("pair_needed", { line: wrong + 1 }) };
  return { asked: parsed.filter((one) => one !== undefined) };
}

async function run() {
  if (!model() || runner) return;
  if (isRunning()) {
    $("task-status").textContent = t("still_writing");
    return;
  }
  announce("");
  const { asked, problem } = prepare();
  $("task-status").textContent = problem ?? t("asking");
  if (problem) {
    const empty = [...$("task-fields").querySelectorAll("textarea")].find((box) => !box.value.trim());
    empty?.focus();
    return;
  }
  const result = { model: model().id, isMany: isMany(), values: { ...draft().values }, asked: [], entries: [] };
  const own = { view, model: model().id };
  const started = performance.now();
  runner = own;
  const focused = $("task-run") === document.activeElement;
  const work = generate((signal) => ask(own, asked, result, signal));
  drawButtons();
  if (focused) $("task-stop").focus();
  const outcome = await work;
  runner = null;
  if (own.view !== view || own.model !== model()?.id) {
    drawButtons();
    return;
  }
  const time = t("took", { time: elapsed(performance.now() - started) });
  $("task-status").textContent = outcome.stopped ? t("stopped") : outcome.error ? "" : time;
  if (outcome.error) announce(explain(outcome.error));
  else if (!outcome.stopped) finish(result);
  const stopHadFocus = $("task-stop") === document.activeElement;
  drawButtons();
  if (stopHadFocus) $("task-run").focus();
}

const elapsed = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : duration(ms / 1000));

// A comparison needs all at once; else texts go in chunks, and those that are answered are shown.
async function ask(own, asked, result, signal) {
  const size = own.view === "similarity" ? asked.length : form().writes ? 1 : CHUNK;
  for (let at = 0; at < asked.length; at += size) {
    const input = asked.slice(at, at + size);
    const { data } = await postJson(`v1/${own.view}`, { model: own.model, input }, signal);
    if (signal.aborted) return;
    result.asked.push(...input);
    result.entries.push(...data);
    results[own.view] = result;
    $("task-status").textContent = t("asked_of", { count: result.entries.length, total: asked.length });
    drawResult();
  }
}

function finish(result) {
  const [first] = result.entries;
  const said = result.isMany ? t("asked_of", { count: result.entries.length, total: result.entries.length }) : form().say(first, result.entries, result.asked);
  $("task-said").textContent = said;
  const one = { view, ...result, said };
  if (JSON.stringify(one).length > MOST_KEPT_CHARACTERS) return;
  const same = JSON.stringify(result.values);
  recent = [one, ...recent.filter((old) => old.view !== view || JSON.stringify(old.values) !== same)].slice(0, MOST_KEPT);
  write("recent", recent);
  drawRecent();
}

const short = (text, most) => {
  const all = characters(text.replace(/\s+/g, " ").trim());
  return all.length > most ? `${all.slice(0, most).join("")}…` : all.join("");
};

function drawRecent() {
  const own = recent.filter((one) => one.view === view);
  $("recent-empty").hidden = own.length > 0;
  $("forget").hidden = own.length === 0;
  $("recent-list").replaceChildren(
    ...own.map((one) => {
      const asked = Object.values(one.values).filter(Boolean).map((text) => short(text, 80)).join(" · ");
      const again = el("button", { type: "button", className: "again" }, el("span", { textContent: asked }));
      again.append(el("span", { className: "fine", textContent: short(one.said ?? "", 80) }));
      again.addEventListener("click", () => bringBack(one));
      return el("li", {}, again);
    }),
  );
}

function bringBack(one) {
  if (isRunning()) return;
  drafts[view] = { isMany: one.isMany, values: { ...one.values } };
  results[view] = { ...one };
  keepDrafts();
  draw();
  $("task-body").scrollIntoView({ block: "start" });
  $("task-fields").querySelector("textarea")?.focus({ preventScroll: true });
}

function drawButtons() {
  const running = isRunning() && runner !== null;
  $("task-run").hidden = running;
  $("task-stop").hidden = !running;
  for (const box of $("task-fields").querySelectorAll("textarea")) box.readOnly = running;
}
