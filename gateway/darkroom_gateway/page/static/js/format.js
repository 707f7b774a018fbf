/** Numbers, sizes and times for people. */

/** Keeps a number and its unit in one line. */
const NBSP = "\u00a0";

/** @param {number} seconds @returns {string} Such as `40 s`, `3 min`, `1 h 20 min`. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole}${NBSP}s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 60) return whole < 300 && whole % 60 ? `${Math.floor(whole / 60)}${NBSP}min ${whole % 60}${NBSP}s` : `${minutes}${NBSP}min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours}${NBSP}h ${minutes % 60}${NBSP}min` : `${hours}${NBSP}h`;
  return `${Math.round(hours / 24)}${NBSP}days`;
}

/** @param {number} bytes @returns {string} */
export function size(bytes) {
  if (bytes < 1024) return `${bytes}${NBSP}B`;
  if (bytes < 1024 ** 2) return `${Math.round(bytes / 1024)}${NBSP}KiB`;
  if (bytes < 1024 ** 3) return `${(bytes / 1024 ** 2).toFixed(bytes < 10 * 1024 ** 2 ? 1 : 0)}${NBSP}MiB`;
  return `${(bytes / 1024 ** 3).toFixed(1)}${NBSP}GiB`;
}

/** @param {string} time RFC 3339. @param {number} now @returns {string} Such as `5 min ago`. */
export function ago(time, now = Date.now()) {
  const seconds = (now - Date.parse(time)) / 1000;
  if (seconds < 45) return "just now";
  if (seconds < 48 * 3600) return `${duration(Math.max(60, Math.round(seconds / 60) * 60)).replace(/ \d+\s?min$/, "")} ago`;
  return new Date(time).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

/** @param {string} time */
export function dateTime(time) {
  return new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** @param {number} count @param {string} one @param {string} [many] */
export function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

/** @type {Map<string, string>} */
const SPELLINGS = new Map([
  ["dora", "DoRA"],
  ["ema", "EMA"],
  ["id", "ID"],
  ["lora", "LoRA"],
  ["loras", "LoRAs"],
  ["snr", "SNR"],
  ["uri", "URI"],
  ["vae", "VAE"],
]);

/** The words of a name for programs, such as `clip skip` of `clipSkip`. @param {string} name */
export function words(name) {
  const parts = name.replace(/([a-z0-9])([A-Z])/g, "$1 $2").split(/[\s_-]+/);
  return parts.map((part) => SPELLINGS.get(part.toLowerCase()) ?? part.toLowerCase()).join(" ");
}

/** @param {string} text */
export function capitalized(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** @type {Record<string, string>} */
const STAGES = {
  Downloading: "Fetching the input files",
  LoadingModel: "Loading the model",
  DrawingClassImages: "Drawing class images to keep what the model knows",
  Encoding: "Preparing the photos",
  Training: "Learning",
  Denoising: "Drawing",
  Animating: "Animating",
  Uploading: "Storing the files",
  Done: "Done",
};

const DRAWING_SAMPLES = "Drawing samples";

/** @type {Record<string, string>} */
const UNITS = { Encoding: "photo", Uploading: "file" };

/** A later runner may have stages that this page does not know. @param {string} stage @param {string} kind That of the job: a training draws samples only. */
export function stageName(stage, kind) {
  if (stage === "Denoising" && kind === "TrainJob") return DRAWING_SAMPLES;
  return Object.hasOwn(STAGES, stage) ? STAGES[stage] : capitalized(words(stage || "Working"));
}

/** What the steps of a stage are. @param {string} stage */
export function stageUnit(stage) {
  return (Object.hasOwn(UNITS, stage) && UNITS[stage]) || "step";
}

/** @param {number} position From 0. */
export function place(position) {
  return position === 0 ? "Next in the queue" : `${position} ahead in the queue`;
}
