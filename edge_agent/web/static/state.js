// What the page knows, newest value of each, and who wants to hear of a change.

const values = {
  info: null,
  status: null,
  telemetry: null,
  session: null,
  online: null, // null: not connected yet
  view: "live",
  events: [], // newest first
};
const listeners = new Map();

export const get = (key) => values[key];

export function set(key, value) {
  values[key] = value;
  for (const listener of listeners.get(key) ?? []) listener(value);
}

/** Call `listener` with the value of each of `keys` now and whenever it changes. */
export function watch(keys, listener) {
  for (const key of [keys].flat()) {
    if (!listeners.has(key)) listeners.set(key, new Set());
    listeners.get(key).add(listener);
  }
  listener(values[[keys].flat()[0]]);
}

/** Whether this visitor may give commands. */
export const mayOperate = () => values.session === null || values.session.role === "operator";

let offset_ms = 0;

/** Learn the device's clock: what it says, and nothing else, is compared with its own instants. */
export function learnClock(device_ms) {
  offset_ms = device_ms - Date.now();
}

/** Milliseconds since 1970 by the device's clock. */
export const deviceNow = () => Date.now() + offset_ms;

/** Names of cameras that people read, by id. */
export function cameraName(id) {
  return values.info?.cameras.find((camera) => camera.id === id)?.name ?? id;
}
