"""Expands `$(NAME)` in a container's environment and command, by Kubernetes' rules. Pure.

Source: k8s.io/kubernetes/third_party/forked/golang/expansion/expand.go
"""

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def expand(text: str, values: Mapping[str, str]) -> str:
    """`$$` becomes `$`, and `$(NAME)` the value; a reference to an unknown name stays unchanged."""

    def replacement(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return values.get(match[1], match[0])

    return _REFERENCE.sub(replacement, text)
