/** Starts the page: draws the shell, then connects. index.html loads it. */

import { App } from "./app.js";
import { html, render } from "./ui.js";
import { start } from "./session.js";

const root = document.getElementById("app");
if (root) {
  root.textContent = "";
  render(html`<${App} />`, root);
  start();
}
