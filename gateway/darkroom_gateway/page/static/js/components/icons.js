/** Line icons, drawn on a grid of 24. */

import { html } from "../ui.js";

/** @type {Record<string, string[]>} */
const PATHS = {
  train: ["M4 7h3l2-3h6l2 3h3a1 1 0 0 1 1 1v11a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V8a1 1 0 0 1 1-1z", "M12 17a4 4 0 1 0 0-8 4 4 0 0 0 0 8z"],
  generate: ["M12 3l1.8 5.2L19 10l-5.2 1.8L12 17l-1.8-5.2L5 10l5.2-1.8z", "M19 16v4M17 18h4M5 3v3M3.5 4.5h3"],
  gallery: ["M4 4h16v16H4z", "M4 16l4.5-4.5L13 16l2.5-2.5L20 18", "M15.5 9.5h.01"],
  queue: ["M8 6h12M8 12h12M8 18h12", "M4 6h.01M4 12h.01M4 18h.01"],
  models: ["M12 3l8 4.5v9L12 21l-8-4.5v-9z", "M12 12l8-4.5M12 12v9M12 12L4 7.5"],
  settings: ["M4 7h9M17 7h3M4 17h3M11 17h9", "M15 9a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM9 19a2 2 0 1 0 0-4 2 2 0 0 0 0 4z"],
  up: ["M12 19V5M6 11l6-6 6 6"],
  down: ["M12 5v14M6 13l6 6 6-6"],
  left: ["M15 5l-7 7 7 7"],
  right: ["M9 5l7 7-7 7"],
  close: ["M6 6l12 12M18 6L6 18"],
  plus: ["M12 5v14M5 12h14"],
  pause: ["M8 5v14M16 5v14"],
  play: ["M7 4.5v15l12-7.5z"],
  again: ["M20 11a8 8 0 1 0-2.3 6.3", "M20 5v6h-6"],
  download: ["M12 4v11M7 10.5l5 5 5-5", "M4 20h16"],
  trash: ["M4 7h16M10 11v6M14 11v6M6 7l1 13h10l1-13M9 7V4h6v3"],
  upload: ["M12 16V4M7 8.5l5-5 5 5", "M4 16v4h16v-4"],
  check: ["M5 12.5l4.5 4.5L19 7.5"],
  alert: ["M12 8v5M12 16.5h.01", "M12 3l9.5 17h-19z"],
  film: ["M4 4h16v16H4z", "M8 4v16M16 4v16M4 9h4M4 15h4M16 9h4M16 15h4"],
  copy: ["M9 9h11v11H9z", "M5 15H4V4h11v1"],
  pen: ["M4 20l1-4L16.5 4.5l3 3L8 19z"],
  search: ["M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM20 20l-4-4"],
};

/** @param {{name: string, size?: number}} properties */
export function Icon({ name, size = 18 }) {
  return html`<svg
    class="icon"
    width=${size}
    height=${size}
    viewBox="0 0 24 24"
    fill="none"
    stroke="currentColor"
    stroke-width="1.6"
    stroke-linecap="round"
    stroke-linejoin="round"
    aria-hidden="true"
  >
    ${PATHS[name].map((path) => html`<path d=${path} />`)}
  </svg>`;
}
