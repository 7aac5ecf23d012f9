// Alerts: all of them, the open ones first; and one, with what speaks for it and what was sent.

import { $, h, icon, pill, put, say } from './dom.js';
import { ask, known, now } from './feed.js';
import { alertPath, brandPath, coverage, full, hm, int, lasted, ms, pct, plural, when } from './format.js';
import { swatch } from './graphics.js';
import { library, negativeChart } from './charts.js';
import { marks, minutesOf, series } from './minutes.js';
import { networks, panel } from './panels.js';
import { ALERT, KIND, openAlerts, reason } from './words.js';

const MARK = { open: 'spikeline', escalated: 'spikeline', resolved: 'usual', expired: 'usual', withdrawn: 'few', missed: 'few' };
const HAPPENING = 10 * 60e3;
let wanted = null, alert = null, detail = null, of = null, chart = null, shown = null, timer;
const stateOf = it => pill(it.ended ? 'line' : 'spike', MARK[it.state] ?? 'few', ALERT[it.state] ?? it.state);

// ---- the list ----

export function startList(main) {
  wanted = null;
  put(main, h('div', { class: 'headline' }, h('div', {}, h('h1', {}, '\u00a0'), h('p', { id: 'rest' }, '\u00a0'))),
    h('div', { class: 'scroll', id: 'list' }));
  drawList();
}

export function drawList() {
  if (!known.alerts || !$('#list')) return;
  const { alerts } = known.alerts, open = openAlerts();
  say($('h1'), open.length ? `${open.length === 1 ? 'One alert is' : `${open.length} alerts are`} open.` : 'No alert is open.');
  say($('#rest'), alerts.length ? 'Each one is a brand whose negative voices rose far beyond what is usual for it.' : 'None has been told yet. A brand alerts once it is known what is usual for it.');
  if (!alerts.length) return put($('#list'));
  put($('#list'), h('table', { class: 'plain' },
    h('thead', {}, h('tr', {}, ['Since', 'Brand', 'State', 'Lasted', 'Score', 'Why'].map(name => h('th', { scope: 'col' }, name)))),
    h('tbody', {}, alerts.map(it => h('tr', {}, h('td', { class: 'nb', title: full(it.opened) }, when(it.opened)),
      h('th', { scope: 'row', dir: 'auto' }, h('a', { href: alertPath(it.id) }, it.brand)), h('td', {}, stateOf(it)),
      h('td', { class: 'nb' }, lasted(it.opened, it.ended ?? now())), h('td', {}, it.peak_score?.toFixed(1) ?? '–'), h('td', { class: 'mid' }, it.messages[0]?.reason ?? ''))))));
}

// ---- one ----

export async function startOne(main, { name }) {
  [wanted, alert, detail, chart, shown] = [name, null, null, null, null];
  put(main, h('div', { class: 'headline' }, h('div', {}, h('p', { class: 'crumb' }, h('a', { href: '/alerts' }, 'Alerts')), h('h1', {}, '\u00a0'))));
  await refresh(main);
  clearInterval(timer);
  timer = setInterval(() => { if (!document.hidden && known.state === 'live') refresh(main); }, 5000);
}

async function refresh(main) {
  try {
    alert = await ask(`/api/v1${alertPath(wanted)}`);
    of ??= minutesOf(alert.brand);
    detail = await ask(`/api/v1${brandPath(alert.brand)}?window=15m`).catch(() => null);
    const age = (now() - ms(alert.opened)) / 60e3;
    await Promise.all([of.load(age > 100 ? '24h' : '2h'), library()]).catch(() => null);
    if (!$('.say')) put(main, frame());
    drawOne();
  } catch (error) {
    if (error.status === 404) {
      clearInterval(timer);
      put(main, h('div', { class: 'headline' }, h('div', {}, h('p', { class: 'crumb' }, h('a', { href: '/alerts' }, 'Alerts')), h('h1', {}, 'This alert is not known here.'), h('p', {}, 'Redis remembers the newest thousand messages.'))));
    }
  }
}

