"""What this machine lends to a run: cores and GPUs, found without torch."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup/cpu.max")


def cores() -> int:
    """Cores this process may use: its affinity, and the quota of its container."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = CGROUP.read_text().split()
        return max(1, min(available, int(quota) // int(period)))
    except (OSError, ValueError):
        return available


def gpus() -> tuple[str, ...]:
    """Names of the GPUs as CUDA_VISIBLE_DEVICES takes them; empty where there are none."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        named = [name.strip() for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",")]
        return tuple(name for name in named if name and not name.startswith("-"))
    return tuple(str(number) for number in range(len(_listed())))


def gpu_name() -> str:
    """What the first GPU is called; empty where there is none."""
    return next(iter(_listed()), "") if gpus() else ""


def processor() -> str:
    """What the processor is called."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor() or platform.machine()
    )


def _listed() -> tuple[str, ...]:
    """The names of the GPUs of this machine."""
    if not shutil.which("nvidia-smi"):
        return ()
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return ()
    lines = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")] if listed.returncode == 0 else []
    return tuple(line.partition(":")[2].partition("(")[0].strip() for line in lines)
