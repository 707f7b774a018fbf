/** The API key: kept in this browser, sent only to this gateway. */

import { signal } from "./ui.js";

const NAME = "darkroom.key";

/** @returns {string} */
function stored() {
  try {
    return localStorage.getItem(NAME) ?? "";
  } catch {
    return "";
  }
}

/** The key, or an empty text. */
export const apiKey = signal(stored());

/** How often a key was entered or forgotten. Entering the same one counts: the gateway may know it now. */
export const keyEntries = signal(0);

/** Whether the gateway refused a request for want of a valid key. */
export const keyWanted = signal(false);

export function askForKey() {
  keyWanted.value = true;
}

/** @param {string} key An empty text forgets it. */
export function setKey(key) {
  try {
    if (key) localStorage.setItem(NAME, key);
    else localStorage.removeItem(NAME);
  } catch {
    // Storage is blocked: the key lasts until the page is closed.
  }
  apiKey.value = key;
  keyEntries.value += 1;
  keyWanted.value = false;
}

/** @param {string} key */
export function masked(key) {
  return key.length <= 8 ? "•".repeat(key.length) : `${"•".repeat(12)}${key.slice(-4)}`;
}

// Another tab may set or forget the key.
addEventListener("storage", (event) => {
  if (event.key !== NAME) return;
  apiKey.value = event.newValue ?? "";
  keyEntries.value += 1;
});
