"""Options of `darkroom train` and `darkroom generate`. Called by parser.py; imports no command.

Defaults are those of the contract, which is not imported here: `--help` should not wait for pydantic.
"""

from argparse import Action, ArgumentParser, BooleanOptionalAction, _ArgumentGroup
from functools import partial
from pathlib import Path

from darkroom_client.cli import names, parsed_values, spec_values
from darkroom_client.cli.help_format import examples

TRAIN_USAGE = "darkroom train PHOTOS... --model ID --prompt TEXT [options]"
GENERATE_USAGE = "darkroom generate PROMPT [--model ID[:SCALE]]... [-o DIR] [options]"

BASE_MODELS = "a folder of the model root, or owner/name on the Hugging Face hub (default: the cluster's)"

TRAIN_EXAMPLES = examples(
    'darkroom train ./photos --model my-dog --prompt "a photo of sks dog" --follow',
    'darkroom train ./photos -m my-dog -p "a photo of sks dog" --steps 800 --rank 32 -o out/',
    "darkroom train ./photos --spec training.yaml --follow",
)
GENERATE_EXAMPLES = examples(
    'darkroom generate "a photo of sks dog on the moon" --model my-dog -o out/',
    'darkroom generate "a lighthouse, oil painting" -n 4 --size 1024x768 --seed 7 -o out/',
    'darkroom generate "the same, in winter" --image house.jpg --strength 0.5',
)


def completed_by(argument: Action, completer: str) -> None:
    """Names the function of completion.py that proposes values."""
    argument.completer_name = completer  # type: ignore[attr-defined]


def add_train(parser: ArgumentParser) -> None:
    parser.usage, parser.epilog = TRAIN_USAGE, TRAIN_EXAMPLES
    required = parser.add_argument_group("required", "PHOTOS, or --dataset; a --spec may hold the rest.")
    required.add_argument(
        "photos",
        nargs="*",
        type=names.path,
        metavar="PHOTOS",
        help="folders or files, with captions and masks beside photos",
    )
    model = required.add_argument(
        "--model", "-m", type=names.model_name, metavar="ID", help="name under which the LoRA is stored"
    )
    completed_by(model, "model_ids")
    required.add_argument(
        "--prompt",
        "-p",
        type=names.words,
        metavar="TEXT",
        help="what the photos show, with a rare word, such as: a photo of sks dog",
    )
    _add_learning(parser.add_argument_group("training"))
    result = parser.add_argument_group("progress and files")
    result.add_argument("--follow", "-f", action="store_true", help="show the progress until the training has ended")
    result.add_argument(
        "--output", "-o", type=names.path, metavar="DIR", help="follow, and save samples and the LoRA here"
    )
    _add_submission(parser)


def _add_learning(group: _ArgumentGroup) -> None:
    number = partial(spec_values.SpecNumber, "train")
    group.add_argument("--steps", type=number("max_steps"), metavar="N", help="training steps (default: 500)")
    group.add_argument(
        "--rank",
        type=number("training.rank"),
        metavar="N",
        help="rank of the LoRA: how much it can learn (default: 16)",
    )
    group.add_argument(
        "--learning-rate",
        type=number("training.learning_rate"),
        metavar="X",
        help="peak learning rate (default: 0.0001; with Prodigy 1)",
    )
    group.add_argument(
        "--resolution",
        type=number("training.resolution"),
        metavar="PX",
        help="side to which photos are scaled, in pixels (default: the base model's, 1024 for SDXL)",
    )
    group.add_argument(
        "--seed", type=number("training.seed"), metavar="N", help="seed of all random choices (default: 0)"
    )
    group.add_argument(
        "--sample",
        action="append",
        type=names.words,
        metavar="PROMPT",
        help="generate this image during the training; may be repeated (default: none)",
    )
    group.add_argument(
        "--base-model", type=names.base_model, metavar="NAME", help=f"SDXL model to train, {BASE_MODELS}"
    )
    group.add_argument(
        "--dataset",
        type=names.dataset_uri,
        metavar="URI",
        help="photos in object storage (s3://...), instead of PHOTOS",
    )


