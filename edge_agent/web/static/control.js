// Record and stop, mode, duration, snapshot and lock: what an operator does while looking at the pictures.

import { command } from "./api.js";
import { button, h, icon, one, write } from "./dom.js";
import { deviceNow, get, mayOperate, watch } from "./state.js";
import { say, sayRefused } from "./toast.js";
import { counter, readSpan, span, t } from "./words.js";

const PRESETS_S = [0, 60, 300, 600, 3600];
const BUSY = new Set(["starting", "stopping"]);

/** Give a command; the control that asked for it does nothing meanwhile. Its result, or null after telling why not. */
export async function give(control, verb, body, told) {
  if (control?.classList.contains("busy")) return null;
  // Not `disabled`: that would take the focus away from who works with keys.
  control?.classList.add("busy");
  control?.setAttribute("aria-disabled", "true");
  try {
    const result = await command(verb, body);
    if (told) say(typeof told === "function" ? told(result) : told);
    return result;
  } catch (error) {
    sayRefused(error);
    return null;
  } finally {
    control?.classList.remove("busy");
    control?.removeAttribute("aria-disabled");
    show();
  }
}

const recordWords = h("span");
const recordIcon = h("span", { class: "glyph" });
const record = h("button", { type: "button", id: "record", class: "record", click: toggle }, recordIcon, recordWords);
const elapsed = h("span", { class: "elapsed" });
const remaining = h("span", { class: "remaining" });
const mode = h("select", { id: "mode", change: () => give(mode, "mode", { mode: mode.value }) });
const chips = h("div", { class: "chips", role: "radiogroup", "aria-labelledby": "t-duration" });
const own = h("input", { id: "own-duration", type: "text", autocomplete: "off", spellcheck: false, placeholder: "1h30m" });
const ownForm = h("form", { class: "own", hidden: true, submit: takeOwn }, h("label", { for: "own-duration" }, t("duration.own")), own, h("button", { type: "submit" }, t("set")));
const label = h("input", { id: "label", type: "text", maxLength: 64, autocomplete: "off", pattern: "[A-Za-z0-9 ._\\-]*", title: t("label.hint") });
const hint = h("p", { class: "hint" });
const stream = h("button", { type: "button", class: "quiet stream", click: () => give(stream, "stream", { state: get("status").state === "streaming" ? "OFF" : "ON" }) });
const snapshot = button({ icon: "shot", words: t("snapshot"), click: () => give(snapshot, "snapshot", {}, t("snapshot.done")) });
const lock = button({ icon: "lock", words: t("lock.5m"), click: () => give(lock, "lock", { before: "5m" }, (result) => t("lock.done", { n: result.data.count })) });

async function toggle() {
  const status = get("status");
  if (!status) return;
  if (records(status)) {
    await give(record, "stop", {});
  } else {
    await give(record, "start", label.value.trim() ? { label: label.value.trim() } : {});
  }
}

const records = (status) => status.mode !== null && status.state !== "streaming";

function setDuration(seconds) {
  ownForm.hidden = true;
  give(null, "duration", { duration: seconds });
}

function takeOwn(event) {
  event.preventDefault();
  const seconds = readSpan(own.value);
  if (seconds === null) {
    say(t("duration.wrong"), "bad");
    own.focus();
    return;
  }
  setDuration(seconds);
}

function showModes(info, status) {
  const wanted = (status.state === "streaming" ? null : status.mode) ?? status.selected_mode;
  const names = info.modes.map((one_) => one_.name).join();
  if (mode.dataset.names !== names) {
    mode.dataset.names = names;
    const groups = { both: [], one: [], special: [] };
    for (const one_ of info.modes) {
      if (one_.purpose !== "record") continue;
      const group = one_.timed ? "special" : one_.cameras.length > 1 ? "both" : "one";
      groups[group].push(h("option", { value: one_.name }, modeWords(one_)));
    }
    const filled = Object.entries(groups).filter(([, options]) => options.length);
    mode.replaceChildren(...filled.map(([group, options]) => h("optgroup", { label: t(`mode.${group}`) }, ...options)));
  }
  if (document.activeElement !== mode || mode.value !== wanted) mode.value = wanted;
}

