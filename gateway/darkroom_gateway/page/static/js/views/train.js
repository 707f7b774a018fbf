/** Train a model: photos, a name, a prompt, start. */

import { Problem, messageOf } from "../api.js";
import { FormErrors, Select, TextField, Toggle } from "../components/fields.js";
import { Icon } from "../components/icons.js";
import { ADD_PHOTOS, PhotoPicker } from "../components/photo_picker.js";
import { Sending, UploadProgress } from "../components/sending.js";
import { say, sayError } from "../components/toasts.js";
import { useDraft } from "../drafts.js";
import { baseModels, models } from "../models.js";
import { setFault } from "../photo_checks.js";
import { checking, clearPhotos, markFaults, photos } from "../photos.js";
import { go, route } from "../router.js";
import { submitTraining } from "../submissions.js";
import { html, useEffect, useValue } from "../ui.js";
import { ADVANCED, EMPTY, STEPS, changedFields, faultsOf, specOf } from "./train_fields.js";

/** @typedef {import("./train_fields.js").TrainDraft} TrainDraft */

/** Paths in the spec whose messages are shown at their fields. */
const FIELDS = new Set(["modelId", "prompt", "maxSteps", "training.validationPrompt", ...ADVANCED.map(({ path }) => path)]);

const sending = new Sending();

export function TrainView() {
  const [draft, keep] = useDraft("train", EMPTY);
  const chosen = useValue(photos);
  const isChecking = useValue(checking) > 0;
  const faults = useValue(sending.faults);
  const refusal = useValue(sending.refusal);
  const fraction = useValue(sending.fraction);
  const good = chosen.filter((photo) => !photo.fault);

  const problem = photoProblem(chosen, good.length);
  const isSolved = refusal.isOfPhotos === true && problem === "" && !isChecking;
  useEffect(() => {
    if (isSolved) sending.refuse(sending.faults.peek(), { title: "", messages: [] });
  }, [isSolved]);
  /** @param {Partial<TrainDraft>} changes */
  const change = (changes) => {
    sending.changed(changedFields(draft, changes));
    keep(changes);
  };
  /** @param {Event} event */
  const start = async (event) => {
    event.preventDefault();
    if (fraction !== null) return undefined;
    const found = faultsOf(draft);
    sending.refuse(found, { title: "", messages: [], isOfPhotos: problem !== "" });
    // The photos come before the fields.
    const first = problem ? ADD_PHOTOS : Object.keys(found).map(fieldId)[0];
    if (first) return document.getElementById(first)?.focus();
    const files = good.flatMap(({ file, caption, mask }) => [file, caption, mask].filter((each) => each !== null));
    try {
      const job = await sending.run((options) => submitTraining(specOf(draft, good.some(({ mask }) => mask)), files, options));
      clearPhotos();
      keep(EMPTY);
      if (route.peek().view === "train") go("jobs", job.id);
      else say(`The training of ${job.model_id} is queued.`);
    } catch (error) {
      if (error instanceof DOMException) return undefined;
      if (route.peek().view !== "train") sayError(error);
      const sorted = sortFaults(error);
      const marked = markFaults(error instanceof Problem ? error.faults : []);
      sending.refuse(sorted.byField, { ...sorted.rest, isOfPhotos: marked > 0 && marked === sorted.count });
    }
    return undefined;
  };

  return html`<header class="view-head"><div>
      <h1>Train a model</h1>
      <p class="lead">Show it a handful of photos of one subject. It learns to draw it, anywhere.</p>
    </div></header>
    <form onSubmit=${start} novalidate class="train-form">
      <${PhotoPicker} prompt=${draft.prompt} error=${refusal.isOfPhotos ? problem : ""} />
      <div class="form-column">
        <${MainFields} draft=${draft} change=${change} faults=${faults} />
        <${AdvancedFields} draft=${draft} change=${change} faults=${faults} />
        ${!refusal.isOfPhotos && html`<${FormErrors} ...${refusal} />`}
        ${fraction === null
          ? html`<button type="submit" class="button primary large" disabled=${isChecking}>
              <${Icon} name="train" />${isChecking ? "Checking the photos …" : "Start the training"}
            </button>`
          : html`<${UploadProgress} fraction=${fraction} onStop=${() => sending.stop()} />`}
      </div>
    </form>`;
}

