"""A Python in which only one extra of Tagloom is installed: `python only_extra.py EXTRA`.

Whatever the extra's requirements, and theirs, do not bring cannot be imported, as if it were not
there. Imports every module of the service, starts its server on a free port, and prints what the
health service says. Run as a program, since a process's imports can be limited only once.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import distribution, packages_distributions
from types import ModuleType

from packaging.requirements import Requirement


def required_by(extra: str) -> set[str]:
    """Normalised names of the distributions that `pip install tagloom[extra]` brings."""
    found: set[str] = set()
    asked: set[tuple[str, str]] = set()
    todo = [Requirement(f"tagloom[{extra}]")]
    while todo:
        requirement = todo.pop()
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        found.add(name)
        for wanted in ("", *requirement.extras):
            if (name, wanted) in asked:
                continue
            asked.add((name, wanted))
            for line in distribution(name).requires or ():
                further = Requirement(line)
                if further.marker is None or further.marker.evaluate({"extra": wanted}):
                    todo.append(further)
    return found


class NotInstalled(MetaPathFinder):
    """Finds nothing, loudly, for the packages of distributions that are not `allowed`."""

    def __init__(self, allowed: set[str]) -> None:
        self.hidden = {
            package
            for package, names in packages_distributions().items()
            if not {re.sub(r"[-_.]+", "-", name).lower() for name in names} & allowed
        } - {"services", "tagloom", "pipelines"}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """None lets the next finder look."""
        if fullname.partition(".")[0] in self.hidden:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


def main(extra: str) -> None:
    """Ends with 0 if everything that the service is made of works with its extra alone."""
    blocker = NotInstalled(required_by(extra))
    for name in [name for name in sys.modules if name.partition(".")[0] in blocker.hidden]:
        del sys.modules[name]
    sys.meta_path.insert(0, blocker)

    package = importlib.import_module(f"services.{extra}")
    for module in pkgutil.walk_packages(package.__path__, f"services.{extra}."):
        importlib.import_module(module.name)

    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from tagloom.client import in_process
    from tagloom.rpc.settings import Settings

    settings = Settings.from_environment(given={"metrics_address": ""})
    with in_process(settings, only=(extra,)) as clients:
        health = health_pb2_grpc.HealthStub(clients.channel(extra))
        status = health.Check(health_pb2.HealthCheckRequest()).status
    print(health_pb2.HealthCheckResponse.ServingStatus.Name(status))


if __name__ == "__main__":
    main(sys.argv[1])
