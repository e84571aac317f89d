"""How much memory a scoring process takes for one photo: `python filter_peak.py FILE`, in MiB."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def main() -> None:
    """Scores the file by every check of the default profile, as a worker process does."""
    from services.filter.checks import CHECKS, SCORING_LONG_SIDE, SCORING_SIDE
    from services.filter.decode import decode
    from services.filter.profile import profile

    data = Path(sys.argv[1]).read_bytes()
    names = {CHECKS[each.check].source for each in profile(()) if each.enabled}
    for turn in range(2):  # the second time, everything that stays is there already
        photo = decode(data, at_least=SCORING_SIDE, at_least_long=SCORING_LONG_SIDE)
        for name in names if turn == 0 else ():
            CHECKS[name].score(photo)
    # Not ru_maxrss: that remembers what the parent had before it started this program.
    (peak,) = re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    print(int(peak) // 1024)


if __name__ == "__main__":
    main()
