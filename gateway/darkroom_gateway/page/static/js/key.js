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

/** Whether the person is asked for a key: the gateway refused a request for want of a valid one. */
export const keyWanted = signal(false);

/** How often the question for the key was answered: with a key, by forgetting it, or by closing the dialog. */
export let keyAnswers = 0;

/**
 * Ask for the key, unless the question was answered since: what was sent before an answer is no reason to ask again.
 *
 * @param {number} since The number of answers when the refused request was sent.
 */
export function askForKey(since) {
  if (since === keyAnswers) keyWanted.value = true;
}

/** Ask no longer. The next request that the gateway refuses asks again. */
export function dismissKey() {
  keyAnswers += 1;
  keyWanted.value = false;
}

/** @param {string} key An empty text forgets it. */
export function setKey(key) {
  try {
    if (key) localStorage.setItem(NAME, key);
    else localStorage.removeItem(NAME);
  } catch {
    // Storage is blocked: the key lasts until the page is closed.
  }
  // First of all: what follows sends requests.
  dismissKey();
  apiKey.value = key;
  keyEntries.value += 1;
}

/** @param {string} key */
export function masked(key) {
  return key.length <= 8 ? "•".repeat(key.length) : `${"•".repeat(12)}${key.slice(-4)}`;
}

// Another tab may set or forget the key.
addEventListener("storage", (event) => {
  if (event.key !== NAME) return;
  keyAnswers += 1;
  apiKey.value = event.newValue ?? "";
  keyEntries.value += 1;
});
