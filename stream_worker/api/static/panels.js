// Panels that several pages have: the networks of a brand.

import { $, h } from './dom.js';
import { int, pct } from './format.js';
import { bullet } from './graphics.js';

const FEW = 30;

// Put a body into a section behind its header.
export function panel(query, body) {
  const section = $(query);
  while (section.children.length > 1) section.lastChild.remove();
  section.append(body);
}

export function networks(detail, usual) {
  if (!detail.networks) return h('p', { class: 'quiet' }, 'Known for windows up to an hour.');
  if (!detail.networks.length) return h('p', { class: 'quiet' }, 'No mentions.');
  return h('table', { class: 'plain' },
    h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Network'), h('th', { scope: 'col', class: 'right' }, 'Mentions'),
      h('th', { scope: 'col' }, h('span', { class: 'vh' }, 'Share as a bar')), h('th', { scope: 'col', class: 'right' }, 'Negative'))),
    h('tbody', {}, detail.networks.map(row => h('tr', {}, h('th', { scope: 'row' }, row.network || 'others'), h('td', { class: 'right' }, int(row.mentions)),
      h('td', {}, row.negative_share == null || row.mentions < FEW ? '' : bullet(row.negative_share, usual)),
      h('td', { class: `right ${row.mentions < FEW ? 'quiet' : 'strong'}` }, row.mentions < FEW ? 'too few' : pct(row.negative_share))))));
}
