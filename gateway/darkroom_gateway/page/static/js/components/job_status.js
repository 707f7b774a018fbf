/** What a job is doing, in words and as a bar. */

import { duration, place, stageName, stageUnit } from "../format.js";
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
  if (job.status !== "Running" && job.status !== "Starting") return job.progress;
  return progress ?? job.progress;
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

/** @param {Job} job @param {import("../types.js").Progress | null} progress @param {number} now */
export function describe(job, progress, now) {
  if (job.deleting) return "Stopping, then it is removed";
  if (job.status === "Queued") return waiting(job, now);
  if (job.status === "Suspended") return "Suspended. It keeps its progress until you resume it.";
  if (job.status === "Starting") return "Starting its run";
  if (job.status === "Succeeded") return job.started && job.completed ? `Took ${between(job.started, job.completed)}` : "";
  if (job.status === "Failed") return job.started && job.completed ? `After ${between(job.started, job.completed)}` : "";
  if (!progress) return "Starting its run";
  const parts = [stageName(progress.stage, job.kind)];
  if (progress.total) parts.push(`${stageUnit(progress.stage)} ${progress.step ?? 0} of ${progress.total}`);
  const left = progress.estimated_remaining_seconds;
  if (left) parts.push(`${duration(remaining(left, progress.updated, now))} left`);
  return parts.join(" · ");
}

/** @param {Job} job @param {number} now */
function waiting(job, now) {
  if (job.next_attempt) {
    const seconds = (Date.parse(job.next_attempt) - now) / 1000;
    return seconds > 0 ? `Trying again in ${duration(seconds)}` : "Trying again shortly";
  }
  const { position, estimated_start: start } = job.queue ?? {};
  if (position === null || position === undefined) return "Waiting for its turn";
  if (!start) return place(position);
  const seconds = (Date.parse(start) - now) / 1000;
  return `${place(position)} · starts ${seconds > 5 ? `in about ${duration(seconds)}` : "any moment"}`;
}

/** @param {string} start @param {string} end */
function between(start, end) {
  return duration((Date.parse(end) - Date.parse(start)) / 1000);
}

/** @param {{job: Job}} properties */
export function ProgressText({ job }) {
  const progress = useProgress(job);
  const now = useNow(1);
  return html`<span>${describe(job, progress, now)}</span>`;
}

/** @param {{job: Job, label?: string}} properties */
export function ProgressBar({ job, label = "Progress" }) {
  const progress = useProgress(job);
  const percent = Math.round(progress?.progress_percentage ?? 0);
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
  const tenth = Math.floor((progress?.progress_percentage ?? 0) / 25) * 25;
  const detail = job.status === "Running" && progress ? `, ${stageName(progress.stage, job.kind)}, ${tenth} percent` : "";
  return html`<p class="visually-hidden" role="status">${titleOf(job)}: ${NAMES[job.status]}${detail}</p>`;
}
