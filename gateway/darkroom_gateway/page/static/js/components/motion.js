/** Whether things may move by themselves. */

/** Whether the system asks for less motion. */
export function isCalm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}
