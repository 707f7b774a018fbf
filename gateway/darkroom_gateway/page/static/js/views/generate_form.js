/** The fields of the generation form, and the spec that they make. Pure, except for the stored draft. */

import { readDraft, writeDraft } from "../drafts.js";
import { numberFault } from "../numbers.js";
import { randomSeed } from "../seeds.js";
import { setPath } from "./train_fields.js";

/**
 * @typedef {object} GenerateDraft
 * @property {string} prompt
 * @property {string} negativePrompt
 * @property {string} modelId Empty for the base model.
 * @property {number} loraScale
 * @property {string} profile
 * @property {string} count
 * @property {string} size A shape of SHAPES, `custom`, or empty for the default.
 * @property {string} width With the size `custom`; empty for the model's own.
 * @property {string} height With the size `custom`; empty for the model's own.
 * @property {string} seed Empty for a random one.
 * @property {string} steps
 * @property {string} guidanceScale
 * @property {string} scheduler
 * @property {boolean} video
 * @property {string} frames
 * @property {string} motion
 * @property {number} strength
 * @property {Earlier | null} start The start picture, when it is one of an earlier job.
 * @property {"change" | "animate"} startUse
 *
 * @typedef {object} Earlier A picture of an earlier job.
 * @property {string} job
 * @property {string} name
 * @property {string} uri
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
  width: "",
  height: "",
  seed: "",
  steps: "",
  guidanceScale: "",
  scheduler: "",
  video: false,
  frames: "",
  motion: "",
  strength: 0.6,
  start: null,
  startUse: "change",
};

/** Name and sides of the offered shapes, at SDXL's native size. @type {Record<string, [name: string, width: number, height: number]>} */
const SHAPES = {
  square: ["Square", 1024, 1024],
  portrait: ["Portrait", 832, 1216],
  landscape: ["Landscape", 1216, 832],
  wide: ["Wide", 1344, 768],
};
const SDXL_PX = 1024;
const LEAST_PX = 64;
const MULTIPLE_PX = 8;

/** The sides of a shape for a base model with another native size. @param {string} shape @param {number} nativePx @returns {[number, number]} */
function sidesOf(shape, nativePx) {
  const scaled = (/** @type {number} */ side) =>
    Math.max(LEAST_PX, Math.round((side * nativePx) / SDXL_PX / MULTIPLE_PX) * MULTIPLE_PX);
  const [, width, height] = SHAPES[shape];
  return [scaled(width), scaled(height)];
}

/** The sizes to choose from. @param {number} nativePx The side of the base model's own pictures. @returns {[string, string][]} */
export function sizesOf(nativePx) {
  const shapes = Object.entries(SHAPES).map(([shape, [name]]) => /** @type {[string, string]} */ ([shape, `${name} · ${sidesOf(shape, nativePx).join(" × ")}`]));
  return [["", "Default"], ...shapes, ["custom", "Custom"]];
}

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
  ["", "Default"],
  ...["DDIM", "DPM++", "Euler", "EulerAncestral", "EulerTrailing", "Heun", "LCM", "TCD", "UniPC"].map(
    (name) => /** @type {[string, string]} */ ([name, name]),
  ),
];

/** Prepare the form for a model. @param {string} modelId @param {string} prompt */
export function draftFor(modelId, prompt) {
  const draft = readDraft("generate", EMPTY);
  writeDraft("generate", { ...draft, modelId, prompt: draft.prompt.trim() ? draft.prompt : prompt });
}

/** Prepare the form for a picture of an earlier job. @param {import("../types.js").Job} job @param {Earlier} start */
export function draftFrom(job, start) {
  const draft = readDraft("generate", EMPTY);
  const own = draft.prompt.trim() ? {} : { prompt: job.prompt, modelId: job.spec.modelId ?? "" };
  writeDraft("generate", { ...draft, ...own, start });
}

/** Whether nothing but a clip of the start picture is made. @param {GenerateDraft} draft @param {boolean} hasFile Whether a start picture was dropped. */
export function isClip(draft, hasFile) {
  return draft.startUse === "animate" && (hasFile || draft.start !== null);
}

/** @type {Record<"width" | "height" | "seed" | "steps" | "guidanceScale" | "frames" | "motion", import("../numbers.js").Bounds>} */
export const BOUNDS = {
  width: { min: 64, max: 2048, isWhole: true, multiple: 8 },
  height: { min: 64, max: 2048, isWhole: true, multiple: 8 },
  seed: { min: 0, max: 4294967287, isWhole: true },
  steps: { min: 1, max: 200, isWhole: true },
  guidanceScale: { min: 0, max: 30 },
  frames: { min: 2, max: 50, isWhole: true },
  motion: { min: 0, max: 1023, isWhole: true },
};

