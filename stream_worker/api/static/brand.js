// Brand: six numbers, net sentiment over mentions on one time axis, and its networks.

import { $, h, narrow, pill, put, say } from './dom.js';
import { ask, known, now } from './feed.js';
import { alertPath, brandPath, coverage, hm, holds, int, lasted, pct, plural, PM, pts, range, times, when, WINDOWS } from './format.js';
import { bullet, side, swatch, tooFew } from './graphics.js';
import { library, netChart, volumeChart } from './charts.js';
import { marks, minutesOf, series, SPANS } from './minutes.js';
import { networks, panel } from './panels.js';
import { ALERT, STATE, why } from './words.js';

const EVERY = 2000;
let brand, of, detail, shown, charts, query, setQuery, timer, failed;

export async function start(main, { params, setParam, name }) {
  [brand, of, detail, shown, charts, query, setQuery, failed] = [name, minutesOf(name), null, null, [], params, setParam, ''];
  put(main, frame());
  await Promise.all([load(span()), refresh()]);
  clearInterval(timer);
  timer = setInterval(() => { if (!known.paused && known.state === 'live' && !document.hidden) refresh(true); }, EVERY);
}

const usually = () => narrow() ? '1h' : '2h';
const span = () => SPANS[query.get('span')] ? query.get('span') : usually();
const sec = (id, name, more, ...children) => h('section', { class: 'sec', id }, h('header', {}, h('h2', {}, name), h('span', { class: 'end' }, more)), ...children);

function frame() {
  const keys = ['Net sentiment', 'Negative', 'Mentions', 'Voices', 'Share of all brands', 'Coverage'];
  const legend = [['neg', 'negative'], ['neu', 'neutral'], ['pos', 'positive'], ['unc', 'uncertain'], ['uns', 'unscored']];
  return [
    h('div', { class: 'headline' },
      h('div', {}, h('p', { class: 'crumb' }, h('a', { href: '/' }, 'Overview'), ' / Brand'),
        h('div', { class: 'tools' }, h('h1', { dir: 'auto' }, brand), h('span', { id: 'state' }))),
      h('div', { class: 'end' }, h('fieldset', { class: 'seg', 'aria-label': 'Span of the charts' }, Object.entries(SPANS).map(([value, text]) =>
        h('label', {}, h('input', { type: 'radio', name: 'span', value, checked: value === span(), onchange: () => { setQuery('span', value === usually() ? null : value); load(value); } }), h('span', {}, text)))))),
    h('dl', { class: 'keys' }, keys.map((name, i) => h('div', {}, h('dt', {}, i ? name : `${name}, ${WINDOWS[known.window]}`),
      h('dd', { class: 'v', id: `k${i}` }, h('span', { class: 'skel' })), h('dd', { class: 'c', id: `c${i}` }, '\u00a0')))),
    h('div', {},
      h('div', {},
        h('section', { 'aria-labelledby': 'h-net' },
          h('div', { class: 'chart-head' }, h('h2', { id: 'h-net' }, 'Net sentiment'), h('span', { class: 'quiet small' }, 'five minutes at a time, with its margin', h('span', { id: 'holds' }), '; dots are single minutes'), h('span', { class: 'end', id: 'read-net' })),
          h('ol', { class: 'flags' }), h('div', { class: 'chart tall', id: 'net', role: 'img', tabindex: 0 })),
        h('section', { 'aria-labelledby': 'h-vol' },
          h('div', { class: 'chart-head' }, h('h2', { id: 'h-vol' }, 'Mentions per minute'),
            h('div', { class: 'legend' }, legend.map(([mark, text]) => h('span', {}, swatch(mark), text))), h('span', { class: 'end', id: 'read-volume' })),
          h('div', { class: 'chart', id: 'volume', role: 'img', tabindex: 0 }),
          h('details', { class: 'tbl', id: 'table', ontoggle: asTable }, h('summary', {}, 'As a table'))),
        h('p', { class: 'quiet', id: 'trouble', hidden: true })),
      h('div', { class: 'cols-3 gap-5' }, sec('networks', 'Networks', ''), sec('speaking', 'Who is speaking', 'line: usual'), sec('past', 'Alerts of this brand', ''))),
  ];
}

