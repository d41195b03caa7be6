"""Tells what a running Bugsink has stored, as one line of JSON.

    python stored.py URL DIR PROJECT:EVENT_ID…

URL and DIR as `serve.py` printed them. Prints
`{"envelopes": ["SHA-256 of an envelope", …], "events": {"EVENT_ID": …}}`, an event being
`{"level": "error", "release": "…", "environment": "…", "platform": "…"}`, or null if there is none. The envelopes are
read from Bugsink's database, which keeps them as they came, without the content coding; the events through its API.
"""

import hashlib
import json
import sqlite3
import sys
import urllib.error
import urllib.request
from pathlib import Path

from make_snapshot import API_TOKEN

TIMEOUT_SECONDS = 30


def main(url: str, folder: Path, wanted: list[str]) -> None:
    """Gathers and prints."""
    events = {}
    for pair in wanted:
        project, event_id = pair.split(":")
        events[event_id] = look_up(url, project, event_id)
    print(json.dumps({"envelopes": envelope_hashes(folder), "events": events}))


def envelope_hashes(folder: Path) -> list[str]:
    """Returns the SHA-256 of every kept envelope, in the order they came."""
    database = sqlite3.connect(f"file:{folder / 'db.sqlite3'}?mode=ro", uri=True)
    rows = database.execute("SELECT data FROM ingest_envelope ORDER BY id").fetchall()
    database.close()
    return [hashlib.sha256(data).hexdigest() for (data,) in rows]


def look_up(url: str, project: str, event_id: str) -> dict | None:
    """Asks `GET /api/canonical/0/events/lookup/`; none when it answers 404."""
    request = urllib.request.Request(
        f"{url}/api/canonical/0/events/lookup/?project={project}&event_id={event_id}",
        headers={"Authorization": f"Bearer {API_TOKEN}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            data = json.load(response)["data"]
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise
    return {key: data.get(key) for key in ("level", "release", "environment", "platform")}


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: stored.py URL DIR PROJECT:EVENT_ID…")
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
