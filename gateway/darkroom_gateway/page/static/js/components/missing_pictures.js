/** Pictures that can't be loaded have a class, until they are: the style sheets say so in their place. */

export function markMissingPictures() {
  for (const name of ["error", "load"]) {
    // Neither event bubbles.
    addEventListener(name, ({ target }) => {
      if (target instanceof HTMLImageElement) target.classList.toggle("missing", name === "error");
    }, true);
  }
}
