/** Checks of chosen files before they are sent: what the gateway would refuse, and why. */

import { size } from "./format.js";

/**
 * @typedef {object} Photo
 * @property {string} id
 * @property {File} file
 * @property {string} thumbnail An object URL; empty when the browser can't show the format.
 * @property {string} fault Why it can't be used; empty for a good photo.
 * @property {string} note
 * @property {File | null} caption
 * @property {string} captionText
 * @property {File | null} mask
 * @property {File | null} cause The caption or mask that the fault is about; null for the photo itself.
 */

export const MAX_PHOTOS = 100;
export const ACCEPTED = ".jpg,.jpeg,.png,.webp,.avif,.heic,.heif,.txt,image/jpeg,image/png,image/webp,image/avif,image/heic";

const MIB = 1024 ** 2;
const MAX_BYTES = 25 * MIB;
const MAX_TOTAL_BYTES = 500 * MIB;
const MIN_SIDE_PX = 64;
const MAX_SIDE_PX = 16_000;
const MAX_PIXELS = 100e6;
const THUMBNAIL_PX = 320;
export const MAX_CAPTION_CHARACTERS = 1000;
/** Twice what a caption of that length can have. */
export const MAX_CAPTION_BYTES = 8192;

const HEIC_BRANDS = new Set(["heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs", "mif1", "msf1"]);

/** What people drop besides photos, by its first bytes. @type {Record<string, RegExp>} */
const OTHER_FORMATS = {
  GIF: /^GIF8/,
  TIFF: /^(II\*\0|MM\0\*)/,
  BMP: /^BM/,
  "JPEG XL": /^(\xff\x0a|\0\0\0\x0cJXL )/,
  "JPEG 2000": /^\0\0\0\x0cjP {2}/,
  SVG: /^<(svg|\?xml)/i,
  Video: /^(.{4}ftyp|\x1a\x45\xdf\xa3)/s,
};

/** As far as an animation is looked for. */
const HEAD_BYTES = 4096;

/** Of a folder, and of a file that was changed or removed after it was chosen. */
const UNREADABLE = "Can't be read. Is it a folder?";

/**
 * The format of a photo by its first bytes; empty for anything else.
 *
 * @param {Uint8Array} head
 * @returns {"JPEG" | "PNG" | "WebP" | "AVIF" | "HEIC" | ""}
 */
export function formatOf(head) {
  const text = String.fromCharCode(...head.subarray(0, 12));
  if (head[0] === 0xff && head[1] === 0xd8 && head[2] === 0xff) return "JPEG";
  if (text.startsWith("\x89PNG")) return "PNG";
  if (text.startsWith("RIFF") && text.slice(8) === "WEBP") return "WebP";
  if (text.slice(4, 8) !== "ftyp") return "";
  const brand = text.slice(8);
  if (brand === "avif" || brand === "avis") return "AVIF";
  return HEIC_BRANDS.has(brand) ? "HEIC" : "";
}

/**
 * Why a file of another format can't be used.
 *
 * @param {Uint8Array} head
 */
export function formatFault(head) {
  const text = String.fromCharCode(...head.subarray(0, 12));
  const [name] = Object.entries(OTHER_FORMATS).find(([, start]) => start.test(text)) ?? [];
  if (name === "Video") return "A video: save pictures of it as JPEG or PNG.";
  return name ? `${name} is not accepted: save it as JPEG or PNG.` : "Not a photo: use JPEG, PNG, WebP, AVIF or HEIC.";
}

/**
 * Whether a photo has several pictures, of which a training reads the first. By its first bytes: of a PNG, the chunk
 * acTL comes before the pixels.
 *
 * @param {Uint8Array} head
 */
function isAnimated(head) {
  const text = String.fromCharCode(...head);
  const format = formatOf(head);
  if (format === "WebP") return text.slice(12, 16) === "VP8X" && (head[20] & 2) > 0;
  if (format === "PNG") return text.includes("acTL") && !text.slice(0, text.indexOf("acTL")).includes("IDAT");
  return text.slice(8, 12) === "avis";
}

