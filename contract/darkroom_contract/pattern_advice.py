"""What to do about a value that does not match a pattern of the contract, by pattern. Pure."""

from darkroom_contract.names import (
    BASE_MODEL_PATTERN,
    DATASET_URI_PATTERN,
    HTTP_URL_PATTERN,
    IMAGE_URI_PATTERN,
    LORA_URI_PATTERN,
    MODEL_ID_PATTERN,
    MODEL_REFERENCE_PATTERN,
)
from darkroom_contract.specs.job import NOT_BLANK
from darkroom_contract.storage.datasets import SAFETENSORS_ONLY

PATTERN_ADVICE = {
    NOT_BLANK: "Write some text: it must not be empty or blank.",
    MODEL_ID_PATTERN: "Use 1 to 63 letters, digits, '.', '_' and '-', with a letter or digit at both ends.",
    MODEL_REFERENCE_PATTERN: "Use a model id, optionally with a saved step: my-dog, my-dog@200 or my-dog@best.",
    LORA_URI_PATTERN: f"Use the URI of one file: s3://bucket/folder/name.safetensors. {SAFETENSORS_ONLY}",
    BASE_MODEL_PATTERN: "Use a hub repository, owner/name, or the plain name of a folder of the model root.",
    DATASET_URI_PATTERN: "Use a folder of a bucket: s3://bucket/folder/.",
    IMAGE_URI_PATTERN: "Use the URI of one picture: s3://bucket/folder/name.png (or .jpg, .webp, .avif, .heic).",
    HTTP_URL_PATTERN: "Use a link that begins with http:// or https://, without a user name.",
}
