/** A field for files: dropped, pasted, or chosen with a button. */

import { html, useEffect, useRef, useState } from "../ui.js";

/**
 * @typedef {object} DropProperties
 * @property {string} [id] Of the button.
 * @property {string} label The button's text.
 * @property {string} [hint]
 * @property {string} accept
 * @property {boolean} [multiple]
 * @property {string} [kind] A class.
 * @property {string} [fault] The id of a text that says what is wrong with the files.
 * @property {boolean} [isMain] Takes what is dropped elsewhere on the page, and what is pasted.
 * @property {(files: File[]) => void} onFiles
 * @property {any} [children] Shown above the button.
 *
 * @param {DropProperties} properties
 */
export function DropZone({ id, label, hint, fault, accept, multiple = false, kind = "", isMain = false, onFiles, children }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const [isOver, setOver] = useState(false);
  /** @param {FileList | null | undefined} list */
  const take = (list) => {
    const files = Array.from(list ?? []);
    if (files.length > 0) onFiles(multiple ? files : files.slice(0, 1));
  };
  const latest = useRef(take);
  latest.current = take;
  useEffect(() => {
    if (!isMain) return undefined;
    /** @param {DragEvent | ClipboardEvent} event */
    const takeAny = (event) => {
      const isBlocked = document.querySelector("dialog[open]") !== null;
      if (!isBlocked) latest.current("dataTransfer" in event ? event.dataTransfer?.files : event.clipboardData?.files);
    };
    addEventListener("drop", takeAny);
    addEventListener("paste", takeAny);
    return () => {
      removeEventListener("drop", takeAny);
      removeEventListener("paste", takeAny);
    };
  }, [isMain]);
  /** @param {DragEvent} event */
  const drop = (event) => {
    event.preventDefault();
    event.stopPropagation();
    setOver(false);
    take(event.dataTransfer?.files);
  };
  /** @param {DragEvent} event */
  const over = (event) => {
    event.preventDefault();
    setOver(true);
  };
  return html`<div
    class=${`drop ${kind} ${fault ? "invalid" : ""} ${isOver ? "over" : ""}`}
    onDragEnter=${over}
    onDragOver=${over}
    onDragLeave=${() => setOver(false)}
    onDrop=${drop}
  >
    ${children}
    <button type="button" id=${id} class="button" aria-describedby=${fault} onClick=${() => input.current?.click()}>${label}</button>
    ${hint && html`<p class="hint">${hint}</p>`}
    <input
      ref=${input}
      type="file"
      class="visually-hidden"
      tabindex="-1"
      aria-label=${label}
      aria-invalid=${fault ? "true" : undefined}
      accept=${accept}
      multiple=${multiple}
      onChange=${(/** @type {Event} */ event) => {
        const target = /** @type {HTMLInputElement} */ (event.currentTarget);
        take(target.files);
        target.value = "";
      }}
    />
  </div>`;
}

/** Files dropped beside a drop zone must not replace the page. */
export function ignoreStrayDrops() {
  for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
}
