"""The datasets, models, LoRA files and pictures that a job refers to, from its raw spec. Pure.

Tolerant: a job that does not match this release's schema still uses what it names.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from darkroom_contract.names import model_of_reference
from darkroom_contract.storage.keys import dataset_uri, parse_uri


@dataclass(frozen=True, slots=True)
class JobReferences:
    """What a job reads from object storage, besides base models."""

    dataset_uris: tuple[str, ...]
    """Of its own photos, those of its further concepts, and those of their classes."""
    models: frozenset[str]
    """Ids of the models that it trains, uses or continues from, without saved steps."""
    lora_uris: frozenset[str]
    image_uris: frozenset[str] = frozenset()
    """Of start pictures and masks."""

    def reads_below(self, uri_prefixes: Iterable[str]) -> bool:
        """Whether it reads a LoRA file under one of these URIs."""
        prefixes = tuple(uri_prefixes)
        return any(uri.startswith(prefixes) for uri in self.lora_uris)

    def reads_folder(self, bucket: str, prefix: str) -> bool:
        """Whether it reads that dataset, or a picture below it."""
        uri = dataset_uri(bucket, prefix)
        is_dataset = (bucket, prefix) in map(parse_uri, self.dataset_uris)
        return is_dataset or any(each.startswith(uri) for each in self.image_uris)


def read_references(spec: dict[str, Any]) -> JobReferences:
    """`spec` is that of a TrainJob or a GenerateJob."""
    loras = [*_maps(spec.get("loras")), _map(_map(spec.get("training")).get("initialLora"))]
    images = [_map(spec.get(name)) for name in ("startImage", "mask")]
    images.append(_map(_map(spec.get("video")).get("startImage")))
    named = [spec.get("modelId"), *(each.get("modelId") for each in loras)]
    return JobReferences(
        dataset_uris=tuple(dict.fromkeys(_texts(each.get("uri") for each in _datasets(spec)))),
        models=frozenset(model_of_reference(each) for each in _texts(named)),
        lora_uris=frozenset(_texts(each.get("uri") for each in loras)),
        image_uris=frozenset(_texts(each.get("uri") for each in images)),
    )


def _datasets(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    concepts = _maps(spec.get("concepts"))
    yield from (_map(each.get("dataset")) for each in (spec, *concepts))
    for each in (_map(spec.get("training")), *concepts):
        yield _map(_map(each.get("priorPreservation")).get("dataset"))


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _maps(value: object) -> list[dict[str, Any]]:
    return [_map(each) for each in value] if isinstance(value, list) else []


def _texts(values: Iterable[object]) -> Iterator[str]:
    return (each for each in values if isinstance(each, str))
