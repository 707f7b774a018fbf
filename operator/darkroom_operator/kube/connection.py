"""Credentials for the API server: KUBECONFIG, the pod's service account, or ~/.kube/config, in this order.

Used by kopf's watches (`cache/handlers.py`) and by our own requests (`client.py`). kopf reads the files; it does not
support credential plugins.
"""

import os

import kopf
import yaml

from darkroom_operator.errors import LoginError


def find_connection(settings: kopf.OperatorSettings | None = None) -> kopf.ConnectionInfo:
    """Reads the files at every call, since service account tokens are rotated hourly. Raises `LoginError`."""
    settings = settings or kopf.OperatorSettings()
    try:
        found = _find(settings)
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError, kopf.LoginError) as error:
        raise LoginError(f"The kubeconfig or service account can't be used: {error!r}") from error
    if found is None or not found.server:
        raise LoginError("No API server is configured: set KUBECONFIG, or run in a pod with a service account.")
    return found


def _find(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo | None:
    if os.environ.get("KUBECONFIG"):
        return kopf.login_with_kubeconfig(settings=settings)
    return kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)
