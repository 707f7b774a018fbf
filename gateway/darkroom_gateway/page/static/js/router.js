/** The view is in the URL's hash, such as `#/jobs/train-k3x9q2m7ab`, so that a reload restores it. */

import { signal } from "./ui.js";

/**
 * @typedef {object} Route
 * @property {string} view
 * @property {string} id Empty when the view has none.
 */

/** @param {string} hash @returns {Route} */
export function parseHash(hash) {
  const [view = "", id = ""] = hash.replace(/^#\/?/, "").split("/");
  try {
    return { view: view || "train", id: decodeURIComponent(id) };
  } catch {
    return { view: view || "train", id: "" };
  }
}

export const route = signal(parseHash(location.hash));

addEventListener("hashchange", () => {
  // The skip link's target is no view.
  if (location.hash === "#main") return;
  route.value = parseHash(location.hash);
});

/** @param {string} view @param {string} [id] @returns {string} The address of a link. */
export function to(view, id = "") {
  return `#/${view}${id ? `/${encodeURIComponent(id)}` : ""}`;
}

/** @param {string} view @param {string} [id] */
export function go(view, id = "") {
  location.hash = to(view, id);
}
