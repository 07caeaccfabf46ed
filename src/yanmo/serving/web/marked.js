// Stretches of a text, coloured in it.

import { el } from "./dom.js";

const TONES = 6;

// Servers count characters, JavaScript counts halves of some.
export const characters = (text) => Array.from(text);

// Of a kind among sorted kinds; past the sixth the underline changes too.
export function toneClass(kind, kinds) {
  const index = Math.max(0, kinds.indexOf(kind));
  return `tone-${index % TONES} stroke-${Math.floor(index / TONES) % 3}`;
}

// Those that lie in the text and not in each other, in order.
function sound(stretches, length) {
  let end = 0;
  const kept = [];
  for (const one of [...stretches].sort((a, b) => a.start - b.start)) {
    if (!(one.start >= end && one.end > one.start && one.end <= length)) continue;
    kept.push(one);
    end = one.end;
  }
  return kept;
}

// A short name stays on one line with its kind.
const SHORT = 24;

// Nodes for the text; stretches have start and end, a className, and perhaps a name that stands behind them.
export function marked(text, stretches) {
  const all = characters(text);
  const nodes = [];
  let end = 0;
  for (const one of sound(stretches, all.length)) {
    nodes.push(document.createTextNode(all.slice(end, one.start).join("")));
    const name = one.name === undefined ? null : el("b", { textContent: one.name });
    const brief = one.end - one.start <= SHORT ? " brief" : "";
    nodes.push(el("mark", { className: `${one.className}${brief}` }, all.slice(one.start, one.end).join(""), name));
    end = one.end;
  }
  nodes.push(document.createTextNode(all.slice(end).join("")));
  return nodes;
}
