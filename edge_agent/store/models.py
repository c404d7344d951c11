"""Model bundles on disk, for those who look in the store; the work is done beside the runtime, in vlm.locate."""

from __future__ import annotations

from edge_agent.vlm.locate import BundleInfo, find_bundle, list_bundles, search_path, verify_bundle

__all__ = ["BundleInfo", "find_bundle", "list_bundles", "search_path", "verify_bundle"]
