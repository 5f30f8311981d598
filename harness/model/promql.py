"""Series selectors of PromQL: the one part of the language that the harness reads itself.

Grammar: https://prometheus.io/docs/prometheus/latest/querying/basics/#instant-vector-selectors
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_MATCHER = re.compile(r"\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')\s*(,|$)")


@dataclass(frozen=True)
class Matcher:
    """One condition on a label; a label that a series lacks is ""."""

    label: str
    op: str
    value: str

    def holds(self, labels: Mapping[str, str]) -> bool:
        found = labels.get(self.label, "")
        if self.op in ("=", "!="):
            return (found == self.value) == (self.op == "=")
        return (re.fullmatch(self.value, found) is not None) == (self.op == "=~")


@dataclass(frozen=True)
class Selector:
    """A metric name and conditions on labels."""

    name: str
    matchers: tuple[Matcher, ...] = ()

    def within(self, wider: Selector) -> bool:
        """Whether every series that this selects is certainly selected by the other too."""
        return self.name == wider.name and set(wider.matchers) <= set(self.matchers)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a series with these labels (`__name__` among them) is selected."""
        return labels.get("__name__", "") == self.name and all(matcher.holds(labels) for matcher in self.matchers)


def parse_selector(query: str) -> Selector:
    """name{label="value",…}; ValueError for anything else (functions, ranges, arithmetic)."""
    whole = re.fullmatch(rf"\s*({_NAME})\s*(?:\{{(.*)\}})?\s*", query, re.DOTALL)
    if not whole:
        raise ValueError(f"{query!r} is not a series selector")
    rest = (whole.group(2) or "").strip()
    matchers: list[Matcher] = []
    while rest:
        found = _MATCHER.match(rest)
        if not found:
            raise ValueError(f"{query!r} is not a series selector: cannot read {rest[:40]!r}")
        value = re.sub(r"\\(.)", r"\1", found.group(3)[1:-1])
        if found.group(2) in ("=~", "!~"):
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"{query!r}: the pattern {value!r} is not a regular expression: {error}") from None
        matchers.append(Matcher(found.group(1), found.group(2), value))
        rest = rest[found.end() :].strip()
    return Selector(whole.group(1), tuple(matchers))