async function load(wanted) {
  try {
    await Promise.all([of.load(wanted), library()]);
    trouble('');
    drawCharts();
  } catch (error) { trouble(error.status === 404 ? null : `The charts could not be loaded: ${error.message}.`, error); }
}

async function refresh(minutes = false) {
  try {
    const window = known.window === '24h' ? '24h' : known.window;
    detail = await ask(`/api/v1${brandPath(brand)}?window=${window}`);
    if (minutes && of.minutes.length) await of.refresh();
    if (of.minutes.length && globalThis.uPlot) drawCharts();
    if (failed) trouble('');
    drawNumbers();
  } catch (error) { trouble(error.status === 404 ? null : `The newest numbers could not be loaded: ${error.message}.`); }
}

function trouble(text) {
  failed = text;
  const line = $('#trouble');
  if (!line) return clearInterval(timer);
  if (text === null) {
    clearInterval(timer);
    put($('#main'), h('div', { class: 'headline' }, h('div', {}, h('p', { class: 'crumb' }, h('a', { href: '/' }, 'Overview'), ' / Brand'),
      h('h1', { dir: 'auto' }, brand), h('p', {}, 'Nobody has mentioned this brand since Redis began to count, or its name is written differently.'))));
    return;
  }
  line.hidden = !text;
  say(line, text ? `${text} Trying again.` : '');
}

// ---- numbers ----

function drawNumbers() {
  const row = detail.brand, usual = row.usual, few = tooFew(row), out = side(row);
  if (!$('#k0')) return;
  const spike = row.state === 'spike';
  put($('#state'), pill(spike ? 'spike' : 'line', spike ? 'spikeline' : row.state, why(row)), ' ', row.alert ? h('a', { href: alertPath(row.alert) }, 'See the evidence') : null);
  $('#k0').className = `v${out ? ` is-${out}` : ''}`;
  set(0, few ? 'too few' : [pts(row.net_estimate), h('small', { title: holds(row) }, PM + Math.round(row.net_margin * 100))],
    few ? plural(row.mentions, 'mention') : usual?.net_low != null ? `usual ${range(usual.net_low, usual.net_high)}` : 'usual not known yet');
  say($('#holds'), ` (${holds(row)})`);
  set(1, few ? '–' : pct(row.negative_share), usual?.negative_share != null ? `usual ${pct(usual.negative_share)}${few ? '' : `, now ${times(row.negative_share, usual.negative_share)}`}` : plural(row.negative, 'mention'));
  set(2, int(row.mentions), usual?.mentions ? `usual ${int(usual.mentions)}, now ${times(row.mentions, usual.mentions)}` : `since ${hm(row.window_from)}`);
  set(3, int(row.voices), row.mentions ? `${pct(row.copies / row.mentions)} are copies${usual ? `, usual ${pct(usual.copies_share)}` : ''}` : '\u00a0');
  set(4, pct(detail.share_of_all), 'of all mentions');
  set(5, coverage(row.coverage), `${int(row.unscored)} unscored, ${row.mentions ? pct(row.uncertain / row.mentions) : 0} uncertain`);
  drawBelow(row);
}
const set = (i, value, below) => { put($(`#k${i}`), value); say($(`#c${i}`), below); $(`#c${i}`).title = below; };

function drawBelow(row) {
  const named = WINDOWS[row.window];
  say($('#networks .end'), `last ${named}; line: usual of the brand`);
  panel('#networks', networks(detail, row.usual?.negative_share));
  const copies = row.mentions ? row.copies / row.mentions : 0, voices = row.voices ? row.negative_voices / row.voices : null;
  panel('#speaking', h('table', { class: 'plain' }, h('tbody', {},
    h('tr', {}, h('th', { scope: 'row' }, 'Copies'), h('td', {}, bullet(copies, row.usual?.copies_share, 84, .8, false)), h('td', { class: 'right' }, pct(copies))),
    h('tr', {}, h('th', { scope: 'row' }, 'Negative among voices'), h('td', {}, voices == null ? '' : bullet(voices, row.usual?.negative_share)), h('td', { class: 'right' }, row.voices < 30 ? 'too few' : pct(voices))))));
  const past = (known.alerts?.alerts ?? []).filter(alert => alert.brand === brand);
  panel('#past', past.length ? h('ol', { class: 'events' }, past.slice(0, 5).map(alert => h('li', {}, h('time', {}, when(alert.opened)),
    h('span', {}, h('a', { href: alertPath(alert.id) }, ALERT[alert.state]), ' ', h('span', { class: 'quiet' }, alert.ended ? lasted(alert.opened, alert.ended) : `for ${lasted(alert.opened, now())}`),
      h('span', { class: 'why' }, alert.messages[0]?.reason ?? ''))))) : h('p', { class: 'quiet' }, 'None that Redis remembers.'));
}

