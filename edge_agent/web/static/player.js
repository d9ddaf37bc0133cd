// Stored footage of all cameras, played in step. Each camera has two <video>: while one plays a file, the other gets
// the next, so that files follow each other without a pause.

import { button, h, icon, write } from "./dom.js";
import { cameraName } from "./state.js";
import { clockTime, longDate, t } from "./words.js";

const DRIFT_S = 0.3; // cameras that are further apart are brought together by a jump, else by a little more speed
const PRELOAD_S = 8;
const END_S = 0.15; // what is left of a file when the next one begins
const TICK_MS = 100;
const SPEEDS = [0.5, 1, 2, 4, 8];

class Screen {
  segment = null;

  constructor(camera) {
    this.camera = camera;
    this.videos = [0, 1].map(() => h("video", { class: "layer", muted: true, playsInline: true, preload: "auto" }));
    for (const video of this.videos) video.muted = true;
    this.veil = h("p", { class: "veil" });
    this.node = h("figure", { class: "tile" }, h("div", { class: "frame" }, ...this.videos, this.veil), h("figcaption", {}, h("span", { class: "name" }, cameraName(camera))));
    this.node.querySelector(".frame").addEventListener("dblclick", (event) => event.currentTarget.requestFullscreen?.());
    this.#front();
  }

  get video() {
    return this.videos[0];
  }

  #front() {
    this.videos[0].classList.add("front");
    this.videos[1].classList.remove("front");
  }

  /** Show this instant of a segment; null: nothing was recorded then. */
  show(segment, at, words) {
    this.veil.hidden = Boolean(segment);
    write(this.veil, segment ? "" : words);
    if (!segment) {
      if (this.segment) this.clear();
      return;
    }
    if (this.segment?.path !== segment.path) {
      if (this.videos[1].dataset.path === segment.path) {
        this.video.pause();
        this.videos.reverse();
      } else {
        this.#load(this.video, segment);
      }
      this.segment = segment;
      this.#front();
    }
    const wanted_s = at === null ? null : Math.max(0, (at - segment.start) / 1000);
    if (wanted_s !== null && Math.abs(this.video.currentTime - wanted_s) > 0.03) this.video.currentTime = wanted_s;
  }

  prepare(segment) {
    if (this.videos[1].dataset.path !== segment.path) this.#load(this.videos[1], segment);
  }

  #load(video, segment) {
    video.dataset.path = segment.path;
    video.src = segment.url;
    video.setAttribute("aria-label", t("player.alt", { camera: cameraName(this.camera) }));
  }

  clear() {
    this.segment = null;
    for (const video of this.videos) {
      video.pause();
      video.removeAttribute("src");
      delete video.dataset.path;
      video.load();
    }
  }

  /** The instant that is on the screen. */
  get at() {
    return this.segment.start + this.video.currentTime * 1000;
  }

  get left_s() {
    return (this.segment.end - this.at) / 1000;
  }

  get over() {
    return this.video.ended || this.left_s < END_S;
  }

  get waits() {
    return !this.over && (this.video.seeking || this.video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA);
  }
}

export class Player {
  tracks = new Map();
  at = null;
  playing = false;
  speed = 1;
  until = null;
  screens = new Map();

  /** `moved(ms)` is called with every new instant. */
  constructor({ moved }) {
    this.moved = moved;
    this.place = h("div", { class: "pictures" });
    this.clock = h("p", { class: "clock" });
    this.playButton = button({ icon: "play", label: t("play"), class: "main", click: () => (this.playing ? this.pause() : this.play()) });
    this.playButton.id = "play";
    this.speedSelect = h("select", { "aria-label": t("speed"), class: "speed", change: () => (this.speed = Number(this.speedSelect.value)) }, ...SPEEDS.map((speed) => h("option", { value: speed, selected: speed === 1 }, `${speed}×`)));
    this.node = h(
      "div",
      { class: "player", hidden: true },
      this.place,
      h(
        "div",
        { class: "row wrap deck" },
        button({ icon: "back", label: t("player.back"), class: "quiet", click: () => this.jump(-10_000) }),
        this.playButton,
        button({ icon: "on", label: t("player.on"), class: "quiet", click: () => this.jump(10_000) }),
        this.clock,
        this.speedSelect,
      ),
    );
  }

