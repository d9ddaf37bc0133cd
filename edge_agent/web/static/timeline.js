// A day as a strip: an overview to move in, and below it the cameras' footage, to play from and to choose a range of.

import { button, h } from "./dom.js";
import { cameraName } from "./state.js";
import { briefTime, clockTime, span, t } from "./words.js";

const RULER = 22;
const ROW = 46;
const BAR = 22;
const EDGE = 12; // how near to an edge of the range a finger takes it
const DRAG = 6;
const SHORTEST_MS = 20_000;
const STEPS_S = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400];

/** The colours of the look at the moment. */
function colours(node) {
  const style = getComputedStyle(node);
  return Object.fromEntries(
    ["ink", "soft", "line", "edge", "accent", "tint", "sunken", "warn", "bad", "rec", "card"].map((name) => [name, style.getPropertyValue(`--${name}`)]),
  );
}

function prepare(canvas, height) {
  const scale = devicePixelRatio || 1;
  const width = canvas.clientWidth;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.style.height = `${height}px`;
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width };
}

export class Timeline {
  start = 0;
  end = 1;
  view = [0, 1];
  tracks = new Map();
  gaps = [];
  tails = new Map(); // camera: from when on footage is being written
  at = null;
  range = null;
  #drag = null;

  /** `seek(ms)` is called for a tap, `choose(range)` for a range, `hover(segment, x)` for the pointer. */
  constructor({ seek, choose, hover }) {
    this.seek = seek;
    this.choose = choose;
    this.hover = hover;
    this.overview = h("canvas", { class: "overview", "aria-hidden": "true" });
    this.strip = h("canvas", { class: "strip", tabIndex: 0, role: "slider", "aria-label": t("timeline"), "aria-describedby": "timeline-help" });
    this.told = h("p", { class: "told", "aria-live": "polite" });
    this.node = h(
      "div",
      { class: "timeline" },
      this.overview,
      this.strip,
      h(
        "div",
        { class: "row wrap" },
        this.told,
        h(
          "span",
          { class: "row tools" },
          button({ icon: "left", label: t("timeline.left"), class: "quiet", click: () => this.pan(-0.5) }),
          button({ icon: "out", label: t("timeline.out"), class: "quiet", click: () => this.zoom(2) }),
          button({ icon: "in", label: t("timeline.in"), class: "quiet", click: () => this.zoom(0.5) }),
          button({ icon: "right", label: t("timeline.right"), class: "quiet", click: () => this.pan(0.5) }),
        ),
      ),
      h("p", { id: "timeline-help", class: "hint" }, t("timeline.help")),
    );
    this.#listen();
    new ResizeObserver(() => this.draw()).observe(this.node);
    new MutationObserver(() => this.draw()).observe(document.documentElement, { attributeFilter: ["data-look"] });
  }

  /** Show a day; the view goes to where its footage is. */
  setDay(start, end) {
    this.start = start;
    this.end = end;
    this.view = [start, end];
    this.at = this.range = null;
  }

  fit() {
    const all = [...this.tracks.values()].flat();
    if (!all.length) {
      this.view = [this.start, this.end];
      return;
    }
    const first = Math.min(...all.map((one) => one.start));
    const last = Math.max(...all.map((one) => one.end));
    const margin = Math.max((last - first) * 0.04, 15_000);
    this.#show(first - margin, last + margin);
  }

