/** Everything that makes a job's results again: its settings, its prompt and seed to copy. */

import { mainSettings, otherSettings, seedOfFile, settingsOf } from "../job_settings.js";
import { html } from "../ui.js";
import { Breakable, CopyButton, DateTime, Id } from "./id.js";

/** @typedef {import("../types.js").Job} Job */

/** Long values, on a line of their own. */
const WIDE_LETTERS = 40;

/** @param {{job: Job}} properties */
export function Details({ job }) {
  const others = otherSettings(job);
  const modelId = job.kind === "GenerateJob" ? (job.model_id ?? "Base model") : null;
  return html`<section class="card" aria-label="Details">
    <h2>Details</h2>
    <dl class="details">
      <${Row} name="Prompt" isWide=${true}><span class="copied"><span>${job.prompt}</span><${CopyButton} text=${job.prompt} what="prompt" /></span><//>
      ${modelId && html`<${Row} name="Model"><${Breakable} name=${modelId} /><//>`}
      ${mainSettings(job).map(([name, value]) => html`<${Setting} key=${name} name=${name} value=${value} />`)}
      ${job.priority !== 0 && html`<${Row} name="Priority">${job.priority}<//>`}
      ${job.attempts > 1 && html`<${Row} name="Runs">${job.attempts}<//>`}
      <${Row} name="Submitted"><${DateTime} time=${job.created} /><//>
      ${job.submitted_by && html`<${Row} name="Submitted by">${job.submitted_by}<//>`}
      <${Row} name="Job" isWide=${true}><${Id} name=${job.id} what="name of the job" /><//>
    </dl>
    ${others.length > 0 && html`<details class="advanced">
      <summary>All other settings</summary>
      <dl class="details">${others.map(([name, value]) => html`<${Setting} key=${name} name=${name} value=${value} />`)}</dl>
    </details>`}
  </section>`;
}

/**
 * What makes one picture or clip again, in a line.
 *
 * @param {{job: Job, artifact: {role?: string, seed?: number | null}, sides?: string}} properties `sides`: of the picture, where they are known.
 */
export function SettingsLine({ job, artifact, sides = "" }) {
  const seed = seedOfFile(job, artifact);
  const others = settingsOf(job, artifact, sides).join(" · ");
  if (seed === null) return html`<p class="muted small">${others}</p>`;
  return html`<p class="muted small">Seed ${seed} <${CopyButton} text=${String(seed)} what="seed" /> · ${others}</p>`;
}

/** @param {{name: string, value: string}} properties */
function Setting({ name, value }) {
  if (name !== "Seed") return html`<${Row} name=${name} isWide=${value.length > WIDE_LETTERS}>${value}<//>`;
  return html`<${Row} name=${name}><span class="copied"><span>${value}</span><${CopyButton} text=${value.split(" ")[0]} what=${name.toLowerCase()} /></span><//>`;
}

/** @param {{name: string, isWide?: boolean, children: any}} properties */
function Row({ name, isWide = false, children }) {
  return html`<div class=${isWide ? "wide" : ""}><dt>${name}</dt><dd>${children}</dd></div>`;
}
