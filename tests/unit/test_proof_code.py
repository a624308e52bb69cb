"""What a proof imports inside its jail is mounted there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sandbox.products.proving import CODE

_ROOT = Path(__file__).parents[2]
_IMPORTED = """
import sys
import sandbox.products.proving_inside
import sandbox.products.evidence, sandbox.products.evidence_files
for name, module in sorted(sys.modules.items()):
    if name.partition(".")[0] in ("sandbox", "policies") and getattr(module, "__file__", None):
        print(module.__file__)
"""


def test_every_module_of_the_platform_that_a_proof_imports_is_mounted() -> None:
    done = subprocess.run([sys.executable, "-c", _IMPORTED], cwd=_ROOT, capture_output=True, text=True, check=True)
    places = [str(Path(line).relative_to(_ROOT)) for line in done.stdout.splitlines()]
    mounted = (*CODE, "sandbox/workspaces")
    missing = [p for p in places if not p.endswith("__init__.py") and not p.startswith(mounted)]
    assert missing == [] and len(places) > 20
