// Runs before the first paint: the look and language that were chosen, so that nothing flashes.
(() => {
  const root = document.documentElement;
  let look = null;
  let lang = null;
  try {
    look = localStorage.getItem("look");
    lang = localStorage.getItem("lang");
  } catch {
    // Storage is switched off: the system's look and the browser's language then.
  }
  if (look === "light" || look === "dark") root.dataset.look = look;
  root.lang = lang === "ko" || lang === "en" ? lang : (navigator.language || "en").startsWith("ko") ? "ko" : "en";
  const words = document.createElement("link");
  words.rel = "modulepreload";
  words.href = `/static/words-${root.lang}.js`;
  document.head.append(words);
})();
