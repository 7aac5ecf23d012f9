// Overview: the table of brands, the most unusual first, and the open alert beside it.

import { $, $$, h, icon, narrow, put, say, svg, s } from './dom.js';
import { connect, known, now } from './feed.js';
import { against, alertPath, brandPath, hm, holds, int, lasted, ms, pct, plural, PM, pts, when, WINDOWS } from './format.js';
import { forest, forestHead, side, spark, sparkHead, split, swatch, tooFew } from './graphics.js';
import { openAlerts, opened, reason, sentence, STATE, UNUSUAL, why } from './words.js';

const PER_FRAME = 8;
const SHOW = {
  all: ['All', () => true],
  spike: ['Spike', row => row.state === 'spike'],
  watch: ['Watch', row => row.state === 'low'],
  data: ['Data problem', row => row.state === 'data'],
  other: ['Other', row => row.state === 'copies' || row.state === 'good'],
  usual: ['As usual', row => !UNUSUAL.has(row.state)],
};
let rows = new Map(), order = [], sortedAt = null, waiting = new Set(), query, setQuery;

export function start(main, { params, setParam }) {
  query = params; setQuery = setParam;
  rows = new Map(); order = []; sortedAt = null;
  put(main, h('div', { class: 'split' },
    h('div', {},
      h('div', { class: 'headline' }, h('div', {}, h('h1', {}, '\u00a0'), h('p', { id: 'rest' }, '\u00a0'))),
      h('div', { class: 'tools only-wide' }, h('div', { class: 'chips', role: 'group', 'aria-label': 'Show' }), windows()),
      h('p', { id: 'resort', hidden: true }, h('button', { class: 'btn', type: 'button', onclick: () => sort(true) }, 'Order changed, sort')),
      table(), legend()),
    h('aside', { class: 'rail', 'aria-label': 'Alerts' }, h('div', { id: 'open' }), h('section', { class: 'sec', id: 'past', hidden: true }))));
  addEventListener('resize', resized);
}

function windows() {
  return h('span', { class: 'tools', id: 'view' }, h('fieldset', { class: 'seg', 'aria-label': 'Window' },
    Object.entries(WINDOWS).map(([window, text]) => h('label', {},
      h('input', { type: 'radio', name: 'window', value: window, checked: window === known.window, onchange: () => choose(window) }),
      h('span', {}, text)))));
}

export function choose(window) {
  setQuery('window', window === '15m' ? null : window);
  $$('input[name=window]').forEach(input => { input.checked = input.value === window; });
  connect(window);
}

const head = (cls, ...children) => h('th', { scope: 'col', class: cls }, ...children);
function table() {
  return h('table', { class: 'brands' },
    h('caption', { class: 'vh' }, 'Brands, the most unusual first'),
    h('thead', {}, h('tr', {}, head('c-name', 'Brand'), head('plot c-forest-head', h('span', { class: 'vh' }, 'Net sentiment on its scale')),
      head('right c-net', 'Net sentiment'), head('right c-neg', 'Negative'), head('c-split', 'Split'), head('right c-vol', 'Mentions'),
      head('right c-voice', 'Voices'), head('plot c-spark-head', h('span', { class: 'vh' }, 'Mentions per minute, last hour')))),
    h('tbody', { class: 'skeleton' }, Array.from({ length: 6 }, () => h('tr', { class: 'row' },
      h('th', { class: 'c-name' }, h('span', { class: 'skel long' })), h('td', { colspan: 7 })))));
}

function legend() {
  const key = items => h('div', { class: 'legend' }, items.map(([mark, text]) => h('span', {}, mark, text)));
  return h('div', { class: 'brands-legend' },
    key([
      [svg(34, 12, {}, s('rect', { class: 'usual', x: 3, width: 28, height: 12, rx: 2 }), s('path', { class: 'whisk', d: 'M9 6h20' }), s('circle', { class: 'pt', cx: 19, cy: 6, r: 3.5 })), h('span', {}, 'net sentiment with its margin', h('span', { id: 'holds' }), '; box: usual')],
      [svg(20, 12, {}, s('line', { class: 'sp-usual', x1: 0, x2: 20, y1: 6, y2: 6 })), 'usual mentions; each row has its own height'],
    ]),
    key([[swatch('neg'), 'negative'], [swatch('neu'), 'neutral'], [swatch('pos'), 'positive'], [swatch('unc'), 'uncertain'], [swatch('uns'), 'unscored']]));
}

// ---- rows ----

function rowOf(brand) {
  const part = {
    mark: h('span', {}), name: h('a', { href: brandPath(brand), dir: 'auto', title: brand }, brand), why: h('span', { class: 'why' }),
    forest: h('td', { class: 'plot c-forest' }), net: h('td', { class: 'right c-net' }), neg: h('td', { class: 'right c-neg' }),
    split: h('td', { class: 'c-split' }), vol: h('td', { class: 'right c-vol' }), voice: h('td', { class: 'right c-voice' }),
    spark: h('td', { class: 'plot c-spark' }),
  };
  const name = h('th', { scope: 'row', class: 'c-name' }, h('span', { class: 'name' }, part.mark, h('span', {}, part.name, part.why)));
  const tr = h('tr', { class: 'row', onclick: event => { if (!event.target.closest('a')) part.name.click(); } },
    name, part.forest, part.net, part.neg, part.split, part.vol, part.voice, part.spark);
  return { tr, part };
}

