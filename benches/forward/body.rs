//! What is in the envelopes: events, a transaction, a session, with the fields that `sentry.python` 2.75 sends.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// An item of an envelope: its type, the id of its event, its payload.
pub(crate) struct Item {
    kind: &'static str,
    id: Option<String>,
    payload: String,
}

/// Returns an envelope of one item.
pub(crate) fn envelope(item: &Item) -> Vec<u8> {
    let header = match &item.id {
        Some(id) => format!(
            r#"{{"event_id":"{id}","sent_at":"{NOW}","trace":{{"trace_id":"{}","environment":"production","release":"shop-api@4.2.0","public_key":"{PUBLIC_KEY}"}}}}"#,
            hex(7, 32)
        ),
        None => "{}".to_owned(),
    };
    let (kind, payload) = (item.kind, &item.payload);
    let length = payload.len();
    format!("{header}\n{{\"type\":\"{kind}\",\"content_type\":\"application/json\",\"length\":{length}}}\n{payload}\n")
        .into_bytes()
}

/// Returns an envelope of a small error event and so many bytes that do not compress.
pub(crate) fn with_attachment(size: usize) -> Vec<u8> {
    let mut bytes = envelope(&error_event(0, 0));
    let header = format!(r#"{{"type":"attachment","length":{size},"filename":"heap.bin"}}"#);
    bytes.extend_from_slice(header.as_bytes());
    bytes.push(b'\n');
    bytes.extend((0..size as u64 / 8).flat_map(|number| mixed(number).to_le_bytes()));
    bytes.push(b'\n');
    bytes
}

/// An error event of about 2 KB once compressed. Its group depends on `issue` alone.
pub(crate) fn error_event(issue: u64, variant: u64) -> Item {
    let rest = json!({
        "level": "error",
        "exception": {"values": [{
            "type": format!("PaymentError{issue}"),
            "value": format!("order {} was declined by the bank", mixed(variant) % 1_000_000),
            "module": "shop.payment",
            "mechanism": {"type": "generic", "handled": false},
            "stacktrace": {"frames": (0..6).map(|depth| frame(issue, depth)).collect::<Vec<_>>()},
        }]},
        "breadcrumbs": {"values": (0..16).map(|number| breadcrumb(variant * 16 + number)).collect::<Vec<_>>()},
        "contexts": {
            "trace": {"trace_id": hex(7, 32), "span_id": hex(variant, 16), "op": "http.server"},
            "runtime": {"name": "CPython", "version": "3.11.7"},
        },
        "timestamp": NOW,
        "transaction": "POST /orders",
        "user": {"id": variant.to_string(), "ip_address": "192.0.2.7"},
        "tags": {"shop": "cn-1", "tier": "gold"},
        "modules": {"django": "5.2.1", "urllib3": "2.8.0", "sentry-sdk": "2.75.0", "redis": "6.4.0"},
        "release": "shop-api@4.2.0",
        "environment": "production",
        "server_name": "shop-7",
        "sdk": {"name": "sentry.python", "version": "2.75.0", "integrations": ["argv", "django", "logging", "stdlib"]},
        "platform": "python",
    });
    event_item("event", &id_text(variant), &rest)
}

/// An error event with so many bytes of data of its own.
pub(crate) fn large_event(size: usize) -> Item {
    let mut item = error_event(0, 0);
    item.payload.pop();
    item.payload.push_str(r#","extra":{"queries":[0"#);
    let mut number = 0;
    while item.payload.len() < size {
        write!(item.payload, ",{}", breadcrumb(number)).expect("memory takes every byte");
        number += 1;
    }
    item.payload.push_str("]}}");
    item
}

/// A transaction of about 2 KB once compressed.
pub(crate) fn transaction() -> Item {
    let spans: Vec<Value> = (0..42).map(span).collect();
    let rest = json!({
        "transaction": "POST /orders",
        "transaction_info": {"source": "route"},
        "contexts": {"trace": {"trace_id": hex(7, 32), "span_id": hex(1, 16), "op": "http.server", "status": "ok"}},
        "spans": spans,
        "start_timestamp": NOW,
        "timestamp": NOW,
        "release": "shop-api@4.2.0",
        "environment": "production",
        "sdk": {"name": "sentry.python", "version": "2.75.0"},
        "platform": "python",
    });
    event_item("transaction", &id_text(0), &rest)
}

/// A session that ended well.
pub(crate) fn session() -> Item {
    let payload = json!({
        "sid": "ef0902bd-ad6d-475d-a291-b95091c2e8e7", "init": true, "started": NOW, "timestamp": NOW,
        "status": "exited", "errors": 0, "attrs": {"release": "shop-api@4.2.0", "environment": "production"},
    });
    Item {
        kind: "session",
        id: None,
        payload: payload.to_string(),
    }
}

/// Puts the event id first, where a template can replace it.
fn event_item(kind: &'static str, id: &str, rest: &Value) -> Item {
    let rest = rest.to_string();
    Item {
        kind,
        id: Some(id.to_owned()),
        payload: format!(r#"{{"event_id":"{id}","type":"{kind}",{}"#, &rest[1..]).replacen(
            r#""type":"event","#,
            "",
            1,
        ),
    }
}

fn frame(issue: u64, depth: u64) -> Value {
    let names = [
        "handle",
        "dispatch",
        "create_order",
        "charge",
        "call_bank",
        "check",
    ];
    let name = names[depth as usize % names.len()];
    json!({
        "filename": format!("shop/payment/{name}.py"),
        "abs_path": format!("/srv/shop/payment/{name}.py"),
        "function": format!("{name}_{issue}"),
        "module": format!("shop.payment.{name}"),
        "lineno": 40 + depth * 17,
        "pre_context": [format!("def {name}_{issue}(order):"), "    with transaction():", "        lock(order)"],
        "context_line": format!("        return {name}(order, retries={depth})"),
        "post_context": ["", "    # the bank answers within two seconds", "    finally:"],
        "in_app": true,
        "vars": {"order": format!("<Order {}>", hex(depth, 12)), "retries": depth.to_string()},
    })
}

fn breadcrumb(number: u64) -> Value {
    json!({
        "category": "httplib",
        "type": "http",
        "level": "info",
        "timestamp": NOW,
        "data": {
            "url": format!("https://bank.example.com/v2/charges/{}", hex(number, 32)),
            "method": "POST",
            "request_id": hex(number + 1_000_000, 32),
            "status_code": 200,
        },
    })
}

fn span(number: u64) -> Value {
    json!({
        "trace_id": hex(7, 32),
        "span_id": hex(number, 16),
        "parent_span_id": hex(1, 16),
        "op": "db",
        "description": format!("SELECT * FROM orders WHERE id = '{}'", hex(number + 1000, 32)),
        "start_timestamp": NOW,
        "timestamp": NOW,
    })
}

fn id_text(number: u64) -> String {
    String::from_utf8(event_id(number).to_vec()).expect("hexadecimal digits are ASCII")
}

/// Returns 32 hexadecimal digits that are different for every number.
pub(crate) fn event_id(number: u64) -> [u8; 32] {
    let mut id = [0; 32];
    let halves = [mixed(number), mixed(!number)];
    for (index, digit) in id.iter_mut().enumerate() {
        let nibble = halves[index / 16] >> (index % 16 * 4) & 0xf;
        *digit = b"0123456789abcdef"[nibble as usize];
    }
    id
}

fn hex(seed: u64, digits: usize) -> String {
    id_text(seed ^ 0x5eed)[..digits].to_owned()
}

/// Mixes the bits of a number (SplitMix64): no two numbers give the same.
pub(crate) fn mixed(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

pub(crate) const PUBLIC_KEY: &str = "2b7e151628aed2a6abf7158809cf4f3c";
const NOW: &str = "2026-11-23T09:37:58.207498Z";
