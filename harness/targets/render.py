"""From declaration to what is run: placeholders and templates filled in, and the script that becomes the instance.

Everything here computes; `write` alone touches the disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.errors import BadInput
from harness.spec.placeholders import Address, DevicePath, Name, OwnPort, Placeholder, Secret, parse_address, substitute
from harness.spec.platform import locate
from harness.targets.folder import PlatformFolder
from harness.targets.state import ANSWERING, HOST, SERVING, InstanceState, PlatformState, write_whole

PASSED_ON = ("HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH")
MARK, INSTANCE_MARK = "HARNESS_PLATFORM", "HARNESS_INSTANCE"


@dataclass(frozen=True)
class Rendered:
    """What an instance runs and reads. `uses`: instances whose addresses are in it."""

    command: tuple[str, ...]
    prepare: tuple[tuple[str, ...], ...]
    environment: dict[str, str]
    script: str
    files: dict[str, str]
    reload: tuple[str, ...]
    uses: tuple[str, ...]

    @property
    def script_sha256(self) -> str:
        return hashlib.sha256(self.script.encode()).hexdigest()

    @property
    def files_sha256(self) -> str:
        return hashlib.sha256(json.dumps(self.files, sort_keys=True).encode()).hexdigest()


@dataclass
class Context:
    """Fills placeholders for one instance, or (instance None) for the platform as a whole; keeps what was used."""

    folder: PlatformFolder
    state: PlatformState
    instance: InstanceState | None = None
    used: set[str] = field(default_factory=set)

    def fill(self, text: str) -> str:
        return substitute(text, self.value)

    def value(self, found: Placeholder) -> str:
        """Raises BadInput; a checked platform file has no such case left."""
        match found:
            case Name(name=name):
                return self.name(name)
            case DevicePath(name=name):
                return self.fill(self.state.device(name).path)
            case Secret(name=name):
                return secret(self.folder, name)
            case OwnPort(name=name):
                if self.instance is None or name not in self.instance.ports:
                    raise BadInput(f"no port {name!r} here", file=self.state.platform_file)
                return str(self.instance.ports[name])
            case Address():
                return self.address(found)

    def name(self, name: str) -> str:
        each = self.instance
        general = {
            "python": self.state.python,
            "source": self.state.source,
            "platform": str(self.folder.root),
            "release": each.release if each else self.state.release,
        }
        if name in general:
            return general[name]
        if each is None:
            raise BadInput(f"${{{name}}} belongs to an instance", file=self.state.platform_file)
        own = {
            "state": str(self.folder.instance(each.name)),
            "instance": each.name,
            "region": each.region,
            "index": str(each.index),
        }
        return own[name]

    def address(self, found: Address) -> str:
        """host:port of the first instance that is not being replaced."""
        try:
            region = locate(self.state.spec, found, self.instance.region if self.instance else None)
        except ValueError as error:
            raise BadInput(str(error), file=self.state.platform_file) from None
        candidates = self.state.of(found.service, region)
        if not candidates:
            raise BadInput(f"service {found.service!r} has no instance in {region!r}", file=self.state.platform_file)
        self.used.add(candidates[0].name)
        return f"{HOST}:{candidates[0].ports[found.port]}"

    def template_values(self) -> dict[str, Any]:
        """What a template may use (docs/reference/platform.md)."""
        each = self.instance
        if each is None:
            raise BadInput("templates belong to instances", file=self.state.platform_file)
        spec = self.state.spec
        return {
            "platform": str(self.folder.root),
            "source": self.state.source,
            "python": self.state.python,
            "instance": each.name,
            "region": each.region,
            "index": each.index,
            "release": each.release,
            "state": str(self.folder.instance(each.name)),
            "port": each.ports,
            "regions": spec.regions,
            "instances": self.instances,
            "services": [
                {
                    "name": service.name,
                    "title": service.title,
                    "released": service.released,
                    "metrics": service.metrics.model_dump() if service.metrics else None,
                    "health": service.health.model_dump() if service.health else None,
                }
                for service in spec.services
            ],
            "devices": [
                {"name": device.name, "kind": device.kind, "region": device.region, "path": self.fill(device.path)}
                for device in spec.devices
            ],
        }

    def instances(self, service: str, region: str | None = None, canary: bool = False) -> list[dict[str, Any]]:
        """Those that serve; canaries only when asked for, since their share is an actuator's business."""
        self.state.service(service)
        found = self.state.of(service, region, ANSWERING if canary else SERVING)
        self.used.update(each.name for each in found)
        return [
            {
                "name": each.name,
                "service": each.service,
                "region": each.region,
                "index": each.index,
                "release": each.release,
                "canary": each.role == "canary",
                "host": HOST,
                "port": each.ports,
            }
            for each in found
        ]


def secret(folder: PlatformFolder, name: str) -> str:
    """A random value that stays the same for as long as the platform is there; made when it is first asked for."""
    with folder.locked("secrets"):
        known: dict[str, str] = json.loads(folder.secrets.read_bytes()) if folder.secrets.exists() else {}
        if name not in known:
            known[name] = secrets.token_urlsafe(24)
            write_whole(folder.secrets, json.dumps(known).encode(), mode=0o600)
    return known[name]


