// Looks at the status page with a real browser, step by step, and tells what it saw.
//
//     SENTRY_NOTICE_NODE_MODULES=FOLDER/node_modules SENTRY_NOTICE_CHROMIUM=chromium node status_page.mjs ADMIN
//
// ADMIN is `127.0.0.1:9011`; the name notice.test leads there, too. Reads one step a line from standard input, `{"do": …}`,
// and prints one line of JSON for each: `{"ok": …}`, or `{"error": …}` and the end.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const PATIENCE = 15_000;

const { chromium } = createRequire(`${variable("SENTRY_NOTICE_NODE_MODULES")}/`)("playwright-core");
const admin = process.argv[2] ?? fail("usage: status_page.mjs ADMIN");

const browser = await chromium.launch({
  executablePath: variable("SENTRY_NOTICE_CHROMIUM"),
  // Within a container there is no room for its own sandbox.
  args: ["--no-sandbox", "--disable-gpu", "--no-proxy-server", `--host-resolver-rules=MAP notice.test:80 ${admin}`],
});
let page;
/** What must never happen on any page. */
let alarms = [];

const steps = {
  /** Opens a page in a context of its own. */
  async open({ path = "/", language = "en-US", dark = false, phone = false, script = true, scale = 1, width, height }) {
    await page?.context().close();
    const context = await browser.newContext({
      locale: language,
      colorScheme: dark ? "dark" : "light",
      viewport: { width: width ?? (phone ? 390 : 1200), height: height ?? 800 },
      deviceScaleFactor: scale,
      isMobile: phone,
      javaScriptEnabled: script,
    });
    page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    alarms = [];
    page.on("dialog", (dialog) => { alarms.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
    page.on("pageerror", (error) => alarms.push(`error: ${error.message}`));
    page.on("console", (line) => { if (line.type() === "error") alarms.push(`console: ${line.text()}`); });
    page.on("request", (request) => {
      const host = new URL(request.url()).host;
      if (host !== admin && host !== "notice.test") alarms.push(`request: ${request.url()}`);
    });
    await page.goto(new URL(path, `http://${admin}`).href);
    // A page that is loaded anew forgets it.
    await page.evaluate(() => { window.isTheSame = true; }).catch(() => {});
    return page.url();
  },
  /** Waits until a place shows a text, and says whether the page was not loaded anew meanwhile. */
  async see({ place = "main", text }) {
    await page.locator(place).filter({ hasText: text }).first().waitFor();
    return await page.evaluate(() => window.isTheSame === true).catch(() => false);
  },
  /** Waits until a place does not show a text any more. */
  async miss({ place, text }) {
    await page.locator(place).filter({ hasText: text }).first().waitFor({ state: "detached" });
    return true;
  },
  async text({ place }) { return await page.locator(place).first().innerText(); },
  async count({ place }) { return await page.locator(place).count(); },
  async attribute({ place, name }) { return await page.locator(place).first().getAttribute(name); },
  async fill({ place, text }) { await page.locator(place).fill(text); return true; },
  async click({ place }) { await page.locator(place).first().click(); return page.url(); },
  async go({ path }) { await page.goto(new URL(path, page.url()).href); return page.url(); },
  /** How far the page is wider than the window. */
  async overflow() { return await page.evaluate(() => document.documentElement.scrollWidth - innerWidth); },
  /** Takes a picture of the window, or of the upper part of a place. */
  async shot({ file, place, above }) {
    let clip;
    if (place) {
      const box = await page.locator(place).boundingBox();
      const scrolled = await page.evaluate(() => scrollY);
      clip = { ...box, y: box.y + scrolled, height: Math.min(box.height, above ?? box.height) };
    }
    await page.screenshot({ path: file, animations: "disabled", clip, fullPage: Boolean(place) });
    return true;
  },
  async alarms() { return alarms; },
};

for await (const line of createInterface({ input: process.stdin })) {
  const step = JSON.parse(line);
  try {
    say({ ok: await steps[step.do](step) });
  } catch (error) {
    const shown = await page?.locator("body").innerText().catch(() => "") ?? "";
    say({ error: `${line}: ${error.message}\nthe page shows: ${shown}` });
    break;
  }
}
await browser.close();

function say(answer) {
  console.log(JSON.stringify(answer));
}

function variable(name) {
  return process.env[name] ?? fail(`\`${name}\` is not set`);
}

function fail(message) {
  console.error(message);
  process.exit(2);
}
