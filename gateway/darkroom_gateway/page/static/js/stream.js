/** A stream of server-sent events that reconnects, and continues after the last event that it received. */

import { Problem, address, credentials, problemOf } from "./api.js";
import { keyAnswers } from "./key.js";
import { eventsOf } from "./sse.js";

/** The gateway sends a comment every 15 s. After this silence the connection counts as dead. */
const SILENCE_MS = 40_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

/** Proxies end streams now and then. A connection that is back before this is not reported as lost. */
const GRACE_MS = 2000;

/** Answers that another try does not change. */
const FINAL = new Set([400, 401, 403, 404, 405, 409, 422]);

/**
 * @typedef {object} Listener
 * @property {(event: string, data: any) => boolean | void} onEvent Returning true ends the stream.
 * @property {(resumed: boolean) => void} [onOpen]
 * @property {(error: Error) => void} [onLost] After a second failure, or when the connection is not back shortly.
 * @property {Set<number>} [final] Statuses that end the stream, in place of those that usually do.
 */

export class Stream {
  /** @param {string} path @param {Listener} listener */
  constructor(path, listener) {
    this.path = path;
    this.listener = listener;
    /** @type {string | null} */
    this.lastId = null;
    /** @type {AbortController | null} */
    this.connection = null;
    this.isRunning = false;
    /** Whether an event or a final refusal ended the stream. */
    this.isOver = false;
    /** @type {(() => void) | null} */
    this.wake = null;
  }

  start() {
    if (this.isRunning || this.isOver) return;
    this.isRunning = true;
    this.run(new AbortController());
  }

  /** Disconnect. `start` continues after the last event. */
  stop() {
    this.isRunning = false;
    this.connection?.abort();
    this.wake?.();
  }

  /** Disconnect, forget the last event, and connect again. */
  restart() {
    this.stop();
    this.lastId = null;
    this.isOver = false;
    this.start();
  }

  /** Try to connect now, instead of after the wait. */
  retryNow() {
    this.wake?.();
  }

  /** @param {AbortController} own Aborted by `stop`: a later start has another one. */
  async run(own) {
    this.connection = own;
    let wait = FIRST_WAIT_MS;
    let failures = 0;
    let grace = 0;
    own.signal.addEventListener("abort", () => clearTimeout(grace));
    while (!own.signal.aborted) {
      try {
        this.isOver = await this.read(own.signal, () => {
          clearTimeout(grace);
          failures = 0;
          wait = FIRST_WAIT_MS;
        });
        if (this.isOver) this.stop();
        else throw new Problem(0, "The gateway closed the connection.");
      } catch (error) {
        if (own.signal.aborted) return;
        this.isOver = error instanceof Problem && (this.listener.final ?? FINAL).has(error.status);
        failures += 1;
        clearTimeout(grace);
        const report = () => this.listener.onLost?.(error instanceof Error ? error : new Error(String(error)));
        if (this.isOver || failures > 1) report();
        else grace = setTimeout(report, GRACE_MS);
        if (this.isOver) this.stop();
        else await this.pause(wait);
        wait = Math.min(wait * 2, LONGEST_WAIT_MS);
      }
    }
  }

  /**
   * Read one connection to its end. Whether an event ended the stream.
   *
   * @param {AbortSignal} stopped
   * @param {() => void} onOpen
   */
  async read(stopped, onOpen) {
    /** @type {Record<string, string>} */
    const headers = { Accept: "text/event-stream", ...credentials() };
    const sentAfter = keyAnswers;
    if (this.lastId !== null) headers["Last-Event-ID"] = this.lastId;
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    const cut = () => silence.abort();
    stopped.addEventListener("abort", cut);
    try {
      const response = await fetch(address(this.path), { headers, signal: silence.signal, cache: "no-store" });
      if (!response.ok) {
        throw problemOf(response.status, await response.text(), response.headers.get("Retry-After"), sentAfter);
      }
      onOpen();
      this.listener.onOpen?.(this.lastId !== null);
      for await (const event of eventsOf(response)) {
        if (stopped.aborted) return false;
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        if (event === null) continue;
        if (event.id !== null) this.lastId = event.id;
        if (event.data && this.listener.onEvent(event.event, JSON.parse(event.data)) === true) return true;
      }
      return false;
    } finally {
      clearTimeout(timer);
      stopped.removeEventListener("abort", cut);
    }
  }

  /** @param {number} milliseconds @returns {Promise<void>} */
  pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds * (0.8 + Math.random() * 0.4));
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
