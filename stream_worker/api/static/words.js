// What is said of brands and alerts: the sentence on top, the title, the reason in a row.

import { known } from './feed.js';
import { hm, pct, when } from './format.js';

export const STATE = {
  spike: 'Negative spike', low: 'Worth watching', data: 'Data problem', copies: 'Many copies', good: 'Good news',
  usual: 'As usual', few: 'Too few mentions', none: 'No mentions',
};
export const UNUSUAL = new Set(['spike', 'low', 'data', 'copies', 'good']);

// A reason fits 28 characters in a row.
export function why(row) {
  if (row.state === 'spike') return `Negative spike since ${when(row.since)}`;
  if (row.state === 'low') return 'More negative than usual';
  if (row.state === 'good') return 'More positive than usual';
  if (row.state === 'data') return row.coverage === null || row.coverage >= 0.98 ? 'Data in Redis is damaged' : `${pct(1 - row.coverage)} unscored`;
  if (row.state === 'copies') return `${pct(row.copies / row.mentions)} are copies`;
  if (row.state === 'few') return 'Too few mentions to tell';
  if (row.state === 'none') return 'No mentions';
  return row.usual?.net_low == null ? 'Not yet known what is usual' : 'As usual';
}

const SMALL = ['No', 'One', 'Two', 'Three', 'Four', 'Five', 'Six', 'Seven', 'Eight', 'Nine'];
const count = n => SMALL[n] ?? String(n);
export function names(rows) {
  const all = rows.map(row => row.brand);
  if (all.length < 3) return all.join(' and ');
  return `${all[0]}, ${all[1]} and ${all.length - 2} more`;
}
const verb = rows => rows.length === 1 ? 'is' : 'are';

// The sentence and the one line under it.
export function sentence(rows) {
  const of = state => rows.filter(row => row.state === state);
  const spike = of('spike'), low = of('low'), data = of('data'), copies = of('copies'), good = of('good');
  const rest = [];
  if (spike.length && low.length) rest.push(`${names(low)} ${verb(low)} worth watching.`);
  if (data.length) rest.push(`${data.length === 1 ? data[0].brand + ' has' : count(data.length) + ' brands have'} gaps in ${data.length === 1 ? 'its' : 'their'} data.`);
  if (copies.length) rest.push(`What is said of ${names(copies)} is mostly copies.`);
  if (good.length) rest.push(`${names(good)} ${verb(good)} more positive than usual.`);
  if (!rows.length) return ['No brand has been mentioned yet.', 'As soon as a worker counts the first mention, it is here.'];
  if (spike.length) return [`${names(spike)} ${verb(spike)} in a negative spike.`, [...rest, 'Nothing else calls for you.'].join(' ')];
  if (low.length) return [`${names(low)} ${verb(low)} worth watching.`, [...rest, 'No alert is open.'].join(' ')];
  if (rest.length) return ['Nothing calls for you now.', rest.join(' ')];
  const known = rows.filter(row => row.usual?.net_low != null).length;
  if (!known) return ['No alert is open.', 'What is usual is not known yet: that takes an hour and a half.'];
  return ['All brands are as usual.', 'Nothing calls for you.'];
}

export const openAlerts = () => (known.alerts?.alerts ?? []).filter(alert => !alert.ended);

// "1 alert: Kestrel Coffee": enough for a tab in the background.
export function title(page) {
  const open = openAlerts();
  const first = open.length ? `${open.length} ${open.length === 1 ? 'alert' : 'alerts'}: ${[...new Set(open.map(alert => alert.brand))].slice(0, 2).join(', ')}` : null;
  return [first, page, 'Stream Worker'].filter(Boolean).join('. ');
}

export const ALERT = {
  open: 'Open', escalated: 'Open, escalated', resolved: 'Ended', expired: 'Expired: the new normal',
  withdrawn: 'Withdrawn', missed: 'Missed: it was over before it could be told',
};
export const KIND = {
  opened: 'Alert opened', escalated: 'Escalated', reminder: 'Reminder', resolved: 'Ended', expired: 'Expired',
  withdrawn: 'Withdrawn', missed: 'Missed',
};
export const reason = alert => alert.messages.at(-1)?.reason ?? '';
export const opened = alert => `${alert.brand}, since ${hm(alert.opened)}`;
