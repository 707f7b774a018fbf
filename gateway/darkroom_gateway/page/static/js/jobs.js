/** The jobs that the page knows, by id: read from lists, kept current by events. And what can be done with them. */

import { Problem, address, get, newIdempotencyKey, request, send } from "./api.js";
import { addProgress, beginRun, finishLive, forgetLive, isFollowed } from "./live.js";
import { once } from "./once.js";
import { computed, signal } from "./ui.js";

/** @typedef {import("./types.js").Job} Job */

const UNFINISHED = ["Running", "Starting", "Queued", "Suspended"];
const PAGE = 24;
const MOST_UNFINISHED = 1000;
const MOST_KEPT = 2000;
const LINK_MARGIN_MS = 5 * 60_000;
/** Between a click on a link and the request. */
const CLICK_MS = 5000;

/** @type {{value: Map<string, Job>, peek(): Map<string, Job>}} */
export const jobs = signal(new Map());

/** Whether the unfinished jobs were read once. */
export const jobsLoaded = signal(false);

/** Counts what is learned about jobs from events and from actions. */
let moment = 0;

/** @type {Map<string, number>} When a job last changed. An answer whose request began before is older. */
const changedAt = new Map();

/** The moment at which all jobs were forgotten last. */
let forgottenAt = 0;

/** @type {Map<string, string>} Idempotency keys of retries without an answer yet, by the job. */
const retries = new Map();

/** @type {Set<string>} Jobs whose deletion was reported. An answer about one that comes later is older. */
const removed = new Set();

/** Whether a job was deleted while the page was open. @param {string} id */
export const isRemoved = (id) => removed.has(id);

/** @param {Job} job */
export function isFinished(job) {
  return job.status === "Succeeded" || job.status === "Failed";
}

/** Unfinished jobs: the one that runs first, then in the order in which they will run. */
export const unfinished = computed(() =>
  [...jobs.value.values()].filter((job) => !isFinished(job)).sort((one, other) => rank(one) - rank(other) || age(one, other)),
);

/** @param {Job} job */
function rank(job) {
  if (job.status === "Running" || job.status === "Starting") return -1;
  if (job.status === "Suspended") return 1e6;
  return job.queue?.position ?? 1e5 - job.priority;
}

/** @param {Job} one @param {Job} other */
function age(one, other) {
  return one.created.localeCompare(other.created);
}

/**
 * Keep the links of files that are still valid, so that the browser does not load a shown picture again.
 *
 * @param {Job} job @param {Job | undefined} before
 */
function withKnownLinks(job, before) {
  if (!before || before.artifacts.length === 0) return job;
  const known = new Map(before.artifacts.map((each) => [each.name + each.sha256, each]));
  const until = Date.now() + LINK_MARGIN_MS;
  const artifacts = job.artifacts.map((each) => {
    const old = known.get(each.name + each.sha256);
    return old && Date.parse(old.expires) > until ? { ...each, url: old.url, expires: old.expires } : each;
  });
  return { ...job, artifacts };
}

/** @param {Job[]} all */
function put(all) {
  const next = new Map(jobs.peek());
  for (const job of all) {
    if (removed.has(job.id)) continue;
    const before = next.get(job.id);
    // At the end of the map: the first jobs are those that were not heard of for the longest time.
    next.delete(job.id);
    next.set(job.id, withKnownLinks(job, before));
    if (isFinished(job)) finishLive(job.id);
    else if (before && job.attempts > before.attempts) beginRun(job.id);
  }
  dropOldest(next);
  jobs.value = next;
}

/** Forget finished jobs that were not heard of for long, so that a page that stays open does not grow. @param {Map<string, Job>} all */
function dropOldest(all) {
  let excess = all.size - MOST_KEPT;
  for (const job of all.values()) {
    if (excess <= 0) return;
    if (!isFinished(job) || isFollowed(job.id)) continue;
    all.delete(job.id);
    forgetLive(job.id);
    changedAt.delete(job.id);
    excess -= 1;
  }
}

/** The time at which a request begins, for `putAnswers`. */
export function now() {
  return moment;
}

/** The answer to a read: jobs that changed since its request began are left as they are. @param {Job[]} all @param {number} began */
export function putAnswers(all, began) {
  put(all.filter((job) => !hasChanged(job.id, began)));
}

/** The answer to an action on a job. @param {Job} job @param {number} began */
export function putChanged(job, began) {
  if (!hasChanged(job.id, began)) putJob(job);
}

/** @param {string} id @param {number} since */
function hasChanged(id, since) {
  return Math.max(changedAt.get(id) ?? 0, forgottenAt) > since;
}

/** @param {string} id */
function noteChange(id) {
  moment += 1;
  changedAt.set(id, moment);
}

/** @param {Job} job */
function putJob(job) {
  noteChange(job.id);
  put([job]);
}

