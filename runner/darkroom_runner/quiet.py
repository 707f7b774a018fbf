"""Keeps the libraries' progress bars and advertisements out of the log, and has what they still say formatted as our
own lines. Called before the first of them is imported.
"""

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

    for library in (diffusers.utils.logging, transformers.utils.logging):
        library.disable_progress_bar()
        # Their own handlers write what they quote of a prompt as it is.
        library.disable_default_handler()
        library.enable_propagation()
