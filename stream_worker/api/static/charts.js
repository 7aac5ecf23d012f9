// Charts: uPlot draws axes, lines, bands and the cursor; bars, flags and the episode in its hooks.

import { css, h } from './dom.js';
import { hm, pts } from './format.js';

const MINUTE = 60;
const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif';
const ghost = { stroke: 'transparent', width: 0, points: { show: false } };
const alpha = (hex, share) => hex + Math.round(share * 255).toString(16).padStart(2, '0');
const ratio = () => devicePixelRatio;
let loading = null;

// uPlot comes only where a chart is.
export function library() {
  loading ??= new Promise((done, failed) => {
    document.head.append(h('link', { rel: 'stylesheet', href: '/page/vendor/uPlot.min.css' }));
    document.head.append(h('script', { src: '/page/vendor/uPlot.iife.min.js', onload: done, onerror: () => failed(new Error('the charts could not be loaded')) }));
  });
  return loading;
}

// A chart in an element; `build(width)` gives {data, opts}. Returns {draw, remove}.
export function chart(element, build) {
  let plot = null;
  const draw = () => {
    const cursor = plot?.cursor?.idx;
    plot?.destroy();
    const { data, opts } = build(element.clientWidth);
    plot = new uPlot(opts, data, element);
    return cursor;
  };
  const sized = new ResizeObserver(() => {
    if (plot && element.clientWidth && plot.width !== element.clientWidth) draw();
  });
  sized.observe(element);
  const scheme = matchMedia('(prefers-color-scheme: dark)');
  scheme.addEventListener('change', draw);
  return { draw, get plot() { return plot; }, remove() { sized.disconnect(); scheme.removeEventListener('change', draw); plot?.destroy(); } };
}

const xAxis = () => ({
  stroke: css('--text-3'), font: FONT, size: 22, gap: 3, space: 70, incrs: [300, 600, 900, 1800, 3600, 7200, 14400, 21600],
  grid: { show: false }, ticks: { stroke: css('--line-2'), width: 1, size: 4 }, values: (_, splits) => splits.map(at => hm(at * 1000)),
});
const yAxis = (splits, value) => ({
  stroke: css('--text-3'), font: FONT, size: 40, gap: 6, grid: { stroke: css('--line'), width: 1 }, ticks: { show: false },
  splits: () => splits, values: (_, all) => all.map(value),
});
const frame = (width, height, top, more) => ({
  width, height, padding: [top, 18, 0, 0], legend: { show: false },
  cursor: { y: false, points: { show: false }, sync: { key: 'minute' }, drag: { x: false, y: false } }, ...more,
});

// ---- what stands behind and over the lines ----

function rule(plot, at, colour, dash = []) {
  const { ctx, bbox } = plot, x = Math.round(plot.valToPos(at, 'x', true)) + .5;
  if (x < bbox.left || x > bbox.left + bbox.width) return null;
  ctx.save();
  ctx.strokeStyle = colour; ctx.lineWidth = ratio(); ctx.setLineDash(dash.map(it => it * ratio()));
  ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
  ctx.restore();
  return x;
}

function tint(plot, episodes) {
  const { ctx, bbox } = plot, right = bbox.left + bbox.width;
  for (const { from, to } of episodes) {
    const x0 = Math.max(bbox.left, plot.valToPos(from, 'x', true)), x1 = Math.min(right, to == null ? right : plot.valToPos(to, 'x', true));
    if (x1 <= x0) continue;
    ctx.save(); ctx.fillStyle = alpha(css('--neg'), .07); ctx.fillRect(x0, bbox.top, x1 - x0, bbox.height); ctx.restore();
  }
}

function flags(plot, list, heads) {
  const { ctx, bbox } = plot, d = ratio();
  for (const { n, at, kind } of list) {
    const spike = kind === 'n', x = rule(plot, at, spike ? css('--neg') : css('--text-3'));
    if (x == null || !heads) continue;
    const y = bbox.top - 9 * d;
    ctx.save();
    ctx.font = `600 ${10 * d}px system-ui`; ctx.textAlign = 'center'; ctx.textBaseline = 'middle';
    ctx.beginPath(); ctx.arc(x, y, 8 * d, 0, 7); ctx.fillStyle = spike ? css('--neg') : css('--text'); ctx.fill();
    ctx.fillStyle = spike ? css('--on-neg') : css('--bg'); ctx.fillText(n, x, y + .5 * d);
    ctx.restore();
  }
}

