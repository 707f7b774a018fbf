/** The models: trained and imported LoRAs. */

import { address, get, send } from "./api.js";
import { apiKey } from "./key.js";
import { batch, signal, useValue } from "./ui.js";
import { upload } from "./upload.js";

/** @type {{value: import("./types.js").Model[] | null, peek(): import("./types.js").Model[] | null}} Null until read. */
export const models = signal(null);

/** @typedef {{reference: string, native_px: number | null}} BaseModel */

/** The cluster's default first. @type {{value: BaseModel[]}} */
export const baseModels = signal([]);

/** Of SDXL, which most base models derive from. */
const SDXL_PX = 1024;

export async function loadModels() {
  const key = apiKey.peek();
  const list = await get("v1/models", { limit: 1000 });
  if (apiKey.peek() !== key) return;
  batch(() => {
    models.value = list.models;
    baseModels.value = list.base_models;
  });
}

export function forgetModels() {
  models.value = null;
}

/** The side of the pictures that a model draws best. @param {string} reference Such as `my-dog@200`; empty for the base model. */
export function useNativePx(reference) {
  const known = useValue(models) ?? [];
  const bases = useValue(baseModels);
  const own = known.find((model) => model.model_id === reference.split("@")[0])?.base_model;
  const base = bases.find((each) => each.reference === own) ?? bases[0];
  return base?.native_px ?? SDXL_PX;
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
