/** The fields of the generation form, and the spec that they make. Pure, except for the stored draft. */

import { randomSeed } from "../components/picture_actions.js";
import { readDraft, writeDraft } from "../drafts.js";
import { setPath } from "./train_fields.js";

/**
 * @typedef {object} GenerateDraft
 * @property {string} prompt
 * @property {string} negativePrompt
 * @property {string} modelId Empty for the base model.
 * @property {number} loraScale
 * @property {string} profile
 * @property {string} count
 * @property {string} size A value of SIZES.
 * @property {string} width With the size `custom`.
 * @property {string} height With the size `custom`.
 * @property {string} seed Empty for a random one.
 * @property {string} steps
 * @property {string} guidanceScale
 * @property {string} scheduler
 * @property {boolean} video
 * @property {string} frames
 * @property {string} motion
 * @property {number} strength
 */

/** @type {GenerateDraft} */
export const EMPTY = {
  prompt: "",
  negativePrompt: "",
  modelId: "",
  loraScale: 1,
  profile: "Balanced",
  count: "1",
  size: "",
  width: "1024",
  height: "1024",
  seed: "",
  steps: "",
  guidanceScale: "",
  scheduler: "",
  video: false,
  frames: "",
  motion: "",
  strength: 0.6,
};

/** @type {[string, string][]} */
export const SIZES = [
  ["", "Default"],
  ["1024x1024", "Square · 1024 × 1024"],
  ["832x1216", "Portrait · 832 × 1216"],
  ["1216x832", "Landscape · 1216 × 832"],
  ["1344x768", "Wide · 1344 × 768"],
  ["custom", "Custom"],
];

/** @type {[string, string][]} */
export const PROFILES = [
  ["Disabled", "Exact"],
  ["Quality", "Quality"],
  ["Balanced", "Balanced"],
  ["Fast", "Fast"],
];

/** @type {Record<string, string>} */
export const PROFILE_HINTS = {
  Disabled: "Every step is computed in full.",
  Quality: "A little faster, hardly a difference.",
  Balanced: "Much faster, small differences.",
  Fast: "Fastest, for trying things out.",
};

/** @type {[string, string][]} */
export const SCHEDULERS = [
  ["", "The model's own"],
  ...["DDIM", "DPM++", "Euler", "EulerAncestral", "EulerTrailing", "Heun", "LCM", "TCD", "UniPC"].map(
    (name) => /** @type {[string, string]} */ ([name, name]),
  ),
];

/** Prepare the form for a model. @param {string} modelId @param {string} prompt */
export function draftFor(modelId, prompt) {
  const draft = readDraft("generate", EMPTY);
  writeDraft("generate", { ...draft, modelId, prompt: draft.prompt.trim() ? draft.prompt : prompt });
}

/** @param {string} text @param {number} min @param {number} max @param {number} [multiple] */
function numberFault(text, min, max, multiple = 0) {
  const value = Number(text);
  if (text !== "" && Number.isFinite(value) && value >= min && value <= max && (!multiple || value % multiple === 0)) return "";
  return multiple ? `A multiple of ${multiple} from ${min} to ${max}.` : `From ${min} to ${max}.`;
}

/**
 * @param {GenerateDraft} draft
 * @returns {Record<string, string>} By field of the draft.
 */
export function faultsOf(draft) {
  /** @type {Record<string, string>} */
  const faults = {};
  if (!draft.prompt.trim()) faults.prompt = "Describe the picture.";
  /** @type {[keyof GenerateDraft, number, number, number, boolean][]} */
  const numbers = [
    ["width", 64, 2048, 8, draft.size === "custom"],
    ["height", 64, 2048, 8, draft.size === "custom"],
    ["seed", 0, 4294967287, 0, draft.seed !== ""],
    ["steps", 1, 200, 0, draft.steps !== ""],
    ["guidanceScale", 0, 30, 0, draft.guidanceScale !== ""],
    ["frames", 2, 50, 0, draft.video && draft.frames !== ""],
    ["motion", 0, 1023, 0, draft.video && draft.motion !== ""],
  ];
  for (const [name, min, max, multiple, isUsed] of numbers) {
    const fault = isUsed ? numberFault(String(draft[name]), min, max, multiple) : "";
    if (fault) faults[name] = fault;
  }
  return faults;
}

/** Whether the negative prompt counts. @param {GenerateDraft} draft */
export function hasGuidance(draft) {
  return draft.guidanceScale === "" || Number(draft.guidanceScale) > 1;
}

/** @param {GenerateDraft} draft @returns {[number, number] | null} */
export function sizeOf(draft) {
  if (draft.size === "") return null;
  if (draft.size === "custom") return [Number(draft.width), Number(draft.height)];
  const [width, height] = draft.size.split("x").map(Number);
  return [width, height];
}

/**
 * @param {GenerateDraft} draft @param {boolean} hasPicture
 * @returns {Record<string, any>}
 */
export function specOf(draft, hasPicture) {
  /** @type {Record<string, any>} */
  const spec = { prompt: draft.prompt.trim() };
  const size = sizeOf(draft);
  /** @type {[string, any][]} */
  const values = [
    ["negativePrompt", hasGuidance(draft) ? draft.negativePrompt.trim() : ""],
    ["modelId", draft.modelId],
    ["loraScale", draft.modelId && draft.loraScale !== 1 ? draft.loraScale : ""],
    ["images.count", draft.count === "1" ? "" : Number(draft.count)],
    ["images.width", size?.[0]],
    ["images.height", size?.[1]],
    ["images.seed", draft.seed === "" ? randomSeed() : Number(draft.seed)],
    ["images.steps", draft.steps && Number(draft.steps)],
    ["images.previewSteps", previewSteps(draft.steps)],
    ["images.guidanceScale", draft.guidanceScale && Number(draft.guidanceScale)],
    ["images.scheduler", draft.scheduler],
    ["cache.profile", draft.profile],
    ["allowMotion", draft.video || ""],
    ["video.frames", draft.video && draft.frames ? Number(draft.frames) : ""],
    ["video.motionBucketId", draft.video && draft.motion ? Number(draft.motion) : ""],
  ];
  for (const [path, value] of values) if (value !== "" && value !== undefined) setPath(spec, path, value);
  if (hasPicture) spec.startImage = { strength: draft.strength };
  return spec;
}

/** A preview every few steps: the picture sharpens visibly. @param {string} steps */
function previewSteps(steps) {
  const total = steps === "" ? 30 : Number(steps);
  return Math.min(total, Math.max(1, Math.round(total / 10)));
}
