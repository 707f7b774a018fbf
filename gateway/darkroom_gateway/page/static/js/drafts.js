/** Form fields that survive a reload, in this tab. */

import { useState } from "./ui.js";

/** @template T @param {string} name @param {T} initial @returns {T} */
export function readDraft(name, initial) {
  try {
    const text = sessionStorage.getItem(`darkroom.${name}`);
    return text === null ? initial : { ...initial, ...JSON.parse(text) };
  } catch {
    return initial;
  }
}

/** @param {string} name @param {object | null} value Null forgets it. */
export function writeDraft(name, value) {
  try {
    if (value === null) sessionStorage.removeItem(`darkroom.${name}`);
    else sessionStorage.setItem(`darkroom.${name}`, JSON.stringify(value));
  } catch {
    // Storage is blocked or full: the draft does not survive a reload.
  }
}

/**
 * Like `useState` for an object, kept across reloads. The setter takes the changed fields.
 *
 * @template {object} T
 * @param {string} name @param {T} initial
 * @returns {[T, (changes: Partial<T>) => void]}
 */
export function useDraft(name, initial) {
  const [value, setValue] = useState(() => readDraft(name, initial));
  /** @param {Partial<T>} changes */
  const change = (changes) => {
    setValue((/** @type {T} */ before) => {
      const next = { ...before, ...changes };
      writeDraft(name, next);
      return next;
    });
  };
  return [value, change];
}
