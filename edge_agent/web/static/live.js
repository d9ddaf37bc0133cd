// The live pictures, side by side, each with its age and rate. While a camera records its recording is played; else its
// JPEGs are shown. Nothing is fetched for a picture that nobody can see.

import { button, h, icon, one, write } from "./dom.js";
import { Film, Pictures, canPlayFilm } from "./film.js";
import { cameraName, get, watch } from "./state.js";
import { lang, number, t } from "./words.js";

const OLD_MS = 2_000; // a picture that did not change for so long is not live
const RETRY_MS = 1_500;
const AGAIN_MS = 30_000; // how long JPEGs stand in for a recording that does not play
const MEASURED_MS = 2_000;

class Tile {
  constructor(id) {
    this.id = id;
    this.source = null;
    this.kind = "none";
    this.onScreen = true;
    this.seenAt = 0;
    this.times = [];
    this.behind_s = 0;
    this.filmFailures = 0;
    this.notBefore = 0;
    this.img = h("img", { class: "layer", alt: "" });
    this.video = h("video", { class: "layer film", muted: true, playsInline: true });
    this.video.muted = true;
    this.name = h("span", { class: "name" });
    this.mark = h("span", { class: "rec", hidden: true }, icon("dot"), "REC");
    this.rate = h("span", { class: "rate" });
    this.veil = h("p", { class: "veil" });
    this.frame = h(
      "div",
      { class: "frame" },
      this.img,
      this.video,
      this.mark,
      this.veil,
      button({ icon: "large", label: t("live.large"), class: "over", click: () => this.enlarge() }),
    );
    this.node = h(
      "figure",
      { class: "tile", id: `live-${id}` },
      this.frame,
      h("figcaption", {}, this.name, this.rate),
    );
    this.frame.addEventListener("dblclick", () => this.frame.requestFullscreen?.());
    new IntersectionObserver(([entry]) => {
      this.onScreen = entry.isIntersecting;
      this.choose();
    }).observe(this.node);
  }

  enlarge() {
    const large = this.node.classList.toggle("large");
    for (const other of tiles.values()) if (other !== this) other.node.classList.remove("large");
    this.frame.querySelector("button").setAttribute("aria-pressed", String(large));
  }

  get told() {
    return get("status")?.cameras[this.id];
  }

  /** Take the source that fits what is going on now. */
  choose() {
    const visible = !document.hidden && get("view") === "live" && this.onScreen && get("online");
    const told = this.told;
    let wanted = "none";
    if (visible && told) {
      const film = told.recording && told.state === "running" && canPlayFilm;
      wanted = film && Date.now() >= this.notBefore ? "film" : "pictures";
    }
    if (wanted !== this.kind) this.change(wanted);
  }

  change(kind) {
    clearTimeout(this.retry);
    // JPEGs stay until the recording's first picture has come, and the recording's last one until the first JPEG has.
    if (kind === "film") {
      this.film?.close();
      this.film = new Film(this.video, this.id, (behind_s) => this.filmed(behind_s), () => this.filmEnded());
    } else {
      this.film?.close();
      this.film = null;
      this.pictures?.close();
      this.pictures = null;
      if (kind === "pictures") {
        this.pictures = new Pictures(this.img, this.id, () => this.pictured(), () => this.again());
      }
    }
    this.kind = kind;
  }

  filmed(behind_s) {
    this.filmFailures = 0;
    if (this.kind !== "film") return;
    if (!this.video.classList.contains("shown")) {
      this.video.classList.add("shown");
      this.times = [];
    }
    this.pictures?.close();
    this.pictures = null;
    this.seen(behind_s);
  }

  filmEnded() {
    this.film = null;
    if (this.kind !== "film") return;
    this.kind = "none";
    this.filmFailures += 1;
    if (this.filmFailures > 2) {
      this.filmFailures = 0;
      this.notBefore = Date.now() + AGAIN_MS;
    } else {
      this.notBefore = Date.now() + RETRY_MS;
    }
    if (!this.pictures) this.choose();
    else this.kind = "pictures";
    this.retry = setTimeout(() => this.choose(), this.notBefore - Date.now() + 50);
  }

  pictured() {
    if (this.kind === "pictures" && this.video.classList.contains("shown")) {
      this.video.classList.remove("shown");
      Film.clear(this.video);
      this.times = [];
    }
    if (!this.video.classList.contains("shown")) this.seen(0);
  }

  again() {
    this.change("none");
    this.retry = setTimeout(() => this.choose(), RETRY_MS);
  }

  seen(behind_s) {
    this.seenAt = performance.now();
    this.behind_s = behind_s;
    this.times.push(this.seenAt);
    if (this.times.length > 200) this.times.splice(0, 100);
  }

  get fps() {
    const since = performance.now() - MEASURED_MS;
    const times = this.times.filter((at) => at >= since);
    const length = times.length > 1 ? times[times.length - 1] - times[0] : 0;
    return length > MEASURED_MS / 4 ? ((times.length - 1) * 1000) / length : null;
  }

  /** Say how old the picture is; called some times a second. */
  tell() {
    const told = this.told;
    const age_ms = performance.now() - this.seenAt + this.behind_s * 1000;
    const old = age_ms > OLD_MS;
    const age = number(age_ms / 1000);
    write(this.name, cameraName(this.id));
    this.mark.hidden = !(told?.recording && told.state === "running");
    this.node.classList.toggle("old", old);
    const { fps } = this;
    const words = { fps: fps === null ? "–" : Math.round(fps), age: Math.max(0.1, age_ms / 1000).toFixed(1) };
    write(this.rate, old || !this.seenAt ? "" : t("live.rate", words));
    write(this.veil, old ? this.why(told, age) : "");
    this.veil.hidden = !old;
    this.veil.lang = old && told?.error ? "en" : lang;
    const size = told?.width ? `${told.width}×${told.height}` : "";
    this.img.alt = t("live.alt", { camera: cameraName(this.id), size });
    this.video.setAttribute("aria-label", this.img.alt);
  }

  why(told, age) {
    if (!get("online")) return t("live.lost");
    if (told?.error) return told.error;
    if (told?.state === "backoff" || told?.state === "fatal") return t(`camera.${told.state}`);
    if (!this.seenAt || !this.onScreen) return t("live.waiting");
    return t("live.old", { age });
  }
}

const tiles = new Map();

/** Show a tile for every camera of the status, and keep each fed. */
export function showLive() {
  const place = one("pictures");
  const arrange = () => {
    const cameras = Object.keys(get("status")?.cameras ?? {});
    for (const id of cameras) {
      if (tiles.has(id)) continue;
      const tile = new Tile(id);
      tiles.set(id, tile);
      place.append(tile.node);
    }
    for (const tile of tiles.values()) tile.choose();
  };
  watch(["status", "online", "view", "info"], arrange);
  document.addEventListener("visibilitychange", arrange);
  setInterval(() => {
    if (document.hidden || get("view") !== "live") return;
    for (const tile of tiles.values()) tile.tell();
  }, 250);
}
