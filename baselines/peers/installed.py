"""Whether what others wrote is there to be run."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
from collections.abc import Sequence
from types import ModuleType


class Package:
    """Mixin of models that need a Python package, `package`, of the extra [peers]."""

    package: str
    title: str

    @classmethod
    def unavailable(cls) -> str | None:
        """Why the model cannot be fitted here; None if it can."""
        if importlib.util.find_spec(cls.package) is None:
            return f"{cls.title} is not installed, see the extra [peers]"
        try:
            importlib.import_module(cls.package)
        except ImportError as error:  # of what it needs: myFM's `pkg_resources`, of setuptools < 81
            return f"{cls.title} is installed, but cannot be imported: {error}"
        return None

    @classmethod
    def module(cls) -> ModuleType:
        """Import the package; ImportError where it is not installed."""
        if reason := cls.unavailable():
            raise ImportError(reason)
        return importlib.import_module(cls.package)


class Program:
    """Mixin of models that are programs, named by path or as a shell finds them."""

    title: str

    def programs(self) -> Sequence[str]:
        raise NotImplementedError

    def unavailable(self) -> str | None:
        """Why the model cannot be fitted here; None if it can."""
        for program in self.programs():
            if shutil.which(program) is None:
                return (
                    f"{self.title} is not installed: there is no program {program}, give its path"
                )
        return None

    def located(self) -> list[str]:
        """Find the programs' paths; FileNotFoundError if one is not there."""
        if reason := self.unavailable():
            raise FileNotFoundError(reason)
        paths = (shutil.which(program) for program in self.programs())
        return [os.path.abspath(path) for path in paths if path is not None]
