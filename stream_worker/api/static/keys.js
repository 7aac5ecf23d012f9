// Keys: / find, j k rows, Enter open, Esc back, [ ] brands, p pause, t table, z zone, 1 to 4 window, ? all keys.

import { $, $$, h, put } from './dom.js';
import { known } from './feed.js';
import { brandPath, WINDOWS } from './format.js';

const HELP = [
  ['/', 'find a brand'], ['j k', 'next and previous row'], ['Enter', 'open it'], ['Esc', 'back'], ['[ ]', 'previous and next brand'],
  ['← →', 'a minute back and on, on a chart'], ['p', 'pause and go on'], ['t', 'chart as table'], ['z', 'times in UTC or your zone'], ['1 to 4', 'window'], ['?', 'these keys'],
];

export function keys({ page, name, pause, zone, choose, move, go }) {
  let row = -1;
  const off = () => localStorage.getItem('keys') === 'off';
  addEventListener('keydown', event => {
    if (event.metaKey || event.ctrlKey || event.altKey) return;
    if (event.key === 'Escape') return escape(event);
    if (event.target.matches('input:not([type=radio]), select, textarea') || off()) return;
    const step = { j: 1, k: -1 }[event.key];
    if (step) {
      const rows = $$('.brands tr.row a');
      if (!rows.length) return;
      row = Math.max(0, Math.min(rows.length - 1, row + step));
      rows[row].focus();
    } else if (event.key === '/') { event.preventDefault(); $('.find input').focus(); }
    else if (event.key === 'p') pause();
    else if (event.key === 'z') zone();
    else if (event.key === 't') { const box = $('#table'); if (box) box.open = !box.open; }
    else if (event.key === '?') help(off);
    else if (Object.keys(WINDOWS)[event.key - 1] && page === 'overview') choose(Object.keys(WINDOWS)[event.key - 1]);
    else if ((event.key === '[' || event.key === ']') && page === 'brand') neighbour(event.key === ']' ? 1 : -1);
    else if (event.key === 'ArrowLeft' || event.key === 'ArrowRight') { if (event.target.matches('.chart')) { event.preventDefault(); move(event.key === 'ArrowRight' ? 1 : -1); } }
  });

  function escape(event) {
    if ($('dialog[open]')) return;
    if (event.target.matches('input')) event.target.blur();
    else if (page !== 'overview') go(page === 'alert' ? '/alerts' : '/');
  }
  function neighbour(step) {
    const all = [...known.rows.keys()].sort(), at = all.indexOf(name);
    if (all.length > 1) go(brandPath(all[(at + step + all.length) % all.length]));
  }
}

function help(off) {
  let box = $('dialog');
  if (!box) document.body.append(box = h('dialog', { 'aria-label': 'Keys' }));
  put(box, h('h2', {}, 'Keys'), h('dl', { class: 'keyhelp' }, HELP.map(([key, text]) => [h('dt', {}, key.split(' ').map(it => it === 'to' ? ' to ' : h('kbd', {}, it))), h('dd', {}, text)])),
    h('label', {}, h('input', { type: 'checkbox', checked: !off(), onchange: event => localStorage.setItem('keys', event.target.checked ? 'on' : 'off') }), ' single keys are on'),
    h('form', { method: 'dialog' }, h('button', { class: 'btn' }, 'Close')));
  box.showModal();
}
