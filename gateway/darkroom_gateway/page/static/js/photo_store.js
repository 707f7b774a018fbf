/** Photos that wait for their upload, kept in IndexedDB so that a reload does not lose them. Each tab has its own. */

import { say } from "./components/toasts.js";

const DATABASE = "darkroom";
/** 2: each photo is stored under its tab, and each tab has the time of its last use. */
const VERSION = 2;
const PHOTOS = "photos";
const TABS = "tabs";
const TAB = "darkroom.tab";

/** The page that a reload replaces may hold its name for a moment longer. */
const PATIENCE_MS = 3000;

const HOUR_MS = 3_600_000;
/** Photos of a tab that was not open for this long are deleted by the next one. */
const UNUSED_MS = 24 * HOUR_MS;

/** @typedef {{key: number, file: File}} Stored */

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** @type {Promise<IDBDatabase> | null} */
let opening = null;

/** @type {Promise<string> | null} */
let claiming = null;

/** What is stored under a key, once it was given to `storePhotos`; null after a failure. @type {Map<number, File | null>} */
const written = new Map();

/** What a visit before this one has stored, and was not given to `storePhotos` yet. @type {Map<number, File>} */
const restored = new Map();

/** Whether the user knows that photos are not kept. */
let isSaid = false;

function open() {
  opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, VERSION);
    request.onupgradeneeded = () => createStores(request.result);
    request.onerror = () => reject(request.error);
    // Another tab has the page of an earlier release: nothing is kept before it is closed.
    request.onblocked = () => reject(new Error("Another tab uses an earlier version of the database."));
    request.onsuccess = () => {
      const database = request.result;
      database.onversionchange = () => database.close();
      opening = Promise.resolve(database);
      resolve(database);
    };
  });
  return opening;
}

/** Nobody finds the photos of earlier versions. @param {IDBDatabase} database */
function createStores(database) {
  for (const name of database.objectStoreNames) database.deleteObjectStore(name);
  for (const name of [PHOTOS, TABS]) database.createObjectStore(name);
}

/** @param {IDBTransactionMode} mode @returns {Promise<[photos: IDBObjectStore, tabs: IDBObjectStore]>} Of one transaction. */
async function stores(mode) {
  const transaction = (await open()).transaction([PHOTOS, TABS], mode);
  return [transaction.objectStore(PHOTOS), transaction.objectStore(TABS)];
}

/** All keys of a tab: its name, then a number. @param {string} tab */
function keysOf(tab) {
  return IDBKeyRange.bound([tab], [tab, []]);
}

/** The tab's name in the storage. @returns {Promise<string>} */
function ownTab() {
  claiming ??= claim().catch((error) => {
    claiming = null;
    throw error;
  });
  return claiming;
}

/**
 * The name of this tab before a reload; otherwise that of a tab that was closed, whose photos this one takes over;
 * otherwise a new one. A duplicated tab begins with the name of the other one, which holds it.
 */
