/** Writes the captions of the photos of a training, one after another. */

import { MAX_CAPTION_CHARACTERS } from "../photo_checks.js";
import { photos, writeCaption } from "../photos.js";
import { html, useEffect, useState, useValue } from "../ui.js";
import { CloseButton, Dialog } from "./dialogs.js";
import { TextField } from "./fields.js";
import { Icon } from "./icons.js";

/** @param {{first: string, prompt: string, onClose: () => void}} properties `first`: the photo that is shown at first. */
export function CaptionDialog({ first, prompt, onClose }) {
  const all = useValue(photos);
  const [id, show] = useState(first);
  const index = all.findIndex((photo) => photo.id === id);
  useEffect(() => {
    document.getElementById("caption")?.focus();
  }, [id]);
  if (index < 0) return null;
  const { file, thumbnail, captionText, fault, cause, caption } = all[index];
  /** @param {KeyboardEvent} event */
  const press = (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    if (index < all.length - 1) show(all[index + 1].id);
    else onClose();
  };
  return html`<${Dialog} label=${`Caption of ${file.name}`} onClose=${onClose} kind="caption-dialog">
    <div class="caption-head"><h2>Caption</h2><${CloseButton} onClick=${onClose} /></div>
    ${thumbnail ? html`<img src=${thumbnail} alt="" />` : html`<span class="no-preview"><${Icon} name="gallery" size=${32} /></span>`}
    <div onKeyDown=${press}>
      <${TextField}
        id="caption" label=${file.name} rows=${3} maxLength=${MAX_CAPTION_CHARACTERS} value=${captionText}
        placeholder=${prompt || "a photo of sks dog on a beach"} error=${cause && cause === caption ? fault : ""}
        hint="What this photo shows, in place of the prompt. Keep the rare word for your subject in it."
        onInput=${(/** @type {string} */ text) => writeCaption(id, text)}
      />
    </div>
    <div class="actions end">
      <${Step} to=${all[index - 1]} name="left" label="Previous photo" show=${show} />
      <span class="muted small">${index + 1} of ${all.length}</span>
      <${Step} to=${all[index + 1]} name="right" label="Next photo" show=${show} />
      <button type="button" class="button primary" onClick=${onClose}>Done</button>
    </div>
  <//>`;
}

/** @param {{to: import("../photo_checks.js").Photo | undefined, name: string, label: string, show: (id: string) => void}} properties */
function Step({ to, name, label, show }) {
  // Not `disabled`, which would drop the focus at the last photo.
  return html`<button type="button" class="icon-button" title=${label} aria-label=${label} aria-disabled=${to ? undefined : "true"} onClick=${() => to && show(to.id)}>
    <${Icon} name=${name} />
  </button>`;
}
