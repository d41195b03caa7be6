// Reports a burst of errors with the real `@sentry/node`, waits two seconds at most for them to be sent, and ends.
//
//     SENTRY_NOTICE_NODE_MODULES=FOLDER/node_modules node node_burst.mjs DSN COUNT
//
// Prints the event's id for each error, a line each.

import { createRequire } from "node:module";
import { setTimeout } from "node:timers/promises";

const GAP_MILLISECONDS = 50;
const FLUSH_MILLISECONDS = 2_000;

// ES modules are looked for beside this file only; the packages live in the build folder.
const Sentry = createRequire(`${process.env.SENTRY_NOTICE_NODE_MODULES}/`)("@sentry/node");

const [dsn, count] = process.argv.slice(2);
Sentry.init({ dsn });
for (let number = 0; number < Number(count); number += 1) {
  console.log(Sentry.captureException(new Error(`order ${number} failed`)));
  await setTimeout(GAP_MILLISECONDS);
}
await Sentry.close(FLUSH_MILLISECONDS);
process.exit();
