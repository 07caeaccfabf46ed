// Line charts as SVG: axes with round numbers, curves, dashed levels, and a reading under the pointer.

import { el, svg } from "./dom.js";

const MARGIN = { top: 14, right: 16, bottom: 38, left: 52 };

// Round steps (1, 2, 5 times a power of ten) that part [low, high] into about `wanted` pieces.
export function ticks(low, high, wanted) {
  const raw = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= raw);
  const marks = [];
  for (let index = Math.ceil(low / step); index * step <= high * (1 + 1e-9); index += 1) marks.push(index * step);
  return marks;
}

// Steps that read well as times.
export function timeTicks(high, wanted) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
  const step = steps.find((candidate) => high / candidate <= wanted) ?? high / wanted;
  const marks = [];
  for (let mark = 0; mark <= high; mark += step) marks.push(mark);
  return marks;
}

// The beginning of training is far above the rest; the scale gives its room to the rest.
function yRange(curves, levels) {
  const bottoms = [...curves.flatMap((curve) => curve.points.map(([, y]) => y)), ...levels.map((level) => level.y)];
  const low = Math.min(...bottoms);
  const sorted = [...bottoms].sort((a, b) => a - b);
  const high = Math.max(sorted[Math.floor(0.97 * (sorted.length - 1))], ...levels.map((level) => level.y));
  const room = (high - low || Math.abs(low) || 1) * 0.06;
  return [low - room, high + room];
}

/* curves: { name, tone, faint, points: [[x, y]...] }; levels: { name, tone, y }.
   options: { label, xTitle, yTitle, xText, yText, xTicks }. */
export function drawChart(box, curves, levels, options) {
  const drawn = curves.filter((curve) => curve.points.length > 0);
  if (!drawn.length) {
    box.replaceChildren(el("p", { className: "fine", textContent: options.nothing }));
    return;
  }
  const width = Math.max(280, box.clientWidth || 640);
  const height = Math.round(Math.min(420, Math.max(240, width * 0.5)));
  const xHigh = Math.max(...drawn.flatMap((curve) => curve.points.map(([x]) => x))) || 1;
  const [yLow, yHigh] = yRange(drawn, levels);
  const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
  const x = (value) => MARGIN.left + (value / xHigh) * inner.width;
  const y = (value) => MARGIN.top + ((yHigh - value) / (yHigh - yLow)) * inner.height;
  const scale = { x, y, xHigh, width, height, inner };
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": options.label });
  const clip = svg("clipPath", { id: "plot" }, svg("rect", { x: MARGIN.left, y: MARGIN.top, ...inner }));
  root.append(svg("defs", {}, clip), axes(scale, yLow, yHigh, options));
  const plot = svg("g", { "clip-path": "url(#plot)" });
  for (const level of levels) plot.append(levelLine(level, scale));
  for (const curve of drawn) plot.append(curveLine(curve, scale));
  root.append(plot);
  const reading = el("div", { className: "reading", hidden: true });
  box.replaceChildren(root, reading);
  follow(root, reading, drawn, scale, options);
}

function axes({ x, y, xHigh, width, height, inner }, yLow, yHigh, options) {
  const group = svg("g", { class: "axes" });
  const end = MARGIN.left + inner.width;
  for (const mark of ticks(yLow, yHigh, 5)) {
    group.append(svg("line", { x1: MARGIN.left, x2: end, y1: y(mark), y2: y(mark) }));
    group.append(svg("text", { x: MARGIN.left - 8, y: y(mark) + 4, "text-anchor": "end" }, options.yText(mark)));
  }
  const marks = options.xTicks(xHigh, Math.max(2, Math.floor(width / 110)));
  for (const mark of marks) {
    const anchor = end - x(mark) < 30 ? "end" : "middle";
    group.append(svg("text", { x: x(mark), y: height - 18, "text-anchor": anchor }, options.xText(mark)));
  }
  group.append(svg("text", { x: end, y: height - 3, "text-anchor": "end", class: "title" }, options.xTitle));
  return group;
}

function levelLine({ tone, y: value }, { y, inner }) {
  const ends = { x1: MARGIN.left, x2: MARGIN.left + inner.width, y1: y(value), y2: y(value) };
  return svg("line", { ...ends, class: `level tone-${tone}` });
}

function curveLine({ tone, faint, points }, { x, y }) {
  const path = points.map(([px, py], index) => `${index ? "L" : "M"}${x(px).toFixed(1)} ${y(py).toFixed(1)}`).join("");
  const line = svg("path", { d: path, class: `curve tone-${tone}${faint ? " faint" : ""}` });
  if (points.length > 1) return line;
  const [px, py] = points[0];
  return svg("circle", { cx: x(px), cy: y(py), r: 3, class: `dot tone-${tone}` });
}

function nearest(points, wanted) {
  return points.reduce((best, point) => (Math.abs(point[0] - wanted) < Math.abs(best[0] - wanted) ? point : best));
}

function follow(root, reading, curves, { x, y, xHigh, width, height, inner }, options) {
  const hair = svg("line", { class: "hair", y1: MARGIN.top, y2: height - MARGIN.bottom, visibility: "hidden" });
  const dots = svg("g");
  root.append(hair, dots);
  const move = (event) => {
    const bounds = root.getBoundingClientRect();
    const at = ((event.clientX - bounds.left) / bounds.width) * width;
    const value = ((at - MARGIN.left) / inner.width) * xHigh;
    if (value < 0 || value > xHigh) return leave();
    hair.setAttribute("x1", at);
    hair.setAttribute("x2", at);
    hair.setAttribute("visibility", "visible");
    const rows = curves.filter((curve) => !curve.faint).map((curve) => ({ curve, point: nearest(curve.points, value) }));
    dots.replaceChildren(
      ...rows.map(({ curve, point }) => svg("circle", { cx: x(point[0]), cy: y(point[1]), r: 4, class: `dot tone-${curve.tone}` })),
    );
    reading.hidden = false;
    reading.replaceChildren(
      el("b", { textContent: options.xText(value) }),
      ...rows.map(({ curve, point }) =>
        el("span", { className: `tone-${curve.tone}` }, el("i"), `${curve.name} `, el("b", { textContent: options.yText(point[1], true) })),
      ),
    );
    reading.classList.toggle("left", at > width / 2);
  };
  const leave = () => {
    hair.setAttribute("visibility", "hidden");
    dots.replaceChildren();
    reading.hidden = true;
  };
  root.addEventListener("pointermove", move);
  root.addEventListener("pointerdown", move);
  root.addEventListener("pointerleave", leave);
}
