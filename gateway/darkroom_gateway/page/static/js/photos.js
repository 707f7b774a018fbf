/** The photos chosen for a training: added, checked one after another, matched with captions and masks. */

import { MAX_CAPTION_BYTES, captionFault, inspect, isCaption, isMask, isSame, numbered, stem } from "./photo_checks.js";
import { sayError } from "./components/toasts.js";
import { storePhotos, storedPhotos } from "./photo_store.js";
import { signal } from "./ui.js";

/** @typedef {import("./photo_checks.js").Photo} Photo */

/** @type {{value: Photo[], peek(): Photo[]}} */
export const photos = signal([]);

/** Files that are being checked. */
export const checking = signal(0);

/** Captions and masks without a photo: it may come later. @type {{value: File[], peek(): File[]}} */
export const leftovers = signal([]);

/** The id of the newest photo. It is stored under this number, its caption and its mask under the next two. */
let lastNumber = 0;
const NUMBERS = 3;
/** @type {Promise<void>} */
let work = Promise.resolve();

/** @param {File[]} files Photos, captions and masks, in any order. */
export function addPhotos(files) {
  checking.value += files.length;
  const check = (/** @type {File} */ file) => checked(file, (lastNumber += NUMBERS));
  work = work.then(() => addAll(files, check)).catch(sayError).then(() => save());
}

/** @param {File[]} files @param {(file: File) => Promise<Photo>} check */
async function addAll(files, check) {
  const added = files.filter((file) => isCaption(file) || isMask(file));
  let left = files.length;
  try {
    for (const file of files.filter((each) => !added.includes(each))) {
      const photo = await check(file);
      photos.value = [...photos.value, photo];
      save();
      checking.value -= 1;
      left -= 1;
    }
    const strays = leftovers.peek();
    leftovers.value = [];
    for (const file of [...strays, ...added]) await attach(file);
  } finally {
    checking.value -= left;
  }
}

/** @param {File} file @param {number} number @returns {Promise<Photo>} */
async function checked(file, number) {
  const own = withOwnStem(file);
  const found = await examined(file, photos.peek());
  return { id: String(number), file: own, caption: null, captionText: "", mask: null, cause: null, ...found };
}

/**
 * What a photo looks like, and what is wrong with it. A file that can't be used says why, however often it is there.
 *
 * @param {File} file @param {Photo[]} others Photos that must not be the same one.
 */
async function examined(file, others) {
  const found = await inspect(file);
  for (const other of found.fault ? [] : others) {
    if (!(await isSame(file, other.file))) continue;
    URL.revokeObjectURL(found.thumbnail);
    return { thumbnail: other.thumbnail, note: "", fault: `The same photo as ${other.file.name}.` };
  }
  return found;
}

/**
 * The file under a name whose captions and masks can only be its own: telephones call all pasted photos image.jpg.
 *
 * @param {File} file
 */
function withOwnStem(file) {
  const taken = new Set(photos.peek().map((photo) => stem(photo.file.name)));
  let { name } = file;
  for (let number = 2; taken.has(stem(name)); number += 1) name = numbered(file.name, number);
  return name === file.name ? file : new File([file], name, { type: file.type, lastModified: file.lastModified });
}

/** Attach a caption or mask to its photo. @param {File} file */
async function attach(file) {
  const owner = photos.peek().find((photo) => stem(photo.file.name) === stem(file.name));
  if (!owner) {
    leftovers.value = [...leftovers.peek(), file];
    return;
  }
  const previous = isCaption(file) ? owner.caption : owner.mask;
  const captionText = isCaption(file) ? (await file.slice(0, MAX_CAPTION_BYTES).text().catch(() => "")).trim() : owner.captionText;
  const now = { ...owner, captionText, ...(isCaption(file) ? { caption: file } : { mask: file }) };
  if (!owner.fault || (owner.cause && owner.cause === previous)) Object.assign(now, await attachedFault(now));
  const { caption, mask, fault, cause } = now;
  update(owner.id, { caption, captionText, mask, fault, cause });
}

/** What is wrong with the caption or mask of a photo. @param {Photo} photo */
async function attachedFault({ caption, mask }) {
  for (const cause of [caption, mask]) {
    const fault = cause ? await faultOf(cause) : "";
    if (fault) return { fault, cause };
  }
  return { fault: "", cause: null };
}

