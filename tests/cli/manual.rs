//! What packagers install besides the program: completions, manual pages, and the version they belong to.

use std::process::Command;

use super::{notice, text};

#[test]
fn each_shell_gets_a_script_that_knows_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = notice(&["completions", shell]);

        let script = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        for word in ["send-test", "upstream", "sentry-notice"] {
            assert!(script.contains(word), "{shell} does not know `{word}`");
        }
    }
    assert_eq!(notice(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn bash_accepts_its_script() {
    let script = notice(&["completions", "bash"]).stdout;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("completion");
    std::fs::write(&file, script).unwrap();

    let sourced = Command::new("bash")
        .args(["-c", "source \"$1\" && complete -p sentry-notice", "bash"])
        .arg(&file)
        .output()
        .unwrap();

    assert!(sourced.status.success(), "{}", text(&sourced.stderr));
}

#[test]
fn the_manual_has_a_page_for_every_command_of_the_help() {
    let help = text(&notice(&["--help"]).stdout);
    let page = text(&notice(&["man"]).stdout);
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|command| !command.is_empty())
        .collect();

    assert!(commands.contains(&"run") && commands.contains(&"init"));
    for command in commands {
        let escaped = command.replace('-', "\\-");
        assert!(page.contains(&escaped), "{command} is missing in\n{page}");
        if command != "help" {
            let its_own = notice(&["man", command]);
            let its_page = text(&its_own.stdout);
            assert!(
                its_page.contains(&format!(".TH sentry-notice-{command} 1")),
                "{its_page}"
            );
        }
    }
}

#[test]
fn an_unknown_page_is_refused_with_those_that_are_there() {
    let output = notice(&["man", "spool", "stat"]);

    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("there is no command `stat`"), "{said}");
    assert!(said.contains("hint: known: stats, export, drop"), "{said}");
}

#[test]
fn the_version_names_the_commit_of_the_checkout() {
    let said = text(&notice(&["--version"]).stdout);
    let head = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "HEAD"])
        .output();

    let version = env!("CARGO_PKG_VERSION");
    assert!(
        said.starts_with(&format!("sentry-notice {version}")),
        "{said}"
    );
    // Built elsewhere, or from sources without their history, it may name another commit or none.
    if let Ok(head) = head
        && head.status.success()
        && option_env!("SENTRY_NOTICE_COMMIT").is_none()
    {
        let commit = text(&head.stdout);
        assert_eq!(
            said,
            format!("sentry-notice {version} ({})\n", &commit[..12])
        );
    }
}
