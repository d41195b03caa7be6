// Sends what a small shop sends, for the pictures of the status page: node load.mjs http://127.0.0.1:9010 MINUTES

const [base, minutes] = process.argv.slice(2);
const key = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const problems = [
  ["TypeError", "Cannot read properties of undefined (reading 'total')", "production", "node", "cart.ts", "sum"],
  ["OperationalError", "remaining connection slots are reserved", "production", "python", "db/pool.py", "acquire"],
  ["TimeoutError", "payment gateway did not answer in 3000 ms", "production", "node", "pay/client.ts", "charge"],
  ["KeyError", "'coupon_id'", "staging", "python", "promo/apply.py", "apply"],
  ["NullPointerException", 'Cannot invoke "Order.id()" because "order" is null', "production", "java", "OrderService.java", "ship"],
  ["Error", "库存不足: sku-88412", "production", "node", "stock/reserve.ts", "reserve"],
  ["panic", "runtime error: index out of range [3] with length 3", "production", "go", "search/rank.go", "Rank"],
];
const below = (number) => Math.floor(Math.random() * number);
const id = () => Array.from({ length: 32 }, () => "0123456789abcdef"[below(16)]).join("");

function event() {
  const at = Math.min(problems.length - 1, below(3) * below(4));
  const [type, value, environment, platform, filename, name] = problems[at];
  const frame = { filename, function: name, lineno: 42 + at, in_app: true, context_line: "  return order.total();" };
  const exception = { type, value, mechanism: { type: "generic", handled: false }, stacktrace: { frames: [frame] } };
  return {
    event_id: id(), level: type === "panic" ? "fatal" : "error", platform, environment, release: "shop@2.4.1",
    server_name: `web-${1 + below(3)}`, transaction: "POST /checkout", user: { id: `${below(40)}` },
    timestamp: Date.now() / 1000, exception: { values: [exception] },
  };
}

async function send(path, body) {
  const answer = await fetch(`${base}/api/1/${path}/?sentry_key=${key}`, { method: "POST", body });
  await answer.arrayBuffer();
}

const started = Date.now();
const passed = () => (Date.now() - started) / 60_000;
while (passed() < Number(minutes)) {
  await new Promise((done) => setTimeout(done, 60 + 140 * (1 + Math.sin(passed() * 1.3)) + below(60)));
  if (below(12) === 0) await send("store", JSON.stringify(event()));
  else await send("envelope", '{}\n{"type":"transaction"}\n{"spans":[]}\n');
}
