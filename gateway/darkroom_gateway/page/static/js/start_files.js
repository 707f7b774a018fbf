/** The start picture of a generation that was dropped, and its mask: kept across views and reloads, in this tab. */

import { storeStart, storedStart } from "./photo_store.js";
import { signal } from "./ui.js";

/** @typedef {import("./photo_store.js").StartFiles} StartFiles */

const NONE = { image: null, mask: null };

/** @type {{value: StartFiles, peek(): StartFiles}} */
export const startFiles = signal(/** @type {StartFiles} */ (NONE));

/** @param {StartFiles} files */
export function setStartFiles(files) {
  startFiles.value = files;
  // Where nothing can be stored, a reload loses them.
  storeStart(files).catch(() => {});
}

/** Bring back what was dropped before a reload, unless something else was dropped meanwhile. */
export async function restoreStartFiles() {
  const before = startFiles.peek();
  const stored = await storedStart().catch(() => NONE);
  if (startFiles.peek() === before && (stored.image || stored.mask)) startFiles.value = stored;
}
