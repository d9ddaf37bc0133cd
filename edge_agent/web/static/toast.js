// Short answers at the edge of the page, and questions that stop it.

import { button, h, one } from "./dom.js";
import { t } from "./words.js";

const KEPT_MS = { good: 4_000, bad: 12_000 };

/** Say something for a while. What came from the agent itself is English. */
export function say(text, kind = "good", { fromAgent = false } = {}) {
  const words = h("span", fromAgent ? { lang: "en" } : {}, text);
  const toast = h("div", { class: `toast ${kind}` }, words, button({ icon: "cross", label: t("close"), class: "quiet", click: () => toast.remove() }));
  const place = one(kind === "bad" ? "alerts" : "toasts");
  place.append(toast);
  while (place.children.length > 3) place.firstChild.remove();
  setTimeout(() => toast.remove(), KEPT_MS[kind]);
}

/** Say why something was refused. */
export const sayRefused = (error) => say(error.message, "bad", { fromAgent: error.status > 0 });

/** Ask a question; resolves to whether it was answered with `yes`. */
export function ask(question, { yes, detail = "", dangerous = false }) {
  return new Promise((answered) => {
    const dialog = h(
      "dialog",
      { "aria-labelledby": "question" },
      h("h2", { id: "question" }, question),
      detail && h("p", {}, detail),
      h(
        "div",
        { class: "row end" },
        h("button", { type: "button", class: "quiet", click: () => dialog.close("no") }, t("cancel")),
        h("button", { type: "button", class: dangerous ? "danger" : "main", click: () => dialog.close("yes") }, yes),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      answered(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
    dialog.querySelector("button").focus();
  });
}
