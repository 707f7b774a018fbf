/** Photos that wait for their upload, kept in IndexedDB so that a reload does not lose them. Each tab has its own. */

const DATABASE = "darkroom";
const STORE = "photos";
const TAB = "darkroom.tab";

/** The page that a reload replaces may hold its name for a moment longer. */
const PATIENCE_MS = 3000;

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

/** What is stored under a key, once it was given to `storePhotos`. @type {Map<number, File>} */
const written = new Map();

/** What a visit before this one has stored, and was not given to `storePhotos` yet. @type {Map<number, File>} */
const restored = new Map();

function open() {
  if (!opening) {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    opening = done(request);
  }
  return opening;
}

/** @param {IDBTransactionMode} mode */
async function store(mode) {
  return (await open()).transaction(STORE, mode).objectStore(STORE);
}

/** All keys of a tab: its name, then a number. @param {string} tab */
function keysOf(tab) {
  return IDBKeyRange.bound([tab], [tab, []]);
}

/** The tab's name in the storage. @returns {Promise<string>} */
function ownTab() {
  claiming ??= claim();
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
  return tab;
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
  const keys = await done((await store("readonly")).getAllKeys(IDBKeyRange.lowerBound([])));
  return [...new Set(keys.map((key) => /** @type {[string, number]} */ (key)[0]))].reverse();
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
    const held = navigator.locks.request(`${TAB} ${tab}`, options, (lock) => {
      resolve(lock !== null);
      return lock ? new Promise(() => {}) : undefined;
    });
    held.catch(() => resolve(false));
  });
}

/** The photos of this tab before a reload, or of a tab that was closed. @returns {Promise<Stored[]>} By their keys; empty without IndexedDB. */
export async function storedPhotos() {
  try {
    const range = keysOf(await ownTab());
    const source = await store("readonly");
    const [keys, files] = await Promise.all([done(source.getAllKeys(range)), done(source.getAll(range))]);
    const found = keys.map((key, index) => ({ key: /** @type {[string, number]} */ (key)[1], file: files[index] }));
    for (const { key, file } of found) restored.set(key, file);
    return found;
  } catch {
    return [];
  }
}

/**
 * Store the photos of this tab. Writes files that are new, and removes those that were given before and are not now.
 *
 * @param {Stored[]} files
 * @param {boolean} [isAll] Whether all photos of before the reload are among them, except for those that were removed.
 */
export async function storePhotos(files, isAll = false) {
  try {
    const tab = await ownTab();
    const target = await store("readwrite");
    const wanted = new Set(files.map(({ key }) => key));
    for (const { key, file } of files) {
      if (written.get(key) !== file && restored.get(key) !== file) target.put(file, [tab, key]);
      written.set(key, file);
      restored.delete(key);
    }
    for (const key of [...written.keys(), ...(isAll ? restored.keys() : [])].filter((each) => !wanted.has(each))) {
      target.delete([tab, key]);
      written.delete(key);
      restored.delete(key);
    }
    await committed(target.transaction);
  } catch {
    // Private windows may have no IndexedDB, or no space: these photos do not survive a reload.
  }
}

/** @param {IDBTransaction} transaction @returns {Promise<void>} */
function committed(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}
