/** A picture over the whole page, with its neighbours by arrow keys and what can be done with it. */

import { effect, html, signal, useEffect, useState, useValue } from "../ui.js";
import { again, askToDelete, startFrom } from "./picture_actions.js";
import { isExpired } from "../jobs.js";
import { BusyButton } from "./busy_button.js";
import { Download } from "./download.js";
import { CloseButton, Dialog } from "./dialogs.js";
import { Icon } from "./icons.js";
import { SettingsLine } from "./details.js";
import { CopyButton } from "./id.js";
import { isCalm } from "./motion.js";
import { route, to } from "../router.js";

/** @typedef {import("../jobs.js").Linked} Linked */

/**
 * @typedef {object} Shown
 * @property {import("../types.js").Job} [job] Of a generated picture.
 * @property {Linked & {role?: string, seed?: number | null, uri?: string}} artifact
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

// The browser's back button leads to another view.
effect(() => {
  route.value;
  close();
});

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
      // In a clip the arrow keys move its time.
      if (event.target instanceof HTMLVideoElement) return;
      if (event.key === "ArrowLeft") turn(-1);
      if (event.key === "ArrowRight") turn(1);
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [shown !== null]);
  const [sides, setSides] = useState("");
  if (!shown) return null;
  const { pictures, index } = shown;
  const { job, artifact, caption, fresh } = pictures[index];
  // A run reads pictures of jobs that have succeeded only.
  const canStart = job?.status === "Succeeded" && artifact.uri && artifact.role !== "video";
  const text = caption ?? job?.prompt ?? "";
  return html`<${Dialog} label=${artifact.role === "video" ? "Clip" : "Picture"} onClose=${close} kind="lightbox">
    <div class="lightbox-top">
      <span class="muted">${pictures.length > 1 ? `${index + 1} of ${pictures.length}` : ""}</span>
      <${CloseButton} onClick=${close} />
    </div>
    <div class="lightbox-stage" onClick=${(/** @type {MouseEvent} */ event) => event.target === event.currentTarget && close()}>
      ${index > 0 && html`<${Turn} by=${-1} name="left" label="Previous picture" />`}
      <${Opened} key=${artifact.url} shown=${pictures[index]} text=${text || artifact.name} onSides=${setSides} />
      ${index < pictures.length - 1 && html`<${Turn} by=${1} name="right" label="Next picture" />`}
    </div>
    <div class="lightbox-foot">
      <div>
        <div class="copied"><p class="prompt" title=${text}>${text}</p>${job && html`<${CopyButton} text=${job.prompt} what="prompt" />`}</div>
        ${job && html`<${SettingsLine} job=${job} artifact=${artifact} sides=${sides} />`}
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

/**
 * The picture or clip, as large as the window allows.
 *
 * @param {{shown: Shown, text: string, onSides: (sides: string) => void}} properties
 */
function Opened({ shown, text, onSides }) {
  const { artifact } = shown;
  const [ratio, setRatio] = useState(0);
  /** @param {number} width @param {number} height */
  const measure = (width, height) => {
    setRatio(width / height);
    onSides(`${width} × ${height}`);
  };
  useEffect(() => () => onSides(""), []);
  const shared = {
    src: artifact.url,
    // Its place is taken once its proportions are known.
    style: { "--ratio": ratio || 1, visibility: ratio ? "visible" : "hidden" },
    onError: () => {
      setRatio((/** @type {number} */ known) => known || 1);
      refresh(shown);
    },
  };
  if (artifact.role !== "video") {
    /** @param {Event} event */
    const loaded = ({ currentTarget }) => {
      const image = /** @type {HTMLImageElement} */ (currentTarget);
      measure(image.naturalWidth, image.naturalHeight);
    };
    return html`<img ...${shared} alt=${text} onLoad=${loaded} />`;
  }
  /** @param {Event} event */
  const loaded = ({ currentTarget }) => {
    const video = /** @type {HTMLVideoElement} */ (currentTarget);
    measure(video.videoWidth, video.videoHeight);
  };
  return html`<video
    ...${shared} controls loop muted playsinline autoplay=${!isCalm()} preload="auto" aria-label=${`Clip: ${text}`} onLoadedMetadata=${loaded}
  ></video>`;
}

/** @param {{by: number, name: string, label: string}} properties */
function Turn({ by, name, label }) {
  return html`<button type="button" class=${`turn ${name}`} aria-label=${label} onClick=${() => turn(by)}>
    <${Icon} name=${name} size=${24} />
  </button>`;
}
