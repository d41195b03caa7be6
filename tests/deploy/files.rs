//! Each file passes the check of the tool that reads it, and what it tells the program is accepted by the program.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::program::{PROGRAM, command};
use crate::tools::{all, deploy, root, succeed, tool};

#[test]
fn the_dockerfile_passes_its_linter() {
    let Some(mut hadolint) = tool("hadolint") else {
        return;
    };

    succeed(
        hadolint
            .arg("--failure-threshold=info")
            .arg(deploy("Dockerfile")),
    );
}

#[test]
fn compose_files_are_valid_and_the_program_accepts_their_settings() {
    for (file, proxies) in [("compose.yaml", 1), ("compose.fleet.yaml", 3)] {
        let Some(mut compose) = tool("docker-compose") else {
            return;
        };
        compose.arg("--env-file").arg(deploy("env.example"));
        compose.arg("--file").arg(deploy(file));
        compose
            .args(["config", "--format", "json"])
            .env_remove("SENTRY_DSN");
        let output = compose.output().unwrap();
        assert!(output.status.success(), "{}", all(&output));
        let project: Value = serde_json::from_slice(&output.stdout).unwrap();
        let services = project["services"].as_object().unwrap();
        let ours: Vec<&Value> = services
            .values()
            .filter(|service| service["image"] == "sentry-notice")
            .collect();

        assert_eq!(ours.len(), proxies, "{file}");
        let disks: BTreeMap<&str, ()> = ours
            .iter()
            .map(|service| (service["volumes"][0]["source"].as_str().unwrap(), ()))
            .collect();
        assert_eq!(disks.len(), proxies, "{file}: each has a disk of its own");
        for service in ours {
            assert_eq!(service["read_only"], true);
            let settings = service["environment"].as_object().unwrap();
            let mut check = command(&["check"]);
            check.current_dir("/");
            for (name, value) in settings {
                check.env(name, value.as_str().unwrap());
            }
            let said = succeed(&mut check);
            assert!(said.contains("routes\n  alert → oncall; "), "{said}");
            assert!(!said.contains("warning: "), "{said}");
        }
    }
}

#[test]
fn haproxy_accepts_its_file_without_a_warning() {
    let Some(mut haproxy) = tool("haproxy") else {
        return;
    };

    let said = succeed(
        haproxy
            .args(["-c", "-f"])
            .arg(deploy("haproxy/haproxy.cfg")),
    );

    assert!(
        said.contains("valid") && !said.contains("[WARNING]"),
        "{said}"
    );
}

#[test]
fn nginx_accepts_what_the_pages_say_to_write() {
    for page in ["../docs/deploy.md", "../docs/deploy.zh-CN.md"] {
        let text = std::fs::read_to_string(deploy(page)).unwrap();
        let (_, after) = text.split_once("```nginx\n").unwrap();
        let (block, _) = after.split_once("```").unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("nginx.conf");
        let whole = format!(
            "pid nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{ access_log off;\n{block} }}\n"
        );
        std::fs::write(&file, whole).unwrap();
        let Some(mut nginx) = tool("nginx") else {
            return;
        };

        let said = succeed(
            nginx
                .arg("-t")
                .arg("-p")
                .arg(directory.path())
                .arg("-c")
                .arg(&file),
        );

        assert!(
            said.contains("successful") && !said.contains("[warn]"),
            "{said}"
        );
    }
}

#[test]
fn both_languages_say_the_same() {
    let shape = |page: &str| {
        let page = std::fs::read_to_string(root().join(page)).unwrap();
        let marked = |line: &&str| line.starts_with(['#', '|']) || line.starts_with("```");
        let mark = |line: &str| -> String {
            let marks = line.chars().take_while(|one| "#|`".contains(*one));
            marks.collect()
        };
        page.lines().filter(marked).map(mark).collect::<Vec<_>>()
    };

    for (english, chinese) in [
        ("docs/deploy.md", "docs/deploy.zh-CN.md"),
        ("README.md", "README.zh-CN.md"),
    ] {
        let what = "headings, rows of tables, blocks";
        assert_eq!(shape(english), shape(chinese), "{english}: {what}");
    }
}

