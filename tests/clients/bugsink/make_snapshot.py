"""Makes the folder that every Bugsink of a test run starts from: its databases with fixed projects, keys and token.

    python make_snapshot.py FOLDER

FOLDER must not exist yet; it appears only when everything worked. Takes about ten seconds, which is why `serve.py`
copies it instead of making it anew. The DSN of project 1 is `http://aaaa…@HOST/1` with 32 times `a`; see `PROJECTS`.
"""

import os
import shutil
import sys
import uuid
from pathlib import Path

# Project id → name and the one hexadecimal digit that its public key repeats.
PROJECTS = {1: ("shop-api", "a"), 2: ("shop-web", "b"), 42: ("shop-jobs", "c")}
API_TOKEN = "0123456789abcdef" * 2 + "01234567"


def main(folder: Path) -> None:
    """Builds the snapshot beside its final place, then moves it there in one step."""
    if folder.exists():
        sys.exit(f"`{folder}` is there already\nhint: remove it to make it anew")
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    configure_django(unfinished)
    create_databases()
    create_projects()
    close_databases()
    unfinished.rename(folder)


def configure_django(folder: Path) -> None:
    """Loads Bugsink's settings for the databases in `folder`."""
    import django

    os.environ["BUGSINK_DIR"] = str(folder)
    os.environ["DJANGO_SETTINGS_MODULE"] = "bugsink_conf"
    django.setup()


def create_databases() -> None:
    """Runs Bugsink's migrations on both of its databases."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("migrate", database="snappea", verbosity=0)


def create_projects() -> None:
    """Creates the projects with their fixed keys, and a token for the API."""
    from bsmain.models import AuthToken
    from projects.models import Project
    from teams.models import Team

    AuthToken.create_full_access(token=API_TOKEN)
    team = Team.objects.create(name="shop")
    for project_id, (name, digit) in PROJECTS.items():
        Project.objects.create(
            id=project_id,
            name=name,
            slug=name,
            team=team,
            sentry_key=uuid.UUID(digit * 32),
            alert_on_new_issue=False,
            alert_on_regression=False,
            alert_on_unmute=False,
        )


def close_databases() -> None:
    """Closes the connections, which makes sqlite fold its write-ahead logs into the databases."""
    from django.db import connections

    connections.close_all()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: make_snapshot.py FOLDER")
    main(Path(sys.argv[1]).resolve())
