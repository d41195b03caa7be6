"""Runs one Bugsink on the loopback address, from a copy of the snapshot, for as long as its parent wants it.

    python serve.py SNAPSHOT [PORT]

PORT 0, the default, takes a free one. Prints one line of JSON when Bugsink answers:
`{"url": "http://127.0.0.1:PORT", "dir": "…"}`, `dir` being the copy it works on. Ends, and removes the copy, when
standard input closes or on SIGTERM, so that a test that dies leaves nothing behind. Bugsink's log goes to stderr.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
READY_WITHIN_SECONDS = 60
STOP_WITHIN_SECONDS = 10


def main(snapshot: Path, port: int) -> None:
    """Copies, starts, reports, waits, stops, removes."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="bugsink-") as work:
        folder = Path(work) / "run"
        shutil.copytree(snapshot, folder)
        with socket.create_server(("127.0.0.1", port)) as listener:
            url = "http://127.0.0.1:%d" % listener.getsockname()[1]
            server = start(folder, listener)
        try:
            wait_until_ready(url, server)
            print(json.dumps({"url": url, "dir": str(folder)}), flush=True)
            sys.stdin.buffer.read()
        finally:
            stop(server)


def start(folder: Path, listener: socket.socket) -> subprocess.Popen:
    """Starts gunicorn on a socket that is bound already, so that nobody else can take the port in between."""
    environment = {
        **os.environ,
        "BUGSINK_DIR": str(folder),
        "PORT": str(listener.getsockname()[1]),
        "DJANGO_SETTINGS_MODULE": "bugsink_conf",
        "PYTHONPATH": str(HERE),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}"]
    command += ["--no-control-socket", "--workers", "1", "--threads", "4", "bugsink.wsgi"]
    return subprocess.Popen(
        command, env=environment, cwd=folder, pass_fds=[listener.fileno()], stdin=subprocess.DEVNULL, stdout=sys.stderr
    )


def wait_until_ready(url: str, server: subprocess.Popen) -> None:
    """Returns once `GET /health/ready` answers 200; exits when Bugsink has ended or takes too long."""
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(f"bugsink ended with {server.returncode} before it was ready")
        try:
            with urllib.request.urlopen(url + "/health/ready", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    sys.exit(f"bugsink was not ready within {READY_WITHIN_SECONDS} s")


def stop(server: subprocess.Popen) -> None:
    """Ends gunicorn and waits for it, so that nothing writes to the copy while it is removed."""
    server.terminate()
    try:
        server.wait(STOP_WITHIN_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: serve.py SNAPSHOT [PORT]")
    main(Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) == 3 else 0)
