// Making and finding elements. Text goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

export const one = (id) => document.getElementById(id);

/** An element. `props` are properties, or attributes where the name has a dash or is `role`; functions listen. */
export function h(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (typeof value === "function") made.addEventListener(name, value);
    else if (name.includes("-") || name === "role" || name === "for" || name === "list") made.setAttribute(name, value);
    else if (name === "class") made.className = value;
    else made[name] = value;
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** One of the symbols of index.html. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.append(use);
  return svg;
}

/** A button with an icon, words or both. Without visible words `label` names it. */
export function button({ icon: name, words, label, class: kind = "", ...rest }) {
  const content = [name && icon(name), words && h("span", {}, words)];
  const described = words ? {} : { "aria-label": label, title: label };
  return h("button", { type: "button", class: kind + (words ? "" : " icon"), ...described, ...rest }, ...content);
}

/** Write text only where it differs: screen readers and layout are left alone otherwise. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** What was kept in this browser, or `otherwise`. */
export function kept(key, otherwise) {
  try {
    return localStorage.getItem(key) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Keep something in this browser; null forgets it. */
export function keep(key, value) {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // Storage is switched off: the choice lasts as long as the page.
  }
}
