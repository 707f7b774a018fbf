/** What is copied, or must not be broken: names for machines, prompts, seeds, dates. */

import { dateTime } from "../format.js";
import { html } from "../ui.js";
import { Icon } from "./icons.js";
import { say } from "./toasts.js";

/** Splits a name after its separators. @param {string} name @returns {string[]} */
export function partsOf(name) {
  return name.split(/(?<=[-_./@])(?=[^-_./@])/);
}

/** A name that may be broken between its parts. @param {{name: string}} properties */
export function Breakable({ name }) {
  return html`<span class="breakable">${partsOf(name).map((part, index) => html`${index > 0 && html`<wbr />`}${part}`)}</span>`;
}

/** A name with a button that copies it. @param {{name: string, what: string}} properties `what`: such as `name of the job`. */
export function Id({ name, what }) {
  return html`<span class="id">
    <code><${Breakable} name=${name} /></code>
    <${CopyButton} text=${name} what=${what} />
  </span>`;
}

/** @param {{text: string, what: string}} properties `what`: such as `prompt`. */
export function CopyButton({ text, what }) {
  const label = `Copy the ${what}`;
  return html`<button type="button" class="icon-button copy" title=${label} aria-label=${label} onClick=${() => copy(text)}><${Icon} name="copy" size=${16} /></button>`;
}

/** A date that stays in one line. @param {{time: string}} properties */
export function DateTime({ time }) {
  return html`<time class="date" datetime=${time}>${dateTime(time)}</time>`;
}

/** @param {string} text */
async function copy(text) {
  try {
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else copyByCommand(text);
    say("Copied.");
  } catch {
    say("The browser does not allow copying. Select the text instead.", true);
  }
}

/** Without a secure context, as at http://darkroom.lan, browsers have no clipboard but this. @param {string} text */
function copyByCommand(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  const focused = document.activeElement;
  // An open dialog makes everything else inert.
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.focus();
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  if (!isCopied) throw new Error("not copied");
}