/** @param {import("../photo_checks.js").Photo[]} chosen @param {number} good */
function photoProblem(chosen, good) {
  if (chosen.length === 0) return "Add the photos to learn from: 5 to 20 are a good number.";
  if (good < chosen.length) return `Remove or replace the marked ${chosen.length - good === 1 ? "photo" : "photos"}, then start.`;
  return setFault(chosen);
}

/** @param {string} path */
function fieldId(path) {
  return `train-${path.replace(/\./g, "-")}`;
}

/** Messages at their fields, and the others. @param {unknown} error */
function sortFaults(error) {
  /** @type {Record<string, string>} */
  const byField = {};
  const messages = [];
  for (const { parameter, message } of error instanceof Problem ? error.faults : []) {
    if (FIELDS.has(parameter)) byField[parameter] = message;
    else messages.push(message);
  }
  const count = messages.length + Object.keys(byField).length;
  return { byField, count, rest: { title: messageOf(error), messages: messages.length > 1 ? messages : [] } };
}

/** @param {{draft: TrainDraft, change: (changes: Partial<TrainDraft>) => void, faults: Record<string, string>}} properties */
function MainFields({ draft, change, faults }) {
  const isKnown = useValue(models)?.some((model) => model.model_id === draft.modelId);
  return html`<${TextField}
      id=${fieldId("modelId")} label="Name of the model" required placeholder="my-dog" maxLength=${63}
      value=${draft.modelId} error=${faults.modelId} hint=${isKnown ? "There is a model of this name. The new one replaces it when it is ready." : "Pictures are made with it under this name."}
      onInput=${(/** @type {string} */ text) => change({ modelId: text.replace(/\s/g, "-") })}
    />
    <${TextField}
      id=${fieldId("prompt")} label="Prompt" required rows=${2} maxLength=${1000} placeholder="a photo of sks dog"
      value=${draft.prompt} error=${faults.prompt}
      hint="What the photos show, with a rare word for your subject, such as “sks dog”. The same words draw it later."
      onInput=${(/** @type {string} */ prompt) => change({ prompt })}
    />
    <${TextField}
      id=${fieldId("maxSteps")} label="Steps" bounds=${STEPS} value=${draft.maxSteps}
      error=${faults.maxSteps} hint="500 suit a handful of photos. More learn it better, until it overfits."
      onInput=${(/** @type {string} */ maxSteps) => change({ maxSteps })}
    />
    <${Toggle}
      id="train-samples" label="Draw samples while it learns" checked=${draft.samples}
      onInput=${(/** @type {boolean} */ samples) => change({ samples })}
    />
    ${draft.samples && html`<${TextField}
      id=${fieldId("training.validationPrompt")} label="Prompt of the samples" maxLength=${1000}
      placeholder=${draft.prompt || "a photo of sks dog on the moon"} value=${draft.samplePrompt}
      error=${faults["training.validationPrompt"]} hint="The prompt above when empty."
      onInput=${(/** @type {string} */ samplePrompt) => change({ samplePrompt })}
    />`}`;
}

/** @param {{draft: TrainDraft, change: (changes: Partial<TrainDraft>) => void, faults: Record<string, string>}} properties */
function AdvancedFields({ draft, change, faults }) {
  const isFaulty = ADVANCED.some(({ path }) => faults[path]);
  const bases = useValue(baseModels).map(({ reference }) => reference);
  return html`<details class="advanced" open=${isFaulty || undefined}>
    <summary>Advanced</summary>
    <div class="field-grid">
      ${ADVANCED.map((field) => {
        const shared = {
          key: field.path,
          id: fieldId(field.path),
          label: field.label,
          hint: field.hint,
          error: faults[field.path],
          onInput: (/** @type {string | boolean} */ value) =>
            change({ advanced: { ...draft.advanced, [field.path]: value === true ? "true" : value || "" } }),
        };
        const value = draft.advanced[field.path] ?? "";
        if (field.type === "flag") return html`<${Toggle} ...${shared} checked=${value !== ""} />`;
        if (field.type === "choice") return html`<${Select} ...${shared} value=${value} options=${field.options} />`;
        const limits = field.bounds ? { bounds: field.bounds } : { maxLength: 1000 };
        const suggestions = field.path === "baseModel" ? bases : [];
        return html`<${TextField} ...${shared} ...${limits} value=${value} placeholder=${field.placeholder} suggestions=${suggestions} />`;
      })}
    </div>
  </details>`;
}
