// The page: reads its address, starts what answers it, and keeps frame, bar and title up.

import { $, $$, hatch, h, icon, put, say } from './dom.js';
import { connect, known, listen, now } from './feed.js';
import { brandPath, decoded, toggleZone, WINDOWS } from './format.js';
import { drawBar } from './bar.js';
import { keys } from './keys.js';
import { openAlerts, title } from './words.js';

const params = new URLSearchParams(location.search);
const [, first = '', second] = location.pathname.split('/');
const name = second == null ? null : decoded(location.pathname.split('/').slice(2).join('/'));
const page = first === 'brands' && name ? 'brand' : first === 'alerts' ? (name ? 'alert' : 'alerts') : first === 'pipeline' ? 'pipeline' : 'overview';
const go = address => { location.href = address; };

function setParam(key, value) {
  if (value == null) params.delete(key); else params.set(key, value);
  history.replaceState(null, '', location.pathname + (params.size ? `?${params}` : ''));
}

const PAGES = {
  overview: async main => {
    const overview = await import('./overview.js');
    overview.start(main, { params, setParam });
    return { ...overview, title: () => null };
  },
  brand: async main => {
    const brand = await import('./brand.js');
    brand.start(main, { params, setParam, name });
    return { ...brand };
  },
  alerts: async main => {
    const alerts = await import('./alerts.js');
    alerts.startList(main);
    return { draw: alerts.drawList, title: () => 'Alerts' };
  },
  alert: async main => {
    const alerts = await import('./alerts.js');
    alerts.startOne(main, { name });
    return { draw: () => {}, title: alerts.title };
  },
  pipeline: async main => {
    const pipeline = await import('./pipeline.js');
    pipeline.start(main);
    return { draw: () => {}, title: pipeline.title };
  },
};

let shown = { draw: () => {}, title: () => null }, announced = null;

function pause() {
  known.paused = !known.paused;
  known.pausedAt = now();
  known.missed = 0;
  $('#pause').setAttribute('aria-pressed', String(known.paused));
  say($('#pause span'), known.paused ? 'Go on' : 'Pause');
  update(known.paused ? new Set() : new Set(['*']));
}

function update(brands) {
  drawBar({ goOn: pause });
  document.title = title(shown.title());
  const open = openAlerts();
  for (const badge of $$('.count')) {
    badge.hidden = !open.length;
    badge.setAttribute('aria-label', `${open.length} open`);
    say(badge, String(open.length));
  }
  const ids = open.map(alert => alert.id);
  if (announced && ids.some(id => !announced.includes(id))) say($('#said'), `Alert: ${open[0].brand} is in a negative spike.`);
  if (known.alerts) announced = ids;
  document.body.classList.toggle('stale', known.state === 'stale' || known.state === 'disconnected');
  if (!known.paused || brands.has('alerts')) shown.draw(brands);
}

function chrome() {
  document.body.dataset.page = page === 'alert' ? 'alert' : page;
  document.body.append(hatch());
  const current = { brand: 'overview', alert: 'alerts' }[page] ?? page;
  for (const link of $$('[data-nav]')) {
    if (link.dataset.nav === current) link.setAttribute('aria-current', page === current ? 'page' : 'true');
    if (link.closest('.tabs')) link.prepend(icon(link.dataset.nav, 18));
  }
  $('[data-find]').prepend(icon('search', 18));
  $('[data-find]').addEventListener('click', event => { event.preventDefault(); document.body.classList.add('finding'); $('.find input').focus(); });
  $('.find').prepend(icon('search', 14));
  $('#pause').prepend(icon('pause', 12));
  $('#pause').addEventListener('click', pause);
  const input = $('.find input');
  input.value = page === 'overview' ? params.get('find') ?? '' : '';
  input.addEventListener('input', () => { shown.find?.(input.value.trim()); });
  input.addEventListener('focus', () => put($('#brand-names'), [...known.rows.keys()].sort().map(brand => h('option', { value: brand }))));
  input.addEventListener('blur', () => document.body.classList.remove('finding'));
  $('.find').addEventListener('submit', event => {
    event.preventDefault();
    const text = input.value.trim().toLowerCase(), all = [...known.rows.keys()];
    const found = all.find(brand => brand.toLowerCase() === text) ?? all.find(brand => text && brand.toLowerCase().includes(text));
    if (found) go(brandPath(found));
  });
}

chrome();
listen(update);
known.window = WINDOWS[params.get('window')] ? params.get('window') : '15m';
connect(known.window);
setTimeout(() => { if (known.state === 'loading') update(new Set()); }, 200);
PAGES[page]($('#main')).then(started => { shown = started; if (known.freshness) update(new Set(['*', 'alerts'])); });
const zone = () => { toggleZone(); known.zone = Date.now(); update(new Set(['*', 'alerts'])); };
keys({ page, name, pause, zone, choose: window => shown.choose?.(window), go, move: step => shown.move?.(step) });
