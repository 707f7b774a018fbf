/** The settings of a job, named for people: everything that makes the same pictures, clip or model again. Pure. */

import { capitalized, words } from "./format.js";

/** @typedef {import("./types.js").Job} Job */
/** @typedef {import("./types.js").Artifact} Artifact */
/** @typedef {[name: string, value: string]} Setting */

/** Fields of a spec that place or limit a job, or are shown elsewhere. */
const NO_SETTINGS = new Set([
  "activeDeadlineSeconds", "backoffLimit", "priority", "startDeadlineSeconds", "suspend", "ttlSecondsAfterFinished", "webhook",
  "webhookEvents", "allowMotion", "prompt", "modelId", "images.previewSteps", "training.checkpointSteps",
]);

/** Of the cache's settings, without a cache. */
const OF_THE_CACHE = /^cache\.(?!profile$)/;

/** The cache profile without a cache. */
const CACHE_OFF = "Disabled";

/** Settings that are shown first, with their names there. @type {Record<Job["kind"], [path: string, name: string][]>} */
const MAIN = {
  GenerateJob: [
    ["loraScale", "Strength of the model"],
    ["images.seed", "Seed"],
    ["images.steps", "Steps"],
    ["images.guidanceScale", "Guidance"],
    ["images.scheduler", "Sampler"],
    ["images.width", "Size"],
    ["cache.profile", "Cache profile"],
    ["cache.interval", "Cache interval"],
    ["startImage.strength", "How much may change"],
    ["video.seed", "Seed of the clip"],
    ["video.frames", "Frames of the clip"],
    ["video.steps", "Steps of the clip"],
    ["video.motionBucketId", "Amount of motion"],
    ["negativePrompt", "Not in the picture"],
    ["baseModel", "Base model"],
  ],
  TrainJob: [
    ["maxSteps", "Steps"],
    ["training.seed", "Seed"],
    ["training.rank", "Rank"],
    ["training.learningRate", "Learning rate"],
    ["training.batchSize", "Batch size"],
    ["training.resolution", "Resolution"],
    ["training.optimizer", "Optimizer"],
    ["training.layers", "Layers"],
    ["baseModel", "Base model"],
  ],
};

/** What a setting is that is not in the spec. @type {Map<string, string>} */
const UNSET = new Map([
  ["images.scheduler", "The base model’s own"],
  ["images.width", "The base model’s own"],
  ["training.resolution", "The base model’s own"],
  ["training.learningRate", "The optimizer’s own"],
]);

/** The settings that people ask for first. @param {Job} job @returns {Setting[]} */
export function mainSettings(job) {
  const values = valuesOf(job);
  return MAIN[job.kind].flatMap(([path, name]) => {
    const value = valueOf(job, values, path);
    return value === "" ? [] : [/** @type {Setting} */ ([name, value])];
  });
}

/** All others that are set, also those that this page does not know. @param {Job} job @returns {Setting[]} */
export function otherSettings(job) {
  const shown = new Set([...MAIN[job.kind].map(([path]) => path), "images.height"]);
  return [...valuesOf(job)].filter(([path]) => !shown.has(path)).map(([path, value]) => [nameOf(path), inWords(value)]);
}

/**
 * What makes one picture or clip again, in a line.
 *
 * @param {Job} job @param {{role?: string, seed?: number | null}} artifact @param {string} size The sides of the picture, where they are known.
 * @returns {string[]}
 */
export function settingsOf(job, artifact, size) {
  const { images = {}, video = {}, cache = {}, startImage } = job.spec;
  const drawn = [said(images.steps, "steps"), said("guidance", images.guidanceScale), images.scheduler ?? "", said("strength", startImage?.strength)];
  const moved = [said(video.frames, "frames"), said(video.steps, "steps"), said(video.fps, "frames a second"), said("motion", video.motionBucketId)];
  const isVideo = artifact.role === "video";
  const model = isVideo && images.count === 0 ? "" : modelOf(job);
  return [model, size, ...(isVideo ? moved : drawn), reuseOf(cache)].filter((part) => part !== "");
}

/** What the cache does. An interval counts in place of the profile. @param {{profile?: string, interval?: number}} cache */
function reuseOf({ profile, interval }) {
  if (interval === 1 || (profile === CACHE_OFF && !interval)) return "no cache";
  return interval ? `cache interval ${interval}` : said(profile?.toLowerCase(), "cache");
}

/** @param {Job} job */
function modelOf(job) {
  const scale = job.spec.modelId && job.spec.loraScale !== undefined ? ` at ${job.spec.loraScale}` : "";
  return `${job.model_id ?? "Base model"}${scale}`;
}

/** The seed of a picture, or of a clip. @param {Job} job @param {{role?: string, seed?: number | null}} artifact @returns {number | null} */
export function seedOfFile(job, artifact) {
  return artifact.seed ?? (artifact.role === "video" ? (job.spec.video?.seed ?? null) : null);
}

/** Both, or nothing where one is not known. @param {any} first @param {any} second */
function said(first, second) {
  return (first ?? null) === null || (second ?? null) === null ? "" : `${first} ${second}`;
}

/** @param {Job} job @param {Map<string, any>} values @param {string} path */
function valueOf(job, values, path) {
  const [width, height] = [values.get("images.width"), values.get("images.height")];
  if (path === "images.width" && (width || height)) return `${width ?? height} × ${height ?? width}`;
  if (path === "images.seed" && values.has(path) && job.spec.images?.count > 1) return `${values.get(path)} to ${values.get(path) + job.spec.images.count - 1}`;
  if (values.has(path)) return inWords(values.get(path));
  const isUsed = job.kind === "TrainJob" || job.spec.images?.count !== 0;
  return isUsed ? (UNSET.get(path) ?? "") : "";
}

/** The set values of a spec by their path, without those that change nothing. @param {Job} job @returns {Map<string, any>} */
function valuesOf({ kind, spec }) {
  /** @type {Map<string, any>} */
  const found = new Map();
  for (const [path, value] of leaves(spec, "")) if (!NO_SETTINGS.has(path)) found.set(path, value);
  if (kind === "TrainJob") return found;
  const isClip = spec.images?.count === 0;
  for (const path of [...found.keys()]) {
    const isUnused =
      (path.startsWith("video.") && !spec.allowMotion) ||
      (path.startsWith("images.") && isClip) ||
      (path === "images.quality" && spec.images?.format === "PNG") ||
      (path === "loraScale" && !spec.modelId) ||
      (OF_THE_CACHE.test(path) && reuseOf(spec.cache ?? {}) === "no cache");
    if (isUnused) found.delete(path);
  }
  return found;
}

/** @param {any} value @param {string} path @returns {[string, any][]} */
function leaves(value, path) {
  if (value === null || value === undefined || value === "" || value === false) return [];
  if (typeof value !== "object") return [[path, value]];
  return Object.entries(value).flatMap(([name, each]) => leaves(each, path ? `${path}.${Array.isArray(value) ? Number(name) + 1 : name}` : name));
}

/** Such as `Prior preservation · class prompt` of `training.priorPreservation.classPrompt`. @param {string} path */
function nameOf(path) {
  return capitalized(path.replace(/^(training|images)\./, "").split(".").map(words).join(" · "));
}

/** @param {any} value */
function inWords(value) {
  return value === true ? "Yes" : String(value);
}