function frame() {
  return [
    h('div', { class: 'headline' }, h('div', {}, h('p', { class: 'crumb' }, h('a', { href: '/alerts' }, 'Alerts'), ' / ', h('a', { href: brandPath(alert.brand), dir: 'auto' }, alert.brand)),
      h('div', { class: 'tools' }, h('h1', { dir: 'auto' }, `${alert.brand}: negative spike`), h('span', { id: 'state' }), h('span', { class: 'mid', id: 'since' })))),
    h('p', { class: 'say' }),
    h('div', { class: 'split wide' },
      h('div', {}, h('section', { 'aria-labelledby': 'h-neg' },
        h('div', { class: 'chart-head' }, h('h2', { id: 'h-neg' }, 'Negative mentions per minute'),
          h('div', { class: 'legend' }, h('span', {}, swatch('neu'), 'expected from as many mentions'), h('span', {}, swatch('neg'), 'more than expected')), h('span', { class: 'end', id: 'read-negative' })),
        h('ol', { class: 'flags' }), h('div', { class: 'chart', id: 'negative', role: 'img' })),
        h('section', { class: 'sec gap-5 half', id: 'networks' }, h('header', {}, h('h2', {}, 'Networks'), h('span', { class: 'end' }, 'last 15 min; line: usual of the brand')))),
      h('aside', {}, h('section', {}, h('header', { class: 'chart-head' }, h('h2', {}, 'Is it real?'), h('span', { class: 'end', id: 'passed' })), h('ul', { class: 'checks' })),
        h('section', { class: 'sec gap-5' }, h('header', {}, h('h2', {}, 'What was told'), h('span', { class: 'end mono' }, alert.id)), h('ol', { class: 'log' })))),
  ];
}

function drawOne() {
  put($('#state'), stateOf(alert));
  say($('#since'), `since ${when(alert.opened)}, ${alert.ended ? `lasted ${lasted(alert.opened, alert.ended)}` : lasted(alert.opened, now())}`);
  put($('.say'), statement());
  const checks = checksOf(), failed = checks.filter(([passed]) => !passed).length;
  say($('#passed'), failed ? `${checks.length - failed} of ${checks.length} checks passed` : `all ${checks.length} checks passed`);
  put($('.checks'), checks.map(([passed, name, text]) => h('li', {}, icon(passed ? 'check' : 'warn', 16, passed ? 'passed' : 'not passed'), h('span', {}, h('b', {}, name), h('span', { class: 'why' }, text)))));
  put($('.log'), alert.messages.map(message => h('li', { class: message.kind === 'opened' ? 'neg' : null }, h('time', { title: full(message.minute) }, hm(message.minute)), h('span', { class: 'pin' }),
    h('span', {}, KIND[message.kind] ?? message.kind, h('span', { class: 'why' }, message.reason ?? '')))),
    alert.messages.length ? null : h('li', {}, h('time', {}, hm(alert.opened)), h('span', { class: 'pin' }), h('span', {}, 'Alert opened', h('span', { class: 'why' }, 'Its messages are no longer in Redis.'))));
  if (detail) panel('#networks', networks(detail, detail.brand.usual?.negative_share ?? first()?.baseline));
  drawChart();
}

const first = () => alert.messages.find(message => message.kind === 'opened') ?? alert.messages[0];
function episodeTotal() {
  const from = ms(alert.opened), to = alert.ended ? ms(alert.ended) : Infinity;
  const inside = of.minutes.filter(minute => ms(minute.start) >= from && ms(minute.start) <= to);
  const sum = name => inside.reduce((all, minute) => all + minute[name], 0);
  return inside.length ? { mentions: sum('mentions'), negative: sum('negative'), scored: sum('mentions') - sum('unscored'), copies: sum('copies'), voices: sum('voices') } : null;
}

