/** The pictures that a training draws while it learns, newest first. */

import { get } from "../api.js";
import { liveOf } from "../live.js";
import { html, useEffect, useState, useValue } from "../ui.js";
import { openLightbox } from "./lightbox.js";
import { artifacts } from "./pictures.js";

/** @typedef {{url: string, name: string, step: number | null, index: number}} Sample */

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
  return files.flatMap(({ path, link }) => {
    const match = SAMPLE.exec(path);
    if (!match) return [];
    return [{ url: link, name: path.split("/").pop() ?? path, step: Number(match[1]), index: Number(match[2]) }];
  });
}

/** Keep the links of samples that are shown, so that the browser does not load them again. @param {Sample[]} found @param {Sample[]} before */
function withShownLinks(found, before) {
  return found.map((sample) => before.find(({ name }) => name === sample.name) ?? sample);
}

/** @param {import("../types.js").Job} job @returns {Sample[]} */
function useSamples(job) {
  const announced = useValue(liveOf(job.id)).samples.length;
  const [stored, setStored] = useState(/** @type {Sample[]} */ ([]));
  useEffect(() => {
    if (!job.started) return;
    storedSamples(job.id).then((found) => setStored((/** @type {Sample[]} */ before) => withShownLinks(found, before)), () => {});
  }, [job.id, announced, job.status]);
  const final = artifacts(job, "sample").map(({ url, name, step }, index) => ({ url, name, step, index }));
  const named = new Set(final.map(({ name }) => name));
  return [...stored.filter(({ name }) => !named.has(name)), ...final];
}

/** @param {{job: import("../types.js").Job}} properties */
export function Samples({ job }) {
  const samples = useSamples(job);
  const training = job.spec.training ?? {};
  const prompts = [training.validationPrompt, ...(training.validationPrompts ?? [])].filter(Boolean);
  if (samples.length === 0 && prompts.length === 0) return null;
  const newest = [...samples].sort((one, other) => (other.step ?? Infinity) - (one.step ?? Infinity) || one.index - other.index);
  const shown = newest.map((sample) => ({ artifact: sample, caption: captionOf(sample, prompts) }));
  return html`<section class="samples" aria-label="Samples">
    <h2>Samples</h2>
    ${samples.length === 0 && html`<p class="muted">${waitingText(job)}</p>`}
    <ul class="grid">
      ${newest.map(
        (sample, index) => html`<li key=${sample.name} class="tile">
          <button type="button" class="picture" aria-label=${`Open the sample ${stepName(sample)}`} onClick=${() => openLightbox(shown, index)}>
            <img src=${sample.url} alt=${captionOf(sample, prompts)} loading="lazy" decoding="async" />
          </button>
          <p class="small muted">${stepName(sample)}</p>
        </li>`,
      )}
    </ul>
  </section>`;
}

/** @param {import("../types.js").Job} job */
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