#[test]
fn kubernetes_accepts_the_manifests() {
    for file in ["sidecar.yaml", "standalone.yaml"] {
        let Some(mut validate) = tool("kubernetes-validate") else {
            return;
        };

        let said = succeed(
            validate
                .arg("--strict")
                .arg(deploy("kubernetes").join(file)),
        );

        assert!(
            said.contains("passed for resource") && !said.contains("WARN"),
            "{said}"
        );
    }
}

#[test]
fn the_program_accepts_the_files_of_the_manifests() {
    for file in ["sidecar.yaml", "standalone.yaml"] {
        let Some(manifests) = read_yaml(&deploy("kubernetes").join(file)) else {
            return;
        };
        let of_kind = |kind: &str| {
            let found = manifests.iter().find(|manifest| manifest["kind"] == kind);
            found.unwrap_or_else(|| panic!("{file} has no {kind}"))
        };
        let directory = tempfile::tempdir().unwrap();
        for (name, secret) in of_kind("Secret")["stringData"].as_object().unwrap() {
            std::fs::write(directory.path().join(name), secret.as_str().unwrap()).unwrap();
        }
        let here = directory.path().to_str().unwrap();
        let text = of_kind("ConfigMap")["data"]["proxy.toml"].as_str().unwrap();
        let text = text.replace("/etc/sentry-notice/secrets", here);
        let config = directory.path().join("proxy.toml");
        std::fs::write(&config, text).unwrap();

        let said = succeed(&mut command(&[
            "check",
            "--config",
            config.to_str().unwrap(),
        ]));

        assert!(
            said.contains("oncall → ") && said.contains("signs"),
            "{said}"
        );
        assert!(!said.contains("warning: "), "{said}");
    }
}

#[test]
fn the_sidecar_starts_first_and_is_asked_by_its_own_command() {
    let Some(manifests) = read_yaml(&deploy("kubernetes/sidecar.yaml")) else {
        return;
    };
    let deployment = manifests
        .iter()
        .find(|manifest| manifest["kind"] == "Deployment")
        .unwrap();

    let sidecar = &deployment["spec"]["template"]["spec"]["initContainers"][0];

    assert_eq!(sidecar["restartPolicy"], "Always");
    for probe in ["startupProbe", "livenessProbe"] {
        let call: Vec<&str> = sidecar[probe]["exec"]["command"]
            .as_array()
            .unwrap()
            .iter()
            .map(|word| word.as_str().unwrap())
            .collect();
        assert_eq!(call[0], "sentry-notice");
        let output = command(&[&call[1..], &["--url", "http://127.0.0.1:1"]].concat());
        let code = { output }.output().unwrap().status.code();
        assert_eq!(code, Some(1), "{call:?} is a call that the program knows");
    }
}

#[test]
fn systemd_accepts_the_unit_and_finds_it_safe() {
    let text = std::fs::read_to_string(deploy("systemd/sentry-notice.service")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let unit = directory.path().join("sentry-notice.service");
    std::fs::write(&unit, text.replace("/usr/local/bin/sentry-notice", PROGRAM)).unwrap();
    let (Some(mut verify), Some(mut security)) = (tool("systemd-analyze"), tool("systemd-analyze"))
    else {
        return;
    };

    let said = succeed(verify.args(["verify", "--man=no"]).arg(&unit));
    // From 0, harmless, to 100.
    let exposure = succeed(
        security
            .args(["security", "--offline=true", "--threshold=15", "--no-pager"])
            .arg(&unit),
    );

    assert_eq!(said.trim(), "", "systemd has something to say about it");
    assert!(exposure.contains("Overall exposure level"), "{exposure}");
}

/// Reads every document of a YAML file, by the Python that the tools run on.
fn read_yaml(file: &Path) -> Option<Vec<Value>> {
    let mut python = tool("python")?;
    let script =
        "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let read = python.args(["-c", script]).arg(file).output().unwrap();
    if !read.status.success() && std::env::var_os("SENTRY_NOTICE_DEPLOY_TOOLS").is_none() {
        crate::tools::skip("a Python with PyYAML is missing");
        return None;
    }
    assert!(read.status.success(), "{}", all(&read));
    Some(serde_json::from_slice(&read.stdout).unwrap())
}
