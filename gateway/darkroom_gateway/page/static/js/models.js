/** The models: trained and imported LoRAs. */

import { address, get, send } from "./api.js";
import { signal } from "./ui.js";
import { upload } from "./upload.js";

/** @type {{value: import("./types.js").Model[] | null, peek(): import("./types.js").Model[] | null}} Null until read. */
export const models = signal(null);

export async function loadModels() {
  models.value = (await get("v1/models", { limit: 1000 })).models;
}

/** @param {string} id @returns {Promise<import("./types.js").ModelDetail>} */
export function loadModel(id) {
  return get(`v1/models/${encodeURIComponent(id)}`);
}

/** @param {string} id */
export async function deleteModel(id) {
  await send("DELETE", `v1/models/${encodeURIComponent(id)}`);
  models.value = (models.peek() ?? []).filter((model) => model.model_id !== id);
}

/**
 * @param {File} file @param {string} id @param {string} prompt
 * @param {(fraction: number) => void} onProgress
 * @returns {Promise<import("./types.js").ModelDetail>}
 */
export async function importModel(file, id, prompt, onProgress) {
  const form = new FormData();
  form.append("file", file);
  const model = await upload(address("v1/models", { model_id: id, prompt }), form, { onProgress });
  await loadModels();
  return model;
}
