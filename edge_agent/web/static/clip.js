// A range of the timeline: play it, keep it, or save it as one file per camera, with progress and a way to stop.

import { streamed } from "./api.js";
import { give } from "./control.js";
import { button, h, write } from "./dom.js";
import { cameraName, mayOperate } from "./state.js";
import { say, sayRefused } from "./toast.js";
import { bytes, span, t } from "./words.js";

const BY_BROWSER = 400e6; // larger clips are left to the browser's own download, which needs no memory for them

/** Save bytes as a file of the visitor's. */
function hand(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

const clipUrl = (camera, { start, end }) => `/api/clip?${new URLSearchParams({ camera, from: new Date(start).toISOString(), to: new Date(end).toISOString() })}`;

const common = (one, { start, end }) => Math.max(0, Math.min(end, one.end) - Math.max(start, one.start));

/** How many milliseconds of the range were stored. */
const covered = (track, range) => track.reduce((sum, one) => sum + common(one, range), 0);

/** About how large a camera's clip of the range will be. */
const expected = (track, range) => track.reduce((sum, one) => sum + (one.size * common(one, range)) / (one.end - one.start), 0);

const pad = (value) => String(value).padStart(2, "0");
const inputTime = (ms) => {
  const at = new Date(ms);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
};

/** The panel for the chosen range. `changed(range)` tells the timeline; `play(range)` plays it. */
export class Clip {
  range = null;
  #stop = null;

  constructor({ changed, play, tracks }) {
    this.changed = changed;
    this.tracks = tracks;
    const time = { type: "text", inputMode: "numeric", pattern: "[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?", autocomplete: "off", title: t("clip.time"), change: () => this.#typed() };
    this.from = h("input", { id: "clip-from", ...time });
    this.to = h("input", { id: "clip-to", ...time });
    this.summary = h("p", { class: "summary" });
    this.cameras = h("div", { class: "row wrap" });
    this.bar = h("progress", { "aria-label": t("clip.progress") });
    this.barWords = h("span", { role: "status" });
    this.work = h("div", { class: "row work", hidden: true }, this.bar, this.barWords, button({ words: t("cancel"), click: () => this.#stop?.abort() }));
    this.saveButton = button({ icon: "save", words: t("clip.save"), class: "main", id: "clip-save", click: () => this.save() });
    this.keepButton = button({ icon: "lock", words: t("clip.keep"), click: () => this.keep() });
    this.node = h(
      "section",
      { class: "card clip", hidden: true, "aria-labelledby": "t-clip" },
      h("h3", { id: "t-clip" }, t("clip")),
      h(
        "div",
        { class: "row wrap ends" },
        h("p", {}, h("label", { for: "clip-from" }, t("clip.from")), this.from),
        h("p", {}, h("label", { for: "clip-to" }, t("clip.to")), this.to),
        this.summary,
      ),
      this.cameras,
      this.work,
      h(
        "div",
        { class: "row wrap" },
        this.saveButton,
        button({ icon: "play", words: t("clip.play"), click: () => play(this.range) }),
        this.keepButton,
        button({ words: t("clip.clear"), class: "quiet", click: () => changed(null) }),
      ),
    );
  }

  show(range) {
    const cameras = [...this.tracks().keys()];
    if (this.cameras.children.length !== cameras.length) {
      this.cameras.replaceChildren(...cameras.map((camera) => h("label", { class: "check" }, h("input", { type: "checkbox", value: camera, checked: true, change: () => this.show(this.range) }), cameraName(camera))));
    }
    this.range = range;
    this.node.hidden = !range;
    if (!range) return;
    if (document.activeElement !== this.from) this.from.value = inputTime(range.start);
    if (document.activeElement !== this.to) this.to.value = inputTime(range.end);
    const size = this.chosen.reduce((sum, camera) => sum + expected(this.tracks().get(camera), range), 0);
    const length = range.end - range.start;
    const held = Math.max(0, ...this.chosen.map((camera) => covered(this.tracks().get(camera), range)));
    const parts = [span(length / 1000)];
    if (held < length - 1500) parts.push(t("clip.held", { time: span(held / 1000) }));
    if (size) parts.push(t("about", { size: bytes(size) }));
    write(this.summary, parts.join(" · "));
    this.saveButton.disabled = Boolean(this.#stop) || !this.chosen.length;
    this.keepButton.disabled = !mayOperate();
  }

  get chosen() {
    return [...this.cameras.querySelectorAll("input:checked")].map((input) => input.value);
  }

  /** The times that were typed, on the day of the range. */
  #typed() {
    const at = (input, ms) => {
      const [hours, minutes, seconds = 0] = input.value.split(":").map(Number);
      return input.checkValidity() && input.value ? new Date(ms).setHours(hours, minutes, seconds, 0) : ms;
    };
    const start = at(this.from, this.range.start);
    const end = at(this.to, this.range.end);
    if (end > start) this.changed({ start, end });
    else say(t("clip.order"), "bad");
  }

  async keep() {
    const { start, end } = this.range;
    await give(this.keepButton, "lock", { from: new Date(start).toISOString(), to: new Date(end).toISOString() }, (result) => t("lock.done", { n: result.data.count }));
  }

  /** Save the range of every chosen camera, one after the other. */
  async save(range = this.range, cameras = this.chosen) {
    const stop = new AbortController();
    this.#stop = stop;
    this.saveButton.disabled = true;
    this.node.hidden = false;
    this.work.hidden = false;
    try {
      for (const camera of cameras) await this.#saveOne(camera, range, stop.signal);
      if (cameras.length) say(t("clip.saved"));
    } catch (error) {
      if (stop.signal.aborted) say(t("clip.stopped"));
      else sayRefused(error);
    } finally {
      this.#stop = null;
      this.saveButton.disabled = false;
      this.work.hidden = true;
      this.node.hidden = !this.range;
    }
  }

  async #saveOne(camera, range, signal) {
    const url = clipUrl(camera, range);
    const size = expected(this.tracks().get(camera) ?? [], range);
    if (size > BY_BROWSER) {
      h("a", { href: url, download: "" }).click();
      return;
    }
    const told = (done) => {
      this.bar.max = Math.max(size, done, 1);
      this.bar.value = done;
      write(this.barWords, t("clip.done", { camera: cameraName(camera), n: Math.min(99, Math.round((done / Math.max(size, done, 1)) * 100)), size: bytes(done) }));
    };
    told(0);
    const answer = await streamed(url, signal);
    const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1] ?? `clip_${camera}.mp4`;
    const pieces = [];
    let done = 0;
    const reader = answer.body.getReader();
    for (;;) {
      const { value, done: over } = await reader.read();
      if (over) break;
      pieces.push(value);
      done += value.length;
      told(done);
    }
    hand(new Blob(pieces, { type: "video/mp4" }), name);
  }
}
