/** Numbers that people type: what is wrong with one, and which ones are right. */

/**
 * @typedef {object} Bounds
 * @property {number} min
 * @property {number} max
 * @property {boolean} [isWhole]
 * @property {number} [multiple] Of whole numbers.
 */

/** Without thousands separators, which nobody may type either: in other languages they mean a decimal point. */
const FORMAT = new Intl.NumberFormat("en", { maximumSignificantDigits: 15, useGrouping: false });

/** `Number` reads more than people mean, such as `0x10`. */
const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const GROUPED = /^[+-]?\d{1,3}([.,'’\s]\d{3})+$/;

/** The keyboard of a phone for such numbers. None of them has a minus on every phone. @param {Bounds} bounds */
export function keyboardFor({ min, isWhole }) {
  if (min < 0) return "text";
  return isWhole ? "numeric" : "decimal";
}

/**
 * @param {string} text What was typed; empty for the default.
 * @param {Bounds} bounds
 * @returns {string} What is wrong with it, and what to write instead; empty for a right one.
 */
export function numberFault(text, { min, max, isWhole = false, multiple = 0 }) {
  const typed = text.trim();
  if (typed === "") return "";
  const value = numberOf(typed);
  const right = `${isWhole ? "a whole number " : ""}from ${FORMAT.format(min)} to ${FORMAT.format(max)}`;
  if (isWhole && GROUPED.test(typed)) return `Write it in digits alone: ${typed.replace(/[.,'’\s]/g, "")}.`;
  if (!Number.isFinite(value)) {
    const pointed = typed.replace(",", ".");
    if (!isWhole && Number.isFinite(numberOf(pointed))) return `Write it with a point: ${pointed}.`;
    return `“${typed}” is not a number: write ${isWhole ? right : `one ${right}`}.`;
  }
  if (value < min || value > max) return `${typed} is too ${value < min ? "low" : "high"}: write ${isWhole ? right : `a number ${right}`}.`;
  if (isWhole && !Number.isInteger(value)) return `${typed} is not whole: write ${right}.`;
  if (!multiple || value % multiple === 0) return "";
  const below = Math.floor(value / multiple) * multiple;
  const near = [below, below + multiple].filter((each) => each >= min && each <= max);
  return `${typed} is not a multiple of ${multiple}: write ${near.join(" or ")}.`;
}

/** @param {string} text */
function numberOf(text) {
  return DECIMAL.test(text) ? Number(text) : NaN;
}
