/** Photos that wait for their upload, kept in IndexedDB so that a reload does not lose them. */

const DATABASE = "darkroom";
const STORE = "photos";

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** @type {Promise<IDBDatabase> | null} */
let opening = null;

/** What this visit has stored: a caption that is written again has the key of the one before. @type {Map<number, File>} */
const written = new Map();

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

/** @returns {Promise<File[]>} In the order in which they were added; empty without IndexedDB. */
export async function storedPhotos() {
  try {
    return await done((await store("readonly")).getAll());
  } catch {
    return [];
  }
}

/** Store these files, and remove all others. @param {{key: number, file: File}[]} files With growing keys. */
export async function storePhotos(files) {
  try {
    const stored = new Set(await done((await store("readonly")).getAllKeys()));
    const wanted = new Set(files.map(({ key }) => key));
    const target = await store("readwrite");
    for (const { key, file } of files) {
      if (stored.has(key) && written.get(key) === file) continue;
      target.put(file, key);
      written.set(key, file);
    }
    for (const key of stored) {
      if (typeof key !== "number" || wanted.has(key)) continue;
      target.delete(key);
      written.delete(key);
    }
  } catch {
    // Private windows may have no IndexedDB, or no space: the photos do not survive a reload.
  }
}
