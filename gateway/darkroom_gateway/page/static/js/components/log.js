/** The log of a run, followed while it is open. */

import { messageOf } from "../api.js";
import { openLog } from "../jobs.js";
import { html, useEffect, useRef, useState } from "../ui.js";

const MAX_CHARACTERS = 200_000;

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
  const box = useRef(/** @type {HTMLPreElement | null} */ (null));
  useEffect(() => {
    const abort = new AbortController();
    read(id, abort.signal, (part) => setText((/** @type {string} */ before) => (before + part).slice(-MAX_CHARACTERS))).catch(
      (error) => {
        if (!abort.signal.aborted) setFault(messageOf(error));
      },
    );
    return () => abort.abort();
  }, [id]);
  useEffect(() => {
    const element = box.current;
    // Follow the end, unless somebody scrolled up to read.
    if (element && element.scrollHeight - element.scrollTop - element.clientHeight < 200) element.scrollTop = element.scrollHeight;
  }, [text]);
  return html`<pre ref=${box} tabindex="0" aria-label="Log of the run">${text || (fault ? "" : "Waiting for the first lines …")}</pre>
    ${fault && html`<p class="muted small">${fault}</p>`}`;
}

/** @param {string} id @param {AbortSignal} abort @param {(part: string) => void} onText */
async function read(id, abort, onText) {
  const response = await openLog(id, abort);
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const part = await reader?.read();
    if (!part || part.done) return;
    onText(part.value);
  }
}
