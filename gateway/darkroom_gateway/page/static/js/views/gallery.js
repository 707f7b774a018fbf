/**
 * All generated pictures and clips, newest first; those of a running job as soon as they are finished. They stay when it
 * fails: object storage has them.
 */

import { messageOf } from "../api.js";
import { BusyButton } from "../components/busy_button.js";
import { Download } from "../components/download.js";
import { Icon } from "../components/icons.js";
import { openLightbox } from "../components/lightbox.js";
import { again, askToDelete } from "../components/picture_actions.js";
import { StatusChip } from "../components/job_status.js";
import { ClipTile, artifacts } from "../components/pictures.js";
import { useReconnected } from "../components/reconnected.js";
import { useDraft } from "../drafts.js";
import { freshArtifact, isFinished, isRemoved, jobs, loadPage, refreshLinks } from "../jobs.js";
import { models } from "../models.js";
import { go, to } from "../router.js";
import { html, useEffect, useMemo, useRef, useState, useValue } from "../ui.js";

/** @typedef {import("../types.js").Job} Job */

const TYPING_MS = 300;

/**
 * What is read of a list. `oldest`: when the last job of its pages was created. That job may be deleted meanwhile.
 *
 * @typedef {{ids: string[], oldest: string, next: string | null, isLoading: boolean, fault: string}} Pages
 */

/** @type {Pages} */
const NO_PAGES = { ids: [], oldest: "", next: null, isLoading: true, fault: "" };

/** What was read of the newest lists, for those who come back to one, by its filters. @type {Map<string, Pages>} */
const left = new Map();
const MOST_LEFT = 4;

/** @param {string} name */
function pagesLeft(name) {
  const { ids = [] } = left.get(name) ?? {};
  // The page forgets jobs with their key, and the oldest of very many.
  return ids.length > 0 && ids.every((id) => jobs.peek().has(id) || isRemoved(id)) ? left.get(name) : undefined;
}

/** @param {string} name @param {Pages} pages */
function leave(name, pages) {
  left.delete(name);
  left.set(name, pages);
  if (left.size > MOST_LEFT) left.delete(left.keys().next().value ?? "");
}

/**
 * A list with another page of it. A first page that has nothing of the list begins it again: it has changed much.
 *
 * @param {Pages} list @param {Awaited<ReturnType<typeof loadPage>>} page @param {boolean} isNext
 * @returns {Pages}
 */
export function joined(list, page, isNext) {
  const before = isNext || page.ids.some((id) => list.ids.includes(id)) ? list : NO_PAGES;
  const isLast = isNext || before === NO_PAGES;
  return {
    ids: [...new Set([...before.ids, ...page.ids])],
    oldest: (isLast ? page.oldest : undefined) ?? before.oldest,
    next: isLast ? page.next : before.next,
    isLoading: false,
    fault: "",
  };
}

/**
 * Pages of finished jobs, with the ones that finish meanwhile in front.
 *
 * @param {import("../jobs.js").Filters} filters
 */
export function usePages(filters) {
  const name = JSON.stringify(filters);
  const [state, setState] = useState(() => pagesLeft(name) ?? NO_PAGES);
  const current = useRef("");
  const asked = useRef(/** @type {string | null} */ (null));
  /** @param {string | null} cursor */
  const load = async (cursor) => {
    current.current = name;
    asked.current = cursor;
    setState((/** @type {Pages} */ before) => ({ ...(cursor ? before : (pagesLeft(name) ?? NO_PAGES)), isLoading: true, fault: "" }));
    try {
      const page = await loadPage({ ...filters, cursor });
      if (current.current !== name) return;
      setState((/** @type {Pages} */ before) => joined(before, page, cursor !== null));
    } catch (error) {
      if (current.current !== name) return;
      setState((/** @type {Pages} */ before) => ({ ...before, isLoading: false, fault: messageOf(error) }));
    }
  };
  useEffect(() => {
    load(null);
  }, [name]);
  useEffect(() => {
    if (!state.isLoading && !state.fault && current.current === name) leave(name, state);
  }, [state]);
  const more = () => load(state.fault ? asked.current : state.next);
  useReconnected(state.fault !== "", more);
  return { ...state, more };
}

