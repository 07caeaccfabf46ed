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

export function explain(error) {
  if (error instanceof TypeError) return t("error_unreachable");
  if (error.code === "connection_lost") return t("error_lost");
  if (error.status === 429) return t("error_busy");
  if (error.code === "context_length_exceeded") return t("error_too_long");
  return error.message;
}
