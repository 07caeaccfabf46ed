// The strip of generated tokens, shaded by probability; each shows what else could have stood there.

import { $, el } from "./dom.js";
import { t } from "./i18n.js";

const visible = (token) => (token.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll(" ", "␣") || "∅");
const percent = (logprob) => {
  const share = 100 * Math.exp(logprob);
  return `${share >= 10 ? share.toFixed(0) : share >= 0.1 ? share.toFixed(1) : "<0.1"} %`;
};

export function clearTokens() {
  $("tokens").hidden = true;
  $("token-strip").replaceChildren();
  $("token-detail").replaceChildren(t("token_hint"));
}

export function addToken(token, logprob, others) {
  $("tokens").hidden = false;
  const level = Math.min(4, Math.floor(Math.exp(logprob) * 5));
  const chip = el("button", {
    type: "button",
    className: `token level-${level}`,
    textContent: visible(token),
    "aria-label": `${visible(token)} ${percent(logprob)}`,
  });
  // One stop for the tab key; the arrow keys go along the strip.
  chip.tabIndex = $("token-strip").childElementCount ? -1 : 0;
  const show = () => explain(chip, token, logprob, others);
  chip.addEventListener("pointerenter", show);
  chip.addEventListener("focus", show);
  chip.addEventListener("click", show);
  $("token-strip").append(chip);
}

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

export function startTokens() {
  $("token-strip").addEventListener("keydown", (event) => {
    const chips = [...$("token-strip").children];
    const at = chips.indexOf(document.activeElement);
    const next = { Home: 0, End: chips.length - 1 }[event.key] ?? at + (STEPS[event.key] ?? 0);
    if (at < 0 || next === at || !chips[next]) return;
    event.preventDefault();
    chips[at].tabIndex = -1;
    chips[next].tabIndex = 0;
    chips[next].focus();
  });
}

function explain(chip, token, logprob, others) {
  for (const old of $("token-strip").querySelectorAll(".chosen")) old.classList.remove("chosen");
  chip.classList.add("chosen");
  const rows = Object.entries(others).sort((a, b) => b[1] - a[1]);
  $("token-detail").replaceChildren(
    el("p", {}, el("b", { textContent: visible(token) }), ` ${percent(logprob)}`),
    el("p", { className: "fine", textContent: rows.length ? t("instead", { token: visible(token) }) : "" }),
    ...rows.filter(([other]) => other !== token).map(bar),
  );
}

function bar([token, logprob]) {
  const fill = el("i");
  fill.style.width = `${100 * Math.exp(logprob)}%`;
  return el(
    "div",
    { className: "odds" },
    el("span", { textContent: visible(token) }),
    el("span", { className: "track" }, fill),
    el("span", { textContent: percent(logprob) }),
  );
}
