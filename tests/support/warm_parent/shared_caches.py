"""Reads botocore's data files and the CA certificates once per process instead of once per client.

Tests open a client or two each: a third of the CPU time of some test files. Also run by path, beside `server.py`.
"""

import functools
import importlib


def share_botocore_data() -> None:
    """All sessions get one loader, which keeps what it has read. Its data are not changed by clients."""
    loaders = importlib.import_module("botocore.loaders")
    loaders.create_loader = functools.cache(loaders.create_loader)


def read_s3_data() -> None:
    """What a client of S3 reads as it is opened."""
    loader = importlib.import_module("botocore.loaders").create_loader(None)
    for name in ("endpoints", "partitions", "sdk-default-configuration", "_retry"):
        loader.load_data(name)
    for kind in ("service-2", "endpoint-rule-set-1"):
        loader.load_service_model("s3", kind)


def share_ca_certificates() -> None:
    """Clients of httpx with the same settings get one TLS context."""
    transports = importlib.import_module("httpx._transports.default")
    transports.create_ssl_context = functools.cache(transports.create_ssl_context)
