/**
 * Keeps the keyboard's place in lists. Browsers drop the focus from an item that is moved or removed, and a screen reader
 * then starts again at the top of the page.
 */

const CONTROLS = "a[href], button, input, select, textarea, summary";

/** What has the focus, or had it before a dialog was opened. @type {HTMLElement | null} */
let place = null;

/** @param {Element} element @returns {HTMLElement[]} */
function controlsOf(element) {
  return Array.from(element.querySelectorAll(CONTROLS));
}

/**
 * What takes the place of a removed control: the same one of the next item of its list, or of the one before. In an
 * item that stays, its first control.
 *
 * @param {MutationRecord} record @param {Element} removed @param {HTMLElement} control
 */
function heirOf({ target, nextSibling, previousSibling }, removed, control) {
  const kept = target instanceof Element && removed.tagName !== "LI" ? target.closest("li") : null;
  if (kept) return controlsOf(kept)[0];
  const index = controlsOf(removed).indexOf(control);
  for (const item of removed.tagName === "LI" ? [nextSibling, previousSibling] : []) {
    const controls = item instanceof HTMLLIElement && item.isConnected ? controlsOf(item) : [];
    if (controls.length > 0) return controls[Math.min(index, controls.length - 1)];
  }
  return undefined;
}

/** @param {MutationRecord} record */
function follow(record) {
  for (const node of record.removedNodes) {
    if (!place || place.isConnected || !(node instanceof Element) || !node.contains(place)) continue;
    place = heirOf(record, node, place) ?? null;
  }
}

/** @param {MutationRecord[]} records */
function keep(records) {
  records.forEach(follow);
  const isLost = document.activeElement === document.body || document.activeElement === null;
  if (isLost && place?.isConnected && !document.querySelector("dialog[open]")) place.focus();
}

/** @param {Event} event */
function isInDialog({ target }) {
  return target instanceof Element && target.closest("dialog") !== null;
}

export function keepFocus() {
  addEventListener("focusin", (event) => {
    if (event.target instanceof HTMLElement && !isInDialog(event)) place = event.target;
  });
  // A click beside all controls gives the focus up.
  addEventListener("pointerdown", (event) => {
    if (!isInDialog(event)) place = null;
  }, true);
  new MutationObserver(keep).observe(document.body, { childList: true, subtree: true });
}
