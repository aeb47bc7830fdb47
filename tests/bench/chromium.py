"""Headless Chromium over its DevTools pipe: a page is waited for by what it shows, not by a time.

Protocol: JSON messages ended by a zero byte, read by the browser from file descriptor 3 and written
to 4 (https://chromedevtools.github.io/devtools-protocol, `--remote-debugging-pipe`).
"""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Self

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--window-size=2400,1200",
    "--remote-debugging-pipe",
]


class Chromium:
    """One tab of one browser process; to be used in a `with`."""

    def __init__(self, profile: Path) -> None:
        read, self._to = os.pipe()
        back, write = os.pipe()
        self._process = subprocess.Popen(
            [PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=lambda: (os.dup2(read, 3), os.dup2(write, 4)),
            pass_fds=(3, 4),
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        self._from = os.fdopen(back, "rb")
        self._sent = 0
        self._session: dict[str, str] = {}

    def __enter__(self) -> Self:
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._to)
        self._from.close()
        self._process.terminate()
        self._process.wait(20)

    def _call(self, method: str, **parameters: object) -> dict:
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters, **self._session}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self._read())
            if answer.get("id") == self._sent:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _read(self) -> bytes:
        message = b""
        while (byte := self._from.read(1)) != b"\0":
            if not byte:
                raise RuntimeError("the browser has ended")
            message += byte
        return message

    def open(self, address: str) -> None:
        """Leave the page there was, so that nothing of it can be taken for the new one's."""
        self._call("Page.navigate", url="about:blank")
        self._call("Page.navigate", url=address)

    def ask(self, expression: str) -> object:
        """The value of a JavaScript expression in the page."""
        result = self._call("Runtime.evaluate", expression=expression, returnByValue=True)["result"]
        return result.get("value")

    def wait_for(self, expression: str, seconds: float = 120.0) -> object:
        """The expression's value, once it is true. Raises AssertionError with the page's text if it
        never is.
        """
        until = time.monotonic() + seconds
        while not (value := self.ask(expression)):
            assert time.monotonic() < until, f"never true: {expression}; shown: {self.text()}"
            time.sleep(0.2)
        return value

    def text(self) -> str:
        """What the page shows as text."""
        return str(self.ask("document.body ? document.body.innerText : ''"))

    def wait_for_text(self, *expected: str) -> None:
        for words in expected:
            self.wait_for(f"document.body && document.body.innerText.includes({json.dumps(words)})")
