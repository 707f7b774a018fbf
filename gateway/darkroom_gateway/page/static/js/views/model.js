/** One model: what it draws, its files, its saved steps. */

import { messageOf } from "../api.js";
import { confirm } from "../components/dialogs.js";
import { Download } from "../components/download.js";
import { Breakable, DateTime, Id } from "../components/id.js";
import { Icon } from "../components/icons.js";
import { openLightbox } from "../components/lightbox.js";
import { artifacts } from "../components/pictures.js";
import { useReconnected } from "../components/reconnected.js";
import { say, sayError } from "../components/toasts.js";
import { size } from "../format.js";
import { freshArtifact, jobs, loadPage, refreshLinks } from "../jobs.js";
import { useOf } from "../lora_forms.js";
import { deleteModel, loadModel } from "../models.js";
import { go, to } from "../router.js";
import { html, useEffect, useRef, useState, useValue } from "../ui.js";
import { draftFor } from "./generate_form.js";

/** @typedef {import("../types.js").ModelDetail} ModelDetail */
/** @typedef {import("../types.js").ModelFile} ModelFile */

/** @param {{id: string}} properties */
export function ModelView({ id }) {
  const [model, setModel] = useState(/** @type {ModelDetail | null} */ (null));
  const [fault, setFault] = useState("");
  const shown = useRef(id);
  shown.current = id;
  const load = () => {
    setModel(null);
    setFault("");
    loadModel(id).then(
      (found) => shown.current === id && setModel(found),
      (error) => shown.current === id && setFault(messageOf(error)),
    );
    loadPage({ model_id: id, status: "Succeeded" }).catch(() => {});
  };
  useEffect(load, [id]);
  useReconnected(fault !== "", load);
  if (fault) return html`<h1>${id}</h1><p class="muted">${fault}</p><p><a href=${to("models")}>All models</a></p>`;
  if (!model) return html`<div class="skeleton skeleton-title"></div><div class="skeleton skeleton-block"></div>`;
  const isBase = !model.created;
  return html`<header class="view-head">
      <div>
        <p class="eyebrow">${isBase ? "Base model" : model.source ? "Imported model" : "Model"}</p>
        <h1>${model.model_id}</h1>
        <p class="muted">${model.prompt}</p>
      </div>
      <div class="actions">
        <button type="button" class="button primary" onClick=${() => use(isBase ? "" : model.model_id, model.prompt)}><${Icon} name="generate" />Generate with it</button>
        ${!isBase && html`<button type="button" class="button danger-text" onClick=${() => askToDelete(model.model_id)}><${Icon} name="trash" />Delete</button>`}
      </div>
    </header>
    ${model.in_training && html`<div class="notice"><p>A training of this model is unfinished. It replaces the model when it succeeds.</p></div>`}
    <${Drawn} id=${id} />
    ${!isBase && html`<section class="card" aria-label="Files"><h2>Files</h2><${FileList} id=${id} files=${model.files} /></section>`}
    <${Steps} model=${model} />
    <section class="card" aria-label="Details">
      <h2>Details</h2>
      <dl class="details">
        <div class="wide"><dt>Base model</dt><dd><${Id} name=${model.base_model} what="name of the base model" /></dd></div>
        ${model.step && html`<div><dt>Training steps</dt><dd>${model.step}</dd></div>`}
        ${model.held_out_loss != null && html`<div><dt>Held-out loss</dt><dd>${model.held_out_loss.toFixed(4)}</dd></div>`}
        ${model.source && html`<div><dt>Imported from</dt><dd>${model.source}</dd></div>`}
        ${model.created && html`<div><dt>Created</dt><dd><${DateTime} time=${model.created} /></dd></div>`}
      </dl>
    </section>`;
}

/** @param {string} reference @param {string} prompt */
function use(reference, prompt) {
  draftFor(reference, prompt);
  go("generate");
}

/** @param {string} id */
function askToDelete(id) {
  confirm({
    title: `Delete ${id}?`,
    text: "Its files and saved steps are deleted for good. Pictures that were made with it stay.",
    yes: "Delete the model",
    isDangerous: true,
    async act() {
      try {
        await deleteModel(id);
        say(`${id} is deleted.`);
        go("models");
      } catch (error) {
        sayError(error);
      }
    },
  });
}

/** A file of a model, or of a saved step, with another link. @param {string} id @param {ModelFile} file @param {string} [reference] */
async function freshFile(id, file, reference) {
  const model = await loadModel(id);
  const { files } = model.steps.find((step) => step.reference === reference) ?? model;
  return files.find(({ name, form }) => name === file.name && form === file.form) ?? file;
}

/** Samples of its training, and pictures that were made with it. @param {{id: string}} properties */
function Drawn({ id }) {
  const all = useValue(jobs);
  const own = [...all.values()].filter((job) => job.status === "Succeeded" && job.model_id?.split("@")[0] === id);
  own.sort((one, other) => other.created.localeCompare(one.created));
  /** @returns {import("../components/lightbox.js").Shown[]} */
  const picturesOf = (/** @type {import("../types.js").Job} */ job) =>
    job.kind === "TrainJob"
      ? artifacts(job, "sample").map((artifact) => ({
          artifact,
          caption: `Sample: ${job.spec.training?.validationPrompt ?? job.prompt}`,
          fresh: () => freshArtifact(job, artifact),
        }))
      : artifacts(job, "image").map((artifact) => ({ job, artifact, fresh: () => freshArtifact(job, artifact) }));
  const pictures = own.flatMap((job) => picturesOf(job).map((shown) => ({ ...shown, owner: job })));
  if (pictures.length === 0) return null;
  return html`<ul class="grid" aria-label="Pictures">
    ${pictures.slice(0, 12).map(({ artifact, owner }, index) => html`<li key=${artifact.name} class="tile">
      <button type="button" class="picture" aria-label=${`Open picture ${index + 1}`} onClick=${() => openLightbox(pictures, index)}>
        <img src=${artifact.url} alt="" loading="lazy" decoding="async" onError=${() => refreshLinks(owner, artifact)} />
      </button>
    </li>`)}
  </ul>`;
}

/** @param {{id: string, files: ModelFile[]}} properties */
function FileList({ id, files }) {
  if (files.length === 0) return html`<p class="muted">No file yet.</p>`;
  return html`<ul class="files">
    ${files.map((file) => html`<li key=${file.name + file.form}>
      <div><${Download} file=${file} fresh=${() => freshFile(id, file)}><${Breakable} name=${file.name} /><//><p class="muted small">${useOf(file.form)}</p></div>
      <span class="muted small">${size(file.bytes)}</span>
    </li>`)}
  </ul>`;
}

/** @param {{model: ModelDetail}} properties */
function Steps({ model }) {
  if (model.steps.length === 0) return null;
  return html`<section class="card" aria-label="Saved steps">
    <h2>Saved steps</h2>
    <ul class="files">
      ${model.steps.map((step) => html`<li key=${step.reference}>
        <div>
          <strong>${step.reference}</strong>
          ${step.held_out_loss != null && html`<p class="muted small">Held-out loss ${step.held_out_loss.toFixed(4)}</p>`}
        </div>
        <div class="actions">
          <button type="button" class="button small-button" onClick=${() => use(step.reference, model.prompt)}>Generate</button>
          ${step.files.slice(0, 1).map((file) => html`<${Download} class="icon-button" file=${file} fresh=${() => freshFile(model.model_id, file, step.reference)} title="Download" aria-label=${`Download ${step.reference}`}><${Icon} name="download" /><//>`)}
        </div>
      </li>`)}
    </ul>
  </section>`;
}