function label(plot, text, x, y, { dx = 0, dy = 0, align = 'left', halo = false } = {}) {
  const { ctx } = plot, d = ratio();
  ctx.save();
  ctx.font = `${11 * d}px system-ui`; ctx.fillStyle = css('--text-3'); ctx.textAlign = align; ctx.textBaseline = 'middle';
  if (halo) { ctx.lineWidth = 4 * d; ctx.lineJoin = 'round'; ctx.strokeStyle = css('--bg'); ctx.strokeText(text, x + dx * d, y + dy * d); }
  ctx.fillText(text, x + dx * d, y + dy * d);
  ctx.restore();
}

function hatched(ctx) {
  const size = Math.round(5 * ratio()), tile = document.createElement('canvas');
  tile.width = tile.height = size;
  const pen = tile.getContext('2d');
  pen.strokeStyle = css('--text-3'); pen.lineWidth = 1.1 * ratio();
  pen.beginPath();
  for (const shift of [-size, 0, size]) { pen.moveTo(shift, size); pen.lineTo(shift + size, 0); }
  pen.stroke();
  return ctx.createPattern(tile, 'repeat');
}

// Stacked bars, one a minute; half strength while a minute may still change, a ring where it was corrected.
function bars(plot, layers, { open, corrected }) {
  const { ctx, bbox } = plot, d = ratio(), xs = plot.data[0], hatch = hatched(ctx);
  ctx.save(); ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height + d); ctx.clip();
  xs.forEach((at, i) => {
    const x0 = Math.round(plot.valToPos(at, 'x', true)), x1 = Math.round(plot.valToPos(at + MINUTE, 'x', true));
    const gap = x1 - x0 > 3 * d ? Math.max(1, Math.round(d)) : 0, width = Math.max(1, x1 - x0 - gap);
    let sum = 0;
    ctx.globalAlpha = at >= open ? .5 : 1;
    for (const [values, fill] of layers) {
      const low = plot.valToPos(sum, 'y', true);
      sum += values[i] ?? 0;
      const top = Math.round(plot.valToPos(sum, 'y', true)), height = Math.round(low) - top;
      if (height <= 0) continue;
      if (fill === 'hollow') { ctx.strokeStyle = css('--text-3'); ctx.lineWidth = d; ctx.strokeRect(x0 + d / 2, top + d / 2, width - d, height - d); }
      else { ctx.fillStyle = fill === 'hatch' ? hatch : fill; ctx.fillRect(x0, top, width, height); }
    }
    ctx.globalAlpha = 1;
    if (corrected.size * 3 < xs.length && corrected.has(at)) {  // where all are, rings say nothing
      ctx.beginPath(); ctx.arc(x0 + width / 2, plot.valToPos(sum, 'y', true) - 7 * d, 2.5 * d, 0, 7);
      ctx.lineWidth = 1.25 * d; ctx.strokeStyle = css('--text-2'); ctx.stroke();
    }
  });
  ctx.restore();
  rule(plot, open, css('--text-3'), [2, 2]);
}

function splits(max) {
  const step = [1, 2, 5, 10, 20, 25, 30, 50, 60, 100, 200, 250, 500, 1000, 2000, 5000, 10000, 20000, 50000].find(it => it * 4 >= max) ?? max / 4;
  return [0, 1, 2, 3, 4].map(n => n * step);
}

// ---- the three charts. `of` = {t, open, end, episodes, flags, read} and the series of each ----

