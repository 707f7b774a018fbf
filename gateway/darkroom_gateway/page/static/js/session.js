/** The connection to the gateway: one stream of all jobs, paused while the page is hidden. */

import { Problem } from "./api.js";
import { say } from "./components/toasts.js";
import { apiKey } from "./key.js";
import { handleEvent, jobs, loadUnfinished } from "./jobs.js";
import { pauseFollowing } from "./live.js";
import { loadModels } from "./models.js";
import { Stream } from "./stream.js";
import { effect, signal } from "./ui.js";

/** Browsers allow six connections to a host over HTTP/1.1: hidden tabs must not hold them. */
const HIDDEN_MS = 20_000;

export const connection = signal(/** @type {"connecting" | "open" | "lost" | "refused"} */ ("connecting"));

/** What a source of the gateway lacks, such as live progress while Redis is away. */
export const gatewayWarning = signal("");

const stream = new Stream("v1/events", {
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

export function start() {
  let timer = 0;
  effect(() => {
    apiKey.value;
    connection.value = "connecting";
    stream.restart();
  });
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (document.hidden) {
      timer = setTimeout(() => {
        stream.stop();
        pauseFollowing(true);
      }, HIDDEN_MS);
    } else {
      stream.start();
      pauseFollowing(false);
    }
  });
  addEventListener("online", reconnect);
}
