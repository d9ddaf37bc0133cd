// The pictures that were taken, newest first.

import { read } from "./api.js";
import { h } from "./dom.js";
import { cameraName, get, watch } from "./state.js";
import { t, when } from "./words.js";

const SHOWN = 24;

/** What the device lists; else what this page heard of. */
async function known() {
  try {
    const { snapshots } = await read(`/api/snapshots?limit=${SHOWN}`);
    return snapshots;
  } catch (error) {
    if (error.status !== 404) throw error;
    return get("events")
      .filter((event) => event.event_type === "snapshot_taken")
      .slice(0, SHOWN)
      .map((event) => ({ url: `/recordings/${event.path}`, camera: event.camera ?? "comparison", taken_at: event.at }));
  }
}

/** The section, which looks again whenever a picture was taken. */
export function album() {
  const list = h("ul", { class: "album" });
  const node = h("section", { class: "album-place", "aria-labelledby": "t-album" }, h("h3", { id: "t-album" }, t("album")), list);
  let newest = "";
  const show = async () => {
    const last = get("events").find((event) => event.event_type === "snapshot_taken")?.path ?? "-";
    if (last === newest || get("view") !== "recordings") return;
    newest = last;
    const pictures = await known().catch(() => []);
    pictures.sort((a, b) => (a.taken_at === b.taken_at ? (a.camera < b.camera ? -1 : 1) : a.taken_at < b.taken_at ? 1 : -1));
    list.replaceChildren(
      ...(pictures.length
        ? pictures.map((one) => {
            const name = one.camera === "comparison" ? t("album.comparison") : cameraName(one.camera);
            return h(
              "li",
              {},
              h("a", { href: one.url, target: "_blank", rel: "noopener" }, h("img", { src: one.url, alt: t("album.alt", { camera: name }), loading: "lazy", width: 160, height: 120 }), h("span", {}, name), h("small", {}, when(Date.parse(one.taken_at)))),
            );
          })
        : [h("li", { class: "none" }, t("album.none"))]),
    );
  };
  watch(["events", "view"], show);
  return node;
}
