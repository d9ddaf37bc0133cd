// What can be changed while the agent runs, what this browser remembers, and who this device is.

import { patch, post, read } from "./api.js";
import { give } from "./control.js";
import { h, keep, kept, write } from "./dom.js";
import { get, mayOperate, watch } from "./state.js";
import { ask, say, sayRefused } from "./toast.js";
import { bytes, lang, span, t, when } from "./words.js";

const SIZES = [[320, 240], [640, 480], [800, 600], [1280, 720], [1920, 1080]];

const card = (title, ...content) => h("section", { class: "card" }, h("h3", {}, t(title)), ...content);
const field = (id, words, control) => h("p", { class: "field" }, h("label", { for: id }, words), control);

/** The live picture: sent to the device as a whole when the form is. */
function livePicture() {
  const size = h("select", { id: "live-size" });
  const fps = h("input", { id: "live-fps", type: "number", min: 1, max: 120, step: 1, required: true });
  const quality = h("input", { id: "live-quality", type: "range", min: 10, max: 100, step: 5 });
  const shown = h("output", { for: "live-quality" });
  const save = h("button", { type: "submit", class: "main" }, t("apply"));
  const told = h("p", { class: "hint" }, t("live.settings.hint"));
  const form = h("form", { hidden: true, submit: change }, field("live-size", t("live.size"), size), field("live-fps", t("live.fps"), fps), h("p", { class: "field" }, h("label", { for: "live-quality" }, t("live.quality"), " ", shown), quality), told, h("div", { class: "row" }, save));
  const without = h("p", { class: "hint" }, t("live.settings.none"));
  quality.addEventListener("input", () => write(shown, quality.value));

  function fill({ live }) {
    const sizes = SIZES.some(([wide, high]) => wide === live.width && high === live.height) ? SIZES : [...SIZES, [live.width, live.height]];
    size.replaceChildren(...sizes.map(([wide, high]) => h("option", { value: `${wide}x${high}` }, `${wide}×${high}`)));
    size.value = `${live.width}x${live.height}`;
    fps.value = live.fps;
    quality.value = live.quality;
    write(shown, quality.value);
    form.hidden = false;
    without.hidden = true;
  }

  async function change(event) {
    event.preventDefault();
    const [width, height] = size.value.split("x").map(Number);
    save.disabled = true;
    try {
      fill(await patch("/api/settings", { live: { width, height, fps: Number(fps.value), quality: Number(quality.value) } }));
      say(t("applied"));
    } catch (error) {
      sayRefused(error);
    } finally {
      save.disabled = !mayOperate();
    }
  }

  watch("session", () => {
    for (const control of [size, fps, quality, save]) control.disabled = !mayOperate();
  });
  read("/api/settings").then(fill, () => {});
  return card("live.settings", form, without);
}

function thisBrowser() {
  const language = h("select", { id: "set-language", change: () => choose("lang", language.value) }, h("option", { value: "en", lang: "en", selected: lang === "en" }, "English"), h("option", { value: "ko", lang: "ko", selected: lang === "ko" }, "한국어"));
  const look = h("select", { id: "set-look", change: () => choose("look", look.value === "system" ? null : look.value) }, ...["system", "light", "dark"].map((one) => h("option", { value: one, selected: kept("look", "system") === one }, t(`look.${one}`))));
  function choose(key, value) {
    keep(key, value);
    location.reload();
  }
  return card("this.browser", field("set-language", t("language"), language), field("set-look", t("look.title"), look));
}

function device() {
  const list = h("dl", { class: "facts" });
  const restart = h("button", { type: "button", click: again }, t("restart"));
  async function again() {
    if (await ask(t("restart.question"), { yes: t("restart"), detail: t("restart.detail") })) await give(restart, "restart", {}, t("restart.done"));
  }
  const show = () => {
    const info = get("info");
    const telemetry = get("telemetry");
    if (!info) return;
    const facts = {
      "fact.name": info.name,
      "fact.id": info.device,
      "fact.groups": info.groups.join(", "),
      "fact.version": `edge_agent ${info.version}`,
      "fact.program": info.simulated ? t("fact.simulated") : [info.rpicam.program, info.rpicam.version].filter(Boolean).join(" "),
      "fact.cameras": info.cameras.map((one) => `${one.name}${one.model ? ` (${one.model})` : ""}${one.present ? "" : ` – ${t("fact.absent")}`}`).join(", "),
      "fact.started": when(Date.parse(info.started_at)),
      "fact.uptime": telemetry?.uptime_s ? span(telemetry.uptime_s) : "",
      "fact.clock": telemetry?.clock_synchronized === undefined || telemetry?.clock_synchronized === null ? "" : t(telemetry.clock_synchronized ? "fact.clock.yes" : "fact.clock.no"),
      "fact.recordings": telemetry?.recordings.count ? t("fact.files", { n: telemetry.recordings.count, size: bytes(telemetry.recordings.bytes ?? 0) }) : "",
      "fact.locked": telemetry?.recordings.locked_bytes ? bytes(telemetry.recordings.locked_bytes) : "",
      "fact.oldest": telemetry?.recordings.oldest_at ? when(Date.parse(telemetry.recordings.oldest_at)) : "",
      "fact.topic": `${info.mqtt.base_topic}/${info.device}`,
    };
    const filled = Object.entries(facts).filter(([, value]) => value);
    list.replaceChildren(...filled.map(([key, value]) => h("div", {}, h("dt", {}, t(key)), h("dd", {}, value))));
    restart.disabled = !mayOperate();
  };
  watch(["info", "telemetry", "session"], show);
  const link = (href, words) => h("a", { href, target: "_blank", rel: "noopener" }, words);
  return card("device", list, h("div", { class: "row wrap" }, restart, link("/api/openapi.json", "OpenAPI"), link("/metrics", "Prometheus")));
}

function visitor() {
  const words = h("p");
  const out = h("button", { type: "button", click: () => post("/logout", {}).finally(() => location.assign("/login")) }, t("logout"));
  const node = card("visitor", words, h("div", { class: "row" }, out));
  watch("session", (session) => {
    if (!session) return;
    out.hidden = session.anonymous;
    write(words, session.anonymous ? t("visitor.anyone") : t("visitor.is", { name: session.name, role: t(`role.${session.role}`) }));
  });
  return node;
}

/** Build the view. Called when it is opened for the first time. */
export function show(place) {
  place.append(livePicture(), thisBrowser(), visitor(), device());
}
