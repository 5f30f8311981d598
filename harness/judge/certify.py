"""From a judged run to a certificate, and whether a certificate admits a release. Values in, value out; no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from harness.model.certificate import PASSED, WAIVED, Certificate
from harness.model.events import AnyEvent, Digest, RunOpened, StandIn
from harness.model.evidence import Evidence
from harness.model.judgement import Judgement, Verdict

INPUTS = "inputs/"
RELEASE = "release "  # the digest of a release's definition is named by it


def certificate_of(
    judgement: Judgement, evidence: Evidence, root: str, now: datetime, valid_for_s: float
) -> Certificate | str:
    """The certificate of a run whose seal holds, or why there is none.

    One of a waived FAIL lists its waivers, never says PASS, and ends with the first of them.
    """
    opened = next((event for event in evidence.events if isinstance(event, RunOpened)), None)
    if judgement.verdict is not Verdict.PASS and not judgement.waived:
        return f"the run is {judgement.verdict}: {judgement.sentence}"
    if opened is None:
        return "the journal does not tell who ran what"
    release = tested_release(evidence)
    digests = release_digests(evidence.events)
    if not digests:
        return "the journal names no digest of what was tested"
    used = tuple(one for one in judgement.waivers if one.state == "used")
    ends = [now + timedelta(seconds=valid_for_s), *(end_of(one.until) for one in used)]
    if min(ends) <= now:
        return "a waiver that it rests on has expired"
    met = sum(one.verdict is Verdict.PASS for one in judgement.objectives)
    return Certificate(
        verdict=PASSED if judgement.verdict is Verdict.PASS else WAIVED,
        release=release,
        digests=digests,
        run_id=judgement.run_id,
        root=root,
        target=evidence.scenario.target.kind,
        platform=evidence.scenario.target.platform,
        scenario=opened.scenario,
        profile=opened.profile,
        objectives=len(judgement.objectives),
        met=met,
        stand_ins=tuple(event.service for event in evidence.events if isinstance(event, StandIn)),
        harness=opened.version,
        commit=opened.commit,
        rules=judgement.rules,
        ran_at=stamp(datetime.fromtimestamp(opened.wall_ns / 1e9, UTC)),
        issued_at=stamp(now),
        expires_at=stamp(min(ends)),
        waivers=used,
    )


def release_digests(events: Iterable[AnyEvent]) -> dict[str, str]:
    """Name → SHA-256 of what was tested: the release's definition, and every program and package that ran."""
    return {one.name: one.sha256 for one in events if isinstance(one, Digest) and not one.name.startswith(INPUTS)}


def tested_release(evidence: Evidence) -> str:
    """The release that the verdict is on: the canary of a rollout, else the one that was deployed."""
    rollout = evidence.scenario.rollout
    opened = next((event for event in evidence.events if isinstance(event, RunOpened)), None)
    return rollout.canary if rollout else opened.release if opened else ""


def refusals(
    certificate: Certificate, now: datetime, digests: Mapping[str, str], release: str = "", allow_waived: bool = False
) -> list[str]:
    """Why the certificate does not admit what runs; empty: it does.

    `digests`: name → SHA-256 of what is to go out; a name that is not certified is refused too. A key that begins with
    "?" has no name: its digest must be among the certified ones.
    """
    told = []
    expires = datetime.fromisoformat(certificate.expires_at)
    if now >= expires:
        told.append(f"it expired on {certificate.expires_at}")
    if now < datetime.fromisoformat(certificate.issued_at) - timedelta(minutes=5):
        told.append(f"it was issued on {certificate.issued_at}, which is yet to come: a clock is wrong")
    if certificate.verdict != PASSED and not allow_waived:
        names = ", ".join(one.objective for one in certificate.waivers)
        told.append(f"it is of a run that failed and was waived ({names}), not of a PASS")
    if release and release != certificate.release:
        told.append(f"it is for release {certificate.release}, not for {release}")
    for name, digest in sorted(digests.items()):
        if name.startswith("?"):
            if digest not in certificate.digests.values():
                told.append(f"{digest} is not among the certified digests")
        elif name not in certificate.digests:
            told.append(f"{name} is not certified")
        elif certificate.digests[name] != digest:
            told.append(f"{name} has the digest {digest}, certified is {certificate.digests[name]}")
    return told


def end_of(day: str) -> datetime:
    """The end of a day in UTC."""
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)


def stamp(moment: datetime) -> str:
    """ISO 8601 in UTC, to the second."""
    return moment.astimezone(UTC).replace(microsecond=0).isoformat()
