// The WebSocket that tells of every change, kept open for as long as the page is.

import { goToLogin } from "./api.js";
import { set } from "./state.js";

const FIRST_RETRY_MS = 400;
const LAST_RETRY_MS = 5_000;
const SILENCE_MS = 12_000; // after so long without a word the agent is asked whether it is there
const ANSWER_MS = 6_000;

/** Listen. `heard` gets (type, document); `joined` is called at each connection, before its first message. */
export function listen(heard, joined) {
  let socket = null;
  let retry_ms = FIRST_RETRY_MS;
  let timer = 0;
  let last_ms = Date.now();

  function connect() {
    clearTimeout(timer);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const mine = new WebSocket(`${scheme}://${location.host}/api/live`);
    socket = mine;
    mine.onopen = () => {
      retry_ms = FIRST_RETRY_MS;
      last_ms = Date.now();
      set("online", true);
      joined();
    };
    mine.onmessage = (event) => {
      last_ms = Date.now();
      const message = JSON.parse(event.data);
      heard(message.type, message.data);
    };
    mine.onclose = () => {
      if (socket === mine) lost();
    };
  }

  function lost() {
    socket = null;
    set("online", false);
    // A refused handshake looks like any other end: ask why, in case the login has expired.
    fetch("/api/session", { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) }).then(
      (answer) => answer.status === 401 && goToLogin(),
      () => {},
    );
    timer = setTimeout(connect, retry_ms * (0.75 + Math.random() / 2));
    retry_ms = Math.min(LAST_RETRY_MS, retry_ms * 1.7);
  }

  function drop() {
    const old = socket;
    socket = null;
    old?.close();
    lost();
  }

  setInterval(() => {
    if (!socket || socket.readyState !== WebSocket.OPEN || Date.now() - last_ms < SILENCE_MS) return;
    last_ms = Date.now();
    const asked = socket;
    fetch("/healthz", { cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) }).catch(() => {
      if (socket === asked) drop();
    });
  }, 3_000);

  addEventListener("online", () => {
    if (!socket) connect();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !socket) connect();
  });
  connect();
}
