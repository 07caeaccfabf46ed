// Conversations kept in this browser: the newest first, at most fifty.

import { read, write } from "./store.js";

const MOST = 50;
const TITLE_LENGTH = 40;

let conversations = read("conversations", []).filter((one) => one && Array.isArray(one.messages));

export const all = () => conversations;
export const find = (id) => conversations.find((one) => one.id === id) ?? null;

export function create() {
  // randomUUID exists only on secure pages; http://192.168.x.y is none.
  return { id: `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`, title: "", messages: [] };
}

// Puts a conversation first and stores all; the oldest go when storage is full. False if nothing fits.
export function save(conversation) {
  const first = conversation.messages.find((message) => message.role === "user");
  if (first) conversation.title = [...first.content.trim().replace(/\s+/g, " ")].slice(0, TITLE_LENGTH).join("");
  conversations = [conversation, ...conversations.filter((one) => one.id !== conversation.id)].slice(0, MOST);
  for (let kept = conversations.length; kept > 0; kept = Math.floor(kept / 2)) {
    if (write("conversations", conversations.slice(0, kept))) return true;
  }
  return false;
}

export function remove(id) {
  conversations = conversations.filter((one) => one.id !== id);
  write("conversations", conversations);
}
