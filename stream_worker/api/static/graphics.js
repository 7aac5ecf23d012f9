// Small graphics: net sentiment on its scale, the last hour, the five parts, the minutes of the bar.

import { s, svg } from './dom.js';
import { holds, int, ms, pct, pts } from './format.js';

export const KINDS = { negative: 'neg', neutral: 'neu', positive: 'pos', uncertain: 'unc', unscored: 'uns' };
const MINUTE = 60e3;
const PAD = 18;

const placed = (value, width) => PAD + (value + 1) / 2 * (width - 2 * PAD);

export const tooFew = row => row.net_estimate == null || row.net_margin > .3;

// 'neg', 'pos' or '': outside the usual range with its whole margin.
export function side(row) {
  if (tooFew(row) || row.state === 'copies' || row.usual?.net_low == null) return '';
  return row.net_high < row.usual.net_low ? 'neg' : row.net_low > row.usual.net_high ? 'pos' : '';
}

export function forest(row, width, height = 44) {
  const x = value => placed(value, width), y = height / 2;
  const axes = [-1, -.5, .5, 1].map(v => s('line', { class: 'ax', x1: x(v), x2: x(v), y1: 0, y2: height }));
  const zero = s('line', { class: 'zero', x1: x(0), x2: x(0), y1: 0, y2: height });
  if (row.net_estimate == null) return svg(width, height, { 'aria-label': 'No mentions' }, axes, zero);
  const usual = row.usual?.net_low != null ? row.usual : null;
  const few = tooFew(row), out = few ? 'few' : side(row);
  const label = `Net sentiment ${pts(row.net_estimate)}, between ${pts(row.net_low)} and ${pts(row.net_high)} (${holds(row)})`
    + (usual ? `; usual ${pts(usual.net_low)} to ${pts(usual.net_high)}` : '; what is usual is not known yet');
  const lead = out === 'neg' ? [row.net_high, usual.net_low] : out === 'pos' ? [usual.net_high, row.net_low] : null;
  return svg(width, height, { 'aria-label': label, class: out ? `u-${out}` : null }, axes, zero,
    usual && s('rect', { class: 'usual', x: x(usual.net_low), width: Math.max(2, x(usual.net_high) - x(usual.net_low)), y: y - 8, height: 16, rx: 2 }),
    lead && s('line', { class: 'lead', x1: x(lead[0]), x2: x(lead[1]), y1: y, y2: y }),
    s('path', { class: 'whisk', d: `M${x(row.net_low)} ${y}H${x(row.net_high)}` }),
    s('circle', { class: 'pt', cx: x(row.net_estimate), cy: y, r: out && !few ? 4.5 : 3.5 }));
}

export const forestHead = width => svg(width, 16, {}, [-1, -.5, 0, .5, 1].map(value =>
  s('text', { class: 'tick', x: placed(value, width), y: 12, 'text-anchor': 'middle', text: pts(value) })));

export function spark(row, bars, finalTo) {
  const width = bars * 3, height = 30, strip = row.last_hour;
  if (!strip) return svg(width, height, {});
  const from = Math.max(0, strip.mentions.length - bars), start = ms(strip.start) + from * MINUTE;
  const all = strip.mentions.slice(from), negative = strip.negative.slice(from);
  const max = Math.max(4, ...all), y = value => Math.round(value / max * (height - 2));
  const paths = { all: '', neg: '', provAll: '', provNeg: '' };
  all.forEach((count, i) => {
    const top = y(count), bottom = Math.min(top, y(negative[i])), open = start + i * MINUTE >= finalTo;
    const bar = (at, size) => size > 0 ? `M${i * 3} ${height - at}h2v${size}h-2z` : '';
    paths[open ? 'provAll' : 'all'] += bar(top, top - bottom);
    paths[open ? 'provNeg' : 'neg'] += bar(bottom, bottom);
  });
  const minutes = { '5m': 5, '15m': 15, '1h': 60 }[row.window];
  const usual = row.usual && minutes ? row.usual.mentions / minutes : null;
  const since = row.since ? (ms(row.since) - start) / MINUTE * 3 - .5 : -1;
  const level = usual == null ? null : height - y(Math.min(usual, max)) - .5;
  const hot = row.state === 'spike' || row.state === 'low';
  const label = `Mentions per minute for ${bars} minutes, last whole one ${int(all.at(-2) ?? 0)}`
    + (usual == null ? '' : `, usual ${usual < 1 ? 'less than one' : int(usual)}`);
  return svg(width, height, { class: hot ? null : 'sp-calm', 'shape-rendering': 'crispEdges', 'aria-label': label },
    s('path', { class: 'sp-all', d: paths.all }), s('path', { class: 'sp-neg', d: paths.neg }),
    s('g', { opacity: .45 }, s('path', { class: 'sp-all', d: paths.provAll }), s('path', { class: 'sp-neg', d: paths.provNeg })),
    level != null && s('line', { class: 'sp-usual', x1: 0, x2: width, y1: level, y2: level }),
    since > 0 && s('line', { class: 'sp-start', x1: since, x2: since, y1: 0, y2: height }));
}

