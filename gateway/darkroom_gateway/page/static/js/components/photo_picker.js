/** The photos of a training: dropped or chosen, shown with what is wrong, removed. */

import { plural } from "../format.js";
import { ACCEPTED, setFault } from "../photo_checks.js";
import { addPhotos, checking, clearPhotos, leftovers, photos, removeFaulty, removePhoto } from "../photos.js";
import { html, useState, useValue } from "../ui.js";
import { CaptionDialog } from "./caption_dialog.js";
import { DropZone } from "./drop_zone.js";
import { Icon } from "./icons.js";

const HINT = "JPEG, PNG, WebP, AVIF or HEIC, up to 25 MiB each. Captions (1.txt) and masks (1.mask.png) may come along.";

const FAULT = "photos-fault";

/** The button that adds photos, for the keyboard's focus. */
export const ADD_PHOTOS = "photos-add";

/** @param {{prompt: string, error: string}} properties `error`: why a training can't start with these photos. */
export function PhotoPicker({ prompt, error }) {
  const [captioned, setCaptioned] = useState("");
  const all = useValue(photos);
  const busy = useValue(checking);
  const strays = useValue(leftovers);
  const faulty = all.filter((photo) => photo.fault).length;
  const together = error || setFault(all);
  const isEmpty = all.length === 0 && busy === 0;
  return html`<section class="photo-picker" id="photos" aria-label="Photos" aria-invalid=${together ? "true" : undefined} aria-describedby=${together ? FAULT : undefined}>
    ${!isEmpty && html`<div class="picker-head">
      <p role="status">${summary(all.length, faulty, busy)}</p>
      <div class="actions">
        ${faulty > 0 && html`<button type="button" class="button small-button" onClick=${removeFaulty}>Remove the marked</button>`}
        ${all.length > 0 && html`<button type="button" class="button small-button" onClick=${clearPhotos}>Remove all</button>`}
      </div>
    </div>`}
    ${!isEmpty && html`<ul class="thumbnails">
      ${all.map((photo) => html`<${Thumbnail} key=${photo.id} photo=${photo} onCaption=${() => setCaptioned(photo.id)} />`)}
      ${Array.from({ length: Math.min(busy, 12) }, (_, index) => html`<li key=${`busy-${index}`} class="thumbnail skeleton"></li>`)}
    </ul>`}
    <${DropZone}
      id=${ADD_PHOTOS} label=${isEmpty ? "Choose photos" : "Add photos"} hint=${isEmpty ? HINT : ""} accept=${ACCEPTED} multiple=${true} isMain=${true}
      kind=${isEmpty ? "drop-large" : "drop-slim"} fault=${together ? FAULT : undefined} onFiles=${addPhotos}
    >
      ${isEmpty && html`<${Icon} name="upload" size=${28} /><p class="drop-title">Drop photos here</p>`}
    <//>
    ${together && html`<p id=${FAULT} class="field-error" role="alert">${together}</p>`}
    ${strays.length > 0 && html`<p class="field-error">Without a photo of the same name, left out: ${strays.map(({ name }) => name).join(", ")}</p>`}
    ${captioned && html`<${CaptionDialog} first=${captioned} prompt=${prompt} onClose=${() => setCaptioned("")} />`}
  </section>`;
}

/** @param {number} count @param {number} faulty @param {number} busy */
function summary(count, faulty, busy) {
  const parts = [plural(count, "photo")];
  if (faulty > 0) parts.push(`${faulty} can't be used`);
  if (busy > 0) parts.push(`checking ${busy} more`);
  return parts.join(" · ");
}

/** @param {{photo: import("../photo_checks.js").Photo, onCaption: () => void}} properties */
function Thumbnail({ photo, onCaption }) {
  const { file, fault, note, thumbnail, captionText, caption, mask } = photo;
  return html`<li class=${fault ? "thumbnail faulty" : "thumbnail"}>
    <div class="thumbnail-picture">
      ${thumbnail ? html`<img src=${thumbnail} alt=${file.name} />` : html`<span class="no-preview"><${Icon} name=${fault ? "alert" : "gallery"} size=${24} /></span>`}
      <button type="button" class="remove" aria-label=${`Remove ${file.name}`} title="Remove" onClick=${() => removePhoto(photo.id)}>
        <${Icon} name="close" size=${14} />
      </button>
      ${mask && html`<span class="badges"><span>mask</span></span>`}
    </div>
    <p class="small name" title=${file.name}>${file.name}</p>
    ${fault ? html`<p class="field-error">${fault}</p>` : note && html`<p class="small muted">${note}</p>`}
    ${(!fault || caption) && html`<button type="button" class="caption-button" aria-label=${`Caption of ${file.name}${captionText && `: ${captionText}`}`} onClick=${onCaption}>
      ${captionText || html`<span class="muted">Add a caption</span>`}
    </button>`}
  </li>`;
}