/** @param {File} file A caption or mask. */
async function faultOf(file) {
  if (isCaption(file)) return captionFault(file);
  const { fault, thumbnail } = await inspect(file);
  if (thumbnail) URL.revokeObjectURL(thumbnail);
  return fault;
}

/** Write the caption of a photo; a blank one is none. @param {string} id @param {string} captionText */
export function writeCaption(id, captionText) {
  const photo = photos.peek().find((each) => each.id === id);
  if (!photo) return;
  const name = photo.file.name.replace(/\.[^.]+$/, "");
  const caption = captionText.trim() ? new File([captionText], `${name}.txt`, { type: "text/plain" }) : null;
  update(id, { caption, captionText });
  if (photo.cause !== null && photo.cause === photo.caption) {
    update(id, { fault: "", cause: null });
    work = work.then(() => checkAttached(id));
  }
  save();
}

/** Check the caption and the mask of a photo, which may change meanwhile. @param {string} id @returns {Promise<void>} */
async function checkAttached(id) {
  const find = () => photos.peek().find((each) => each.id === id);
  const photo = find();
  if (!photo) return undefined;
  const found = await attachedFault(photo);
  const now = find();
  if (now?.caption !== photo.caption || now?.mask !== photo.mask) return checkAttached(id);
  return update(id, found);
}

/** The photos before another one. @param {string} id */
function before(id) {
  const all = photos.peek();
  return all.slice(0, all.findIndex((photo) => photo.id === id));
}

/** @param {string} id @param {Partial<Photo>} changes */
function update(id, changes) {
  photos.value = photos.peek().map((photo) => (photo.id === id ? { ...photo, ...changes } : photo));
}

/** @param {string} id */
export function removePhoto(id) {
  const gone = photos.peek().find((photo) => photo.id === id);
  photos.value = photos.peek().filter((photo) => photo.id !== id);
  if (gone?.thumbnail && !photos.peek().some((photo) => photo.thumbnail === gone.thumbnail)) {
    URL.revokeObjectURL(gone.thumbnail);
  }
  // The first of its copies is now the only one.
  const copies = photos.peek().filter((photo) => photo.fault === `The same photo as ${gone?.file.name}.`);
  for (const copy of copies) work = work.then(async () => update(copy.id, await examined(copy.file, before(copy.id))));
  save();
}

/** Remove the photos that can't be used. */
export function removeFaulty() {
  for (const photo of photos.peek().filter((each) => each.fault)) removePhoto(photo.id);
}

export function clearPhotos() {
  for (const photo of photos.peek()) URL.revokeObjectURL(photo.thumbnail);
  photos.value = [];
  leftovers.value = [];
  save();
}

/** Name the photos that the gateway refused. How many faults were about photos. @param {import("./types.js").FieldFault[]} faults */
export function markFaults(faults) {
  let marked = 0;
  for (const { parameter, message } of faults) {
    const photo = photos.peek().find((each) => [each.file, each.caption, each.mask].some((file) => file?.name === parameter));
    const cause = [photo?.caption, photo?.mask].find((file) => file?.name === parameter) ?? null;
    if (!photo) continue;
    update(photo.id, { fault: message, cause });
    marked += 1;
  }
  return marked;
}

/** @param {boolean} [isAll] Whether everything of before a reload is there. */
function save(isAll = false) {
  return storePhotos(
    photos.peek().flatMap(({ id, file, caption, mask }) =>
      [file, caption, mask].flatMap((each, index) => (each ? [{ key: Number(id) + index, file: each }] : [])),
    ),
    isAll,
  );
}

/** Bring back the photos of before a reload, with their numbers. Those that are added meanwhile come after them. @returns {Promise<void>} */
export function restorePhotos() {
  work = work.then(storedPhotos).then(async (stored) => {
    const numbers = new Map(stored.map(({ key, file }) => [file, key]));
    lastNumber = Math.max(0, ...stored.map(({ key }) => key - (key % NUMBERS)));
    checking.value += stored.length;
    await addAll([...numbers.keys()], (file) => checked(file, numbers.get(file) ?? 0));
    await save(true);
  }).catch(sayError);
  return work;
}
