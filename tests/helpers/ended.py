"""Whether processes have ended."""

import time
from pathlib import Path


def gone(processes: set[int], seconds: float = 20) -> bool:
    """Whether all of them have ended, or end soon."""
    until = time.monotonic() + seconds
    while any(Path(f"/proc/{process}").exists() for process in processes) and time.monotonic() < until:
        time.sleep(0.1)
    return not any(Path(f"/proc/{process}").exists() for process in processes)
