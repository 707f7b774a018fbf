"""Keeps the libraries' progress bars and advertisements out of the log. Called before the first of them is imported."""

import os

_QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DIFFUSERS_VERBOSITY": "error",
    "TRANSFORMERS_VERBOSITY": "error",
}


def quiet_libraries() -> None:
    """Errors still come through, and Python's own warnings. What a person has set stays."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import diffusers.utils.logging
    import transformers.utils.logging

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
