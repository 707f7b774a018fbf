/** Requests to the gateway: the key, problem details as errors, and retries of reads. */

import { apiKey, askForKey, keyAnswers } from "./key.js";

/** The gateway's address, with a slash at its end. The gateway puts it into the document's `<base>`. */
export const ROOT = new URL(document.baseURI);

/** @typedef {Record<string, string | number | string[] | null | undefined>} Query */

const TRIES = 4;
const RETRIED = new Set([429, 502, 503, 504]);
const LONGEST_WAIT_SECONDS = 10;

/** A refused or failed request. `message` is for people. */
export class Problem extends Error {
  /**
   * @param {number} status 0 when there was no answer.
   * @param {string} message
   * @param {string} type The last part of the problem's type, such as `ModelInUse`.
   * @param {import("./types.js").FieldFault[]} faults
   * @param {number | null} retryAfter Seconds.
   */
  constructor(status, message, type = "", faults = [], retryAfter = null) {
    super(message);
    this.name = "Problem";
    this.status = status;
    this.type = type;
    this.faults = faults;
    this.retryAfter = retryAfter;
  }
}

/**
 * @param {string} path Below the gateway's address, such as `v1/jobs`.
 * @param {Query} [query] A list repeats the parameter.
 * @returns {URL}
 */
export function address(path, query = {}) {
  const url = new URL(path.replace(/^\//, ""), ROOT);
  for (const [name, value] of Object.entries(query)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined && each !== "") url.searchParams.append(name, String(each));
    }
  }
  return url;
}

/** @returns {Record<string, string>} */
export function credentials() {
  const key = apiKey.peek();
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** 128 random bits. Works without a secure context, unlike `crypto.randomUUID`. */
export function newIdempotencyKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The problem that a response describes. Asks for the key when the gateway refused the stored one.
 *
 * @param {number} status
 * @param {string} body
 * @param {string | null} retryAfter
 * @param {number | null} sentAfter `keyAnswers` when the request was sent; null for one with a key of its own.
 */
export function problemOf(status, body, retryAfter, sentAfter) {
  const seconds = retryAfter && /^\d+$/.test(retryAfter) ? Number(retryAfter) : null;
  if (status === 401 && sentAfter !== null) askForKey(sentAfter);
  try {
    const { detail, title, type, errors } = JSON.parse(body);
    const kind = String(type ?? "").split(":").pop() ?? "";
    return new Problem(status, detail || title || `The gateway answered ${status}.`, kind, errors ?? [], seconds);
  } catch {
    return new Problem(status, `The gateway answered ${status}. Try again in a moment.`, "", [], seconds);
  }
}

/** @param {AbortSignal | null | undefined} signal @param {number} seconds */
function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/** @param {URL} url @param {RequestInit} init @param {number | null} sentAfter As of `problemOf`. */
async function once(url, init, sentAfter) {
  let response;
  try {
    response = await fetch(url, init);
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Problem(0, "The gateway can't be reached. Check your connection.");
  }
  if (response.ok) return response;
  throw problemOf(response.status, await response.text(), response.headers.get("Retry-After"), sentAfter);
}

/**
 * A response with a success status. Reads, and requests with an idempotency key, are repeated when the gateway is away.
 *
 * @param {URL} url
 * @param {RequestInit} [init]
 * @returns {Promise<Response>}
 */
export async function request(url, init = {}) {
  const own = /** @type {Record<string, string>} */ (init.headers ?? {});
  const headers = { ...credentials(), ...own };
  const sentAfter = "Authorization" in own ? null : keyAnswers;
  const mayRepeat = (init.method ?? "GET") === "GET" || "Idempotency-Key" in headers;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await once(url, { ...init, headers, cache: "no-store" }, sentAfter);
    } catch (error) {
      const passes = error instanceof Problem && (error.status === 0 || RETRIED.has(error.status));
      if (!passes || !mayRepeat || attempt >= TRIES) throw error;
      const wait = error.retryAfter ?? 0.4 * 2 ** attempt;
      if (wait > LONGEST_WAIT_SECONDS) throw error;
      await pause(wait + Math.random() * 0.3, init.signal);
    }
  }
}

/**
 * @param {string} path
 * @param {Query} [query]
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function get(path, query, signal) {
  return (await request(address(path, query), { signal })).json();
}

/** Check a key before it is used. Throws a `Problem` with the status 401 for an unknown one. @param {string} key */
export async function tryKey(key) {
  await request(address("v1/jobs", { limit: 1 }), { headers: { Authorization: `Bearer ${key}` } });
}

/**
 * @param {"POST" | "PATCH" | "DELETE"} method
 * @param {string} path
 * @param {{body?: object, query?: Record<string, string | number>, idempotencyKey?: string}} [options]
 * @returns {Promise<any>} The answer, or null for an empty one.
 */
export async function send(method, path, { body, query, idempotencyKey } = {}) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (idempotencyKey) headers["Idempotency-Key"] = idempotencyKey;
  const response = await request(address(path, query), {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

/** @param {unknown} error @returns {string} */
export function messageOf(error) {
  if (error instanceof Problem && error.status === 429 && error.retryAfter) {
    return `${error.message} Try again in ${error.retryAfter} s.`;
  }
  return error instanceof Error ? error.message : String(error);
}