/** @param {string} id */
export function removeJob(id) {
  noteChange(id);
  removed.add(id);
  forgetLive(id);
  const next = new Map(jobs.peek());
  if (next.delete(id)) jobs.value = next;
}

/** Forget everything that the gateway has said, and what it answers to earlier requests. */
export function forgetJobs() {
  moment += 1;
  forgottenAt = moment;
  for (const id of jobs.peek().keys()) forgetLive(id);
  changedAt.clear();
  jobs.value = new Map();
  jobsLoaded.value = false;
}

/** @param {string} event @param {any} data */
export function handleEvent(event, data) {
  if (event === "job") {
    // A job of kubectl may have the name of a deleted one.
    removed.delete(data.id);
    putJob(data);
  } else if (event === "deleted") removeJob(data.id);
  else if (event === "progress") addProgress(data.id, { ...data.progress, files: data.files, preview: data.preview });
}

/** Read the unfinished jobs, and forget those that no longer exist. */
export async function loadUnfinished() {
  const began = now();
  /** @type {import("./types.js").JobList} */
  const list = await get("v1/jobs", { status: UNFINISHED, limit: MOST_UNFINISHED });
  const ids = new Set(list.jobs.map((job) => job.id));
  const gone = unfinished.value.filter((job) => !ids.has(job.id) && !hasChanged(job.id, began));
  putAnswers(list.jobs, began);
  jobsLoaded.value = true;
  await Promise.all(gone.map((job) => loadJob(job.id).catch((error) => forgetMissing(job.id, error))));
}

/** @param {string} id @param {unknown} error */
function forgetMissing(id, error) {
  if (error instanceof Problem && error.status === 404) removeJob(id);
}

/** @param {string} id @returns {Promise<Job>} */
export async function loadJob(id) {
  const began = now();
  const job = await get(`v1/jobs/${encodeURIComponent(id)}`);
  putAnswers([job], began);
  return job;
}

/** A file with an address that works until `expires`. @typedef {{name: string, url: string, expires: string}} Linked */

/** @param {{expires: string}} file */
export function isExpired(file) {
  return Date.parse(file.expires) < Date.now() + CLICK_MS;
}

/** Read a job again when a link of its files has expired, as after a night. @param {Job} job @param {{expires: string}} file */
export function refreshLinks(job, file) {
  if (isExpired(file)) once(`read ${job.id}`, () => loadJob(job.id)).catch(() => {});
}

/** A file of a job with another link. @param {Job} job @param {Linked} file @returns {Promise<Linked>} */
export async function freshArtifact(job, file) {
  const { artifacts } = await once(`read ${job.id}`, () => loadJob(job.id));
  return artifacts.find(({ name }) => name === file.name) ?? file;
}

/** @typedef {{kind?: string, status?: string | string[], model_id?: string, q?: string}} Filters */

/**
 * A page of jobs, newest first. `oldest`: when its last one was created.
 *
 * @param {Filters & {cursor?: string | null}} filters
 * @returns {Promise<{ids: string[], oldest: string | undefined, next: string | null, total: number | null}>}
 */
export async function loadPage(filters) {
  const began = now();
  /** @type {import("./types.js").JobList} */
  const list = await get("v1/jobs", { limit: PAGE, ...filters });
  putAnswers(list.jobs, began);
  return { ids: list.jobs.map((job) => job.id), oldest: list.jobs[list.jobs.length - 1]?.created, next: list.next_cursor, total: list.total };
}

/** @param {string} id @param {"suspend" | "resume" | "cancel"} action */
export async function act(id, action) {
  const began = now();
  putChanged(await send("POST", `v1/jobs/${encodeURIComponent(id)}/${action}`), began);
}

/** Run a job once more. Until the gateway has answered, all tries make the same new job. @param {string} id @returns {Promise<Job>} */
export function retryJob(id) {
  return once(`retry ${id}`, async () => {
    const idempotencyKey = retries.get(id) ?? newIdempotencyKey();
    retries.set(id, idempotencyKey);
    const began = now();
    const job = await send("POST", `v1/jobs/${encodeURIComponent(id)}/retry`, { idempotencyKey });
    retries.delete(id);
    putChanged(job, began);
    return job;
  });
}

/** @param {string} id @param {number} priority */
export async function setPriority(id, priority) {
  const began = now();
  putChanged(await send("PATCH", `v1/jobs/${encodeURIComponent(id)}`, { body: { priority } }), began);
}

/** Delete a job and its files. @param {string} id */
export async function deleteJob(id) {
  const began = now();
  const job = await send("DELETE", `v1/jobs/${encodeURIComponent(id)}`, { query: { files: "true" } });
  if (job?.id) putChanged(job, began);
  else removeJob(id);
}

/** @param {string} id @param {AbortSignal} [abort] @returns {Promise<Response>} */
export function openLog(id, abort) {
  return request(address(`v1/jobs/${encodeURIComponent(id)}/logs`, { follow: "true" }), { signal: abort });
}
