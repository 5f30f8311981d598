"""One file per kind of fault; the file's name is the kind. Files that begin with an underscore are shared helpers."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from typing import cast

from harness.errors import BadInput
from harness.ports import FaultInjector


def kinds() -> tuple[str, ...]:
    """The kinds of fault there are: whatever file lies here is one."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")))


def load(kind: str) -> FaultInjector:
    """The injector of a kind. A dotted kind is a module of somebody else's, imported as it is.

    Raises BadInput with the nearest known kind.
    """
    if "." in kind:
        try:
            return cast(FaultInjector, importlib.import_module(kind))
        except ImportError as error:
            raise BadInput(f"no fault {kind!r}: {error}", fix="install the module, or use a built-in kind") from None
    if kind not in kinds():
        close = difflib.get_close_matches(kind, kinds(), n=1)
        raise BadInput(
            f"no fault is of kind {kind!r}",
            fix=f"did you mean {close[0]!r}?" if close else f"known: {', '.join(kinds())}",
        )
    return cast(FaultInjector, importlib.import_module(f"{__name__}.{kind}"))
