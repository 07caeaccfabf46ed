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
function yRange(curves, levels, ends, isWhole) {
  const marked = [...levels.map((level) => level.y), ...ends.flatMap((end) => [end.low, end.high])];
  const sorted = [...curves.flatMap((curve) => curve.points.map(([, y]) => y)), ...marked].sort((a, b) => a - b);
  const low = sorted[0];
  const share = isWhole ? 1 : 0.97;
  const high = Math.max(sorted[Math.floor(share * (sorted.length - 1))], ...marked);
  const room = (high - low || Math.abs(low) || 1) * 0.06;
  return [low - room, high + room];
}

/* curves: { name, tone, faint, points: [[x, y]...] }.
   options: { label, xTitle, yTitle, xText, yText, xTicks }, and perhaps
   levels: { tone, y }, dashed lines; ends: { tone, x, value, low, high }, where a plan expects a curve to end;
   marks: { tone, x, kind, text }, what went wrong; height, in pixels; isWhole, to show every peak. */
export function drawChart(box, curves, options) {
  const { levels = [], ends = [], marks = [] } = options;
  const drawn = curves.filter((curve) => curve.points.length > 0);
  if (!drawn.length) {
    box.replaceChildren(el("p", { className: "fine", textContent: options.nothing }));
    return;
  }
  const width = Math.max(280, box.clientWidth || 640);
  const height = options.height ?? Math.round(Math.min(420, Math.max(240, width * 0.5)));
  const xHigh = Math.max(...drawn.map((curve) => curve.points[curve.points.length - 1][0]), ...ends.map((end) => end.x)) || 1;
  const [yLow, yHigh] = yRange(drawn, levels, ends, options.isWhole);
  const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
  const x = (value) => MARGIN.left + (value / xHigh) * inner.width;
  const y = (value) => MARGIN.top + ((yHigh - value) / (yHigh - yLow)) * inner.height;
  const scale = { x, y, xHigh, width, height, inner };
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": options.label });
  const clipped = `plot-${box.id}`;
  const clip = svg("clipPath", { id: clipped }, svg("rect", { x: MARGIN.left, y: MARGIN.top, ...inner }));
  root.append(svg("defs", {}, clip), axes(scale, yLow, yHigh, options));
  const plot = svg("g", { "clip-path": `url(#${clipped})` });
  for (const level of levels) plot.append(levelLine(level, scale));
  for (const curve of drawn) plot.append(curveLine(curve, scale));
  root.append(plot, ...ends.map((end) => endMark(end, scale)), ...marks.map((mark) => incidentMark(mark, scale)));
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

// A dot in its interval.
function endMark({ tone, x: at, value, low, high }, { x, y }) {
  const place = x(at) - 5;
  const bar = svg("path", { d: `M${place} ${y(low)}V${y(high)}M${place - 4} ${y(low)}h8M${place - 4} ${y(high)}h8`, class: "interval" });
  const dot = svg("circle", { cx: place, cy: y(value), r: 3.5, class: "dot" });
  return svg("g", { class: `end tone-${tone}` }, bar, ...(Number.isFinite(value) ? [dot] : []));
}

function incidentMark({ tone, x: at, kind, text }, { x }) {
  const place = x(at);
  const shape = kind === "rollback" ? `M${place + 5} ${MARGIN.top}h-10l5 -5z` : `M${place - 4} ${MARGIN.top - 6}l8 8m0 -8l-8 8`;
  return svg("path", { d: shape, class: `incident ${kind} tone-${tone}` }, svg("title", {}, text));
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
