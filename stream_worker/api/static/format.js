// Numbers, times and names as people read them.

export const NB = '\u202f';
const MINUS = '\u2212', TIMES = '\u00d7', DASH = '\u2013';
export const PM = '\u00b1';
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });

export const int = n => whole.format(Math.round(n));
export const pts = value => {
  const hundredths = Math.round(value * 100);
  return hundredths > 0 ? `+${hundredths}` : hundredths < 0 ? MINUS + -hundredths : '0';
};
export const pct = (share, digits = 0) => share == null ? DASH : (share * 100).toFixed(digits) + NB + '%';
export const coverage = share => share == null ? DASH : (Math.floor(share * 1000) / 10).toFixed(1) + NB + '%';
export const times = (now, usual) => {
  const ratio = now / usual;
  if (ratio > .9 && ratio < 1.15) return 'as usual';
  return (ratio < 10 ? ratio.toFixed(1) : Math.round(ratio)) + TIMES;
};
export const against = (now, usual) => !usual ? 'usual 0' : times(now, usual).replace(TIMES, TIMES + ' usual');
export const range = (low, high) => `${pts(low)} to ${pts(high)}`;
export const plural = (n, one, many = one + 's') => `${int(n)} ${n === 1 ? one : many}`;

// ---- time: the viewer's zone, or UTC after the key z ----

const local = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';
let zone = local;
const kept = new Map();
const formatter = options => {
  const key = zone + JSON.stringify(options);
  if (!kept.has(key)) kept.set(key, new Intl.DateTimeFormat('en-GB', { timeZone: zone, hourCycle: 'h23', ...options }));
  return kept.get(key);
};
export const zoneName = () => zone;
export const toggleZone = () => { zone = zone === 'UTC' ? local : 'UTC'; };
export const ms = text => text == null ? null : Date.parse(text);
const time = at => typeof at === 'number' ? at : Date.parse(at);
export const hm = at => formatter({ hour: '2-digit', minute: '2-digit' }).format(time(at));
export const hms = at => formatter({ hour: '2-digit', minute: '2-digit', second: '2-digit' }).format(time(at));

// A moment of today as 14:07, of this week as Wed 22:46, else as 12 Nov 14:07.
export function when(at, now = Date.now()) {
  const day = t => formatter({ year: 'numeric', month: '2-digit', day: '2-digit' }).format(t);
  if (day(time(at)) === day(now)) return hm(at);
  if (now - time(at) < 6 * 86400e3) return `${formatter({ weekday: 'short' }).format(time(at))} ${hm(at)}`;
  return `${formatter({ day: 'numeric', month: 'short' }).format(time(at))} ${hm(at)}`;
}
export const full = at => formatter({ dateStyle: 'full', timeStyle: 'long' }).format(time(at));
export function lasted(from, to) {
  const minutes = Math.max(0, Math.round((time(to) - time(from)) / 60e3));
  if (minutes < 60) return `${minutes}${NB}min`;
  return `${Math.floor(minutes / 60)}${NB}h ${String(minutes % 60).padStart(2, '0')}`;
}
export const seconds = value => value < 10 ? `${value.toFixed(1)}${NB}s`
  : value < 120 ? `${Math.round(value)}${NB}s` : `${Math.round(value / 60)}${NB}min`;

// ---- addresses ----

export const brandPath = name => `/brands/${encodeURIComponent(name)}`;
export const alertPath = id => `/alerts/${encodeURIComponent(id)}`;
export function decoded(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

// ---- net sentiment ----

export const WINDOWS = { '5m': '5 min', '15m': '15 min', '1h': '1 h', '24h': '24 h' };
// What the margin holds, in words.
export const holds = of => of?.interval_holds === 'sampling' ? 'sampling only, not what the model mistakes' : 'sampling and what the model mistakes';
