// The day's recordings as a list, newest first, with the gaps between them: play, keep, save, delete.

import { read, remove } from "./api.js";
import { give } from "./control.js";
import { button, h, icon, write } from "./dom.js";
import { cameraName, mayOperate } from "./state.js";
import { ask, say, sayRefused } from "./toast.js";
import { bytes, clockTime, span, t } from "./words.js";

const FILES_AT_ONCE = 40;

const total = (segments) => segments.reduce((sum, one) => sum + one.size, 0);
const iso = (ms) => new Date(ms).toISOString();

/** `play(ms)`, `save(take)` and `changed()` are what the list asks the page for. */
export class Takes {
  #key = "";
  #open = new Set();

  constructor({ play, save, changed }) {
    this.ask = { play, save, changed };
    this.list = h("ol", { class: "takes" });
    this.bar = h("progress", { "aria-label": t("work.progress") });
    this.words = h("span", { role: "status" });
    this.work = h("div", { class: "row work card takes-work", hidden: true }, this.bar, this.words, button({ words: t("cancel"), click: () => (this.stopped = true) }));
    this.check = button({ icon: "check", words: t("check"), class: "quiet", click: () => this.#check() });
    this.found = h("p", { class: "hint found", role: "status" });
    this.node = h("section", { "aria-labelledby": "t-takes" }, h("div", { class: "row wrap takes-head" }, h("h3", { id: "t-takes" }, t("takes")), this.check), this.work, this.found, this.list);
  }

  show(takes, gaps) {
    const key = JSON.stringify([takes.map((take) => [take.start, take.end, take.segments.length, take.segments.filter((one) => one.locked).length]), gaps.map((gap) => gap.words), mayOperate()]);
    if (key === this.#key) return;
    this.#key = key;
    this.segments = takes.flatMap((take) => take.segments);
    this.check.hidden = !takes.length;
    this.#open = new Set([...this.list.querySelectorAll("details[open]")].map((node) => node.dataset.start));
    const rows = [];
    takes.forEach((take, place) => {
      rows.unshift(this.#take(take));
      const next = takes[place + 1];
      if (next && next.start > take.end) rows.unshift(gapRow(take.end, next.start, gaps));
    });
    this.list.replaceChildren(...rows);
  }

  #take(take) {
    const { segments, start, end } = take;
    const cameras = [...new Set(segments.map((one) => one.camera))].sort();
    const locked = segments.filter((one) => one.locked).length;
    const name = `${clockTime(start)} – ${clockTime(end)}`;
    const [first] = segments;
    const facts = [span((end - start) / 1000), cameras.map(cameraName).join(" + "), take.mode, bytes(total(segments)), take.label].filter(Boolean);
    const able = mayOperate();
    const lock = locked
      ? button({ icon: "unlock", words: t("take.release"), class: "quiet", disabled: !able, click: () => this.#release(lock, take) })
      : button({ icon: "lock", words: t("take.keep"), class: "quiet", disabled: !able, click: () => this.#keep(lock, take) });
    const bin = button({ icon: "bin", label: `${t("take.delete")}: ${name}`, class: "quiet", disabled: !able, click: () => this.delete(segments, name) });
    return h(
      "li",
      { class: "take card" },
      h(
        "button",
        { type: "button", class: "thumb", "aria-label": `${t("play")}: ${name}`, click: () => this.ask.play(start, end) },
        first.thumbnail && h("img", { src: first.thumbnail, alt: "", loading: "lazy", width: 160, height: 120 }),
        icon("play"),
      ),
      h(
        "div",
        { class: "about" },
        h("h4", {}, name, locked > 0 && h("span", { class: "kept" }, icon("lock"), locked === segments.length ? t("kept") : t("kept.part", { n: locked, of: segments.length }))),
        h("p", { class: "facts-line" }, facts.flatMap((fact, place) => [place ? " · " : "", h("span", {}, fact)])),
      ),
      h("div", { class: "row acts" }, lock, button({ icon: "save", words: t("take.save"), class: "quiet", click: () => this.ask.save(take, cameras) }), bin),
      this.#files(take),
    );
  }

  /** The files of a take, shown some at a time: a day has thousands. */
  #files({ segments, start }) {
    const list = h("ul", { class: "files" });
    const more = button({ words: t("files.more"), class: "quiet", click: () => add() });
    let shown = 0;
    const add = () => {
      list.append(...segments.slice(shown, shown + FILES_AT_ONCE).map((one) => this.#file(one)));
      shown += FILES_AT_ONCE;
      more.hidden = shown >= segments.length;
    };
    const details = h("details", { toggle: () => details.open && !shown && add() }, h("summary", {}, t("files", { n: segments.length })), list, more);
    details.dataset.start = String(start);
    details.open = this.#open.has(details.dataset.start);
    return details;
  }

  #file(one) {
    const name = `${cameraName(one.camera)} ${clockTime(one.start)}`;
    return h(
      "li",
      {},
      h("button", { type: "button", class: "quiet", click: () => this.ask.play(one.start) }, name),
      h("small", {}, `${span((one.end - one.start) / 1000)} · ${bytes(one.size)}`),
      one.locked && h("span", { class: "kept", title: one.lockLabel || t("kept") }, icon("lock")),
      one.uploaded && h("span", { class: "kept", title: t("uploaded") }, icon("cloud")),
      h("a", { class: "get", href: `${one.url}?download`, download: "", "aria-label": `${t("take.save")}: ${name}`, title: t("take.save") }, icon("save")),
      button({ icon: "bin", label: `${t("take.delete")}: ${name}`, class: "quiet", disabled: !mayOperate(), click: () => this.delete([one], name) }),
    );
  }

  async #keep(control, { start, end }) {
    await give(control, "lock", { from: iso(start), to: iso(end) }, (result) => t("lock.done", { n: result.data.count }));
    this.ask.changed();
  }

  async #release(control, { start, end }) {
    const sure = await ask(t("release.question"), { yes: t("take.release"), detail: t("release.detail") });
    if (!sure) return;
    await give(control, "unlock", { from: iso(start), to: iso(end) }, (result) => t("unlock.done", { n: result.data.count }));
    this.ask.changed();
  }

  /** Ask, then delete one file after the other; what is kept stays. */
  async delete(segments, name) {
    const free = segments.filter((one) => !one.locked);
    if (!free.length) {
      say(t("delete.kept"), "bad");
      return;
    }
    const spared = segments.length - free.length;
    const detail = t("delete.detail", { n: free.length, size: bytes(total(free)) }) + (spared ? ` ${t("delete.spared", { n: spared })}` : "");
    if (!(await ask(t("delete.question", { name }), { yes: t("delete.yes"), detail, dangerous: true }))) return;
    const done = await this.#each(free, "delete.done", (one) => remove(`/api/recordings/${one.path}`));
    if (done) say(t("deleted", { n: done }));
    this.ask.changed(free.slice(0, done));
  }

  /** Look whether the day's files are sound; what is damaged stays named until the next look. */
  async #check() {
    const bad = [];
    write(this.found, "");
    const done = await this.#each(this.segments, "check.done", async (one) => {
      const { damage } = await read(`/api/verify/${one.path}`).catch((error) => {
        if (error.status !== 404) throw error;
        return {}; // it was deleted meanwhile
      });
      if (damage) bad.push(`${cameraName(one.camera)} ${clockTime(one.start)} ${damage}`);
    });
    write(this.found, [t(bad.length ? "check.bad" : "check.good", { n: done, bad: bad.length }), ...bad].join(" · "));
  }

  /** Work through files one after the other, showing how far it is; how many were done when it ended or was stopped. */
  async #each(files, words, step) {
    this.stopped = false;
    this.work.hidden = files.length < 5;
    this.bar.max = files.length;
    let done = 0;
    try {
      for (const one of files) {
        if (this.stopped) break;
        write(this.words, t(words, { n: done, of: files.length }));
        this.bar.value = done;
        await step(one);
        done += 1;
      }
    } catch (error) {
      sayRefused(error);
    }
    this.work.hidden = true;
    return done;
  }
}

function gapRow(from, to, gaps) {
  const here = gaps.filter((gap) => gap.start < to && gap.end > from);
  const words = [...new Set(here.map((gap) => gap.words))].join(" · ") || t("gap.stopped");
  return h("li", { class: "gap" }, h("span", {}, `${clockTime(from)} – ${clockTime(to)}`), h("span", {}, t("gap", { time: span((to - from) / 1000), reason: words })));
}
