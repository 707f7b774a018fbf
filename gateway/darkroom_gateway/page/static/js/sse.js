/** Parses server-sent events of a streamed response, as the HTML standard defines them. */

/**
 * @typedef {object} ServerEvent
 * @property {string} event
 * @property {string} data
 * @property {string | null} id
 */

/**
 * The event of a block of lines; null for a comment.
 *
 * @param {string} block
 * @returns {ServerEvent | null}
 */
export function parseEvent(block) {
  let event = "message";
  let id = null;
  /** @type {string[]} */
  const data = [];
  for (const line of block.split(/\r\n|\r|\n/)) {
    const colon = line.indexOf(":");
    if (colon === 0) continue;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") event = value;
    else if (name === "data") data.push(value);
    else if (name === "id" && !value.includes("\0")) id = value;
  }
  return data.length > 0 || id !== null ? { event, data: data.join("\n"), id } : null;
}

/**
 * The events of a response, and null for every read that brought only a comment: the connection is alive.
 *
 * @param {Response} response
 * @returns {AsyncGenerator<ServerEvent | null>}
 */
export async function* eventsOf(response) {
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split(/\r\n\r\n|\n\n|\r\r/);
      rest = blocks.pop() ?? "";
      for (const block of blocks) yield parseEvent(block);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
