// The recordings of a day: timeline, player, range, list, and the snapshots below.

import { album } from "./album.js";
import { Clip } from "./clip.js";
import { button, h, write } from "./dom.js";
import { Footage, explainGaps, gapsOf, newestBefore } from "./footage.js";
import { Player } from "./player.js";
import { cameraName, deviceNow, get, watch } from "./state.js";
import { Takes } from "./takes.js";
import { Timeline } from "./timeline.js";
import { sayRefused } from "./toast.js";
import { clockTime, longDate, t } from "./words.js";

const DAY_MS = 86_400_000;
const REFRESH_MS = 700;
const ROOMY = matchMedia("(min-width: 64rem)"); // where the player has room beside the list
const TAIL_MS = 2_000;
const OVERLAP_MS = 120_000; // how far back to look again for files that were stored meanwhile

const dayOf = (ms) => new Date(ms).setHours(0, 0, 0, 0);
const dayAfter = (ms) => dayOf(dayOf(ms) + DAY_MS * 1.5);
const inputDay = (ms) => {
  const at = new Date(ms);
  return [at.getFullYear(), String(at.getMonth() + 1).padStart(2, "0"), String(at.getDate()).padStart(2, "0")].join("-");
};

class Recordings {
  footage = null;
  reading = null;

  constructor() {
    this.timeline = new Timeline({
      seek: (ms) => this.seek(ms),
      choose: (range) => this.clip.show(range),
      hover: (segment, x, ms) => this.#peek(segment, x, ms),
    });
    this.player = new Player({
      moved: (ms) => {
        this.timeline.setAt(ms);
        this.timeline.reveal(ms);
      },
    });
    this.clip = new Clip({
      tracks: () => this.timeline.tracks,
      changed: (range) => {
        this.timeline.setRange(range);
        this.clip.show(this.timeline.range);
      },
      play: ({ start, end }) => {
        if (this.player.seek(start)) this.player.play(end);
      },
    });
    this.takes = new Takes({
      play: (start, end) => this.#playFrom(start, end),
      save: ({ start, end }, cameras) => this.clip.save({ start, end }, cameras),
      changed: (gone) => this.#changed(gone),
    });
    this.day = h("input", { type: "date", "aria-label": t("day"), change: () => this.day.value && this.open(new Date(`${this.day.value}T00:00`).getTime()) });
    this.title = h("p", { class: "day-words", "aria-live": "polite" });
    this.state = h("p", { class: "hint", role: "status" });
    this.peek = h("div", { class: "peek", hidden: true }, h("img", { alt: "", width: 160, height: 120 }), h("span"));
  }

  get node() {
    const day = h(
        "div",
        { class: "card" },
        h(
          "div",
          { class: "row wrap days" },
          button({ icon: "left", label: t("day.before"), class: "quiet", click: () => this.open(dayOf(this.footage.start - DAY_MS / 2)) }),
          this.day,
          button({ icon: "right", label: t("day.after"), class: "quiet", click: () => this.open(this.footage.end + 1) }),
          button({ words: t("day.newest"), click: () => this.openNewest(null) }),
          button({ words: t("day.earlier"), class: "quiet", click: () => this.openNewest(this.footage.start) }),
          this.title,
        ),
        this.state,
        this.player.node,
        h("div", { class: "peeking" }, this.timeline.node, this.peek),
      );
    return [h("div", { class: "left" }, day, this.clip.node, album()), this.takes.node];
  }

  async openNewest(before) {
    try {
      const newest = await newestBefore(before);
      if (newest !== null) await this.open(newest);
      else if (before === null) await this.open(deviceNow());
      else write(this.state, t("day.none.before"));
    } catch (error) {
      sayRefused(error);
    }
  }

  /** Show the day that an instant lies in. */
  async open(ms) {
    this.reading?.abort();
    this.reading = new AbortController();
    const { signal } = this.reading;
    const footage = new Footage(dayOf(ms), dayAfter(ms));
    this.footage = footage;
    this.day.value = inputDay(ms);
    write(this.title, longDate(footage.start));
    this.player.close();
    this.timeline.setDay(footage.start, footage.end);
    this.clip.show(null);
    write(this.state, t("reading"));
    try {
      await footage.read(signal, (count) => write(this.state, t("reading.count", { n: count })));
    } catch (error) {
      if (!signal.aborted) {
        sayRefused(error);
        write(this.state, error.message);
      }
      return;
    }
    this.#show();
    this.timeline.fit();
    const newest = footage.takes.at(-1);
    // A moment after its start, when all cameras have begun.
    if (newest && ROOMY.matches) this.player.seek(newest.start + Math.min(1_000, (newest.end - newest.start) / 2));
  }