/** @param {number} width @param {number} height @returns {string} What is wrong with a size, or nothing. */
export function sizeFault(width, height) {
  if (Math.min(width, height) < MIN_SIDE_PX) return `${width} × ${height} is too small: at least ${MIN_SIDE_PX} px a side.`;
  if (Math.max(width, height) > MAX_SIDE_PX) return `${width} × ${height} is too large: at most 16,000 px a side.`;
  if (width * height > MAX_PIXELS) return `${width} × ${height} is more than 100 megapixels.`;
  return "";
}

/** @param {File} file */
export function isCaption(file) {
  return /\.txt$/i.test(file.name);
}

/** @param {File} file */
export function isMask(file) {
  return /\.mask\.[a-z]+$/i.test(file.name);
}

/** The name by which a caption or mask belongs to its photo. @param {string} name */
export function stem(name) {
  const base = name.split("/").pop() ?? name;
  return base.replace(/\.mask\.[a-z]+$/i, "").replace(/\.[^.]+$/, "").toLowerCase();
}

/** A name with another stem, such as `dog (2).jpg`. @param {string} name @param {number} number */
export function numbered(name, number) {
  const dot = name.lastIndexOf(".");
  return dot > 0 ? `${name.slice(0, dot)} (${number})${name.slice(dot)}` : `${name} (${number})`;
}

/** @param {ImageBitmap} bitmap @returns {Promise<string>} An object URL. */
async function thumbnailOf(bitmap) {
  const scale = Math.min(1, THUMBNAIL_PX / Math.min(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((/** @type {(blob: Blob | null) => void} */ resolve) =>
    canvas.toBlob(resolve, "image/webp", 0.85),
  );
  return blob ? URL.createObjectURL(blob) : "";
}

/**
 * Look into one file: its format, size and pixels.
 *
 * @param {File} file
 * @returns {Promise<{fault: string, note: string, thumbnail: string}>}
 */
export async function inspect(file) {
  const none = { fault: "", note: "", thumbnail: "" };
  if (file.size === 0) return { ...none, fault: "The file is empty." };
  if (file.size > MAX_BYTES) return { ...none, fault: `${size(file.size)} is too large: at most 25 MiB.` };
  const read = await file.slice(0, HEAD_BYTES).arrayBuffer().catch(() => null);
  if (!read) return { ...none, fault: UNREADABLE };
  const head = new Uint8Array(read);
  const format = formatOf(head);
  if (!format) return { ...none, fault: formatFault(head) };
  const note = isAnimated(head) ? "Animated: only its first picture counts." : "";
  try {
    const bitmap = await createImageBitmap(file);
    const fault = sizeFault(bitmap.width, bitmap.height);
    const thumbnail = await thumbnailOf(bitmap);
    bitmap.close();
    return { fault, note, thumbnail };
  } catch {
    if (format === "HEIC" || format === "AVIF") return { ...none, note: note || `${format}: this browser has no preview.` };
    return { ...none, fault: `Damaged: the ${format} file can't be read to its end.` };
  }
}

/** @param {File} file @returns {Promise<string>} */
export async function captionFault(file) {
  const text = file.size > MAX_CAPTION_BYTES ? "" : await file.text().catch(() => null);
  if (text === null) return UNREADABLE;
  if (file.size > MAX_CAPTION_BYTES || text.trim().length > MAX_CAPTION_CHARACTERS) return "The caption has more than 1,000 characters.";
  return text.includes("\uFFFD") ? "The caption is not UTF-8 text." : "";
}

/** Whether two files have the same bytes. A file that can't be read is like no other. @param {File} one @param {File} other */
export async function isSame(one, other) {
  if (one.size !== other.size) return false;
  const both = await Promise.all([one.arrayBuffer(), other.arrayBuffer()]).catch(() => null);
  if (!both) return false;
  const [left, right] = both.map((buffer) => new Uint8Array(buffer));
  return left.every((byte, index) => byte === right[index]);
}

/**
 * What is wrong with the photos together.
 *
 * @param {Photo[]} photos
 * @returns {string}
 */
export function setFault(photos) {
  if (photos.length > MAX_PHOTOS) return `${photos.length} photos are too many: at most ${MAX_PHOTOS}.`;
  const bytes = photos.reduce((sum, { file, mask }) => sum + file.size + (mask?.size ?? 0), 0);
  return bytes > MAX_TOTAL_BYTES ? `${size(bytes)} together are too much: at most 500 MiB.` : "";
}
