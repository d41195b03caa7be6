"""Reports a burst of errors with the real `sentry-sdk`, waits two seconds at most for them to be sent, and ends.

    python python_burst.py DSN COUNT

Prints the event's id for each error, a line each.
"""

import sys
import time

import sentry_sdk

GAP_SECONDS = 0.05
FLUSH_SECONDS = 2


def main() -> None:
    """Reports as an application in trouble does, and ends as one that is stopped."""
    dsn, count = sys.argv[1:]
    # An application ends after shutdown_timeout, which is the flush at exit.
    sentry_sdk.init(dsn=dsn, http_proxy="", shutdown_timeout=FLUSH_SECONDS)
    for number in range(int(count)):
        try:
            raise RuntimeError(f"order {number} failed")
        except RuntimeError as error:
            print(sentry_sdk.capture_exception(error), flush=True)
        time.sleep(GAP_SECONDS)


if __name__ == "__main__":
    main()
