/** Form fields that survive a reload, in this tab. All views share them. */

import { signal, useValue } from "./ui.js";

/** @type {Map<string, {value: any, peek(): any}>} */
const drafts = new Map();

/** @template T @param {string} name @param {T} initial @returns {T} */
function stored(name, initial) {
  try {
    const text = sessionStorage.getItem(`darkroom.${name}`);
    return text === null ? initial : { ...initial, ...JSON.parse(text) };
  } catch {
    return initial;
  }
}

/** @template T @param {string} name @param {T} initial @returns {{value: T, peek(): T}} A signal. */
function draftOf(name, initial) {
  let draft = drafts.get(name);
  if (!draft) {
    draft = signal(stored(name, initial));
    drafts.set(name, draft);
  }
  return draft;
}

/** @template T @param {string} name @param {T} initial @returns {T} */
export function readDraft(name, initial) {
  return draftOf(name, initial).peek();
}

/** @template {object} T @param {string} name @param {T} value */
export function writeDraft(name, value) {
  draftOf(name, value).value = value;
  try {
    sessionStorage.setItem(`darkroom.${name}`, JSON.stringify(value));
  } catch {
    // Storage is blocked or full: the draft does not survive a reload.
  }
}

/**
 * Like `useState` for an object, kept across views and reloads. The setter takes the changed fields.
 *
 * @template {object} T
 * @param {string} name @param {T} initial
 * @returns {[T, (changes: Partial<T>) => void]}
 */
export function useDraft(name, initial) {
  const value = useValue(draftOf(name, initial));
  /** @param {Partial<T>} changes */
  const change = (changes) => writeDraft(name, { ...readDraft(name, initial), ...changes });
  return [value, change];
}
