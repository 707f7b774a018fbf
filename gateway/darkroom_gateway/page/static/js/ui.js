/** The rendering library and its connection to signals. Every other module imports both from here. */

import { html, render, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../vendor/htm-preact.js";
import { batch, computed, effect, signal } from "../vendor/signals-core.js";

export { batch, computed, effect, html, render, signal, useEffect, useLayoutEffect, useMemo, useRef, useState };

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
