// The Runs view: training runs as a table and as curves, read again while any of them goes on.

import { getJson } from "./api.js";
import { drawChart, ticks, timeTicks } from "./chart.js";
import { drawComparison, drawOutcome } from "./comparison.js";
import { $, announce, el } from "./dom.js";
import { explain } from "./generation.js";
import { count, duration, t } from "./i18n.js";
import { read, write } from "./store.js";

const REFRESH_MS = 4000;
const MOST_SHOWN = 6;
const LOSSES = { bits_per_byte: "bits", loss_nats: "loss" };
// The loss once more, in other units.
const NOT_DRAWN = ["perplexity"];
const SMALL = { lr_factor: "learning_rate", grad_norm: "gradient_norm", tokens_per_s: "tokens_per_second" };
const X_AXES = { elapsed_s: "by_time", tokens: "by_tokens", step: "by_steps" };

let runs = [];
let metrics = new Map();
let comparison = null;
let hidden = new Set(read("hidden_runs", []));
let yAxis = read("y_axis", "bits_per_byte");
let xAxis = read("x_axis", "elapsed_s");
let open = false;
let timer = 0;
let isLost = false;

export function startRuns() {
  new ResizeObserver(() => open && drawCurves()).observe($("chart"));
  $("sample-run").addEventListener("change", drawDetail);
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
    await fetchComparison();
    // A server that was started again is no news.
    if (isLost) announce("");
    isLost = false;
    if (open) draw();
  } catch (error) {
    isLost = true;
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

async function fetchComparison() {
  const names = shownRuns().map((run) => run.name);
  const query = names.map((name) => `run=${encodeURIComponent(name)}`).join("&");
  comparison = names.length > 1 ? await getJson(`api/comparison?${query}`) : null;
}

// What the shown runs measured: the losses first.
function yAxes() {
  const measured = shownRuns().flatMap((run) => metrics.get(run.name)?.measured ?? []);
  const others = [...new Set(measured)].filter((name) => !(name in LOSSES) && !NOT_DRAWN.includes(name));
  const axes = { ...LOSSES, ...Object.fromEntries(others.map((name) => [name, name])) };
  const hasBits = shownRuns().some((run) => hasPoints(metrics.get(run.name), "bits_per_byte"));
  if (!hasBits && shownRuns().length) delete axes.bits_per_byte;
  return axes;
}

const hasPoints = (data, name) => [data?.train, data?.valid].some((columns) => columns?.[name]?.some(Number.isFinite));

function draw() {
  $("runs-empty").hidden = runs.length > 0;
  $("runs-body").hidden = runs.length === 0;
  $("runs-live").hidden = !runs.some((run) => run.state === "running");
  drawAxis("y-axis", yAxes(), shownY(), (value) => write("y_axis", (yAxis = value)));
  drawAxis("x-axis", X_AXES, xAxis, (value) => write("x_axis", (xAxis = value)));
  drawCurves();
  drawTable();
  drawComparison(comparison);
  drawDetailRuns();
}

const shownY = () => (yAxis in yAxes() ? yAxis : Object.keys(yAxes())[0]);

function drawAxis(id, axes, chosen, choose) {
  if ($(id).contains(document.activeElement) && $(id).children.length === Object.keys(axes).length) {
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

function points(columns, name) {
  const pairs = (columns[name] ?? []).map((y, index) => [columns[xAxis][index], y]);
  return pairs.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
}

const drawnRuns = () => shownRuns().filter((run) => metrics.has(run.name));

function drawCurves() {
  const name = shownY();
  const curves = [];
  for (const run of drawnRuns()) {
    const data = metrics.get(run.name);
    const [train, valid] = [points(data.train, name), points(data.valid, name)];
    const one = { name: run.name, tone: tone(run) };
    if (train.length) curves.push({ ...one, faint: valid.length > 0, points: train });
    if (valid.length) curves.push({ ...one, points: valid });
  }
  const inBits = name === "bits_per_byte";
  const levels = drawnRuns()
    .filter((run) => inBits && Number.isFinite(run.baseline_bits_per_byte))
    .map((run) => ({ tone: tone(run), y: run.baseline_bits_per_byte }));
  const ends = inBits ? drawnRuns().flatMap(predictedEnd) : [];
  const marks = drawnRuns().flatMap(incidents);
  drawChart($("chart"), curves, {
    ...along(t(yAxes()[name])),
    yText: (value, fine) => value.toFixed(fine ? 3 : 2),
    levels,
    ends,
    marks,
  });
  drawLegend({ levels, ends, marks });
  for (const [column, key] of Object.entries(SMALL)) drawSmall(column, key);
}

function drawSmall(column, key) {
  const curves = drawnRuns().map((run) => {
    return { name: run.name, tone: tone(run), points: points(metrics.get(run.name).train, column) };
  });
  const exact = (value) => (column === "tokens_per_s" ? count(Math.round(value)) : value.toPrecision(3));
  const yText = (value, fine) => (fine ? exact(value) : count(Number(value.toPrecision(3))));
  drawChart($(`chart-${column}`), curves, { ...along(t(key)), yText, height: 170, isWhole: true });
}

// What a chart says of its axes.
function along(yTitle) {
  const xTitle = t(X_AXES[xAxis]);
  const isTime = xAxis === "elapsed_s";
  return {
    label: t("chart_label", { y: yTitle, x: xTitle, count: drawnRuns().length }),
    nothing: t("no_points"),
    xTitle,
    yTitle,
    xText: isTime ? (value) => (value ? duration(value) : "0") : (value) => count(Math.round(value)),
    xTicks: isTime ? timeTicks : (high, wanted) => ticks(0, high, wanted),
  };
}

function predictedEnd(run) {
  const predicted = metrics.get(run.name).predicted;
  if (!predicted || !Number.isFinite(predicted[xAxis]) || !hasPoints(metrics.get(run.name), "bits_per_byte")) return [];
  return [{ ...predicted, x: predicted[xAxis], tone: tone(run) }];
}

function incidents(run) {
  return metrics.get(run.name).incidents
    .filter((incident) => Number.isFinite(incident[xAxis]))
    .map((incident) => {
      const text = t(incident.kind, { name: run.name, step: count(incident.step) });
      return { kind: incident.kind, x: incident[xAxis], tone: tone(run), text };
    });
}

function drawLegend({ levels, ends, marks }) {
  const key = (className, text) => el("span", { className }, el("i"), text);
  $("legend").replaceChildren(
    ...shownRuns().map((run) => key(`key tone-${tone(run)}`, run.name)),
    key("key kind valid", t("valid_curve")),
    key("key kind train", t("train_curve")),
    ...(levels.length ? [key("key kind level", t("baseline_of"))] : []),
    ...(ends.length ? [key("key kind planned", t("predicted_end"))] : []),
    ...(marks.length ? [key("key kind wrong-turn", t("incidents"))] : []),
  );
}

const COLUMNS = [
  ["run", (run) => run.name],
  ["state", (run) => t(`state_${run.state}`)],
  ["valid", (run) => validScore(run)],
  ["test", (run) => bits(run.bits_per_byte)],
  ["baseline", (run) => bits(run.baseline_bits_per_byte)],
  ["parameters", (run) => whole(run.num_parameters)],
  ["steps", (run) => steps(run)],
  ["tokens", (run) => whole(run.tokens)],
  ["time", (run) => (run.elapsed_s === null ? "–" : duration(run.elapsed_s))],
  ["energy", (run) => energy(run)],
];
const bits = (value) => (Number.isFinite(value) ? value.toFixed(3) : "–");
// An objective that hides tokens has a loss and no bits per byte.
function validScore(run) {
  const hasBits = Number.isFinite(run.best_valid_bits_per_byte) || !Number.isFinite(run.best_valid_loss_nats);
  return hasBits ? bits(run.best_valid_bits_per_byte) : t("in_nats", { loss: bits(run.best_valid_loss_nats) });
}
function energy(run) {
  if (!Number.isFinite(run.energy_wh)) return "–";
  return `${run.energy_source === "rapl" ? "" : "~"}${Number(run.energy_wh.toPrecision(3))} Wh`;
}
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
    if (key === "state" && run.state === "running" && Number.isFinite(run.progress)) cell.append(progress(run));
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

function progress(run) {
  const percent = `${Math.round(run.progress * 100)}%`;
  const left = Number.isFinite(run.time_left_s) ? t("time_left", { time: duration(run.time_left_s) }) : "";
  const bar = el("progress", { max: 1, value: run.progress, "aria-label": t("progress_of", { name: run.name }) });
  return el("span", { className: "progress" }, bar, el("span", { className: "fine", textContent: [percent, left].filter(Boolean).join(" · ") }));
}

function drawDetailRuns() {
  const shown = drawnRuns();
  $("detail").hidden = shown.length === 0;
  const chosen = $("sample-run").value;
  $("sample-run").replaceChildren(...shown.map((run) => el("option", { value: run.name, textContent: run.name })));
  const going = shown.find((run) => run.state === "running");
  if (shown.some((run) => run.name === chosen)) $("sample-run").value = chosen;
  else if (going) $("sample-run").value = going.name;
  drawDetail();
}

function drawDetail() {
  const data = metrics.get($("sample-run").value);
  drawOutcome(data?.outcome ?? []);
  drawSamples();
}

function drawSamples() {
  const rows = metrics.get($("sample-run").value)?.sample ?? [];
  $("samples").hidden = rows.length === 0;
  $("sample-list").replaceChildren(
    ...rows.slice(-6).reverse().map((row) =>
      el("li", {}, el("span", { className: "fine", textContent: t("step_n", { step: count(row.step) }) }), el("p", { textContent: String(row.text) })),
    ),
  );
}
