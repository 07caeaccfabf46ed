// The Runs view: training runs as a table and as curves, read again while any of them goes on.

import { getJson } from "./api.js";
import { drawChart, ticks, timeTicks } from "./chart.js";
import { $, announce, el } from "./dom.js";
import { explain } from "./generation.js";
import { count, duration, t } from "./i18n.js";
import { read, write } from "./store.js";

const REFRESH_MS = 4000;
const MOST_SHOWN = 6;
const Y_AXES = { bits_per_byte: "bits", loss_nats: "loss" };
const X_AXES = { elapsed_s: "by_time", tokens: "by_tokens", step: "by_steps" };

let runs = [];
let metrics = new Map();
let hidden = new Set(read("hidden_runs", []));
let yAxis = read("y_axis", "bits_per_byte");
let xAxis = read("x_axis", "elapsed_s");
let open = false;
let timer = 0;

export function startRuns() {
  new ResizeObserver(() => open && drawCurves()).observe($("chart"));
  $("sample-run").addEventListener("change", drawSamples);
  document.addEventListener("language", () => open && draw());
  document.addEventListener("visibilitychange", () => open && !document.hidden && refresh());
}

export function showRuns(shown) {
  open = shown;
  clearTimeout(timer);
  if (shown) refresh();
}

const shownRuns = () => runs.filter((run) => !hidden.has(run.name)).slice(0, MOST_SHOWN);
const tone = (run) => runs.map((one) => one.name).sort().indexOf(run.name) % MOST_SHOWN;

async function refresh() {
  clearTimeout(timer);
  try {
    runs = (await getJson("api/runs")).data;
    await Promise.all(shownRuns().map(fetchMetrics));
    if (open) draw();
  } catch (error) {
    announce(explain(error));
  }
  if (open && !document.hidden) timer = setTimeout(refresh, REFRESH_MS);
}

// A run that is over is read once.
async function fetchMetrics(run) {
  const stamp = JSON.stringify([run.state, run.steps, run.elapsed_s, run.started]);
  if (metrics.get(run.name)?.stamp === stamp) return;
  const body = await getJson(`api/runs/${encodeURIComponent(run.name)}/metrics`);
  metrics.set(run.name, { stamp, ...body });
}

function draw() {
  $("runs-empty").hidden = runs.length > 0;
  $("runs-body").hidden = runs.length === 0;
  $("runs-live").hidden = !runs.some((run) => run.state === "running");
  drawAxis("y-axis", Y_AXES, yAxis, (value) => write("y_axis", (yAxis = value)));
  drawAxis("x-axis", X_AXES, xAxis, (value) => write("x_axis", (xAxis = value)));
  drawCurves();
  drawTable();
  drawSampleRuns();
}

function drawAxis(id, axes, chosen, choose) {
  if ($(id).contains(document.activeElement) && $(id).children.length) {
    // Redrawing would take the keyboard's place away: only the marks change.
    [...$(id).children].forEach((button, index) => {
      button.setAttribute("aria-pressed", String(Object.keys(axes)[index] === chosen));
    });
    return;
  }
  $(id).replaceChildren(
    ...Object.entries(axes).map(([value, key]) => {
      const button = el("button", { type: "button", textContent: t(key) });
      button.setAttribute("aria-pressed", String(value === chosen));
      button.addEventListener("click", () => {
        choose(value);
        draw();
      });
      return button;
    }),
  );
}

const points = (rows) =>
  rows.map((row) => [row[xAxis], row[yAxis]]).filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));

function drawCurves() {
  const curves = [];
  const levels = [];
  for (const run of shownRuns()) {
    const data = metrics.get(run.name);
    if (!data) continue;
    const valid = points(data.valid);
    const train = points(data.train);
    if (train.length) curves.push({ name: run.name, tone: tone(run), faint: valid.length > 0, points: train });
    if (valid.length) curves.push({ name: run.name, tone: tone(run), points: valid });
    if (yAxis === "bits_per_byte" && Number.isFinite(run.baseline_bits_per_byte)) {
      levels.push({ name: run.name, tone: tone(run), y: run.baseline_bits_per_byte });
    }
  }
  const yTitle = t(Y_AXES[yAxis]);
  const xTitle = t(X_AXES[xAxis]);
  drawChart($("chart"), curves, levels, {
    label: t("chart_label", { y: yTitle, x: xTitle, count: shownRuns().length }),
    nothing: t("no_points"),
    xTitle,
    yTitle,
    xText: xAxis === "elapsed_s" ? (value) => (value ? duration(value) : "0") : (value) => count(Math.round(value)),
    yText: (value, fine) => value.toFixed(fine ? 3 : 2),
    xTicks: xAxis === "elapsed_s" ? timeTicks : (high, wanted) => ticks(0, high, wanted),
  });
  drawLegend(levels.length > 0);
}

