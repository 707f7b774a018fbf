/** Parts of the generation form. */

import { html, useMemo, useValue } from "../ui.js";
import { Segmented, Select, Slider, TextField, Toggle } from "../components/fields.js";
import { unfinished } from "../jobs.js";
import { models, useNativePx } from "../models.js";
import { BOUNDS, PROFILES, PROFILE_HINTS, SCHEDULERS, hasGuidance, sizesOf } from "./generate_form.js";

/**
 * @typedef {import("./generate_form.js").GenerateDraft} GenerateDraft
 * @typedef {{draft: GenerateDraft, change: (changes: Partial<GenerateDraft>) => void, faults: Record<string, string>}} Shared
 */

/** @param {Shared} properties */
export function ModelChoice({ draft, change, faults }) {
  const known = useValue(models) ?? [];
  const jobs = useValue(unfinished);
  const trained = known.map((model) => model.model_id);
  const inTraining = [...new Set(jobs.flatMap((job) => (job.kind === "TrainJob" && job.model_id ? [job.model_id] : [])))];
  const pending = inTraining.filter((id) => !trained.includes(id));
  /** @type {[string, string][]} */
  const options = [["", "Base model"], ...trained.map(pair), ...pending.map((id) => /** @type {[string, string]} */ ([id, `${id} (when it is trained)`]))];
  if (draft.modelId && !options.some(([id]) => id === draft.modelId)) options.push(pair(draft.modelId));
  const trigger = known.find((model) => model.model_id === draft.modelId.split("@")[0])?.prompt ?? jobs.find((job) => job.model_id === draft.modelId)?.prompt;
  const isMissing = trigger && !draft.prompt.toLowerCase().includes(trigger.toLowerCase());
  return html`<${Select}
      id="generate-modelId" label="Model" value=${draft.modelId} options=${options} error=${faults.modelId}
      onInput=${(/** @type {string} */ modelId) => change({ modelId })}
    />
    ${draft.modelId && html`<div class="model-extra">
      ${isMissing && html`<p class="hint">
        Trained on “${trigger}”.
        <button type="button" class="link" onClick=${() => change({ prompt: draft.prompt.trim() ? `${trigger}, ${draft.prompt.trim()}` : trigger })}>
          Add it to the prompt
        </button>
      </p>`}
      <${Slider}
        id="generate-loraScale" label="Strength of the model" value=${draft.loraScale} min=${0} max=${2} step=${0.05}
        onInput=${(/** @type {number} */ loraScale) => change({ loraScale })}
      />
    </div>`}`;
}

/** @param {string} id @returns {[string, string]} */
function pair(id) {
  return [id, id];
}

/** @param {Shared} properties */
export function SpeedChoice({ draft, change }) {
  return html`<${Segmented}
    name="generate-profile" label="Speed" value=${draft.profile} options=${PROFILES} hint=${PROFILE_HINTS[draft.profile]}
    onInput=${(/** @type {string} */ profile) => change({ profile })}
  />`;
}

/** @param {Shared} properties */
export function PictureOptions({ draft, change, faults }) {
  const nativePx = useNativePx(draft.modelId);
  return html`<div class="field-pair">
      <${Select}
        id="generate-size" label="Size" value=${draft.size} options=${sizesOf(nativePx)} onInput=${(/** @type {string} */ size) => change({ size })}
      />
      <${Select}
        id="generate-count" label="Pictures" value=${draft.count} options=${Array.from({ length: 8 }, (_, index) => pair(String(index + 1)))}
        onInput=${(/** @type {string} */ count) => change({ count })}
      />
    </div>
    ${draft.size === "custom" && html`<div class="field-pair">
      ${/** @type {("width" | "height")[]} */ (["width", "height"]).map(
        (side) => html`<${TextField}
          key=${side} id=${`generate-${side}`} label=${side === "width" ? "Width" : "Height"} bounds=${BOUNDS[side]}
          placeholder=${nativePx} value=${draft[side]} error=${faults[side]} onInput=${(/** @type {string} */ text) => change({ [side]: text })}
        />`,
      )}
    </div>`}
    <${Toggle}
      id="generate-video" label="Make it move" checked=${draft.video} hint="Also makes a short clip from the first picture."
      onInput=${(/** @type {boolean} */ video) => change({ video })}
    />`;
}

/** @param {Shared & {clip: boolean}} properties `clip`: nothing but a clip of the start picture is made. */
export function MoreOptions({ draft, change, faults, clip }) {
  const isFaulty = useMemo(() => ["seed", "steps", "guidanceScale", "frames", "motion"].some((name) => faults[name]), [faults]);
  /** @param {keyof typeof BOUNDS} name @param {string} label @param {string} placeholder @param {string} hint */
  const number = (name, label, placeholder, hint) => html`<${TextField}
    id=${`generate-${name}`} label=${label} bounds=${BOUNDS[name]} placeholder=${placeholder} hint=${hint} value=${draft[name]}
    error=${faults[name]} onInput=${(/** @type {string} */ text) => change({ [name]: text })}
  />`;
  return html`<details class="advanced" open=${isFaulty || undefined}>
    <summary>More options</summary>
    ${!clip && html`<${TextField}
      id="generate-negativePrompt" label="Not in the picture" rows=${2} maxLength=${1800} placeholder="blurry, text"
      value=${draft.negativePrompt} error=${faults.negativePrompt}
      hint=${hasGuidance(draft) ? "" : "Not used: guidance at 1 and below is off."}
      onInput=${(/** @type {string} */ negativePrompt) => change({ negativePrompt })}
    />`}
    <div class="field-grid">
      ${number("seed", "Seed", "Random", clip ? "The same seed makes the same clip." : "The same seed draws the same picture.")}
      ${!clip && number("steps", "Steps", "30", "More take longer and add detail.")}
      ${!clip && number("guidanceScale", "Guidance", "5", "How closely it follows the prompt.")}
      ${!clip && html`<${Select}
        id="generate-scheduler" label="Sampler" value=${draft.scheduler} options=${SCHEDULERS} error=${faults.scheduler}
        onInput=${(/** @type {string} */ scheduler) => change({ scheduler })}
      />`}
      ${(clip || draft.video) && number("frames", "Frames of the clip", "Default", "")}
      ${(clip || draft.video) && number("motion", "Amount of motion", "127", "From 0 to 1023.")}
    </div>
  </details>`;
}
