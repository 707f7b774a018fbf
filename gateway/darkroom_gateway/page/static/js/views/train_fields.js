/** The fields of the training form, and the spec that they make. Pure. */

import { numberFault } from "../numbers.js";

/**
 * @typedef {object} TrainDraft
 * @property {string} modelId
 * @property {string} prompt
 * @property {string} maxSteps
 * @property {boolean} samples
 * @property {string} samplePrompt
 * @property {Record<string, string>} advanced By the path in the spec.
 */

/** @type {TrainDraft} */
export const EMPTY = { modelId: "", prompt: "", maxSteps: "500", samples: true, samplePrompt: "", advanced: {} };

const MODEL_ID = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
const BASE_MODEL = /^[A-Za-z0-9][A-Za-z0-9._-]{0,95}(\/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?(@[A-Za-z0-9](\.?[A-Za-z0-9_-]){0,99})?$/;

/** @type {import("../numbers.js").Bounds} */
export const STEPS = { min: 1, max: 20000, isWhole: true };

/** How many samples a training draws on its way. */
const SAMPLES = 5;

/**
 * @typedef {object} AdvancedField
 * @property {string} path In the spec.
 * @property {string} label
 * @property {string} hint
 * @property {"number" | "text" | "choice" | "flag"} type
 * @property {import("../numbers.js").Bounds} [bounds] Of a number.
 * @property {string} [placeholder] The default.
 * @property {[string, string][]} [options]
 */

/** @type {AdvancedField[]} */
export const ADVANCED = [
  { path: "training.rank", label: "Rank", type: "number", bounds: { min: 1, max: 256, isWhole: true }, placeholder: "16", hint: "How much it can learn. The file grows with it." },
  { path: "training.learningRate", label: "Learning rate", type: "number", bounds: { min: 1e-8, max: 10 }, placeholder: "0.0001", hint: "Lower it when pictures look overfitted." },
  { path: "training.resolution", label: "Resolution", type: "number", bounds: { min: 64, max: 2048, isWhole: true, multiple: 8 }, placeholder: "Native", hint: "In pixels, a multiple of 8. Lower needs less memory." },
  { path: "training.seed", label: "Seed", type: "number", bounds: { min: 0, max: 4294967295, isWhole: true }, placeholder: "0", hint: "The same seed learns the same way." },
  { path: "training.batchSize", label: "Batch size", type: "number", bounds: { min: 1, max: 64, isWhole: true }, placeholder: "1", hint: "Photos in one pass. Memory grows with it." },
  { path: "training.heldOutPhotos", label: "Held-out photos", type: "number", bounds: { min: 0, max: 50, isWhole: true }, placeholder: "0", hint: "Not trained on: their loss shows overfitting." },
  { path: "training.saveSteps", label: "Saving interval", type: "number", bounds: { min: 0, max: 20000, isWhole: true }, placeholder: "Only at the end", hint: "In steps. Each saved one can be used as a model." },
  { path: "training.priorPreservation.classPrompt", label: "Class prompt", type: "text", placeholder: "a photo of a dog", hint: "Keeps other subjects of the class as they are. Takes about twice as long." },
  { path: "baseModel", label: "Base model", type: "text", placeholder: "The cluster's default", hint: "A hub repository, such as owner/name." },
  { path: "priority", label: "Priority", type: "number", bounds: { min: -1000, max: 1000, isWhole: true }, placeholder: "0", hint: "Higher runs first." },
  { path: "training.layers", label: "Layers", type: "choice", options: [["", "Attention"], ["All", "All"]], hint: "All learns more from few photos, in a larger file." },
  { path: "training.memory", label: "Memory", type: "choice", options: [["", "Automatic"], ["Low", "Low"]], hint: "Low saves whatever can be saved." },
  { path: "training.randomFlip", label: "Mirror half of the photos", type: "flag", hint: "Not for faces or text." },
  { path: "training.trainTextEncoders", label: "Train the text encoders too", type: "flag", hint: "Binds the subject closer to its word." },
];

/**
 * What is wrong with the fields, by their path in the spec.
 *
 * @param {TrainDraft} draft
 * @returns {Record<string, string>}
 */
export function faultsOf(draft) {
  /** @type {Record<string, string>} */
  const faults = {};
  if (!draft.modelId) faults.modelId = "Give the model a name.";
  else if (!MODEL_ID.test(draft.modelId)) faults.modelId = "Use letters, digits, dots, underscores and hyphens.";
  if (!draft.prompt.trim()) faults.prompt = "Describe what the photos show.";
  const steps = draft.maxSteps.trim() ? numberFault(draft.maxSteps, STEPS) : "Say how long it learns: 500 suit a handful of photos.";
  if (steps) faults.maxSteps = steps;
  for (const { path, bounds } of ADVANCED) {
    const fault = bounds ? numberFault(draft.advanced[path] ?? "", bounds) : "";
    if (fault) faults[path] = fault;
  }
  const baseModel = (draft.advanced.baseModel ?? "").trim();
  if (baseModel && !BASE_MODEL.test(baseModel)) faults.baseModel = "Not the name of a base model: write owner/name of a hub repository, or a folder's name.";
  return faults;
}

/**
 * The fields that changes of the draft concern, by their path in the spec.
 *
 * @param {TrainDraft} draft @param {Partial<TrainDraft>} changes
 */
export function changedFields(draft, { advanced, ...changes }) {
  const plain = Object.keys(changes).map((name) => (name === "samplePrompt" ? "training.validationPrompt" : name));
  return [...plain, ...Object.keys(advanced ?? {}).filter((path) => advanced?.[path] !== draft.advanced[path])];
}

/** @param {Record<string, any>} target @param {string} path @param {any} value */
export function setPath(target, path, value) {
  const names = path.split(".");
  const last = /** @type {string} */ (names.pop());
  let place = target;
  for (const name of names) place = place[name] ??= {};
  place[last] = value;
}

/**
 * @param {TrainDraft} draft @param {boolean} hasMasks
 * @returns {Record<string, any>}
 */
export function specOf(draft, hasMasks) {
  const steps = Number(draft.maxSteps);
  /** @type {Record<string, any>} */
  const spec = { modelId: draft.modelId, prompt: draft.prompt.trim(), maxSteps: steps };
  if (draft.samples) {
    setPath(spec, "training.validationPrompt", draft.samplePrompt.trim() || draft.prompt.trim());
    if (steps > 1) setPath(spec, "training.validationSteps", Math.max(1, Math.round(steps / SAMPLES)));
  }
  if (hasMasks) setPath(spec, "training.maskedLoss", {});
  for (const { path, type } of ADVANCED) {
    const text = draft.advanced[path]?.trim();
    if (text) setPath(spec, path, type === "number" ? Number(text) : type === "flag" ? true : text);
  }
  return spec;
}
