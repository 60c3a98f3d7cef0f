"""Core is pure: it loads with nothing installed, and loads nothing but the standard library."""

import subprocess
import sys
from pathlib import Path

import flowlag

LOAD_EVERY_MODULE = """
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
import flowlag
for module in pkgutil.iter_modules(flowlag.__path__):
    importlib.import_module(f"flowlag.{module.name}")
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(loaded - sys.stdlib_module_names))
"""


def test_every_module_loads_without_site_packages_and_brings_only_the_standard_library() -> None:
    core = Path(flowlag.__file__).parents[1]
    bare_python = [sys.executable, "-I", "-S", "-c", LOAD_EVERY_MODULE, str(core)]
    ran = subprocess.run(bare_python, capture_output=True, text=True, check=False)
    assert (ran.stdout.split(), ran.stderr) == (["flowlag"], "")