export function netChart(element, of) {
  return chart(element, width => {
    const all = of(), { t, net, low, high, dots, usual } = all, hot = usual ? high.map((value, i) => value != null && value < usual.net_low * 100 && all.episodes.some(it => t[i] >= it.from && (it.to == null || t[i] <= it.to))) : [];
    let first = hot.indexOf(true);
    while (first > 0 && high[first - 1] != null && high[first - 1] < usual.net_low * 100) first--;
    const only = (values, fits) => values.map((value, i) => fits(i) ? value : null);
    const calm = i => first < 0 || i <= first, warm = i => first >= 0 && i >= first;
    const level = share => t.map(() => usual ? share * 100 : null);
    const edge = { stroke: css('--line-2'), width: 1, points: { show: false } };
    return {
      data: [t, level(usual?.net_high), level(usual?.net_low), only(high, calm), only(low, calm), only(high, warm), only(low, warm), only(net, calm), only(net, warm), dots],
      opts: frame(width, 232, 20, {
        scales: { x: { time: false, range: () => [t[0] ?? 0, all.end] }, y: { range: () => [-100, 100] } },
        axes: [{ ...xAxis(), size: 6, values: () => [], ticks: { show: false } }, yAxis([-100, -50, 0, 50, 100], value => pts(value / 100))],
        series: [{}, edge, edge, ghost, ghost, ghost, ghost,
          { stroke: css('--text-2'), width: 1.75, points: { show: false } }, { stroke: css('--neg'), width: 2.25, points: { show: false } },
          { stroke: 'transparent', width: 0, points: { show: true, size: 3, width: 0, fill: alpha(css('--text-3'), .55), stroke: 'transparent' } }],
        bands: [{ series: [1, 2], fill: css('--usual') }, { series: [3, 4], fill: alpha(css('--text-2'), .16) }, { series: [5, 6], fill: alpha(css('--neg'), .24) }],
        hooks: {
          drawClear: [plot => tint(plot, all.episodes)],
          drawAxes: [plot => {
            const { ctx, bbox } = plot, y = Math.round(plot.valToPos(0, 'y', true)) + .5;
            ctx.save(); ctx.strokeStyle = css('--line-2'); ctx.lineWidth = ratio();
            ctx.beginPath(); ctx.moveTo(bbox.left, y); ctx.lineTo(bbox.left + bbox.width, y); ctx.stroke(); ctx.restore();
          }],
          draw: [plot => {
            flags(plot, all.flags, true);
            rule(plot, all.open, css('--text-3'), [2, 2]);
            if (usual) label(plot, `usual ${pts(usual.net_low)} to ${pts(usual.net_high)}`, plot.bbox.left + plot.bbox.width - 8 * ratio(), plot.valToPos(Math.min(90, usual.net_high * 100 + 24), 'y', true), { align: 'right' });
          }],
          setCursor: [plot => all.read('net', plot.cursor.idx)],
        },
      }),
    };
  });
}

export function volumeChart(element, of) {
  return chart(element, width => {
    const all = of(), { t, mentions, layers, usualMinute } = all, scale = splits(Math.max(4, ...mentions, usualMinute ?? 0));
    const fills = [css('--neg'), css('--neu-soft'), css('--pos'), 'hatch', 'hollow'];
    return {
      data: [t, mentions, t.map(() => usualMinute)],
      opts: frame(width, 190, 8, {
        scales: { x: { time: false, range: () => [t[0] ?? 0, all.end] }, y: { range: () => [0, scale.at(-1)] } },
        axes: [xAxis(), yAxis(scale, value => value)],
        series: [{}, ghost, { stroke: css('--text'), width: 1, dash: [3, 4], points: { show: false } }],
        hooks: {
          drawClear: [plot => tint(plot, all.episodes)],
          drawSeries: [(plot, i) => { if (i === 1) bars(plot, layers.map((values, n) => [values, fills[n]]), all); }],
          draw: [plot => {
            flags(plot, all.flags, false);
            const { bbox } = plot;
            if (usualMinute != null) label(plot, `usual ${usualMinute < 10 ? usualMinute.toFixed(1) : Math.round(usualMinute)} a minute`, bbox.left + 6 * ratio(), plot.valToPos(usualMinute, 'y', true), { dy: -10, halo: true });
            label(plot, 'may still change', Math.min(plot.valToPos(all.open, 'x', true), bbox.left + bbox.width), bbox.top, { dy: 8, dx: -6, align: 'right', halo: true });
          }],
          setCursor: [plot => all.read('volume', plot.cursor.idx)],
        },
      }),
    };
  });
}

export function negativeChart(element, of) {
  return chart(element, width => {
    const all = of(), { t, expected, usualPart, more } = all, scale = splits(Math.max(4, ...usualPart.map((value, i) => value + more[i])));
    return {
      data: [t, usualPart, expected],
      opts: frame(width, 190, 20, {
        scales: { x: { time: false, range: () => [t[0] ?? 0, all.end] }, y: { range: () => [0, scale.at(-1)] } },
        axes: [xAxis(), yAxis(scale, value => value)],
        series: [{}, ghost, { stroke: css('--text'), width: 1.25, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) }],
        hooks: {
          drawClear: [plot => tint(plot, all.episodes)],
          drawSeries: [(plot, i) => { if (i === 1) bars(plot, [[usualPart, css('--neu-soft')], [more, css('--neg')]], all); }],
          draw: [plot => flags(plot, all.flags, true)],
          setCursor: [plot => all.read('negative', plot.cursor.idx)],
        },
      }),
    };
  });
}
