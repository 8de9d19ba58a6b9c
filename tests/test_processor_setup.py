"""A prepared process touches new memory once, and not again at every step; elsewhere nothing happens."""

import ctypes
import platform
import subprocess
import sys

import pytest

from m3ae.train import processor
from m3ae.train.processor import prepare_processor

FAULTS = """
import resource, sys, torch
from m3ae.train.processor import prepare_processor
if sys.argv[1] == "prepared":
    assert prepare_processor()
faults = []
for step in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.ones(2**23) for _ in range(4)]
    del blocks
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(faults[3:]))
"""
GLIBC = platform.libc_ver()[0] == "glibc"


def faults_of_a_later_step(how):
    done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not GLIBC, reason="this is not glibc")
def test_freed_memory_is_used_again_without_page_faults():
    pages = 2**27 // 4096
    assert faults_of_a_later_step("plain") > pages / 1000  # where huge pages are on, there are few
    assert faults_of_a_later_step("prepared") < pages / 10_000


@pytest.mark.parametrize("library", [("", ""), ("libc", "1.2")])  # macOS, musl
def test_nothing_happens_with_another_c_library(monkeypatch, library):
    monkeypatch.setattr(platform, "libc_ver", lambda: library)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("opened a library"))
    assert prepare_processor() is False


def test_a_c_library_without_the_setting_is_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.0"))
    monkeypatch.setattr(processor.ctypes, "CDLL", lambda name: object())
    assert prepare_processor() is False
