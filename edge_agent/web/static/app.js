// The page: what is shown where, and how the parts hear of the device.

import { openSession, post, read } from "./api.js";
import { showControl } from "./control.js";
import { icon, keep, kept, one, write } from "./dom.js";
import { learnEvents, showEvents } from "./events.js";
import { listen } from "./feed.js";
import { readPast, showHealth } from "./health.js";
import { showLive } from "./live.js";
import { get, learnClock, mayOperate, set, watch } from "./state.js";
import { lang, t, translate } from "./words.js";

const VIEWS = ["live", "recordings", "settings"];
const STATE_ICONS = { idle: "ring", starting: "wait", recording: "dot", streaming: "eye", stopping: "wait", fault: "warn" };
const LOOKS = [null, "light", "dark"];

function heard(type, data) {
  if (type === "status") set("status", data);
  else if (type === "telemetry") set("telemetry", data);
  else if (type === "event") learnEvents([data]);
}

/** At each connection: who this is, what time it has, and what happened while nobody listened. */
async function joined() {
  const { info, telemetry } = await read("/api/system/info");
  if (info) set("info", info);
  if (telemetry) set("telemetry", telemetry);
  await who;
  appear();
  await readClock();
  learnEvents(await readPast());
}

let who = null; // the answer to who this visitor is

/** Show what is below the banners, when it is known which of them there are. */
function appear() {
  delete document.documentElement.dataset.early;
}

async function readClock() {
  const status = await read("/api/blackbox/status");
  const started = Date.parse(status.started_at);
  // `elapsed_s` is finer than the whole seconds of `at`.
  learnClock(status.started_at ? started + status.elapsed_s * 1000 : Date.parse(status.at) + 500);
}

function showState() {
  const status = get("status");
  const state = get("online") === false ? "lost" : (status?.state ?? "connecting");
  const chip = one("state");
  if (chip.dataset.state === state) return;
  chip.dataset.state = state;
  chip.replaceChildren(icon(STATE_ICONS[state] ?? "wait"), document.createElement("span"));
  write(chip.lastChild, t(`state.${state}`));
  showTitle();
}

function showTitle() {
  const name = get("info")?.name ?? get("status")?.device ?? "edge_agent";
  write(one("device"), name);
  const state = one("state").dataset.state;
  document.title = `${state === "recording" ? "● " : ""}${name} · ${t(`state.${state}`)}`;
}

function showBanners() {
  const lost = one("lost");
  lost.hidden = get("online") !== false;
  write(lost, lost.hidden ? "" : t("lost"));
  const simulated = one("simulated");
  simulated.hidden = !get("info")?.simulated;
  write(simulated, t("simulated"));
  const viewer = one("viewer");
  viewer.hidden = mayOperate();
  write(viewer, t("viewer"));
  one("logout").hidden = !get("session") || get("session").anonymous;
}

const built = new Set(["live"]);

async function showView() {
  const name = location.hash.slice(1);
  const view = VIEWS.includes(name) ? name : "live";
  set("view", view);
  for (const each of VIEWS) one(`view-${each}`).hidden = each !== view;
  for (const link of one("nav").children) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!built.has(view)) {
    built.add(view);
    const module = await import(`./${view}.js`);
    module.show(one(view));
  }
}

function chooseLook() {
  keep("look", LOOKS[(LOOKS.indexOf(kept("look", null)) + 1) % LOOKS.length]);
  dispatchEvent(new Event("look"));
  nameLook();
}

function nameLook() {
  const label = t("look", { look: t(`look.${kept("look", "system")}`) });
  one("look").setAttribute("aria-label", label);
  one("look").title = label;
}

function nameLanguage() {
  const control = one("language");
  control.textContent = lang === "ko" ? "EN" : "한국어";
  control.lang = lang === "ko" ? "en" : "ko";
  control.setAttribute("aria-label", lang === "ko" ? "English" : "한국어");
}

function begin() {
  translate(document);
  nameLook();
  nameLanguage();
  one("look").addEventListener("click", chooseLook);
  one("language").addEventListener("click", () => {
    keep("lang", lang === "ko" ? "en" : "ko");
    location.reload();
  });
  one("logout").addEventListener("click", async () => {
    await post("/logout", {}).catch(() => {});
    location.assign("/login");
  });
  showView();
  showLive();
  showControl();
  showHealth();
  showEvents();
  watch(["status", "online"], showState);
  watch("info", showTitle);
  watch(["online", "info", "session"], showBanners);
  addEventListener("hashchange", showView);
  who = openSession().catch(() => {});
  listen(heard, () => joined().catch(appear));
  watch("online", (online) => online === false && appear());
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && get("online")) readClock().catch(() => {});
  });
}

begin();
