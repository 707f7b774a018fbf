/** The pictures that a training draws while it learns, newest first. */

import { get } from "../api.js";
import { freshArtifact, isExpired, refreshLinks } from "../jobs.js";
import { liveOf } from "../live.js";
import { once } from "../once.js";
import { html, useEffect, useState, useValue } from "../ui.js";
import { openLightbox } from "./lightbox.js";
import { artifacts } from "./pictures.js";

/** @typedef {import("../types.js").Job} Job */
/** @typedef {{url: string, expires: string, name: string, step: number | null, index: number}} Sample */

const SAMPLE = /samples\/[^/?]*-step-(\d+)-(\d+)\.[a-z]+/;

/**
 * The samples that are stored already. Their links work without the key.
 *
 * @param {string} id
 * @returns {Promise<Sample[]>}
 */
async function storedSamples(id) {
  /** @type {{files: import("../types.js").RunFile[]}} */
  const { files } = await get(`v1/jobs/${encodeURIComponent(id)}/files`);
  return files.flatMap(({ path, link, expires }) => {
    const match = SAMPLE.exec(path);
    if (!match) return [];
    return [{ url: link, expires, name: path.split("/").pop() ?? path, step: Number(match[1]), index: Number(match[2]) }];
  });
}

/** Keep the links of samples that are shown, so that the browser does not load them again. @param {Sample[]} found @param {Sample[]} before */
function withShownLinks(found, before) {
  return found.map((sample) => before.find((each) => each.name === sample.name && !isExpired(each)) ?? sample);
}

/** The samples, and what reads their links again. @param {Job} job @returns {[Sample[], (sample: Sample) => void]} */
function useSamples(job) {
  const announced = useValue(liveOf(job.id)).samples.length;
  const [stored, setStored] = useState(/** @type {Sample[]} */ ([]));
  /** @param {Promise<Sample[]>} reading */
  const keep = (reading) => {
    reading.then((found) => setStored((/** @type {Sample[]} */ before) => withShownLinks(found, before)), () => {});
  };
  useEffect(() => {
    if (job.started) keep(storedSamples(job.id));
  }, [job.id, announced, job.status]);
  const final = artifacts(job, "sample").map(({ url, expires, name, step }, index) => ({ url, expires, name, step, index }));
  const named = new Set(final.map(({ name }) => name));
  /** @param {Sample} sample */
  const refresh = (sample) => {
    if (!isExpired(sample)) return;
    if (named.has(sample.name)) refreshLinks(job, sample);
    else keep(once(`samples of ${job.id}`, () => storedSamples(job.id)));
  };
  return [[...stored.filter(({ name }) => !named.has(name)), ...final], refresh];
}

/** @param {Job} job @param {Sample} sample */
async function freshSample(job, sample) {
  const isFinal = artifacts(job, "sample").some(({ name }) => name === sample.name);
  if (isFinal) return freshArtifact(job, sample);
  return (await storedSamples(job.id)).find(({ name }) => name === sample.name) ?? sample;
}

/** @param {{job: Job}} properties */
export function Samples({ job }) {
  const [samples, refresh] = useSamples(job);
  const training = job.spec.training ?? {};
  const prompts = [training.validationPrompt, ...(training.validationPrompts ?? [])].filter(Boolean);
  if (samples.length === 0 && prompts.length === 0) return null;
  const newest = [...samples].sort((one, other) => (other.step ?? Infinity) - (one.step ?? Infinity) || one.index - other.index);
  const shown = newest.map((sample) => ({ artifact: sample, caption: captionOf(sample, prompts), fresh: () => freshSample(job, sample) }));
  return html`<section class="samples" aria-label="Samples">
    <h2>Samples</h2>
    ${samples.length === 0 && html`<p class="muted">${waitingText(job)}</p>`}
    <ul class="grid">
      ${newest.map(
        (sample, index) => html`<li key=${sample.name} class="tile">
          <button type="button" class="picture" aria-label=${`Open the sample ${stepName(sample)}`} onClick=${() => openLightbox(shown, index)}>
            <img src=${sample.url} alt=${captionOf(sample, prompts)} loading="lazy" decoding="async" onError=${() => refresh(sample)} />
          </button>
          <p class="small muted">${stepName(sample)}</p>
        </li>`,
      )}
    </ul>
  </section>`;
}

/** @param {Job} job */
function waitingText(job) {
  const { validationSteps } = job.spec.training ?? {};
  if (job.status === "Succeeded" || job.status === "Failed") return "This training has no samples.";
  return validationSteps ? `The first sample appears after step ${validationSteps}.` : "The sample appears at the end.";
}

/** @param {Sample} sample */
function stepName(sample) {
  return sample.step === null ? "Finished model" : `Step ${sample.step}`;
}

/** @param {Sample} sample @param {string[]} prompts */
function captionOf(sample, prompts) {
  return `${prompts[sample.index] ?? prompts[0] ?? "Sample"} — ${stepName(sample).toLowerCase()}`;
}
