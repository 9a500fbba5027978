from __future__ import annotations

import subprocess
import sys


def test_importing_the_world_loads_no_model_library() -> None:
    code = (
        "import sys, eta_guard.embedded;"
        "print(sorted({'torch', 'transformers', 'open_clip', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
