"""Configuration of the Kubernetes client: from a kubeconfig, or from the pod's service account."""

import os

from kubernetes import client, config
from kubernetes.config import ConfigException

from darkroom_gateway.backends.calls import CLUSTER_CALLS
from darkroom_gateway.errors import SettingsError
from darkroom_gateway.settings import Settings

POOL_SIZE = CLUSTER_CALLS + 8
"""Connections that are kept open: one per concurrent call, and some for checks and watches. urllib3 opens more when
they are all in use, and closes those after use."""


def client_configuration(settings: Settings) -> client.Configuration:
    """Raises `SettingsError` when neither a kubeconfig nor a service account is usable."""
    configuration = client.Configuration()
    try:
        if settings.kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(settings.kubeconfig, client_configuration=configuration)
    except ConfigException as error:
        raise SettingsError(f"can't connect to the cluster: {error}. Set KUBECONFIG to a kubeconfig's path.") from error
    configuration.retries = False
    configuration.connection_pool_maxsize = POOL_SIZE
    return configuration
