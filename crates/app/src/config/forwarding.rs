//! Reads the tables about forwarding: `[upstream]`, `[forward]`, `[tunnel]`, `[tls]`, `[spool]`.

use proxy::config::{
    ClientIp, ForwardConfig, HttpProxy, KeyPair, Origin, Patience, UpstreamConfig, UpstreamHttp,
    UpstreamRoute,
};

use spool::Durability;

use super::Config;
use super::problem::Wrong;
use super::secret::Environment;
use super::section::Section;
use super::tree::Node;
use super::units::{boolean, choice, duration, list, size, text};
use super::values::{bytes, file, origin, positive, project_id, public_key};

pub(super) fn upstream(
    mut section: Section,
    defaults: UpstreamConfig,
    environment: &Environment,
) -> UpstreamConfig {
    if !section.has("url") {
        let hint = "set it to the host part of your DSN, such as \"https://sentry.example.com\"; or use --upstream";
        section.complain("url", &Wrong::new("is not set", hint));
    }
    let url = section.read("url", defaults.url, origin);
    let upstream = UpstreamConfig {
        connect_timeout: section.read("connect_timeout", defaults.connect_timeout, positive),
        response_timeout: section.read("response_timeout", defaults.response_timeout, positive),
        ca_file: section.optional("ca_file", file),
        client_cert: key_pair(&mut section, "client_cert_file", "client_key_file"),
        http: section.read("http", defaults.http, choice(&HTTP)),
        proxy: https_proxy(&section, &url, environment),
        routes: section
            .sections("route")
            .into_iter()
            .filter_map(upstream_route)
            .collect(),
        url,
    };
    section.finish();
    upstream
}

fn upstream_route(mut section: Section) -> Option<UpstreamRoute> {
    let projects = section.optional("projects", list(project_id));
    let url = section.optional("url", origin);
    for (key, is_missing) in [
        ("projects", !section.has("projects")),
        ("url", !section.has("url")),
    ] {
        if is_missing {
            section.complain(
                key,
                &Wrong::new(
                    "is not set",
                    "a route says which `projects` go to which `url`",
                ),
            );
        }
    }
    section.finish();
    Some(UpstreamRoute {
        projects: projects?,
        url: url?,
    })
}

/// Reads a certificate and its key; one without the other is a problem.
fn key_pair(section: &mut Section, cert: &str, key: &str) -> Option<KeyPair> {
    let (cert_file, key_file) = (section.optional(cert, file), section.optional(key, file));
    for (missing, given) in [(cert, key), (key, cert)] {
        if section.has(given) && !section.has(missing) {
            section.complain(
                missing,
                &Wrong::new(format!("is needed beside `{given}`"), "both are PEM files"),
            );
        }
    }
    Some(KeyPair {
        cert_file: cert_file?,
        key_file: key_file?,
    })
}

/// Reads the `HTTPS_PROXY` and `NO_PROXY` variables, as other programs do.
fn https_proxy(section: &Section, url: &Origin, environment: &Environment) -> Option<HttpProxy> {
    let found = HttpProxy::find(url, |name| environment.get(name).cloned());
    found.unwrap_or_else(|error| {
        section.complain(
            "url",
            &Wrong::new(
                format!("the HTTPS_PROXY for it cannot be used: {error}"),
                PROXY_HINT,
            ),
        );
        None
    })
}

pub(super) fn forward(mut section: Section, defaults: ForwardConfig) -> ForwardConfig {
    let max_body = section.read("max_body", defaults.max_body, size);
    let forward = ForwardConfig {
        patience: section.read("patience", defaults.patience, patience),
        buffer: bytes(&mut section, "buffer", defaults.buffer),
        max_body,
        client_ip: section.read(
            "client_ip",
            defaults.client_ip,
            choice(&[
                ("append", ClientIp::Append),
                ("keep", ClientIp::Keep),
                ("replace", ClientIp::Replace),
            ]),
        ),
        projects: section.read("projects", defaults.projects, list(project_id)),
        public_keys: section.read("public_keys", defaults.public_keys, list(public_key)),
        everything: section.read("everything", defaults.everything, boolean),
    };
    section.finish();
    forward
}

pub(super) fn tunnel(mut section: Section) -> Option<String> {
    let path = section.read("path", String::new(), |node| {
        let path = text(node)?;
        if path.is_empty() || (path.starts_with('/') && path.len() > 1) {
            return Ok(path);
        }
        Err(Wrong::new(
            format!("`{path}` is no path"),
            "such as \"/tunnel\"; \"\" is off",
        ))
    });
    section.finish();
    Some(path).filter(|path| !path.is_empty())
}

pub(super) fn tls(mut section: Section) -> Option<KeyPair> {
    let pair = key_pair(&mut section, "cert_file", "key_file");
    section.finish();
    pair
}

/// Reads where and how requests are kept that Sentry does not take; `dir = ""` switches that off.
pub(super) fn spool(mut section: Section, config: &mut Config) {
    let defaults = spool::Config::new(SPOOL_DIR);
    let dir = section.read("dir", SPOOL_DIR.to_owned(), text);
    let durability = if section.read("fsync", true, boolean) {
        Durability::PowerLoss
    } else {
        Durability::ProcessEnd
    };
    let spool = spool::Config {
        dir: dir.clone().into(),
        max_size: section.read("max_size", defaults.max_size, size),
        max_age: section.read("max_age", defaults.max_age, positive),
        durability,
    };
    let refresh = config.proxy.refresh_sent_at;
    config.proxy.refresh_sent_at = section.read("refresh_sent_at", refresh, boolean);
    config.spool = Some(spool).filter(|_| !dir.is_empty());
    section.finish();
}

/// Reads a time, or "off": the client waits for Sentry however long it takes.
fn patience(node: &Node) -> Result<Patience, Wrong> {
    match text(node) {
        Ok(text) if text == "off" => Ok(Patience::Off),
        _ => duration(node).map(Patience::For),
    }
}

/// Where requests are kept unless the configuration says otherwise.
pub(super) const SPOOL_DIR: &str = "data/spool";

const HTTP: [(&str, UpstreamHttp); 3] = [
    ("1.1", UpstreamHttp::Http1),
    ("auto", UpstreamHttp::Auto),
    ("2", UpstreamHttp::Http2),
];

const PROXY_HINT: &str = "HTTPS_PROXY is such as \"http://proxy.example.com:3128\"";
