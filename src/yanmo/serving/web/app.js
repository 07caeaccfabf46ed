// The frame of the page: views, model, language, theme, settings drawer, key dialog.

import { getJson, onKeyNeeded } from "./api.js";
import { drawModelNote, showHistory, startChat } from "./chat.js";
import { drawCompleteNote, startComplete } from "./complete.js";
import { $, announce, el, isComposing, placeIcons, setIcon } from "./dom.js";
import { explain, stopGeneration } from "./generation.js";
import { currentLanguage, setLanguage, t, translate } from "./i18n.js";
import { showLoad, startLoad } from "./load.js";
import { showRuns, startRuns } from "./runs.js";
import { drawFacts, drawSettings, resetSettings } from "./settings.js";
import { read, write, writeKey } from "./store.js";
import { showTask, startTasks } from "./tasks.js";
import { TASKS, firstView, purpose, viewsOf } from "./views.js";

let models = [];

const chosenModel = () => models.find((model) => model.id === $("model").value) ?? null;

// ---- views ----

// The page of `yanmo runs --live` has no model to talk to.
const isRunsOnly = () => document.body.hasAttribute("data-runs-only");

function currentView() {
  const named = location.hash.slice(1);
  if (isRunsOnly()) return "runs";
  return viewsOf(chosenModel()).includes(named) ? named : firstView(chosenModel());
}

function showView() {
  const view = currentView();
  const own = isRunsOnly() ? ["runs"] : viewsOf(chosenModel());
  for (const name of ["chat", "complete", "runs"]) $(`view-${name}`).hidden = name !== view;
  showTask(TASKS.includes(view) ? view : null);
  for (const link of document.querySelectorAll("a[data-view]")) {
    link.hidden = !own.includes(link.dataset.view);
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.body.dataset.shown = TASKS.includes(view) ? "task" : view;
  document.title = `${t(view)} · yanmo 研墨`;
  if (view === "runs") showSettings(false);
  showHistory(false);
  showRuns(view === "runs");
}

// ---- models ----

async function loadModels() {
  models = (await getJson("v1/models")).data;
  document.body.toggleAttribute("data-runs-only", models.length === 0);
  drawModels(read("model", ""));
}

function drawModels(chosen) {
  const name = (model) => `${model.id} · ${t(purpose(model))}`;
  $("model").replaceChildren(...models.map((model) => el("option", { value: model.id, textContent: name(model) })));
  if (models.some((model) => model.id === chosen)) $("model").value = chosen;
  modelChanged();
}

function modelChanged() {
  drawFacts(chosenModel());
  drawModelNote();
  drawCompleteNote();
}

// ---- theme and language ----

const darkSystem = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (darkSystem.matches ? "dark" : "light")) === "dark";

function drawTheme() {
  setIcon($("theme"), isDark() ? "sun" : "moon");
}

function switchTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  write("theme", theme);
  drawTheme();
}

function languageChanged() {
  drawSettings();
  drawTheme();
  drawModels($("model").value);
  showView();
}

// ---- settings drawer ----

function showSettings(open) {
  $("settings").hidden = !open;
  $("settings-open").setAttribute("aria-expanded", String(open));
  document.body.toggleAttribute("data-settings", open);
}

function closeDrawers() {
  if (!$("settings").hidden) {
    showSettings(false);
    $("settings-open").focus();
  }
  if (!$("load").hidden) {
    showLoad(false);
    $("load-open").focus();
  }
  showHistory(false);
}

// ---- key ----

function askForKey(triedKey) {
  return new Promise((resolve) => {
    const dialog = $("key-dialog");
    $("key-wrong").hidden = !triedKey;
    $("key").value = "";
    if (!dialog.open) dialog.showModal();
    const done = (event) => {
      event.preventDefault();
      writeKey($("key").value.trim());
      dialog.close();
      resolve(true);
    };
    $("key-form").addEventListener("submit", done, { once: true });
    dialog.oncancel = () => {
      $("key-form").removeEventListener("submit", done);
      resolve(false);
    };
  });
}

let asking = null;
const askOnce = (triedKey) => (asking ??= askForKey(triedKey).finally(() => (asking = null)));

// ---- start ----

function listen() {
  window.addEventListener("hashchange", showView);
  $("model").addEventListener("change", () => {
    write("model", $("model").value);
    modelChanged();
    showView();
  });
  $("language").addEventListener("click", () => setLanguage(currentLanguage() === "zh" ? "en" : "zh"));
  document.addEventListener("language", languageChanged);
  $("theme").addEventListener("click", switchTheme);
  darkSystem.addEventListener("change", drawTheme);
  $("settings-open").addEventListener("click", () => showSettings($("settings").hidden));
  $("settings-close").addEventListener("click", closeDrawers);
  $("settings-reset").addEventListener("click", resetSettings);
  $("shade").addEventListener("click", closeDrawers);
  $("banner-close").addEventListener("click", () => announce(""));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || isComposing(event) || $("key-dialog").open) return;
    stopGeneration();
    closeDrawers();
  });
}

async function start() {
  translate();
  placeIcons();
  drawTheme();
  drawSettings();
  onKeyNeeded(askOnce);
  listen();
  startRuns();
  startLoad();
  startTasks(chosenModel);
  startChat(chosenModel);
  startComplete(chosenModel);
  try {
    await loadModels();
  } catch (error) {
    announce(explain(error));
  }
  showView();
}

start();
