// The server's API: JSON, and answers that come as server-sent events.

import { readKey } from "./store.js";

export class ApiError extends Error {
  constructor(status, error) {
    super(error?.message ?? `HTTP ${status}`);
    this.status = status;
    this.code = error?.code ?? null;
  }
}

let askForKey = async () => false;

// What to do at a 401: resolves to true when there is a new key to try.
export function onKeyNeeded(ask) {
  askForKey = ask;
}

async function request(path, options = {}) {
  for (;;) {
    const headers = { ...options.headers };
    const key = readKey();
    if (key) headers.Authorization = `Bearer ${key}`;
    const response = await fetch(path, { cache: "no-store", ...options, headers });
    if (response.ok) return response;
    let error = null;
    try {
      error = (await response.json()).error;
    } catch {
      // Not from this server (a proxy's page, say): the status must do.
    }
    if (response.status === 401 && (await askForKey(key))) continue;
    throw new ApiError(response.status, error);
  }
}

export async function getJson(path, signal) {
  return (await request(path, { signal })).json();
}

const posted = (body, signal) => ({
  method: "POST",
  signal,
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
});

export async function postJson(path, body, signal) {
  return (await request(path, posted(body, signal))).json();
}

// Yields the parsed events of one generation; leaves the loop when aborted.
export async function* stream(path, body, signal) {
  const response = await request(path, posted({ ...body, stream: true }, signal));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new ApiError(0, { message: "", code: "connection_lost" });
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data: ")) continue;
      const data = line.slice(6);
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error) throw new ApiError(0, event.error);
      yield event;
    }
  }
}
