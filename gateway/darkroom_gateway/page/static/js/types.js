/**
 * Shapes of the gateway's answers, as docs/api.md describes them. Types only.
 *
 * @typedef {"TrainJob" | "GenerateJob"} Kind
 * @typedef {"Queued" | "Starting" | "Running" | "Succeeded" | "Failed" | "Suspended"} Status
 *
 * @typedef {object} Queue
 * @property {number | null} [position] Number of jobs ahead; 0 is next.
 * @property {string | null} [estimated_start]
 * @property {number | null} [estimated_start_seconds]
 * @property {string | null} [waiting_for]
 *
 * @typedef {object} Preview
 * @property {number} seed
 * @property {number} step
 * @property {string} jpeg In base64.
 *
 * @typedef {object} Progress
 * @property {string} stage
 * @property {number} [step]
 * @property {number} [total]
 * @property {number} [progress_percentage]
 * @property {number | null} [estimated_remaining_seconds]
 * @property {Record<string, number>} [metrics]
 * @property {string} [updated]
 * @property {string[] | null} [files] Only in events.
 * @property {Preview | null} [preview] Only in events.
 *
 * @typedef {object} Artifact
 * @property {string} name
 * @property {"image" | "grid" | "video" | "lora" | "sample" | "sample_sheet" | "other"} role
 * @property {string} content_type
 * @property {number} bytes
 * @property {string} sha256
 * @property {number | null} seed
 * @property {number | null} step
 * @property {string} url
 * @property {string} expires
 * @property {string} uri In object storage: a later job takes a picture by it.
 *
 * @typedef {object} Job
 * @property {string} id
 * @property {Kind} kind
 * @property {Status} status
 * @property {string | null} model_id
 * @property {string} prompt
 * @property {number} priority
 * @property {string | null} submitted_by
 * @property {Record<string, any>} spec
 * @property {Queue | null} queue
 * @property {Progress | null} progress
 * @property {{reason: string, message: string, advice: string | null} | null} error
 * @property {{reason: string, message: string}[]} remarks
 * @property {Artifact[]} artifacts
 * @property {string} created
 * @property {string | null} started
 * @property {string | null} completed
 * @property {number} attempts
 * @property {string | null} next_attempt
 * @property {boolean} deleting
 *
 * @typedef {object} JobList
 * @property {Job[]} jobs
 * @property {number | null} total
 * @property {string | null} next_cursor
 *
 * @typedef {object} RunFile
 * @property {string} path
 * @property {string} link Works without the key until `expires`.
 * @property {string} expires
 * @property {number} bytes
 *
 * @typedef {object} Model
 * @property {string} model_id
 * @property {string} prompt
 * @property {string} base_model
 * @property {string | null} [source]
 * @property {string} created
 *
 * @typedef {object} ModelFile
 * @property {string} name
 * @property {"Diffusers" | "Kohya" | "Imported"} form
 * @property {string} url
 * @property {string} expires
 * @property {number} bytes
 *
 * @typedef {object} ModelStep
 * @property {string} reference
 * @property {number | null} [step]
 * @property {number | null} [held_out_loss]
 * @property {string} created
 * @property {ModelFile[]} files
 *
 * @typedef {object} ModelDetail
 * @property {string} model_id
 * @property {boolean} in_training
 * @property {string} prompt
 * @property {string} base_model
 * @property {string | null} [source]
 * @property {number | null} [step]
 * @property {number | null} [held_out_loss]
 * @property {string | null} created Null for the base model.
 * @property {ModelFile[]} files
 * @property {ModelStep[]} steps
 *
 * @typedef {object} FieldFault
 * @property {string} parameter A dotted path into the body, or a part of the form.
 * @property {string} message
 * @property {any} [given]
 */

export {};
