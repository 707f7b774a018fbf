/** The running job in the frame of the page: what it is, how far it is, how long it will take. */

import { unfinished } from "../jobs.js";
import { enterSection, to } from "../router.js";
import { html, useValue } from "../ui.js";
import { ProgressBar, ProgressText, titleOf } from "./job_status.js";

export function NowRunning() {
  const job = useValue(unfinished).find(({ status }) => status === "Running" || status === "Starting");
  if (!job) return null;
  return html`<a class="now" href=${to("jobs", job.id)} onClick=${() => enterSection("queue")}>
    <span class="now-title">${titleOf(job)}</span>
    <span class="small muted"><${ProgressText} job=${job} /></span>
    <${ProgressBar} job=${job} label=${`Progress of ${titleOf(job)}`} />
  </a>`;
}
