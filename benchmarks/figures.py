"""One measured number beside the number it is compared with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.text import Text


@dataclass(frozen=True, slots=True)
class Figure:
    """`value` of ours, `against` that of the other side (a rival, a baseline, or our aim), both in `unit`."""

    name: str
    value: float
    against: float
    unit: str
    text: Text

    @property
    def ratio(self) -> float:
        """Ours over the other side; for times below 1 is better."""
        return round(self.value / self.against, 3)

    def as_dict(self) -> dict[str, Any]:
        """The form `pds bench` prints."""
        return {
            "name": self.name, "value": round(self.value, 3), "against": self.against, "unit": self.unit,
            "ratio": self.ratio, "text": self.text.as_dict(),
        }  # fmt: skip


def peak_mb() -> float:
    """The most memory this process has held, in MB. `ru_maxrss` would count that of the process it was forked from."""
    told = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if told is None:
        raise RuntimeError("the kernel does not tell VmHWM")
    return int(told[1]) / 1024