export function sparkHead(bars, end, hm) {
  const width = bars * 3, marks = [[0, hm(end - bars * MINUTE), 'start'], [width, 'now', 'end']];
  for (let at = Math.floor(end / 1800e3) * 1800e3, x; (x = width - (end - at) / MINUTE * 3) > 50; at -= 1800e3) {
    if (x < width - 45) { marks.push([x, hm(at), 'middle']); break; }
  }
  return svg(width, 16, {}, marks.map(([at, text, anchor]) => s('text', { class: 'tick', x: at, y: 12, 'text-anchor': anchor, text })));
}

export function split(row, width = 92, height = 10) {
  const n = row.mentions || 1;
  let x = 0;
  const label = Object.keys(KINDS).map(kind => `${pct(row[kind] / n)} ${kind}`).join(', ');
  return svg(width, height, { 'aria-label': label }, Object.entries(KINDS).map(([kind, short]) => {
    const part = row[kind] / n * width, hollow = short === 'uns';
    if (part < .4) return null;
    const rect = s('rect', {
      class: `f-${short}`, x: x + (hollow ? .5 : 0), y: hollow ? .5 : 0,
      width: Math.max(.6, part - 1 - (hollow ? .5 : 0)), height: hollow ? height - 1 : height,
    });
    x += part;
    return rect;
  }));
}

// The minutes of the freshness bar: final, corrected, provisional, filling.
export function ruler(states, width = 9) {
  const height = 12, step = width + 2;
  const box = (x, more) => s('rect', { x: x + .5, y: .5, width: width - 1, height: height - 1, ...more });
  return svg(states.length * step - 2, height, { class: 'ruler' }, states.flatMap((state, i) => {
    const x = i * step, solid = s('rect', { class: 'm', x, y: 0, width, height });
    if (state === 'final') return [solid];
    if (state === 'corrected') return [solid, s('circle', { class: 'm-rev', cx: x + width / 2, cy: height / 2, r: 2 })];
    if (state === 'provisional') return [box(x, { fill: 'url(#hatch)' }), box(x, { class: 'm-prov' })];
    return [s('rect', { class: 'm-part', x: x + .5, y: height - 2.5, width: width - 1, height: 2 }), box(x, { class: 'm-fill', 'stroke-dasharray': '2 2' })];
  }));
}

export const swatch = short => svg(12, 12, {}, s('rect', {
  class: `f-${short}`, x: short === 'uns' ? .5 : 0, y: short === 'uns' ? .5 : 0,
  width: short === 'uns' ? 11 : 12, height: short === 'uns' ? 11 : 12,
}));

export const bullet = (value, usual, width = 84, max = .8, negative = true) =>
  svg(width, 12, { 'aria-label': `${pct(value)}${usual == null ? '' : `, usual ${pct(usual)}`}` },
    s('rect', { class: 'bar-bg', width, height: 12, rx: 1.5 }),
    s('rect', { class: negative ? 'f-neg' : 'bar-fg', y: 3, width: Math.min(1, value / max) * width, height: 6 }),
    usual != null && s('line', { class: 'bar-mark', x1: usual / max * width, x2: usual / max * width, y1: 0, y2: 12 }));
