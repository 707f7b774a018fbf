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
  // The list of the jobs.
  if (view === "jobs" && !id) return { view: "queue", id };
  try {
    return { view: view || "train", id: decodeURIComponent(id) };
  } catch {
    return { view: view || "train", id: "" };
  }
}

export const route = signal(parseHash(location.hash));

const SECTION = "darkroom.section";

/** Views that lead to jobs. The navigation keeps the one from which a job was opened. */
const SECTIONS = ["train", "generate", "gallery", "queue", "models"];

/** The section of a job, as before a reload. The queue lists all jobs, so it is that of a job opened by its address. */
function storedSection() {
  try {
    return sessionStorage.getItem(SECTION) ?? "queue";
  } catch {
    return "queue";
  }
}

export const section = signal(storedSection());

/** @param {string} view */
export function enterSection(view) {
  section.value = SECTIONS.includes(view) ? view : "queue";
  try {
    sessionStorage.setItem(SECTION, section.value);
  } catch {
    // Storage is blocked: after a reload the section is the queue.
  }
}

if (route.peek().view !== "jobs") enterSection(route.peek().view);

/** How far the entries of the history were scrolled, by their names. @type {Map<string, number>} */
const scrolled = new Map();
let scrollPx = 0;
addEventListener("scroll", () => {
  scrollPx = scrollY;
}, { passive: true });

/** The name of the history's entry that is shown: a new one has none. */
function entryName() {
  const { name = String(Math.random()) } = history.state ?? {};
  history.replaceState({ name }, "");
  return name;
}

let entry = entryName();

/** Where an entry was left, for those who come back to it; 0 for a new one. */
export function scrollOfEntry() {
  return scrolled.get(entry) ?? 0;
}

addEventListener("hashchange", () => {
  // The skip link's target is no view.
  if (location.hash === "#main") return;
  scrolled.set(entry, scrollPx);
  entry = entryName();
  const next = parseHash(location.hash);
  if (next.view !== "jobs") enterSection(next.view);
  route.value = next;
});

/** @param {string} view @param {string} [id] @returns {string} The address of a link. */
export function to(view, id = "") {
  return `#/${view}${id ? `/${encodeURIComponent(id)}` : ""}`;
}

/** @param {string} view @param {string} [id] */
export function go(view, id = "") {
  location.hash = to(view, id);
}
