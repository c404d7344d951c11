"""edge-agent: multimodal question answering on small devices that goes to the cloud only when it pays."""

from __future__ import annotations

import os
from importlib.machinery import PathFinder

__all__ = ["__version__"]

# ONNX Runtime from 1.29 on sends events to its maker, and leaves a device id in the user's cache, unless this is set
# before it is loaded. Who wants that sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# In a source tree whose kernels were not built in place (`python -m cloud_stub` in a clone), those of the installed
# package are taken.
if PathFinder.find_spec(f"{__name__}._core", __path__) is None:
    from pkgutil import extend_path

    __path__ = extend_path(__path__, __name__)


def __getattr__(name: str) -> str:
    """`__version__` of the installed package; looked up when asked for, as the look-up costs more than the import."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("edge-agent")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0.0.0"
