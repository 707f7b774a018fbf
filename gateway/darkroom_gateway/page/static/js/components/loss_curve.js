/** The loss of a training over its steps, drawn by uPlot, which is loaded when the first curve is shown. */

import { stageName } from "../format.js";
import { liveOf } from "../live.js";
import { html, useEffect, useRef, useState, useValue } from "../ui.js";
import { theme } from "../theme.js";
import { useProgress } from "./job_status.js";

const HEIGHT_PX = 220;
const SMOOTHING = 0.9;

/** @param {number[]} values @returns {number[]} Their exponential moving average, without bias at the start. */
export function smoothed(values) {
  let average = 0;
  let weight = 0;
  return values.map((value) => {
    average = average * SMOOTHING + value * (1 - SMOOTHING);
    weight = weight * SMOOTHING + (1 - SMOOTHING);
    return average / weight;
  });
}

/**
 * Columns for uPlot: steps, loss, smoothed loss, held-out loss.
 *
 * @param {Map<number, number>} loss @param {Map<number, number>} heldOut
 * @returns {[number[], ...(number | null)[][]]}
 */
export function columnsOf(loss, heldOut) {
  const steps = [...new Set([...loss.keys(), ...heldOut.keys()])].sort((one, other) => one - other);
  const trained = steps.filter((step) => loss.has(step));
  const smooth = new Map(smoothed(trained.map((step) => loss.get(step) ?? 0)).map((value, index) => [trained[index], value]));
  const column = (/** @type {Map<number, number>} */ values) => steps.map((step) => values.get(step) ?? null);
  return [steps, column(loss), column(smooth), column(heldOut)];
}

/**
 * The value of a colour of base.css in the theme that is shown: a canvas knows no custom properties. Read from a new
 * element, since one that is shown changes its colour in a transition.
 *
 * @param {HTMLElement} place @param {string} name
 */
export function colorOf(place, name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  place.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/**
 * @param {number} total @param {boolean} hasHeldOut @param {HTMLElement} element
 * @returns {import("../../vendor/uPlot.js").default.Options}
 */
function options(total, hasHeldOut, element) {
  const color = (/** @type {string} */ name) => colorOf(element, name);
  const axis = { stroke: color("--muted"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  // A line needs two points: the first one is drawn as a dot.
  const points = { show: (/** @type {any} */ plot) => plot.data[0].length === 1, size: 7 };
  return {
    width: element.clientWidth,
    height: HEIGHT_PX,
    padding: [12, 12, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 6 } },
    scales: { x: { time: false, range: () => [0, Math.max(total, 1)] } },
    axes: [{ ...axis, size: 28, grid: { show: false } }, { ...axis, size: 52 }],
    series: [
      { label: "Step" },
      { label: "Loss", stroke: color("--curve-faint"), width: 1, points: { show: false } },
      { label: "Smoothed", stroke: color("--accent"), width: 2, points },
      { label: "Held-out loss", stroke: color("--ink"), width: 1.5, dash: [4, 4], show: hasHeldOut, spanGaps: true },
    ],
  };
}

/** @param {{job: import("../types.js").Job}} properties */
export function LossCurve({ job }) {
  const { id } = job;
  const total = job.spec.maxSteps ?? 500;
  const { loss, heldOutLoss } = useValue(liveOf(id));
  const isEmpty = loss.size === 0;
  const chosen = useValue(theme);
  const frame = useRef(/** @type {HTMLDivElement | null} */ (null));
  const chart = useRef(/** @type {any} */ (null));
  const [isReady, setReady] = useState(false);
  const hasHeldOut = heldOutLoss.size > 0;
  useEffect(() => {
    const element = frame.current;
    const library = import("../../vendor/uPlot.js");
    // Without data there is nothing to draw, but the library is there in time.
    if (isEmpty) library.catch(() => {});
    if (!element || isEmpty) return undefined;
    let isGone = false;
    const resize = new ResizeObserver(() => chart.current?.setSize({ width: element.clientWidth, height: HEIGHT_PX }));
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const redraw = async () => {
      const { default: Plot } = await library;
      if (isGone) return;
      chart.current?.destroy();
      chart.current = new Plot(options(total, hasHeldOut, element), columnsOf(loss, heldOutLoss), element);
      setReady(true);
    };
    redraw().then(() => resize.observe(element));
    scheme.addEventListener("change", redraw);
    return () => {
      isGone = true;
      resize.disconnect();
      scheme.removeEventListener("change", redraw);
      chart.current?.destroy();
      chart.current = null;
    };
  }, [id, total, isEmpty, hasHeldOut, chosen]);
  useEffect(() => {
    chart.current?.setData(columnsOf(loss, heldOutLoss));
  }, [loss.size, heldOutLoss.size, isReady]);
  const last = [...loss.values()].pop();
  const average = smoothed([...loss.values()]).pop();
  return html`<figure class=${isEmpty ? "curve not-begun" : "curve"}>
    <figcaption>
      <h2>Loss</h2>
      ${average !== undefined && html`<span class="muted">${average.toFixed(4)} <span class="quiet">smoothed</span></span>`}
    </figcaption>
    <div
      ref=${frame}
      class="plot"
      role="img"
      aria-label=${last === undefined ? "Loss curve: no steps yet" : `Loss curve: ${last.toFixed(4)} after ${loss.size} reports`}
    >
    </div>
    ${isEmpty && html`<${Waiting} job=${job} />`}
  </figure>`;
}

/** What happens before the first step. @param {{job: import("../types.js").Job}} properties */
function Waiting({ job }) {
  const progress = useProgress(job);
  const stage = job.status === "Running" && progress ? stageName(progress.stage, job.kind) : "Starting";
  return html`<div class="plot-wait">
    <p>${stage} …</p>
    <p class="small muted">The curve begins with the first training step.</p>
  </div>`;
}
