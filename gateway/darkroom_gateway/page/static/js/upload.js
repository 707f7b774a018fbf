/** Uploads with their progress, which `fetch` does not report. */

import { Problem, credentials, problemOf } from "./api.js";
import { keyAnswers } from "./key.js";

/** Uploads in progress. The page warns before it is closed. */
let running = 0;

addEventListener("beforeunload", (event) => {
  if (running > 0) event.preventDefault();
});

/**
 * POST a form, or a blob with its type.
 *
 * @param {URL} url
 * @param {FormData | Blob} body
 * @param {{idempotencyKey?: string, signal?: AbortSignal, onProgress?: (fraction: number) => void}} [options]
 * @returns {Promise<any>} The JSON of the answer.
 */
export function upload(url, body, { idempotencyKey, signal, onProgress } = {}) {
  running += 1;
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const sentAfter = keyAnswers;
    request.open("POST", url);
    for (const [name, value] of Object.entries(credentials())) request.setRequestHeader(name, value);
    if (idempotencyKey) request.setRequestHeader("Idempotency-Key", idempotencyKey);
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) onProgress?.(event.loaded / event.total);
    };
    request.onload = () => {
      const { status, responseText } = request;
      if (status >= 200 && status < 300) resolve(JSON.parse(responseText));
      else reject(problemOf(status, responseText, request.getResponseHeader("Retry-After"), sentAfter));
    };
    request.onerror = () =>
      reject(new Problem(0, "The connection broke before the upload was complete. Nothing is lost: send it again."));
    request.onabort = () => reject(new DOMException("The upload was stopped.", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    request.send(body);
  }).finally(() => {
    running -= 1;
  });
}
