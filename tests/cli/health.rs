//! `health`: what HEALTHCHECK and probes hear.

use std::io::{Read, Write};
use std::net::TcpListener;

use testkit::FakeSentry;

use super::{notice, path, start, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_running_proxy_is_healthy_and_a_stopped_one_is_not() {
    let sentry = FakeSentry::start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("proxy.toml");
    let write = |admin: &str| {
        let text = format!(
            "listen = \"127.0.0.1:0\"\nadmin.listen = \"{admin}\"\nupstream.url = \"{}\"\n",
            sentry.url()
        );
        std::fs::write(&config, text).unwrap();
    };
    write("127.0.0.1:0");
    let mut proxy = start(&["run", "--config", path(&config)]);
    let url = format!("http://{}", proxy.admin);
    let from_everywhere = format!("0.0.0.0:{}", proxy.admin.port());
    write(&from_everywhere);

    let by_url = notice(&["health", "--url", &url]);
    let alive = notice(&["health", "--url", &url, "--alive"]);
    let by_config = notice(&["health", "--config", path(&config)]);
    assert_eq!(proxy.terminate(), Some(0));
    let stopped = notice(&["health", "--config", path(&config)]);

    assert_eq!(by_url.status.code(), Some(0), "{}", text(&by_url.stderr));
    assert_eq!(
        text(&by_url.stdout),
        format!("{url}/readyz answers 200: ok\n")
    );
    assert_eq!(
        text(&alive.stdout),
        format!("{url}/healthz answers 200: ok\n")
    );
    // `admin.token` is missing there, which `run` would refuse; a running proxy is healthy all the same.
    assert_eq!(
        by_config.status.code(),
        Some(0),
        "{}",
        text(&by_config.stderr)
    );
    assert_eq!(stopped.status.code(), Some(1));
    assert!(text(&stopped.stderr).contains("\n    hint: "));
}

#[test]
fn a_proxy_that_is_not_ready_is_unhealthy() {
    let answer =
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 23\r\n\r\nnot accepting requests\n";

    let (code, said) = ask_one_that_answers(answer);

    assert_eq!(code, Some(1));
    assert!(
        said.contains("/readyz` answers 503: not accepting requests"),
        "{said}"
    );
}

#[test]
fn something_else_at_the_address_is_unhealthy() {
    let (code, said) = ask_one_that_answers("SSH-2.0-OpenSSH_9.2\r\n");

    assert_eq!(code, Some(1));
    assert!(
        said.contains("what answers there does not speak HTTP"),
        "{said}"
    );
}

#[test]
fn a_proxy_that_hangs_is_unhealthy_in_time() {
    // The system accepts for a listener that never does.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());

    let output = notice(&["health", "--url", &url, "--timeout", "1"]);

    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no answer in time"));
}

#[test]
fn a_wrong_url_or_file_is_unhealthy_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("proxy.toml");
    std::fs::write(&config, "admin.listen = \"here\"\n").unwrap();

    let url = notice(&["health", "--url", "https://127.0.0.1:9011"]);
    let file = notice(&["health", "--config", path(&config)]);

    assert_eq!(
        (url.status.code(), file.status.code()),
        (Some(1), Some(1)),
        "2 is reserved by Docker"
    );
    assert!(text(&url.stderr).contains("hint: such as http://127.0.0.1:9011"));
    assert!(text(&file.stderr).contains("admin.listen: `here` is no address"));
}

/// Asks a server that sends these bytes to whoever sends it something, and closes.
fn ask_one_that_answers(answer: &'static str) -> (Option<i32>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).unwrap() > 0);
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let output = notice(&["health", "--url", &url]);
    server.join().unwrap();
    (output.status.code(), text(&output.stderr))
}
