"""edge-agent: multimodal question answering on small devices that goes to the cloud only when it pays."""

from __future__ import annotations

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    """`__version__` of the installed package; looked up when asked for, as the look-up costs more than the import."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("edge-agent")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0.0.0"
