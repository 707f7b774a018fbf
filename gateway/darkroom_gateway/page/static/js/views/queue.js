/** What runs and what waits, in its order; and what has finished. */

import { FinishedRow, JobRow } from "../components/job_row.js";
import { titleOf } from "../components/job_status.js";
import { Icon } from "../components/icons.js";
import { say, sayError } from "../components/toasts.js";
import { isFinished, jobs, jobsLoaded, setPriority, unfinished } from "../jobs.js";
import { reordered } from "../queue_order.js";
import { to } from "../router.js";
import { html, useMemo, useValue } from "../ui.js";
import { More, usePages } from "./gallery.js";

/** @typedef {import("../types.js").Job} Job */

/** @param {Job[]} waiting @param {number} from @param {number} to */
async function move(waiting, from, to) {
  const changes = reordered(waiting, from, to);
  if (changes === null) return say("It can't be moved further: the highest priority is 1000.", true);
  try {
    // One after another, so that a failure in between leaves an order that the user saw.
    for (const { id, priority } of changes) await setPriority(id, priority);
    say(`${titleOf(waiting[from])} is now ${to === 0 ? "next" : `number ${to + 1}`} in the queue.`);
  } catch (error) {
    sayError(error);
  }
  return undefined;
}

export function QueueView() {
  const all = useValue(unfinished);
  const isLoaded = useValue(jobsLoaded);
  const running = all.filter((job) => job.status === "Running" || job.status === "Starting");
  const waiting = all.filter((job) => job.status === "Queued");
  const suspended = all.filter((job) => job.status === "Suspended");
  return html`<header class="view-head"><div><h1>Queue</h1><p class="lead">One job runs at a time. The others wait their turn.</p></div></header>
    ${!isLoaded && all.length === 0 && html`<div class="skeleton skeleton-row"></div><div class="skeleton skeleton-row"></div>`}
    ${isLoaded && all.length === 0 && html`<div class="empty slim"><p>Nothing runs, and nothing waits. <a href=${to("train")}>Train a model</a>, or <a href=${to("generate")}>make a picture</a>.</p></div>`}
    <${Group} title="Running" list=${running} />
    ${waiting.length > 0 && html`<section aria-label="Waiting">
      <h2>Waiting</h2>
      <ol class="rows">
        ${waiting.map((job, index) => html`<${JobRow} key=${job.id} job=${job}>
          <${MoveButton} job=${job} name="up" label="Earlier" isOff=${index === 0} onClick=${() => move(waiting, index, index - 1)} />
          <${MoveButton} job=${job} name="down" label="Later" isOff=${index === waiting.length - 1} onClick=${() => move(waiting, index, index + 1)} />
        <//>`)}
      </ol>
    </section>`}
    <${Group} title="Suspended" list=${suspended} />
    <${Finished} />`;
}

/** @param {{job: Job, name: string, label: string, isOff: boolean, onClick: () => void}} properties */
function MoveButton({ job, name, label, isOff, onClick }) {
  // Not `disabled`, which would drop the focus of somebody who moves a job step by step to the end.
  return html`<button
    type="button" class="icon-button" title=${label} aria-label=${`${label}: ${titleOf(job)}`}
    aria-disabled=${isOff ? "true" : undefined} onClick=${() => isOff || onClick()}
  >
    <${Icon} name=${name} />
  </button>`;
}

/** @param {{title: string, list: Job[]}} properties */
function Group({ title, list }) {
  if (list.length === 0) return null;
  return html`<section aria-label=${title}>
    <h2>${title}</h2>
    <ul class="rows">${list.map((job) => html`<${JobRow} key=${job.id} job=${job} />`)}</ul>
  </section>`;
}

function Finished() {
  const all = useValue(jobs);
  const pages = usePages({});
  const shown = useMemo(() => {
    const newest = [...all.values()].filter((job) => isFinished(job) && !job.deleting);
    return newest.sort((one, other) => (other.completed ?? other.created).localeCompare(one.completed ?? one.created));
  }, [all]);
  if (shown.length === 0 && !pages.isLoading && !pages.fault) return null;
  return html`<section aria-label="Finished">
    <h2>Finished</h2>
    <ul class="rows">
      ${shown.map((job) => html`<${FinishedRow} key=${job.id} job=${job} />`)}
      ${pages.isLoading && shown.length === 0 && html`<li class="skeleton skeleton-row"></li>`}
    </ul>
    <${More} pages=${pages} />
  </section>`;
}
