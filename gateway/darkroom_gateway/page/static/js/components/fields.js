/** Labelled form fields. An error takes the place of the hint, and is announced with the field. */

import { keyboardFor } from "../numbers.js";
import { html } from "../ui.js";

/**
 * @typedef {object} FieldProperties
 * @property {string} id
 * @property {string} label
 * @property {string} [hint]
 * @property {string} [error]
 * @property {any} children A control with the same id.
 *
 * @param {FieldProperties} properties
 */
export function Field({ id, label, hint, error, children }) {
  return html`<div class=${error ? "field invalid" : "field"}>
    <label for=${id}>${label}</label>
    ${children}
    ${error
      ? html`<p id=${`${id}-hint`} class="field-error">${error}</p>`
      : hint && html`<p id=${`${id}-hint`} class="hint">${hint}</p>`}
  </div>`;
}

/**
 * @typedef {object} TextProperties
 * @property {string} id
 * @property {string} label
 * @property {string | number} value
 * @property {(value: string) => void} onInput
 * @property {string} [hint]
 * @property {string} [error]
 * @property {string} [type]
 * @property {import("../numbers.js").Bounds} [bounds] Of a number. The field takes any text: one of the type `number`
 *   has none where it can't be read as one, and nobody could say what is wrong with it.
 * @property {string[]} [suggestions] What may be meant.
 * @property {number} [rows] More than one: a text area.
 * @property {string} [placeholder]
 * @property {number} [maxLength]
 * @property {boolean} [required]
 * @property {string} [autocomplete]
 *
 * @param {TextProperties} properties
 */
export function TextField({ id, label, hint, error, value, onInput, type = "text", rows = 1, autocomplete = "off", bounds, suggestions = [], ...rest }) {
  const shared = {
    id,
    name: id,
    value,
    autocomplete,
    inputmode: bounds && keyboardFor(bounds),
    list: suggestions.length > 0 ? `${id}-list` : undefined,
    "aria-invalid": error ? "true" : undefined,
    "aria-describedby": hint || error ? `${id}-hint` : undefined,
    onInput: (/** @type {Event} */ event) => {
      const text = /** @type {HTMLInputElement} */ (event.currentTarget).value;
      onInput(bounds ? text.trim() : text);
    },
    ...rest,
  };
  return html`<${Field} id=${id} label=${label} hint=${hint} error=${error}>
    ${rows > 1 ? html`<textarea rows=${rows} ...${shared}></textarea>` : html`<input type=${type} ...${shared} />`}
    ${suggestions.length > 0 && html`<datalist id=${`${id}-list`}>${suggestions.map((each) => html`<option value=${each}></option>`)}</datalist>`}
  <//>`;
}

/**
 * @param {{id: string, label: string, value: string, onInput: (value: string) => void, hint?: string, error?: string,
 *   options: [value: string, name: string][]}} properties
 */
export function Select({ id, label, value, onInput, hint, error, options }) {
  return html`<${Field} id=${id} label=${label} hint=${hint} error=${error}>
    <select
      id=${id}
      name=${id}
      value=${value}
      aria-invalid=${error ? "true" : undefined}
      aria-describedby=${hint || error ? `${id}-hint` : undefined}
      onChange=${(/** @type {Event} */ event) => onInput(/** @type {HTMLSelectElement} */ (event.currentTarget).value)}
    >
      ${options.map(([each, name]) => html`<option key=${each} value=${each} selected=${each === value}>${name}</option>`)}
    </select>
  <//>`;
}

/** @param {{id: string, label: string, checked: boolean, onInput: (checked: boolean) => void, hint?: string}} properties */
export function Toggle({ id, label, checked, onInput, hint }) {
  return html`<div class="field toggle">
    <input
      id=${id}
      name=${id}
      type="checkbox"
      role="switch"
      checked=${checked}
      aria-describedby=${hint ? `${id}-hint` : undefined}
      onChange=${(/** @type {Event} */ event) => onInput(/** @type {HTMLInputElement} */ (event.currentTarget).checked)}
    />
    <label for=${id}>${label}</label>
    ${hint && html`<p id=${`${id}-hint`} class="hint">${hint}</p>`}
  </div>`;
}

/**
 * One of a few choices, as a row of radio buttons.
 *
 * @param {{name: string, label: string, value: string, onInput: (value: string) => void, hint?: string,
 *   options: [value: string, name: string][]}} properties
 */
export function Segmented({ name, label, value, onInput, hint, options }) {
  return html`<fieldset class="field segmented-field">
    <legend>${label}</legend>
    <div class="segmented">
      ${options.map(
        ([each, text]) => html`<label key=${each}>
          <input
            type="radio"
            class="visually-hidden"
            name=${name}
            value=${each}
            checked=${each === value}
            onChange=${() => onInput(each)}
          />
          <span>${text}</span>
        </label>`,
      )}
    </div>
    ${hint && html`<p class="hint">${hint}</p>`}
  </fieldset>`;
}

/** @param {{id: string, label: string, value: number, min: number, max: number, step: number, onInput: (value: number) => void, hint?: string}} properties */
export function Slider({ id, label, value, min, max, step, onInput, hint }) {
  return html`<div class="field">
    <div class="slider-head"><label for=${id}>${label}</label><output for=${id}>${value}</output></div>
    <input
      id=${id}
      name=${id}
      type="range"
      min=${min}
      max=${max}
      step=${step}
      value=${value}
      aria-describedby=${hint ? `${id}-hint` : undefined}
      onInput=${(/** @type {Event} */ event) => onInput(Number(/** @type {HTMLInputElement} */ (event.currentTarget).value))}
    />
    ${hint && html`<p id=${`${id}-hint`} class="hint">${hint}</p>`}
  </div>`;
}

/** What the gateway refused, where no field shows it. @param {{title: string, messages: string[]}} properties */
export function FormErrors({ title, messages }) {
  if (!title && messages.length === 0) return null;
  return html`<div class="notice error" role="alert">
    <p>${title}</p>
    ${messages.length > 0 && html`<ul>${messages.map((message) => html`<li>${message}</li>`)}</ul>`}
  </div>`;
}