/**
 * @param {GenerateDraft} draft @param {boolean} hasFile Whether a start picture was dropped.
 * @returns {Record<string, string>} By field of the draft.
 */
export function faultsOf(draft, hasFile) {
  /** @type {Record<string, string>} */
  const faults = {};
  const clip = isClip(draft, hasFile);
  if (!draft.prompt.trim()) faults.prompt = clip ? "Give the clip a description: you find it again by it." : "Describe the picture.";
  const isSized = !clip && draft.size === "custom";
  const moves = clip || draft.video;
  /** @type {Record<keyof typeof BOUNDS, boolean>} */
  const isUsed = { width: isSized, height: isSized, seed: true, steps: !clip, guidanceScale: !clip, frames: moves, motion: moves };
  for (const name of /** @type {(keyof typeof BOUNDS)[]} */ (Object.keys(BOUNDS))) {
    const fault = isUsed[name] ? numberFault(draft[name], BOUNDS[name]) : "";
    if (fault) faults[name] = fault;
  }
  return faults;
}

/** Whether the negative prompt counts. @param {GenerateDraft} draft */
export function hasGuidance(draft) {
  return draft.guidanceScale === "" || Number(draft.guidanceScale) > 1;
}

/** @param {GenerateDraft} draft @param {number} nativePx @returns {[number, number] | null} Width and height; null for the default. */
export function sizeOf(draft, nativePx) {
  if (draft.size === "custom") return [Number(draft.width || nativePx), Number(draft.height || nativePx)];
  return draft.size in SHAPES ? sidesOf(draft.size, nativePx) : null;
}

/**
 * @param {GenerateDraft} draft @param {boolean} hasFile Whether a start picture was dropped. @param {number} nativePx
 * @returns {Record<string, any>}
 */
export function specOf(draft, hasFile, nativePx) {
  const clip = isClip(draft, hasFile);
  /** @type {Record<string, any>} */
  const spec = { prompt: draft.prompt.trim() };
  /** @type {[string, any][]} */
  const values = [
    ...(clip ? clipValues(draft) : pictureValues(draft, nativePx)),
    ["cache.profile", draft.profile],
    ["allowMotion", clip || draft.video || ""],
    ["video.frames", (clip || draft.video) && draft.frames ? Number(draft.frames) : ""],
    ["video.motionBucketId", (clip || draft.video) && draft.motion ? Number(draft.motion) : ""],
  ];
  for (const [path, value] of values) if (value !== "" && value !== undefined) setPath(spec, path, value);
  const uri = hasFile || !draft.start ? {} : { uri: draft.start.uri };
  if (clip) setPath(spec, "video.startImage", uri);
  else if (hasFile || draft.start) spec.startImage = { ...uri, strength: draft.strength };
  return spec;
}

/** @param {GenerateDraft} draft @returns {[string, any][]} */
function clipValues(draft) {
  return [
    ["images.count", 0],
    ["video.seed", seedOf(draft)],
  ];
}

/** @param {GenerateDraft} draft @param {number} nativePx @returns {[string, any][]} */
function pictureValues(draft, nativePx) {
  const size = sizeOf(draft, nativePx);
  return [
    ["negativePrompt", hasGuidance(draft) ? draft.negativePrompt.trim() : ""],
    ["modelId", draft.modelId],
    ["loraScale", draft.modelId && draft.loraScale !== 1 ? draft.loraScale : ""],
    ["images.count", draft.count === "1" ? "" : Number(draft.count)],
    ["images.width", size?.[0]],
    ["images.height", size?.[1]],
    ["images.seed", seedOf(draft)],
    ["images.steps", draft.steps && Number(draft.steps)],
    ["images.previewSteps", previewSteps(draft.steps)],
    ["images.guidanceScale", draft.guidanceScale && Number(draft.guidanceScale)],
    ["images.scheduler", draft.scheduler],
  ];
}

/** @param {GenerateDraft} draft */
function seedOf(draft) {
  return draft.seed === "" ? randomSeed() : Number(draft.seed);
}

/** A preview every few steps: the picture sharpens visibly. @param {string} steps */
function previewSteps(steps) {
  const total = steps === "" ? 30 : Number(steps);
  return Math.min(total, Math.max(1, Math.round(total / 10)));
}
