/** A picture over the whole page, with its neighbours by arrow keys and what can be done with it. */

import { html, signal, useEffect, useValue } from "../ui.js";
import { again, askToDelete, startFrom } from "./picture_actions.js";
import { isExpired } from "../jobs.js";
import { BusyButton } from "./busy_button.js";
import { Download } from "./download.js";
import { CloseButton, Dialog } from "./dialogs.js";
import { Icon } from "./icons.js";
import { to } from "../router.js";

/** @typedef {import("../jobs.js").Linked} Linked */

/**
 * @typedef {object} Shown
 * @property {import("../types.js").Job} [job] Of a generated picture.
 * @property {Linked & {seed?: number | null, uri?: string}} artifact
 * @property {() => Promise<Linked>} fresh The file with another address, for when this one has expired.
 * @property {string} [caption] In place of the job's prompt.
 */

/** @type {{value: {pictures: Shown[], index: number} | null, peek(): {pictures: Shown[], index: number} | null}} */
const open = signal(null);

/** @param {Shown[]} pictures @param {number} index */
export function openLightbox(pictures, index) {
  open.value = { pictures, index };
}

function close() {
  open.value = null;
}

/** @param {import("../types.js").Job} job @param {{name: string, uri: string}} picture */
function start(job, picture) {
  close();
  startFrom(job, picture);
}

/** @param {number} by */
function turn(by) {
  const now = open.peek();
  if (!now) return;
  const index = now.index + by;
  if (index >= 0 && index < now.pictures.length) open.value = { ...now, index };
}

/** @param {Shown} picture */
async function refresh(picture) {
  if (!isExpired(picture.artifact)) return;
  const artifact = { ...picture.artifact, ...(await picture.fresh().catch(() => picture.artifact)) };
  const now = open.peek();
  if (now) open.value = { ...now, pictures: now.pictures.map((each) => (each === picture ? { ...each, artifact } : each)) };
}

export function Lightbox() {
  const shown = useValue(open);
  useEffect(() => {
    if (!shown) return undefined;
    /** @param {KeyboardEvent} event */
    const press = (event) => {
      if (event.key === "ArrowLeft") turn(-1);
      if (event.key === "ArrowRight") turn(1);
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [shown !== null]);
  if (!shown) return null;
  const { pictures, index } = shown;
  const { job, artifact, caption, fresh } = pictures[index];
  // A run reads pictures of jobs that have succeeded only.
  const canStart = job?.status === "Succeeded" && artifact.uri;
  return html`<${Dialog} label="Picture" onClose=${close} kind="lightbox">
    <div class="lightbox-top">
      <span class="muted">${pictures.length > 1 ? `${index + 1} of ${pictures.length}` : ""}</span>
      <${CloseButton} onClick=${close} />
    </div>
    <div class="lightbox-stage" onClick=${(/** @type {MouseEvent} */ event) => event.target === event.currentTarget && close()}>
      ${index > 0 && html`<${Turn} by=${-1} name="left" label="Previous picture" />`}
      <img key=${artifact.url} src=${artifact.url} alt=${caption ?? job?.prompt ?? artifact.name} onError=${() => refresh(pictures[index])} />
      ${index < pictures.length - 1 && html`<${Turn} by=${1} name="right" label="Next picture" />`}
    </div>
    <div class="lightbox-foot">
      <div>
        <p class="prompt">${caption ?? job?.prompt}</p>
        ${job && html`<p class="muted small">Seed ${artifact.seed} · ${job.model_id ?? "Base model"}</p>`}
      </div>
      <div class="actions">
        ${job && html`<${BusyButton} key=${job.id} class="button" act=${() => again(job).then(close)}><${Icon} name="again" />Another seed<//>`}
        ${canStart && html`<button type="button" class="button" onClick=${() => start(job, { name: artifact.name, uri: artifact.uri ?? "" })}><${Icon} name="pen" />Use as start picture</button>`}
        <${Download} class="button" file=${artifact} fresh=${fresh}><${Icon} name="download" />Download<//>
        ${job && html`<a class="button" href=${to("jobs", job.id)} onClick=${close}>Details</a>`}
        ${job && html`<button type="button" class="button danger-text" onClick=${() => askToDelete(job, close)}><${Icon} name="trash" />Delete</button>`}
      </div>
    </div>
  <//>`;
}

/** @param {{by: number, name: string, label: string}} properties */
function Turn({ by, name, label }) {
  return html`<button type="button" class=${`turn ${name}`} aria-label=${label} onClick=${() => turn(by)}>
    <${Icon} name=${name} size=${24} />
  </button>`;
}
