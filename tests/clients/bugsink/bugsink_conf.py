"""Settings of the Bugsink that stands in for Sentry in the real-input tests.

Bugsink is a Sentry-compatible server from PyPI. `BUGSINK_DIR` names the folder that holds its databases and `PORT` the
port it serves; both are set by `make_snapshot.py` and `serve.py`. Every setting here that differs from Bugsink's own
default says why.
"""

import os
from pathlib import Path

from bugsink.settings.default import *  # noqa: F403  Bugsink's documented way to make a settings file
from bugsink.settings.default import DATABASES

_DIR = Path(os.environ["BUGSINK_DIR"])
_UNLIMITED = 1_000_000

SECRET_KEY = "only-for-tests-on-the-loopback-address"
TIME_ZONE = "UTC"
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"

DATABASES["default"]["NAME"] = str(_DIR / "db.sqlite3")
DATABASES["snappea"]["NAME"] = str(_DIR / "snappea.sqlite3")

# Digests inside the request: no worker process, and an event can be looked up as soon as its POST got its 200.
SNAPPEA = {"TASK_ALWAYS_EAGER": True}

BUGSINK = {
    "BASE_URL": f"http://127.0.0.1:{os.environ.get('PORT', '8000')}",
    "SINGLE_USER": True,
    "PHONEHOME": False,  # the default reports to the maker's server
    "INGEST_STORE_BASE_DIR": str(_DIR / "ingestion"),
    "KEEP_ENVELOPES": 10_000,  # the default keeps none; they are our proof that the bytes arrived unchanged
    "VALIDATE_ON_DIGEST": "none",  # "warn" costs 100 ms for each event that Bugsink's schema does not know
    "MAX_EVENTS_PER_5_MINUTES": _UNLIMITED,  # the default answers 429 after 1000 events
    "MAX_EVENTS_PER_HOUR": _UNLIMITED,
    "MAX_EVENTS_PER_PROJECT_PER_5_MINUTES": _UNLIMITED,
    "MAX_EVENTS_PER_PROJECT_PER_HOUR": _UNLIMITED,
}
