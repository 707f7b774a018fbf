/** Which priorities give the waiting jobs another order. Pure. */

const HIGHEST = 1000;

/** @typedef {{id: string, priority: number, created: string}} Waiting */

/** Whether `one` runs before `other` at equal priorities. @param {Waiting} one @param {Waiting} other */
function isOlder(one, other) {
  return one.created < other.created;
}

/**
 * The priorities to change that move the job from `from` to `to`. As few and as small as possible: jobs run by
 * priority, then by age, so a job that overtakes an older one needs a higher priority, and the jobs before both may
 * need one too. Null when the highest priority does not suffice.
 *
 * @param {Waiting[]} order The waiting jobs, next first.
 * @param {number} from @param {number} to
 * @returns {{id: string, priority: number}[] | null} From the first job of the queue to the last.
 */
export function reordered(order, from, to) {
  const wanted = [...order];
  const [moved] = wanted.splice(from, 1);
  wanted.splice(to, 0, moved);
  const changes = [];
  const priorities = new Map(order.map((job) => [job.id, job.priority]));
  for (let index = wanted.length - 2; index >= 0; index -= 1) {
    const job = wanted[index];
    const next = wanted[index + 1];
    const least = (priorities.get(next.id) ?? 0) + (isOlder(job, next) ? 0 : 1);
    if ((priorities.get(job.id) ?? 0) >= least) continue;
    if (least > HIGHEST) return null;
    priorities.set(job.id, least);
    changes.unshift({ id: job.id, priority: least });
  }
  return changes;
}
