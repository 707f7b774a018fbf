/** The models, with a sample of each; and a form to bring a LoRA that was trained elsewhere. */

import { Problem, messageOf } from "../api.js";
import { DropZone } from "../components/drop_zone.js";
import { Dialog } from "../components/dialogs.js";
import { FormErrors, TextField } from "../components/fields.js";
import { Icon } from "../components/icons.js";
import { ProgressText } from "../components/job_status.js";
import { UploadProgress } from "../components/sending.js";
import { say, sayError } from "../components/toasts.js";
import { ago } from "../format.js";
import { jobs, loadPage, refreshLinks, unfinished } from "../jobs.js";
import { importModel, loadModels, models } from "../models.js";
import { go, to } from "../router.js";
import { html, useEffect, useRef, useState, useValue } from "../ui.js";

/** @typedef {import("../types.js").Job} Job */

/** A picture of what a model draws, and its job: its newest sample, or a picture made with it. @param {Map<string, Job>} all @param {string} id */
export function sampleOf(all, id) {
  const made = [...all.values()].filter((job) => job.status === "Succeeded" && job.model_id?.split("@")[0] === id);
  made.sort((one, other) => other.created.localeCompare(one.created));
  const files = made.flatMap((job) => job.artifacts.map((artifact) => ({ job, artifact })));
  return files.filter(({ artifact }) => artifact.role === "sample").pop() ?? files.find(({ artifact }) => artifact.role === "image");
}

export function ModelsView() {
  const known = useValue(models);
  const all = useValue(jobs);
  const training = useValue(unfinished).filter((job) => job.kind === "TrainJob");
  const [file, setFile] = useState(/** @type {File | null} */ (null));
  useEffect(() => {
    loadModels().catch(sayError);
    loadPage({ kind: "TrainJob", status: "Succeeded" }).catch(() => {});
    loadPage({ kind: "GenerateJob", status: "Succeeded" }).catch(() => {});
  }, []);
  return html`<header class="view-head">
      <div><h1>Models</h1><p class="lead">Trained here, or brought along.</p></div>
      <div class="actions"><a class="button primary" href=${to("train")}><${Icon} name="plus" />Train a model</a></div>
    </header>
    ${training.length > 0 && html`<ul class="rows">
      ${training.map((job) => html`<li key=${job.id} class="row">
        <div class="row-main"><p class="row-title"><a href=${to("jobs", job.id)}>${job.model_id}</a></p><p class="muted small"><${ProgressText} job=${job} /></p></div>
      </li>`)}
    </ul>`}
    <ul class="grid" aria-busy=${known === null ? "true" : "false"}>
      ${known === null && Array.from({ length: 4 }, (_, index) => html`<li key=${index} class="tile"><div class="picture skeleton"></div></li>`)}
      ${known?.map((model) => html`<${ModelTile} key=${model.model_id} model=${model} sample=${sampleOf(all, model.model_id)} />`)}
    </ul>
    ${known?.length === 0 && html`<div class="empty slim"><p>No model yet. <a href=${to("train")}>Train the first</a>, or bring a LoRA.</p></div>`}
    <${DropZone} label="Bring a LoRA" hint="Drop a .safetensors file for SDXL here: from Kohya’s scripts, diffusers or peft." accept=".safetensors" isMain=${true} onFiles=${(/** @type {File[]} */ [chosen]) => setFile(chosen)} kind="drop-medium" />
    ${file && html`<${ImportDialog} file=${file} onClose=${() => setFile(null)} />`}`;
}

/** @param {{model: import("../types.js").Model, sample: ReturnType<typeof sampleOf>}} properties */
function ModelTile({ model, sample }) {
  return html`<li class="tile">
    <a class="picture" href=${to("models", model.model_id)} aria-label=${model.model_id}>
      ${sample ? html`<img src=${sample.artifact.url} alt="" loading="lazy" decoding="async" onError=${() => refreshLinks(sample.job, sample.artifact)} />` : html`<span class="blank"><${Icon} name="models" size=${32} /></span>`}
    </a>
    <div class="tile-foot"><div class="tile-text">
      <p class="tile-name">${model.model_id}</p>
      <p class="tile-prompt muted small">${model.prompt || "No trigger words"}</p>
      <p class="muted small">${model.source ? "Imported" : "Trained"} ${ago(model.created)}</p>
    </div></div>
  </li>`;
}

/** @param {string} name Of a file. */
function idOf(name) {
  return name.replace(/\.safetensors$/i, "").replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/g, "").slice(0, 63);
}

/** @param {{file: File, onClose: () => void}} properties */
function ImportDialog({ file, onClose }) {
  const [id, setId] = useState(idOf(file.name));
  const [prompt, setPrompt] = useState("");
  const [fraction, setFraction] = useState(/** @type {number | null} */ (null));
  const [fault, setFault] = useState("");
  const [faults, setFaults] = useState(/** @type {Record<string, string>} */ ({}));
  const isShown = useRef(true);
  useEffect(() => () => {
    isShown.current = false;
  }, []);
  const isWrong = !/\.safetensors$/i.test(file.name);
  /** @param {Event} event */
  const send = async (event) => {
    event.preventDefault();
    if (fraction !== null) return;
    setFault("");
    setFaults({});
    setFraction(0);
    try {
      await importModel(file, id, prompt, setFraction);
      say(`${id} is ready.`);
      if (!isShown.current) return;
      onClose();
      go("models", id);
    } catch (error) {
      if (!isShown.current) say(`${id} was not imported: ${messageOf(error)}`, true);
      const byField = Object.fromEntries((error instanceof Problem ? error.faults : []).map(({ parameter, message }) => [parameter, message]));
      setFaults(byField);
      setFault("model_id" in byField || "prompt" in byField ? "" : messageOf(error));
      setFraction(null);
    }
  };
  /** @param {"model_id" | "prompt"} field @param {(text: string) => void} set */
  const changes = (field, set) => (/** @type {string} */ text) => {
    set(text);
    setFault("");
    setFaults({ ...faults, [field]: "" });
  };
  return html`<${Dialog} label="Bring a LoRA" onClose=${onClose} kind="dialog-small">
    <h2>Bring a LoRA</h2>
    <p class="muted small name">${file.name}</p>
    <form onSubmit=${send}>
      <${TextField} id="import-id" label="Name of the model" required maxLength=${63} value=${id} error=${faults.model_id} onInput=${changes("model_id", setId)} />
      <${TextField} id="import-prompt" label="Trigger words" value=${prompt} error=${faults.prompt} onInput=${changes("prompt", setPrompt)} hint="Those in the file when empty." />
      <${FormErrors} title=${isWrong ? "Only .safetensors files can be brought: other formats may contain code." : fault} messages=${[]} />
      ${fraction === null
        ? html`<div class="actions end">
            <button type="button" class="button" onClick=${onClose}>Close</button>
            <button type="submit" class="button primary" disabled=${isWrong || !id}>Import it</button>
          </div>`
        : html`<${UploadProgress} fraction=${fraction} />`}
    </form>
  <//>`;
}
