"""What a run is: a digest of what it computes, never of when, where or how it was started.

Two runs are the same if they have the same configuration, the same parsed data and the same code.
The code of a run is what it imports: `closure` follows the imports of the run itself and of every
`_target_` in its configuration, and takes the source of each module that is not installed, wherever
it lies, and the version of each package that is.
"""

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OWN = ("fm", "baselines", "bench")
"""Packages whose source counts even where they are installed."""
RUN = ("bench.run", "bench.features")
"""The modules that every run begins in."""
CHANGES_SHOWN = 200_000
"""Characters of a difference of code that are kept."""
DISTRIBUTIONS = {"sklearn": "scikit-learn"}
"""Distributions named otherwise than their module; others are looked up, which takes a second."""


def digest(parts: Mapping[str, object]) -> str:
    """Return 32 hexadecimal digits of the SHA-256 of `parts`, whatever their order."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def job_digest(config: Mapping[str, object], data: str, code: Mapping[str, str]) -> str:
    """Return the identity of a job: of its resolved configuration, its parsed data and its code.

    How the data were read (`config["data"]`) does not enter, nor the commit, since most change
    nothing that the job computes. That the source is modified does, so that what an experiment
    computed while being written is computed again by the code that was committed.
    """
    config = {key: value for key, value in config.items() if key != "data"}
    return digest({"config": config, "data": data, "code": computed_by(code)})


def computed_by(code: Mapping[str, str]) -> dict[str, str]:
    """Return the part of `code_version` by which two results are of the same code."""
    return {key: code[key] for key in ("source", "modified") if key in code}


@dataclass(frozen=True)
class Closure:
    """What a computation imports: modules by the beginning of their file's SHA-256, and `paths`.

    `packages` are installed distributions, and `python`, by version.
    """

    modules: Mapping[str, str]
    packages: Mapping[str, str]
    paths: Sequence[Path]

    @property
    def digest(self) -> str:
        """The identity of this code."""
        return digest({"modules": self.modules, "packages": self.packages})


def targets(config: object) -> tuple[str, ...]:
    """Return the dotted names that a configuration instantiates, sorted."""
    return tuple(sorted(set(_targets(config))))


def _targets(config: object) -> Iterator[str]:
    if isinstance(config, Mapping):
        target = str(config.get("_target_", ""))
        if target.startswith("hydra.utils.get_"):
            target = str(config.get("path", ""))
        if target:
            yield target
        for value in config.values():
            yield from _targets(value)
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from _targets(value)


def code_targets(config: Mapping[str, object]) -> tuple[str, ...]:
    """Return the `targets` of what a job computes: of all but its `data`, which count as parsed."""
    return targets({key: value for key, value in config.items() if key != "data"})


@cache
def closure(names: Sequence[str] = ("fm", "baselines")) -> Closure:
    """Return what a run and the named modules, classes or functions import, wherever they lie.

    Imports inside functions count; what is imported under a computed name is not seen. The standard
    library counts as the version of Python.
    """
    modules, paths = {}, []
    packages = {"python": ".".join(map(str, sys.version_info[:2]))}
    queue, seen = [*RUN, *names], set()
    while queue:
        name = queue.pop()
        top, _, rest = name.partition(".")
        if name in seen or top in sys.stdlib_module_names:
            continue
        seen.add(name)
        spec = _spec(name)
        if spec is None:
            queue.append(name.rpartition(".")[0]) if rest else None
            packages |= {} if rest else {top: "not installed"}
        elif _is_installed(spec, top):
            packages |= _versions(top)
        else:
            queue += [name.rpartition(".")[0]] if rest else []
            if spec.origin is not None and Path(spec.origin).is_file():
                package = name if spec.submodule_search_locations is not None else spec.parent
                modules[name], imported = _read(spec.origin, package)
                paths.append(Path(spec.origin))
                queue += imported
    return Closure(dict(sorted(modules.items())), dict(sorted(packages.items())), sorted(paths))


def _spec(name: str) -> ModuleSpec | None:
    """Find a module without importing its parents; None for what is no module."""
    top, *rest = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # a module made by hand
        return None
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations)
    return spec


def _is_installed(spec: ModuleSpec, top: str) -> bool:
    where = spec.origin or next(iter(spec.submodule_search_locations or ()), "")
    return top not in OWN and bool({"site-packages", "dist-packages"} & set(Path(where).parts))


@cache
def _versions(top: str) -> dict[str, str]:
    """Return the versions of what is imported as `top`, by distribution.

    One installed from a folder or a repository may change within a version: its files count.
    """
    names = [DISTRIBUTIONS.get(top, top)]
    try:
        importlib.metadata.version(names[0])
    except importlib.metadata.PackageNotFoundError:
        names = sorted(set(importlib.metadata.packages_distributions().get(top, ())))
    versions = {}
    for name in names:
        distribution = importlib.metadata.distribution(name)
        versions[name] = distribution.version
        if distribution.read_text("direct_url.json"):
            versions[name] += f"+{digest({'files': distribution.read_text('RECORD')})[:16]}"
    return versions or {top: "unknown"}


@cache
def _read(path: str, package: str) -> tuple[str, tuple[str, ...]]:
    """Return a module's digest and the names that it imports."""
    source = Path(path).read_bytes()
    imported = tuple(_imports(source, package)) if path.endswith(".py") else ()
    return hashlib.sha256(source).hexdigest()[:16], imported


def _imports(source: bytes, package: str) -> Iterator[str]:
    """Yield what a module imports: `from a import b` may be of a module `a.b`.

    A model that imports a package under a computed name, or runs it as a program, says
    `package = "name"` in its class.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                base = "." * node.level + (node.module or "")
                module = importlib.util.resolve_name(base, package) if node.level else base
                yield module
                yield from (f"{module}.{alias.name}" for alias in node.names)
            case ast.Assign(targets=[ast.Name("package")], value=ast.Constant(str(name))):
                yield name


@cache
def code_version(names: Sequence[str] = ("fm", "baselines")) -> dict[str, str]:
    """Return `source`, the `closure`'s digest; in a clone its `commit`, and if it is `modified`."""
    version = {"source": closure(names).digest}
    answer = _git("rev-parse", "--show-toplevel", "HEAD")
    if answer is not None and Path(answer.splitlines()[0]) == ROOT:
        own = [str(path) for path in closure(names).paths if path.is_relative_to(ROOT)]
        changes = _git("status", "--porcelain", "--", *own)
        version |= {"commit": answer.splitlines()[1], "modified": str(bool(changes)).lower()}
    return version


def code_changes() -> str:
    """Return how the code here, and that in the current folder, differs from its commit."""
    folders = dict.fromkeys((ROOT, Path.cwd()))
    changes = (_git("diff", "HEAD", "--", "*.py", "*.yaml", folder=folder) for folder in folders)
    return "\n".join(dict.fromkeys(filter(None, changes)))[:CHANGES_SHOWN]


def _git(*arguments: str, folder: Path = ROOT) -> str | None:
    """Output of a git command, by default in this project's own tree; None where it fails."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
