"""Messages of the gateway and of runs in the words of the command line. Pure.

The API speaks of fields of a spec, such as `images.count`. A person at a terminal has options: `--count`. With --json
messages stay as the API has them.
"""

import re
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field

from darkroom_client.errors import FieldProblem

TRAIN_OPTIONS = {
    "modelId": "--model",
    "prompt": "--prompt",
    "maxSteps": "--steps",
    "training.rank": "--rank",
    "training.learningRate": "--learning-rate",
    "training.resolution": "--resolution",
    "training.seed": "--seed",
    "training.validationPrompts": "--sample",
    "baseModel": "--base-model",
    "priority": "--priority",
    "dataset": "--dataset",
    "dataset.uri": "--dataset",
}
"""The option of each field of a training."""

GENERATE_OPTIONS = {
    "prompt": "PROMPT",
    "negativePrompt": "--negative",
    "modelId": "--model",
    "loraScale": "--model",
    "loras": "--model",
    "images.count": "--count",
    "images.width": "--size",
    "images.height": "--size",
    "images.steps": "--steps",
    "images.guidanceScale": "--guidance",
    "images.seed": "--seed",
    "images.scheduler": "--scheduler",
    "startImage.strength": "--strength",
    "allowMotion": "--video",
    "baseModel": "--base-model",
    "priority": "--priority",
    "image": "--image",
    "startImage.uri": "--image",
    "mask": "--mask",
    "mask.uri": "--mask",
    "video_image": "--video-image",
    "video.startImage": "--video-image",
    "video.startImage.uri": "--video-image",
}
"""The option of each field, and of each file, of a generation."""

IMPORT_OPTIONS = {
    "model_id": "--model",
    "prompt": "--prompt",
    "base_model": "--base-model",
    "replace": "--replace",
    "uri": "FILE",
}
"""The option of each query parameter of an import."""

LISTING_OPTIONS = {
    "limit": "--limit",
    "cursor": "--cursor",
    "model_id": "--model",
    "submitted_by": "--by",
    "status": "--status",
    "q": "--query",
}
"""The option of each query parameter of a list of jobs."""

OPTIONS_OF_KIND = {"TrainJob": TRAIN_OPTIONS, "GenerateJob": GENERATE_OPTIONS}

_OPTIONS = {
    ("submitting", "train"): TRAIN_OPTIONS,
    ("submitting", "generate"): GENERATE_OPTIONS,
    ("models", "import_model"): IMPORT_OPTIONS,
    ("models", "show_model"): {"model_id": "ID"},
    ("models", "remove"): {"model_id": "ID"},
    ("models", "download"): {"model_id": "ID"},
    ("jobs", "list_jobs"): LISTING_OPTIONS,
    ("jobs", "show_logs"): {"attempt": "--attempt", "id": "ID"},
    ("jobs", "set_priority"): {"priority": "N", "id": "ID"},
}

_SENTENCES = (
    (re.compile(r"\btraining\.saveSteps \(save_steps in a URL\)"), "--set training.saveSteps=N"),
    (re.compile(r"^Add this field: it is required"), "it is required"),
    (re.compile(r" ?Send your key in a header:[^.]*\."), ""),
    (re.compile(r"\bSend the request again\b"), "Try again"),
    (re.compile(r", and follow jobs by their event streams instead of polling"), ""),
    (re.compile(r"^Input should be less than or equal to "), "use at most "),
    (re.compile(r"^Input should be greater than or equal to "), "use at least "),
    (re.compile(r"^Input should be less than "), "use less than "),
    (re.compile(r"^Input should be greater than "), "use more than "),
    # Without the rest, such as "unable to parse string as an integer".
    (
        re.compile(r"^(?:Input should be a valid|Unable to parse input string as an) integer\b[^.]*"),
        "use a whole number",
    ),
    (re.compile(r"^Input should be a (?:valid|finite) number\b[^.]*"), "use a number"),
    (re.compile(r"^Input should be a valid boolean\b[^.]*"), "use true or false"),
    (re.compile(r"^Input should be (?=an? |')"), "use "),
)

MAX_GIVEN_CHARACTERS = 40
"""Of a refused value."""


@dataclass(frozen=True)
class Wording:
    """Knows the options of one command."""

    options: Mapping[str, str] = field(default_factory=dict)
    """By field."""

    def text(self, text: str) -> str:
        """A message with options for fields."""
        for pattern, words in _SENTENCES:
            text = pattern.sub(words, text)
        return self._names.sub(self._named, text) if self.options else text

    def _named(self, found: re.Match[str]) -> str:
        """An option that turns something on has no value: allowMotion: true is --video."""
        return self.options[found[0].removesuffix(": true")]

    def problem(self, problem: FieldProblem) -> str:
        """What to change, such as: --count is 1000: use at most 8."""
        option, message = self.option_of(problem.parameter), self.text(problem.message)
        name, _, rest = message.partition(" ")
        if rest.startswith("is ") and option in (name, self.options.get(name)):  # It names the option itself.
            return f"{option} {rest}"
        if message.startswith("use ") and problem.given and len(problem.given) <= MAX_GIVEN_CHARACTERS:
            return f"{option} is {problem.given}: {message}"
        return f"{option}: {message}"

    def option_of(self, field_name: str) -> str:
        """The option of a field; the field itself where there is none."""
        return self.options.get(field_name) or self.options.get(re.sub(r"\[\d+\].*", "", field_name), field_name)

    @property
    def _names(self) -> re.Pattern[str]:
        """Names that no English sentence has; the others only where a message begins with them and a colon."""
        distinct = sorted((name for name in self.options if re.search(r"[._A-Z]", name)), key=len, reverse=True)
        patterns = [rf"(?<![\w./]){re.escape(name)}(?:: true\b)?(?![\w/]|\.\w)" for name in distinct]
        patterns += [rf"(?:(?<=^)|(?<=\. )){name}(?=: )" for name in self.options if name not in distinct]
        return re.compile("|".join(patterns))


def wording_of(options: Namespace) -> Wording:
    """For the errors of this command. Fields that --set or --spec gave are not renamed: a person wrote them so."""
    named = _OPTIONS.get(getattr(options, "command", ("", "")), {})
    written = set(_paths([*getattr(options, "settings", ())]))
    has_spec = getattr(options, "spec", None) is not None
    return Wording(
        {
            name: option
            for name, option in named.items()
            if name not in written and (not has_spec or _is_given(options, option))
        }
    )


def wording_for(kind: str) -> Wording:
    """For what a run of a job of this kind says."""
    return Wording(OPTIONS_OF_KIND.get(kind, {}))


def _is_given(options: Namespace, option: str) -> bool:
    return getattr(options, option.lstrip("-").replace("-", "_").lower(), None) not in (None, [])


def _paths(documents: list[dict[str, object]], parent: str = "") -> list[str]:
    """The dotted paths of all values."""
    found = []
    for document in documents:
        for name, value in document.items():
            path = f"{parent}{name}"
            found += _paths([value], f"{path}.") if isinstance(value, dict) else [path]
    return found
