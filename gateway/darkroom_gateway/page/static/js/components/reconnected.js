/** Loads again what could not be loaded, as soon as the gateway is back. */

import { connection } from "../session.js";
import { useEffect, useRef, useValue } from "../ui.js";

/** @param {boolean} isMissing Whether the last load failed. @param {() => void} load */
export function useReconnected(isMissing, load) {
  const state = useValue(connection);
  const before = useRef(state);
  useEffect(() => {
    const isBack = state === "open" && before.current !== "open";
    before.current = state;
    if (isBack && isMissing) load();
  }, [state]);
}
