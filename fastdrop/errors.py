"""Errors of this package that no built-in exception names."""


class BackendUnavailable(RuntimeError):
    """What was asked for needs a device or a package that is not here; the message says how to get it."""


def missing_package(package: str, extra: str, use: str) -> BackendUnavailable:
    """The error for an optional package that is not installed."""
    return BackendUnavailable(
        f"{use} needs the package {package}, which is not installed; "
        f"install it with: pip install 'fastdrop-kernels[{extra}]' (in a clone: pip install '.[{extra}]')"
    )
