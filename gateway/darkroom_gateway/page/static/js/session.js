/** The connection to the gateway: one stream of all jobs, paused while the page is hidden. */

import { Problem } from "./api.js";
import { say } from "./components/toasts.js";
import { apiKey, keyEntries } from "./key.js";
import { forgetJobs, handleEvent, jobs, loadUnfinished } from "./jobs.js";
import { pauseFollowing } from "./live.js";
import { forgetModels, loadModels } from "./models.js";
import { Stream } from "./stream.js";
import { batch, effect, signal } from "./ui.js";

/** Browsers allow six connections to a host over HTTP/1.1: hidden tabs must not hold them. */
const HIDDEN_MS = 20_000;

export const connection = signal(/** @type {"connecting" | "open" | "lost" | "refused"} */ ("connecting"));

/** What a source of the gateway lacks, such as live progress while Redis is away. */
export const gatewayWarning = signal("");

const stream = new Stream("v1/events", {
  // Only another key changes this. Everything else passes, such as a 404 while a proxy has no gateway.
  final: new Set([401]),
  onOpen(resumed) {
    if (connection.peek() === "lost") say("Connected again.");
    connection.value = "open";
    gatewayWarning.value = "";
    if (!resumed) reload();
  },
  onEvent(event, data) {
    if (event === "reset") reload();
    else if (event === "warning") gatewayWarning.value = data.detail ?? "";
    else {
      if (event === "job" && isNewModel(data)) loadModels().catch(() => {});
      handleEvent(event, data);
    }
  },
  onLost(error) {
    connection.value = error instanceof Problem && error.status === 401 ? "refused" : "lost";
  },
});

/** @param {import("./types.js").Job} job */
function isNewModel(job) {
  return job.kind === "TrainJob" && job.status === "Succeeded" && jobs.peek().get(job.id)?.status !== "Succeeded";
}

function reload() {
  // Failures show as a lost connection: the stream reports them too.
  loadUnfinished().catch(() => {});
  loadModels().catch(() => {});
}

export function reconnect() {
  stream.retryNow();
}

/** The key with which the gateway has answered. */
let shownWith = apiKey.peek();

let timer = 0;

/** Disconnect a while after the page was hidden, unless it is shown again. */
function stopWhenHidden() {
  clearTimeout(timer);
  if (!document.hidden) return;
  timer = setTimeout(() => {
    stream.stop();
    pauseFollowing(true);
  }, HIDDEN_MS);
}

export function start() {
  effect(() => {
    keyEntries.value;
    connection.value = "connecting";
    // Who forgets the key, or enters another one, no longer sees what the old one showed.
    if (apiKey.peek() !== shownWith) {
      shownWith = apiKey.peek();
      batch(() => {
        forgetJobs();
        forgetModels();
      });
    }
    stream.restart();
    stopWhenHidden();
  });
  document.addEventListener("visibilitychange", () => {
    stopWhenHidden();
    if (document.hidden) return;
    stream.start();
    pauseFollowing(false);
  });
  addEventListener("online", reconnect);
}
