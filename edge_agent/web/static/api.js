// Requests to the agent. What it refuses is thrown as `Refused`, with the agent's own sentence.

import { set } from "./state.js";
import { t } from "./words.js";

const ANSWER_MS = 40_000;

export class Refused extends Error {
  constructor(message, code, status) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

let xsrf = null;

/** Ask who this visitor is; goes to the login page where nobody is let in unknown. */
export async function openSession() {
  const session = await read("/api/session");
  xsrf = session.xsrf_token ? { [session.xsrf_header]: session.xsrf_token } : null;
  set("session", session);
}

export function goToLogin() {
  location.assign(`/login?next=${encodeURIComponent("/" + location.hash)}`);
}

async function request(method, path, body, signal) {
  const limit = AbortSignal.timeout(ANSWER_MS);
  const headers = { ...(method === "GET" ? {} : xsrf) };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? anyOf(signal, limit) : limit,
      cache: "no-store",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused(t("unreachable"), "unreachable", 0);
  }
  if (answer.status === 401) {
    goToLogin();
    throw new Refused(t("login.again"), "forbidden", 401);
  }
  return answer;
}

function anyOf(first, second) {
  if (AbortSignal.any) return AbortSignal.any([first, second]);
  return first;
}

async function documentOf(answer) {
  const text = await answer.text();
  try {
    return text ? JSON.parse(text) : {};
  } catch {
    throw new Refused(t("strange", { status: answer.status }), "internal", answer.status);
  }
}

async function checked(answer) {
  const document_ = await documentOf(answer);
  if (!answer.ok) {
    const told = document_.message || document_.detail || document_.title || t("strange", { status: answer.status });
    throw new Refused(told, document_.code ?? "internal", answer.status);
  }
  return document_;
}

export const read = async (path, signal) => checked(await request("GET", path, undefined, signal));
export const patch = async (path, body) => checked(await request("PATCH", path, body));
export const remove = async (path, signal) => checked(await request("DELETE", path, undefined, signal));
export const post = async (path, body) => checked(await request("POST", path, body));

/** Give a command and wait for its final result. */
export async function command(verb, body = {}) {
  const result = await post(`/api/blackbox/${verb}`, body);
  if (result.status !== "succeeded" && result.status !== "accepted") {
    throw new Refused(result.message, result.code, 200);
  }
  return result;
}

/** An answer whose body is read as it comes, such as a clip. */
export async function streamed(path, signal) {
  const answer = await fetch(path, { signal, cache: "no-store" });
  if (answer.status === 401) goToLogin();
  if (!answer.ok) await checked(answer);
  return answer;
}
