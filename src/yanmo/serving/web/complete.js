// The Complete view: a sheet of text that the model continues in place, in another colour.
//
// A textarea cannot colour its text, so its own is transparent and a mirror behind it shows the same
// text in two inks. `written` lists the stretches [start, end) that the model wrote.

import { stream } from "./api.js";
import { $, announce, el, isComposing } from "./dom.js";
import { explain, generate, isRunning, stopGeneration } from "./generation.js";
import { t } from "./i18n.js";
import { sampling } from "./settings.js";
import { read, write } from "./store.js";
import { addToken, clearTokens, startTokens } from "./tokens.js";
import { isBase } from "./views.js";

let model = () => null;
let written = [];
let known = "";
let before = null;
let saving = 0;

export function startComplete(chosenModel) {
  model = chosenModel;
  const kept = read("text", null);
  if (kept && typeof kept.text === "string" && Array.isArray(kept.written)) {
    $("text").value = known = kept.text;
    written = kept.written;
  }
  $("text").addEventListener("input", edited);
  $("text").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || isComposing(event)) return;
    event.preventDefault();
    goOn();
  });
  $("continue").addEventListener("click", goOn);
  $("complete-stop").addEventListener("click", stopGeneration);
  $("undo").addEventListener("click", takeBack);
  $("again").addEventListener("click", () => {
    takeBack();
    goOn();
  });
  $("probabilities").checked = read("probabilities", false);
  $("probabilities").addEventListener("change", (event) => {
    write("probabilities", event.target.checked);
    if (!event.target.checked) clearTokens();
  });
  document.addEventListener("language", clearTokens);
  startTokens();
  drawMirror();
}

export function drawCompleteNote() {
  $("complete-note").hidden = !isBase(model());
}

// Where the user's edit lies between the longest common beginning and end; stretches move with it.
export function shift(stretches, old, now) {
  let start = 0;
  const shorter = Math.min(old.length, now.length);
  while (start < shorter && old[start] === now[start]) start += 1;
  let tail = 0;
  while (tail < shorter - start && old.at(-1 - tail) === now.at(-1 - tail)) tail += 1;
  const oldEnd = old.length - tail;
  const grown = now.length - old.length;
  const moved = [];
  for (const [from, to] of stretches) {
    if (from < start) moved.push([from, Math.min(to, start)]);
    if (to > oldEnd) moved.push([Math.max(from, oldEnd) + grown, to + grown]);
  }
  return moved;
}

function edited() {
  const now = $("text").value;
  written = shift(written, known, now);
  known = now;
  if (!isRunning()) before = null;
  drawMirror();
  drawButtons();
}

function drawMirror() {
  const parts = [];
  let end = 0;
  for (const [from, to] of written) {
    parts.push(known.slice(end, from), el("span", { className: "ink", textContent: known.slice(from, to) }));
    end = to;
  }
  // The last line break of a block is not drawn unless something follows it.
  parts.push(`${known.slice(end)}\u200b`);
  $("mirror").replaceChildren(...parts);
  clearTimeout(saving);
  saving = setTimeout(() => write("text", { text: known, written }), 400);
}

function drawButtons() {
  const running = isRunning();
  $("continue").hidden = running;
  $("complete-stop").hidden = !running;
  $("undo").disabled = $("again").disabled = running || before === null;
  $("text").readOnly = running;
}

function takeBack() {
  if (before === null || isRunning()) return;
  ({ text: known, written } = before);
  before = null;
  $("text").value = known;
  clearTokens();
  drawMirror();
  drawButtons();
}

async function goOn() {
  if (isRunning() || !model()) return;
  before = { text: known, written: written.map((stretch) => [...stretch]) };
  clearTokens();
  announce("");
  $("complete-status").textContent = t("thinking");
  const progress = { tokens: 0, started: 0, finish: null };
  const work = generate((signal) => receive(progress, signal));
  drawButtons();
  const outcome = await work;
  $("complete-status").textContent = summary(progress, outcome);
  if (outcome.error) announce(explain(outcome.error));
  if (known === before.text) before = null;
  drawButtons();
  $("text").focus({ preventScroll: true });
}

async function receive(progress, signal) {
  const body = {
    model: model().id,
    prompt: known,
    truncate_prompt_tokens: -1,
    stream_options: { include_usage: true },
    ...sampling(),
  };
  if ($("probabilities").checked) body.logprobs = 5;
  for await (const event of stream("v1/completions", body, signal)) {
    if (event.usage) progress.tokens = event.usage.completion_tokens;
    const choice = event.choices[0];
    if (!choice) continue;
    progress.started ||= performance.now();
    progress.ended = performance.now();
    progress.finish = choice.finish_reason ?? progress.finish;
    if (choice.text) append(choice.text);
    if (choice.logprobs) addTokens(choice.logprobs);
  }
}

function addTokens(logprobs) {
  logprobs.tokens.forEach((token, index) => {
    addToken(token, logprobs.token_logprobs[index], logprobs.top_logprobs?.[index] ?? {});
  });
}

function append(text) {
  const last = written.at(-1);
  if (last && last[1] === known.length) last[1] += text.length;
  else written.push([known.length, known.length + text.length]);
  const page = $("text").closest(".page");
  const atEnd = page.scrollHeight - page.scrollTop - page.clientHeight < 60;
  known += text;
  $("text").value = known;
  drawMirror();
  if (atEnd) page.scrollTop = page.scrollHeight;
}

function summary(progress, { stopped }) {
  const seconds = (progress.ended - progress.started) / 1000;
  const parts = [];
  if (stopped) parts.push(t("stopped"));
  if (progress.finish === "stop") parts.push(t("end_of_text"));
  if (progress.tokens > 1 && seconds > 0) {
    const speed = ((progress.tokens - 1) / seconds).toFixed(seconds > progress.tokens ? 1 : 0);
    parts.push(t("speed", { count: progress.tokens, speed }));
  }
  return parts.join(" ");
}
