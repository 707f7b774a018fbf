"""The version of the distribution."""


def version() -> str:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as version_of

    try:
        return version_of("darkroom")
    except PackageNotFoundError:  # Run from a source checkout that is not installed.
        return "unknown"