def render(folder: PlatformFolder, state: PlatformState, each: InstanceState) -> Rendered:
    """Everything of one instance, as the state stands now. Raises BadInput for a template that cannot be filled."""
    service = state.service(each.service)
    context = Context(folder, state, each)
    command = tuple(context.fill(word) for word in service.command or ())
    declared = {**service.env, **(state.release_named(each.release).env if service.released else {})}
    environment = {
        **base_environment(folder, service.user),
        **{key: context.fill(value) for key, value in declared.items()},
        INSTANCE_MARK: each.name,
    }
    prepare = tuple(tuple(context.fill(word) for word in argv) for argv in service.prepare)
    reload = tuple(context.fill(word) for word in service.reload.command) if service.reload else ()
    files = {file.to: _template(Path(state.source) / file.template, context) for file in service.files}
    script = run_script(folder, each.name, command, environment)
    used = tuple(sorted(context.used - {each.name}))
    return Rendered(command, prepare, environment, script, files, reload, used)


def run_script(folder: PlatformFolder, name: str, command: Sequence[str], environment: Mapping[str, str]) -> str:
    """A shell script that leaves a note of its process and then becomes the program: one process, one pid."""
    exports = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in sorted(environment.items()))
    return (
        "#!/bin/sh\n"
        f"exec >>{shlex.quote(str(folder.log(name)))} 2>&1 </dev/null\n"
        f'IFS= read -r stat </proc/$$/stat && printf "%s\\n" "$stat" >{shlex.quote(str(folder.process(name)))}\n'
        f"cd {shlex.quote(str(folder.instance(name)))} || exit 126\n"
        f"{exports}"
        f"exec {shlex.join(command)}\n"
    )


def write(folder: PlatformFolder, each: InstanceState, rendered: Rendered, user: str) -> None:
    """Puts script, files and empty log in place, owned by the instance's user."""
    own = folder.instance(each.name)
    for directory in (folder.script(each.name).parent, folder.logs, folder.process(each.name).parent, own.parent):
        directory.mkdir(exist_ok=True, mode=0o711)
    own.mkdir(exist_ok=True, mode=0o711 if os.getuid() == 0 else 0o700)  # a service may give up root by itself
    write_whole(folder.script(each.name), rendered.script.encode(), mode=0o500)
    paths = [own, folder.script(each.name)]
    for name, text in rendered.files.items():
        file = own / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, text.encode(), mode=0o600)
        paths += [file, *(parent for parent in file.parents if own in parent.parents)]
    for touched in (folder.log(each.name), folder.process(each.name)):
        touched.touch(mode=0o644)
        paths.append(touched)
    if runs_as := effective_user(user):
        entry = pwd.getpwnam(runs_as)
        for path in paths:
            os.chown(path, entry.pw_uid, entry.pw_gid)


def effective_user(user: str) -> str:
    """The user an instance runs as: the declared one when we may change to it, else (empty) our own."""
    return user if user and os.getuid() == 0 else ""


def base_environment(folder: PlatformFolder, user: str = "") -> dict[str, str]:
    """What every process of a platform starts with: little of ours, so that a run does not depend on who starts it."""
    environment = own_environment() | {MARK: folder.id}
    if runs_as := effective_user(user):
        environment |= {"HOME": pwd.getpwnam(runs_as).pw_dir, "USER": runs_as, "LOGNAME": runs_as}
    return environment


def own_environment() -> dict[str, str]:
    """The little of our own environment that programs which a platform file names may know."""
    kept = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    return kept | {"PATH": os.pathsep.join(program_path())}


@lru_cache(maxsize=1)
def program_path() -> tuple[str, ...]:
    """Folders where programs are looked for: HARNESS_PATH, the interpreter's, PATH, then where distributions and
    `go install` put servers that are not in PATH."""
    import sys

    versioned = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda path: int(path.parent.name) if path.parent.name.isdigit() else 0,
        reverse=True,
    )
    candidates = [
        *os.environ.get("HARNESS_PATH", "").split(os.pathsep),
        str(Path(sys.executable).parent),
        *os.environ.get("PATH", os.defpath).split(os.pathsep),
        str(Path.home() / "go" / "bin"),
        *(str(path) for path in versioned),
        "/usr/local/sbin",
        "/usr/sbin",
        "/sbin",
    ]
    return tuple(dict.fromkeys(candidate for candidate in candidates if candidate))


def _template(file: Path, context: Context) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(file.parent),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  configuration files, not HTML
    )
    try:
        return environment.get_template(file.name).render(context.template_values())
    except jinja2.TemplateSyntaxError as error:
        raise BadInput(error.message or "syntax error", file=file, line=error.lineno, fix="see Jinja2") from None
    except BadInput as error:
        raise BadInput(error.cause, file=file, line=_template_line(error, file), fix=error.fix) from None
    except (jinja2.UndefinedError, jinja2.TemplateNotFound, TypeError) as error:
        line = _template_line(error, file)
        fix = "what a template may use stands in docs/reference/platform.md"
        raise BadInput(str(error), file=file, line=line, fix=fix) from None


def _template_line(error: BaseException, file: Path) -> int | None:
    """The template's line in a traceback: Jinja2 rewrites frames so that they name it."""
    line, frame = None, error.__traceback__
    while frame:
        if frame.tb_frame.f_code.co_filename == str(file):
            line = frame.tb_lineno
        frame = frame.tb_next
    return line


def endpoint(context: Context, text: str) -> str:
    """An endpoint of the platform file as a URL."""
    if not text:
        return ""
    if address := parse_address(text):
        return f"http://{context.address(address)}"
    return context.fill(text)
