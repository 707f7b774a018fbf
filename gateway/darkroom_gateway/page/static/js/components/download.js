/** A link to a file in object storage. Its address works for an hour: after that, a click gets another one. */

import { html } from "../ui.js";
import { isExpired } from "../jobs.js";
import { sayError } from "./toasts.js";

/** @typedef {import("../jobs.js").Linked} Linked */

/**
 * @param {{file: Linked, fresh: () => Promise<Linked>, children: any, class?: string, title?: string, "aria-label"?: string}} properties
 * `fresh` returns the file with an address that works.
 */
export function Download({ file, fresh, children, ...attributes }) {
  /** @param {MouseEvent} event */
  const press = async (event) => {
    if (!isExpired(file)) return;
    event.preventDefault();
    try {
      save(await fresh());
    } catch (error) {
      sayError(error);
    }
  };
  return html`<a ...${attributes} href=${file.url} download=${file.name} target="_blank" rel="noopener" onClick=${press}>${children}</a>`;
}

/** @param {Linked} file */
function save(file) {
  const link = document.createElement("a");
  Object.assign(link, { href: file.url, download: file.name, target: "_blank", rel: "noopener" });
  link.click();
}