  #show() {
    const { tracks } = this.footage;
    this.timeline.tracks = tracks;
    this.timeline.gaps = gapsOf(tracks);
    this.player.setTracks(tracks);
    this.takes.show(this.footage.takes, this.timeline.gaps);
    write(this.state, this.footage.segments.size ? "" : t("day.none"));
    this.#tails();
    this.timeline.draw();
    this.#explain();
  }

  async #explain() {
    const { gaps } = this.timeline;
    const { footage } = this;
    if ((await explainGaps(gaps)) && footage === this.footage && gaps === this.timeline.gaps) {
      this.takes.show(footage.takes, gaps);
      this.timeline.draw();
    }
  }

  /** From the last stored file up to now: what is being written. */
  #tails() {
    const now = deviceNow();
    this.timeline.tails.clear();
    const status = get("status");
    if (!this.footage || !status || now >= this.footage.end || now < this.footage.start) return;
    for (const [camera, told] of Object.entries(status.cameras)) {
      if (!told.recording) continue;
      const last = this.timeline.tracks.get(camera)?.at(-1)?.end ?? 0;
      const from = Math.max(last, Date.parse(status.started_at ?? 0), this.footage.start);
      if (now > from) this.timeline.tails.set(camera, [from, now]);
    }
  }

  tick() {
    if (get("view") !== "recordings" || document.hidden || !this.footage) return;
    const before = this.timeline.tails.size;
    this.#tails();
    if (this.timeline.tails.size || before) this.timeline.draw();
  }

  /** Files were stored, deleted or kept: look again where that may be. */
  async refresh(events) {
    if (!this.footage) return;
    const { footage } = this;
    const times = [];
    for (const event of events) {
      if (event.event_type === "segment_deleted") footage.segments.delete(event.path);
      else if (event.event_type === "segment_stored") times.push(Date.parse(event.started_at));
      else if (event.event_type === "segment_locked" || event.event_type === "footage_uploaded") times.push(footage.segments.get(event.path)?.start ?? footage.start);
    }
    const from = Math.min(...times) - OVERLAP_MS;
    if (times.length && from < footage.end) {
      const empty = !footage.segments.size;
      await footage.read(undefined, undefined, Math.max(footage.start, from)).catch(() => {});
      if (footage !== this.footage) return;
      this.#show();
      if (empty) this.timeline.fit();
      return;
    }
    this.#show();
  }

  async #changed(gone = []) {
    for (const one of gone) this.footage.segments.delete(one.path);
    await this.footage.read().catch(() => {});
    this.#show();
  }

  seek(ms) {
    const was = this.player.playing;
    if (this.player.seek(ms)) {
      if (was) this.player.play();
    } else {
      this.timeline.setAt(ms);
    }
  }

  #playFrom(start, end) {
    if (end) this.timeline.look(start, end);
    if (!this.player.seek(start)) return;
    this.player.play();
    this.player.node.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  #peek(segment, x, ms) {
    clearTimeout(this.peekTimer);
    this.peek.hidden = !segment?.thumbnail;
    if (this.peek.hidden) return;
    const [img, words] = this.peek.children;
    write(words, `${cameraName(segment.camera)} ${clockTime(ms)}`);
    this.peek.style.left = `${Math.min(Math.max(0, x - 84), this.timeline.node.clientWidth - 168)}px`;
    if (this.peek.dataset.path === segment.path) return;
    this.peek.dataset.path = segment.path;
    img.removeAttribute("src");
    this.peekTimer = setTimeout(() => (img.src = segment.thumbnail), 150);
  }
}

/** Build the view. Called when it is opened for the first time. */
export function show(place) {
  const recordings = new Recordings();
  place.append(...recordings.node);
  recordings.openNewest(null);
  setInterval(() => recordings.tick(), TAIL_MS);

  let handled = get("events")[0];
  let timer = 0;
  const catchUp = () => {
    const events = get("events");
    const fresh = events.slice(0, Math.max(0, events.indexOf(handled)));
    handled = events[0];
    const files = fresh.filter((event) => event.event_type.startsWith("segment_"));
    if (files.length) recordings.refresh(files);
  };
  watch("events", (events) => {
    if (events[0] === handled) return;
    clearTimeout(timer);
    timer = setTimeout(catchUp, REFRESH_MS);
  });
  watch(["view", "online"], () => {
    if (get("view") !== "recordings" || document.hidden) recordings.player.pause();
  });
  watch("session", () => recordings.footage && recordings.takes.show(recordings.footage.takes, recordings.timeline.gaps));
}