  setTracks(tracks) {
    this.tracks = tracks;
    for (const camera of tracks.keys()) {
      if (this.screens.has(camera)) continue;
      const screen = new Screen(camera);
      this.screens.set(camera, screen);
      this.place.append(screen.node);
    }
  }

  #find(camera, at) {
    return this.tracks.get(camera)?.find((one) => one.start <= at && one.end - END_S * 1000 > at) ?? null;
  }

  /** The next instant from `at` on that some camera has footage of; null at the end. */
  #next(at) {
    const starts = [...this.tracks.values()].flat().filter((one) => one.start >= at).map((one) => one.start);
    return starts.length ? Math.min(...starts) : null;
  }

  /** Go to an instant, or to the footage after it. */
  seek(at) {
    this.node.hidden = false;
    const found = [...this.tracks.keys()].some((camera) => this.#find(camera, at));
    const target = found ? at : this.#next(at);
    if (target === null) return false;
    this.until = null;
    this.at = target;
    for (const [camera, screen] of this.screens) screen.show(this.#find(camera, target), target, t("player.nothing"));
    this.#tell();
    this.moved(this.at);
    this.#start();
    return true;
  }

  jump(by) {
    if (this.at !== null) this.seek(this.at + by);
  }

  play(until = null) {
    if (this.at === null) return;
    this.playing = true;
    this.until = until;
    this.#button();
    this.#start();
  }

  pause() {
    this.playing = false;
    for (const screen of this.screens.values()) screen.video.pause();
    this.#button();
  }

  /** Give connections and memory back. */
  close() {
    this.pause();
    clearInterval(this.timer);
    this.timer = 0;
    this.at = null;
    this.node.hidden = true;
    for (const screen of this.screens.values()) screen.clear();
  }

  #start() {
    if (!this.timer) this.timer = setInterval(() => this.#tick(), TICK_MS);
  }

  #button() {
    this.playButton.replaceChildren(icon(this.playing ? "pause" : "play"));
    this.playButton.setAttribute("aria-label", t(this.playing ? "pause" : "play"));
    this.playButton.title = t(this.playing ? "pause" : "play");
  }

  #tell() {
    write(this.clock, `${clockTime(this.at)} · ${longDate(this.at)}`);
  }

  #tick() {
    if (!this.playing || this.at === null) return;
    const shown = [...this.screens.values()].filter((screen) => screen.segment);
    const waits = shown.some((screen) => screen.waits);
    const leader = shown.find((screen) => !screen.over);
    if (leader) this.at = leader.at;
    else if (!this.#goOn(shown)) return;
    if (this.until !== null && this.at >= this.until) {
      this.pause();
      return;
    }
    for (const [camera, screen] of this.screens) this.#keep(camera, screen, leader, waits);
    this.#tell();
    this.moved(this.at);
  }

  /** All that is shown has come to its end: take the next footage, over the gap if there is one. */
  #goOn(shown) {
    const ends = shown.map(({ segment }) => Math.max(segment.start + 1, segment.end - 2 * END_S * 1000));
    const next = this.#next(Math.max(this.at + 1, ...ends));
    if (next === null) {
      this.pause();
      return false;
    }
    this.at = next;
    for (const [camera, screen] of this.screens) screen.show(this.#find(camera, next), next, t("player.nothing"));
    return true;
  }

  #keep(camera, screen, leader, waits) {
    if (screen !== leader) {
      const segment = this.#find(camera, this.at);
      const same = segment?.path === screen.segment?.path;
      if (!same && !(screen.segment && !screen.over && !segment)) screen.show(segment, segment && this.at, t("player.nothing"));
    }
    const { video } = screen;
    if (!screen.segment) return;
    const drift_s = screen === leader || screen.over ? 0 : (screen.at - this.at) / 1000;
    if (Math.abs(drift_s) > DRIFT_S * Math.max(1, this.speed) && !video.seeking) {
      video.currentTime = (this.at - screen.segment.start) / 1000;
    }
    video.playbackRate = this.speed * (1 - Math.max(-0.1, Math.min(0.1, drift_s)));
    if (waits && !screen.waits) video.pause();
    else if (video.paused && !screen.over) video.play().catch(() => {});
    if (screen.left_s < PRELOAD_S * this.speed) {
      const next = this.tracks.get(camera).find((one) => one.start > screen.segment.start);
      if (next && next.start - screen.segment.end < 60_000) screen.prepare(next);
    }
  }
}
