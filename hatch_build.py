"""The build hook: compile the kernel, so that a wheel holds it and an editable install finds it.

Rules:
1. The compiler is `zig cc` of the build requirement `ziglang`: the same one on every platform, and nothing
   has to be installed on the machine.
2. The library needs the C library and nothing else: on Linux glibc 2.17 or newer, any x86-64 since 2009.
3. Without `ziglang` the package is built without a kernel: it works, by scikit-learn, and says so at the
   start. A kernel that does not compile ends the build.
"""

import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = Path("models/native")
SUFFIX = {"linux": "so", "darwin": "dylib", "win32": "dll"}.get(sys.platform, "so")
LIBRARY = SOURCES / f"kernel.{SUFFIX}"
FLAGS = ("-std=c11", "-O3", "-g0", "-s", "-shared", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off")


class KernelBuild(BuildHookInterface[Any]):
    """Compiles `models/native/*.c` into one library beside them."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, take the library into the wheel, and name the platform in the wheel's tag."""
        del version  # a wheel and an editable install need the same
        if importlib.util.find_spec("ziglang") is None:
            self.app.display_warning("no ziglang here: built without the kernel, models run by scikit-learn")
            return
        target, tag = _target()
        compile_kernel(Path(self.root), target)
        build_data["artifacts"].append(f"/{LIBRARY.as_posix()}")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{tag}"


def compile_kernel(root: Path, target: tuple[str, ...]) -> None:
    """Compile into a file of its own and move it: who has the old library open keeps it."""
    sources = [str(path) for path in sorted((root / SOURCES).glob("*.c"))]
    made = root / LIBRARY
    with tempfile.TemporaryDirectory(prefix="kernel-") as cache:
        fresh = Path(cache) / LIBRARY.name
        environment = os.environ | {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}
        command = [sys.executable, "-m", "ziglang", "cc", *target, *FLAGS, *sources, "-o", str(fresh)]
        done = subprocess.run(  # noqa: S603  our own arguments
            command, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"the kernel does not compile: {' '.join(command)}\n{done.stderr[-4000:]}")
        beside = made.with_name(f".{made.name}.{os.getpid()}")
        beside.write_bytes(fresh.read_bytes())
        beside.chmod(0o755)
        beside.replace(made)


def _target() -> tuple[tuple[str, ...], str]:
    """Return the compiler's flags for this machine, and the platform tag of a wheel."""
    machine = platform.machine().lower().replace("amd64", "x86_64")
    baseline = ("-mcpu=x86_64_v2",) if machine == "x86_64" else ()
    if sys.platform == "linux":
        cpu = machine.replace("arm64", "aarch64")
        if platform.libc_ver()[0] == "glibc":
            return ("-target", f"{cpu}-linux-gnu.2.17", *baseline), f"manylinux_2_17_{cpu}"
        return ("-target", f"{cpu}-linux-musl", *baseline), f"musllinux_1_2_{cpu}"
    if sys.platform == "darwin":
        cpu = machine.replace("arm64", "aarch64")
        return ("-target", f"{cpu}-macos.11.0", *baseline), f"macosx_11_0_{machine}"
    return baseline, f"win_{machine.replace('x86_64', 'amd64')}"
