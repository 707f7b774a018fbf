/** Random seeds. */

/** Nine digits: easy to read and to copy, and far below the highest seed. */
const SEEDS = 1e9;

export function randomSeed() {
  return Math.floor(Math.random() * SEEDS);
}
