// The page's words in the chosen language, and numbers as it writes them.

import chinese from "./chinese.js";
import english from "./english.js";
import { read, write } from "./store.js";

const STRINGS = { en: english, zh: chinese };

const fromBrowser = () => ((navigator.language || "en").toLowerCase().startsWith("zh") ? "zh" : "en");
const stored = read("language", null);
let language = stored === "en" || stored === "zh" ? stored : fromBrowser();

export const currentLanguage = () => language;

export function setLanguage(next) {
  language = next;
  write("language", next);
  translate();
  document.dispatchEvent(new CustomEvent("language"));
}

export function t(key, values = {}) {
  const text = STRINGS[language][key] ?? STRINGS.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

export function translate(root = document) {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const node of root.querySelectorAll("[data-i18n]")) node.textContent = t(node.dataset.i18n);
  for (const node of root.querySelectorAll("[data-i18n-label]")) {
    node.setAttribute("aria-label", t(node.dataset.i18nLabel));
    if (node.matches("button")) node.title = t(node.dataset.i18nLabel);
  }
  for (const node of root.querySelectorAll("[data-i18n-placeholder]")) {
    node.placeholder = t(node.dataset.i18nPlaceholder);
  }
}

export function count(value) {
  return new Intl.NumberFormat(language === "zh" ? "zh-CN" : "en", {
    notation: value >= 10000 ? "compact" : "standard",
    maximumFractionDigits: 1,
  }).format(value);
}

export function percent(share) {
  const shown = 100 * share;
  if (shown > 0 && shown < 0.1) return "<0.1%";
  if (shown < 100 && shown > 99.9) return ">99.9%";
  return `${shown === 0 || shown === 100 ? shown : shown.toFixed(1)}%`;
}

export function bytes(value) {
  if (value < 1024) return `${value} B`;
  const units = ["KiB", "MiB", "GiB"];
  let size = value / 1024;
  while (size >= 1024 && units.length > 1) {
    units.shift();
    size /= 1024;
  }
  return `${size >= 100 ? size.toFixed(0) : size.toFixed(1)} ${units[0]}`;
}

export function duration(seconds) {
  const [h, m, s] = language === "zh" ? ["时", "分", "秒"] : ["h", "m", "s"];
  const two = (value, unit) => (value ? `${String(value).padStart(2, "0")}${unit}` : "");
  if (seconds < 10) return `${Number(seconds.toFixed(1))}${s}`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}${s}`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}${m}${two(whole % 60, s)}`;
  return `${Math.floor(minutes / 60)}${h}${two(minutes % 60, m)}`;
}
