// How the machine is: processor, memory, temperature and disk, each with its curve; and the problems, in words.

import { read } from "./api.js";
import { curve } from "./chart.js";
import { h, icon, one, write } from "./dom.js";
import { get, watch } from "./state.js";
import { bytes, has, number, span, t, when } from "./words.js";

const KEPT = 480;
const points = []; // [at_ms, telemetry-like], oldest first

/** What was measured before this page was opened. */
function learnPast(past) {
  const { at = [], ...columns } = past;
  const known = points.length ? points[0][0] : Infinity;
  const old = at.map((instant, place) => [
    Date.parse(instant),
    Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values[place]])),
  ]);
  points.unshift(...old.filter(([instant]) => instant < known));
  for (const tile of tiles) tile.graph.draw();
}

function flat(telemetry) {
  return {
    cpu_percent: telemetry.cpu_percent,
    memory_percent: telemetry.memory_percent,
    temperature_c: telemetry.temperature_c,
    disk_free_bytes: telemetry.disk.free_bytes,
  };
}

const tiles = [
  tile("cpu", "cpu_percent", { high: 100 }, (now) => [now.cpu_percent === null ? null : `${number(now.cpu_percent)} %`, now.load_1m === null ? "" : t("cpu.load", { n: number(now.load_1m) })]),
  tile("memory", "memory_percent", { high: 100 }, (now) => [now.memory_percent === null ? null : `${number(now.memory_percent)} %`, now.memory_available_bytes === null ? "" : t("memory.free", { n: bytes(now.memory_available_bytes) })]),
  tile("temperature", "temperature_c", { low: 20, high: 90 }, (now) => [now.temperature_c === null ? null : `${number(now.temperature_c)} °C`, power(now)]),
  tile("disk", "disk_free_bytes", {}, (now) => [
    now.disk.free_bytes === null ? null : t("disk.free", { n: bytes(now.disk.free_bytes) }),
    now.disk.recording_hours_left === null ? "" : room(now.disk.recording_hours_left),
  ]),
];

/** For how long there is room, as finely as that can be told. */
const room = (hours) => t("disk.left", { n: span((hours < 10 ? hours : Math.floor(hours)) * 3600) });

function power(now) {
  if (now.under_voltage) return t("power.low");
  if (now.throttled) return t("power.throttled");
  return now.under_voltage === false ? t("power.good") : "";
}

function tile(name, key, scale, words) {
  const value = h("strong");
  const more = h("span", { class: "more" });
  const graph = curve(() => points.map(([at, one_]) => [at, one_[key]]), scale);
  const node = h("section", { class: "card tile-health", id: `health-${name}` }, h("h3", {}, t(`health.${name}`)), value, more, graph.canvas);
  const show = (now) => {
    const [main, rest] = words(now);
    write(value, main ?? "–");
    write(more, main === null ? t("not.measured") : rest);
    const known = points.map(([, one_]) => one_[key]).filter((one_) => one_ !== null && one_ !== undefined);
    const spoken = key === "disk_free_bytes" ? bytes : number;
    graph.canvas.hidden = !known.length;
    graph.canvas.setAttribute(
      "aria-label",
      known.length ? t("curve", { name: t(`health.${name}`), low: spoken(Math.min(...known)), high: spoken(Math.max(...known)) }) : t("not.measured"),
    );
    graph.draw();
  };
  return { node, show, graph };
}

const NOTES = ["live_view_reduced"]; // nothing is wrong then, and nobody has to come

/** A problem in the visitor's language, or what kind it is of; the agent's own sentence where there is no word for it. */
function named({ code, message }) {
  const key = [`problem.${code}`, `problem.${code.split("_")[0]}`].find(has);
  return key ? t(key) : message;
}

const heard = h("span", { class: "unseen", role: "status" });
const line = h("p", {}, icon("check"), h("span"));
const alarm = h("button", { type: "button", class: "alarm", hidden: true, click: () => (one("problems").scrollIntoView({ block: "center" }), one("problems").focus()) }, icon("warn"), h("span"), icon("right"));

/** One line above the pictures, always of one height: whether something is wrong, or how long the room lasts. */
function showBrief() {
  const problems = get("status")?.problems ?? [];
  const [first, ...more] = [...problems].sort((a, b) => NOTES.includes(a.code) - NOTES.includes(b.code));
  const words = first && named(first);
  const told = first ? (more.length ? t("brief.more", { words, n: more.length }) : words) : "";
  const known = get("status") && get("online");
  const left = get("telemetry")?.disk.recording_hours_left ?? null;
  const parts = [t("brief.well"), left === null ? null : room(left)];
  alarm.hidden = !first;
  line.hidden = Boolean(first);
  line.firstChild.toggleAttribute("hidden", !known);
  write(alarm.children[1], told);
  write(line.lastChild, known ? parts.filter(Boolean).join(" · ") : "");
  write(heard, told);
}

function showProblems() {
  const place = one("problems");
  const status = get("status");
  const problems = status?.problems ?? [];
  place.hidden = !problems.length;
  const key = JSON.stringify(problems);
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  place.replaceChildren(
    h("h3", {}, icon("warn"), t("problems")),
    h(
      "ul",
      {},
      ...problems.map((problem) =>
        h(
          "li",
          {},
          named(problem) !== problem.message && h("strong", {}, named(problem)),
          h("span", { lang: "en" }, problem.message),
          h("small", {}, t("since", { time: when(Date.parse(problem.since)) })),
        ),
      ),
    ),
  );
}

/** Build the tiles and keep them and the problems in step with the device. */
export function showHealth() {
  one("health").append(...tiles.map(({ node }) => node));
  watch("telemetry", (telemetry) => {
    if (!telemetry) return;
    const at = Date.parse(telemetry.at);
    if (!points.length || at > points[points.length - 1][0]) {
      points.push([at, flat(telemetry)]);
      if (points.length > KEPT) points.shift();
    }
    for (const tile_ of tiles) tile_.show(telemetry);
  });
  one("brief").append(line, alarm, heard);
  watch("status", showProblems);
  watch(["status", "telemetry", "online"], showBrief);
}

/** Fetch what happened before the page was opened: measurements and events. */
export async function readPast() {
  try {
    const past = await read("/api/history");
    learnPast(past.telemetry);
    return past.events;
  } catch {
    return []; // the curves begin with this page then
  }
}
