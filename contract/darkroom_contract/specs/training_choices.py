"""Values of the training settings that are one of a few words."""

from enum import StrEnum


class LoraLayers(StrEnum):
    """Layers of the U-Net that get adapters."""

    ATTENTION = "Attention"
    ALL = "All"


class Optimizer(StrEnum):
    """Optimizers, by the names that other trainers use."""

    ADAMW = "AdamW"
    ADAMW_8BIT = "AdamW8bit"
    ADAFACTOR = "Adafactor"
    PRODIGY = "Prodigy"

    @property
    def learning_rate(self) -> float:
        """The learning rate of a job that sets none. Prodigy scales its own estimate by it."""
        return 1.0 if self is Optimizer.PRODIGY else 1e-4


class Cropping(StrEnum):
    """How photos become training images of one area."""

    BUCKETS = "Buckets"
    SQUARE = "Square"


class Memory(StrEnum):
    """What a training saves memory with."""

    AUTO = "Auto"
    LOW = "Low"


class Quantization(StrEnum):
    """Precision of the frozen base model's weights. Not `Off`: YAML 1.1 reads that as a boolean."""

    AUTO = "Auto"
    DISABLED = "Disabled"
    NF4 = "NF4"
    FP8 = "FP8"


class FilePrecision(StrEnum):
    """Precision of the LoRA file for other tools."""

    FLOAT16 = "Float16"
    BFLOAT16 = "BFloat16"
    FLOAT32 = "Float32"


class LearningRateSchedule(StrEnum):
    """Learning rate schedules, by diffusers' names."""

    CONSTANT = "constant"
    COSINE = "cosine"
    LINEAR = "linear"