async function claim() {
  const own = remembered();
  let tab = own && (await hold(own, PATIENCE_MS)) ? own : "";
  for (const other of tab ? [] : await storedTabs()) {
    if (!tab && other !== own && (await hold(other))) tab = other;
  }
  if (!tab) {
    tab = `${Date.now()}-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
    await hold(tab);
  }
  remember(tab);
  await forgetUnused(tab).catch(() => {});
  setInterval(() => noteUse(tab).catch(() => {}), HOUR_MS);
  return tab;
}

/** Delete the photos of tabs that were closed long ago. @param {string} own The name of this tab. */
async function forgetUnused(own) {
  const { held = [] } = navigator.locks ? await navigator.locks.query() : {};
  const locked = new Set(held.map(({ name }) => name));
  const [photos, tabs] = await stores("readwrite");
  const [names, times] = await Promise.all([done(tabs.getAllKeys()), done(tabs.getAll())]);
  const isUnused = (/** @type {string} */ tab, /** @type {number} */ index) =>
    tab !== own && !locked.has(lockOf(tab)) && times[index] < Date.now() - UNUSED_MS;
  for (const tab of /** @type {string[]} */ (names).filter(isUnused)) {
    photos.delete(keysOf(tab));
    tabs.delete(tab);
  }
  tabs.put(Date.now(), own);
  await committed(photos.transaction);
}

/** @param {string} tab */
async function noteUse(tab) {
  const [, tabs] = await stores("readwrite");
  tabs.put(Date.now(), tab);
}

function remembered() {
  try {
    return sessionStorage.getItem(TAB) ?? "";
  } catch {
    return "";
  }
}

/** @param {string} tab */
function remember(tab) {
  try {
    sessionStorage.setItem(TAB, tab);
  } catch {
    // Storage is blocked: after a reload this tab is like one that was closed.
  }
}

/** The names of all tabs with photos, the newest first. Without locks nobody knows which of them are closed. */
async function storedTabs() {
  if (!navigator.locks) return [];
  const [photos] = await stores("readonly");
  const keys = await done(photos.getAllKeys());
  return [...new Set(keys.map((key) => /** @type {[string, number]} */ (key)[0]))].reverse();
}

/** @param {string} tab */
function lockOf(tab) {
  return `${TAB} ${tab}`;
}

/**
 * Hold a name until the tab is closed. Browsers have locks only in secure contexts: over plain HTTP from another
 * machine a tab trusts the name that it remembers.
 *
 * @param {string} tab @param {number} [patienceMs] How long to wait for another tab that holds it.
 * @returns {Promise<boolean>} Whether it is held.
 */
function hold(tab, patienceMs = 0) {
  if (!navigator.locks) return Promise.resolve(true);
  const options = patienceMs ? { signal: AbortSignal.timeout(patienceMs) } : { ifAvailable: true };
  return new Promise((resolve) => {
    const held = navigator.locks.request(lockOf(tab), options, (lock) => {
      resolve(lock !== null);
      return lock ? new Promise(() => {}) : undefined;
    });
    held.catch(() => resolve(false));
  });
}

/** Below the keys of photos. */
const START_KEYS = { image: -2, mask: -1 };

/** @typedef {{image: File | null, mask: File | null}} StartFiles */

/** The dropped start picture of a generation before a reload. @returns {Promise<StartFiles>} */
export async function storedStart() {
  const tab = await ownTab();
  const [photos] = await stores("readonly");
  const [image, mask] = await Promise.all(Object.values(START_KEYS).map((key) => done(photos.get([tab, key]))));
  return { image: image ?? null, mask: mask ?? null };
}

/** @param {StartFiles} files */
export async function storeStart(files) {
  const tab = await ownTab();
  const [photos, tabs] = await stores("readwrite");
  for (const name of /** @type {("image" | "mask")[]} */ (["image", "mask"])) {
    if (files[name]) photos.put(files[name], [tab, START_KEYS[name]]);
    else photos.delete([tab, START_KEYS[name]]);
  }
  tabs.put(Date.now(), tab);
  await committed(photos.transaction);
}

/** The photos of this tab before a reload, or of a tab that was closed. @returns {Promise<Stored[]>} By their keys; empty without IndexedDB. */
export async function storedPhotos() {
  try {
    const range = keysOf(await ownTab());
    const [photos] = await stores("readonly");
    const [keys, files] = await Promise.all([done(photos.getAllKeys(range)), done(photos.getAll(range))]);
    const all = keys.map((key, index) => ({ key: /** @type {[string, number]} */ (key)[1], file: files[index] }));
    const found = all.filter(({ key }) => key > 0);
    for (const { key, file } of found) restored.set(key, file);
    return found;
  } catch {
    return [];
  }
}

/**
 * Store the photos of this tab. Writes files that are new, and removes those that were given before and are not now.
 * Says so where that fails, once; the next call tries again.
 *
 * @param {Stored[]} files
 * @param {boolean} [isAll] Whether all photos of before the reload are among them, except for those that were removed.
 */
export async function storePhotos(files, isAll = false) {
  /** @type {Stored[]} */
  let added = [];
  try {
    const tab = await ownTab();
    const [photos, tabs] = await stores("readwrite");
    const wanted = new Set(files.map(({ key }) => key));
    added = files.filter(({ key, file }) => written.get(key) !== file && restored.get(key) !== file);
    for (const { key, file } of added) photos.put(file, [tab, key]);
    for (const { key, file } of files) {
      written.set(key, file);
      restored.delete(key);
    }
    for (const key of [...written.keys(), ...(isAll ? restored.keys() : [])].filter((each) => !wanted.has(each))) {
      photos.delete([tab, key]);
      written.delete(key);
      restored.delete(key);
    }
    if (files.length > 0) tabs.put(Date.now(), tab);
    await committed(photos.transaction);
    isSaid = false;
  } catch (error) {
    for (const { key } of added) written.set(key, null);
    if (files.length > 0 && !isSaid) sayNotKept(error);
  }
}

/** Private windows may have no IndexedDB, and disks no space. @param {unknown} error */
function sayNotKept(error) {
  isSaid = true;
  const isFull = error instanceof DOMException && error.name === "QuotaExceededError";
  const reason = isFull ? "the browser has no space left for them" : "the browser can't store them";
  say(`A reload of this page would lose the photos: ${reason}. Start the training before, or add them again.`, true);
}

/** @param {IDBTransaction} transaction @returns {Promise<void>} */
function committed(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}
