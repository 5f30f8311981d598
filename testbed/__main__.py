"""`python -m testbed VERB`"""

from __future__ import annotations

import sys


def run() -> None:
    if sys.argv[1:] == ["check"]:  # before any set-up: there may be nothing but the standard library
        from testbed import ability

        sys.exit(ability.main())
    from testbed.cli import run

    run()


if __name__ == "__main__":
    run()
