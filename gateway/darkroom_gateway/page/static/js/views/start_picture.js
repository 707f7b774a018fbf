/** The start picture of a generation: dropped, or one of an earlier job; and what is done with it. */

import { CloseButton } from "../components/dialogs.js";
import { DropZone } from "../components/drop_zone.js";
import { Segmented, Slider } from "../components/fields.js";
import { jobs, loadJob, refreshLinks } from "../jobs.js";
import { inspect } from "../photo_checks.js";
import { html, useEffect, useState, useValue } from "../ui.js";

/**
 * @typedef {import("./generate_form.js").Earlier} Earlier
 * @typedef {{image: File | null, mask: File | null}} Dropped
 */

const FAULT = "start-picture-fault";

const PICTURES = "image/jpeg,image/png,image/webp,image/avif,image/heic,.heic";

/**
 * @param {import("./generate_options.js").Shared & {pictures: Dropped, setPictures: (pictures: Dropped) => void}} properties
 */
export function StartPicture({ draft, change, faults, pictures, setPictures }) {
  const { image, mask } = pictures;
  const { start, startUse } = draft;
  const fault = faults.image ?? faults.mask ?? faults.start;
  /** @param {Dropped} dropped */
  const choose = (dropped) => {
    change({ start: null });
    setPictures(dropped);
  };
  return html`<div class="field start-picture" role="group" aria-label="Start picture" aria-invalid=${fault ? "true" : undefined} aria-describedby=${fault ? FAULT : undefined}>
    ${image || start
      ? html`${image
            ? html`<${Chosen} file=${image} label="Start picture" onRemove=${() => choose({ image: null, mask: null })} />`
            : html`<${ChosenEarlier} start=${start} onRemove=${() => choose({ image: null, mask: null })} />`}
          <${Segmented}
            name="generate-startUse" label="What to do with it" value=${startUse} options=${[["change", "Change it"], ["animate", "Animate it"]]}
            hint=${startUse === "animate" ? "A short clip that begins with this picture." : "The prompt changes it."}
            onInput=${(/** @type {"change" | "animate"} */ use) => change({ startUse: use })}
          />
          ${startUse === "change" && html`<${Changes} draft=${draft} change=${change} mask=${mask} setMask=${(/** @type {File | null} */ file) => setPictures({ image, mask: file })} />`}`
      : html`<${DropZone}
          label="Start from a picture" hint="Optional: drop or paste one to change or animate it." accept=${PICTURES}
          kind="drop-slim" fault=${fault ? FAULT : undefined} isMain=${true} onFiles=${(/** @type {File[]} */ [file]) => choose({ image: file, mask: null })}
        />`}
    ${fault && html`<p id=${FAULT} class="field-error" role="alert">${fault}</p>`}
  </div>`;
}

/**
 * @param {{draft: import("./generate_form.js").GenerateDraft, change: import("./generate_options.js").Shared["change"],
 *   mask: File | null, setMask: (file: File | null) => void}} properties
 */
function Changes({ draft, change, mask, setMask }) {
  return html`<${Slider}
      id="generate-strength" label="How much may change" value=${draft.strength} min=${0.05} max=${1} step=${0.05}
      onInput=${(/** @type {number} */ strength) => change({ strength })}
    />
    ${mask
      ? html`<${Chosen} file=${mask} label="Mask" onRemove=${() => setMask(null)} />`
      : html`<${DropZone}
          label="Add a mask" hint="White where the prompt paints, black where the picture stays." accept=${PICTURES}
          kind="drop-slim" onFiles=${(/** @type {File[]} */ [file]) => setMask(file)}
        />`}`;
}

/** A chosen file, with what is wrong with it. @param {{file: File, label: string, onRemove: () => void}} properties */
function Chosen({ file, label, onRemove }) {
  const [state, setState] = useState({ fault: "", note: "", thumbnail: "" });
  useEffect(() => {
    let url = "";
    inspect(file).then((found) => {
      url = found.thumbnail;
      setState(found);
    });
    return () => URL.revokeObjectURL(url);
  }, [file]);
  return html`<div class="chosen">
    ${state.thumbnail && html`<img src=${state.thumbnail} alt="" />`}
    <div>
      <p class="small"><strong>${label}</strong></p>
      <p class="small muted name">${file.name}</p>
      ${state.fault && html`<p class="field-error">${state.fault}</p>`}
    </div>
    <${CloseButton} label=${`Remove the ${label.toLowerCase()}`} onClick=${onRemove} />
  </div>`;
}

/** A chosen picture of an earlier job. @param {{start: Earlier, onRemove: () => void}} properties */
function ChosenEarlier({ start, onRemove }) {
  const job = useValue(jobs).get(start.job);
  useEffect(() => {
    if (!job) loadJob(start.job).catch(() => {});
  }, [start.job]);
  const artifact = job?.artifacts.find(({ uri }) => uri === start.uri);
  return html`<div class="chosen">
    ${job && artifact && html`<img src=${artifact.url} alt="" onError=${() => refreshLinks(job, artifact)} />`}
    <div>
      <p class="small"><strong>Start picture</strong></p>
      <p class="small muted name" title=${start.name}>${start.name}</p>
    </div>
    <${CloseButton} label="Remove the start picture" onClick=${onRemove} />
  </div>`;
}
