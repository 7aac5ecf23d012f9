// Pipeline: can the numbers be trusted? Cursors and minutes as Redis knows them.

import { $, h, icon, put, say } from './dom.js';
import { ask, known } from './feed.js';
import { coverage, hm, hms, int, plural, seconds } from './format.js';
import { ruler } from './graphics.js';

const WORDS = {
  reading: 'reading', idle: 'at its end, nothing new', silent: 'silent: no report for 30 seconds', unknown: 'not begun',
};
let timer, answer = null;

export async function start(main) {
  answer = null;
  put(main, h('div', { class: 'headline' }, h('div', {}, h('h1', {}, '\u00a0'), h('p', { id: 'rest' }, '\u00a0'))),
    h('ol', { class: 'flow' }),
    h('div', { class: 'split wide gap-5' },
      h('section', { class: 'sec', id: 'partitions' }, h('header', {}, h('h2', {}, 'Partitions'), h('span', { class: 'end' })), h('div', { class: 'scroll' })),
      h('aside', {}, h('section', { class: 'sec', id: 'minutes' }, h('header', {}, h('h2', {}, 'The last minutes'), h('span', { class: 'end' }, 'all brands')), h('div', {})))));
  await refresh();
  clearInterval(timer);
  timer = setInterval(() => { if (!known.paused && !document.hidden) refresh(); }, 2000);
}

async function refresh() {
  try {
    answer = await ask('/api/v1/pipeline');
    draw();
  } catch (error) {
    if (!$('.flow')) return clearInterval(timer);
    say($('h1'), 'The numbers do not come.');
    say($('#rest'), error.message);
  }
}

function sentence() {
  const { partitions, freshness } = answer, silent = partitions.filter(it => it.state === 'silent');
  const partial = freshness.minutes.filter(it => !it.complete);
  if (!partitions.length) return ['No worker has begun yet.', 'Redis answers, and holds no cursor.'];
  if (silent.length === partitions.length) return ['No worker reports.', 'The numbers stand still since the last report. Start one: stream-worker run.'];
  if (silent.length) return [`${silent.length} of ${plural(partitions.length, 'partition')} ${silent.length === 1 ? 'is' : 'are'} silent.`, `Minutes wait two minutes for them, then close as incomplete: ${silent.map(it => it.partition).join(', ')}.`];
  if (partial.length) return ['The numbers can be trusted, with one gap.', `${hm(partial.at(-1).start)} closed without every partition.`];
  if (answer.lag > 10000) return ['The numbers are behind.', `${int(answer.lag)} records wait to be counted.`];
  return ['The numbers can be trusted.', 'Every partition took part in every minute shown here.'];
}

function draw() {
  if (!$('.flow')) return;
  const { freshness, partitions } = answer, [one, rest] = sentence();
  say($('h1'), one);
  say($('#rest'), rest);
  const last = freshness.minutes.filter(it => it.state === 'final' || it.state === 'corrected').at(-1);
  const steps = [
    ['Received', last ? int(last.mentions) : '–', 'a minute', last ? `counted in ${hm(last.start)}, the last final minute` : 'no final minute yet'],
    ['Waiting', int(answer.lag), 'records', 'in Kafka, not yet counted'],
    ['Scored', coverage(freshness.coverage), 'coverage', answer.model ? `model ${answer.model}` : 'no model yet'],
    ['On this screen', freshness.behind_s == null ? '–' : seconds(Math.max(.1, freshness.behind_s)), 'behind', freshness.visible_to ? `complete to ${hms(freshness.visible_to)}` : ''],
    ['Judged', freshness.final_to ? hm(freshness.final_to) : '–', '', last?.final_after_s != null ? `${hm(last.start)} was final ${seconds(last.final_after_s)} after its end` : 'minutes before it are final'],
  ];
  put($('.flow'), steps.map(([name, value, unit, below]) => h('li', {}, h('h2', {}, name), h('p', { class: 'v' }, value, ' ', h('small', {}, unit)), h('p', { class: 'c' }, below))));
  say($('#partitions .end'), answer.log ? `topic ${answer.log}; behind is counted in records` : '');
  put($('#partitions .scroll'), partitions.length ? h('table', { class: 'plain' },
    h('thead', {}, h('tr', {}, ['Partition', 'Worker', 'Next record', 'Behind', 'Complete to', 'State'].map((name, i) => h('th', { scope: 'col', class: i === 2 || i === 3 ? 'right' : null }, name)))),
    h('tbody', {}, partitions.map(it => h('tr', { class: it.slowest ? 'holds' : null }, h('th', { scope: 'row' }, it.partition), h('td', {}, it.owner || '–'),
      h('td', { class: 'right mono' }, it.next == null ? '–' : int(it.next)), h('td', { class: 'right' }, it.lag == null ? '–' : int(it.lag)), h('td', {}, it.watermark ? hms(it.watermark) : '–'),
      h('td', {}, it.state === 'silent' || it.state === 'unknown' ? h('span', { class: 'tools' }, icon('warn', 14), WORDS[it.state]) : WORDS[it.state], it.slowest ? h('b', {}, '; the slowest, all minutes wait for it') : null)))))
    : h('p', { class: 'quiet' }, 'None yet.'));
  const state = it => it.state === 'final' && it.final_after_s != null && it.final_after_s < 600 ? `final after ${seconds(Math.max(0, it.final_after_s))}` : it.state === 'corrected' ? `corrected by ${it.late} late` : it.state;
  put($('#minutes div'), h('table', { class: 'plain' },
    h('thead', {}, h('tr', {}, ['Minute', 'State', 'Mentions', 'Late'].map((name, i) => h('th', { scope: 'col', class: i > 1 ? 'right' : null }, name)))),
    h('tbody', {}, [...freshness.minutes].reverse().map(it => h('tr', {}, h('th', { scope: 'row' }, hm(it.start)),
      h('td', {}, h('span', { class: 'tools nb' }, ruler([it.state]), state(it), it.complete ? null : h('b', {}, 'incomplete'))), h('td', { class: 'right' }, int(it.mentions)), h('td', { class: 'right' }, it.state === 'final' || it.state === 'corrected' ? int(it.late) : '–')))),
    ), answer.expired ? h('p', { class: 'quiet small gap-2' }, `In the archive only, since Redis no longer remembers their time: ${plural(answer.expired, 'mention')}.`) : null);
}
export const title = () => 'Pipeline';
export function stop() { clearInterval(timer); }