def add_generate(parser: ArgumentParser) -> None:
    parser.usage, parser.epilog = GENERATE_USAGE, GENERATE_EXAMPLES
    required = parser.add_argument_group("required")
    required.add_argument("prompt", type=names.words, metavar="PROMPT", help="what the images show, in quotes")
    _add_images(parser.add_argument_group("images"))
    _add_pictures(parser.add_argument_group("from a picture"))
    clip = parser.add_argument_group("clip")
    clip.add_argument(
        "--video", action=BooleanOptionalAction, help="also make a clip from the first image (default: no)"
    )
    clip.add_argument("--video-image", type=names.file, metavar="FILE", help="picture that the clip starts from")
    result = parser.add_argument_group("progress and files")
    result.add_argument(
        "--output",
        "-o",
        type=names.path,
        default=Path(),
        metavar="DIR",
        help="folder for the files (default: this one)",
    )
    until = result.add_mutually_exclusive_group()
    until.add_argument(
        "--follow",
        "-f",
        action="store_true",
        help="show the progress until the job has ended, and save the files: the default",
    )
    until.add_argument("--detach", "-d", action="store_true", help="only submit the job; save nothing")
    _add_submission(parser)


def _add_images(group: _ArgumentGroup) -> None:
    _add_model_and_count(group)
    number = partial(spec_values.SpecNumber, "generate")
    group.add_argument(
        "--size",
        type=spec_values.size,
        metavar="WxH",
        help="in pixels, such as 1024x768 (default: the base model's, 1024x1024 for SDXL)",
    )
    group.add_argument("--steps", type=number("images.steps"), metavar="N", help="denoising steps (default: 30)")
    group.add_argument(
        "--guidance",
        type=number("images.guidance_scale"),
        metavar="X",
        help="how closely the images follow the prompt (default: 5)",
    )
    group.add_argument("--seed", type=number("images.seed"), metavar="N", help="seed of the first image (default: 0)")
    group.add_argument(
        "--scheduler",
        type=spec_values.scheduler,
        metavar="NAME",
        help="DDIM, DPM++, Euler, EulerAncestral, EulerTrailing, Heun, LCM, TCD or UniPC (default: the base model's)",
    )
    group.add_argument("--base-model", type=names.base_model, metavar="NAME", help=f"SDXL model, {BASE_MODELS}")


def _add_model_and_count(group: _ArgumentGroup) -> None:
    model = group.add_argument(
        "--model",
        "-m",
        action="append",
        default=[],
        type=spec_values.lora,
        metavar="ID[:SCALE]",
        help="LoRA to use, with its strength (default: none; strength 1); may be repeated",
    )
    completed_by(model, "model_ids")
    group.add_argument("--negative", metavar="TEXT", help="what the images should not show (default: nothing)")
    group.add_argument(
        "--count",
        "-n",
        type=spec_values.SpecNumber("generate", "images.count"),
        metavar="N",
        help="number of images, 1 to 8 (default: 1)",
    )


def _add_pictures(group: _ArgumentGroup) -> None:
    group.add_argument("--image", type=names.file, metavar="FILE", help="picture that the prompt changes")
    group.add_argument(
        "--strength",
        type=spec_values.SpecNumber("generate", "start_image.strength"),
        metavar="X",
        help="how much of the picture changes: 0.05 to 1 (default: 0.6)",
    )
    group.add_argument("--mask", type=names.file, metavar="FILE", help="white where the picture is painted over")


def _add_submission(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("job")
    group.add_argument(
        "--priority",
        type=spec_values.PRIORITY,
        metavar="N",
        help="-1000 to 1000; jobs with a higher one run first (default: 0)",
    )
    group.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        type=parsed_values.setting,
        metavar="FIELD=VALUE",
        help="set any field of the job's spec, such as training.captionDropout=0.1; may be repeated",
    )
    group.add_argument("--spec", type=names.file, metavar="FILE", help="a spec as YAML or JSON; other options win")
