// What was recorded on a day, camera by camera: segments, the takes that they make up, and the gaps with their reasons.
// Instants are milliseconds since 1970 by the device's clock.

import { read } from "./api.js";
import { get } from "./state.js";
import { has, t } from "./words.js";

const PAGE = 1000;
const JOINED_MS = 1_500; // segments that follow within this belong together
const RESTART_MS = 20_000; // a pause that is no longer is a restart, not a stop

function segmentOf(one) {
  const start = Date.parse(one.started_at);
  return {
    path: one.path,
    url: one.url,
    thumbnail: one.thumbnail_url,
    camera: one.camera,
    mode: one.mode,
    run: one.run_id,
    start,
    end: start + one.duration_s * 1000,
    size: one.size_bytes,
    width: one.width,
    height: one.height,
    label: one.label,
    locked: one.locked,
    lockLabel: one.lock_labels.filter(Boolean).join(", "),
    uploaded: one.uploaded,
  };
}

const KNOWN_GAPS = 60; // of a day's gaps so many, the longest, are looked up
const BOX_BYTES = 4096;
const boxes = new Map(); // path: promise of what a segment says of itself

/** The box at a segment's end, with which the file describes itself: its session, boot, and place in its run. */
function boxOf(segment) {
  if (!boxes.has(segment.path)) {
    boxes.set(segment.path, readBox(segment).catch(() => null));
  }
  return boxes.get(segment.path);
}

async function readBox({ url, size }) {
  const answer = await fetch(url, { headers: { Range: `bytes=${Math.max(0, size - BOX_BYTES)}-` } });
  if (answer.status !== 206) return null;
  const data = new DataView(await answer.arrayBuffer());
  const end = data.byteLength - 4;
  const length = data.getUint32(end);
  const text = new Uint8Array(data.buffer, end + 4 - length + 24, length - 28);
  return JSON.parse(new TextDecoder().decode(text));
}

const iso = (ms) => new Date(ms).toISOString();

/** The newest instant before `ms` that there is footage of, or null. */
export async function newestBefore(ms) {
  const query = new URLSearchParams({ limit: 1 });
  if (ms !== null) query.set("to", iso(ms));
  const { recordings } = await read(`/api/recordings?${query}`);
  return recordings.length ? segmentOf(recordings[0]).start : null;
}

/** The footage of a window, which grows while it is read; `told(count)` after each page. */
export class Footage {
  segments = new Map(); // path: segment

  constructor(start, end) {
    this.start = start;
    this.end = end;
  }

  async read(signal, told = () => {}, from = this.start) {
    let cursor = null;
    do {
      const query = new URLSearchParams({ from: iso(from), to: iso(this.end), limit: PAGE });
      if (cursor) query.set("cursor", cursor);
      const page = await read(`/api/recordings?${query}`, signal);
      for (const one of page.recordings) this.segments.set(one.path, segmentOf(one));
      cursor = page.next_cursor;
      told(this.segments.size);
    } while (cursor);
  }

  /** Segments of each camera, oldest first; cameras in the device's order. */
  get tracks() {
    const tracks = new Map(Object.keys(get("status")?.cameras ?? {}).map((camera) => [camera, []]));
    for (const one of this.segments.values()) {
      if (!tracks.has(one.camera)) tracks.set(one.camera, []);
      tracks.get(one.camera).push(one);
    }
    for (const track of tracks.values()) track.sort((a, b) => a.start - b.start);
    return tracks;
  }

  /** Recordings as a person remembers them: what follows without a pause in one mode, on all cameras together. */
  get takes() {
    const takes = [];
    for (const one of [...this.segments.values()].sort((a, b) => a.start - b.start || (a.camera < b.camera ? -1 : 1))) {
      const last = takes[takes.length - 1];
      if (last && goesOn(last, one)) {
        last.segments.push(one);
        last.runs.add(one.run);
        last.end = Math.max(last.end, one.end);
      } else {
        takes.push({ start: one.start, end: one.end, mode: one.mode, label: one.label, segments: [one], runs: new Set([one.run]) });
      }
    }
    return takes;
  }
}