/** @param {string} value @param {number} milliseconds */
function useSettled(value, milliseconds) {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

export function GalleryView() {
  const [{ search, model }, keep] = useDraft("gallery", { search: "", model: "" });
  const q = useSettled(search.trim(), TYPING_MS);
  const names = (useValue(models) ?? []).map(({ model_id: id }) => id);
  if (model && !names.includes(model)) names.push(model);
  const all = useValue(jobs);
  const pages = usePages({ kind: "GenerateJob", status: ["Succeeded", "Failed"], q, model_id: model });
  const shown = useMemo(() => picturesOf(all, pages, q, model), [all, pages.ids, pages.next, pages.isLoading, q, model]);
  return html`<header class="view-head">
      <div><h1>Gallery</h1></div>
      <div class="filters">
        <input
          type="search" aria-label="Search the prompts" placeholder="Search prompts" value=${search}
          onInput=${(/** @type {Event} */ event) => keep({ search: /** @type {HTMLInputElement} */ (event.currentTarget).value })}
        />
        <select aria-label="Model" onChange=${(/** @type {Event} */ event) => keep({ model: /** @type {HTMLSelectElement} */ (event.currentTarget).value })}>
          <option value="">All models</option>
          ${names.map((id) => html`<option key=${id} value=${id} selected=${id === model}>${id}</option>`)}
        </select>
      </div>
    </header>
    <ul class="grid gallery" aria-busy=${pages.isLoading ? "true" : "false"}>
      ${shown.map(({ job, artifact }, index) => html`<${Tile} key=${artifact.name} job=${job} artifact=${artifact} onOpen=${() => openPicture(shown, index)} />`)}
      ${pages.isLoading && Array.from({ length: 8 }, (_, index) => html`<li key=${`wait-${index}`} class="tile"><div class="picture skeleton"></div></li>`)}
    </ul>
    ${!pages.isLoading && shown.length === 0 && !pages.next && !pages.fault && html`<${Empty} isFiltered=${q !== "" || model !== ""} />`}
    <${More} pages=${pages} />`;
}

/**
 * @param {Map<string, Job>} all @param {Pages} pages
 * @param {string} q @param {string} model
 */
export function picturesOf(all, pages, q, model) {
  const listed = new Set(pages.ids);
  const words = q.toLowerCase();
  const newest = [...all.values()].filter(
    (job) =>
      job.kind === "GenerateJob" &&
      !job.deleting &&
      (!isFinished(job) || listed.has(job.id) || isReached(job, pages)) &&
      job.prompt.toLowerCase().includes(words) &&
      (!model || job.model_id === model),
  );
  newest.sort((one, other) => other.created.localeCompare(one.created));
  return newest.flatMap((job) => [...artifacts(job, "video"), ...artifacts(job, "image")].map((artifact) => ({ job, artifact })));
}

/**
 * Whether a finished job that no page has named belongs between those that are shown: it has finished meanwhile. The
 * older ones come with their page, so that none appears in a gap.
 *
 * @param {Job} job @param {Pages} pages
 */
function isReached(job, { oldest, next, isLoading, fault }) {
  if (oldest && job.created >= oldest) return true;
  return next === null && !isLoading && !fault;
}

/** @param {{job: Job, artifact: import("../types.js").Artifact}[]} shown @param {number} index */
function openPicture(shown, index) {
  openLightbox(shown.map(({ job, artifact }) => ({ job, artifact, fresh: () => freshArtifact(job, artifact) })), index);
}

/** @param {{job: Job, artifact: import("../types.js").Artifact, onOpen: () => void}} properties */
function Tile({ job, artifact, onOpen }) {
  const label = artifact.seed === null ? job.prompt : `${job.prompt}, seed ${artifact.seed}`;
  return html`<li class="tile">
    ${artifact.role === "video"
      ? html`<${ClipTile} job=${job} video=${artifact} label=${`Open the clip: ${label}`} onOpen=${onOpen} />`
      : html`<button type="button" class="picture" aria-label=${`Open: ${label}`} onClick=${onOpen}>
          <img src=${artifact.url} alt=${job.prompt} loading="lazy" decoding="async" onError=${() => refreshLinks(job, artifact)} />
        </button>`}
    <div class="tile-foot">
      <p class="tile-prompt" title=${job.prompt}>${job.prompt}</p>
      <div class="tile-actions">
        <${BusyButton} class="icon-button" title="Again with another seed" aria-label=${`Again with another seed: ${label}`} act=${() => again(job)}>
          <${Icon} name="again" />
        <//>
        <${Download} class="icon-button" file=${artifact} fresh=${() => freshArtifact(job, artifact)} title="Download" aria-label=${`Download: ${label}`}>
          <${Icon} name="download" />
        <//>
        <button type="button" class="icon-button" title="Delete" aria-label=${`Delete: ${label}`} onClick=${() => askToDelete(job)}>
          <${Icon} name="trash" />
        </button>
      </div>
    </div>
    <p class="muted small">
      <${State} job=${job} />${artifact.seed === null ? "Clip" : `Seed ${artifact.seed}`} · ${job.model_id ?? "Base model"}
    </p>
  </li>`;
}

/** That a job still makes other pictures, or its clip, or has failed before. @param {{job: Job}} properties */
function State({ job }) {
  if (job.status === "Succeeded") return null;
  return job.status === "Running" ? html`<span class="chip running">More to come</span> ` : html`<${StatusChip} job=${job} /> `;
}

/** @param {{isFiltered: boolean}} properties */
function Empty({ isFiltered }) {
  if (isFiltered) return html`<div class="empty"><p>No picture matches.</p></div>`;
  return html`<div class="empty">
    <${Icon} name="gallery" size=${32} />
    <p>Nothing here yet.</p>
    <button type="button" class="button primary" onClick=${() => go("generate")}>Make the first picture</button>
    <p class="small muted">or <a href=${to("train")}>train a model</a> on your own photos</p>
  </div>`;
}

/** Loads the next page when it comes into view, and by a button; after a failure only by the button. @param {{pages: ReturnType<typeof usePages>}} properties */
export function More({ pages }) {
  const mark = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    if (!mark.current || !pages.next || pages.isLoading || pages.fault) return undefined;
    const watch = new IntersectionObserver(([entry]) => entry.isIntersecting && pages.more(), { rootMargin: "600px" });
    watch.observe(mark.current);
    return () => watch.disconnect();
  }, [pages.next, pages.isLoading, pages.fault]);
  if (!pages.next && !pages.fault) return null;
  return html`${pages.fault && html`<div class="notice error" role="alert"><p>${pages.fault}</p></div>`}
    <p class="more" ref=${mark}>
      <button type="button" class="button" disabled=${pages.isLoading} onClick=${pages.more}>${pages.fault ? "Try again" : "Show more"}</button>
    </p>`;
}
