"""`darkroom-tiny`: trains the small base models, exports and scores them, draws the sample photos and pictures.

darkroom-tiny train --work DIR        train all models from scratch: about two hours on two CPU cores
darkroom-tiny export --work DIR       write the trained models to models/ in half precision, with model cards
darkroom-tiny score                   the fraction of prompts that models/darkroom-tiny-sdxl follows
darkroom-tiny photos                  draw the five sample photos, and the pictures to start from
"""

import argparse
from pathlib import Path
from typing import Any

import torch

from darkroom_tiny import cards, samples, score
from darkroom_tiny.export import export, size_bytes, write_card

SDXL, SVD, VAE = "darkroom-tiny-sdxl", "darkroom-tiny-svd", "vae"


def main() -> None:
    options = _options()
    {"train": _train, "export": _export, "score": _score, "photos": _photos}[options.command](options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="darkroom-tiny", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("command", choices=("train", "export", "score", "photos"))
    parser.add_argument("--work", type=Path, default=Path(".scratch/tiny"), help="folder of the full-precision weights")
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of the exported models")
    parser.add_argument("--photos", type=Path, default=Path("examples/photos"), help="folder of the sample photos")
    parser.add_argument("--pictures", type=Path, default=Path("examples/pictures"), help="folder of the start pictures")
    return parser.parse_args()


def _train(options: argparse.Namespace) -> None:
    """Saves each model after its training; a model that already exists is not trained again."""
    from diffusers import AutoencoderKL

    from darkroom_tiny import sdxl_training, svd_training, vae_training

    work: Path = options.work
    if not (work / VAE).exists():
        vae_training.train_vae(vae_training.Settings()).save_pretrained(work / VAE)
    if not (work / SDXL).exists():
        vae = AutoencoderKL.from_pretrained(work / VAE).eval()
        sdxl_training.train_sdxl(vae, work / SDXL, sdxl_training.Settings())
    if not (work / SVD).exists():
        vae = AutoencoderKL.from_pretrained(work / SDXL / "vae").eval()
        svd_training.train_svd(vae, work / SVD)


def _export(options: argparse.Namespace) -> None:
    from diffusers import StableVideoDiffusionPipeline

    target: Path = options.models / SDXL
    export(_load_sdxl(options.work / SDXL), target)
    write_card(target, cards.sdxl_card(score.measure(_load_sdxl(target))))
    svd = StableVideoDiffusionPipeline.from_pretrained(options.work / SVD, dtype=torch.float32)
    export(svd, options.models / SVD)
    write_card(options.models / SVD, cards.svd_card(SDXL))
    print(f"{size_bytes(options.models / SDXL) + size_bytes(options.models / SVD):,} bytes")


def _score(options: argparse.Namespace) -> None:
    scores = score.measure(_load_sdxl(options.models / SDXL))
    print(f"100 prompts: {scores.all_prompts:.2f}; of these, 40 held out of training: {scores.held_out:.2f}")


def _photos(options: argparse.Namespace) -> None:
    for path in samples.write_photos(options.photos):
        print(path)
    samples.write_start_pictures(options.pictures)


def _load_sdxl(folder: Path) -> Any:
    from diffusers import StableDiffusionXLPipeline

    pipeline = StableDiffusionXLPipeline.from_pretrained(folder, dtype=torch.float32, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


if __name__ == "__main__":
    main()
