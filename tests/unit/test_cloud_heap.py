"""The heap of a cloud keeps what uploads came in, so that the next one faults no page in."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library has no mallopt")
def test_memory_that_was_given_back_is_there_again_without_a_page_fault() -> None:
    code = """
import resource, sys
from cloud_stub.heap import keep_heap
if sys.argv[1] == "kept":
    assert keep_heap()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def upload():
    chunks = [bytes(8192) for _ in range(2048)]  # 16 MiB
    return b"".join(chunks[:128])
for _ in range(3):
    upload()
before = faults()
for _ in range(4):
    upload()
print(faults() - before)
"""
    counted = {
        kind: int(subprocess.run([sys.executable, "-c", code, kind], capture_output=True, text=True, check=True).stdout)
        for kind in ("kept", "given back")
    }
    assert counted["kept"] < counted["given back"] / 4
