"""Drives a headless Chromium by the DevTools protocol over a pipe: no driver, no port, no package."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SECONDS = 20  # a condition on a page must come true within
FOUND = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--disable-background-networking", "--disable-extensions", "--hide-scrollbars", "--remote-debugging-pipe")  # fmt: skip
NAMED = {"Enter": 13, "Backspace": 8, "Tab": 9, "Escape": 27, "Delete": 46, "Insert": 45, " ": 32,
         "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}  # fmt: skip
ALT, CONTROL, SHIFT = 1, 2, 8


class Browser:
    """One browser process; `page` opens a tab of its own cookies and storage."""

    def __init__(self) -> None:
        assert FOUND
        self.folder = tempfile.TemporaryDirectory(prefix="chromium")
        (in_, out), (back, answer) = os.pipe(), os.pipe()
        words = [FOUND, *FLAGS, f"--user-data-dir={self.folder.name}", "about:blank"]
        code = "import os, sys, fcntl; a, b = (fcntl.fcntl(int(x), fcntl.F_DUPFD, 50) for x in sys.argv[1:3]); "
        code += "os.dup2(a, 3); os.dup2(b, 4); os.execv(sys.argv[3], sys.argv[3:])"
        self.process = subprocess.Popen(  # the protocol is spoken on descriptors 3 and 4
            [sys.executable, "-c", code, str(in_), str(answer), *words],
            pass_fds=(in_, answer), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(in_)
        os.close(answer)
        self.out, self.back = open(out, "wb", 0), open(back, "rb", 0)  # noqa: SIM115  (closed in close)
        self.count, self.rest = 0, b""

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """A command's result; events that come before it are passed over."""
        self.count += 1
        message = {
            "id": self.count,
            "method": method,
            "params": parameters,
            **({"sessionId": session} if session else {}),
        }
        self.out.write(json.dumps(message).encode() + b"\0")
        while True:
            found = json.loads(self._hear())
            if found.get("id") == self.count:
                if "error" in found:
                    raise RuntimeError(f"{method}: {found['error']}")
                return found["result"]

    def _hear(self) -> bytes:
        while b"\0" not in self.rest:
            more = self.back.read(1 << 16)
            if not more:
                raise RuntimeError("the browser is gone")
            self.rest += more
        message, _, self.rest = self.rest.partition(b"\0")
        return message

    def page(self, address: str, width: int = 1200, height: int = 760, dark: bool = False) -> Page:
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, context)
        page.size(width, height)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        page.send("Emulation.setEmulatedMedia", features=features)
        page.send("Page.enable")
        page.send("Page.navigate", url=address)
        return page

    def close(self) -> None:
        self.out.close()
        self.back.close()
        self.process.terminate()
        self.process.wait(10)
        self.folder.cleanup()


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self.browser, self.session, self.context = browser, session, context

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.send(method, self.session, **parameters)

    def size(self, width: int, height: int) -> None:
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression, promises awaited."""
        found = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"])
        return found["result"].get("value")

    def wait(self, expression: str) -> Any:
        """The value of an expression, once it is true; until then it may fail. The page itself waits."""
        look = f"() => {{ try {{ return {expression} }} catch {{ return false }} }}"
        poll = f"(async look => {{ for (let i = 0; i < {SECONDS} * 100; i++) {{ const found = look(); if (found) return found;"
        poll += f" await new Promise(done => setTimeout(done, 10)) }} }})({look})"
        for _ in range(5):
            with contextlib.suppress(RuntimeError):  # the page was left meanwhile
                value = self.run(poll)
                assert value, f"never true: {expression}; the page says {self.text('body')!r}"
                return value
        raise AssertionError(f"the page fails at {expression}")

    def text(self, selector: str) -> str:
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def key(self, key: str, modifiers: int = 0) -> None:
        """Press and let go of a key."""
        code = NAMED.get(key, ord(key.upper()[0]))
        typed = {"text": {"Enter": "\r"}.get(key, key)} if len(key) == 1 or key == "Enter" else {}
        shared = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.send("Input.dispatchKeyEvent", type="keyDown", **shared, **({} if modifiers & CONTROL else typed))
        self.send("Input.dispatchKeyEvent", type="keyUp", **shared)

    def type(self, text: str) -> None:
        for letter in text:
            self.key(letter)

    def mouse(self, kind: str, x: float, y: float) -> None:
        buttons = {"button": "left", "clickCount": 1, "buttons": 0 if kind == "mouseReleased" else 1}
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **buttons)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.mouse("mousePressed", *start)
        self.mouse("mouseMoved", (start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        self.mouse("mouseMoved", *end)
        self.mouse("mouseReleased", *end)

    def click(self, selector: str) -> None:
        x, y, width, height = self.box(selector)
        self.mouse("mousePressed", x + width / 2, y + height / 2)
        self.mouse("mouseReleased", x + width / 2, y + height / 2)

    def box(self, selector: str) -> list[float]:
        """x, y, width and height on the screen."""
        rect = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        return self.run(f"(r => [r.x, r.y, r.width, r.height])({rect})")

    def picture(self, path: Path) -> None:
        """A screenshot."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        self.browser.send("Target.disposeBrowserContext", browserContextId=self.context)
