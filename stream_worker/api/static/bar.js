// The freshness bar: on every page, in one place, one line. Texture and inversion, never colour.

import { $, h, icon, put, say } from './dom.js';
import { delay, known, now, reconnect } from './feed.js';
import { coverage, hm, hms, int, lasted, ms, NB, plural, seconds, zoneName } from './format.js';
import { ruler } from './graphics.js';

const CATCHING_UP = 15;
const COVERAGE_LOW = .98;
let said = '', saidAt = 0, drawn = '';

const part = (...children) => h('span', {}, ...children);
const wide = (cls, ...children) => h('span', { class: `wide-only ${cls}` }, ...children);
const dot = live => h('span', { class: live ? 'dot live' : 'dot' });
const link = (text, action) => h('a', { href: '#', onclick: event => { event.preventDefault(); action(); } }, text);

export function drawBar({ goOn }) {
  const state = stateOf();
  announce(state);
  const [loud, parts] = PARTS[state](goOn);
  const bar = $('.fresh'), key = state + parts.map(it => it.outerHTML).join('');
  if (key === drawn) return;
  drawn = key;
  bar.className = `fresh ${loud}`;
  bar.toggleAttribute('data-drawn', known.freshness != null);
  if (state === 'disconnected') bar.setAttribute('role', 'alert'); else bar.removeAttribute('role');
  put(bar, parts);
}

function stateOf() {
  if (known.state !== 'live') return known.state;
  if (known.paused) return 'paused';
  if (!known.freshness?.newest) return 'empty';
  const behind = delay()?.seconds ?? 0;
  return behind > CATCHING_UP ? 'behind' : 'live';
}

const PARTS = {
  loading: () => ['', [part(dot(false), 'Connecting …')]],
  empty: () => ['', [part(dot(true), h('b', {}, 'Live'), 'no mention has come yet'), ...tail()]],
  live: () => {
    const behind = Math.max(.1, delay()?.seconds ?? 0);
    return ['', [
      part(dot(true), h('b', {}, 'Live'), h('span', {}, seconds(behind), h('span', { class: 'wide-only' }, ' behind'))),
      ...minutes(true), ...quality(), ...gaps(), ...tail(),
    ]];
  },
  behind: () => {
    const { seconds: behind, left } = delay();
    const rest = left == null ? 'nothing newer has come' : `and catching up, about ${seconds(left)} left`;
    return ['hatched', [part(dot(false), h('b', {}, `${seconds(behind)} behind`), rest), ...minutes(false), ...quality(), ...tail()]];
  },
  paused: goOn => ['', [
    part(dot(false), h('b', {}, `Paused at ${hms(known.pausedAt)}`)), part(`${plural(known.missed, 'mention')} since`),
    part(link('Go on', goOn)), ...tail(),
  ]],
  stale: () => {
    const why = { redis: 'Redis does not answer.', unreadable: 'Redis holds what cannot be read.' }[known.why] ?? 'The server says nothing new.';
    return ['loud', [part(dot(false), h('b', {}, 'Not live.'), h('span', {}, ...asOf(), ` ${why}`)), part(h('a', { href: '/pipeline' }, 'What is wrong'))]];
  },
  disconnected: () => {
    const wait = Math.max(0, Math.ceil((known.retryAt - Date.now()) / 1000));
    return ['loud', [
      part(dot(false), h('b', {}, 'This page lost its connection.'), h('span', {}, ...asOf(), wait ? ` Trying again in ${wait}${NB}s.` : ' Trying again.')),
      part(link('Now', reconnect)),
    ]];
  },
};

function asOf() {
  if (!known.asOf) return [''];
  const at = ms(known.asOf), ago = (Date.now() + known.skew - at) / 1000;
  return ['Numbers as of ', h('b', {}, hms(at)), ago < 60 ? `, ${Math.max(0, Math.round(ago))}${NB}s ago.` : `, ${lasted(at, at + ago * 1000)} ago.`];
}

function minutes(explain) {
  const { minutes: cells, final_to: finalTo } = known.freshness;
  const open = cells.filter(cell => cell.state === 'filling' || cell.state === 'provisional').length;
  const rest = open === 1 ? ', the last minute may still change' : open ? `, the last ${open} minutes may still change` : '';
  return [part(ruler(cells.map(cell => cell.state)),
    h('span', {}, 'final to ', h('b', {}, finalTo ? hm(finalTo) : '–'), explain ? h('span', { class: 'wide-only opt-1' }, rest) : null))];
}

function quality() {
  const { coverage: share, model } = known.freshness;
  return [
    share == null ? null : wide('opt-3', 'Coverage', h('b', {}, coverage(share))),
    model ? wide('opt-2', 'Model', h('b', { title: model }, model.split(' ')[0].slice(0, 8))) : null,
  ].filter(Boolean);
}

function gaps() {
  const { minutes: cells, coverage: share } = known.freshness, found = [];
  const partial = cells.filter(cell => !cell.complete);
  if (partial.length) found.push(`${hm(partial.at(-1).start)} is incomplete`);
  if (share != null && share < COVERAGE_LOW) found.push(`${coverage(1 - share)} unscored`);
  if (!found.length) return [];
  return [
    h('a', { class: 'only-narrow', href: '/pipeline', 'aria-label': found.join('; ') }, icon('warn', 14), found.length === 1 ? '1 gap' : `${found.length} gaps`),
    h('a', { class: 'wide-only', href: '/pipeline' }, icon('warn', 14), found.join('; ')),
  ];
}

function tail() {
  return [h('span', { class: 'fill' }), wide('opt-2', icon('zone', 14), `Times in ${zoneName()}`), h('b', { class: 'wide-only' }, hms(now()))];
}

// For screen readers: that the state changed, at most once in half a minute.
const WORDS = {
  live: 'The numbers are live.', stale: 'The numbers are not live any more.', disconnected: 'The connection is lost.',
  behind: 'The numbers are behind.', paused: 'Paused.',
};
function announce(state) {
  if (state === said || !WORDS[state] || Date.now() - saidAt < 30e3) return;
  if (said) { say($('#said'), WORDS[state]); saidAt = Date.now(); }
  said = state;
}
