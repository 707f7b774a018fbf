"""What to do about a value that does not match a pattern of the API, by pattern. Used by http/problems.py."""

from darkroom_contract.pattern_advice import PATTERN_ADVICE as CONTRACT_ADVICE
from darkroom_contract.storage.datasets import SAFETENSORS_ONLY
from darkroom_gateway.generation.image_sources import IMAGE_FILE_PATTERN
from darkroom_gateway.generation.loras import ADVICE as LORA_ADVICE
from darkroom_gateway.generation.loras import LORA_PATTERN
from darkroom_gateway.jobs.cursors import ADVICE as CURSOR_ADVICE
from darkroom_gateway.jobs.cursors import CURSOR_PATTERN
from darkroom_gateway.jobs.prompt_index import WORD_PATTERN
from darkroom_gateway.jobs.run_file_paths import FILE_NAME_PATTERN, STEP_PATTERN
from darkroom_gateway.jobs.task_ids import IDEMPOTENCY_KEY_PATTERN, TASK_ID_PATTERN
from darkroom_gateway.redis.progress_streams import LAST_EVENT_ID_PATTERN
from darkroom_gateway.training.parameters import INITIAL_LORA_PATTERN

PATTERN_ADVICE = {
    **CONTRACT_ADVICE,
    LORA_PATTERN: LORA_ADVICE,
    IMAGE_FILE_PATTERN: "Use the name of a picture of a job, such as my-job-seed-0.png.",
    INITIAL_LORA_PATTERN: "Use a model (my-dog, my-dog@200, my-dog@best), or s3://bucket/folder/name.safetensors. "
    + SAFETENSORS_ONLY,
    IDEMPOTENCY_KEY_PATTERN: "Use 1 to 255 printable ASCII characters without spaces, such as a UUID.",
    CURSOR_PATTERN: CURSOR_ADVICE,
    WORD_PATTERN: "Write words of the prompt, or their beginnings.",
    FILE_NAME_PATTERN: "Use a path of the list of the files of the job.",
    STEP_PATTERN: "Use the number of a saved step, such as 200, or best.",
    LAST_EVENT_ID_PATTERN: "Send the id of a progress event, such as 1795501214886-0, or leave the header out.",
    TASK_ID_PATTERN: "Use the id that a submission returned: at most 48 lower-case letters, digits and '-'.",
}
