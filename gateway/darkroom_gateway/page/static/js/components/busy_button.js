/** A button for an action that takes a while: off while it runs, and when the gateway has refused it for good. */

import { Problem, messageOf } from "../api.js";
import { html, useEffect, useRef, useState } from "../ui.js";
import { sayError } from "./toasts.js";

/** Refusals that another try does not change, such as of a training whose photos were deleted. */
const FINAL = new Set([404, 410, 422]);

/**
 * @typedef {object} BusyProperties
 * @property {() => Promise<unknown>} act
 * @property {boolean} [isOff]
 * @property {string} [class]
 * @property {string} [title]
 * @property {string} [aria-label]
 * @property {any} children
 *
 * @param {BusyProperties} properties
 */
export function BusyButton({ act, isOff = false, title, children, ...attributes }) {
  const [isBusy, setBusy] = useState(false);
  const [refusal, setRefusal] = useState("");
  const isShown = useRef(true);
  useEffect(() => () => {
    isShown.current = false;
  }, []);
  const cannot = isOff || isBusy || refusal !== "";
  const press = async () => {
    if (cannot) return;
    setBusy(true);
    try {
      await act();
    } catch (error) {
      sayError(error);
      if (isShown.current && error instanceof Problem && FINAL.has(error.status)) setRefusal(messageOf(error));
    } finally {
      if (isShown.current) setBusy(false);
    }
  };
  // Not `disabled`, which would drop the focus before the action has ended.
  return html`<button
    type="button" ...${attributes} title=${refusal || title} aria-disabled=${cannot ? "true" : undefined}
    aria-busy=${isBusy ? "true" : undefined} onClick=${press}
  >${children}</button>`;
}
