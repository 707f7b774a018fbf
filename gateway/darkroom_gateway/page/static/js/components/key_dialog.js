/** Asks for the API key when the gateway wants one. */

import { Problem, messageOf, tryKey } from "../api.js";
import { apiKey, dismissKey, keyWanted, setKey } from "../key.js";
import { html, useState, useValue } from "../ui.js";
import { Dialog } from "./dialogs.js";
import { TextField } from "./fields.js";

/** @param {{onDone: () => void}} properties */
export function KeyForm({ onDone }) {
  const [key, setText] = useState("");
  const [fault, setFault] = useState("");
  const [isBusy, setBusy] = useState(false);
  /** @param {string} text */
  const change = (text) => {
    setText(text);
    setFault("");
  };
  /** @param {Event} event */
  const save = async (event) => {
    event.preventDefault();
    setBusy(true);
    setFault("");
    try {
      await tryKey(key.trim());
      setKey(key.trim());
      onDone();
    } catch (error) {
      const isUnknown = error instanceof Problem && error.status === 401;
      setFault(isUnknown ? "The gateway does not know this key. Check it for missing letters." : messageOf(error));
    } finally {
      setBusy(false);
    }
  };
  return html`<form onSubmit=${save}>
    <${TextField} id="api-key" label="API key" type="password" required value=${key} error=${fault} onInput=${change} autocomplete="current-password" />
    <div class="actions end"><button type="submit" class="button primary" disabled=${isBusy || !key.trim()}>${isBusy ? "Trying it …" : "Use this key"}</button></div>
  </form>`;
}

export function KeyDialog() {
  const isWanted = useValue(keyWanted);
  const [isOpen, setOpen] = useState(false);
  if (isWanted && !isOpen) setOpen(true);
  if (!isOpen) return null;
  const close = () => {
    setOpen(false);
    if (keyWanted.peek()) dismissKey();
  };
  // A stored key was accepted before.
  const [title, text] = apiKey.peek()
    ? ["Another API key, please", "The gateway no longer accepts the one in this browser. Your jobs and what you wrote are still there."]
    : ["Welcome to Darkroom", "This gateway is protected. Paste the API key that you were given: it stays in this browser."];
  return html`<${Dialog} label="API key" onClose=${close} kind="dialog-small">
    <h2>${title}</h2>
    <p class="muted">${text}</p>
    <${KeyForm} onDone=${close} />
    <p class="small muted">No key? Ask the person who runs this gateway.</p>
  <//>`;
}
