/** Submits trainings and generations. A repeated submission of the same things is one job. */

import { address, newIdempotencyKey } from "./api.js";
import { now, putChanged } from "./jobs.js";
import { upload } from "./upload.js";

/** @type {Map<string, string>} Idempotency keys of submissions without an answer yet, by what was sent. */
const pending = new Map();

/** @param {Record<string, any>} spec @param {File[]} files */
function fingerprint(spec, files) {
  return JSON.stringify([spec, files.map((file) => [file.name, file.size, file.lastModified])]);
}

/**
 * JSON, or a form when there are files.
 *
 * @param {Record<string, any>} spec
 * @param {[field: string, file: File][]} files
 */
function bodyOf(spec, files) {
  const json = new Blob([JSON.stringify(spec)], { type: "application/json" });
  if (files.length === 0) return json;
  const form = new FormData();
  form.append("spec", json, "spec.json");
  for (const [field, file] of files) form.append(field, file, file.name);
  return form;
}

/**
 * @param {string} path
 * @param {Record<string, any>} spec
 * @param {[field: string, file: File][]} files
 * @param {{onProgress?: (fraction: number) => void, signal?: AbortSignal}} options
 * @returns {Promise<import("./types.js").Job>}
 */
async function submit(path, spec, files, options) {
  const print = fingerprint(spec, files.map(([, file]) => file));
  const idempotencyKey = pending.get(print) ?? newIdempotencyKey();
  pending.set(print, idempotencyKey);
  const began = now();
  const job = await upload(address(path), bodyOf(spec, files), { idempotencyKey, ...options });
  pending.delete(print);
  putChanged(job, began);
  return job;
}

/**
 * @param {Record<string, any>} spec
 * @param {File[]} files Photos, captions and masks.
 * @param {{onProgress?: (fraction: number) => void, signal?: AbortSignal}} [options]
 */
export function submitTraining(spec, files, options = {}) {
  return submit("v1/train-jobs", spec, files.map((file) => ["files", file]), options);
}

/**
 * @param {Record<string, any>} spec
 * @param {{image?: File | null, mask?: File | null, video_image?: File | null}} pictures
 * @param {{onProgress?: (fraction: number) => void, signal?: AbortSignal}} [options]
 */
export function submitGeneration(spec, pictures, options = {}) {
  /** @type {[string, File][]} */
  const files = Object.entries(pictures).flatMap(([field, file]) => (file ? [[field, file]] : []));
  return submit("v1/generate-jobs", spec, files, options);
}
