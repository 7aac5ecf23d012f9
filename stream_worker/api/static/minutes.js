// The minutes of one brand: fetched once, kept up by small questions, and as the series of charts.

import { ask } from './feed.js';
import { brandPath, ms } from './format.js';

export const SPANS = { '1h': '1 h', '2h': '2 h', '24h': '24 h' };

// `{load, refresh, minutes, finalTo}`: `load` fetches the span, `refresh` what may have changed since.
export function minutesOf(brand) {
  const of = { minutes: [], models: [], finalTo: 0, until: 0, span: '2h' };
  const fetched = span => ask(`/api/v1${brandPath(brand)}/minutes?span=${span}`);
  const take = answer => { of.finalTo = ms(answer.final_to); of.until = ms(answer.until); };
  of.load = async span => {
    const answer = await fetched(span);
    of.span = span;
    of.minutes = answer.minutes;
    of.models = answer.models;
    take(answer);
  };
  of.refresh = async () => {
    const open = Math.ceil((Date.now() - of.finalTo) / 60e3) + 3;
    const answer = await fetched(`${Math.max(5, Math.min(120, open))}m`), first = answer.minutes[0]?.start;
    const kept = first ? of.minutes.filter(minute => minute.start < first) : of.minutes;
    take(answer);
    const known = new Set(of.models.map(it => it.since));
    of.models = [...of.models, ...answer.models.filter(it => !known.has(it.since))];
    const since = of.until - { '1h': 60, '2h': 120, '24h': 1440 }[of.span] * 60e3;
    of.minutes = [...kept, ...answer.minutes].filter(minute => ms(minute.start) >= since);
  };
  return of;
}

// Every minute of the span in a row; one that nobody counted is a hole, not a zero.
export function series(of) {
  const known = new Map(of.minutes.map(minute => [ms(minute.start), minute]));
  if (!known.size) return null;
  const first = Math.min(...known.keys()), t = [];
  for (let at = first; at < of.until; at += 60e3) t.push(at);
  const rows = t.map(at => known.get(at) ?? null);
  const column = name => rows.map(row => row?.[name] ?? null);
  const rolling = rows.map(row => row?.last_five?.net_estimate == null ? null : row.last_five);
  const hundredths = name => rolling.map(net => net && net[name] * 100);
  return {
    rows, t: t.map(at => at / 1000), end: of.until / 1000, open: Math.min(of.finalTo, of.until) / 1000,
    corrected: new Set(rows.filter(row => row?.state === 'corrected').map(row => ms(row.start) / 1000)),
    net: hundredths('net_estimate'), low: hundredths('net_low'), high: hundredths('net_high'), rolling,
    dots: rows.map(row => row && row.net_estimate != null && row.state !== 'filling' ? row.net_estimate * 100 : null),
    mentions: column('mentions').map(n => n ?? 0),
    layers: ['negative', 'neutral', 'positive', 'uncertain', 'unscored'].map(column),
  };
}

// Flags and tints from the alerts of a brand and the changes of model: when it began, and what was told when.
export function marks(alerts, first, models = []) {
  const flags = models.slice(1).map(it => ({ at: ms(it.since) / 1000, kind: 't', text: it.judged ? `Scored by model ${it.models[0]}` : `${it.models.length} models at once: not judged` })), episodes = [];
  for (const alert of alerts) {
    const from = ms(alert.opened) / 1000, to = alert.ended ? ms(alert.ended) / 1000 : null;
    if (to != null && to < first) continue;
    episodes.push({ from, to });
    flags.push({ at: from, kind: 'n', text: 'Alert opened' });
    for (const message of alert.messages) {
      const words = { escalated: 'Escalated', resolved: 'Ended', expired: 'Expired', withdrawn: 'Withdrawn' }[message.kind];
      if (words) flags.push({ at: ms(message.minute) / 1000, kind: 't', text: words });
    }
  }
  const shown = flags.filter(flag => flag.at >= first).sort((a, b) => a.at - b.at);
  return { episodes, flags: shown.map((flag, i) => ({ ...flag, n: i + 1 })) };
}
