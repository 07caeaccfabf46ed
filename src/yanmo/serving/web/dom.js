// Elements and icons. Text only ever becomes a text node: nothing that a model writes is HTML.

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  sliders: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.500v5M9 14.500v5",
  moon: "M20 14.500A8 8 0 1 1 9.500 4a6.500 6.500 0 0 0 10.500 10.500z",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M4.900 4.900l1.400 1.400M17.700 17.700l1.400 1.400M2 12h2M20 12h2M4.900 19.100l1.400-1.400M17.700 6.300l1.400-1.400",
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
  list: "M4 6h16M4 12h16M4 18h10",
  up: "M12 19V5M6 11l6-6 6 6",
  square: "M7 7h10v10H7z",
  pen: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  redo: "M20 11a8 8 0 1 0-2.300 6.600M20 5v6h-6",
  undo: "M9 8L4 12l5 4M4 12h10a6 6 0 0 1 6 6",
  copy: "M9 9h10v11H9zM15 9V5H5v11h4",
  check: "M5 13l4 4L19 7",
  down: "M12 4v11M7 11l5 5 5-5M5 20h14",
  gauge: "M4 18a9 9 0 1 1 16 0M12 15l4-5",
  seal: "M5 5h14v14H5zM9 9h6M9 12h6M9 15h3",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
};

export const $ = (id) => document.getElementById(id);

export function el(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key in node && key !== "list" && key !== "form") node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  node.append(...children);
  return node;
}

export function icon(name) {
  const path = svg("path", { d: ICONS[name] });
  return svg("svg", { viewBox: "0 0 24 24", class: "glyph", "aria-hidden": "true" }, path);
}

export function setIcon(node, name) {
  node.querySelector("svg.glyph")?.remove();
  node.prepend(icon(name));
}

export function placeIcons(root = document) {
  for (const node of root.querySelectorAll("[data-icon]")) setIcon(node, node.dataset.icon);
}

// An Enter that closes an input method's list of candidates is no Enter of ours.
export const isComposing = (event) => event.isComposing || event.keyCode === 229;

export function announce(text) {
  const node = $("banner");
  $("banner-text").textContent = text;
  node.hidden = !text;
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
