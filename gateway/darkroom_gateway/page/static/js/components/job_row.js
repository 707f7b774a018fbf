/** A job in a list: what it is, what it does, and what can be done with it. */

import { act, refreshLinks } from "../jobs.js";
import { ago } from "../format.js";
import { to } from "../router.js";
import { html, useNow } from "../ui.js";
import { confirm } from "./dialogs.js";
import { Icon } from "./icons.js";
import { ProgressBar, ProgressText, StatusChip, kindName, titleOf } from "./job_status.js";
import { say, sayError } from "./toasts.js";

/** @typedef {import("../types.js").Job} Job */

/** @param {Job} job */
export function askToCancel(job) {
  const isTraining = job.kind === "TrainJob";
  confirm({
    title: isTraining ? `Cancel the training of ${job.model_id}?` : "Cancel this generation?",
    text: isTraining
      ? "It stops and is removed from the queue. To continue it later, suspend it instead."
      : "It stops and is removed from the queue.",
    yes: isTraining ? "Cancel the training" : "Cancel it",
    no: "Keep it",
    isDangerous: true,
    async act() {
      try {
        await act(job.id, "cancel");
        say("Cancelled.");
      } catch (error) {
        sayError(error);
      }
    },
  });
}

/** @param {Job} job @param {"suspend" | "resume"} action */
async function change(job, action) {
  try {
    await act(job.id, action);
  } catch (error) {
    sayError(error);
  }
}

/** @param {{job: Job, isCompact?: boolean}} properties */
export function JobActions({ job, isCompact = false }) {
  if (job.deleting || job.status === "Succeeded" || job.status === "Failed") return null;
  const isSuspended = job.status === "Suspended" || job.spec.suspend === true;
  const name = titleOf(job);
  const kind = isCompact ? "icon-button" : "button";
  return html`<button
      type="button"
      class=${kind}
      title=${isSuspended ? "Resume" : "Suspend"}
      aria-label=${isCompact ? `${isSuspended ? "Resume" : "Suspend"} ${name}` : undefined}
      onClick=${() => change(job, isSuspended ? "resume" : "suspend")}
    >
      <${Icon} name=${isSuspended ? "play" : "pause"} />${!isCompact && (isSuspended ? "Resume" : "Suspend")}
    </button>
    <button
      type="button"
      class=${kind}
      title="Cancel"
      aria-label=${isCompact ? `Cancel ${name}` : undefined}
      onClick=${() => askToCancel(job)}
    >
      <${Icon} name="close" />${!isCompact && "Cancel"}
    </button>`;
}

/** @param {{job: Job, children?: any}} properties */
export function JobRow({ job, children }) {
  const isActive = job.status === "Running" || job.status === "Starting";
  return html`<li class="row">
    <div class="row-main">
      <p class="row-title">
        <a href=${to("jobs", job.id)}>${titleOf(job)}</a>
        <${StatusChip} job=${job} />
      </p>
      <p class="muted small row-detail">${kindName(job)} · <${ProgressText} job=${job} /></p>
      ${isActive && html`<${ProgressBar} job=${job} label=${`Progress of ${titleOf(job)}`} />`}
    </div>
    <div class="row-actions">${children}<${JobActions} job=${job} isCompact=${true} /></div>
  </li>`;
}

/** @param {{job: Job}} properties */
export function FinishedRow({ job }) {
  const now = useNow(30);
  const picture = job.artifacts.find(({ role }) => role === "image" || role === "sample");
  return html`<li class="row">
    ${picture
      ? html`<img class="row-picture" src=${picture.url} alt="" loading="lazy" onError=${() => refreshLinks(job, picture)} />`
      : html`<span class="row-picture blank"><${Icon} name=${job.kind === "TrainJob" ? "train" : "generate"} /></span>`}
    <div class="row-main">
      <p class="row-title"><a href=${to("jobs", job.id)}>${titleOf(job)}</a> <${StatusChip} job=${job} /></p>
      <p class="muted small row-detail">
        ${kindName(job)} · ${ago(job.completed ?? job.created, now)}${job.error ? ` · ${job.error.message}` : ""}
      </p>
    </div>
  </li>`;
}
