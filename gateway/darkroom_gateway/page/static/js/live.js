/** Live progress of jobs: the loss curve, samples and previews. Fed by the stream of all jobs and by streams of one. */

import { ROOT } from "./api.js";
import { Stream } from "./stream.js";
import { signal } from "./ui.js";

/**
 * @typedef {object} Sample
 * @property {string} url
 * @property {number} step
 * @property {number} index Number of the validation prompt, from 0.
 *
 * @typedef {object} Live
 * @property {import("./types.js").Progress | null} progress
 * @property {Map<number, import("./types.js").Preview>} previews The newest by seed.
 * @property {Map<number, number>} loss By training step.
 * @property {Map<number, number>} heldOutLoss By training step.
 * @property {Sample[]} samples In the order of their steps.
 */

/** @type {Map<string, {value: Live}>} */
const known = new Map();

/** @type {Map<string, {stream: Stream, watchers: number}>} */
const followed = new Map();

/** Finished jobs: their live data is dropped when nobody watches them. @type {Set<string>} */
const finished = new Set();

/** Whether no stream of a single job is read, such as while the page is hidden. */
export const isPaused = signal(false);

const SAMPLE = /\/samples\/[^/?]*-step-(\d+)-(\d+)\.[a-z]+/;

/** @param {string} id @returns {{value: Live}} A signal. */
export function liveOf(id) {
  let live = known.get(id);
  if (!live) {
    live = signal({ progress: null, previews: new Map(), loss: new Map(), heldOutLoss: new Map(), samples: [] });
    known.set(id, live);
  }
  return live;
}

/** @param {string} id */
export function forgetLive(id) {
  known.delete(id);
  finished.delete(id);
}

/** Drop the previews of a finished job, and everything else too when nobody watches it. @param {string} id */
export function finishLive(id) {
  finished.add(id);
  const live = known.get(id);
  if (!live) return;
  if (!isFollowed(id)) known.delete(id);
  else if (live.value.previews.size > 0) live.value = { ...live.value, previews: new Map() };
}

/** Drop the progress of the run before: the job has begun another. @param {string} id */
export function beginRun(id) {
  const live = known.get(id);
  if (live) live.value = { ...live.value, progress: null };
}

/** @param {string} id */
export function isFollowed(id) {
  return followed.has(id);
}

/** @param {Sample[]} samples @param {string[]} files */
function withSamples(samples, files) {
  const added = files.flatMap((file) => {
    const match = SAMPLE.exec(file);
    const url = new URL(file, ROOT).href;
    return match && !samples.some((sample) => sample.url === url)
      ? [{ url, step: Number(match[1]), index: Number(match[2]) }]
      : [];
  });
  if (added.length === 0) return samples;
  return [...samples, ...added].sort((one, other) => one.step - other.step || one.index - other.index);
}

/**
 * Add a progress event. Events that arrive twice, from two streams, change nothing.
 *
 * @param {string} id
 * @param {import("./types.js").Progress} progress
 */
export function addProgress(id, progress) {
  if (finished.has(id) && !isFollowed(id)) return;
  const live = liveOf(id);
  const before = live.value;
  const isOlder = (progress.updated ?? "") < (before.progress?.updated ?? "");
  const { step = 0, metrics = {}, stage } = progress;
  if (stage === "Training" && step > 0) {
    if (Number.isFinite(metrics.loss)) before.loss.set(step, metrics.loss);
    if (Number.isFinite(metrics.held_out_loss)) before.heldOutLoss.set(step, metrics.held_out_loss);
  }
  const { preview } = progress;
  if (preview && !finished.has(id) && preview.step >= (before.previews.get(preview.seed)?.step ?? 0)) {
    before.previews.set(preview.seed, preview);
  }
  live.value = {
    ...before,
    progress: isOlder ? before.progress : progress,
    samples: withSamples(before.samples, progress.files ?? []),
  };
}

/**
 * Follow a job: its progress so far, and what comes. Call the result to stop.
 *
 * @param {string} id
 * @returns {() => void}
 */
export function follow(id) {
  let entry = followed.get(id);
  if (!entry) {
    const stream = new Stream(`v1/jobs/${encodeURIComponent(id)}/events`, {
      onEvent(event, data) {
        if (event === "progress") addProgress(id, data);
        return event === "end" && data.reason !== "GatewayStopping";
      },
    });
    entry = { stream, watchers: 0 };
    followed.set(id, entry);
    if (!isPaused.peek()) stream.start();
  }
  entry.watchers += 1;
  const own = entry;
  return () => {
    own.watchers -= 1;
    if (own.watchers > 0) return;
    own.stream.stop();
    if (followed.get(id) !== own) return;
    followed.delete(id);
    if (finished.has(id)) known.delete(id);
  };
}

/** Stop or continue all streams. @param {boolean} pauses */
export function pauseFollowing(pauses) {
  isPaused.value = pauses;
  for (const { stream } of followed.values()) {
    if (pauses) stream.stop();
    else stream.start();
  }
}
