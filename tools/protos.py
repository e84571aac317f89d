"""Generates tagloom/v1 from protos/: `python tools/protos.py [--out DIR]` (run by `make protos`).

googleapis' own .proto files come from the installed googleapis-common-protos wheel, copied under
their right names into build/protos (not committed), so that buf and protoc run offline.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from importlib.metadata import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
GOOGLEAPIS = ROOT / "build" / "protos"
# The wheel calls operations.proto by another name, because a module of the old name shadowed it.
RENAMED = {"operations_proto.proto": "operations.proto"}


def copy_googleapis(target: Path = GOOGLEAPIS) -> None:
    """Copies google/{api,longrunning,rpc}/*.proto from the wheel."""
    for file in files("googleapis-common-protos") or ():
        if file.suffix == ".proto" and file.parts[:2] in {
            ("google", "api"),
            ("google", "longrunning"),
            ("google", "rpc"),
        }:
            if len(file.parts) > 3:  # google/rpc/context and friends: not used
                continue
            destination = target.joinpath(*file.parts[:-1], RENAMED.get(file.name, file.name))
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), destination)


def generate(out: Path) -> None:
    """Writes *_pb2.py, *_pb2.pyi, *_pb2_grpc.py and *_pb2_grpc.pyi below `out`."""
    import grpc_tools

    copy_googleapis()
    sources = sorted((ROOT / "protos").rglob("*.proto"))
    arguments = [
        "protoc",
        f"-I{ROOT / 'protos'}",
        f"-I{GOOGLEAPIS}",
        f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
        f"--python_out={out}",
        f"--pyi_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_grpc_out={out}",
        f"--plugin=protoc-gen-mypy_grpc={Path(sys.executable).parent / 'protoc-gen-mypy_grpc'}",
        *(str(source) for source in sources),
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed; its message is above")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT)
    parser.add_argument("--googleapis-only", action="store_true", help="only copy what buf needs")
    options = parser.parse_args()
    if options.googleapis_only:
        copy_googleapis()
        sys.exit(0)
    options.out.mkdir(parents=True, exist_ok=True)
    generate(options.out)