  #show(from, to) {
    const length = Math.min(Math.max(to - from, SHORTEST_MS), this.end - this.start);
    const begin = Math.min(Math.max((from + to - length) / 2, this.start), this.end - length);
    this.view = [begin, begin + length];
    this.draw();
  }

  zoom(factor, around = null) {
    const [from, to] = this.view;
    const seen = this.at !== null && this.at > from && this.at < to;
    const centre = around ?? (seen ? this.at : (from + to) / 2);
    this.#show(centre - (centre - from) * factor, centre + (to - centre) * factor);
  }

  pan(part) {
    const [from, to] = this.view;
    const by = (to - from) * part;
    this.#show(from + by, to + by);
  }

  /** Show a recording large, if it is small in what is shown now. */
  look(start, end) {
    const [from, to] = this.view;
    const margin = (end - start) * 0.1;
    if (start < from || end > to || end - start < (to - from) / 4) this.#show(start - margin, end + margin);
  }

  /** Bring an instant into view. */
  reveal(ms) {
    const [from, to] = this.view;
    if (ms < from || ms > to) this.#show(ms - (to - from) * 0.1, ms + (to - from) * 0.9);
  }

  setAt(ms) {
    this.at = ms;
    this.draw();
  }

  setRange(range) {
    this.range = range && { start: Math.min(range.start, range.end), end: Math.max(range.start, range.end) };
    this.draw();
  }

  x(ms) {
    const [from, to] = this.view;
    return ((ms - from) / (to - from)) * this.strip.clientWidth;
  }

  ms(x) {
    const [from, to] = this.view;
    return from + (x / this.strip.clientWidth) * (to - from);
  }

  segmentAt(camera, ms) {
    return this.tracks.get(camera)?.find((one) => one.start <= ms && one.end > ms);
  }

  draw() {
    cancelAnimationFrame(this.pending);
    this.pending = requestAnimationFrame(() => this.#paint());
  }

  #paint() {
    if (!this.node.clientWidth) return;
    const ink = colours(this.node);
    this.#paintOverview(ink);
    const height = RULER + this.tracks.size * ROW;
    const { pen, width } = prepare(this.strip, height);
    pen.font = "12px system-ui, sans-serif";
    this.#paintRuler(pen, width, height, ink);
    let y = RULER;
    for (const [camera, track] of this.tracks) {
      this.#paintTrack(pen, camera, track, y, width, ink);
      y += ROW;
    }
    if (this.range) this.#paintRange(pen, height, ink);
    if (this.at !== null) {
      const x = this.x(this.at);
      pen.fillStyle = ink.ink;
      pen.fillRect(x - 1, RULER - 4, 2, height);
      pen.beginPath();
      pen.moveTo(x - 6, RULER - 10);
      pen.lineTo(x + 6, RULER - 10);
      pen.lineTo(x, RULER - 2);
      pen.fill();
    }
    this.#tell();
  }

  #paintRuler(pen, width, height, ink) {
    const [from, to] = this.view;
    const step = STEPS_S.find((seconds) => (seconds * 1000 * width) / (to - from) >= 72) ?? 21600;
    const zone = new Date(from).getTimezoneOffset() * 60_000;
    const first = Math.ceil((from - zone) / (step * 1000)) * step * 1000 + zone;
    for (let at = first; at < to; at += step * 1000) {
      const x = this.x(at);
      pen.fillStyle = ink.line;
      pen.fillRect(x, RULER - 2, 1, height);
      pen.fillStyle = ink.soft;
      const words = step < 60 ? clockTime(at) : briefTime(at);
      const wide = pen.measureText(words).width;
      if (x - wide / 2 > 0 && x + wide / 2 < width) pen.fillText(words, x - wide / 2, 13);
    }
  }

  #paintTrack(pen, camera, track, y, width, ink) {
    const top = y + ROW - BAR - 4;
    pen.fillStyle = ink.sunken;
    pen.fillRect(0, top, width, BAR);
    for (const gap of this.gaps) {
      if (gap.camera !== camera || gap.kind !== "fault") continue;
      pen.fillStyle = ink.bad;
      pen.globalAlpha = 0.4;
      pen.fillRect(this.x(gap.start), top, Math.max(2, this.x(gap.end) - this.x(gap.start)), BAR);
      pen.globalAlpha = 1;
    }
    pen.fillStyle = ink.accent;
    const locks = [];
    for (const one of track) {
      const [left, right] = [this.x(one.start), this.x(one.end)];
      if (right < 0 || left > width) continue;
      // A hairline shows where one file ends, as long as files are wide enough for it.
      const hairline = right - left > 10 ? 1 : 0;
      pen.globalAlpha = 0.85;
      pen.fillRect(left, top, Math.max(1, right - left - hairline), BAR);
      if (one.locked) locks.push([left, Math.max(1, right - left)]);
    }
    pen.globalAlpha = 1;
    pen.fillStyle = ink.warn;
    for (const [left, wide] of locks) pen.fillRect(left, top + BAR - 4, wide, 4);
    const tail = this.tails.get(camera);
    if (tail) {
      pen.fillStyle = ink.rec;
      pen.globalAlpha = 0.75;
      pen.fillRect(this.x(tail[0]), top, Math.max(2, this.x(tail[1]) - this.x(tail[0])), BAR);
      pen.globalAlpha = 1;
    }
    pen.fillStyle = ink.ink;
    pen.fillText(cameraName(camera), 2, top - 5);
  }

  #paintRange(pen, height, ink) {
    const [left, right] = [this.x(this.range.start), this.x(this.range.end)];
    pen.fillStyle = ink.ink;
    pen.globalAlpha = 0.16;
    pen.fillRect(left, RULER, right - left, height);
    pen.globalAlpha = 1;
    for (const x of [left, right]) {
      pen.fillRect(x - 1, RULER, 2, height);
      pen.fillRect(x - 4, RULER + (height - RULER) / 2 - 9, 8, 18);
    }
  }

  #paintOverview(ink) {
    const height = 30;
    const { pen, width } = prepare(this.overview, height);
    const x = (ms) => ((ms - this.start) / (this.end - this.start)) * width;
    pen.fillStyle = ink.sunken;
    pen.fillRect(0, 4, width, height - 8);
    const rows = Math.max(1, this.tracks.size);
    const each = (height - 10) / rows;
    pen.fillStyle = ink.accent;
    [...this.tracks.values()].forEach((track, row) => {
      for (const one of track) pen.fillRect(x(one.start), 5 + row * each, Math.max(1, x(one.end) - x(one.start)), each - 1);
    });
    const [from, to] = this.view;
    pen.strokeStyle = ink.ink;
    pen.lineWidth = 2;
    const wide = Math.max(8, x(to) - x(from));
    pen.strokeRect(Math.min(x(from), width - wide) + 1, 2, wide - 2, height - 4);
  }

  #tell() {
    const at = this.at;
    const strip = this.strip;
    strip.setAttribute("aria-valuemin", String(Math.round(this.start / 1000)));
    strip.setAttribute("aria-valuemax", String(Math.round(this.end / 1000)));
    strip.setAttribute("aria-valuenow", String(Math.round((at ?? this.view[0]) / 1000)));
    strip.setAttribute("aria-valuetext", at === null ? briefTime(this.view[0]) : clockTime(at));
  }

  /** Say what is at an instant: a gap with its reason, or nothing. */
  explain(ms) {
    const here = this.gaps.filter((gap) => gap.start <= ms && gap.end > ms);
    const texts = here.map((gap) => `${cameraName(gap.camera)} ${clockTime(gap.start)} – ${clockTime(gap.end)} (${span((gap.end - gap.start) / 1000)}): ${gap.words}`);
    const words = [...new Set(texts)].join(" · ");
    if (this.told.textContent !== words) this.told.textContent = words;
  }

  #listen() {
    const { strip, overview } = this;
    const place = (event) => event.clientX - event.currentTarget.getBoundingClientRect().left;
    strip.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      const x = place(event);
      strip.setPointerCapture(event.pointerId);
      let fixed = this.ms(x);
      let moved = false;
      if (this.range && Math.abs(this.x(this.range.start) - x) < EDGE) [fixed, moved] = [this.range.end, true];
      else if (this.range && Math.abs(this.x(this.range.end) - x) < EDGE) [fixed, moved] = [this.range.start, true];
      this.#drag = { x, fixed, moved };
    });
    strip.addEventListener("pointermove", (event) => {
      const x = place(event);
      if (!this.#drag) {
        this.#hovered(event, x);
        return;
      }
      if (!this.#drag.moved && Math.abs(x - this.#drag.x) < DRAG) return;
      this.#drag.moved = true;
      const now = Math.min(Math.max(this.ms(x), this.start), this.end);
      this.setRange({ start: this.#drag.fixed, end: now });
      this.choose(this.range, false);
    });
    strip.addEventListener("pointerup", (event) => {
      const drag = this.#drag;
      this.#drag = null;
      if (!drag) return;
      if (drag.moved) this.choose(this.range, true);
      else {
        const ms = this.ms(place(event));
        this.explain(ms);
        this.seek(ms);
      }
    });
    strip.addEventListener("pointercancel", () => {
      this.#drag = null;
    });
    strip.addEventListener("pointerleave", () => this.hover(null));
    strip.addEventListener("keydown", (event) => this.#key(event));
    strip.addEventListener(
      "wheel",
      (event) => {
        const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
        if (!event.ctrlKey && !event.metaKey && !sideways) return; // the page scrolls
        event.preventDefault();
        if (sideways) this.pan(event.deltaX / strip.clientWidth);
        else this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.ms(place(event)));
      },
      { passive: false },
    );
    const move = (event) => {
      const [from, to] = this.view;
      const centre = this.start + (place(event) / overview.clientWidth) * (this.end - this.start);
      this.#show(centre - (to - from) / 2, centre + (to - from) / 2);
    };
    overview.addEventListener("pointerdown", (event) => {
      overview.setPointerCapture(event.pointerId);
      move(event);
    });
    overview.addEventListener("pointermove", (event) => event.buttons && move(event));
  }

  #hovered(event, x) {
    if (event.pointerType !== "mouse") return;
    const row = Math.floor((event.offsetY - RULER) / ROW);
    const camera = [...this.tracks.keys()][row];
    const ms = this.ms(x);
    this.explain(ms);
    this.hover(camera ? this.segmentAt(camera, ms) : null, x, ms);
  }

  #key(event) {
    const now = this.at ?? this.view[0];
    const small = event.shiftKey ? 1_000 : 10_000;
    const steps = { ArrowLeft: -small, ArrowRight: small, PageUp: 300_000, PageDown: -300_000 };
    const all = [...this.tracks.values()].flat();
    if (event.key in steps) this.seek(now + steps[event.key]);
    else if (event.key === "Home" && all.length) this.seek(Math.min(...all.map((one) => one.start)));
    else if (event.key === "End" && all.length) this.seek(Math.max(...all.map((one) => one.end)) - 1000);
    else if (event.key === "[" || event.key === "]") {
      const other = this.range ?? { start: now, end: now + 10_000 };
      this.setRange(event.key === "[" ? { start: now, end: Math.max(now + 1000, other.end) } : { start: Math.min(now - 1000, other.start), end: now });
      this.choose(this.range, true);
    } else if (event.key === "+" || event.key === "=") this.zoom(0.5);
    else if (event.key === "-") this.zoom(2);
    else return;
    event.preventDefault();
  }
}