const two = (above, below, more) => [h('span', { class: 'two' }, above, more), h('span', { class: 'under' }, below)];

function update(row) {
  if (!rows.has(row.brand)) rows.set(row.brand, rowOf(row.brand));
  const { tr, part } = rows.get(row.brand), out = side(row), few = tooFew(row), usual = row.usual;
  tr.className = ['row', row.state === 'spike' ? 'spike' : '', UNUSUAL.has(row.state) ? 'hot' : ''].filter(Boolean).join(' ');
  put(part.mark, icon(row.state, 16, STATE[row.state]));
  say(part.why, why(row));
  put(part.forest, forest(row, forestWidth()));
  part.net.className = `right c-net${out ? ` is-${out}` : ''}`;
  const middle = usual?.net != null ? `usual ${pts(usual.net)}` : '\u00a0';
  put(part.net, few ? two(h('span', { class: 'quiet' }, row.mentions ? 'too few' : '–'), plural(row.mentions, 'mention'))
    : two(h('span', { class: out ? 'strong' : null }, pts(row.net_estimate)), middle, h('span', { class: 'pm' }, ` ${PM}${Math.round(row.net_margin * 100)}`)));
  const share = usual?.negative_share != null ? `usual ${pct(usual.negative_share)}` : '\u00a0';
  put(part.neg, few ? two('–', '\u00a0') : two(h('span', { class: out === 'neg' ? 'strong' : null }, pct(row.negative_share)), share));
  put(part.split, split(row));
  const ratio = usual?.mentions ? row.mentions / usual.mentions : 1;
  put(part.vol, two(h('span', { class: ratio > 2 || ratio < .5 ? 'strong' : null }, int(row.mentions)), usual ? against(row.mentions, usual.mentions) : '\u00a0'));
  put(part.voice, two(int(row.voices), row.mentions ? `${pct(row.copies / row.mentions)} copies` : '\u00a0'));
  put(part.spark, spark(row, narrow() ? 28 : 60, ms(row.final_to)));
}

const forestWidth = () => Math.max(140, Math.min(360, $('.c-forest-head')?.clientWidth || 240));

// ---- order: it changes when a minute closes, and never under the reader ----

function sort(asked = false) {
  const body = $('.brands tbody');
  if (!body) return;
  const busy = body.matches(':hover') || body.contains(document.activeElement);
  $('#resort').hidden = true;
  if (busy && !asked && order.length) {
    if (wanted().join('\n') !== order.join('\n')) $('#resort').hidden = false;
    return;
  }
  order = wanted();
  sortedAt = known.freshness?.final_to;
  layOut();
}

const wanted = () => [...known.rows.values()].sort(byUnusual).map(row => row.brand);
const RANK = { spike: 0, low: 1, data: 2, copies: 3, good: 4 };
function byUnusual(a, b) {
  const far = row => UNUSUAL.has(row.state) && row.usual?.net != null ? Math.round(Math.abs(row.net_estimate - row.usual.net) * 10) : 0;
  return (RANK[a.state] ?? 5) - (RANK[b.state] ?? 5) || far(b) - far(a) || b.mentions - a.mentions || (a.brand < b.brand ? -1 : 1);
}

function layOut() {
  const body = $('.brands tbody'), find = (query.get('find') ?? '').toLowerCase();
  const [, fits] = SHOW[query.get('show')] ?? SHOW.all;
  const shown = order.map(brand => known.rows.get(brand)).filter(row => row && fits(row) && row.brand.toLowerCase().includes(find));
  const groups = [['Unusual now', shown.filter(row => UNUSUAL.has(row.state))], ['As usual', shown.filter(row => !UNUSUAL.has(row.state))]];
  const columns = $$('.brands thead th').filter(th => th.offsetWidth).length || 1;
  const lines = groups.flatMap(([name, of]) => of.length ? [
    h('tr', { class: 'group' }, h('th', { colspan: columns, scope: 'rowgroup' }, `${name} (${of.length})`)),
    ...of.map(row => { if (!rows.has(row.brand)) update(row); return rows.get(row.brand).tr; })] : []);
  if (!lines.length) {
    const text = known.rows.size ? 'No brand fits what you chose.' : 'No brand has been mentioned yet.';
    lines.push(h('tr', {}, h('td', { class: 'quiet', colspan: columns }, text)));
  }
  body.className = '';
  body.replaceChildren(...lines);
}

// ---- what changes ----

