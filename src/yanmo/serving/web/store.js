// What is remembered in this browser. Storage may be switched off or full: the page works without it.

const PREFIX = "yanmo.";

export function read(name, fallback) {
  try {
    const raw = localStorage.getItem(PREFIX + name);
    return raw === null ? fallback : JSON.parse(raw);
  } catch {
    return fallback;
  }
}

export function write(name, value) {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

// The key lives as long as the tab, and never on disk.
export function readKey() {
  try {
    return sessionStorage.getItem(PREFIX + "key") ?? memory.key;
  } catch {
    return memory.key;
  }
}

export function writeKey(key) {
  memory.key = key;
  try {
    sessionStorage.setItem(PREFIX + "key", key);
  } catch {
    // Kept in memory then.
  }
}

const memory = { key: "" };