/** Whether a segment belongs to what came before: the next of its run, or a camera that joins while another goes on. */
function goesOn(take, one) {
  if (one.mode !== take.mode || one.label !== take.label) return false;
  return take.runs.has(one.run) ? one.start <= take.end + JOINED_MS : one.start <= take.end;
}

/** Where each camera has nothing between two segments, and why, as far as that can be known. */
export function gapsOf(tracks) {
  const gaps = [];
  for (const [camera, track] of tracks) {
    for (let place = 1; place < track.length; place += 1) {
      const [before, after] = [track[place - 1], track[place]];
      if (after.start - before.end > (before.run === after.run ? JOINED_MS : 0)) {
        const gap = { camera, start: before.end, end: after.start, before, after };
        gaps.push({ ...gap, ...reasonOf(gap, before, after, tracks) });
      }
    }
  }
  return gaps;
}

function reasonOf(gap, before, after, tracks) {
  if (before.run === after.run) return { kind: "missing", words: t("gap.missing") };
  const middle = (gap.start + gap.end) / 2;
  const others = [...tracks.entries()].filter(([camera]) => camera !== gap.camera).flatMap(([, track]) => track);
  const other = others.find((one) => one.start <= middle && one.end >= middle);
  if (other) {
    const cameras = get("info")?.modes.find((mode) => mode.name === other.mode)?.cameras ?? [gap.camera];
    return cameras.includes(gap.camera)
      ? { kind: "fault", words: t("gap.fault") }
      : { kind: "stopped", words: t("gap.mode", { mode: other.mode }) };
  }
  if (gap.end - gap.start < RESTART_MS) {
    return before.mode === after.mode
      ? { kind: "restart", words: t("gap.restart") }
      : { kind: "stopped", words: t("gap.switch", { mode: after.mode }) };
  }
  return { kind: "stopped", words: t("gap.stopped") };
}

/** Ask the files on both sides of each gap, and the newest events, what happened. True where that told more. */
export async function explainGaps(gaps) {
  const longest = [...gaps].sort((a, b) => b.end - b.start - (a.end - a.start)).slice(0, KNOWN_GAPS);
  let more = false;
  for (const gap of longest) {
    const [before, after] = await Promise.all([boxOf(gap.before), boxOf(gap.after)]);
    const found = before && after && judged(before, after, gap);
    if (found && found.words !== gap.words) {
      Object.assign(gap, found);
      more = true;
    }
  }
  return more;
}

/** The same table as the agent's own, in core/gaps.py. */
function judged(before, after, gap) {
  if (before.sequence === after.sequence) {
    return after.index === before.index + 1 ? fault(gap, "gap.silent") : { kind: "missing", words: t("gap.missing") };
  }
  if (after.index > 0) return { kind: "missing", words: t("gap.missing") };
  if (!before.session || !after.session) return null;
  if (before.session !== after.session) return { kind: "stopped", words: stopOf(gap) ?? t("gap.stop") };
  if (before.boot_id !== after.boot_id) return { kind: "fault", words: t("gap.power") };
  const same = before.mode === after.mode && before.width === after.width && before.height === after.height;
  return same ? fault(gap, "gap.failed") : { kind: "stopped", words: t("gap.switch", { mode: after.mode }) };
}

/** A fault, in the agent's own words where this page heard them. */
function fault(gap, otherwise) {
  const near = (at) => at >= gap.start - 3_000 && at <= gap.end + 1_000;
  const told = get("events").find((event) => (event.event_type === "agent_started" || (event.event_type === "camera_fault" && event.camera === gap.camera)) && near(Date.parse(event.at)));
  if (told?.event_type === "agent_started") return { kind: "stopped", words: t("gap.agent") };
  return { kind: "fault", words: told ? told.message : t(otherwise) };
}

function stopOf(gap) {
  const near = (at) => at >= gap.start - 5_000 && at <= Math.min(gap.end, gap.start + 15_000);
  const told = get("events").find((event) => event.event_type === "recording_stopped" && near(Date.parse(event.at)));
  return told && has(`reason.${told.reason}`) ? t(`reason.${told.reason}`) : null;
}