// ---- charts ----

function chartData() {
  const made = series(of);
  const alerts = (known.alerts?.alerts ?? []).filter(alert => alert.brand === brand);
  const minutes = { '5m': 5, '15m': 15, '1h': 60 }[known.window];
  const usual = detail?.brand.usual ?? null;
  return { ...made, ...marks(alerts, made.t[0], of.models), usual: usual?.net_low != null ? usual : null, usualMinute: usual && minutes ? usual.mentions / minutes : null, read };
}

function drawCharts() {
  if (!$('#net') || !of.minutes.length) return;
  if (!charts.length) charts = [netChart($('#net'), () => shown), volumeChart($('#volume'), () => shown)];
  shown = chartData();
  charts.forEach(it => it.draw());
  put($('.flags'), shown.flags.map(flag => h('li', {}, h('span', { class: `flag-n${flag.kind === 'n' ? ' n' : ''}` }, flag.n), h('time', {}, hm(flag.at * 1000)), flag.text)));
  const first = hm(shown.t[0] * 1000), last = hm((shown.t.at(-1)) * 1000), nets = shown.net.filter(value => value != null);
  $('#net').setAttribute('aria-label', nets.length ? `Net sentiment from ${first} to ${last}: between ${pts(Math.min(...nets) / 100)} and ${pts(Math.max(...nets) / 100)}, now ${pts(nets.at(-1) / 100)}.` : 'Net sentiment: too few mentions.');
  $('#volume').setAttribute('aria-label', `Mentions per minute from ${first} to ${last}: ${int(Math.min(...shown.mentions))} to ${int(Math.max(...shown.mentions))}.`);
  read('net'); read('volume');
  if ($('#table')?.open) asTable();
}

function read(which, index) {
  const element = $(`#read-${which}`);
  if (!element) return;
  const i = index ?? shown.rows.findLastIndex(row => row && row.final), row = shown.rows[i];
  if (!row) return say(element, '');
  const net = shown.rolling[i], at = hm(row.start);
  if (which === 'net') say(element, net ? `${at}: ${pts(net.net_estimate)}, between ${pts(net.net_low)} and ${pts(net.net_high)}` : `${at}: ${row.state === 'filling' ? 'filling' : 'too few'}`);
  else say(element, `${at}: ${plural(row.mentions, 'mention')}, ${int(row.negative)} negative, ${row.state}`);
}

function asTable() {
  const names = ['mentions', 'negative', 'neutral', 'positive', 'uncertain', 'unscored'], box = $('#table');
  box.querySelector('table')?.remove();
  if (!box.open || !shown) return;
  box.append(h('div', { class: 'scroll' }, h('table', {}, h('thead', {}, h('tr', {}, ['Minute', 'Mentions', 'Negative', 'Neutral', 'Positive', 'Uncertain', 'Unscored', 'Net sentiment', 'State'].map(it => h('th', { scope: 'col' }, it)))),
    h('tbody', {}, shown.rows.filter(Boolean).slice(-60).reverse().map(row => h('tr', {}, h('th', { scope: 'row' }, hm(row.start)),
      names.map(name => h('td', {}, int(row[name]))), h('td', {}, row.net_estimate == null ? '–' : pts(row.net_estimate)), h('td', {}, row.state)))))));
}

// Left and right move the cursor of both charts by a minute.
export function move(step) {
  const plot = charts[0]?.plot;
  if (!plot) return;
  const i = Math.max(0, Math.min(shown.t.length - 1, (plot.cursor.idx ?? shown.t.length - 2) + step));
  plot.setCursor({ left: plot.valToPos(shown.t[i], 'x'), top: 10 });
}
export const draw = brands => { if (brands.has('alerts') && of?.minutes.length && charts.length) drawCharts(); };
export const title = () => brand;
export const state = () => STATE[detail?.brand.state];
export function stop() { clearInterval(timer); charts?.forEach(it => it.remove()); charts = []; }
