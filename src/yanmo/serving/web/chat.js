// The Chat view: conversations, messages, and answers that stream in.

import { stream } from "./api.js";
import * as conversations from "./conversations.js";
import { $, announce, copy, el, icon, isComposing, setIcon } from "./dom.js";
import { explain, generate, isRunning, stopGeneration } from "./generation.js";
import { count, t } from "./i18n.js";
import { read, write } from "./store.js";
import { sampling, systemPrompt } from "./settings.js";
import { isBase } from "./views.js";

let conversation = conversations.find(read("conversation", "")) ?? conversations.create();
let model = () => null;

export function startChat(chosenModel) {
  model = chosenModel;
  $("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send($("message").value);
  });
  $("message").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || isComposing(event)) return;
    event.preventDefault();
    send($("message").value);
  });
  $("message").addEventListener("input", fitComposer);
  $("stop").addEventListener("click", stopGeneration);
  $("new-chat").addEventListener("click", startOver);
  $("new-chat-small").addEventListener("click", startOver);
  $("history-open").addEventListener("click", () => showHistory($("history").dataset.open === undefined));
  document.addEventListener("language", draw);
  draw();
}

export function drawModelNote() {
  $("base-note").hidden = !isBase(model());
}

export function showHistory(open) {
  if (open) $("history").dataset.open = "";
  else delete $("history").dataset.open;
  $("history-open").setAttribute("aria-expanded", String(open));
  $("shade").hidden = !open;
}

function startOver() {
  stopGeneration();
  show(conversations.create());
  $("message").focus();
}

function show(chosen) {
  stopGeneration();
  conversation = chosen;
  write("conversation", chosen.id);
  showHistory(false);
  announce("");
  draw();
}

function draw() {
  $("chat-title").textContent = conversation.title || t("untitled");
  $("messages").replaceChildren(...conversation.messages.map(messageNode));
  $("empty").hidden = conversation.messages.length > 0;
  $("starters").replaceChildren(
    ...["starter_1", "starter_2", "starter_3"].map((key) =>
      el("button", { type: "button", className: "starter", textContent: t(key), onclick: () => send(t(key)) }),
    ),
  );
  drawList();
  drawActions();
  drawModelNote();
  $("scroll").scrollTop = $("scroll").scrollHeight;
}

function drawList() {
  $("conversations").replaceChildren(...conversations.all().map(listItem));
}

function listItem(one) {
  const title = one.title || t("untitled");
  const open = el("button", { type: "button", className: "open", textContent: title, onclick: () => show(one) });
  if (one.id === conversation.id) open.setAttribute("aria-current", "true");
  const label = t("delete_conversation", { title });
  const bin = el("button", { type: "button", className: "icon", title: label, "aria-label": label }, icon("trash"));
  bin.addEventListener("click", () => {
    conversations.remove(one.id);
    if (one.id === conversation.id) startOver();
    else drawList();
  });
  return el("li", {}, open, bin);
}

function messageNode(message) {
  const mine = message.role === "user";
  const who = el("span", { className: "hidden", textContent: mine ? t("you") : message.model ?? t("model") });
  const text = el("div", { className: "text" }, document.createTextNode(message.content));
  const node = el("li", { className: mine ? "message mine" : "message theirs" }, who, text);
  if (message.note) node.append(el("p", { className: "fine", textContent: message.note }));
  return node;
}

function drawActions() {
  for (const old of $("messages").querySelectorAll(".under")) old.remove();
  const last = conversation.messages.at(-1);
  if (!last || last.role !== "assistant" || isRunning()) return;
  const copyButton = el("button", { type: "button", className: "plain small" }, icon("copy"), t("copy"));
  copyButton.addEventListener("click", async () => {
    if (!(await copy(last.content))) return;
    copyButton.lastChild.textContent = t("copied");
    setIcon(copyButton, "check");
  });
  const again = el("button", { type: "button", className: "plain small", id: "regenerate" }, icon("redo"), t("regenerate"));
  again.addEventListener("click", () => {
    conversation.messages.pop();
    draw();
    answer();
  });
  $("messages").lastElementChild.append(el("div", { className: "under" }, copyButton, again));
}

function fitComposer() {
  const box = $("message");
  box.style.height = "auto";
  box.style.height = `${Math.min(box.scrollHeight, 200)}px`;
}

function send(text) {
  if (isRunning() || !text.trim() || !model()) return;
  $("message").value = "";
  fitComposer();
  conversation.messages.push({ role: "user", content: text.trim() });
  keep();
  draw();
  answer();
}

function keep() {
  write("conversation", conversation.id);
  if (!conversations.save(conversation)) announce(t("storage_full"));
}

// Streams one answer. Messages that no longer fit the context are left out from the oldest on.
async function answer() {
  const own = conversation;
  const message = { role: "assistant", content: "", model: model().id };
  const node = messageNode(message);
  const text = node.querySelector(".text").firstChild;
  node.setAttribute("aria-busy", "true");
  node.append(el("span", { className: "brush", "aria-hidden": "true" }));
  $("messages").append(node);
  drawActions();
  busy(true);
  announce("");
  const outcome = await generate(async (signal) => {
    let forgotten = 0;
    for (;;) {
      try {
        await receive(own, message, text, forgotten, signal);
        return;
      } catch (error) {
        const left = own.messages.length - forgotten;
        if (error.code !== "context_length_exceeded" || left <= 1) throw error;
        forgotten += Math.min(2, left - 1);
        message.note = t("forgot", { context: count(model().max_model_len ?? 0), count: forgotten });
      }
    }
  });
  node.removeAttribute("aria-busy");
  busy(false);
  if (outcome.error) announce(explain(outcome.error));
  if (outcome.stopped) message.note = t("stopped");
  if (message.content || !outcome.error) own.messages.push(message);
  if (own === conversation) {
    keep();
    draw();
  } else {
    conversations.save(own);
  }
}

async function receive(own, message, text, forgotten, signal) {
  const system = systemPrompt();
  const history = own.messages.slice(forgotten).map(({ role, content }) => ({ role, content }));
  const messages = system ? [{ role: "system", content: system }, ...history] : history;
  const body = { model: model().id, messages, ...sampling() };
  for await (const event of stream("v1/chat/completions", body, signal)) {
    const choice = event.choices[0];
    if (!choice) continue;
    if (choice.delta.content) {
      message.content += choice.delta.content;
      following(() => text.appendData(choice.delta.content));
    }
    if (choice.finish_reason === "length") message.note = [message.note, t("cut_off")].filter(Boolean).join(" ");
  }
}

// Keeps the end in sight while it grows, unless the reader has scrolled away.
function following(change) {
  const box = $("scroll");
  const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 60;
  change();
  if (atEnd) box.scrollTop = box.scrollHeight;
}

function busy(on) {
  $("send").hidden = on;
  $("stop").hidden = !on;
  document.body.toggleAttribute("data-writing", on);
  if (!on && document.activeElement === document.body) $("message").focus();
}
