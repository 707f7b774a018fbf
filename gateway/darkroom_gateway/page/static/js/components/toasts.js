/** Short messages at the edge of the page, read out by screen readers. */

import { messageOf } from "../api.js";
import { html, signal, useValue } from "../ui.js";
import { CloseButton } from "./dialogs.js";

const SHOWN_MS = 6000;

/** @typedef {{id: number, text: string, isError: boolean}} Toast */

/** @type {{value: Toast[]}} */
const toasts = signal([]);
let lastId = 0;

/** @param {string} text @param {boolean} [isError] */
export function say(text, isError = false) {
  const id = (lastId += 1);
  // Not the same thing twice.
  const others = toasts.value.filter((toast) => toast.text !== text);
  toasts.value = [...others.slice(-2), { id, text, isError }];
  setTimeout(() => dismiss(id), isError ? SHOWN_MS * 2 : SHOWN_MS);
}

/** Show an error that has no better place. @param {unknown} error */
export function sayError(error) {
  say(messageOf(error), true);
}

/** @param {number} id */
function dismiss(id) {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

export function Toasts() {
  const shown = useValue(toasts);
  return html`<div class="toasts" role="status" aria-live="polite">
    ${shown.map(
      (toast) => html`<div key=${toast.id} class=${toast.isError ? "toast error" : "toast"}>
        <span>${toast.text}</span>
        <${CloseButton} label="Dismiss" onClick=${() => dismiss(toast.id)} />
      </div>`,
    )}
  </div>`;
}
