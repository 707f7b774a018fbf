/** An upload that is shown, can be stopped, and outlives the view that began it. */

import { html, signal } from "../ui.js";

/** @typedef {{onProgress: (fraction: number) => void, signal: AbortSignal}} SendingOptions */

/**
 * @typedef {object} Refusal
 * @property {string} title
 * @property {string[]} messages
 * @property {boolean} [isOfPhotos] Only the photos are wrong, which the form checks again as they change.
 */

/** @type {Refusal} */
const NONE = { title: "", messages: [] };

/** Uploads of one kind, one at a time. */
export class Sending {
  constructor() {
    /** From 0 to 1; null when nothing is sent. */
    this.fraction = signal(/** @type {number | null} */ (null));
    /** What is wrong, by the field. Kept here: the answer may come while another view is shown. */
    this.faults = signal(/** @type {Record<string, string>} */ ({}));
    this.refusal = signal(NONE);
    this.abort = new AbortController();
  }

  /** @param {Record<string, string>} faults @param {Refusal} refusal */
  refuse(faults, refusal) {
    this.faults.value = faults;
    this.refusal.value = refusal;
  }

  /** Forget what was wrong with fields that changed, and the summary with the last of them. @param {string[]} fields */
  changed(fields) {
    const before = this.faults.peek();
    if (!fields.some((field) => field in before)) return;
    const left = Object.entries(before).filter(([field]) => !fields.includes(field));
    const refusal = this.refusal.peek();
    this.refuse(Object.fromEntries(left), left.length === 0 && !refusal.isOfPhotos ? NONE : refusal);
  }

  stop() {
    this.abort.abort();
  }

  /** @template T @param {(options: SendingOptions) => Promise<T>} work @returns {Promise<T>} */
  async run(work) {
    this.abort = new AbortController();
    this.fraction.value = 0;
    /** @param {number} fraction */
    const onProgress = (fraction) => {
      this.fraction.value = fraction;
    };
    try {
      return await work({ onProgress, signal: this.abort.signal });
    } finally {
      this.fraction.value = null;
    }
  }
}

/** @param {{fraction: number, onStop?: () => void}} properties */
export function UploadProgress({ fraction, onStop }) {
  const percent = Math.round(fraction * 100);
  return html`<div class="upload">
    <p class="status-line" role="status">${percent < 100 ? `Uploading: ${percent}%` : "Checking what arrived …"}</p>
    <progress max="100" value=${percent} aria-label="Upload"></progress>
    ${onStop && html`<button type="button" class="button" onClick=${onStop}>Stop</button>`}
  </div>`;
}
