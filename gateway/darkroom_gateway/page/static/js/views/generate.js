/** Write a prompt, choose a model, watch the picture sharpen. `#/generate/<job>` shows a job beside the form. */

import { Problem, messageOf } from "../api.js";
import { BusyButton } from "../components/busy_button.js";
import { SettingsLine } from "../components/details.js";
import { Download } from "../components/download.js";
import { FormErrors, TextField } from "../components/fields.js";
import { Icon } from "../components/icons.js";
import { CopyButton } from "../components/id.js";
import { JobActions } from "../components/job_row.js";
import { ProgressBar, ProgressText, StatusAnnouncer, StatusChip } from "../components/job_status.js";
import { isCalm } from "../components/motion.js";
import { Pictures, artifacts, seedOf } from "../components/pictures.js";
import { again } from "../components/picture_actions.js";
import { Sending, UploadProgress } from "../components/sending.js";
import { sayError } from "../components/toasts.js";
import { readDraft, useDraft } from "../drafts.js";
import { freshArtifact, isFinished } from "../jobs.js";
import { useNativePx } from "../models.js";
import { go, route, scrollOfEntry, to } from "../router.js";
import { setStartFiles, startFiles } from "../start_files.js";
import { submitGeneration } from "../submissions.js";
import { html, useEffect, useRef, useValue } from "../ui.js";
import { EMPTY, faultsOf, isClip, specOf } from "./generate_form.js";
import { ModelChoice, MoreOptions, PictureOptions, SpeedChoice } from "./generate_options.js";
import { useJob } from "./job.js";
import { StartPicture } from "./start_picture.js";

/** @typedef {import("./generate_form.js").GenerateDraft} GenerateDraft */

/** Where the gateway's name of a field differs from the draft's. @type {Record<string, string>} */
const FIELD_OF = {
  "images.width": "width",
  "images.height": "height",
  "images.seed": "seed",
  "images.steps": "steps",
  "images.guidanceScale": "guidanceScale",
  "images.scheduler": "scheduler",
  "startImage.uri": "start",
  "video.startImage.uri": "start",
  video_image: "image",
  "video.seed": "seed",
  "video.frames": "frames",
  "video.motionBucketId": "motion",
};

const sending = new Sending();

/** @param {{id: string}} properties */
export function GenerateView({ id }) {
  const result = useRef(/** @type {HTMLElement | null} */ (null));
  // On a phone the result is below the form. Who comes back finds the page where it was left.
  useEffect(() => {
    if (!id || scrollOfEntry() > 0 || !matchMedia("(max-width: 60rem)").matches) return undefined;
    const frame = requestAnimationFrame(() => {
      result.current?.scrollIntoView({ behavior: isCalm() ? "auto" : "smooth", block: "start" });
    });
    return () => cancelAnimationFrame(frame);
  }, [id]);
  return html`<header class="view-head"><div><h1>Generate</h1></div></header>
    <div class="studio">
      <${GenerateForm} />
      <section class="stage" ref=${result} aria-label="Result"><${Result} id=${id} /></section>
    </div>`;
}

/** The start picture that the form knew last, also while another view was shown. @type {string | undefined} */
let startBefore = readDraft("generate", EMPTY).start?.uri;

