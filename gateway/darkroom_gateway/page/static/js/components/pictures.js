/** The pictures and clips of a generation: each as soon as it is finished, and previews of the others. */

import { freshArtifact, isFinished, refreshLinks } from "../jobs.js";
import { liveOf } from "../live.js";
import { html, useRef, useValue } from "../ui.js";
import { Icon } from "./icons.js";
import { openLightbox } from "./lightbox.js";
import { isCalm } from "./motion.js";

/** @typedef {import("../types.js").Job} Job */

/** @param {Job} job @param {string} role @returns {import("../types.js").Artifact[]} */
export function artifacts(job, role) {
  return job.artifacts.filter((artifact) => artifact.role === role);
}

/** The sides of a picture, for its place on the page. @param {Job} job */
export function sidesOf(job) {
  const { width, height } = job.spec.images ?? {};
  return { width: width ?? height ?? 1, height: height ?? width ?? 1 };
}

/** @param {number} width @param {number} height */
function shapeOf(width, height) {
  return { aspectRatio: `${width} / ${height}`, "--ratio": width / height };
}

/** The seeds of the pictures that a job makes. @param {Job} job @returns {number[]} */
export function seedsOf(job) {
  const { count = 1, seed = 0 } = job.spec.images ?? {};
  return Array.from({ length: count }, (_, index) => seed + index);
}

/** The seed that a job begins with: of its first picture, or of its clip when it makes nothing else. @param {Job} job @returns {number} */
export function seedOf(job) {
  const { images, video } = job.spec;
  return (images?.count === 0 ? video?.seed : images?.seed) ?? 0;
}

/**
 * A picture that sharpens: the newest preview, blurred by what is missing.
 *
 * @param {{job: Job, seed: number, preview: import("../types.js").Preview | undefined}} properties
 */
function Sharpening({ job, seed, preview }) {
  const { width, height } = sidesOf(job);
  const style = shapeOf(width, height);
  if (!preview) return html`<div class="picture waiting" style=${style} aria-label=${`Picture with seed ${seed}, not begun`}></div>`;
  const total = job.spec.images?.steps ?? 30;
  const blur = Math.max(0, 1 - preview.step / total) * 10;
  return html`<div class="picture" style=${style}>
    <img
      src=${addressOf(preview)}
      alt=${`Preview after ${preview.step} of ${total} steps`}
      style=${{ filter: `blur(${blur.toFixed(1)}px)` }}
    />
  </div>`;
}

/** @param {import("../types.js").Preview} preview */
function addressOf(preview) {
  return `data:image/jpeg;base64,${preview.jpeg}`;
}

/** The last preview, until the finished picture is loaded. @param {import("../types.js").Preview | undefined} preview */
function behind(preview) {
  return preview ? { backgroundImage: `url(${addressOf(preview)})` } : {};
}

/** @param {{job: Job}} properties */
export function Pictures({ job }) {
  const { previews } = useValue(liveOf(job.id));
  const images = artifacts(job, "image");
  const videos = artifacts(job, "video");
  const finished = new Set(images.map(({ seed }) => seed));
  const pending = isFinished(job) ? [] : seedsOf(job).filter((seed) => !finished.has(seed));
  const { width, height } = sidesOf(job);
  const isOnly = images.length + pending.length <= 1;
  const layout = videos.length > 0 ? "with-clip" : isOnly ? "only" : "";
  return html`<div class=${`pictures ${layout}`}>
    ${videos.map((video) => html`<${Clip} key=${video.name} video=${video} job=${job} />`)}
    ${images.map(
      (image, index) => html`<button
        type="button"
        key=${image.name}
        class="picture"
        style=${{ ...shapeOf(width, height), ...behind(previews.get(image.seed ?? -1)) }}
        aria-label=${`Open the picture with seed ${image.seed}`}
        onClick=${() => openLightbox([...images, ...videos].map((each) => ({ job, artifact: each, fresh: () => freshArtifact(job, each) })), index)}
      >
        <img src=${image.url} alt=${job.prompt} decoding="async" onError=${() => refreshLinks(job, image)} />
      </button>`,
    )}
    ${pending.map((seed) => html`<${Sharpening} key=${seed} job=${job} seed=${seed} preview=${previews.get(seed)} />`)}
    ${!isFinished(job) && videos.length === 0 && seedsOf(job).length === 0 && html`<div class="picture waiting" style=${shapeOf(width, height)} aria-label="Clip, not finished"></div>`}
  </div>`;
}

/** A clip that plays by itself, with controls. @param {{job: Job, video: import("../types.js").Artifact}} properties */
export function Clip({ job, video }) {
  return html`<video
    class="picture"
    src=${video.url}
    poster=${posterOf(job)}
    onError=${() => refreshLinks(job, video)}
    controls
    loop
    muted
    playsinline
    preload="auto"
    autoplay=${!isCalm()}
    aria-label=${`Clip: ${job.prompt}`}
  ></video>`;
}

/** The picture that a clip begins with, where the job has made it. @param {Job} job */
export function posterOf(job) {
  return job.spec.video?.startImage ? undefined : artifacts(job, "image")[0]?.url;
}

/**
 * A clip in a grid: its first frame, moving under the mouse or the keyboard's focus. A click opens it.
 *
 * @param {{job: Job, video: import("../types.js").Artifact, label: string, onOpen: () => void}} properties
 */
export function ClipTile({ job, video, label, onOpen }) {
  const clip = useRef(/** @type {HTMLVideoElement | null} */ (null));
  const play = () => {
    if (!isCalm()) clip.current?.play().catch(() => {});
  };
  const rest = () => {
    if (!clip.current) return;
    clip.current.pause();
    clip.current.currentTime = 0;
  };
  return html`<button
    type="button" class="picture" aria-label=${label}
    onClick=${onOpen} onMouseEnter=${play} onMouseLeave=${rest} onFocus=${play} onBlur=${rest}
  >
    <video
      ref=${clip} src=${`${video.url}#t=0.001`} poster=${posterOf(job)} aria-hidden="true"
      loop muted playsinline preload="metadata" onError=${() => refreshLinks(job, video)}
    ></video>
    <span class="badges"><span><${Icon} name="play" size=${12} />Clip</span></span>
  </button>`;
}
