// Words, numbers and times in the visitor's language.

export const lang = document.documentElement.lang === "ko" ? "ko" : "en";
const { default: words } = await import(`./words-${lang}.js`);

/** The words for `key`, with {names} filled in; {s} makes the plural of `n` things in a language that has one. */
export function t(key, values = {}) {
  const filled = { s: values.n === 1 ? "" : "s", ...values };
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => String(filled[name] ?? ""));
}

/** Whether there are words for `key`. */
export const has = (key) => key in words;

/** Fill in every element with `data-t`. */
export function translate(root) {
  for (const node of root.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
}

const clock = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const brief = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const date = new Intl.DateTimeFormat(lang, { weekday: "short", day: "numeric", month: "short", year: "numeric" });
const shortDate = new Intl.DateTimeFormat(lang, { day: "numeric", month: "short" });

export const clockTime = (ms) => clock.format(ms);
export const briefTime = (ms) => brief.format(ms);
export const longDate = (ms) => date.format(ms);

/** When something was: the time alone if it was today. */
export function when(ms) {
  const today = new Date().toDateString() === new Date(ms).toDateString();
  return today ? clockTime(ms) : `${shortDate.format(ms)} ${briefTime(ms)}`;
}

const decimal = (digits) => new Intl.NumberFormat(lang, { maximumFractionDigits: digits });
const tens = decimal(0);
const ones = decimal(1);

export const number = (value) => (Math.abs(value) < 10 ? ones : tens).format(value);

/** Bytes as people read them, in powers of ten, as disks are sold. */
export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let step = 0;
  let left = count;
  while (left >= 999.5 && step < units.length - 1) {
    left /= 1000;
    step += 1;
  }
  return `${(left < 10 && step > 1 ? ones : tens).format(left)} ${units[step]}`;
}

/** Seconds as a counter: 0:07, 12:34, 1:02:03. */
export function counter(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value) => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** Seconds in words: 45 s, 10 min, 1 h 30 min. */
export function span(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return t("n.s", { n: seconds < 10 ? ones.format(seconds) : whole });
  const minutes = Math.round(whole / 60);
  if (whole < 600 && whole % 60) return `${t("n.min", { n: Math.floor(whole / 60) })} ${t("n.s", { n: whole % 60 })}`;
  if (minutes < 60) return t("n.min", { n: minutes });
  if (minutes < 60 * 48) {
    const rest = minutes % 60;
    return t("n.h", { n: Math.floor(minutes / 60) }) + (rest ? ` ${t("n.min", { n: rest })}` : "");
  }
  return t("n.d", { n: number(minutes / 1440) });
}

/** Seconds of `90`, `90s`, `10m`, `1h30m`, `2d`; null where it is none of these. */
export function readSpan(text) {
  const found = /^\s*(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m(?:in)?)?\s*(?:(\d+)s?)?\s*$/i.exec(text);
  if (!found || !text.trim()) return null;
  const [, d = 0, hours = 0, m = 0, s = 0] = found;
  return d * 86400 + hours * 3600 + m * 60 + Number(s);
}
