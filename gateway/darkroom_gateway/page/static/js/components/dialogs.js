/** Modal dialogs on the browser's own `<dialog>`, which keeps the focus inside and closes on Escape. */

import { route } from "../router.js";
import { effect, html, signal, useLayoutEffect, useRef, useState, useValue } from "../ui.js";
import { Icon } from "./icons.js";

/**
 * @typedef {object} DialogProperties
 * @property {string} label
 * @property {() => void} onClose
 * @property {string} [kind] A class.
 * @property {any} children
 *
 * @param {DialogProperties} properties
 */
export function Dialog({ label, onClose, kind = "", children }) {
  const element = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useLayoutEffect(() => {
    const before = document.activeElement;
    element.current?.showModal();
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  /** @param {MouseEvent} event */
  const closeOutside = (event) => {
    if (event.target === element.current) onClose();
  };
  return html`<dialog ref=${element} class=${`dialog ${kind}`} aria-label=${label} onClose=${onClose} onClick=${closeOutside}>
    ${children}
  </dialog>`;
}

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {string} text
 * @property {string} yes The name of the action.
 * @property {string} [no]
 * @property {boolean} [isDangerous]
 * @property {() => Promise<unknown> | void} act
 */

/** @type {{value: Question | null, peek(): Question | null}} */
const question = signal(null);

// The browser's back button leads to another view.
effect(() => {
  route.value;
  question.value = null;
});

/** Ask before something that can't be undone. @param {Question} asked */
export function confirm(asked) {
  question.value = asked;
}

export function ConfirmDialog() {
  const asked = useValue(question);
  const [busy, setBusy] = useState(/** @type {Question | null} */ (null));
  if (!asked) return null;
  const isBusy = busy === asked;
  // The action of a closed question may end while another one is asked.
  const close = () => {
    if (question.peek() === asked) question.value = null;
  };
  const act = async () => {
    setBusy(asked);
    try {
      await asked.act();
    } finally {
      setBusy((/** @type {Question | null} */ now) => (now === asked ? null : now));
      close();
    }
  };
  return html`<${Dialog} label=${asked.title} onClose=${close} kind="dialog-small">
    <h2>${asked.title}</h2>
    <p class="muted">${asked.text}</p>
    <div class="actions end">
      <button type="button" class="button" onClick=${close} disabled=${isBusy}>${asked.no ?? "Keep it"}</button>
      <button type="button" class=${`button ${asked.isDangerous ? "danger" : "primary"}`} onClick=${act} disabled=${isBusy}>
        ${asked.yes}
      </button>
    </div>
  <//>`;
}

/** @param {{onClick: () => void, label?: string}} properties */
export function CloseButton({ onClick, label = "Close" }) {
  return html`<button type="button" class="icon-button" aria-label=${label} title=${label} onClick=${onClick}>
    <${Icon} name="close" />
  </button>`;
}
