/** What a job is doing, in words and as a bar. */

import { duration, place, stageName, stageUnit } from "../format.js";
import { unfinished } from "../jobs.js";
import { liveOf } from "../live.js";
import { html, useNow, useValue } from "../ui.js";

/** @typedef {import("../types.js").Job} Job */

/** @type {Record<string, string>} */
const NAMES = {
  Queued: "Waiting",
  Starting: "Starting",
  Running: "Running",
  Succeeded: "Done",
  Failed: "Failed",
  Suspended: "Suspended",
};

/** @param {{job: Job}} properties */
export function StatusChip({ job }) {
  const name = job.deleting ? "Deleting" : NAMES[job.status];
  return html`<span class=${`chip ${job.status.toLowerCase()}`}>${name}</span>`;
}

/** The name of a job for people: its model, or its prompt. @param {Job} job */
export function titleOf(job) {
  return job.kind === "TrainJob" ? (job.model_id ?? job.id) : job.prompt;
}

/** @param {Job} job */
export function kindName(job) {
  if (job.kind === "TrainJob") return "Training";
  return job.spec.allowMotion ? "Video" : "Picture";
}

/** The newest progress, from events or from the job. @param {Job} job */
export function useProgress(job) {
  const { progress } = useValue(liveOf(job.id));
  if (!progress || (job.status !== "Running" && job.status !== "Starting")) return job.progress;
  // Without Redis, only the job has it.
  const isOlder = Date.parse(progress.updated ?? "") < Date.parse(job.progress?.updated ?? "");
  return isOlder ? job.progress : progress;
}

/**
 * The seconds that are left, counted down between reports.
 *
 * @param {number} seconds @param {string | undefined} updated @param {number} now
 */
function remaining(seconds, updated, now) {
  const age = updated ? Math.max(0, (now - Date.parse(updated)) / 1000) : 0;
  return Math.max(1, seconds - Math.min(age, 30));
}

/**
 * What a job is doing, and of a running one how long it will take.
 *
 * @param {Job} job @param {import("../types.js").Progress | null} progress @param {number} now
 * @returns {[what: string, left: string]}
 */
export function describe(job, progress, now) {
  const seconds = job.status === "Running" && !job.deleting ? progress?.estimated_remaining_seconds : null;
  const left = seconds ? `${duration(remaining(seconds, progress?.updated, now))} left` : "";
  return [action(job, progress, now), left];
}

/** @param {Job} job @param {import("../types.js").Progress | null} progress @param {number} now */
function action(job, progress, now) {
  if (job.deleting) return "Stopping, then it is removed";
  if (job.status === "Queued") return waiting(job, now);
  if (job.status === "Suspended") return "Suspended. It keeps its progress until you resume it.";
  if (job.status === "Starting") return "Getting ready";
  if (job.status === "Succeeded") return job.started && job.completed ? `Took ${between(job.started, job.completed)}` : "";
  if (job.status === "Failed") return job.started && job.completed ? `After ${between(job.started, job.completed)}` : "";
  if (!progress) return "Getting ready";
  const stage = stageName(progress.stage, job.kind);
  return progress.total ? `${stage} · ${stageUnit(progress.stage)} ${progress.step ?? 0} of ${progress.total}` : stage;
}

/** @param {Job} job @param {number} now */
function waiting(job, now) {
  if (job.next_attempt) {
    const seconds = (Date.parse(job.next_attempt) - now) / 1000;
    return seconds > 0 ? `Trying again in ${duration(seconds)}` : "Trying again shortly";
  }
  const training = trainingOf(job);
  if (training?.status === "Suspended") return `Waits until the training of ${training.model_id} is resumed`;
  const { position, estimated_start: start } = job.queue ?? {};
  if (position === null || position === undefined) return "Waiting for its turn";
  if (!start) return place(position);
  const seconds = (Date.parse(start) - now) / 1000;
  if (seconds > 5) return `${place(position)} · starts in about ${duration(seconds)}`;
  return position === 0 ? `${place(position)} · starts any moment` : place(position);
}

/** The training that a generation waits for: its model is not ready before. @param {Job} job */
function trainingOf(job) {
  const model = job.kind === "GenerateJob" ? job.model_id?.split("@")[0] : null;
  return model ? unfinished.peek().find((each) => each.kind === "TrainJob" && each.model_id === model) : undefined;
}

/** @param {string} start @param {string} end */
function between(start, end) {
  return duration((Date.parse(end) - Date.parse(start)) / 1000);
}

/** @param {{job: Job}} properties */
export function ProgressText({ job }) {
  const progress = useProgress(job);
  const now = useNow(1);
  const [what, left] = describe(job, progress, now);
  return html`<span class="progress-text">
    <span class="what">${what}</span>${left && html`<span class="what"> · </span><span class="left">${left}</span>`}
  </span>`;
}

/** Of runs, on a page that stays open. */
const MOST_KEPT = 100;

/** The most that each run has reported, and when, by job and run. @type {Map<string, {percent: number, updated: number}>} */
const reached = new Map();

/**
 * The progress of a job for its bar, in whole percent: never less than the same run reported before.
 *
 * Reports may arrive late, since a stream begins with those of the past: an older one changes nothing. A newer one of
 * less is of another run, as no run reports less than before.
 *
 * @param {Job} job @param {import("../types.js").Progress | null} progress
 */
export function percentOf(job, progress) {
  const reported = Number(progress?.progress_percentage ?? 0);
  const percent = Math.min(100, Math.max(0, Math.round(reported || 0)));
  const run = `${job.id} ${job.attempts} ${job.started ?? ""}`;
  if (job.status !== "Running" && job.status !== "Starting") {
    reached.delete(run);
    return percent;
  }
  const updated = Date.parse(progress?.updated ?? "");
  const before = reached.get(run);
  if (before && (updated < before.updated || (percent < before.percent && !(updated > before.updated)))) return before.percent;
  reached.set(run, { percent, updated });
  if (reached.size > MOST_KEPT) reached.delete(reached.keys().next().value ?? "");
  return percent;
}

/** @param {{job: Job, label?: string}} properties */
export function ProgressBar({ job, label = "Progress" }) {
  const progress = useProgress(job);
  const percent = percentOf(job, progress);
  const isActive = job.status === "Running" || job.status === "Starting";
  return html`<div
    class=${`bar ${isActive && percent === 0 ? "indeterminate" : ""}`}
    role="progressbar"
    aria-label=${label}
    aria-valuemin="0"
    aria-valuemax="100"
    aria-valuenow=${percent}
  >
    <span style=${{ transform: `scaleX(${percent / 100})` }}></span>
  </div>`;
}

/** Reads changes of a job's state out, but not every step. @param {{job: Job}} properties */
export function StatusAnnouncer({ job }) {
  const progress = useProgress(job);
  const quarter = Math.floor(percentOf(job, progress) / 25) * 25;
  const detail = job.status === "Running" && progress ? `, ${stageName(progress.stage, job.kind)}, ${quarter} percent` : "";
  return html`<p class="visually-hidden" role="status">${titleOf(job)}: ${NAMES[job.status]}${detail}</p>`;
}
