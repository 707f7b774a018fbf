/** One job: its place in the queue, its progress, its results. */

import { Problem, messageOf } from "../api.js";
import { BusyButton } from "../components/busy_button.js";
import { Details } from "../components/details.js";
import { Download } from "../components/download.js";
import { JobActions } from "../components/job_row.js";
import { ProgressBar, ProgressText, StatusAnnouncer, StatusChip, kindName, titleOf } from "../components/job_status.js";
import { Breakable } from "../components/id.js";
import { Icon } from "../components/icons.js";
import { Log } from "../components/log.js";
import { LossCurve } from "../components/loss_curve.js";
import { Pictures, artifacts } from "../components/pictures.js";
import { again, askToDelete } from "../components/picture_actions.js";
import { useReconnected } from "../components/reconnected.js";
import { Samples } from "../components/samples.js";
import { size } from "../format.js";
import { freshArtifact, isFinished, jobs, loadJob, retryJob } from "../jobs.js";
import { follow, liveOf } from "../live.js";
import { useOfFile } from "../lora_forms.js";
import { go, to } from "../router.js";
import { html, useEffect, useRef, useState, useValue } from "../ui.js";
import { draftFor } from "./generate_form.js";

/** @typedef {import("../types.js").Job} Job */

/** The job, read when the page does not know it yet; and why it can't be shown. @param {string} id */
export function useJob(id) {
  const job = useValue(jobs).get(id);
  const [fault, setFault] = useState("");
  const wasKnown = useRef("");
  if (job) wasKnown.current = id;
  const shown = useRef(id);
  shown.current = id;
  const load = () => {
    setFault("");
    loadJob(id).catch((error) => {
      const isGone = error instanceof Problem && error.status === 404;
      if (shown.current === id) setFault(isGone ? "This job no longer exists." : messageOf(error));
    });
  };
  useEffect(() => {
    if (!id) return undefined;
    load();
    return follow(id);
  }, [id]);
  useReconnected(fault !== "" && id !== "", load);
  return { job, fault: fault || (!job && wasKnown.current === id ? "This job no longer exists." : "") };
}

/** @param {{id: string}} properties */
export function JobView({ id }) {
  const { job, fault } = useJob(id);
  if (!job) {
    if (!fault) return html`<div class="skeleton skeleton-title"></div><div class="skeleton skeleton-block"></div>`;
    return html`<h1>Nothing to show</h1><p class="lead">${fault}</p><p><a href=${to("queue")}>Back to the queue</a></p>`;
  }
  return html`<header class="view-head">
      <div>
        <p class="eyebrow">${kindName(job)}</p>
        <h1 class=${job.kind === "GenerateJob" ? "long" : ""}>${titleOf(job)}</h1>
        ${job.kind === "TrainJob" && html`<p class="muted">${job.prompt}</p>`}
      </div>
      <div class="actions"><${HeadActions} job=${job} /></div>
    </header>
    <${StatusCard} job=${job} />
    <${Fault} job=${job} />
    ${job.kind === "TrainJob" ? html`<${Training} job=${job} />` : html`<${Pictures} job=${job} />`}
    <${Remarks} job=${job} />
    <${Files} job=${job} />
    <${Details} job=${job} />
    ${job.attempts > 0 && html`<${Log} id=${job.id} run=${`${job.id} ${job.attempts}`} />`}`;
}

/** @param {{job: Job}} properties */
function StatusCard({ job }) {
  const isActive = job.status === "Running" || job.status === "Starting";
  return html`<section class="card status-card" aria-label="Status">
    <p class="status-line"><${StatusChip} job=${job} /> <${ProgressText} job=${job} /></p>
    ${isActive && html`<${ProgressBar} job=${job} />`}
    <${StatusAnnouncer} job=${job} />
  </section>`;
}

/** @param {{job: Job}} properties */
function HeadActions({ job }) {
  const repeat = async () => go("jobs", (await retryJob(job.id)).id);
  const use = () => {
    draftFor(job.model_id ?? "", job.prompt);
    go("generate");
  };
  if (!isFinished(job)) return html`<${JobActions} job=${job} />`;
  return html`${job.kind === "TrainJob" && job.status === "Succeeded" &&
    html`<button type="button" class="button primary" onClick=${use}><${Icon} name="generate" />Generate with it</button>`}
    ${job.kind === "GenerateJob" && job.status === "Succeeded" &&
    html`<${BusyButton} key=${`again ${job.id}`} class="button" isOff=${job.deleting} act=${() => again(job)}><${Icon} name="again" />Another seed<//>`}
    ${job.status === "Failed" && html`<${BusyButton} key=${`retry ${job.id}`} class="button primary" isOff=${job.deleting} act=${repeat}><${Icon} name="again" />Try again<//>`}
    <button type="button" class="button danger-text" disabled=${job.deleting} onClick=${() => askToDelete(job, () => go(job.kind === "TrainJob" ? "queue" : "gallery"))}>
      <${Icon} name="trash" />Delete
    </button>`;
}

/** @param {{job: Job}} properties */
function Fault({ job }) {
  if (!job.error) return null;
  return html`<div class="notice error" role="alert">
    <p><strong>${job.error.message}</strong></p>
    ${job.error.advice && html`<p>${job.error.advice}</p>`}
    <p class="small quiet">${job.error.reason}</p>
  </div>`;
}

/** @param {{job: Job}} properties */
function Training({ job }) {
  const { loss } = useValue(liveOf(job.id));
  // Live progress is kept for a day: an older training has no curve.
  const isVisible = loss.size > 0 || job.status === "Running" || job.status === "Starting";
  return html`<div class="training">
    ${isVisible && html`<div class="card"><${LossCurve} job=${job} /></div>`}
    <${Samples} key=${job.id} job=${job} />
  </div>`;
}

/** @param {{job: Job}} properties */
function Remarks({ job }) {
  if (job.remarks.length === 0) return null;
  return html`<section class="card" aria-label="Remarks">
    <h2>Good to know</h2>
    <ul class="remarks">${job.remarks.map((remark) => html`<li>${remark.message}</li>`)}</ul>
  </section>`;
}

/** @param {{job: Job}} properties */
function Files({ job }) {
  const files = [...artifacts(job, "lora"), ...artifacts(job, "sample_sheet"), ...artifacts(job, "grid"), ...artifacts(job, "video"), ...artifacts(job, "image")];
  if (files.length === 0) return null;
  return html`<section class="card" aria-label="Files">
    <h2>Files</h2>
    <ul class="files">
      ${files.map(
        (file) => html`<li key=${file.name}>
          <div>
            <${Download} file=${file} fresh=${() => freshArtifact(job, file)}><${Breakable} name=${file.name} /><//>
            ${file.role === "lora" && html`<p class="muted small">${useOfFile(file.name)}</p>`}
          </div>
          <span class="muted small">${size(file.bytes)}</span>
        </li>`,
      )}
    </ul>
  </section>`;
}
