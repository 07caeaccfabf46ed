// One generation at a time for the whole page: started, stopped, and its errors put into words.

import { t } from "./i18n.js";

let controller = null;

export const isRunning = () => controller !== null;

export function stopGeneration() {
  controller?.abort();
}

// Runs work(signal); resolves to { stopped, error }.
export async function generate(work) {
  if (controller) return { stopped: true, error: null };
  controller = new AbortController();
  const { signal } = controller;
  try {
    await work(signal);
    return { stopped: false, error: null };
  } catch (error) {
    return signal.aborted ? { stopped: true, error: null } : { stopped: false, error };
  } finally {
    controller = null;
  }
}

const WORDS_OF_CODES = {
  connection_lost: "error_lost",
  context_length_exceeded: "error_too_long",
  request_too_large: "error_too_large_body",
  model_too_large: "error_no_room",
  model_not_loaded: "error_not_loaded",
  models_in_use: "error_in_use",
  request_timeout: "error_timeout",
  server_stopping: "error_stopping",
  internal_error: "error_internal",
  model_not_found: "error_model_gone",
};

// One line, whatever went wrong.
export function explain(error) {
  if (error instanceof TypeError) return t("error_unreachable");
  if (error.status === 429) return t("error_busy");
  if (Object.hasOwn(WORDS_OF_CODES, error.code ?? "")) return t(WORDS_OF_CODES[error.code]);
  return error.message.replace(/\s+/g, " ").trim();
}
