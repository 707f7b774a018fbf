/** The rendering library and its connection to signals. Every other module imports both from here. */

import htm from "../vendor/htm.js";
import { h, render } from "../vendor/preact.js";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact-hooks.js";
import { batch, computed, effect, signal } from "../vendor/signals-core.js";

/** Markup as a tagged template. */
export const html = htm.bind(h);

export { batch, computed, effect, render, signal, useEffect, useLayoutEffect, useMemo, useRef, useState };

/**
 * The value of a signal. The component is drawn again when it changes.
 *
 * @template T
 * @param {{readonly value: T}} source
 * @returns {T}
 */
export function useValue(source) {
  const [, redraw] = useState(0);
  const shown = useRef(/** @type {T | undefined} */ (undefined));
  useLayoutEffect(
    () =>
      effect(() => {
        const value = source.value;
        if (value !== shown.current) redraw((/** @type {number} */ count) => count + 1);
      }),
    [source],
  );
  shown.current = source.value;
  return source.value;
}

/**
 * A time that advances every `seconds`, for countdowns.
 *
 * @param {number} seconds
 * @returns {number} Milliseconds since the epoch.
 */
export function useNow(seconds = 1) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), seconds * 1000);
    return () => clearInterval(timer);
  }, [seconds]);
  return now;
}
