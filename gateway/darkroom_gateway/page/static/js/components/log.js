/** The log of a run, followed while it is open. */

import { messageOf } from "../api.js";
import { jobs, openLog } from "../jobs.js";
import { isPaused } from "../live.js";
import { html, useEffect, useRef, useState, useValue } from "../ui.js";

const MAX_CHARACTERS = 200_000;
const AGAIN_MS = 1500;

/** @param {{id: string, run: string}} properties `run` changes when another run begins. */
export function Log({ id, run }) {
  const [isOpen, setOpen] = useState(false);
  return html`<details class="card log" onToggle=${(/** @type {Event} */ event) => setOpen(/** @type {HTMLDetailsElement} */ (event.currentTarget).open)}>
    <summary>Log</summary>
    ${isOpen && html`<${LogText} key=${run} id=${id} />`}
  </details>`;
}

/** @param {{id: string}} properties */
function LogText({ id }) {
  const [text, setText] = useState("");
  const [fault, setFault] = useState("");
  const paused = useValue(isPaused);
  /** Characters that were read. */
  const length = useRef(0);
  const box = useRef(/** @type {HTMLPreElement | null} */ (null));
  useEffect(() => {
    if (paused) return undefined;
    const abort = new AbortController();
    /** @param {string} part */
    const add = (part) => {
      length.current += part.length;
      setText((/** @type {string} */ before) => (before + part).slice(-MAX_CHARACTERS));
    };
    setFault("");
    followLog(id, abort.signal, () => length.current, add).catch((error) => {
      if (!abort.signal.aborted) setFault(messageOf(error));
    });
    return () => abort.abort();
  }, [id, paused]);
  useEffect(() => {
    const element = box.current;
    // Follow the end, unless somebody scrolled up to read.
    if (element && element.scrollHeight - element.scrollTop - element.clientHeight < 200) element.scrollTop = element.scrollHeight;
  }, [text]);
  return html`<pre ref=${box} tabindex="0" aria-label="Log of the run">${text || (fault ? "" : "Waiting for the first lines …")}</pre>
    ${fault && html`<p class="muted small">${fault}</p>`}`;
}

/**
 * Read a log until its run ends. The gateway or a proxy may end the answer before: then it is read again.
 *
 * @param {string} id @param {AbortSignal} abort
 * @param {() => number} length Of what was read before, which is left out.
 * @param {(part: string) => void} onText
 */
export async function followLog(id, abort, length, onText) {
  for (;;) {
    await read(id, abort, length(), onText);
    const status = jobs.peek().get(id)?.status;
    if (abort.aborted || (status !== "Running" && status !== "Starting")) return;
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    if (abort.aborted) return;
  }
}

/** @param {string} id @param {AbortSignal} abort @param {number} skipped Characters @param {(part: string) => void} onText */
async function read(id, abort, skipped, onText) {
  const response = await openLog(id, abort);
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let left = skipped;
  for (;;) {
    // A broken connection is an end like any other.
    const part = await reader?.read().catch(() => null);
    if (!part || part.done) return;
    const text = part.value.slice(left);
    left = Math.max(0, left - part.value.length);
    if (text) onText(text);
  }
}