function GenerateForm() {
  const [draft, keep] = useDraft("generate", EMPTY);
  const pictures = useValue(startFiles);
  const faults = useValue(sending.faults);
  const refusal = useValue(sending.refusal);
  const fraction = useValue(sending.fraction);
  // A picture that is chosen later takes the place of a dropped one.
  const dropped = draft.start ? { image: null, mask: pictures.mask } : pictures;
  const hasFile = dropped.image !== null;
  const clip = isClip(draft, hasFile);
  const nativePx = useNativePx(draft.modelId);
  /** @param {Partial<GenerateDraft>} changes */
  const change = (changes) => {
    sending.changed(Object.keys(changes));
    keep(changes);
  };
  /** @param {typeof pictures} chosen */
  const setPictures = (chosen) => {
    sending.changed(["image", "mask"]);
    setStartFiles(chosen);
  };
  const startUri = draft.start?.uri;
  useEffect(() => {
    if (startUri && startUri !== startBefore) {
      // It was chosen outside of the form. The mask and the faults were about another picture.
      sending.changed(["start"]);
      setPictures({ image: null, mask: null });
    }
    startBefore = startUri;
  }, [startUri]);

  /** @param {Event} event */
  const make = async (event) => {
    event.preventDefault();
    if (fraction !== null) return undefined;
    const found = faultsOf(draft, hasFile);
    sending.refuse(found, { title: "", messages: [] });
    const first = Object.keys(found)[0];
    if (first) return document.getElementById(`generate-${first}`)?.focus();
    try {
      const job = await sending.run((options) => submitGeneration(specOf(draft, hasFile, nativePx), filesOf(dropped, clip), options));
      if (route.peek().view !== "generate") return undefined;
      go("generate", job.id);
    } catch (error) {
      if (error instanceof DOMException) return undefined;
      if (route.peek().view !== "generate") sayError(error);
      const all = error instanceof Problem ? error.faults : [];
      const byField = Object.fromEntries(all.map(({ parameter, message }) => [FIELD_OF[parameter] ?? parameter, message]));
      sending.refuse(byField, { title: messageOf(error), messages: all.length > 1 ? all.map(({ message }) => message) : [] });
    }
    return undefined;
  };
  /** @param {KeyboardEvent} event */
  const submitOnEnter = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) /** @type {HTMLFormElement} */ (event.currentTarget).requestSubmit();
  };
  const shared = { draft, change, faults };
  return html`<form class="form-column" onSubmit=${make} onKeyDown=${submitOnEnter} novalidate>
    <${TextField}
      id="generate-prompt" label="Prompt" rows=${4} maxLength=${1800} required placeholder="a photo of sks dog on the moon"
      value=${draft.prompt} error=${faults.prompt} onInput=${(/** @type {string} */ prompt) => change({ prompt })}
    />
    ${!clip && html`<${ModelChoice} ...${shared} />`}
    <${SpeedChoice} ...${shared} />
    ${!clip && html`<${PictureOptions} ...${shared} />`}
    <${StartPicture} ...${shared} pictures=${dropped} setPictures=${setPictures} />
    <${MoreOptions} ...${shared} clip=${clip} />
    <${FormErrors} ...${refusal} />
    ${fraction === null
      ? html`<button type="submit" class="button primary large"><${Icon} name="generate" />${clip || draft.video ? "Make the video" : "Make the picture"}</button>`
      : html`<${UploadProgress} fraction=${fraction} onStop=${() => sending.stop()} />`}
  </form>`;
}

/** The parts of the form. @param {{image: File | null, mask: File | null}} dropped @param {boolean} clip */
function filesOf({ image, mask }, clip) {
  return clip ? { video_image: image } : { image, mask };
}

/** @param {{id: string}} properties */
function Result({ id }) {
  const { job, fault } = useJob(id);
  if (!id) {
    return html`<div class="empty-stage"><${Icon} name="generate" size=${32} /><p>Your picture appears here.</p></div>`;
  }
  if (!job) return fault ? html`<div class="empty-stage"><p>${fault}</p></div>` : html`<div class="picture skeleton"></div>`;
  const results = [...artifacts(job, "video"), ...artifacts(job, "image")];
  const drawn = { role: job.spec.images?.count === 0 ? "video" : "image", seed: seedOf(job) };
  return html`<${Pictures} job=${job} />
    <div class="result-foot">
      <p class="status-line"><${StatusChip} job=${job} /> <${ProgressText} job=${job} /></p>
      ${!isFinished(job) && html`<${ProgressBar} job=${job} />`}
      ${job.error && html`<div class="notice error" role="alert"><p><strong>${job.error.message}</strong></p><p>${job.error.advice}</p></div>`}
      <div class="copied"><p class="prompt">${job.prompt}</p><${CopyButton} text=${job.prompt} what="prompt" /></div>
      <${SettingsLine} job=${job} artifact=${drawn} />
      <div class="actions">
        ${isFinished(job) && html`<${BusyButton} key=${job.id} class="button" isOff=${job.deleting} act=${() => again(job)}><${Icon} name="again" />Another seed<//>`}
        ${isFinished(job) && results.length === 1 && html`<${Download} class="button" file=${results[0]} fresh=${() => freshArtifact(job, results[0])}><${Icon} name="download" />Download<//>`}
        <${JobActions} job=${job} />
        <a class="button" href=${to("jobs", job.id)}>Details</a>
      </div>
    </div>
    <${StatusAnnouncer} job=${job} />`;
}
