// What is known, kept up by the live feed. One connection a page; a place to go on from if it breaks.
//
//   snapshot, changed, freshness, alerts, stale  ─►  `known`  ─►  listeners, at most four times a second

import { ms } from './format.js';

const MINUTE = 60e3;
const GATHER = 250, SILENT = 10e3, DEAD = 25e3, AGAIN = [1e3, 2e3, 5e3, 10e3];

export const known = {
  window: '15m', rows: new Map(), total: 0, freshness: null, alerts: null,
  state: 'loading',        // loading, live, stale, disconnected
  why: '', asOf: null, lastEvent: 0, retryAt: 0, delays: [], skew: 0, paused: false, missed: 0,
};
const listeners = new Set();
let source = null, lastId = '', attempts = 0, planned = 0, changed = new Set();

export const now = () => Date.now() + known.skew;
export function listen(listener) { listeners.add(listener); }

function tell(brands = []) {
  for (const brand of brands) changed.add(brand);
  if (planned) return;
  planned = setTimeout(() => requestAnimationFrame(() => {
    planned = 0;
    const brandsOf = changed;
    changed = new Set();
    for (const listener of listeners) listener(brandsOf);
  }), GATHER);
}

// A strip of a change holds its newest minutes only: put it behind what is known.
function joined(before, strip) {
  if (!before || !strip || strip.mentions.length >= before.mentions.length) return strip ?? before;
  const start = ms(before.start), length = before.mentions.length;
  const end = ms(strip.start) + strip.mentions.length * MINUTE, first = end - length * MINUTE;
  const pick = name => Array.from({ length }, (_, i) => {
    const at = first + i * MINUTE, fresh = (at - ms(strip.start)) / MINUTE;
    return fresh >= 0 ? strip[name][fresh] : before[name][(at - start) / MINUTE] ?? 0;
  });
  return { start: new Date(first).toISOString(), mentions: pick('mentions'), negative: pick('negative') };
}

function takeRows(rows) {
  for (const row of rows) {
    row.last_hour = joined(known.rows.get(row.brand)?.last_hour, row.last_hour);
    known.rows.set(row.brand, row);
  }
}

function takeFreshness(freshness) {
  known.freshness = freshness;
  known.asOf = freshness.as_of;
  known.skew = ms(freshness.as_of) - Date.now();
  if (freshness.behind_s != null) known.delays.push([Date.now(), freshness.behind_s]);
  while (known.delays.length > 60) known.delays.shift();
  known.state = 'live';
}

// How far behind, smoothed over ten seconds; and whether that falls, and how fast.
export function delay() {
  const recent = known.delays.filter(([at]) => Date.now() - at < 10e3);
  const of = recent.length ? recent : known.delays.slice(-1);
  if (!of.length) return null;
  const seconds = of.reduce((all, [, value]) => all + value, 0) / of.length;
  const [first, last] = [known.delays[0], known.delays.at(-1)];
  const rate = last[0] > first[0] ? (first[1] - last[1]) / ((last[0] - first[0]) / 1000) : 0;
  return { seconds, left: rate > .2 ? last[1] / rate : null };
}

const take = {
  snapshot(answer) {
    known.rows = new Map();
    known.total = answer.total;
    takeRows(answer.brands);
    takeFreshness(answer.freshness);
    tell(['*']);
  },
  changed(answer) {
    const before = [...known.rows.values()].reduce((all, row) => all + row.mentions, 0);
    takeRows(answer.brands);
    takeFreshness(answer.freshness);
    if (known.paused) known.missed += Math.max(0, [...known.rows.values()].reduce((all, row) => all + row.mentions, 0) - before);
    tell(answer.brands.map(row => row.brand));
  },
  freshness(answer) { takeFreshness(answer); tell(); },
  alerts(answer) { known.alerts = answer; tell(['alerts']); },
  stale(answer) { known.state = 'stale'; known.why = answer.why; tell(); },
};

export function connect(window) {
  if (window !== known.window) lastId = '';
  known.window = window;
  source?.close();
  const after = lastId ? `&after=${encodeURIComponent(lastId)}` : '';
  source = new EventSource(`/api/v1/live?window=${window}${after}`);
  for (const name of Object.keys(take)) {
    source.addEventListener(name, event => {
      attempts = 0;
      known.lastEvent = Date.now();
      if (event.lastEventId) lastId = event.lastEventId;
      take[name](JSON.parse(event.data));
    });
  }
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) again();
    else { known.state = 'disconnected'; known.retryAt = Date.now() + AGAIN[1]; tell(); }  // it tries again by itself
  };
}

function again() {
  source?.close();
  const wait = AGAIN[Math.min(attempts++, AGAIN.length - 1)];
  known.retryAt = Date.now() + wait;
  if (known.state !== 'loading' || attempts > 1) known.state = 'disconnected';
  tell();
  setTimeout(() => connect(known.window), wait);
}

// A page that is left keeps no connection, or a browser soon has none for the next one.
addEventListener('pagehide', () => source?.close());
addEventListener('pageshow', event => { if (event.persisted) connect(known.window); });

export function reconnect() { attempts = 0; connect(known.window); }

// Silence is noticed by a clock of our own: a dead connection says nothing.
setInterval(() => {
  const silent = Date.now() - known.lastEvent;
  if (!known.lastEvent) return tell();
  if (!navigator.onLine && known.state === 'live') known.state = 'disconnected';
  else if (silent > DEAD && known.state !== 'disconnected') { known.state = 'disconnected'; attempts = 0; again(); }
  else if (silent > SILENT && known.state === 'live') { known.state = 'stale'; known.why = 'server'; }
  tell();
}, 1000);

export async function ask(path) {
  const answer = await fetch(path, { headers: { Accept: 'application/json' }, signal: AbortSignal.timeout(10e3) });
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw Object.assign(new Error(body?.detail ?? `answered ${answer.status}`), { status: answer.status });
  return body;
}
