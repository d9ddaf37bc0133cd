// Runs before the first paint: the look and language that were chosen, so that nothing flashes.
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const kept = (key, known) => {
    let value = null;
    try {
      value = localStorage.getItem(key);
    } catch {
      // Storage is switched off: the system's look and the browser's language then.
    }
    return known.includes(value) ? value : null;
  };
  const look = () => (root.dataset.look = kept("look", ["light", "dark"]) ?? (dark.matches ? "dark" : "light"));
  look();
  root.dataset.early = ""; // until it is known which banners there are: they would push the page down
  dark.addEventListener("change", look);
  addEventListener("look", look); // another one was chosen
  root.lang = kept("lang", ["en", "ko"]) ?? (navigator.language.startsWith("ko") ? "ko" : "en");
  // All at once, instead of each when another one imports it.
  for (const name of `api dom feed words toast state live film control health chart events words-${root.lang}`.split(" ")) {
    const link = document.createElement("link");
    link.rel = "modulepreload";
    link.href = `/static/${name}.js`;
    document.head.append(link);
  }
})();
