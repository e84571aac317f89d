"""What the reading process gives up before it sees a byte of a file from a stranger.

After `confine` the process can compute, use the memory that it may have, read and write files that
are open already, and end. The kernel refuses everything else with EPERM: opening a file by any
name, sockets, new processes and programs, executable memory. It is a seccomp filter, an
allowlist of system calls; it needs no privilege and cannot be taken back. Limits on memory, CPU
time and written bytes come from `setrlimit`. Linux on x86-64 and ARM64; elsewhere `confine` fails,
and so does the reading.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys

__all__ = ["ConfinementError", "confine"]

# System calls by their numbers on x86-64 and on ARM64 (the kernel's syscall tables).
_ALLOWED = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "lseek": (8, 62),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "getpid": (39, 172),
    "exit": (60, 93),
    "fcntl": (72, 25),
    "ftruncate": (77, 46),
    "gettimeofday": (96, 169),
    "futex": (202, 98),
    "clock_gettime": (228, 113),
    "exit_group": (231, 94),
    "getrandom": (318, 278),
}
# Allowed when the memory does not become executable: protection is their third argument.
_MEMORY = {"mmap": (9, 222), "mprotect": (10, 226)}

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

# Berkeley packet filter instructions, from linux/bpf_common.h and linux/seccomp.h.
_LOAD, _EQUAL, _BITS, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _THIRD_ARGUMENT_AT = 0, 4, 32
_KILL, _REFUSE, _ALLOW = 0x80000000, 0x00050001, 0x7FFF0000  # 0x0005____: errno, 1 is EPERM

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_SECCOMP = (317, 277)


class ConfinementError(Exception):
    """This system cannot confine a process as described."""


def confine(*, memory: int, cpu_seconds: int, written: int) -> None:
    """Gives up what the module says, for good.

    memory: bytes of address space. cpu_seconds: of this process, in all. written: largest file.
    Raises ConfinementError, having promised nothing.
    """
    machine = os.uname().machine
    if sys.platform != "linux" or machine not in _ARCHITECTURES or sys.maxsize < 1 << 32:
        raise ConfinementError(f"{sys.platform} on {machine} is not Linux on x86-64 or ARM64")
    limits = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_FSIZE: written,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
    }
    try:
        for kind, most in limits.items():
            hard = resource.getrlimit(kind)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (most, most))
    except (OSError, ValueError) as error:
        raise ConfinementError(f"its limits cannot be set ({error})") from error
    _filter_system_calls(*_ARCHITECTURES[machine])


def _filter_system_calls(column: int, architecture: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    program = _program(column, architecture)
    code = ctypes.create_string_buffer(program, len(program))
    pointer = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    header = ctypes.create_string_buffer(pointer, len(pointer))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise ConfinementError(f"no_new_privs is refused ({os.strerror(ctypes.get_errno())})")
    done = libc.syscall(
        ctypes.c_long(_SECCOMP[column]),
        ctypes.c_ulong(_SECCOMP_SET_MODE_FILTER),
        ctypes.c_ulong(_ALL_THREADS),
        header,
    )
    if done != 0:
        reason = os.strerror(ctypes.get_errno())
        raise ConfinementError(f"the kernel accepts no seccomp filter ({reason})")


def _program(column: int, architecture: int) -> bytes:
    """The filter. Every jump is relative to the next instruction; a call is compared in turn."""

    def one(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("=HBBI", code, if_true, if_false, value)

    parts = [
        one(_LOAD, _ARCHITECTURE_AT),
        one(_EQUAL, architecture, 1, 0),
        one(_RETURN, _KILL),  # a 32-bit call: its numbers mean other things
        one(_LOAD, _NUMBER_AT),
    ]
    for numbers in _ALLOWED.values():
        parts += [one(_EQUAL, numbers[column], 0, 1), one(_RETURN, _ALLOW)]
    for numbers in _MEMORY.values():
        parts += [
            one(_EQUAL, numbers[column], 0, 4),
            one(_LOAD, _THIRD_ARGUMENT_AT),
            one(_BITS, 4, 0, 1),  # PROT_EXEC
            one(_RETURN, _REFUSE),
            one(_RETURN, _ALLOW),
        ]
    parts.append(one(_RETURN, _REFUSE))
    return b"".join(parts)
