/** What can be done with a generated picture: again with another seed, delete. */

import { deleteJob } from "../jobs.js";
import { once } from "../once.js";
import { go } from "../router.js";
import { submitGeneration } from "../submissions.js";
import { confirm } from "./dialogs.js";
import { say, sayError } from "./toasts.js";

/** Nine digits: easy to read and to copy, and far below the highest seed. */
const SEEDS = 1e9;

/** A random seed. */
export function randomSeed() {
  return Math.floor(Math.random() * SEEDS);
}

/** Fields of a spec that place or limit the old job, not the picture. */
const OF_THE_JOB = ["suspend", "webhook", "webhookEvents"];

/**
 * The spec of the same job with another seed.
 *
 * @param {Record<string, any>} spec @param {number} seed
 */
export function withSeed(spec, seed) {
  const kept = Object.entries(spec).filter(([name]) => !OF_THE_JOB.includes(name));
  return { ...Object.fromEntries(kept), images: { ...spec.images, seed } };
}

/** @param {import("../types.js").Job} job */
export async function again(job) {
  try {
    const made = await once(`again ${job.id}`, () => submitGeneration(withSeed(job.spec, randomSeed()), {}));
    go("generate", made.id);
  } catch (error) {
    sayError(error);
  }
}

/** @param {import("../types.js").Job} job @param {() => void} [after] */
export function askToDelete(job, after) {
  const count = job.artifacts.filter((artifact) => artifact.role === "image" || artifact.role === "video").length;
  confirm({
    title: job.kind === "TrainJob" ? "Delete this training?" : "Delete this generation?",
    text:
      job.kind === "TrainJob"
        ? "Its photos, samples and log are deleted for good. The trained model stays."
        : `${count > 1 ? `All ${count} of its files are` : "Its files are"} deleted for good.`,
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