function drawLegend(withLevels) {
  const key = (className, text) => el("span", { className }, el("i"), text);
  $("legend").replaceChildren(
    ...shownRuns().map((run) => key(`key tone-${tone(run)}`, run.name)),
    key("key kind valid", t("valid_curve")),
    key("key kind train", t("train_curve")),
    ...(withLevels ? [key("key kind level", t("baseline_of"))] : []),
  );
}

const COLUMNS = [
  ["run", (run) => run.name],
  ["state", (run) => t(`state_${run.state}`)],
  ["valid", (run) => bits(run.best_valid_bits_per_byte)],
  ["test", (run) => bits(run.bits_per_byte)],
  ["baseline", (run) => bits(run.baseline_bits_per_byte)],
  ["parameters", (run) => whole(run.num_parameters)],
  ["steps", (run) => steps(run)],
  ["tokens", (run) => whole(run.tokens)],
  ["time", (run) => (run.elapsed_s === null ? "–" : duration(run.elapsed_s))],
];
const bits = (value) => (Number.isFinite(value) ? value.toFixed(3) : "–");
const whole = (value) => (Number.isFinite(value) ? count(value) : "–");
const steps = (run) =>
  run.state !== "done" && Number.isFinite(run.planned_steps) ? `${whole(run.steps)} / ${whole(run.planned_steps)}` : whole(run.steps);

function drawTable() {
  const heads = COLUMNS.map(([key]) => el("th", { scope: "col", textContent: t(key) }));
  $("runs-table").tHead.replaceChildren(el("tr", {}, ...heads));
  const focused = document.activeElement?.dataset?.run;
  $("runs-table").tBodies[0].replaceChildren(...runs.map(tableRow));
  if (focused) $("runs-table").querySelector(`[data-run="${CSS.escape(focused)}"]`)?.focus();
  $("runs-table").caption?.remove();
  $("runs-table").prepend(el("caption", { className: "fine", textContent: t("lower_is_better") }));
}

function tableRow(run) {
  const better = Number.isFinite(run.baseline_bits_per_byte) && run.bits_per_byte < run.baseline_bits_per_byte;
  const cells = COLUMNS.slice(1).map(([key, text]) => {
    const cell = el("td", { textContent: text(run), className: key === "state" ? `state ${run.state}` : "" });
    if (key === "test" && better) cell.classList.add("better");
    return cell;
  });
  const box = el("input", { type: "checkbox", checked: !hidden.has(run.name), "aria-label": t("show", { name: run.name }) });
  box.dataset.run = run.name;
  box.addEventListener("change", () => {
    if (box.checked) hidden.delete(run.name);
    else hidden.add(run.name);
    write("hidden_runs", [...hidden]);
    refresh();
  });
  const head = el("th", { scope: "row" }, el("label", { className: `tone-${tone(run)}` }, box, el("i"), run.name));
  return el("tr", {}, head, ...cells);
}

function drawSampleRuns() {
  const withSamples = runs.filter((run) => metrics.get(run.name)?.sample.length);
  $("samples").hidden = withSamples.length === 0;
  const chosen = $("sample-run").value;
  $("sample-run").replaceChildren(...withSamples.map((run) => el("option", { value: run.name, textContent: run.name })));
  if (withSamples.some((run) => run.name === chosen)) $("sample-run").value = chosen;
  drawSamples();
}

function drawSamples() {
  const rows = metrics.get($("sample-run").value)?.sample ?? [];
  $("sample-list").replaceChildren(
    ...rows.slice(-6).reverse().map((row) =>
      el("li", {}, el("span", { className: "fine", textContent: t("step_n", { step: count(row.step) }) }), el("p", { textContent: String(row.text) })),
    ),
  );
}
