//! The configuration of each target: as lean as its own manual advises for a reverse proxy with keep-alive.
//!
//! Sources: <https://nginx.org/en/docs/http/ngx_http_upstream_module.html#keepalive>,
//! <https://docs.haproxy.org/2.6/configuration.html>.

use std::net::SocketAddr;

use crate::target::Addresses;

/// Returns our configuration: the whole pipeline, with nobody to talk to.
pub(crate) fn sentry_notice(origin: SocketAddr, threads: usize) -> String {
    format!(
        r#"
listen = "127.0.0.1:0"
threads = {threads}
[upstream]
url = "http://{origin}"
[spool]
dir = ""
[state]
kind = "memory"
[alert]
robot = ""
[admin]
listen = "127.0.0.1:0"
[log]
level = "error"
"#
    )
}

/// Returns nginx's configuration; `location` adds to how requests are forwarded.
///
/// nginx forwards more cheaply than it would in production: it adds no `X-Forwarded-*` fields and writes no log.
pub(crate) fn nginx(addresses: &Addresses, threads: usize, location: &str) -> String {
    let Addresses {
        listen,
        origin,
        mirror,
    } = addresses;
    format!(
        r#"
daemon off;
pid nginx.pid;
error_log stderr error;
worker_processes {threads};
worker_rlimit_nofile {DESCRIPTORS};
events {{ worker_connections {DESCRIPTORS}; }}
http {{
    access_log off;
    client_max_body_size 200m;
    client_body_temp_path client_body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 1000000000;
    upstream sentry {{
        server {origin};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    upstream copies {{
        server {mirror};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {listen} reuseport backlog=4096;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        location / {{
            proxy_pass http://sentry;
            {location}
        }}
        location = /mirror {{
            internal;
            proxy_pass http://copies$request_uri;
        }}
    }}
}}
"#
    )
}

/// Returns HAProxy's configuration; `mode` is `http` or `tcp`.
pub(crate) fn haproxy(addresses: &Addresses, threads: usize, mode: &str) -> String {
    let Addresses { listen, origin, .. } = addresses;
    let reuse = if mode == "http" {
        "http-reuse always"
    } else {
        ""
    };
    format!(
        r"
global
    nbthread {threads}
    maxconn 9000
    tune.listener.multi-queue on
defaults
    mode {mode}
    backlog 4096
    timeout connect 5s
    timeout client 90s
    timeout server 90s
frontend clients
    bind {listen}
    default_backend sentry
backend sentry
    {reuse}
    server sentry {origin}
"
    )
}

/// Sends a copy of each request to a second upstream.
pub(crate) const MIRROR: &str = "mirror /mirror;";

const DESCRIPTORS: usize = 18_000;