// The case in one sentence: counts of the episode so far, and the words of the webhook.
function statement() {
  const all = episodeTotal(), usual = first()?.baseline, told = reason(alert);
  if (!all || !all.scored) return told;
  const share = all.negative / all.scored;
  return ['Since ', h('b', {}, hm(alert.opened)), ', ', h('b', { class: 'is-neg' }, int(all.negative)), ' of ', h('b', {}, int(all.mentions)), ' mentions were negative (', h('b', {}, pct(share)), ').',
    usual ? [` Usual for this brand is ${pct(usual)}, so about ${int(usual * all.scored)} were expected: `, h('b', {}, `${(share / usual).toFixed(1)}×`), ' as many.'] : null];
}

function checksOf() {
  const told = first(), window = told?.window, all = episodeTotal(), row = detail?.brand, checks = [];
  if (window) checks.push([window.negative_voices >= 10, 'Enough mentions', `${int(window.negative_voices)} negative of ${plural(window.voices, 'voice')} in ${plural(window.minutes, 'minute')} when it was told.`]);
  if (all?.mentions) {
    const copies = all.copies / all.mentions;
    checks.push([all.voices >= 30, 'Many voices', `${int(all.voices)} authors and texts since ${hm(alert.opened)}.`]);
    checks.push([copies < .5, 'Not only copies', `${pct(copies)} are copies${row?.usual ? `, usual ${pct(row.usual.copies_share)}` : ''}.`]);
  }
  const heard = (detail?.networks ?? []).filter(it => it.mentions >= 10), usual = row?.usual?.negative_share ?? told?.baseline;
  if (heard.length && usual != null && !alert.ended) {
    const up = heard.filter(it => it.negative_share > usual);
    checks.push([up.length > 1, 'More than one network', `Negative share is up on ${up.length} of ${heard.length} in the last 15 minutes.`]);
  }
  if (told) checks.push([told.complete !== false, 'Nothing missing', told.complete === false ? 'The minute was incomplete: a partition was not waited for.' : 'Every partition took part in the minute.']);
  if (row && !alert.ended) checks.push([row.coverage >= .98, 'The model works as usual', `Coverage ${coverage(row.coverage)}, ${pct(row.uncertain / Math.max(1, row.mentions))} uncertain.`]);
  if (known.freshness?.final_to && !alert.ended) {
    const behind = now() - ms(known.freshness.final_to);
    checks.push([behind < HAPPENING, 'It is happening now', behind < HAPPENING ? `Minutes are final to ${hm(known.freshness.final_to)}.` : 'Minutes of long ago are being judged: a replay, or a worker that catches up.']);
  }
  return checks;
}

function drawChart() {
  if (!of.minutes.length || !globalThis.uPlot) return;
  const made = series(of), usual = first()?.baseline ?? 0;
  const expected = made.rows.map(row => row ? usual * (row.mentions - row.unscored) : null);
  const usualPart = made.rows.map((row, i) => row ? Math.min(row.negative, expected[i]) : 0);
  const more = made.rows.map((row, i) => row ? row.negative - usualPart[i] : 0);
  shown = { ...made, ...marks([alert], made.t[0], of.models), expected, usualPart, more, read };
  chart ??= negativeChart($('#negative'), () => shown);
  chart.draw();
  put($('.flags'), shown.flags.map(flag => h('li', {}, h('span', { class: `flag-n${flag.kind === 'n' ? ' n' : ''}` }, flag.n), h('time', {}, hm(flag.at * 1000)), flag.text)));
  $('#negative').setAttribute('aria-label', `Negative mentions per minute from ${hm(made.t[0] * 1000)}: at most ${Math.max(...made.rows.map(row => row?.negative ?? 0))}.`);
  read('negative');
}
function read(_, index) {
  const i = index ?? shown.rows.findLastIndex(row => row?.final), row = shown.rows[i];
  if ($('#read-negative')) say($('#read-negative'), row ? `${hm(row.start)}: ${int(row.negative)} negative, ${int(shown.expected[i])} expected, ${row.state}` : '');
}
export const title = () => alert ? `${alert.brand}: negative spike since ${hm(alert.opened)}` : 'Alert';
export function stop() { clearInterval(timer); chart?.remove(); [chart, of] = [null, null]; }
