"""`fm-bench`, or `python -m bench`: the command line.

fm-bench [run] [GROUP=CHOICE ...] [KEY=VALUE ...]   fit one configuration; -m: a sweep
fm-bench sweep GROUP=A,B KEY=1,2,3 ...              fit every combination
fm-bench report EXPERIMENT                          tables and figures of tracked runs
fm-bench runs list|show                             tracked runs in the terminal
fm-bench models RUN                                 log a run's model, to be loaded and served
fm-bench ui                                         the MLflow dashboard
fm-bench check [CHECKS]                             has a change made a model worse?
fm-bench list models|data|splits|features|experiments
fm-bench init FOLDER                                write a benchmark of your own to begin with
fm-bench completion bash|zsh                        tab completion, for eval "$(...)"
fm-bench --version; fm-bench --help                 every group and key
"""

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from bench.errors import UserError, checked, exit_status
from bench.identity import ROOT

COMMANDS = {
    "report": "bench.report.__main__",
    "runs": "bench.runs",
    "models": "bench.models",
    "ui": "bench.ui",
    "check": "bench.check.__main__",
    "init": "bench.init",
    "list": "bench.cli:listing",
    "completion": "bench.cli:completion",
}
"""Command -> the function of its arguments, `main` of a module unless it is named."""
NAMES = ("run", "sweep", *COMMANDS)
LISTED = {
    "models": "model",
    "data": "data",
    "splits": "split",
    "features": "features",
    "experiments": "experiment",
    "searches": "search",
}
"""What `list` lists -> its group of configuration files."""
COMPLETION = ROOT / "bench" / "completion.bash"


def script() -> None:
    """Run `fm-bench`; own modules in the current folder are found, after all that is installed."""
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.append(os.getcwd())
    sys.exit(main())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit status: 1, a run failed; 2, the command was wrong."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    return exit_status(lambda: _command(arguments))


def _command(arguments: list[str]) -> int:
    name, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if name in ("--version", "-V"):
        import fm

        print(f"fm-bench {fm.__version__}")
        return 0
    if name == "complete":
        print(*completions(" ".join(rest)), sep="\n")
        return 0
    if name in COMMANDS:
        module, _, function = COMMANDS[name].partition(":")
        return getattr(import_module(module), function or "main")(rest)
    from bench.sweep.hydra_start import start
    from fm.validation import check_choice

    if name in ("run", "sweep"):
        arguments = [*["-m"] * (name == "sweep"), *rest]
    elif name and not name.startswith(("-", "+", "~")) and "=" not in name:
        with checked():
            check_choice("command", name, NAMES)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return start(arguments)


def completion(arguments: Sequence[str]) -> int:
    """Print what a shell is to evaluate for tab completion."""
    if list(arguments) not in (["bash"], ["zsh"]):
        raise UserError("completion is for bash or zsh: fm-bench completion bash")
    if arguments[0] == "zsh":
        print("autoload -U +X bashcompinit && bashcompinit")
    print(COMPLETION.read_text("utf-8"), end="")
    return 0


def completions(line: str) -> list[str]:
    """Return what the last word of a command line may be, without what stands before its `=`.

    >>> completions("fm-bench model=fm_g")
    ['fm_gibbs']
    """
    *before, word = line.split(" ")
    group, is_choice, value = word.partition("=")
    if is_choice:
        done, comma, begun = value.rpartition(",")
        names = _files(group, split_config_dir(before)[1])
        words = [f"{done}{comma}{name}" for name in names if name.startswith(begun)]
    elif before[1:] == ["list"]:
        words = [name for name in LISTED if name.startswith(word)]
    else:
        groups = [f"{group}=" for group in LISTED.values()]
        commands = NAMES if len(before) == 1 else ()
        words = [name for name in (*commands, *groups) if name.startswith(word)]
    return sorted(words)


def split_config_dir(words: Sequence[str]) -> tuple[list[str], Path | None]:
    """Return a command line without `--config-dir FOLDER`, and the folder if there is one."""
    if "--config-dir" not in words[:-1]:
        return list(words), None
    at = list(words).index("--config-dir")
    folder = Path(words[at + 1])
    if not folder.is_dir():
        raise UserError(f"--config-dir: there is no folder {folder}")
    return [*words[:at], *words[at + 2 :]], folder


def _files(group: str, own: Path | None) -> dict[str, Path]:
    """Return the files of a group of configurations, by name, the user's own included."""
    folders = [ROOT / "conf"] if own is None else [ROOT / "conf", own]
    return {p.stem: p for f in folders for p in sorted((f / group).glob("*.yaml"))}


def listing(arguments: Sequence[str]) -> int:
    """Print the choices of a group, each with the first line of its file."""
    from fm.validation import check_choice

    words, own = split_config_dir(arguments)
    if len(words) != 1:
        raise UserError(f"list one of {', '.join(LISTED)}")
    with checked():
        check_choice("list", words[0], LISTED)
    files = _files(LISTED[words[0]], own)
    width = max(map(len, files), default=0)
    for name, path in sorted(files.items()):
        lines = path.read_text("utf-8").splitlines()
        about = next((line[2:] for line in lines if line.startswith("# ") and "@" not in line), "")
        print(f"{name:{width}}  {about}".rstrip())
    return 0
