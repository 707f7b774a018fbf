/** Actions that run once at a time: a double click does not do them twice. */

/** @type {Map<string, Promise<any>>} */
const running = new Map();

/**
 * Begin an action, or join the one of this name that is running.
 *
 * @template T
 * @param {string} name
 * @param {() => Promise<T>} action
 * @returns {Promise<T>}
 */
export function once(name, action) {
  const joined = running.get(name);
  if (joined) return joined;
  const begun = action().finally(() => running.delete(name));
  running.set(name, begun);
  return begun;
}
