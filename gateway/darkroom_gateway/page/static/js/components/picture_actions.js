/** What can be done with a generated picture: again with another seed, delete. */

import { deleteJob, isFinished } from "../jobs.js";
import { once } from "../once.js";
import { go } from "../router.js";
import { randomSeed } from "../seeds.js";
import { submitGeneration } from "../submissions.js";
import { draftFrom } from "../views/generate_form.js";
import { confirm } from "./dialogs.js";
import { say, sayError } from "./toasts.js";

/** Fields of a spec that place or limit the old job, not the picture. */
const OF_THE_JOB = ["suspend", "webhook", "webhookEvents"];

/**
 * The spec of the same job with another seed.
 *
 * @param {Record<string, any>} spec @param {number} seed
 */
export function withSeed(spec, seed) {
  const kept = Object.entries(spec).filter(([name]) => !OF_THE_JOB.includes(name));
  // A job without pictures makes a clip of its start picture.
  const part = spec.images?.count === 0 ? "video" : "images";
  return { ...Object.fromEntries(kept), [part]: { ...spec[part], seed } };
}

/** @param {import("../types.js").Job} job */
export async function again(job) {
  const made = await once(`again ${job.id}`, () => submitGeneration(withSeed(job.spec, randomSeed()), {}));
  go("generate", made.id);
}

/** Open the form of a generation that starts from a picture. @param {import("../types.js").Job} job @param {{name: string, uri: string}} picture */
export function startFrom(job, { name, uri }) {
  draftFrom(job, { job: job.id, name, uri });
  go("generate");
}

/** @param {import("../types.js").Job} job @param {() => void} [after] */
export function askToDelete(job, after) {
  const count = job.artifacts.filter((artifact) => artifact.role === "image" || artifact.role === "video").length;
  confirm({
    title: job.kind === "TrainJob" ? "Delete this training?" : "Delete this generation?",
    text:
      job.kind === "TrainJob"
        ? "Its photos, samples and log are deleted for good. The trained model stays."
        : `${isFinished(job) ? "" : "It stops. "}${count > 1 ? `All ${count} of its files are` : "Its files are"} deleted for good.`,
    yes: "Delete",
    isDangerous: true,
    async act() {
      try {
        await deleteJob(job.id);
        say("Deleted.");
        after?.();
      } catch (error) {
        sayError(error);
      }
    },
  });
}
