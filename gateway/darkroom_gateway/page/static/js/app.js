/** The shell: navigation, the running job, the state of the connection, and the view of the current address. */

import { ConfirmDialog } from "./components/dialogs.js";
import { ignoreStrayDrops } from "./components/drop_zone.js";
import { Icon } from "./components/icons.js";
import { keepFocus } from "./components/kept_focus.js";
import { KeyDialog } from "./components/key_dialog.js";
import { Lightbox } from "./components/lightbox.js";
import { markMissingPictures } from "./components/missing_pictures.js";
import { NowRunning } from "./components/now_running.js";
import { Toasts } from "./components/toasts.js";
import { unfinished } from "./jobs.js";
import { restorePhotos } from "./photos.js";
import { route, scrollOfEntry, section, to } from "./router.js";
import { connection, gatewayWarning, reconnect } from "./session.js";
import { apiKey, askForKey, keyAnswers, keyEntries } from "./key.js";
import { restoreStartFiles } from "./start_files.js";
import { html, useEffect, useLayoutEffect, useRef, useValue } from "./ui.js";
import { GalleryView } from "./views/gallery.js";
import { GenerateView } from "./views/generate.js";
import { JobView } from "./views/job.js";
import { ModelView } from "./views/model.js";
import { ModelsView } from "./views/models.js";
import { QueueView } from "./views/queue.js";
import { SettingsView } from "./views/settings.js";
import { TrainView } from "./views/train.js";

const ICON = new URL("../icon.svg", import.meta.url).href;

/** @type {[view: string, name: string][]} */
const NAVIGATION = [
  ["train", "Train"],
  ["generate", "Generate"],
  ["gallery", "Gallery"],
  ["queue", "Queue"],
  ["models", "Models"],
  ["settings", "Settings"],
];

/** @type {Record<string, (properties: {id: string}) => any>} */
const VIEWS = {
  train: TrainView,
  generate: GenerateView,
  gallery: GalleryView,
  queue: QueueView,
  jobs: JobView,
  models: ({ id }) => (id ? html`<${ModelView} id=${id} />` : html`<${ModelsView} />`),
  settings: SettingsView,
};

ignoreStrayDrops();
keepFocus();
restorePhotos();
restoreStartFiles();
markMissingPictures();
document.querySelector(".skip")?.addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("main")?.focus();
});

export function App() {
  const { view, id } = useValue(route);
  /** With another key the gateway may show something else: the view starts again. */
  const entry = useValue(keyEntries);
  const main = useRef(/** @type {HTMLElement | null} */ (null));
  const isFirst = useRef(true);
  const View = VIEWS[view] ?? NotFound;
  useEffect(() => {
    const name = NAVIGATION.find(([each]) => each === view)?.[1] ?? (view === "jobs" ? "Job" : "Darkroom");
    document.title = id && view !== "generate" ? `${id} · Darkroom` : `${name} · Darkroom`;
  }, [view, id]);
  useLayoutEffect(() => {
    // A screen reader continues with the new view; the first one is read from the top anyway.
    if (!isFirst.current) {
      main.current?.focus({ preventScroll: true });
      scrollTo(0, scrollOfEntry());
    }
    isFirst.current = false;
  }, [view, view === "generate" ? "" : id]);
  return html`<div class="shell">
      <header class="side">
        <a class="brand" href=${to("train")}><img src=${ICON} alt="" width="28" height="28" /><span>Darkroom</span></a>
        <${Navigation} view=${view} />
        <${NowRunning} />
      </header>
      <main id="main" ref=${main} tabindex="-1">
        <${Banner} />
        <${View} key=${`${view} ${entry}`} id=${id} />
      </main>
    </div>
    <${Lightbox} />
    <${ConfirmDialog} />
    <${KeyDialog} />
    <${Toasts} />`;
}

/** @param {{view: string}} properties */
function Navigation({ view }) {
  const waiting = useValue(unfinished).length;
  const origin = useValue(section);
  /** @param {string} each */
  const current = (each) => (each === view ? "page" : view === "jobs" && each === origin ? "true" : undefined);
  return html`<nav aria-label="Main">
    <ul>
      ${NAVIGATION.map(
        ([each, name]) => html`<li key=${each}>
          <a href=${to(each)} class="nav-link" aria-current=${current(each)}>
            <${Icon} name=${each} size=${20} /><span>${name}</span>
            ${each === "queue" && waiting > 0 && html`<span class="count"><span class="visually-hidden">with</span> ${waiting}<span class="visually-hidden"> unfinished jobs</span></span>`}
          </a>
        </li>`,
      )}
    </ul>
  </nav>`;
}

function Banner() {
  const state = useValue(connection);
  const warning = useValue(gatewayWarning);
  const hasKey = useValue(apiKey) !== "";
  if (state === "lost") {
    return html`<div class="banner" role="alert">
      <p><strong>Connection lost.</strong> Your jobs continue. Trying to reconnect …</p>
      <button type="button" class="button small-button" onClick=${reconnect}>Try now</button>
    </div>`;
  }
  if (state === "refused") {
    return html`<div class="banner" role="alert">
      <p>${hasKey ? "The gateway no longer accepts your API key." : "This gateway needs an API key."}</p>
      <button type="button" class="button small-button" onClick=${() => askForKey(keyAnswers)}>Enter the key</button>
    </div>`;
  }
  return warning ? html`<div class="banner" role="status"><p>${warning}</p></div>` : null;
}

function NotFound() {
  return html`<h1>Not found</h1><p class="muted">There is no such page. <a href=${to("train")}>Start here</a>.</p>`;
}
