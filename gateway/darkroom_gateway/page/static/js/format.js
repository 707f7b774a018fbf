/** Numbers, sizes and times for people. */

/** @param {number} seconds @returns {string} Such as `40 s`, `3 min`, `1 h 20 min`. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 60) return whole < 300 && whole % 60 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.round(hours / 24)} days`;
}

/** @param {number} bytes @returns {string} */
export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 ** 2) return `${Math.round(bytes / 1024)} KiB`;
  if (bytes < 1024 ** 3) return `${(bytes / 1024 ** 2).toFixed(bytes < 10 * 1024 ** 2 ? 1 : 0)} MiB`;
  return `${(bytes / 1024 ** 3).toFixed(1)} GiB`;
}

/** @param {string} time RFC 3339. @param {number} now @returns {string} Such as `5 min ago`. */
export function ago(time, now = Date.now()) {
  const seconds = (now - Date.parse(time)) / 1000;
  if (seconds < 45) return "just now";
  if (seconds < 48 * 3600) return `${duration(Math.max(60, Math.round(seconds / 60) * 60)).replace(/ \d+ min$/, "")} ago`;
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

/** @param {string} stage @param {string} kind That of the job: a training draws samples only. */
export function stageName(stage, kind) {
  return stage === "Denoising" && kind === "TrainJob" ? DRAWING_SAMPLES : (STAGES[stage] ?? stage);
}

/** What the steps of a stage are. @param {string} stage */
export function stageUnit(stage) {
  return UNITS[stage] ?? "step";
}

/** @param {number} position From 0. */
export function place(position) {
  return position === 0 ? "Next in the queue" : `${position} ahead in the queue`;
}
