/** The API key, the theme, and where the API is documented. */

import { ROOT } from "../api.js";
import { KeyForm } from "../components/key_dialog.js";
import { Segmented } from "../components/fields.js";
import { apiKey, masked, setKey } from "../key.js";
import { setTheme, theme } from "../theme.js";
import { html, useState, useValue } from "../ui.js";

export function SettingsView() {
  const key = useValue(apiKey);
  const chosen = useValue(theme);
  const [isChanging, setChanging] = useState(false);
  return html`<header class="view-head"><div><h1>Settings</h1></div></header>
    <div class="form-column narrow">
      <section class="card" aria-label="API key">
        <h2>API key</h2>
        ${key && !isChanging
          ? html`<p class="key"><code>${masked(key)}</code></p>
              <div class="actions">
                <button type="button" class="button" onClick=${() => setChanging(true)}>Change</button>
                <button type="button" class="button danger-text" onClick=${() => setKey("")}>Forget it</button>
              </div>`
          : html`<p class="muted small">It stays in this browser, and is sent to this gateway only. A gateway on your own machine needs none.</p>
              <${KeyForm} onDone=${() => setChanging(false)} />`}
      </section>
      <section class="card" aria-label="Appearance">
        <h2>Appearance</h2>
        <${Segmented}
          name="theme" label="Theme" value=${chosen} onInput=${setTheme}
          options=${[["system", "System"], ["light", "Light"], ["dark", "Dark"]]}
        />
      </section>
      <section class="card" aria-label="For programs">
        <h2>For programs</h2>
        <p class="muted small">Everything on this page is done with the API, which documents itself.</p>
        <p><a href=${new URL("docs", ROOT).href}>API documentation</a></p>
      </section>
    </div>`;
}
