"""A small shop that reports to Sentry with the real `sentry-sdk`, and tells what it did.

    python python_sdk.py DSN [--coding gzip|br|identity]

Prints lines of JSON once everything is sent; the Rust side of the test reads them.
One for each event that the shop reported:
`{"what":"event","kind":"unhandled","event_id":"32 hex digits","level":"error","title":"…","alerts":true}`, `alerts`
being whether this is the first word about a problem of level error or worse.
One for each request that the SDK made, taken where the SDK hands the finished body to urllib3:
`{"what":"request","items":["event"],"coding":"gzip","envelope_sha256":"…","envelope_bytes":512,"status":200,
"rate_limits":"…"}`. The hash is that of the envelope before the content coding, which is what a server stores.
"""

import argparse
import gzip
import hashlib
import json
import sys
from pathlib import Path

import brotli
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import HttpTransport

FLUSH_SECONDS = 30
# Every byte value, line ends included; long enough that no server or proxy sees it in one read.
ATTACHMENT = bytes(range(256)) * 192
DECODERS = {"gzip": gzip.decompress, "br": brotli.decompress, "identity": bytes}

requests = []
events = []


def main() -> None:
    """Reports one of each kind, then prints the record of it."""
    options = parse_arguments()
    start_sdk(options.dsn, options.coding)
    report_trace()
    report_unhandled()
    report_chained()
    report_message("error", "库存为负: sku-42")
    report_message("warning", "stock of sku-42 is low", alerts=False)
    report_attachment()
    report_unhandled(kind="unhandled again", alerts=False)
    report_trace()
    sentry_sdk.flush(FLUSH_SECONDS)
    for line in events + requests:
        print(json.dumps(line))


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dsn")
    parser.add_argument("--coding", choices=sorted(DECODERS), default="gzip")
    return parser.parse_args()


def start_sdk(dsn: str, coding: str) -> None:
    """Starts the SDK as an application would, but with the transport that keeps a record."""
    compression = {"transport_compression_algo": coding}
    if coding == "identity":
        compression = {"transport_compression_level": 0}
    sentry_sdk.init(
        dsn=dsn,
        transport=RecordingTransport,
        release="shop@1.2.3",
        environment="real-input",
        server_name="till-1",
        project_root=str(Path(__file__).parent),
        traces_sample_rate=1.0,
        http_proxy="",
        _experiments=compression,
    )


class RecordingTransport(HttpTransport):
    """The SDK's own transport; notes each body it is about to send and the answer it got."""

    def _request(self, method, endpoint_type, body, headers):
        response = super()._request(method, endpoint_type, body, headers)
        coding = headers.get("Content-Encoding", "identity")
        envelope = DECODERS[coding](body)
        requests.append(
            {
                "what": "request",
                "items": [item.headers["type"] for item in Envelope.deserialize(envelope).items],
                "coding": coding,
                "envelope_sha256": hashlib.sha256(envelope).hexdigest(),
                "envelope_bytes": len(envelope),
                "status": response.status,
                "rate_limits": response.headers.get("X-Sentry-Rate-Limits"),
            }
        )
        return response


def report_trace() -> None:
    """Sends a transaction; the flush lets the SDK see the answer's rate limits before the next one."""
    with sentry_sdk.start_transaction(op="http.server", name="POST /checkout"):
        pass
    sentry_sdk.flush(FLUSH_SECONDS)


def report_unhandled(kind: str = "unhandled", alerts: bool = True) -> None:
    """Takes the way of an exception that nobody catches: Python's `sys.excepthook`, which the SDK has replaced."""
    try:
        checkout({"card": "4242"})
    except PaymentDeclined:
        sys.excepthook(*sys.exc_info())
    note_event(kind, sentry_sdk.last_event_id(), "error", "PaymentDeclined: issuer refused the card", alerts)


def report_chained() -> None:
    """Reports an exception with a cause; Sentry's title names the outer one."""
    try:
        find_order({})
    except OrderLost as lost:
        event_id = sentry_sdk.capture_exception(lost)
    note_event("chained", event_id, "error", "OrderLost: nothing known about the order", True)


def report_message(level: str, text: str, alerts: bool = True) -> None:
    """Reports a plain message."""
    note_event("message", sentry_sdk.capture_message(text, level=level), level, text, alerts)


def report_attachment() -> None:
    """Reports an exception with a binary file beside it, in the same envelope."""
    with sentry_sdk.new_scope() as scope:
        scope.add_attachment(bytes=ATTACHMENT, filename="receipt.bin")
        try:
            print_receipt()
        except ReceiptBroken as broken:
            event_id = sentry_sdk.capture_exception(broken)
    note_event("attachment", event_id, "error", "ReceiptBroken: receipt has no total", True)


def note_event(kind: str, event_id: str | None, level: str, title: str, alerts: bool) -> None:
    """Keeps what the test has to look for."""
    if event_id is None:
        sys.exit(f"the SDK dropped the `{kind}` event")
    event = {"what": "event", "kind": kind, "event_id": event_id, "level": level, "title": title, "alerts": alerts}
    events.append(event)


class PaymentDeclined(Exception):
    """The bank said no."""


class OrderLost(Exception):
    """The order is not in the database."""


class ReceiptBroken(Exception):
    """The receipt cannot be printed."""


def checkout(cart: dict) -> None:
    """The entry of the shop, so that the stack has more than one in-app frame."""
    charge(cart["card"])


def charge(card: str) -> None:
    """Fails as a bank does."""
    raise PaymentDeclined("issuer refused the card")


def find_order(orders: dict) -> None:
    """Fails with a cause."""
    try:
        orders["order"]
    except KeyError as missing:
        raise OrderLost("nothing known about the order") from missing


def print_receipt() -> None:
    """Fails, so that a receipt is attached."""
    raise ReceiptBroken("receipt has no total")


if __name__ == "__main__":
    main()
