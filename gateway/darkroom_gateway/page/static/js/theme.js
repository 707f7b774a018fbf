/** Light, dark, or as the system. early_theme.js applies a stored choice before the first paint. */

import { signal } from "./ui.js";

const NAME = "darkroom.theme";

/** @typedef {"system" | "light" | "dark"} Theme */

/** @type {{value: Theme}} */
export const theme = signal(/** @type {Theme} */ (document.documentElement.dataset.theme ?? "system"));

/** @param {Theme} choice */
function show(choice) {
  theme.value = choice;
  if (choice === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
}

// Another tab may choose one.
addEventListener("storage", ({ key, newValue }) => {
  if (key === NAME) show(newValue === "light" || newValue === "dark" ? newValue : "system");
});

/** @param {Theme} choice */
export function setTheme(choice) {
  show(choice);
  try {
    localStorage.setItem(NAME, choice);
  } catch {
    // Storage is blocked: the choice lasts until the page is closed.
  }
}
