"""Logging of diffusers, transformers and huggingface_hub: no progress bars, errors only, in our log format.

Called before the first of these libraries is imported.
"""

import os

from darkroom_runner.run.optional_libraries import hide_cuda_libraries

_DEFAULTS = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DIFFUSERS_VERBOSITY": "error",
    "TRANSFORMERS_VERBOSITY": "error",
}


def configure_library_logging() -> None:
    """Silence everything below errors and Python warnings. Environment variables that are already set win."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    hide_cuda_libraries()
    import diffusers.utils.logging
    import transformers.utils.logging

    for library in (diffusers.utils.logging, transformers.utils.logging):
        library.disable_progress_bar()
        # Their own handlers would write quoted prompts without escaping control characters.
        library.disable_default_handler()
        library.enable_propagation()