function modeWords({ name, steps }) {
  const [first] = steps;
  return steps.length === 1 ? `${name} · ${first.width}×${first.height}, ${first.fps} fps` : name;
}

function showDurations(status, timed) {
  const shown = [...PRESETS_S];
  if (!shown.includes(status.duration_s)) shown.push(status.duration_s);
  const off = timed || !mayOperate() || !get("online");
  const key = `${shown}|${status.duration_s}|${off}`;
  if (chips.dataset.key === key) return;
  const focused = chips.contains(document.activeElement);
  chips.dataset.key = key;
  const chip = (seconds) => {
    const chosen = seconds === status.duration_s;
    return h(
      "button",
      { type: "button", class: "chip-button", role: "radio", "aria-checked": String(chosen), tabIndex: chosen ? 0 : -1, disabled: off, click: () => setDuration(seconds) },
      seconds ? span(seconds) : t("duration.open"),
    );
  };
  const custom = h("button", { type: "button", class: "chip-button", "aria-expanded": String(!ownForm.hidden), disabled: off, click: openOwn }, t("duration.custom"));
  chips.replaceChildren(...shown.map(chip));
  customPlace.replaceChildren(custom);
  if (focused) chips.querySelector('[aria-checked="true"]')?.focus();
}

const customPlace = h("span");

function openOwn(event) {
  ownForm.hidden = !ownForm.hidden;
  event.currentTarget.setAttribute("aria-expanded", String(!ownForm.hidden));
  if (!ownForm.hidden) own.focus();
}

chips.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const all = [...chips.children];
  const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
  next.focus();
});

function show() {
  const status = get("status");
  const info = get("info");
  if (!status) return;
  const busy = BUSY.has(status.state);
  const able = get("online") && mayOperate();
  const on = records(status);
  record.disabled = !able;
  const look = `${on}`;
  if (record.dataset.look !== look) {
    record.dataset.look = look;
    record.classList.toggle("on", on);
    recordIcon.replaceChildren(icon(on ? "stop" : "dot"));
  }
  write(recordWords, busy ? t(`state.${status.state}`) : t(on ? "stop" : "record"));
  mode.disabled = !able;
  snapshot.disabled = lock.disabled = stream.disabled = !able;
  const live = status.state === "streaming";
  write(stream, t(live ? "stream.off" : "stream.on"));
  stream.hidden = on;
  label.parentNode.hidden = on;
  if (info) showModes(info, status);
  const timed = Boolean(info?.modes.find((one_) => one_.name === mode.value)?.timed);
  showDurations(status, timed);
  write(hint, hintFor(status, timed, on));
  tick();
}

function hintFor(status, timed, on) {
  if (timed) return t("hint.timed");
  if (on) return t("hint.recording", { mode: status.mode }) + (status.label ? ` ${t("hint.label", { label: status.label })}` : "");
  return t("hint.idle");
}

function tick() {
  const status = get("status");
  if (!status) return;
  const started = status.started_at ? Date.parse(status.started_at) : null;
  const ends = status.ends_at ? Date.parse(status.ends_at) : null;
  const on = records(status);
  write(elapsed, on && started ? counter((deviceNow() - started) / 1000) : "0:00");
  elapsed.classList.toggle("off", !on);
  let left = "";
  if (on && ends) left = t("left", { time: counter((ends - deviceNow()) / 1000) });
  else if (on) left = t("until.stopped");
  else if (status.duration_s) left = t("for", { time: span(status.duration_s) });
  write(remaining, left);
}

/** Build the controls and keep them in step with the device. */
export function showControl() {
  const field = (id, words, control) => h("p", { class: "field" }, h("label", { for: id }, words), control);
  one("control").append(
    h("h3", { class: "unseen" }, t("control")),
    h("div", { class: "recording" }, record, h("p", { class: "times", role: "timer" }, elapsed, remaining)),
    h("div", { class: "row wrap quick" }, snapshot, lock),
    field("mode", t("mode"), mode),
    h("div", { class: "field" }, h("p", { id: "t-duration", class: "as-label" }, t("duration")), h("div", { class: "durations" }, chips, customPlace), ownForm),
    field("label", t("label"), label),
    hint,
    h("p", {}, stream),
  );
  watch(["status", "info", "online", "session"], show);
  setInterval(tick, 250);
}
