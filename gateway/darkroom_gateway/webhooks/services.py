"""Builds the services of webhooks. Called by the gateway's services.py."""

from datetime import timedelta

from darkroom_gateway.backends.calls import Backend
from darkroom_gateway.jobs.store import JobStore
from darkroom_gateway.jobs.webhook_policy import WebhookPolicy
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.metrics import Metrics
from darkroom_gateway.settings import Settings
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_gateway.webhooks.cluster import WebhookCluster
from darkroom_gateway.webhooks.election import SenderElection
from darkroom_gateway.webhooks.messages import message_of
from darkroom_gateway.webhooks.outbox import Outbox
from darkroom_gateway.webhooks.receiver import WebhookReceivers
from darkroom_gateway.webhooks.sender import WebhookSender
from darkroom_gateway.webhooks.signing import SigningSecrets


def webhook_policy(settings: Settings) -> WebhookPolicy:
    return WebhookPolicy(settings.webhook_addresses, can_sign=settings.webhook_secrets is not None)


def build_webhook_sender(
    settings: Settings, store: JobStore, kube: KubeClient, storage: ObjectStorage, backend: Backend, metrics: Metrics
) -> WebhookSender | None:
    """None when webhooks are turned off. Raises `SettingsError` for unusable secrets."""
    policy = webhook_policy(settings)
    if settings.webhook_secrets is None or not policy.is_on:
        return None
    cluster = WebhookCluster(kube)
    return WebhookSender(
        outbox=Outbox(store),
        cluster=cluster,
        backend=backend,
        election=SenderElection(cluster, backend, settings.webhook_lease_seconds),
        receivers=WebhookReceivers(policy, SigningSecrets(settings.webhook_secrets), settings.webhook_seconds),
        compose=lambda job, event: message_of(job, event, storage, settings.root_path),
        metrics=metrics,
        keep_deleted=timedelta(seconds=2 * settings.webhook_lease_seconds),
    )
