"""Questions with known answers: what the models of the platform know for certain, and what load is checked against."""

from __future__ import annotations

import re

CAPITALS = {
    "Argentina": "Buenos Aires",
    "Australia": "Canberra",
    "Austria": "Vienna",
    "Belgium": "Brussels",
    "Brazil": "Brasília",
    "Canada": "Ottawa",
    "Chile": "Santiago",
    "China": "Beijing",
    "Denmark": "Copenhagen",
    "Egypt": "Cairo",
    "Finland": "Helsinki",
    "France": "Paris",
    "Germany": "Berlin",
    "Greece": "Athens",
    "Hungary": "Budapest",
    "Iceland": "Reykjavik",
    "India": "New Delhi",
    "Ireland": "Dublin",
    "Italy": "Rome",
    "Japan": "Tokyo",
    "Kenya": "Nairobi",
    "Mexico": "Mexico City",
    "Netherlands": "Amsterdam",
    "New Zealand": "Wellington",
    "Norway": "Oslo",
    "Peru": "Lima",
    "Poland": "Warsaw",
    "Portugal": "Lisbon",
    "South Korea": "Seoul",
    "Spain": "Madrid",
    "Sweden": "Stockholm",
    "Thailand": "Bangkok",
}

SUM = re.compile(r"^\s*what is\s+(-?\d+)\s+plus\s+(-?\d+)\s*\?\s*$", re.IGNORECASE)
CAPITAL = re.compile(r"^\s*what is the capital of\s+(.+?)\s*\?\s*$", re.IGNORECASE)
_BY_COUNTRY = {country.casefold(): capital for country, capital in CAPITALS.items()}


def answer(question: str) -> str | None:
    """The known answer, or None for a question nobody knows the answer to."""
    if match := SUM.match(question):
        return str(int(match[1]) + int(match[2]))
    if match := CAPITAL.match(question):
        return _BY_COUNTRY.get(match[1].casefold())
    return None


def questions() -> list[dict[str, str]]:
    """All tabulated questions with their answers."""
    return [{"question": f"What is the capital of {c}?", "answer": a} for c, a in CAPITALS.items()]
