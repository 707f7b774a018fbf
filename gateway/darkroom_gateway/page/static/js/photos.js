/** The photos chosen for a training: added, checked one after another, matched with captions and masks. */

import { captionFault, inspect, isCaption, isMask, isSame, stem } from "./photo_checks.js";
import { storePhotos, storedPhotos } from "./photo_store.js";
import { signal } from "./ui.js";

/** @typedef {import("./photo_checks.js").Photo} Photo */

/** @type {{value: Photo[], peek(): Photo[]}} */
export const photos = signal([]);

/** Files that are being checked. */
export const checking = signal(0);

/** Captions and masks without a photo: it may come later. @type {{value: File[], peek(): File[]}} */
export const leftovers = signal([]);

/** Numbers of this visit are higher than those of the last one, whose photos are stored under them. */
let lastNumber = Date.now() * 3;
/** @type {Promise<void>} */
let work = Promise.resolve();

/** @param {File[]} files Photos, captions and masks, in any order. */
export function addPhotos(files) {
  checking.value += files.length;
  work = work.then(() => addAll(files)).then(save);
}

/** @param {File[]} files */
async function addAll(files) {
  const added = files.filter((file) => isCaption(file) || isMask(file));
  for (const file of files.filter((each) => !added.includes(each))) {
    const photo = await checked(file);
    photos.value = [...photos.value, photo];
    checking.value -= 1;
  }
  const strays = leftovers.peek();
  leftovers.value = [];
  for (const file of [...strays, ...added]) await attach(file);
  checking.value -= added.length;
}

/** @param {File} file @returns {Promise<Photo>} */
async function checked(file) {
  const photo = { id: String((lastNumber += 3)), file, caption: null, mask: null };
  for (const other of photos.peek()) {
    if (await isSame(file, other.file)) {
      return { ...photo, thumbnail: other.thumbnail, note: "", fault: `The same photo as ${other.file.name}.` };
    }
  }
  return { ...photo, ...(await inspect(file)) };
}

/** Attach a caption or mask to its photo. @param {File} file */
async function attach(file) {
  const owner = photos.peek().find((photo) => stem(photo.file.name) === stem(file.name));
  if (!owner) {
    leftovers.value = [...leftovers.peek(), file];
    return;
  }
  const fault = isCaption(file) ? await captionFault(file) : (await inspect(file)).fault;
  /** @type {Partial<Photo>} */
  const change = isCaption(file) ? { caption: file } : { mask: file };
  update(owner.id, { ...change, fault: owner.fault || fault });
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
  // A duplicate of the removed photo is no duplicate any more.
  const orphans = photos.peek().filter((photo) => photo.fault === `The same photo as ${gone?.file.name}.`);
  for (const photo of orphans) work = work.then(async () => update(photo.id, await inspect(photo.file)));
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

/** Name the photos that the gateway refused. @param {import("./types.js").FieldFault[]} faults */
export function markFaults(faults) {
  for (const { parameter, message } of faults) {
    const photo = photos.peek().find((each) => [each.file, each.caption, each.mask].some((file) => file?.name === parameter));
    if (photo) update(photo.id, { fault: message });
  }
}

function save() {
  return storePhotos(
    photos.peek().flatMap(({ id, file, caption, mask }) =>
      [file, caption, mask].flatMap((each, index) => (each ? [{ key: Number(id) + index, file: each }] : [])),
    ),
  );
}

/** Bring back the photos of before a reload. */
export async function restorePhotos() {
  const files = await storedPhotos();
  if (files.length > 0 && photos.peek().length === 0 && checking.peek() === 0) addPhotos(files);
}