export function draw(brands) {
  if (!known.freshness) return absent();
  if (brands.has('*')) {
    rows = new Map(); order = [];
    heads();
    for (const row of known.rows.values()) update(row);
    sort(true);
  } else {
    for (const brand of brands) if (known.rows.has(brand)) waiting.add(brand);
    frame();
    if (known.freshness.final_to !== sortedAt) { heads(); sort(); }
    else if ([...brands].some(brand => known.rows.has(brand) && !order.includes(brand))) sort();
  }
  const all = [...known.rows.values()], [one, rest] = sentence(all);
  say($('h1'), one);
  const judged = all.find(row => row.interval_holds === 'sampling') ?? all.find(row => row.interval_holds);
  say($('#holds'), judged ? ` (${holds(judged)})` : '');
  say($('#rest'), rest);
  chips(all);
  rail();
}

// Nothing has come since the page was opened: say so, rather than show an empty table.
function absent() {
  if (known.state === 'loading') return;
  say($('h1'), 'The numbers do not come.');
  say($('#rest'), known.state === 'stale' ? 'Redis does not answer. They will be here as soon as it does.' : 'The server does not answer. They will be here as soon as it does.');
}

function frame() {
  let left = PER_FRAME;
  for (const brand of waiting) {
    if (!left--) { requestAnimationFrame(frame); return; }
    waiting.delete(brand);
    update(known.rows.get(brand));
  }
}

function heads() {
  $$('.c-forest-head svg, .c-spark-head svg').forEach(it => it.remove());
  const newest = ms(known.freshness.newest ?? new Date(now()).toISOString()) + 60e3;
  $('.c-forest-head').append(forestHead(forestWidth()));
  $('.c-spark-head').append(sparkHead(60, newest, hm));
}

function chips(all) {
  const chosen = SHOW[query.get('show')] ? query.get('show') : 'all';
  const key = chosen + Object.values(SHOW).map(([, fits]) => all.filter(fits).length);
  const box = $('.chips');
  if (box.dataset.key === key) return;
  box.dataset.key = key;
  put(box, Object.entries(SHOW).map(([name, [text, fits]]) => h('button', {
    class: 'chip', type: 'button', 'aria-pressed': String(name === chosen),
    onclick: () => { setQuery('show', name === 'all' ? null : name); chips([...known.rows.values()]); layOut(); },
  }, text, ' ', h('i', {}, String(all.filter(fits).length)))));
}

function rail() {
  const open = openAlerts(), box = $('#open');
  const key = JSON.stringify([open.map(alert => [alert.id, alert.messages.length, known.rows.get(alert.brand)?.negative, known.rows.get(alert.brand)?.mentions]), known.window]);
  if (box.dataset.key !== key) {
    box.dataset.key = key;
    put(box, open.slice(0, 3).map(card));
  }
  const past = (known.alerts?.alerts ?? []).filter(alert => now() - ms(alert.opened) < 86400e3), list = $('#past');
  list.hidden = !known.alerts;
  const text = JSON.stringify(past.map(alert => [alert.id, alert.state]));
  if (list.dataset.key === text) return;
  list.dataset.key = text;
  put(list, h('header', {}, h('h2', {}, 'Last 24 hours'), h('span', { class: 'end' }, h('a', { href: '/alerts' }, 'All alerts'))),
    past.length ? h('ol', { class: 'events' }, past.slice(0, 8).map(alert => h('li', {}, h('time', {}, when(alert.opened)),
      h('span', {}, h('a', { href: alertPath(alert.id), dir: 'auto' }, alert.brand), ' ', h('span', { class: 'quiet' }, alert.ended ? lasted(alert.opened, alert.ended) : 'open')))))
      : h('p', { class: 'quiet' }, 'No alerts.'));
}

function card(alert) {
  const row = known.rows.get(alert.brand), usual = row?.usual?.negative_share;
  return h('section', { class: 'card spike' },
    h('span', { class: 'pill spike' }, icon('spikeline', 14), 'Negative spike'),
    h('h2', { dir: 'auto' }, opened(alert)),
    row && row.mentions ? h('p', {}, h('b', {}, int(row.negative)), ' of ', h('b', {}, int(row.mentions)), ` ${row.mentions === 1 ? 'mention' : 'mentions'} in ${WINDOWS[row.window]} ${row.mentions === 1 ? 'is' : 'are'} negative (${pct(row.negative_share)}).`,
      usual != null ? ` Usual: ${pct(usual)}.` : '') : null,
    reason(alert) ? h('p', { class: 'mid' }, 'As it was told: ', reason(alert)) : null,
    h('div', { class: 'tools' }, h('a', { class: 'btn solid', href: alertPath(alert.id) }, 'See the evidence'), h('a', { class: 'btn', href: brandPath(alert.brand) }, 'Numbers')));
}

let width = innerWidth;
function resized() {
  if (innerWidth === width || !$('.brands') || !known.freshness) return;
  width = innerWidth;
  heads();
  for (const row of known.rows.values()) update(row);
  layOut();
}
export const find = text => { setQuery('find', text || null); if ($('.brands') && known.freshness) layOut(); };
