// Elements, icons and hatches. Text goes in as text nodes only; nothing here takes markup.

export const $ = (query, root = document) => root.querySelector(query);
export const $$ = (query, root = document) => [...root.querySelectorAll(query)];

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    if (name === 'text') element.textContent = value;
    else if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(3).filter(child => child != null && child !== false));
  return element;
}

export const h = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
export const s = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

export const svg = (width, height, attributes, ...children) => s('svg', {
  width, height, viewBox: `0 0 ${width} ${height}`,
  ...(attributes['aria-label'] ? { role: 'img' } : { 'aria-hidden': 'true' }), ...attributes,
}, ...children);

// Children are replaced only when something is to be seen of it.
export function put(element, ...children) {
  element.replaceChildren(...children.flat(3).filter(child => child != null && child !== false));
  return element;
}
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const DOWN = 'M8 4.4v6.4M5.2 8.2 8 11l2.8-2.8';
const UP = 'M8 11.6V5.2M5.2 7.8 8 5l2.8 2.8';
const BANG = 'M8 4.7v4M8 10.9v.4';
const line = (d, colour = 'currentColor') => s('path', {
  d, fill: 'none', stroke: colour, 'stroke-width': 1.5, 'stroke-linecap': 'round', 'stroke-linejoin': 'round',
});
const ring = (radius, colour, more = {}) => s('circle', {
  cx: 8, cy: 8, r: radius, fill: 'none', stroke: colour, 'stroke-width': 1.5, ...more,
});

const ICONS = {
  spike: () => [s('circle', { cx: 8, cy: 8, r: 7, fill: 'var(--neg)' }), line(DOWN, 'var(--on-neg)')],
  spikeline: () => [ring(6.25, 'currentColor'), line(DOWN)],
  low: () => [ring(6.25, 'var(--neg)'), line(DOWN, 'var(--neg)')],
  good: () => [ring(6.25, 'var(--pos)'), line(UP, 'var(--pos)')],
  data: () => [ring(6.25, 'var(--text-2)', { 'stroke-dasharray': '2.6 2.3' }), line(BANG, 'var(--text-2)')],
  copies: () => [
    s('rect', { x: 1.75, y: 4.75, width: 9.5, height: 9.5, rx: 2, fill: 'none', stroke: 'var(--text-2)', 'stroke-width': 1.5 }),
    line('M5.2 1.75h7.05a2 2 0 0 1 2 2v7.05', 'var(--text-2)'),
  ],
  usual: () => [s('circle', { cx: 8, cy: 8, r: 2.25, fill: 'var(--text-3)' })],
  few: () => [ring(3.5, 'var(--text-3)', { 'stroke-width': 1.25, 'stroke-dasharray': '1.6 1.7' })],
  none: () => [s('path', { d: 'M5 8h6', stroke: 'var(--text-3)', 'stroke-width': 1.5 })],
  check: () => [s('circle', { cx: 8, cy: 8, r: 7, fill: 'var(--usual)' }), line('M5 8.3 7.1 10.4 11 6')],
  warn: () => [ring(6.25, 'currentColor', { 'stroke-dasharray': '2.6 2.3' }), line(BANG)],
  pause: () => [line('M5.5 3.5v9M10.5 3.5v9')],
  search: () => [s('circle', { cx: 7, cy: 7, r: 4.25, fill: 'none', stroke: 'currentColor', 'stroke-width': 1.5 }), line('m10.3 10.3 3.2 3.2')],
  alerts: () => [line('M8 2.2a4 4 0 0 0-4 4v2.6L2.8 11h10.4L12 8.8V6.2a4 4 0 0 0-4-4zM6.5 13.3a1.6 1.6 0 0 0 3 0')],
  overview: () => [line('M2.5 4h11M2.5 8h11M2.5 12h11')],
  pipeline: () => [line('M1.5 8.5h3l2-5 3 9 2-4h3')],
  zone: () => [ring(6, 'currentColor', { 'stroke-width': 1.25 }), line('M8 4.6V8l2.3 1.6')],
};

export const icon = (name, size = 16, label = null) =>
  svg(size, size, { viewBox: '0 0 16 16', 'aria-label': label }, ICONS[name]());

// The hatch that uncertain and provisional marks are filled with; once a page.
export const hatch = () => svg(0, 0, { class: 'vh' }, s('defs', {},
  s('pattern', { id: 'hatch', width: 4, height: 4, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
    s('line', { class: 'hatch-line', x1: 1, y1: 0, x2: 1, y2: 4, 'stroke-width': 1.4 }))));

export const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const pill = (kind, mark, text) => h('span', { class: `pill ${kind}` }, icon(mark, 14), text);
export const narrow = () => matchMedia('(max-width: 48rem)').matches;
