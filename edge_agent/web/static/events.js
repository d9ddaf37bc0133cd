// The newest things that happened, in words.

import { h, icon, one } from "./dom.js";
import { cameraName, get, set, watch } from "./state.js";
import { bytes, has, span, t, when } from "./words.js";

const KEPT = 200;
const SHOWN = 10;

const ICONS = {
  agent_started: "check",
  recording_started: "dot",
  recording_stopped: "stop",
  segment_stored: "film",
  segment_deleted: "bin",
  segment_locked: "lock",
  snapshot_taken: "shot",
  clip_ready: "save",
  footage_uploaded: "cloud",
  camera_fault: "warn",
  camera_recovered: "check",
  storage_low: "warn",
  storage_full: "warn",
  command_refused: "cross",
  clock_stepped: "warn",
};
const GATHERED = new Set(["segment_stored", "segment_deleted", "segment_locked", "footage_uploaded"]);

/** An event in words. */
function eventWords(event) {
  const values = {
    camera: event.camera ? cameraName(event.camera) : (event.cameras ?? []).map(cameraName).join(" + "),
    mode: event.mode,
    reason: has(`reason.${event.reason}`) ? t(`reason.${event.reason}`) : event.reason,
    verb: event.verb,
    message: event.message,
    size: event.size_bytes === undefined ? "" : bytes(event.size_bytes),
    length: event.duration_s === undefined ? "" : span(event.duration_s),
    free: event.free_bytes === undefined ? "" : bytes(event.free_bytes),
    seconds: event.step_s,
  };
  const key = `event.${event.event_type}`;
  return has(key) ? t(key, values) : event.event_type.replaceAll("_", " ");
}

/** Add events to what is known; each only once. */
export function learnEvents(more) {
  const all = [...more, ...get("events")];
  const seen = new Set();
  const unique = all.filter((event) => {
    const key = JSON.stringify(event);
    return !seen.has(key) && seen.add(key);
  });
  unique.sort((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0));
  set("events", unique.slice(0, KEPT));
}

/** Neighbours that tell of files are one line: otherwise they would be all there is to see. */
function gathered(events) {
  const lines = [];
  for (const event of events) {
    const last = lines[lines.length - 1];
    if (last && GATHERED.has(event.event_type) && last.event.event_type === event.event_type) last.count += 1;
    else lines.push({ event, count: 1 });
  }
  return lines;
}

function line({ event, count }) {
  const words = count > 1 ? t(`events.${event.event_type}`, { n: count }) : eventWords(event);
  const url = event.url ?? (event.event_type === "snapshot_taken" ? `/recordings/${event.path}` : null);
  return h(
    "li",
    { class: event.event_type.replace("_", "-") },
    icon(ICONS[event.event_type] ?? "dot"),
    url ? h("a", { href: url, target: "_blank", rel: "noopener" }, words) : h("span", {}, words),
    h("time", { dateTime: event.at }, when(Date.parse(event.at))),
  );
}

/** Keep the list in step with what happens. */
export function showEvents() {
  const list = h("ol", { class: "events" });
  one("events").append(h("h3", {}, t("events")), list);
  watch(["events", "info"], () => {
    const lines = gathered(get("events")).slice(0, SHOWN);
    list.replaceChildren(...(lines.length ? lines.map(line) : [h("li", { class: "none" }, t("events.none"))]));
  });
}
