// A small shop that reports to Sentry with the real `@sentry/node`, and tells what it did.
//
//     SENTRY_NOTICE_NODE_MODULES=FOLDER/node_modules node node_sdk.mjs DSN
//
// Prints lines of JSON in the form that python_sdk.py describes: one for each event that the shop reported, one for
// each request that the SDK made. The bodies are noted where the SDK writes them into Node's http module.

import { createHash } from "node:crypto";
import http from "node:http";
import { createRequire } from "node:module";
import { gunzipSync } from "node:zlib";

const FLUSH_MILLISECONDS = 30_000;
const NEWLINE = 0x0a;
// Every byte value, line ends included; above 32 KiB the SDK compresses the whole envelope.
const ATTACHMENT = new Uint8Array(256 * 192).map((_, index) => index % 256);

// ES modules are looked for beside this file only; the packages live in the build folder.
const Sentry = createRequire(`${requiredVariable("SENTRY_NOTICE_NODE_MODULES")}/`)("@sentry/node");

const requests = [];
const events = [];

class PaymentDeclined extends Error {
  name = "PaymentDeclined";
}

class OrderLost extends Error {
  name = "OrderLost";
}

class ReceiptBroken extends Error {
  name = "ReceiptBroken";
}

startSdk(process.argv[2] ?? fail("usage: node_sdk.mjs DSN"));
await reportTrace();
await reportUnhandled();
reportChained();
reportMessage("error", "购物车为空: cart-7");
reportMessage("warning", "the cart is nearly empty", false);
reportAttachment();
await reportTrace();
await flush();
for (const line of [...events, ...requests]) {
  console.log(JSON.stringify(line));
}

/** Starts the SDK as an application would, but with an http module that keeps a record. */
function startSdk(dsn) {
  Sentry.init({
    dsn,
    release: "shop@1.2.3",
    environment: "real-input",
    serverName: "till-2",
    tracesSampleRate: 1.0,
    transportOptions: { httpModule: { request: recordingRequest } },
  });
}

/** Sends a trace; the flush lets the SDK see the answer's rate limits before the next one. */
async function reportTrace() {
  Sentry.startSpan({ name: "GET /cart", op: "http.server", forceTransaction: true }, () => {});
  await flush();
}

/** Throws where nobody catches, so that Node's `uncaughtException`, to which the SDK listens, reports it. */
async function reportUnhandled() {
  // A listener of our own keeps the process alive; the SDK reports all the same.
  const thrown = new Promise((resolve) => process.once("uncaughtException", resolve));
  setImmediate(() => checkout({ card: "4242" }));
  await thrown;
  noteEvent("unhandled", Sentry.lastEventId(), "fatal", "PaymentDeclined: wallet refused the card");
}

/** Reports an error with a cause; Sentry's title names the outer one. */
function reportChained() {
  try {
    findOrder(undefined);
  } catch (lost) {
    noteEvent("chained", Sentry.captureException(lost), "error", "OrderLost: nothing known about the order");
  }
}

/** Reports a plain message. */
function reportMessage(level, text, alerts = true) {
  noteEvent("message", Sentry.captureMessage(text, level), level, text, alerts);
}

/** Reports an error with a binary file beside it, in the same envelope. */
function reportAttachment() {
  Sentry.withScope((scope) => {
    scope.addAttachment({ filename: "receipt.bin", data: ATTACHMENT });
    try {
      printReceipt();
    } catch (broken) {
      noteEvent("attachment", Sentry.captureException(broken), "error", "ReceiptBroken: receipt has no total");
    }
  });
}

/** Keeps what the test has to look for. */
function noteEvent(kind, id, level, title, alerts = true) {
  const event_id = id ?? fail(`the SDK dropped the \`${kind}\` event`);
  events.push({ what: "event", kind, event_id, level, title, alerts });
}

/** Waits until the SDK has sent everything. */
async function flush() {
  if (!(await Sentry.flush(FLUSH_MILLISECONDS))) {
    fail("the SDK could not send everything in time");
  }
}

/** Stands in for `http.request`: makes the request, and notes its body and the answer to it. */
function recordingRequest(options, onResponse) {
  const chunks = [];
  const request = http.request(options, (response) => {
    requests.push(describeRequest(Buffer.concat(chunks), options.headers, response));
    onResponse(response);
  });
  const { write, end } = request;
  request.write = (chunk, ...rest) => {
    chunks.push(Buffer.from(chunk));
    return write.call(request, chunk, ...rest);
  };
  request.end = (chunk, ...rest) => {
    if (chunk !== undefined && typeof chunk !== "function") {
      chunks.push(Buffer.from(chunk));
    }
    return end.call(request, chunk, ...rest);
  };
  return request;
}

/** Turns one request and its answer into the line that the test reads. */
function describeRequest(body, headers, response) {
  const coding = headers["content-encoding"] ?? "identity";
  const envelope = coding === "gzip" ? gunzipSync(body) : body;
  return {
    what: "request",
    items: itemTypes(envelope),
    coding,
    envelope_sha256: createHash("sha256").update(envelope).digest("hex"),
    envelope_bytes: envelope.length,
    status: response.statusCode,
    rate_limits: response.headers["x-sentry-rate-limits"] ?? null,
  };
}

/** Lists the item types of an envelope: its header line, then for each item a header line and a payload. */
function itemTypes(envelope) {
  const types = [];
  let at = lineEnd(envelope, 0) + 1;
  while (at < envelope.length) {
    const end = lineEnd(envelope, at);
    const header = JSON.parse(envelope.subarray(at, end));
    types.push(header.type);
    at = (header.length === undefined ? lineEnd(envelope, end + 1) : end + 1 + header.length) + 1;
  }
  return types;
}

/** Finds the end of the line that starts at `from`. */
function lineEnd(bytes, from) {
  const at = bytes.indexOf(NEWLINE, from);
  return at === -1 ? bytes.length : at;
}

/** The entry of the shop, so that the stack has more than one in-app frame. */
function checkout(cart) {
  charge(cart.card);
}

/** Fails as a wallet does. */
function charge() {
  throw new PaymentDeclined("wallet refused the card");
}

/** Fails with a cause. */
function findOrder(orders) {
  try {
    orders.first;
  } catch (cause) {
    throw new OrderLost("nothing known about the order", { cause });
  }
}

/** Fails, so that a receipt is attached. */
function printReceipt() {
  throw new ReceiptBroken("receipt has no total");
}

/** Reads a variable of the environment that has no default. */
function requiredVariable(name) {
  return process.env[name] ?? fail(`\`${name}\` is not set\nhint: tests/run.sh sets it`);
}

/** Ends the program with a message. */
function fail(message) {
  console.error(message);
  process.exit(1);
}
