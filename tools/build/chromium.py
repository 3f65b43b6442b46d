"""Find a Chromium for the browser tests; install one where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find() -> str | None:
    """Path of a Chromium: the system's, else the one that Playwright downloaded, else None."""
    if path := next(filter(None, map(shutil.which, NAMES)), None):
        return path
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:  # .ci/run asks before there is an environment
        return None
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def install() -> None:
    """Debian's package where we may install it, else the driver's own download."""
    if shutil.which("apt-get") and os.geteuid() == 0:
        env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], env=env, check=False)
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]
        subprocess.run(command, env=env, check=False, stdout=subprocess.DEVNULL)
    if find() is None:
        command = [sys.executable, "-m", "playwright", "install", "--with-deps", "chromium"]
        subprocess.run(command, check=False)


def main() -> int:
    """Make sure that there is a Chromium; return the exit status."""
    if find() is None:
        install()
    if (path := find()) is None:
        print("No Chromium: install Debian's package 'chromium' or Google Chrome.", file=sys.stderr)
        return 1
    print(f"Chromium: {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
