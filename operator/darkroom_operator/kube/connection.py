"""How the API server is reached: by KUBECONFIG, by the pod's service account, or by ~/.kube/config, in this order.

The same for kopf's watches (`handlers.py` hands it to kopf) and for our own requests (`cluster.py`). kopf reads the
files; credential plugins are not among what it understands.
"""

import os

import kopf
import yaml

from darkroom_operator.errors import LoginError


def find_connection(settings: kopf.OperatorSettings | None = None) -> kopf.ConnectionInfo:
    """Reads the files anew at every call, since tokens of service accounts change within the hour.

    Raises `LoginError`.
    """
    settings = settings or kopf.OperatorSettings()
    try:
        found = _find(settings)
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError, kopf.LoginError) as error:
        raise LoginError(f"The kubeconfig or service account can't be used: {error!r}") from error
    if found is None or not found.server:
        raise LoginError("There is no way to an API server: set KUBECONFIG, or run in a pod with a service account.")
    return found


def _find(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo | None:
    if os.environ.get("KUBECONFIG"):
        return kopf.login_with_kubeconfig(settings=settings)
    return kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(settings=settings)
